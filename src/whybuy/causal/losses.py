"""How well probabilities fit what happened: the log-loss, in nats."""

import numpy as np

from whybuy.causal.residuals import Float64

CLIP = 1e-4
"""Probabilities are kept within [CLIP, 1 - CLIP]: one surprise must not outweigh a million decisions."""


def log_loss_sums(y: Float64, p: Float64, weight: Float64 | float = 1.0) -> Float64:
    """Return per column the summed log-loss of probabilities clipped to [CLIP, 1 - CLIP], nats."""
    total: Float64 = (weight * log_losses(y, p)).sum(axis=0)
    return total


def log_losses(y: Float64, p: Float64) -> Float64:
    """Return the log-loss of every probability, clipped to [CLIP, 1 - CLIP], nats."""
    p = np.clip(p, CLIP, 1 - CLIP)
    losses: Float64 = -np.where(y > 0, np.log(p), np.log1p(-p))
    return losses
