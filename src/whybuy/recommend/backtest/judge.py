"""How likely each policy shows what was shown, in the user's state just before."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import duckdb
import numpy as np

from whybuy.causal.clusters import Float64, Ints
from whybuy.events.log import EventLog
from whybuy.progress import Report
from whybuy.recommend.backtest.learn import Learned
from whybuy.recommend.backtest.slates import Reading, Survey, load_feedback, load_slates
from whybuy.recommend.backtest.softened import drawn_given_slate, shown_by_rank
from whybuy.recommend.personal.acts import Acts
from whybuy.recommend.personal.learn import Known, PersonalLifts
from whybuy.recommend.store import sql_in
from whybuy.recommend.terms import CART_ACTIONS, HAD_ACTIONS, TOUCH_ACTIONS, VIEW_ACTIONS

THIS, POPULAR, BY_P_BUY, RANDOM = "this policy", "popular", "by P(buy)", "random"
POLICIES = (THIS, BY_P_BUY, POPULAR, RANDOM)
_CELLS_AT_ONCE = 4_000_000
"""Places of items held at once: 32 MB."""
_LIFTS_AT_ONCE = 400_000
"""Lifts asked for at once, with what is known of every pair: 200 MB."""


@dataclass(frozen=True, eq=False)
class Judged:
    """The rows that policies are judged on, one per item shown.

    Attributes
    ----------
    user, item : (n,) numbers, users within their shard
    reward : (n,) 1 or 0
    propensity : (n,) what a reward is divided by, see :func:`drawn_given_slate`
    policies : by name, (n,) probability that a slot drawn at random holds the item
    n_before : rows whose item was bought within the horizon before, and not after
    n_later : rows that stand alone in a slot after the first
    """

    user: Ints
    item: Ints
    reward: Float64
    propensity: Float64
    policies: dict[str, Float64]
    n_before: int
    n_later: int

    @classmethod
    def joined(cls, parts: Sequence["Judged"]) -> "Judged":
        """Return the rows of several shards as those of one."""
        first_user = np.cumsum([0, *(int(part.user.max(initial=-1)) + 1 for part in parts)])
        return cls(
            user=np.concatenate([first + part.user for first, part in zip(first_user, parts, strict=False)]),
            item=np.concatenate([part.item for part in parts]),
            reward=np.concatenate([part.reward for part in parts]),
            propensity=np.concatenate([part.propensity for part in parts]),
            policies={name: np.concatenate([part.policies[name] for part in parts]) for name in POLICIES},
            n_before=sum(part.n_before for part in parts),
            n_later=sum(part.n_later for part in parts),
        )


def judge(
    con: duckdb.DuckDBPyConnection,
    log: EventLog,
    learned: Learned,
    surveyed: Survey,
    *,
    from_ms: int,
    report: Report,
) -> Judged:
    """Return the rows that were shown from ``from_ms`` on, shard by shard."""
    parts = []
    for done, shard in enumerate(log.shards):
        load_feedback(con, shard, surveyed.reading)
        parts.append(_judge_shard(con, learned, surveyed, from_ms))
        report("evaluate: the later part", done + 1, len(log.shards))
    return Judged.joined(parts)


def _judge_shard(con: duckdb.DuckDBPyConnection, learned: Learned, surveyed: Survey, from_ms: int) -> Judged:
    reading = surveyed.reading
    load_slates(con, reading)
    con.execute(_ROUNDS.format(from_ms=from_ms))
    _load_known(con, reading)
    rows = {name: np.asarray(values) for name, values in con.execute(_rows(reading)).fetchnumpy().items()}
    item, length = rows["item"].astype(np.int64), rows["n"].astype(float)
    policies = {name: np.empty(len(item)) for name in POLICIES}
    for shelf, at in _by_shelf(surveyed.shelf[item]):
        items = np.flatnonzero((surveyed.shelf == shelf) & (surveyed.last_ms >= from_ms))
        policies[RANDOM][at] = 1 / len(items)
        ranks = _ranks(con, learned, items, rows["round"][at].astype(np.int64), item[at])
        for name, rank in ranks.items():
            policies[name][at] = _probabilities(len(items), length[at].astype(np.int64), rank)
    return Judged(
        user=rows["u"].astype(np.int64),
        item=item,
        reward=rows["reward"].astype(float),
        propensity=drawn_given_slate(rows["p"].astype(float), rows["place"].astype(float), length),
        policies=policies,
        n_before=int(rows["before"].sum()),
        n_later=int(rows["is_later"].sum()),
    )


_ROUNDS = """
    CREATE OR REPLACE TEMP TABLE rounds AS
    SELECT row_number() OVER (ORDER BY u, t) - 1 AS round, u, t, n FROM slates WHERE defect IS NULL AND t >= {from_ms}
