"""Categories by periods: what was sold, at which price against the usual one, and what was known when it was set.

An item's usual price is the median of its own, and a category's price in a period is the mean of log(price / usual)
over its items, each weighed by how much of it is bought in the whole log: what people happen to buy when things are
cheap must not move the price itself. A *spell* is a run of periods in which the price stays: prices are set for a
category and a time, so a spell is what was assigned, and what was known of demand is what came *before the spell*.
Demand in the spell's earlier periods is its consequence, and no covariate.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from whybuy import columns as c
from whybuy.causal.array_rows import require_lengths, vector
from whybuy.causal.clusters import Float64, Ints
from whybuy.config import duration_ms
from whybuy.engine import steady_duckdb
from whybuy.errors import ArraysError, QuestionError
from whybuy.events.log import ITEMS, EventLog

SAME_PRICE = 0.005
"""Prices that differ by less are one: rounding and a few items more or less are no price change."""
WINDOWS = (1, 2, 4)
"""Periods before a spell over which demand is summed up."""
N_CATEGORIES = 50
"""At most so many categories, those that sell most, are asked about."""
_DAY_MS, _WEEK_MS, _MONDAY_MS = 86_400_000, 7 * 86_400_000, 4 * 86_400_000  # 1970-01-05 was a Monday
_PERIOD, _UNITS, _VIEWS, _LOG_PRICE, _SPELL = "period", "units", "views", "log_price", "spell"

_CELLS_SQL = f"""
    WITH placed AS (
        SELECT e.{c.ITEM}, coalesce(i.{c.CATEGORY}, e.{c.CATEGORY}) AS {c.CATEGORY}, e.{c.ACTION},
               CAST(floor((e.{c.TIME_MS} - $start) / $period) AS BIGINT) AS {_PERIOD},
               CASE WHEN e.{c.PRICE} > 0 THEN ln(e.{c.PRICE}) END AS ln_price, e.{c.CURRENCY},
               CASE WHEN e.{c.ACTION} = 'purchase' THEN coalesce(e.{c.QUANTITY}, 1) ELSE 0 END AS bought
        FROM read_parquet($shards) e LEFT JOIN read_parquet($items) i USING ({c.ITEM})
        WHERE e.{c.ITEM} IS NOT NULL AND e.{c.ACTION} IN ('view', 'cart', 'purchase')
    ), kept AS (
        SELECT *, median(ln_price) OVER (PARTITION BY {c.ITEM}, {c.CURRENCY}) AS usual
        FROM placed WHERE {c.CATEGORY} IS NOT NULL AND {_PERIOD} < $n_periods
    ), by_item AS (
        SELECT {c.CATEGORY}, {_PERIOD}, {c.ITEM}, sum(bought) AS units,
               count(*) FILTER ({c.ACTION} = 'view') AS views, avg(ln_price - usual) AS off
        FROM kept GROUP BY ALL
    ), weighed AS (
        SELECT *, sum(units) OVER (PARTITION BY {c.ITEM}) AS weight FROM by_item
    )
    SELECT CAST({c.CATEGORY} AS VARCHAR) AS {c.CATEGORY}, {_PERIOD}, CAST(sum(units) AS DOUBLE) AS {_UNITS},
           CAST(sum(views) AS DOUBLE) AS {_VIEWS},
           sum(weight * off) FILTER (off IS NOT NULL) / nullif(sum(weight) FILTER (off IS NOT NULL), 0) AS {_LOG_PRICE}
    FROM weighed GROUP BY ALL ORDER BY 1, 2
