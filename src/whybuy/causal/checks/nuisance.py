"""Nuisance: whether the forecasts of the behavior and of the outcome are worse than their base rates.

A behavior that nothing foretells is as good as random: its forecast can at best equal the base rate, and out of fold it
is a little worse. So a forecast fails that is worse by more than a little, and by more than chance.
"""

from statistics import NormalDist
from typing import Any

import numpy as np

from whybuy.causal.checks.pair import CHANCE, PairData
from whybuy.causal.clusters import clustered_ratio
from whybuy.causal.losses import log_losses

TOLERATED = 1.02
"""Log-loss in units of the base rate's: a model of what nothing foretells is a little above 1; more is a defect."""
_Z = NormalDist().inv_cdf(1 - CHANCE)


def nuisance(data: PairData) -> dict[str, float]:
    """Return the out-of-fold log-losses of e and m and of their base rates, nats, and the error of their difference."""
    out = {}
    for kind, y, p in (("e", data.T, data.e), ("m", data.Y, data.m)):
        loss, base = log_losses(y, p), log_losses(y, np.full(len(y), y.mean()))
        out[f"{kind}_base_rate"] = float(y.mean())
        out[f"{kind}_log_loss"] = float(loss.mean())
        out[f"{kind}_log_loss_base"] = float(base.mean())
        out[f"{kind}_gain_error"] = clustered_ratio(base - loss, 1.0, data.user).std_error
    return out


def nuisance_failures(found: dict[str, Any]) -> list[str]:
    """Return what is wrong, in words."""
    return [
        f"Nuisance: the {what} model predicts worse than its base rate, by more than chance and {TOLERATED - 1:.0%}."
        for kind, what in (("e", "propensity"), ("m", "outcome"))
        if _is_worse(*(found[f"{kind}_{name}"] for name in ("log_loss", "log_loss_base", "gain_error")))
    ]


def _is_worse(loss: float, base: float, gain_error: float) -> bool:
    return loss > TOLERATED * base and loss - base > _Z * gain_error
