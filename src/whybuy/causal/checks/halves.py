"""Halves in time: whether the effect of the earlier decisions is that of the later ones.

An effect that changes is still an average of what happened; it is not what the next decision will do.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from whybuy.causal.checks.pair import CHANCE, PairData, difference, effects_by_group, in_hundred


def halves(data: PairData, ts_ms: npt.NDArray[np.int64], *, smallest_effect: float) -> dict[str, Any]:
    """Return the effect of the first and of the second half of the decisions, and whether they differ beyond chance.

    Parameters
    ----------
    ts_ms : (n,) when every decision was
    smallest_effect : a smaller difference is none, however sure
    """
    first, second = effects_by_group(data, (ts_ms >= np.median(ts_ms)).astype(np.int64), 2)
    found: dict[str, Any] = {"first": first.to_json(), "second": second.to_json(), "p_value": None, "passed": None}
    apart = difference(first, second)
    if apart is None:
        return found
    return {**found, "p_value": apart[1], "passed": not (apart[1] < CHANCE and abs(apart[0]) > smallest_effect)}


def halves_failures(found: dict[str, Any]) -> list[str]:
    """Return what is wrong, in words."""
    if found["passed"] is not False:
        return []
    return [
        f"Halves in time: {in_hundred(found['first'])} in the earlier half of the decisions, "
        f"{in_hundred(found['second'])} in the later half, which is more than chance: the effect does not hold still."
    ]
