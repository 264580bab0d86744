"""The trials of showing: every slate of a shard with the items it showed and a sample of those it did not.

A trial is an opportunity (a slate: one user at one moment) with a candidate item. It is *treated* where the slate held
the item. Of the candidates that were not shown a few are drawn at random, each standing for many (``weight``), because
a catalog times all slates cannot be written out. A candidate is an item that was on show somewhere by then. The
outcome is a purchase of the item in (t, t + horizon]. Trials whose item is bought at that very moment are left out, and
so are slates without complete follow-up.

The logged probability is that of the item in its slot, and no log holds it for what was not shown. So the treated arm
carries the logger's own number, and the control arm, whose weight 1 / (1 - e) is near one, an estimate.
"""

from dataclasses import dataclass

import duckdb
import numpy as np
import numpy.typing as npt

from whybuy.recommend.terms import Terms

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

CONTROLS_PER_SLATE = 10


@dataclass(frozen=True)
class Opportunities:
    """Trials of showing, one row each.

    Attributes
    ----------
    user, item, ts : (n,) the user's and the item's number, milliseconds
    shown : (n,) whether the slate held the item
    propensity : (n,) probability of the item in its slot, as logged; NaN where not shown
    weight : (n,) how many trials the row stands for
    outcome : (n,) whether the item was bought within the horizon
    n_unusable : impressions without a usable probability, which are neither shown nor not shown
    """

    user: Ints
    item: Ints
    ts: Ints
    shown: Bools
    propensity: Floats
    weight: Floats
    outcome: Bools
    n_unusable: int = 0

    def __len__(self) -> int:
        """Return the number of trials."""
        return len(self.user)

    def rows(self, keep: Bools) -> "Opportunities":
        """Return the trials ``keep`` (n,)."""
        names = ("user", "item", "ts", "shown", "propensity", "weight", "outcome")
        return Opportunities(**{name: getattr(self, name)[keep] for name in names}, n_unusable=self.n_unusable)


def opportunities(
    con: duckdb.DuckDBPyConnection, first_shown: Ints, terms: Terms, rng: np.random.Generator
) -> Opportunities:
    """Return the trials of the events in the table ``ev``.

    Parameters
    ----------
    first_shown : (n_items,) when each item was first on show anywhere, milliseconds; the largest integer if never
    """
    found = con.execute(_SHOWN).fetchnumpy()
    user, item, ts = (np.asarray(found[name], np.int64) for name in ("u", "item", "t"))
    propensity = np.asarray(found["p"], np.float64)
    usable = (propensity > 0) & (propensity <= 1)
    _, start, slate = np.unique(np.stack([user, ts]), axis=1, return_index=True, return_inverse=True)
    controls = _controls(slate, item, ts[start], first_shown, rng)
    rows = Opportunities(
        user=np.concatenate([user, user[start][controls.slate]]),
        item=np.concatenate([item, controls.item]),
        ts=np.concatenate([ts, ts[start][controls.slate]]),
        shown=np.concatenate([np.ones(len(user), bool), np.zeros(len(controls.item), bool)]),
        propensity=np.concatenate([propensity, np.full(len(controls.item), np.nan)]),
        weight=np.concatenate([np.ones(len(user)), controls.weight]),
        outcome=np.zeros(len(user) + len(controls.item), bool),
        n_unusable=int((~usable).sum()),
    )
    return _judged(con, rows, np.concatenate([usable, np.ones(len(controls.item), bool)]), terms)


# Each item of a slate once, at its first slot.
_SHOWN = """
    SELECT u, item, t, coalesce(p, 'NaN'::DOUBLE) AS p FROM ev WHERE action = 'impression' AND item IS NOT NULL
    QUALIFY row_number() OVER (PARTITION BY u, item, t ORDER BY slot NULLS LAST, p) = 1
    ORDER BY u, t, item
"""