"""


def _rows(reading: Reading) -> str:
    """SQL of the rows by round and slot, with their rewards: purchases strictly after showing."""
    near = f"abs(b.t - s.t) <= {reading.horizon_ms}"
    first = "NULL" if reading.first_slot is None else str(reading.first_slot)
    return f"""
        WITH bought AS (SELECT DISTINCT u, item, t FROM ev WHERE action = 'purchase' AND item IS NOT NULL),
        told AS (
            SELECT s.u, s.t, s.item, bool_or(b.t > s.t) AS after, bool_or(b.t <= s.t) AS before
            FROM shown s JOIN bought b ON b.u = s.u AND b.item = s.item AND {near} GROUP BY s.u, s.t, s.item
        )
        SELECT round, u, item, p, n, row_number() OVER (PARTITION BY round ORDER BY slot) AS place,
               coalesce(after, false) AS reward, coalesce(before AND NOT after, false) AS before,
               coalesce(n = 1 AND slot > {first}, false) AS is_later
        FROM rounds JOIN shown USING (u, t) LEFT JOIN told USING (u, t, item) ORDER BY round, place
    """


def _by_shelf(shelf: Ints) -> Iterator[tuple[int, Ints]]:
    """Yield every shelf with the places of its rows, in order."""
    order = np.argsort(shelf, kind="stable")
    for part in np.split(order, np.flatnonzero(np.diff(shelf[order])) + 1):
        if len(part):
            yield int(shelf[part[0]]), part


def _ranks(con: duckdb.DuckDBPyConnection, learned: Learned, items: Ints, rounds: Ints, item: Ints) -> dict[str, Ints]:
    """Return, by policy, (n,) the rank from 1 of the shown item among ``items`` in its round.

    Parameters
    ----------
    items : sorted; rounds : (n,) in ascending order
    """
    popular = np.empty(len(items), np.int64)
    popular[np.argsort(learned.popular[items])] = np.arange(1, len(items) + 1)
    column = np.searchsorted(items, item)
    found = {POPULAR: popular[column], THIS: np.empty(len(item), np.int64), BY_P_BUY: np.empty(len(item), np.int64)}
    every = np.unique(rounds)
    cells = _CELLS_AT_ONCE if learned.personal is None else _LIFTS_AT_ONCE
    size = max(1, cells // len(items))
    did = None if learned.personal is None else learned.personal.known(Acts.of(con))
    for first in range(0, len(every), size):
        block = every[first : first + size]
        at = slice(*np.searchsorted(rounds, [block[0], block[-1] + 1]))
        row = np.searchsorted(block, rounds[at])
        known = _known(con, items, block, learned)
        for name, places in _places(con, learned, did, items, block, known).items():
            own = places[row, column[at]]
            ahead = np.concatenate([(places[r] < own[i, None]).sum(axis=1) for i, r in _parts(row, len(items))])
            found[name][at] = 1 + ahead
    return found


def _places(
    con: duckdb.DuckDBPyConnection, learned: Learned, did: Known | None, items: Ints, block: Ints, known: "_Known"
) -> dict[str, Float64]:
    """Return, by learned policy, (n_rounds, n_items) numbers by which items stand in line, the least first."""
    found = {}
    for name, line in ((THIS, learned.by_lift), (BY_P_BUY, learned.by_p_buy)):
        places = np.broadcast_to(line[items, 0, 0], (len(block), len(items))).astype(float)
        places[known.row, known.column] = line[items[known.column], known.state, known.last]
        found[name] = places
    if learned.personal is None or did is None:
        return found
    lift, p_buy = _by_person(con, learned.personal, did, items, block)
    shown = learned.personal.model.n_shown[items] > 0
    gain = lift * learned.worth[items]
    last = np.zeros(lift.shape, bool)
    last[known.row, known.column] = known.last == 1
    # A chance lies within one of zero: items without a lift come after it in their own line, just bought ones last.
    for name, score in ((THIS, gain), (BY_P_BUY, p_buy)):
        found[name] = np.where(shown & ~np.isnan(score), -score, 2 + found[name]) + np.where(
            last, 2.0 * found[name].max() + 4, 0.0
        )
    return found


def _by_person(
    con: duckdb.DuckDBPyConnection, personal: PersonalLifts, did: Known, items: Ints, block: Ints
) -> tuple[Float64, Float64]:
    """Return the lift and P(buy | shown) of every item in every round, (n_rounds, n_items) each."""
    found = con.execute(
        "SELECT round, u, t FROM rounds WHERE round BETWEEN $first AND $last ORDER BY round",
        {"first": int(block[0]), "last": int(block[-1])},
    ).fetchnumpy()
    at = np.isin(found["round"], block)
    user, ts = (np.repeat(np.asarray(found[name], np.int64)[at], len(items)) for name in ("u", "t"))
    lifts = personal.of(did, user, np.tile(items, len(block)), ts, intervals=False)
    return lifts.lift.reshape(-1, len(items)), lifts.p_shown.reshape(-1, len(items))


def _parts(row: Ints, width: int) -> Iterator[tuple[slice, Ints]]:
    """Yield the rows in parts whose places fit into memory."""
    size = max(1, _CELLS_AT_ONCE // width)
    for first in range(0, len(row), size):
        part = slice(first, first + size)
        yield part, row[part]


@dataclass(frozen=True, eq=False)
class _Known:
    """What users had done with items before their rounds, (n,) each; other pairs are in state 0, not just bought."""

    row: Ints
    column: Ints
    state: Ints
    last: Ints


def _known(con: duckdb.DuckDBPyConnection, items: Ints, block: Ints, learned: Learned) -> _Known:
    found = con.execute(
        "SELECT round, item, state, just_bought FROM known WHERE round BETWEEN $first AND $last",
        {"first": int(block[0]), "last": int(block[-1])},
    ).fetchnumpy()
    round_, item = np.asarray(found["round"], np.int64), np.asarray(found["item"], np.int64)
    keep = np.isin(round_, block) & np.isin(item, items)
    round_, item = round_[keep], item[keep]
    just_bought = np.asarray(found["just_bought"], bool)[keep]
    return _Known(
        row=np.searchsorted(block, round_),
        column=np.searchsorted(items, item),
        state=np.asarray(found["state"], np.int64)[keep],
        last=(just_bought & ~learned.repeated[item]).astype(np.int64),
    )


def _load_known(con: duckdb.DuckDBPyConnection, reading: Reading) -> None:
    """Make ``known`` (round, item, state, just_bought): as ``load_touched``, "now" being the round's own time."""
    recent = f"e.t >= r.t - {reading.lookback_ms}"
    con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE known AS
        SELECT round, item,
               CASE WHEN bool_or(action = 'purchase') THEN 3
                    WHEN bool_or(action IN {sql_in(CART_ACTIONS)} AND {recent}) THEN 2
                    WHEN bool_or(action IN {sql_in(VIEW_ACTIONS)} AND {recent}) THEN 1 ELSE 0 END AS state,
               bool_or(action = 'purchase' AND e.t >= r.t - {reading.horizon_ms}
                       OR action IN {sql_in(HAD_ACTIONS)}) AS just_bought
        FROM rounds r JOIN ev e ON e.u = r.u AND e.t < r.t
        WHERE item IS NOT NULL AND action IN {sql_in(TOUCH_ACTIONS)} GROUP BY round, item
        """
    )


def _probabilities(n_items: int, length: Ints, rank: Ints) -> Float64:
    """Return (n,) the probability that a slot drawn at random of a slate of ``length`` holds the item of ``rank``."""
    found = np.empty(len(rank))
    for n_slots in np.unique(length):
        at = length == n_slots
        found[at] = shown_by_rank(n_items, int(n_slots))[rank[at] - 1]
    return found
