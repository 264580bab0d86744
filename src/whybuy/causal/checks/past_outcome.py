"""Re-timed outcome: the outcome in the window before the decision, in place of the one after. A warning only.

The decision cannot have caused it, and the adjustment knows it: what happened before is among the covariates, so the
residual behavior should say nothing about it. Where it does, the forecasts have missed a part of the logged history. It
says nothing about what was not logged: the propensity would have to be right given history, and nothing more.
"""

from typing import Any

import numpy as np

from whybuy.causal.checks.pair import CHANCE, Bools, PairData, effect_among, in_hundred


def past_outcome(data: PairData, happened: Bools, *, window_hours: float, smallest_effect: float) -> dict[str, Any]:
    """Return the "effect" of the behavior on the outcome before it, with the same residual behavior.

    Parameters
    ----------
    happened : (n,) whether the outcome happened in the ``window_hours`` before the decision
    """
    weight, before = data.e * (1 - data.e), happened.astype(float)
    # Any constant gives the same mean under the true propensity; the overlap-weighted mean gives the smallest error.
    expected = np.full(len(before), np.average(before, weights=weight))
    retimed = PairData(data.T, before, data.e, expected, data.user)
    group = effect_among(retimed, np.ones(len(before), bool))
    p = group.p_value
    warns = p is not None and p < CHANCE and abs(group.estimate or 0.0) > smallest_effect
    return {"window_hours": window_hours, **group.to_json(), "p_value": p, "warns": warns}


def past_outcome_warnings(found: dict[str, Any]) -> list[str]:
    """Return what to keep in mind, in words."""
    if not found["warns"]:
        return []
    return [
        "Warning, outcome re-timed: the behavior also goes with the outcome before it, "
        f"{in_hundred(found)}, which it cannot have caused: the forecasts have missed a part of the logged history."
    ]
