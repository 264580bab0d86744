"""What the behavior model has to beat, and the harness that says by how much."""
