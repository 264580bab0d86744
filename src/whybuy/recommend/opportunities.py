"""The opportunities of every item in one shard, counted by the user's state, without writing the pairs out.

An opportunity is a moment at which the user looked at something of the item's pool (its category), or a slot of a
slate in the impression basis. For item i it is *shown* where the item was i, *not shown* where it was another one.
Left out are slates that hold i at another place, exposures of i without a usable probability, and moments at which i
itself is bought (the control's own purchase would not be counted). The outcome is a purchase of i in (t, t +
horizon].

Users x items x moments cannot be written out, but what matters of (user, item) is constant between a few times: the
state changes when an event of the user on the item happens or leaves the lookback, the outcome changes at a purchase
and one horizon before it. So the line of time of each (user, item) with an event is cut into pieces at those times,
and the opportunities in a piece are a difference of two running counts. The work is O(events log events). Users
without an event on the item are in the state "none" all the time; their opportunities are those of the pool, and need
no row (:class:`ShardCells`).
"""

from dataclasses import dataclass

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from whybuy.recommend.store import FIRST_SHOWN, sql_in
from whybuy.recommend.terms import CART_ACTIONS, EXPOSED_ACTIONS, VIEW_ACTIONS, Terms

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

LEVELS = ("quiet", "active", "busy")
_LEVEL_EDGES = (1, 4)  # looks at the pool within the lookback: none, 1 to 3, 4 and more
_N_STATES = 4
_VIEWED, _CARTED, _BOUGHT, _OUTCOME, _LEFT_OUT, _SHOWN = range(6)


@dataclass(frozen=True)
class Touches:
    """Distinct (user, item, time) of some actions; ``weight`` is 1 / probability of an exposure, NaN where unusable."""

    user: Ints
    item: Ints
    ts: Ints
    weight: Floats


@dataclass(frozen=True)
class ShardCells:
    """The sums of one shard.

    Attributes
    ----------
    cells : per (u, item, state, level): n1, w1, y1 = shown opportunities, their weights, weighted outcomes;
        n0, y0 = not shown; n_all = opportunities of any kind, left out ones included
    pools : per (u, pool, level): n = opportunities
    """

    cells: pa.Table
    pools: pa.Table


def shard_cells(con: duckdb.DuckDBPyConnection, item_pool: Ints, terms: Terms) -> ShardCells:
    """Return the cells of the events in the table ``ev``; ``item_pool`` (n_items,) is each item's pool."""
    by_view = terms.basis == "view"
    pools = item_pool if by_view else np.zeros_like(item_pool)
    looks = _touches(con, VIEW_ACTIONS)
    shown = _touches(con, EXPOSED_ACTIONS) if by_view else _impressions(con)
    line = _Line.of(shown, looks, pools, terms)
    pieces = _Pieces.of(
        {
            _VIEWED: looks,
            _CARTED: _touches(con, CART_ACTIONS),
            _BOUGHT: _touches(con, ("purchase",)),
            _SHOWN: shown,
        },
        line,
        pools,
        terms,
    )
    return ShardCells(cells=pieces.cells(line), pools=line.pool_rows())


def _touches(con: duckdb.DuckDBPyConnection, actions: tuple[str, ...]) -> Touches:
    query = f"""SELECT DISTINCT u, item, t, 1.0::DOUBLE AS w FROM ev
                WHERE action IN {sql_in(actions)} AND item IS NOT NULL ORDER BY u, item, t"""
    return _fetch(con, query)


def _impressions(con: duckdb.DuckDBPyConnection) -> Touches:
    """Each item of a slate once, at its first slot, weighted by that slot's probability."""
    query = f"""SELECT u, item, t, CASE WHEN p > 0 AND p <= 1 THEN 1 / p ELSE 'NaN'::DOUBLE END AS w
                FROM ({FIRST_SHOWN}) ORDER BY u, item, t"""
    return _fetch(con, query)


def _fetch(con: duckdb.DuckDBPyConnection, query: str) -> Touches:
    found = con.execute(query).fetchnumpy()
    user, item, ts = (np.asarray(found[name], np.int64) for name in ("u", "item", "t"))
    return Touches(user=user, item=item, ts=ts, weight=np.asarray(found["w"], np.float64))