@dataclass(frozen=True)
class _Controls:
    slate: Ints
    item: Ints
    weight: Floats


def _controls(slate: Ints, item: Ints, slate_ts: Ints, first_shown: Ints, rng: np.random.Generator) -> _Controls:
    """Draw items that a slate did not show, without repetition, each standing for an equal share of them."""
    n_slates, n_items = len(slate_ts), len(first_shown)
    # Candidates of a moment are a prefix of the items in the order of their first showing.
    order = np.argsort(first_shown, kind="stable")
    n_candidates = np.searchsorted(first_shown[order], slate_ts, side="right")
    place = (rng.random((n_slates, CONTROLS_PER_SLATE)) * n_candidates[:, None]).astype(np.int64)
    drawn = np.where(n_candidates[:, None] > 0, order[np.minimum(place, n_items - 1)], -1)
    rows = np.repeat(np.arange(n_slates), CONTROLS_PER_SLATE)
    key = np.unique((rows * n_items + drawn.ravel())[drawn.ravel() >= 0])
    key = key[~np.isin(key, slate * n_items + item)]
    in_slate = key // n_items
    n_drawn = np.bincount(in_slate, minlength=n_slates)
    n_shown = np.bincount(slate, minlength=n_slates)
    weight = (n_candidates - n_shown)[in_slate] / n_drawn[in_slate]
    return _Controls(in_slate, key % n_items, weight)


def _judged(con: duckdb.DuckDBPyConnection, rows: Opportunities, usable: Bools, terms: Terms) -> Opportunities:
    """Return the trials with complete follow-up and history, and what came of them."""
    bought = con.execute(
        "SELECT DISTINCT u, item, t FROM ev WHERE action = 'purchase' AND item IS NOT NULL ORDER BY u, item, t"
    ).fetchnumpy()
    purchases = EventLine.of(*(np.asarray(bought[name], np.int64) for name in ("u", "item", "t")))
    after = purchases.count(rows.user, rows.item, rows.ts + 1, rows.ts + terms.horizon_ms + 1)
    at_once = purchases.count(rows.user, rows.item, rows.ts, rows.ts + 1) > 0
    keep = usable & ~at_once & (rows.ts + terms.horizon_ms <= terms.end_ms)
    judged = Opportunities(
        **{name: getattr(rows, name) for name in ("user", "item", "ts", "shown", "propensity", "weight")},
        outcome=after > 0,
        n_unusable=rows.n_unusable,
    )
    return judged.rows(keep)


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

    def count(self, user: Ints, thing: Ints, since: Ints, until: Ints) -> Ints:
        """Return (n,) how many events of the pair lie in [since, until)."""
        place, known = self._place(user, thing)
        low, high = (np.searchsorted(self.key, place * self.span + self._inside(t)) for t in (since, until))
        return np.where(known, high - low, 0)

    def since_last(self, user: Ints, thing: Ints, ts: Ints) -> Floats:
        """Return (n,) milliseconds since the pair's last event strictly before ``ts``; NaN where there is none."""
        place, known = self._place(user, thing)
        before = np.searchsorted(self.key, place * self.span + self._inside(ts)) - 1
        has = known & (before >= np.searchsorted(self.key, place * self.span))
        last = self.key[np.where(has, before, 0)] % self.span + self.origin if len(self.key) else np.zeros(len(ts))
        return np.where(has, ts - last, np.nan)

    def _place(self, user: Ints, thing: Ints) -> tuple[Ints, Bools]:
        if not len(self.pairs):
            return np.zeros(len(user), np.int64), np.zeros(len(user), bool)
        pair = user * self.n_things + thing
        place = np.minimum(np.searchsorted(self.pairs, pair), len(self.pairs) - 1)
        known = (self.pairs[place] == pair) & (thing < self.n_things) & (thing >= 0)
        return place, known

    def _inside(self, ts: Ints) -> Ints:
        return np.clip(ts - self.origin, 0, self.span - 1)
