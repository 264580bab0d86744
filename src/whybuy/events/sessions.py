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


def number_moments(events: ir.Table, *, kept: str, gap_ms: int | None) -> ir.Table:
    """Return ``events`` with their moment (int32, null where the column ``kept`` is false) and their session.

    Parameters
    ----------
    kept : boolean column: which rows are events of the log
    gap_ms : a pause longer than this starts a session; None where every event has one, or the log has no times
    """
    anchor = c.TIME_MS
    if c.ORDER in events.columns:
        events, anchor = _anchor_baskets(events, kept), "anchor"
    # One pass over the users' events where both windows have the same order.
    windows = {c.MOMENT: ibis.dense_rank().over(group_by=[c.USER, kept], order_by=anchor)}
    if gap_ms is not None:
        windows["before"] = events[c.TIME_MS].lag().over(group_by=[c.USER, kept], order_by=c.TIME_MS)
    ranked = events.mutate(**windows)
    moment = ibis.ifelse(ranked[kept], ranked[c.MOMENT].cast("int32"), ibis.null("int32"))
    numbered = ranked.mutate(**{c.MOMENT: moment})
    if anchor != c.TIME_MS:
        numbered = numbered.drop(anchor)
    return _number_sessions(numbered, kept, gap_ms)


def _number_sessions(events: ir.Table, kept: str, gap_ms: int | None) -> ir.Table:
    """Return ``events`` with a session where the log names none; without times or gaps a user is one session."""
    made: ir.StringValue = ibis.literal("s1")
    if gap_ms is not None:
        is_new = events.before.isnull() | (events[c.TIME_MS] - events.before > gap_ms)
        started = events.mutate(is_new=is_new.cast("int64"))
        # The frame counts events of one time together: their order among each other is open.
        number = started.is_new.sum().over(group_by=[c.USER, kept], order_by=c.TIME_MS, range=(None, 0))
        events = started.mutate(number=number)
        made = ibis.literal("s") + events.number.cast("string")
    logged = events[c.SESSION] if c.SESSION in events.columns else ibis.null("string")
    named = events.mutate(**{c.SESSION: ibis.coalesce(logged, made)})
    return named if gap_ms is None else named.drop("before", "is_new", "number")


def _anchor_baskets(events: ir.Table, kept: str) -> ir.Table:
    """Return ``events`` with ``anchor``, the time of their moment; few baskets have several times: little is done."""
    valid = events.filter(events[kept] & events[c.ORDER].notnull())
    kind = ibis.ifelse(valid[c.ACTION].isin(_LATER), valid[c.ACTION], "basket")
    lines = valid.select(of_user=valid[c.USER], of_order=valid[c.ORDER], kind=kind, ms=valid[c.TIME_MS]).distinct()
    basket = ["of_user", "of_order", "kind"]
    spans = lines.group_by(basket).agg(first=lines.ms.min(), last=lines.ms.max())
    spread = spans.filter(spans["first"] < spans["last"])
    lines = lines.inner_join(spread.select(*basket, "first"), basket)
    times = lines.group_by("of_user", "ms").agg(earliest=lines["first"].min())
    lines = lines.inner_join(times, ["of_user", "ms"])
    again = lines.group_by(basket).agg(again=lines.earliest.min())
    lines = lines.inner_join(again, basket)
    times = lines.group_by("of_user", "ms").agg(earliest=lines.again.min())
    joined = events.left_join(times, (events[c.USER] == times.of_user) & (events[c.TIME_MS] == times.ms))
    return joined.mutate(anchor=ibis.coalesce(joined.earliest, joined[c.TIME_MS])).drop("of_user", "ms", "earliest")
