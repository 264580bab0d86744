"""Horizon and lookback from the span of a log's time.

A decision needs ``lookback`` of history before it and ``horizon`` of follow-up after it. With at most half of the span
spent on both, at least half of the log is left for decisions. The span is that between the 1st and the 99th percentile,
because one event of 1970 or 2099 must not make a log look long.
"""

from datetime import UTC, datetime, timedelta

from whybuy.config import duration_ms
from whybuy.events.draft import Draft
from whybuy.events.probe import Probe

LONG = "7d"
_LONG_FROM = "28d"
_SHORTER = ("3d", "1d", "6h", "1h")
_EARLIEST_MS = int(datetime(1995, 1, 1, tzinfo=UTC).timestamp() * 1000)
_DAY_MS = duration_ms("1d")


def span_ms(probe: Probe, drafts: list[Draft]) -> float | None:
    """Return the milliseconds between the 1st and 99th percentile of time, or None for a log without times."""
    times = " UNION ALL ".join(
        f"SELECT {d.ms} AS ms FROM ({d.query(probe.spread(d.table))})" for d in drafts if d.ms is not None
    )
    if not times:
        return None
    latest = int((datetime.now(UTC) + timedelta(days=1)).timestamp() * 1000)
    low, high = probe.rows(
        f"SELECT quantile_cont(ms, 0.01), quantile_cont(ms, 0.99) FROM ({times}) "
        f"WHERE ms BETWEEN {_EARLIEST_MS} AND {latest}"
    )[0]
    return None if low is None else float(high - low)


def windows(span: float | None) -> tuple[str, str]:
    """Return the duration of both horizon and lookback for a span in milliseconds, and why, in words."""
    if span is None:
        return LONG, "the log has no times, so that no causal question can be asked and these are not used"
    words = f"the 1st and the 99th percentile of time lie {_words(span)} apart"
    if span >= duration_ms(_LONG_FROM):
        return LONG, f"{words}, which is 28 days or more"
    for duration in _SHORTER:
        if 2 * duration_ms(duration) <= span / 2:
            return duration, f"{words}; horizon and lookback together are at most half of it"
    return _SHORTER[-1], f"{words}, too short for causal answers: the shortest durations were taken"


def _words(ms: float) -> str:
    if ms >= 2 * _DAY_MS:
        return f"{ms / _DAY_MS:.1f} days"
    if ms >= 2 * duration_ms("1h"):
        return f"{ms / duration_ms('1h'):.1f} hours"
    return f"{ms / duration_ms('1m'):.0f} minutes"
