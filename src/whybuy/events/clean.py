"""Cleaning: which rows are events, as one Ibis expression over the mapped table.

``clean`` is the composition of two steps that the reader runs apart because they differ in reach. :func:`judge_rows`
looks at one row at a time and can see the whole log in passing; :func:`judge_users` looks at all rows of some users and
sees a shard's worth. Every rule is absolute and readable (a threshold of the config, never a quantile), a row has one
reason, the first that applies, and no row is dropped here: the caller divides kept, merged and set aside.

Near-duplicate means the same user, action and item within the config's time of the event before, and nothing wider. It
is narrower where more is known: events differ when their query, campaign, arm, slot or order differ, those without an
item when their category does, and bought or returned lines when their price or quantity does, so that searches and
lines of a basket are not merged away.
"""

from dataclasses import dataclass

import ibis
import ibis.expr.types as ir

from whybuy import columns as c
from whybuy.config import CleanConfig, Config, duration_ms
from whybuy.events.quality import impossible
from whybuy.events.sessions import number_moments

DUPLICATE = "is_duplicate"
"""Column of the cleaned table: the event is merged into the one before it."""
KEPT = "is_kept"
"""Column of the cleaned table: the row is an event of the log."""

NO_USER = "no user id"
NO_ACTION = "unknown action"
NO_TIME = "no readable time"
IMPOSSIBLE = {name: impossible(name) for name in (c.PRICE, c.QUANTITY, c.RATING, c.PROPENSITY, c.SLOT)}
MAX_PRICE = 1e10
MAX_QUANTITY = 1e7
_MAX_SLOT = 2**31 - 1
_MINUTE_MS, _DAY_MS = 60_000, 86_400_000
_IDENTITY = (c.USER, c.ACTION, c.ITEM, c.QUERY, c.ORDER, c.CAMPAIGN, c.ARM)
_PLACE = (c.TIME_MS, c.SOURCE, c.ROW)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What makes a row an event; times in milliseconds.

    Attributes
    ----------
    earliest_ms, latest_ms : the plausible span; None where positions stand for times
    too_early, too_late : the reasons of times outside it
    near_ms : events this near to the one before are merged
    gap_ms : a longer pause starts a session; None where positions stand for times
    max_per_minute, max_per_day : a user with more events is a suspected bot; None switches the rule off
    test_accounts : users whose id matches are set aside; empty switches the rule off
    """

    earliest_ms: int | None
    latest_ms: int | None
    too_early: str = "time too early"
    too_late: str = "time too late"
    near_ms: int = 1_000
    gap_ms: int | None = 1_800_000
    max_per_minute: int | None = None
    max_per_day: int | None = None
    test_accounts: str = ""

    @classmethod
    def of(cls, config: Config) -> "Rules":
        """Return the rules of a config."""
        rules: CleanConfig = config.clean
        has_bots = rules.bots and config.has_times
        latest = rules.latest
        return cls(
            earliest_ms=config.earliest_ms() if config.has_times else None,
            latest_ms=config.latest_ms() if config.has_times else None,
            too_early=f"time before {rules.earliest}",
            too_late=f"time after {latest}" if latest else "time in the future",
            near_ms=duration_ms(rules.near_duplicate) if config.has_times else 0,
            gap_ms=duration_ms(rules.session_gap) if config.has_times else None,
            max_per_minute=rules.bot_events_per_minute if has_bots else None,
            max_per_day=rules.bot_events_per_day if has_bots else None,
            test_accounts=rules.test_accounts,
        )


def clean(mapped: ir.Table, rules: Rules) -> ir.Table:
    """Return the mapped table with reason, duplicate, kept, moment and session; the same on every engine of Ibis.

    Parameters
    ----------
    mapped : the contract's columns (those the log has) with ``ts_ms``, ``source``, ``source_row`` and ``reason``
    """
    return judge_users(judge_rows(mapped, rules), rules)


def judge_rows(mapped: ir.Table, rules: Rules) -> ir.Table:
    """Return ``mapped`` with a reason for every row that cannot be an event by itself.

    A purchase of a negative quantity is a return of so many; slots become int32.
    """
    table = _returns(mapped)
    cases: list[tuple[ir.BooleanValue, ir.Value]] = [
        (table[c.REASON].notnull(), table[c.REASON]),
        # Only an id that begins with a blank is trimmed to see whether it is all blank.
        (table[c.USER].isnull() | ((table[c.USER] < "!") & (table[c.USER].strip() == "")), ibis.literal(NO_USER)),
        (table[c.ACTION].isnull(), ibis.literal(NO_ACTION)),
        (table[c.TIME_MS].isnull(), ibis.literal(NO_TIME)),
    ]
    if rules.earliest_ms is not None and rules.latest_ms is not None:
        cases += [
            (table[c.TIME_MS] < rules.earliest_ms, ibis.literal(rules.too_early)),
            (table[c.TIME_MS] > rules.latest_ms, ibis.literal(rules.too_late)),
        ]
    cases += [(bad, ibis.literal(IMPOSSIBLE[name])) for name, bad in _impossible(table).items()]
    judged = table.mutate(**{c.REASON: ibis.cases(*cases, else_=ibis.null("string"))})
    if c.SLOT not in judged.columns:
        return judged
    slot = ibis.ifelse(judged[c.REASON].isnull(), judged[c.SLOT], ibis.null("float64")).cast("int32")
    return judged.mutate(**{c.SLOT: slot})


def _returns(mapped: ir.Table) -> ir.Table:
    if c.QUANTITY not in mapped.columns:
        return mapped
    is_negative = mapped[c.QUANTITY] < 0
    action = ibis.ifelse((mapped[c.ACTION] == "purchase") & is_negative, "return", mapped[c.ACTION])
    is_return = _is_basket(mapped) & is_negative
    return mapped.mutate(
        **{c.ACTION: action, c.QUANTITY: ibis.ifelse(is_return, -mapped[c.QUANTITY], mapped[c.QUANTITY])}
    )


def _is_basket(table: ir.Table) -> ir.BooleanValue:
    return (table[c.ACTION] == "purchase") | (table[c.ACTION] == "return")


def _impossible(table: ir.Table) -> dict[str, ir.BooleanValue]:
    """Return for each number that the table has when it is impossible; NaN, which lies in no range, is."""
    bad: dict[str, ir.BooleanValue] = {}
    if c.PRICE in table.columns:
        bad[c.PRICE] = ~table[c.PRICE].between(0, MAX_PRICE)
    if c.QUANTITY in table.columns:
        nothing = (table[c.QUANTITY] == 0) & _is_basket(table)
        bad[c.QUANTITY] = ~table[c.QUANTITY].between(0, MAX_QUANTITY) | nothing
    if c.RATING in table.columns:
        bad[c.RATING] = ~table[c.RATING].between(1, 5)
    if c.PROPENSITY in table.columns:
        bad[c.PROPENSITY] = ~((table[c.PROPENSITY] > 0) & (table[c.PROPENSITY] <= 1))
    if c.SLOT in table.columns:
        bad[c.SLOT] = ~table[c.SLOT].between(0, _MAX_SLOT) | (table[c.SLOT] != table[c.SLOT].floor())
    return bad


def judge_users(judged: ir.Table, rules: Rules) -> ir.Table:
    """Return all rows of some users with bots and test accounts, duplicates, moments and sessions marked."""
    events = _mark_suspects(_mark_duplicates(judged, rules), judged, rules)
    is_event = events[c.REASON].isnull()
    events = events.mutate(**{DUPLICATE: events[DUPLICATE] & is_event, KEPT: ~events[DUPLICATE] & is_event})
    return number_moments(events, kept=KEPT, gap_ms=rules.gap_ms)


def _mark_suspects(events: ir.Table, judged: ir.Table, rules: Rules) -> ir.Table:
    """Give the rows of suspected bots and of test accounts in ``judged`` their reason in ``events``."""
    valid = judged.filter(judged[c.REASON].isnull())
    users = valid.group_by(c.USER).agg(n=valid.count())
    limits = [(rules.max_per_minute, _MINUTE_MS, "minute"), (rules.max_per_day, _DAY_MS, "day")]
    found = []
    for limit, width, span in limits:
        if limit is not None:
            # Only users with so many events at all can have them within the span.
            busy = valid.semi_join(users.filter(users.n > limit), c.USER)
            counts = busy.group_by(**{c.USER: busy[c.USER], "span": busy[c.TIME_MS] // width}).agg(n=_acts(busy))
            found.append(
                _suspects(counts.filter(counts.n > limit), f"suspected bot: over {limit:,} events in a {span}")
            )
    if rules.test_accounts:
        found.append(_suspects(users.filter(users[c.USER].re_search(rules.test_accounts)), "test account"))
    if not found:
        return events
    every = found[0] if len(found) == 1 else ibis.union(*found)
    suspects = every.group_by("suspect").agg(suspicion=every.suspicion.min())
    joined = events.left_join(suspects, events[c.USER] == suspects.suspect)
    told = ibis.coalesce(joined[c.REASON], joined.suspicion)
    return joined.mutate(**{c.REASON: told}).drop("suspect", "suspicion")


def _acts(events: ir.Table) -> ir.IntegerScalar:
    """Return how many events there are, the lines of one order counted once: a large basket makes no bot."""
    if c.ORDER not in events.columns:
        return events.count()
    return events[c.ORDER].isnull().sum() + events[c.ORDER].nunique()


def _suspects(users: ir.Table, suspicion: str) -> ir.Table:
    return users.select(suspect=users[c.USER], suspicion=ibis.literal(suspicion))


def _mark_duplicates(events: ir.Table, rules: Rules) -> ir.Table:
    """Mark every event that follows one of the same identity within ``near_ms``.

    Only what was done twice is compared, and only by what makes its identity: few rows and few columns are sorted.
    """
    valid = events.filter(events[c.REASON].isnull())
    narrow = valid.select(**_identity(valid), **{name: valid[name] for name in _PLACE})
    identity = [name for name in narrow.columns if name not in _PLACE]
    counts = narrow.group_by(identity).agg(n=narrow.count())
    twice = narrow.semi_join(counts.filter(counts.n > 1).select(identity), identity)
    twice = twice.mutate(before=twice[c.TIME_MS].lag().over(group_by=identity, order_by=list(_PLACE)))
    near = twice.filter(twice[c.TIME_MS] - twice.before <= rules.near_ms)
    merged = near.select(of_source=near[c.SOURCE], of_row=near[c.ROW])
    joined = events.left_join(merged, (events[c.SOURCE] == merged.of_source) & (events[c.ROW] == merged.of_row))
    return joined.mutate(**{DUPLICATE: joined.of_row.notnull()}).drop("of_source", "of_row")


def _identity(events: ir.Table) -> dict[str, ir.Value]:
    """Return what two events that are one have in common; null is written as empty text or -1, to be comparable."""
    found = {f"of_{name}": events[name].fill_null("") for name in _IDENTITY if name in events.columns}
    if c.SLOT in events.columns:
        found[f"of_{c.SLOT}"] = events[c.SLOT].fill_null(-1)
    if c.CATEGORY in events.columns:
        has_item = events[c.ITEM].notnull() if c.ITEM in events.columns else ibis.literal(value=False)
        found[f"of_{c.CATEGORY}"] = ibis.ifelse(has_item, "", events[c.CATEGORY].fill_null(""))
    is_basket = _is_basket(events)
    for name in (c.PRICE, c.QUANTITY):
        if name in events.columns:
            found[f"of_{name}"] = ibis.ifelse(is_basket, events[name].fill_null(-1), -1.0)
    return found