"""


@dataclass(frozen=True)
class PriceCells:
    """One row per category and period.

    Attributes
    ----------
    category : (n,) by number; names : of the categories
    period : (n,) by number, from 0
    units : (n,) sold; log_price : (n,) log of the price against the usual one of its category
    X : (n, d) what was known before the price was set
    spell : (n,) numbered from 0: runs of periods at one price
    """

    category: Ints
    names: tuple[str, ...]
    period: Ints
    units: Float64
    log_price: Float64
    X: Float64
    spell: Ints

    def rows(self, keep: npt.NDArray[np.bool_]) -> "PriceCells":
        """Return some of the rows, categories and spells numbered again."""
        category, numbers = np.unique(self.category[keep], return_inverse=True)
        return PriceCells(
            numbers,
            tuple(self.names[k] for k in category),
            self.period[keep],
            self.units[keep],
            self.log_price[keep],
            self.X[keep],
            np.unique(self.spell[keep], return_inverse=True)[1],
        )


def cells_of_arrays(units: Any, price: Any, category: Any, period: Any, X: Any) -> PriceCells:
    """Return checked arrays as cells, see :func:`whybuy.campaign.price.elasticity.price_elasticity`."""
    q, p, t = vector(units, "units"), vector(price, "price"), vector(period, "period")
    given = pd.Series(np.asarray(category))
    require_lengths({"units": len(q), "price": len(p), "period": len(t), "category": len(given)})
    if (p <= 0).any():
        raise ArraysError.of(
            found=f"{int((p <= 0).sum())} prices are zero or negative", needed="positive prices", do="Drop these rows"
        )
    if (q < 0).any():
        raise ArraysError.of(
            found=f"{int((q < 0).sum())} rows have fewer than 0 units", needed="units of 0 or more", do="Count sales"
        )
    if given.isna().any():
        raise ArraysError.of(
            found=f"{int(given.isna().sum())} rows have no category", needed="one in every row", do="Drop them"
        )
    if pd.DataFrame({"category": given, "period": t}).duplicated().any():
        raise ArraysError.of(
            found="a category has several rows of one period",
            needed="one row per category and period",
            do="Add up the units and average the prices",
        )
    known = np.zeros((len(q), 0)) if X is None else np.asarray(X, float)
    if known.ndim != 2 or len(known) != len(q) or not np.isfinite(known).all():
        raise ArraysError.of(
            found=f"X has the shape {np.shape(X)}, or values that are not finite",
            needed=f"({len(q)}, d) finite numbers",
            do="Pass what was known before each price was set, or leave X away",
        )
    number, names = pd.factorize(given, sort=True)
    order = np.lexsort((t, number))
    back = np.empty(len(order), np.int64)
    back[order] = np.arange(len(order))
    spell = _spells(number[order], np.log(p)[order])[back]
    place = np.unique(t, return_inverse=True)[1]
    usual = pd.Series(np.log(p)).groupby(number).transform("median").to_numpy(float)
    return PriceCells(number.astype(np.int64), tuple(map(str, names)), place, q, np.log(p) - usual, known, spell)


def cells_of_log(log: EventLog, *, period: str = "7d") -> tuple[PriceCells, tuple[str, ...]]:
    """Return the cells of a log, and what was left out, in words.

    Periods that are weeks begin on Mondays, others at midnight, UTC. The first four periods only tell what was known.

    Raises
    ------
    QuestionError
        The log has no times, no prices, no categories, or too few periods.
    """
    if not log.quality.has_times:
        raise QuestionError.of(
            found="The log has an order of events but no times",
            needed="times, since prices change over them",
            do="Map a time column in whybuy.toml",
        )
    table, n_periods = _table(log, duration_ms(period))
    table = table[table[_LOG_PRICE].notna()]
    if table.empty:
        raise QuestionError.of(
            found="No item with a category has a price on its events",
            needed="prices on views or purchases, and categories of items",
            do="Map `price` on the events in whybuy.toml",
        )
    if n_periods <= 2 * max(WINDOWS):
        raise QuestionError.of(
            found=f"The log holds {n_periods} whole periods of {period}",
            needed=f"more than {2 * max(WINDOWS)}, of which {max(WINDOWS)} come before the first that counts",
            do="Ask with a shorter period, or bring a longer log",
        )
    sold = table.groupby(c.CATEGORY)[_UNITS].sum().sort_values(ascending=False, kind="stable")
    kept = sorted(sold.index[:N_CATEGORIES])
    notes = [f"Of {len(sold)} categories the {N_CATEGORIES} that sell most."] if len(sold) > N_CATEGORIES else []
    whole = table[table[c.CATEGORY].isin(kept)].set_index([c.CATEGORY, _PERIOD])
    grid = pd.MultiIndex.from_product([kept, range(n_periods)], names=[c.CATEGORY, _PERIOD])
    cells = _with_past(whole.reindex(grid).reset_index(), n_periods)
    counted = cells.period >= max(WINDOWS)
    unpriced = int((counted & np.isnan(cells.log_price)).sum())
    if unpriced:
        notes.append(f"Left out because no price was seen: {unpriced:,} of {int(counted.sum()):,} category-periods.")
    return cells.rows(counted & ~np.isnan(cells.log_price)), tuple(notes)


def _table(log: EventLog, period_ms: int) -> tuple[pd.DataFrame, int]:
    """Return units, views and price by category and period, and the number of whole periods."""
    step, origin = (_WEEK_MS, _MONDAY_MS) if period_ms % _WEEK_MS == 0 else (_DAY_MS, 0)
    start = (log.quality.start_ms - origin) // step * step + origin
    n_periods = int((log.quality.end_ms - start + _DAY_MS // 2) // period_ms)
    values = {"shards": [str(shard) for shard in log.shards], "items": str(log.folder / ITEMS)}
    numbers = {"start": start, "period": period_ms, "n_periods": n_periods}
    with steady_duckdb() as connection:
        return connection.execute(_CELLS_SQL, {**values, **numbers}).df(), n_periods


def _with_past(grid: pd.DataFrame, n_periods: int) -> PriceCells:
    """Return the full grid (every category, every period) with what was known before each spell."""
    shape = (-1, n_periods)
    log_price = grid[_LOG_PRICE].to_numpy(float).reshape(shape)
    # Who sold and saw nothing in a period has a row of zeros, not a missing one.
    units, views = (grid[name].fillna(0.0).to_numpy(float).reshape(shape) for name in (_UNITS, _VIEWS))
    carried = pd.DataFrame(log_price.T).ffill().bfill().to_numpy().T
    category = np.repeat(np.arange(len(carried)), n_periods)
    spell = _spells(category, carried.ravel())
    first = np.concatenate([[0], np.flatnonzero(np.diff(spell)) + 1])
    begins = (first[spell] % n_periods).reshape(shape)
    past = [_before(values, begins, window) for values in (units, views) for window in WINDOWS]
    before = np.take_along_axis(carried, np.maximum(begins - 1, 0), axis=1)
    X = np.stack([np.log1p(values) for values in past] + [before], axis=-1)
    return PriceCells(
        category,
        tuple(grid[c.CATEGORY].to_numpy(object)[::n_periods]),
        np.tile(np.arange(n_periods), len(carried)),
        units.ravel(),
        log_price.ravel(),
        X.reshape(len(category), -1),
        spell,
    )


def _before(values: Float64, begins: Ints, window: int) -> Float64:
    """Return the sum of (C, P) values over the periods just before the period ``begins`` (C, P)."""
    total = np.concatenate([np.zeros((len(values), 1)), np.cumsum(values, axis=1)], axis=1)
    found: Float64 = np.take_along_axis(total, begins, 1) - np.take_along_axis(total, np.maximum(begins - window, 0), 1)
    return found


def _spells(category: Ints, log_price: Float64) -> Ints:
    """Return the spell of every row, sorted by category and period; a spell lasts while its first price does."""
    spell = np.empty(len(category), np.int64)
    current, since, price = -1, -1, np.inf
    for i, (mine, here) in enumerate(zip(category.tolist(), log_price.tolist(), strict=True)):
        if mine != since or abs(here - price) > SAME_PRICE:
            current, since, price = current + 1, mine, here
        spell[i] = current
    return spell
