"""Dose: the effect by how often, and how lately, the behavior was done before. For reading; nothing passes or fails."""

from typing import Any

import numpy as np
import numpy.typing as npt

from whybuy.causal.checks.pair import PairData, effect_among

Counts = npt.NDArray[np.uint8]


def dose(data: PairData, past: Counts, recent: Counts, *, window_hours: float, recent_hours: float) -> dict[str, Any]:
    """Return the effect of the first, the second, and a later event of the behavior, and by recency.

    Parameters
    ----------
    past : (n,) events of the behavior in the ``window_hours`` before the decision
    recent : (n,) those in the last ``recent_hours`` of them

    Notes
    -----
    The numbers compare decisions of people with different histories, each with its own controls: a falling row may be
    saturation, or that those who come back are other people.
    """
    by_count = {"first": past == 0, "second": past == 1, "third_or_more": past >= 2}
    by_recency = {"recent": recent > 0, "earlier": (past > 0) & (recent == 0)}
    return {
        "window_hours": window_hours,
        "recent_hours": recent_hours,
        **{name: effect_among(data, rows).to_json() for name, rows in (by_count | by_recency).items()},
    }
