"""Nuisance: whether the forecasts of the behavior and of the outcome beat their base rates."""

from typing import Any

import numpy as np

from whybuy.causal.checks.pair import PairData
from whybuy.causal.losses import log_loss_sums


def nuisance(data: PairData) -> dict[str, float]:
    """Return the out-of-fold log-losses of e and m and of their base rates, nats."""
    out = {}
    for kind, y, p in (("e", data.T, data.e), ("m", data.Y, data.m)):
        rate = np.full(len(y), y.mean())
        out[f"{kind}_base_rate"] = float(y.mean())
        out[f"{kind}_log_loss"] = float(log_loss_sums(y[:, None], p[:, None])[0] / len(y))
        out[f"{kind}_log_loss_base"] = float(log_loss_sums(y[:, None], rate[:, None])[0] / len(y))
    return out


def nuisance_failures(found: dict[str, Any]) -> list[str]:
    """Return what is wrong, in words."""
    return [
        f"Nuisance: the {what} model predicts worse than its base rate."
        for kind, what in (("e", "propensity"), ("m", "outcome"))
        if found[f"{kind}_log_loss"] > found[f"{kind}_log_loss_base"]
    ]
