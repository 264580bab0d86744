"""What to show: items ranked by the purchases that showing them adds, each with its evidence and its reason."""
