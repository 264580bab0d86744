"""The trials of showing: every slate of a shard with the items it showed and those that it did not.

A trial is an opportunity (a slate: one user at one moment) with a candidate item. It is *treated* where the slate held
the item. A candidate is an item that was on show somewhere by then. The outcome is a purchase of the item in
(t, t + horizon]. Trials whose item is bought at that very moment are left out, and so are slates without complete
follow-up.

A catalog times all slates cannot be written out, and need not be: of the candidates that were not shown, all that were
bought are kept, and of the others a few drawn at random, each standing for many (``weight``). Sums over the rows are
right whatever is drawn, and nearly all that the log knows of what sells unshown is in the few that were bought
(Prentice, A case-cohort design, Biometrika, 1986).

The logged probability p is that of the item in its slot, and no log holds it for what was not shown. That a slate of k
items holds the item is taken to be 1 - (1 - p)^k, as if all slots were filled like the one it was in.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt

from whybuy.recommend.store import FIRST_SHOWN
from whybuy.recommend.terms import Terms

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

CONTROLS_PER_SLATE = 10
QUIET_PER_USER = 25


@dataclass(frozen=True)
class Opportunities:
    """Trials of showing, one row each.

    Attributes
    ----------
    user, item, ts : (n,) the user's and the item's number, milliseconds
    shown : (n,) whether the slate held the item
    propensity : (n,) probability that the slate holds the item, from that of its slot as logged; NaN where not shown
    weight : (n,) how many trials the row stands for
    outcome : (n,) whether the item was bought within the horizon
    quiet : (n,) whether nothing at all was shown, then and a horizon before and after
    n_unusable : impressions without a usable probability, which are neither shown nor not shown
    """

    user: Ints
    item: Ints
    ts: Ints
    shown: Bools
    propensity: Floats
    weight: Floats
    outcome: Bools
    quiet: Bools
    n_unusable: int = 0

    @classmethod
    def asked(cls, user: Ints, item: Ints, ts: Ints) -> "Opportunities":
        """Return the opportunities (n,) to show ``item`` to ``user`` at ``ts``, of which nothing has come yet."""
        n = len(user)
        no, unknown = np.zeros(n, bool), np.full(n, np.nan)
        return cls(user, item, ts, shown=no, propensity=unknown, weight=np.ones(n), outcome=no, quiet=no)

    def __len__(self) -> int:
        """Return the number of trials."""
        return len(self.user)


def first_shown(con: duckdb.DuckDBPyConnection, n_items: int) -> Ints:
    """Return (n_items,) when each item was first shown to anybody of the table ``ev``; the largest integer if never."""
    found = con.execute(
        "SELECT item, min(t) AS t FROM ev WHERE action = 'impression' AND item IS NOT NULL GROUP BY item"
    ).fetchnumpy()
    first = np.full(n_items, np.iinfo(np.int64).max)
    first[np.asarray(found["item"], np.int64)] = np.asarray(found["t"], np.int64)
    return first


def opportunities(
    con: duckdb.DuckDBPyConnection,
    first_shown: Ints,
    terms: Terms,
    rng: np.random.Generator,
    *,
    share: float = 1.0,
) -> Opportunities:
    """Return the trials of the events in the table ``ev``.

    Parameters
    ----------
    first_shown : (n_items,) when each item was first on show anywhere, milliseconds; the largest integer if never
    share : of the slates, and of the quiet moments, that are drawn
    """
    n_items = len(first_shown)
    last, horizon = terms.end_ms - terms.horizon_ms, terms.horizon_ms
    con.execute(_SLATES.format(last=last, horizon=horizon, most=QUIET_PER_USER, share=share))
    slates, shown, bought = (
        con.execute(sql).fetchnumpy() for sql in (_EVERY_SLATE, _SHOWN, _BOUGHT.format(horizon=horizon))
    )
    user, ts = (np.asarray(slates[name], np.int64) for name in ("u", "t"))
    pair, propensity = _pairs(shown, n_items), np.asarray(shown["p"], np.float64)
    usable = np.isfinite(propensity)
    buying = _pairs(bought, n_items)
    later, at_once = buying[~np.asarray(bought["at_once"], bool)], buying[np.asarray(bought["at_once"], bool)]
    buyers = later[~np.isin(later, pair) & (first_shown[later % n_items] <= ts[later // n_items])]
    taken = np.concatenate([pair, buyers, at_once[~np.isin(at_once, pair)]])
    others, weight = _sample(taken, ts, first_shown, rng)

    kept = usable & ~np.isin(pair, at_once)
    every = np.concatenate([pair[kept], buyers, others])
    n_shown, n_controls = int(kept.sum()), len(buyers) + len(others)
    slate, item = np.divmod(every, n_items)
    return Opportunities(
        user=user[slate],
        item=item,
        ts=ts[slate],
        shown=np.arange(len(every)) < n_shown,
        propensity=np.concatenate([propensity[kept], np.full(n_controls, np.nan)]),
        weight=np.concatenate([np.ones(n_shown + len(buyers)), weight]),
        outcome=np.isin(every, later),
        quiet=np.asarray(slates["quiet"], bool)[slate],
        n_unusable=int((~usable).sum()),
    )


# Slates with complete follow-up, by number, with the items of each once, at their first slots. Between slates lie quiet
# moments, a horizon apart at the time of day of the user's first one: no slate is near, and nothing is shown.
_SLATES = f"""
    CREATE OR REPLACE TEMP TABLE shown AS
    SELECT u, t, item, CASE WHEN p > 0 AND p <= 1 THEN 1 - pow(1 - p, count(*) OVER (PARTITION BY u, t))
                            ELSE 'NaN'::DOUBLE END AS p
    FROM ({FIRST_SHOWN});
    CREATE OR REPLACE TEMP TABLE slates AS
    WITH served AS (SELECT DISTINCT u, t, false AS quiet FROM shown),
    lines AS (
        SELECT u, min(t) AS first, coalesce(min(t) FILTER (action = 'impression'), min(t)) % {{horizon}} AS phase
        FROM ev GROUP BY u
    ),
    grid AS (
        SELECT u, unnest(generate_series(first - first % {{horizon}} + phase, {{last}}, {{horizon}})) AS t FROM lines
    ),
    quiet AS (
        SELECT u, t, true AS quiet FROM grid SEMI JOIN lines ON lines.u = grid.u AND lines.first < grid.t
        ANTI JOIN served ON served.u = grid.u AND served.t BETWEEN grid.t - {{horizon}} AND grid.t + {{horizon}}
        QUALIFY row_number() OVER (PARTITION BY u ORDER BY hash(u, t)) <= {{most}}
    )
    SELECT CAST(row_number() OVER (ORDER BY u, t) - 1 AS BIGINT) AS slate, u, t, quiet
    FROM (FROM served UNION ALL FROM quiet) WHERE t <= {{last}} AND hash(u, t, 1) % 1000000 < {{share}} * 1000000
