"""From a log to the lifts of items for people: two passes over the shards, and one fit.

The first pass learns which items are met by the same people, and when each was first on show; the second draws the
trials. What is held at once is a sample of slates, so a log of any length fits: the more slates, the smaller the
share of them that is drawn.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import duckdb
import numpy as np
import numpy.typing as npt
import torch

from whybuy import columns as c
from whybuy.recommend.personal.acts import Acts
from whybuy.recommend.personal.covariates import Histories, Items
from whybuy.recommend.personal.model import Forecast, LiftModel, Lifts
from whybuy.recommend.personal.network import ItemParts
from whybuy.recommend.personal.opportunities import Opportunities, first_shown, opportunities
from whybuy.recommend.personal.states import Past, item_vectors, states
from whybuy.recommend.personal.trials import Trials
from whybuy.recommend.terms import Terms

Covariates = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

_MOST_SLATES = 250_000
"""A million and a half trials or so, in half a gigabyte."""

Parts = Callable[[], Iterator[None]]
"""Loads the events of one shard after the other into the table ``ev``."""


@dataclass(frozen=True, eq=False)
class Known:
    """What people did: read once, asked as often as is wanted."""

    histories: Histories
    past: Past

    @classmethod
    def of(cls, acts: Acts, items: Items, windows_ms: tuple[int, ...]) -> "Known":
        """Return what ``acts`` tell."""
        return cls(Histories.of(acts, items, windows_ms), Past.of(acts))


@dataclass(frozen=True, eq=False)
class PersonalLifts:
    """Lifts of items for people, and what is needed to ask about somebody.

    Attributes
    ----------
    vectors : (n_items, d) of the items
    windows_ms : within which the past is counted
    """

    model: LiftModel
    items: Items
    vectors: Covariates
    windows_ms: tuple[int, ...]
    horizon_ms: int

    def known(self, acts: Acts) -> Known:
        """Return what ``acts`` tell of people."""
        return Known.of(acts, self.items, self.windows_ms)

    def of(self, known: Known, user: Ints, item: Ints, ts: Ints, *, intervals: bool = True) -> Lifts:
        """Return the lifts (n,) of showing ``item`` to ``user`` at ``ts``, (n,) each, given what was done before."""
        return self.model.lifts(self.forecast(known, user, item, ts), intervals=intervals)

    def forecast(self, known: Known, user: Ints, item: Ints, ts: Ints) -> Forecast:
        """Return what the networks say of the same; see :meth:`of`."""
        asked = Opportunities.asked(user, item, ts)
        trials = trials_of(known, asked, self.items, self.vectors, self.horizon_ms, features=self.features)
        return self.model.forecast(trials, self.parts)

    @cached_property
    def features(self) -> Covariates:
        """(n_items, d) what is known of every item."""
        return features_of(self.items, self.vectors)

    @cached_property
    def parts(self) -> tuple[ItemParts, ...]:
        """What each network says of all items, computed once."""
        with torch.no_grad():
            return tuple(network.of_items(torch.as_tensor(self.features)) for network in self.model.networks)


def learn_lifts(
    con: duckdb.DuckDBPyConnection, parts: Parts, terms: Terms, *, windows_ms: tuple[int, ...], seed: int = 7
) -> PersonalLifts | None:
    """Return what a log teaches, or None where no showing led to a purchase, so that nothing can be told.

    Parameters
    ----------
    con : holds the table ``items``
    """
    drawn, items, vectors = draw(con, parts, terms, windows_ms=windows_ms, seed=seed)
    trials = Trials.joined(drawn)
    if not (trials.outcome & trials.shown).any():
        return None
    return PersonalLifts(LiftModel.fit(trials), items, vectors, windows_ms, terms.horizon_ms)


def draw(
    con: duckdb.DuckDBPyConnection, parts: Parts, terms: Terms, *, windows_ms: tuple[int, ...], seed: int = 7
) -> tuple[list[Trials], Items, Covariates]:
    """Return the trials of every shard, the items, and their vectors (n_items, d)."""
    items = load_catalog(con)
    counts, first, n_slates = [], np.full(len(items), np.iinfo(np.int64).max), 0
    for _ in parts():
        counts.append(Past.of(Acts.of(con)).together(len(items)))
        first = np.minimum(first, first_shown(con, len(items)))
        n_slates += con.execute(
            "SELECT count(*) FROM (SELECT DISTINCT u, t FROM ev WHERE action = 'impression')"
        ).fetchall()[0][0]
    vectors = item_vectors(counts)
    features = features_of(items, vectors)
    rng, share = np.random.default_rng(seed), min(1.0, _MOST_SLATES / max(1, n_slates))
    drawn = []
    for _ in parts():
        found = opportunities(con, first, terms, rng, share=share)
        known = Known.of(Acts.of(con), items, windows_ms)
        drawn.append(trials_of(known, found, items, vectors, terms.horizon_ms, features=features))
    return drawn, items, vectors


def load_catalog(con: duckdb.DuckDBPyConnection) -> Items:
    """Return what the table ``items`` says of every item, in its order."""
    found = con.execute(
        f"""SELECT coalesce(dense_rank() OVER (ORDER BY path NULLS FIRST), 0) AS category, path IS NULL AS no_category,
                   dense_rank() OVER (ORDER BY {c.BRAND} NULLS FIRST) AS brand, {c.BRAND} IS NULL AS no_brand,
                   CASE WHEN {c.PRICE} > 0 THEN ln({c.PRICE}) ELSE 'NaN'::DOUBLE END AS log_price
            FROM items ORDER BY item"""
    ).fetchnumpy()
    return Items(
        category=np.where(found["no_category"], 0, found["category"]).astype(np.int64),
        brand=np.where(found["no_brand"], 0, found["brand"]).astype(np.int64),
        log_price=np.ma.filled(np.ma.asarray(found["log_price"], float), np.nan),
    )


def features_of(items: Items, vectors: Covariates) -> Covariates:
    """Return (n_items, d) what is known of every item."""
    return np.concatenate([items.features(), vectors], axis=1)


def trials_of(
    known: Known,
    found: Opportunities,
    items: Items,
    vectors: Covariates,
    horizon_ms: int,
    *,
    features: Covariates | None = None,
) -> Trials:
    """Return opportunities with what was known just before each.

    Parameters
    ----------
    features : of all items, where they were made before
    """
    span = int(found.ts.max(initial=0)) + 1
    _, first, moment = np.unique(found.user * span + found.ts, return_index=True, return_inverse=True)
    pair = known.histories.covariates(found.user, found.item, found.ts, items)
    return Trials(
        state=states(known.past, vectors, found.user[first], found.ts[first]),
        features=features_of(items, vectors) if features is None else features,
        pair=np.concatenate([pair, found.quiet[:, None].astype(np.float32)], axis=1),
        moment=moment.reshape(-1).astype(np.int64),
        item=found.item,
        user=found.user,
        ts=found.ts,
        shown=found.shown,
        outcome=found.outcome,
        propensity=found.propensity,
        weight=found.weight,
        horizon_ms=horizon_ms,
    )
