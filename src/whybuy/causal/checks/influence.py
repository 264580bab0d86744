"""Influence of few: whether one user, or the most active ones (bots among them), carry the effect."""

import math
from typing import Any

import numpy as np

from whybuy.causal.checks.pair import PairData, effect_among, in_hundred

SHARE_LEFT_OUT = 0.01


def influence(data: PairData, *, estimate: float, smallest_effect: float) -> dict[str, Any]:
    """Return the largest user's share of sum RT^2, and the effect without the most active users.

    Fails where, without the hundredth of the users who have most decisions, the effect has the other sign beyond
    chance, is gone (its interval inside plus or minus ``smallest_effect``, and the estimate further than that from the
    whole's), or has no grounds left.
    """
    n_trials, information = np.bincount(data.user), np.bincount(data.user, data.RT**2)
    n_left_out = math.ceil(SHARE_LEFT_OUT * len(n_trials))
    active = np.zeros(len(n_trials), bool)
    active[np.argpartition(-n_trials, n_left_out - 1)[:n_left_out]] = True
    without = effect_among(data, ~active[data.user])
    found = without.to_json()
    gone = without.estimate is None or (
        max(-found["ci_low"], found["ci_high"]) < smallest_effect and abs(estimate - without.estimate) > smallest_effect
    )
    return {
        "largest_share": float(information.max() / information.sum()),
        "n_left_out": n_left_out,
        "share_left_out": float(information[active].sum() / information.sum()),
        **found,
        "passed": not (gone or without.contradicts(estimate)),
    }


def influence_failures(found: dict[str, Any]) -> list[str]:
    """Return what is wrong, in words."""
    if found["passed"]:
        return []
    few = f"the {found['n_left_out']} most active users, who carry {found['share_left_out']:.0%} of the information"
    left = "nothing is left to tell it from" if found["estimate"] is None else f"it is {in_hundred(found)}"
    return [f"Influence: the effect rests on few; without {few}, {left}."]
