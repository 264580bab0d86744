"""Fairness, privacy and explanation: the lowest layer, which takes arrays and knows nothing of logs."""