@dataclass(frozen=True)
class _Line:
    """The eligible opportunities of the shard on one sorted line of keys (user and pool, then time).

    Attributes
    ----------
    groups : sorted distinct user * n_pools + pool
    key : (n,) sorted; group index * span + time since origin
    running : (n_levels, n + 1) opportunities before each place, by level
    group, level, slots : (n,)
    """

    groups: Ints
    key: Ints
    running: Ints
    group: Ints
    level: Ints
    slots: Ints
    span: int
    origin: int
    n_pools: int

    @classmethod
    def of(cls, shown: Touches, looks: Touches, pools: Ints, terms: Terms) -> "_Line":
        n_pools = int(pools.max(initial=0)) + 1
        times = np.concatenate([shown.ts, looks.ts, [terms.start_ms]])
        reach = terms.lookback_ms + terms.horizon_ms + 2
        origin = int(times.min()) - reach
        span = int(times.max()) - origin + reach
        group_of = shown.user * n_pools + pools[shown.item]
        groups = np.unique(group_of)
        keys = np.searchsorted(groups, group_of) * span + (shown.ts - origin)
        key, n_items = np.unique(keys, return_counts=True)
        level = _level(key, _look_keys(looks, pools, groups, (n_pools, span, origin)), terms.lookback_ms)
        ts = key % span + origin
        keep = (ts >= terms.start_ms + terms.lookback_ms) & (ts + terms.horizon_ms <= terms.end_ms)
        key, level = key[keep], level[keep]
        # A moment of looking is one decision however many items it shows; a slate has as many opportunities as slots.
        slots = np.ones_like(key) if terms.basis == "view" else n_items[keep].astype(np.int64)
        running = np.zeros((len(LEVELS), len(key) + 1), np.int64)
        for one in range(len(LEVELS)):
            np.cumsum(np.where(level == one, slots, 0), out=running[one, 1:])
        return cls(groups, key, running, key // span, level, slots, span, origin, n_pools)

    def pool_rows(self) -> pa.Table:
        """Return the opportunities of each (u, pool, level)."""
        cell, where = np.unique(self.group * len(LEVELS) + self.level, return_inverse=True)
        group = self.groups[cell // len(LEVELS)] if len(cell) else cell
        return pa.table(
            {
                "u": (group // self.n_pools).astype(np.int32),
                "pool": (group % self.n_pools).astype(np.int32),
                "level": (cell % len(LEVELS)).astype(np.int8),
                "n": np.bincount(where, self.slots, len(cell)),
            }
        )


def _look_keys(looks: Touches, pools: Ints, groups: Ints, scale: tuple[int, int, int]) -> Ints:
    """Return the sorted keys of the distinct times at which a user looked at something of a pool."""
    n_pools, span, origin = scale
    group_of = looks.user * n_pools + pools[looks.item]
    place = np.searchsorted(groups, group_of)
    known = np.isin(group_of, groups)
    return np.unique(place[known] * span + (looks.ts[known] - origin))


def _level(key: Ints, look_keys: Ints, lookback_ms: int) -> Ints:
    """Return how busy the user was in the pool within the lookback strictly before each opportunity."""
    looks = np.searchsorted(look_keys, key) - np.searchsorted(look_keys, key - lookback_ms)
    return np.searchsorted(np.array(_LEVEL_EDGES), looks, side="right").astype(np.int64)


@dataclass(frozen=True)
class _Pieces:
    """The line of time of every (user, item) with an event, cut where something about the pair changes.

    Attributes
    ----------
    user, item : (n_pairs,)
    pair, start : (n_pieces,) a piece runs from ``start`` to the next piece's start; the last one of a pair is empty
    on : (n_pieces, 6) how many spans of each kind cover the piece
    weight : (n_pieces,) 1 / probability of the exposure at a shown piece
    """

    user: Ints
    item: Ints
    group: Ints
    pair: Ints
    start: Ints
    on: npt.NDArray[np.int32]
    weight: Floats

    @classmethod
    def of(cls, touches: dict[int, Touches], line: _Line, pools: Ints, terms: Terms) -> "_Pieces":
        n_items = len(pools)
        known = {kind: _in_groups(one, line, pools) for kind, one in touches.items()}
        pair_keys = np.unique(np.concatenate([one.user * n_items + one.item for one in known.values()]))
        user, item = pair_keys // n_items, pair_keys % n_items
        end = line.span - 1
        pair, time, kind, sign, weight = _spans(known, pair_keys, (n_items, line.origin, end), terms)
        place = pair * line.span + time
        order = np.argsort(place, kind="stable")
        starts = np.flatnonzero(np.diff(place[order], prepend=-1))
        changes = np.zeros((len(place), 6), np.int32)
        changes[np.arange(len(place)), kind] = sign
        on = np.cumsum(np.add.reduceat(changes[order], starts), axis=0) if len(starts) else changes
        heaviest = np.maximum.reduceat(weight[order], starts) if len(starts) else weight
        first = order[starts]
        group = np.searchsorted(line.groups, user * line.n_pools + pools[item])
        return cls(user, item, group, pair[first], time[first], on, heaviest)

    def cells(self, line: _Line) -> pa.Table:
        """Return the sums of each (u, item, state, level)."""
        at = np.searchsorted(line.key, self.group[self.pair] * line.span + self.start)
        same = np.append(self.pair[1:] == self.pair[:-1], [False]) if len(self.pair) else np.empty(0, bool)
        until = np.where(same, np.append(at[1:], at[-1:]), at)
        state = np.select([self.on[:, k] > 0 for k in (_BOUGHT, _CARTED, _VIEWED)], [3, 2, 1], default=0)
        rows, level = np.nonzero((line.running[:, until] > line.running[:, at]).T)
        count = (line.running[level, until[rows]] - line.running[level, at[rows]]).astype(np.float64)
        out = self.on[rows, _LEFT_OUT] > 0
        shown = (self.on[rows, _SHOWN] > 0) & ~out
        control = ~shown & ~out
        bought = self.on[rows, _OUTCOME] > 0
        weight = np.where(shown, self.weight[rows], 0.0)
        key = (self.pair[rows] * _N_STATES + state[rows]) * len(LEVELS) + level
        cell, where = np.unique(key, return_inverse=True)
        pair = cell // (_N_STATES * len(LEVELS))

        def total(values: npt.NDArray[np.generic]) -> Floats:
            summed: Floats = np.bincount(where, values.astype(np.float64), len(cell)).astype(np.float64)
            return summed

        return pa.table(
            {
                "u": self.user[pair].astype(np.int32),
                "item": self.item[pair].astype(np.int32),
                "state": (cell // len(LEVELS) % _N_STATES).astype(np.int8),
                "level": (cell % len(LEVELS)).astype(np.int8),
                "n1": total(shown),
                "w1": total(weight),
                "y1": total(weight * bought),
                "n0": total(count * control),
                "y0": total(count * (control & bought)),
                "n_all": total(count),
            }
        )


def _in_groups(one: Touches, line: _Line, pools: Ints) -> Touches:
    """Drop the touches of users who never had an opportunity in the item's pool."""
    known = np.isin(one.user * line.n_pools + pools[one.item], line.groups)
    return Touches(user=one.user[known], item=one.item[known], ts=one.ts[known], weight=one.weight[known])


def _spans(
    touches: dict[int, Touches], pair_keys: Ints, scale: tuple[int, int, int], terms: Terms
) -> tuple[Ints, Ints, Ints, Ints, Floats]:
    """Return the changes (pair, time, kind, +1 or -1, weight) of all spans, and the ends of every pair's line."""
    n_items, origin, end = scale
    lookback, horizon = terms.lookback_ms, terms.horizon_ms
    n_pairs = len(pair_keys)
    # Every pair's line has a start and an end of its own, so that its pieces cover all of the user's opportunities.
    rows = [(np.arange(n_pairs), np.full(n_pairs, place), _SHOWN, 0, np.zeros(n_pairs)) for place in (0, end)]

    def add(one: Touches, kind: int, span: tuple[int, int | None], keep: npt.NDArray[np.bool_] | None = None) -> None:
        chosen = slice(None) if keep is None else keep
        pair = np.searchsorted(pair_keys, one.user[chosen] * n_items + one.item[chosen])
        ts, weight = one.ts[chosen] - origin, one.weight[chosen]
        after = np.full(len(ts), end) if span[1] is None else np.clip(ts + span[1], 0, end)
        rows.append((pair, np.clip(ts + span[0], 0, end), kind, 1, weight if kind == _SHOWN else np.zeros(len(ts))))
        rows.append((pair, after, kind, -1, np.zeros(len(ts))))

    shown = touches[_SHOWN]
    usable = np.isfinite(shown.weight)
    add(shown, _SHOWN, (0, 1), usable)
    add(shown, _LEFT_OUT, (0, 1), ~usable)
    add(touches[_VIEWED], _VIEWED, (1, lookback + 1))
    add(touches[_CARTED], _CARTED, (1, lookback + 1))
    add(touches[_BOUGHT], _BOUGHT, (1, None))
    add(touches[_BOUGHT], _OUTCOME, (-horizon, 0))
    add(touches[_BOUGHT], _LEFT_OUT, (0, 1))
    size = [len(row[0]) for row in rows]
    return (
        np.concatenate([row[0] for row in rows]),
        np.concatenate([row[1] for row in rows]),
        np.repeat([row[2] for row in rows], size),
        np.repeat([row[3] for row in rows], size),
        np.concatenate([row[4] for row in rows]),
    )
