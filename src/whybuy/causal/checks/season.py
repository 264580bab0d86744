"""Season: whether decisions of weekdays and of weekends tell the same story."""

from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pandas as pd

from whybuy.causal.checks.pair import Bools, PairData, effects_by_group, in_hundred

MIN_SPAN_MS = 14 * 86_400_000
"""Two weekends at least: one is an event, not a season."""


def is_weekend(ts_ms: npt.NDArray[np.int64], zone: ZoneInfo) -> Bools:
    """Return (n,) whether a time is on a Saturday or Sunday where the shop is."""
    days = pd.DatetimeIndex(ts_ms.astype("datetime64[ms]")).tz_localize("UTC").tz_convert(zone).day_of_week
    return np.asarray(days >= 5)


def season(data: PairData, weekend: Bools, *, estimate: float, span_ms: int) -> dict[str, Any]:
    """Return the effect on weekdays and on weekends; fails where one of them contradicts the whole beyond chance.

    Parameters
    ----------
    weekend : (n,) whether the decision was on a weekend
    estimate : the effect of all decisions
    span_ms : from the first decision to the last
    """
    if span_ms < MIN_SPAN_MS:
        return {"weekday": None, "weekend": None, "passed": None, "why": "The decisions span less than two weeks."}
    groups = dict(zip(("weekday", "weekend"), effects_by_group(data, weekend.astype(np.int64), 2), strict=True))
    known = any(group.estimate is not None for group in groups.values())
    passed = not any(group.contradicts(estimate) for group in groups.values()) if known else None
    return {**{name: group.to_json() for name, group in groups.items()}, "passed": passed}


def season_failures(found: dict[str, Any]) -> list[str]:
    """Return what is wrong, in words."""
    if found["passed"] is not False:
        return []
    told = [
        f"{in_hundred(found[name])} on {name}s"
        for name in ("weekday", "weekend")
        if found[name]["estimate"] is not None
    ]
    return [f"Season: {', '.join(told)}: the sign depends on the day of the week."]
