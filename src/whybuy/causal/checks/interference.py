"""Interference: whether the effect depends on how many of the people around the user had done the same. A hint only.

An effect of one person's decision, everybody else's as they are, is not the effect of everybody's. Where what others
did reaches a user, the effect is another one among many who did it than among few.

Source: Hudgens and Halloran, Toward causal inference with interference (JASA, 2008), section 3: effects by the share of
a group that is treated.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from whybuy.causal.checks.pair import CHANCE, PairData, difference, effects_by_group, in_hundred


def interference(data: PairData, excess: npt.NDArray[np.float32] | None, *, smallest_effect: float) -> dict[str, Any]:
    """Return the effect where fewer, and where more of the neighbors than usual had done the behavior the day before.

    Warns where they differ beyond chance and by more than ``smallest_effect``.

    Parameters
    ----------
    excess : (n,) see :meth:`whybuy.causal.neighbors.Neighbors.excess`; None where nobody counted

    Notes
    -----
    Comparing with what is usual at the place, categories do not stand against each other; days still do, so a season
    that changes the effect warns too.
    """
    known = np.zeros(len(data.T), bool) if excess is None else np.isfinite(excess)
    group = np.zeros(len(data.T), np.int64)
    if excess is not None and known.any():
        group[known] = 1 + (excess[known] > np.median(excess[known]))
    _, fewer, more = effects_by_group(data, group, 3)
    found = {"fewer": fewer.to_json(), "more": more.to_json(), "share_known": float(known.mean())}
    apart = difference(fewer, more)
    warns = apart is not None and apart[1] < CHANCE and abs(apart[0]) > smallest_effect
    return {**found, "p_value": None if apart is None else apart[1], "warns": warns}


def interference_warnings(found: dict[str, Any]) -> list[str]:
    """Return what to keep in mind, in words."""
    if not found["warns"]:
        return []
    more, fewer = (in_hundred(found[name]) for name in ("more", "fewer"))
    return [
        f"Warning, interference: {more} where more of the others around than usual had done it the day before, {fewer} "
        "where fewer: what others do may matter, and everybody's doing it has another effect than one person's."
    ]
