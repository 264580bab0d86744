"""Dose: the effect by how often, and how lately, the behavior was done before. For reading; nothing passes or fails."""

from typing import Any

import numpy as np
import numpy.typing as npt

from whybuy.causal.checks.pair import PairData, effects_by_group

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
    by_count = effects_by_group(data, np.minimum(past, 2).astype(np.int64), 3)
    by_recency = effects_by_group(data, np.where(recent > 0, 2, past > 0), 3)[1:]
    names = ("first", "second", "third_or_more", "earlier", "recent")
    groups = zip(names, (*by_count, *by_recency), strict=True)
    hours = {"window_hours": window_hours, "recent_hours": recent_hours}
    return {**hours, **{name: group.to_json() for name, group in groups}}
