"""What rankings are worth to people who took some of what they say, and what else they do to a shop."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import duckdb
import numpy as np

from whybuy import columns as c
from whybuy.causal.clusters import Float64, Ints
from whybuy.events.log import EventLog
from whybuy.recommend.backtest.foretold import (
    HIT_RATE,
    MISCALIBRATION,
    NDCG,
    NOVELTY,
    PREDICTION,
    RankingDifference,
)
from whybuy.recommend.backtest.lists import Lists
from whybuy.recommend.metrics import (
    Average,
    category_shares,
    coverage,
    hit_rate,
    mean_over_users,
    miscalibration,
    ndcg,
    novelty,
)
from whybuy.recommend.store import parquet_list

_CELLS_AT_ONCE = 2_000_000
"""Shares of categories held at once: 16 MB, a few times over."""


@dataclass(frozen=True, eq=False)
class Catalog:
    """What rankings are measured by.

    Attributes
    ----------
    buyers : (n_items,) people who bought it before the cut, of ``n_users``
    department : (n_items,) codes of the first part of the category, -1 without one
    """

    buyers: Ints
    n_users: int
    department: Ints
    n_departments: int

    @classmethod
    def of(cls, con: duckdb.DuckDBPyConnection, earlier: EventLog) -> "Catalog":
        """Read the table ``items`` and count the users of the earlier part."""
        found = con.execute(
            """SELECT buyers, CASE WHEN path IS NULL THEN -1
                      ELSE dense_rank() OVER (ORDER BY split_part(path, '/', 1) NULLS LAST) - 1 END AS department
               FROM items ORDER BY item"""
        ).fetchnumpy()
        n_users = con.execute(
            f"SELECT count(DISTINCT {c.USER}) FROM read_parquet({parquet_list(earlier.shards)})"
        ).fetchall()[0][0]
        department = np.asarray(found["department"], np.int64)
        return cls(np.asarray(found["buyers"], np.int64), int(n_users), department, int(department.max()) + 1)

    def values(self, lists: Lists, name: str) -> dict[str, Float64]:
        """Return the (n_users,) values of the metrics that every user has one of."""
        ranked = lists.rankings[name]
        return {
            HIT_RATE: hit_rate(ranked, row=lists.row, taken=lists.taken),
            NDCG: ndcg(ranked, row=lists.row, taken=lists.taken),
            NOVELTY: novelty(ranked, n_takers=self.buyers, n_users=self.n_users),
            MISCALIBRATION: self._miscalibration(lists, ranked),
        }

    def coverage(self, lists: Lists, name: str) -> float:
        """Return the share of the catalog that anybody is shown."""
        return coverage(lists.rankings[name], n_items=len(self.buyers))

    def _miscalibration(self, lists: Lists, ranked: Ints) -> Float64:
        found, n = np.full(len(ranked), np.nan), self.n_departments
        size = max(1, _CELLS_AT_ONCE // max(1, n))
        for first in range(0, len(ranked) if n else 0, size):
            block = ranked[first : first + size]
            shown = category_shares(block, category=self.department, n_categories=n)
            found[first : first + size] = miscalibration(self._past_shares(lists, first, len(block)), shown)
        return found

    def _past_shares(self, lists: Lists, first: int, size: int) -> Float64:
        """Return (size, n_departments) shares of what users had looked at and taken; NaN where nothing has one."""
        at = slice(*np.searchsorted(lists.past_row, [first, first + size]))
        department = self.department[lists.past_item[at]]
        has = department >= 0
        cells = (lists.past_row[at][has] - first) * self.n_departments + department[has]
        counts = np.bincount(cells, lists.past_n[at][has], minlength=size * self.n_departments)
        counts = counts.reshape(size, self.n_departments)
        total = counts.sum(axis=1, keepdims=True)
        return np.divide(counts, total, out=np.full_like(counts, np.nan), where=total > 0)


def averages(values: dict[str, Float64], rng: np.random.Generator) -> dict[str, Average | None]:
    """Return means over users with their intervals; None where fewer than two users have a value."""
    return {
        metric: mean_over_users(own, metric=metric, rng=rng) if (~np.isnan(own)).sum() > 1 else None
        for metric, own in values.items()
    }


def differences(values: dict[str, dict[str, Float64]], rng: np.random.Generator) -> Iterator[RankingDifference]:
    """Yield the differences of every two rankings on the same users."""
    for metric in PREDICTION:
        for one, other in combinations(values, 2):
            more = values[one][metric] - values[other][metric]
            found = mean_over_users(more, metric=metric, rng=rng)
            yield RankingDifference(
                metric=metric,
                ranking=one,
                against=other,
                estimate=found.estimate,
                low=found.low,
                high=found.high,
                n_telling=int((more != 0).sum()),
            )