"""
_EVERY_SLATE = "SELECT slate, u, t, quiet FROM slates ORDER BY slate"
_SHOWN = "SELECT slate, item, p FROM slates JOIN shown USING (u, t) ORDER BY slate, item"
_BOUGHT = """
    SELECT s.slate, e.item, bool_or(e.t = s.t) AS at_once
    FROM slates s JOIN ev e ON e.u = s.u AND e.t BETWEEN s.t AND s.t + {horizon}
    WHERE e.action = 'purchase' AND e.item IS NOT NULL GROUP BY s.slate, e.item ORDER BY s.slate, e.item
"""


def _pairs(found: Mapping[str, Any], n_items: int) -> Ints:
    """Return (n,) slate and item as one number."""
    return np.asarray(found["slate"], np.int64) * n_items + np.asarray(found["item"], np.int64)


def _sample(taken: Ints, slate_ts: Ints, first_shown: Ints, rng: np.random.Generator) -> tuple[Ints, Floats]:
    """Draw, for every slate, candidates that are not ``taken``, each standing for an equal share of them.

    Returns
    -------
    (n,) slate and item as one number, without repetition, and (n,) the weights
    """
    n_slates, n_items = len(slate_ts), len(first_shown)
    # Candidates of a moment are a prefix of the items in the order of their first showing.
    order = np.argsort(first_shown, kind="stable")
    n_candidates = np.searchsorted(first_shown[order], slate_ts, side="right")
    place = (rng.random((n_slates, CONTROLS_PER_SLATE)) * n_candidates[:, None]).astype(np.int64)
    drawn = np.where(n_candidates[:, None] > 0, order[np.minimum(place, n_items - 1)], -1)
    rows = np.repeat(np.arange(n_slates), CONTROLS_PER_SLATE)
    key = np.unique((rows * n_items + drawn.ravel())[drawn.ravel() >= 0])
    key = key[~np.isin(key, taken)]
    slate = key // n_items
    n_drawn = np.bincount(slate, minlength=n_slates)
    candidate = first_shown[taken % n_items] <= slate_ts[taken // n_items]
    n_rest = n_candidates - np.bincount(taken[candidate] // n_items, minlength=n_slates)
    return key, n_rest[slate] / n_drawn[slate]


@dataclass(frozen=True)
class EventLine:
    """Events of many (user, thing) on one sorted line, so that counts in a window are two binary searches.

    Attributes
    ----------
    pairs : sorted distinct user * span + thing
    key : (n,) sorted: place among the pairs, then time
    """

    pairs: Ints
    key: Ints
    n_things: int
    origin: int
    span: int

    @classmethod
    def of(cls, user: Ints, thing: Ints, ts: Ints) -> "EventLine":
        """Return the line of events of ``user`` with ``thing`` (n,) each, in any order."""
        n_things = int(thing.max(initial=0)) + 1
        origin = int(ts.min(initial=0)) if len(ts) else 0
        span = int(ts.max(initial=0)) - origin + 2 if len(ts) else 2
        pair = user * n_things + thing
        pairs = np.unique(pair)
        return cls(pairs, np.sort(np.searchsorted(pairs, pair) * span + (ts - origin)), n_things, origin, span)

    def past(self, user: Ints, thing: Ints, ts: Ints, windows_ms: Sequence[int]) -> tuple[list[Ints], Floats]:
        """Return what each pair had done strictly before ``ts``, (n,) each.

        Returns
        -------
        how many events within each window, and last how many ever; milliseconds since the last, NaN where there is none
        """
        place, known = self._place(user, thing)
        start = np.searchsorted(self.key, place * self.span)
        until = np.searchsorted(self.key, place * self.span + self._inside(ts))
        since = [np.searchsorted(self.key, place * self.span + self._inside(ts - window)) for window in windows_ms]
        counts = [np.where(known, until - first, 0) for first in (*since, start)]
        has = counts[-1] > 0
        last = self.key[np.where(has, until - 1, 0)] % self.span + self.origin if len(self.key) else np.zeros(len(ts))
        return counts, np.where(has, ts - last, np.nan)

    def _place(self, user: Ints, thing: Ints) -> tuple[Ints, Bools]:
        if not len(self.pairs):
            return np.zeros(len(user), np.int64), np.zeros(len(user), bool)
        pair = user * self.n_things + thing
        place = np.minimum(np.searchsorted(self.pairs, pair), len(self.pairs) - 1)
        known = (self.pairs[place] == pair) & (thing < self.n_things) & (thing >= 0)
        return place, known

    def _inside(self, ts: Ints) -> Ints:
        return np.minimum(np.maximum(ts - self.origin, 0), self.span - 1)  # np.clip costs five times as much on few
