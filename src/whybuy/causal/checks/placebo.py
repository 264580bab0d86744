"""Placebo: fake treatments drawn from the estimated propensity. They test standard errors, not confounding."""

import math
from typing import Any

import numpy as np

from whybuy.causal.checks.pair import PairData
from whybuy.causal.effects import Z95

N_PLACEBOS = 20
_PLACEBO_Z = 3.290526731491926
"""Two-sided 99.9%: the mean of 20 placebo draws lies outside once in a thousand questions."""


def placebo(data: PairData, std_error: float, rng: np.random.Generator) -> dict[str, float | bool]:
    """Return the mean effect of fake treatments drawn from Bernoulli(e), with its 95% interval.

    With a fake treatment t the residual is t - e and its square t (1 - 2 e) + e^2: per user, only the few decisions
    with t = 1 differ from draw to draw.
    """
    user, e, RY = data.user, data.e, data.RY
    total, spread, n_users = np.zeros(N_PLACEBOS), np.zeros(N_PLACEBOS), int(user[-1]) + 1
    untreated, squares = np.bincount(user, -e * RY), np.bincount(user, e**2)
    for draw in range(N_PLACEBOS):
        fake = np.flatnonzero(rng.random(len(e), np.float32) < e)
        scores = untreated + np.bincount(user[fake], RY[fake], minlength=n_users)
        weights = squares + np.bincount(user[fake], 1 - 2 * e[fake], minlength=n_users)
        weight = weights.sum()
        total[draw] = scores.sum() / weight
        spread[draw] = math.sqrt(((scores - total[draw] * weights) ** 2).sum()) / weight
    # Given the log the draws are independent, so their mean is sharper by the root of their number.
    estimate, se = float(total.mean()), float(spread.mean()) / math.sqrt(N_PLACEBOS)
    return {
        "estimate": estimate,
        "ci_low": estimate - Z95 * se,
        "ci_high": estimate + Z95 * se,
        "std_error_ratio": float(spread.mean() / std_error) if std_error > 0 else math.nan,
        "passed": bool(abs(estimate) <= _PLACEBO_Z * se),
    }


def placebo_failures(found: dict[str, Any]) -> list[str]:
    """Return what is wrong, in words."""
    if found["passed"]:
        return []
    return ["Placebo treatments drawn from the propensity have an effect: the errors cannot be trusted."]
