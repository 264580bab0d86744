"""Moments and sessions of users, as Ibis expressions over the rows that are kept.

A *moment* is what happened at once: events of one user with the same time, or lines of one basket. Moments are numbered
from 0 within the user in the order of their earliest event. An order that was written line by line spans several times,
and other events may share those: the earliest time spreads from a basket to all events of its times and on, in two
rounds, which reaches three baskets that overlap pairwise; more was never met. A return, a review or a rating that names
the order it belongs to happens later and is no line of the basket: it shares moments only with its own kind.

A *session* is the log's own where it names one; elsewhere a user's events are cut at gaps, and numbered ``s1``, ``s2``.
"""

import ibis
import ibis.expr.types as ir

from whybuy import columns as c

_LATER = ("return", "review", "rating")
_ANCHOR, _BASKET, _IS_NEW, _NUMBER = "__anchor", "__basket", "__is_new", "__number"


def number_moments(events: ir.Table, *, kept: str) -> ir.Table:
    """Return ``events`` with :data:`whybuy.columns.MOMENT`, int32, null where the column ``kept`` is false."""
    events = events.mutate(**{_ANCHOR: events[c.TIME_MS]})
    if c.ORDER in events.columns:
        kind = ibis.ifelse(events[c.ACTION].isin(_LATER), events[c.ACTION], "basket")
        events = events.mutate(**{_BASKET: kind})
        for _ in range(2):
            # Lines without an order are baskets of one time here, which changes nothing.
            time = ibis.ifelse(events[c.ORDER].isnull(), events[c.TIME_MS], ibis.null("int64"))
            events = _earliest(events.mutate(**{_NUMBER: time}), [c.USER, kept, c.ORDER, _BASKET, _NUMBER])
            events = _earliest(events, [c.USER, kept, c.TIME_MS])
        events = events.drop(_BASKET, _NUMBER)
    rank = ibis.dense_rank().over(group_by=[c.USER, kept], order_by=_ANCHOR)
    events = events.mutate(**{c.MOMENT: rank}).drop(_ANCHOR)
    moment = ibis.ifelse(events[kept], events[c.MOMENT].cast("int32"), ibis.null("int32"))
    return events.mutate(**{c.MOMENT: moment})


def _earliest(events: ir.Table, group: list[str]) -> ir.Table:
    return events.mutate(**{_ANCHOR: events[_ANCHOR].min().over(group_by=group)})


def number_sessions(events: ir.Table, *, kept: str, gap_ms: int | None) -> ir.Table:
    """Return ``events`` with :data:`whybuy.columns.SESSION` filled where the log has none.

    Parameters
    ----------
    gap_ms : a longer pause starts a new session; None where the log has no times: a user is then one session
    """
    if gap_ms is None:
        made = ibis.literal("s1")
    else:
        before = events[c.TIME_MS].lag().over(group_by=[c.USER, kept], order_by=c.TIME_MS)
        events = events.mutate(**{_NUMBER: before})
        is_new = events[_NUMBER].isnull() | (events[c.TIME_MS] - events[_NUMBER] > gap_ms)
        events = events.mutate(**{_IS_NEW: is_new.cast("int64")})
        # Without an explicit frame, events of one time are counted together: their order among each other is open.
        number = events[_IS_NEW].sum().over(group_by=[c.USER, kept], order_by=c.TIME_MS, range=(None, 0))
        events = events.mutate(**{_NUMBER: number})
        made = ibis.literal("s") + events[_NUMBER].cast("string")
    logged = events[c.SESSION] if c.SESSION in events.columns else ibis.null("string")
    events = events.mutate(**{c.SESSION: ibis.coalesce(logged, made)})
    return events if gap_ms is None else events.drop(_NUMBER, _IS_NEW)
