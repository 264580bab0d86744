"""Who enters an experiment and when, what they do within the horizon, and what they did before: read off the shards.

A person's outcome counts the events in [entry, entry + horizon), what was known before those strictly before the
entry. Entry by visit is the time of the person's first own event after the start, which counts: it came after the
arms differ. People assigned who never come have no entry under "visit", and an outcome of 0 under "start". What is
done to people (campaigns, impressions) is no visit.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from whybuy import columns as c
from whybuy.campaign.experiment.design import DAY_MS, WEEK_MS, Design
from whybuy.campaign.experiment.metrics import Metric
from whybuy.campaign.history import EXPOSURES, outcome_sql
from whybuy.causal.clusters import Float64, Ints
from whybuy.causal.question import users_where
from whybuy.engine import steady_duckdb
from whybuy.errors import QuestionError
from whybuy.events.log import ITEMS, EventLog

_NEVER_DAYS = 60.0
_WITHOUT_PRICE = 0.01
"""Share of purchases without a price above which there is no revenue."""
_OWN = f"{c.ACTION} NOT IN {EXPOSURES}"
_PLACED = f"""
    SELECT e.* EXCLUDE ({c.CATEGORY}, {c.PRICE}), coalesce(i.{c.CATEGORY}, e.{c.CATEGORY}) AS {c.CATEGORY},
           i.{c.BRAND}, coalesce(e.{c.PRICE}, i.{c.PRICE}) * coalesce(e.{c.QUANTITY}, 1) AS spend
    FROM read_parquet($shards) e LEFT JOIN read_parquet($items) i USING ({c.ITEM})
"""


@dataclass(frozen=True)
class Entered:
    """People and the time from which on their outcomes count.

    Attributes
    ----------
    rows : ``user_id`` and ``ts_ms``, by user
    eligible : people who could have entered
    """

    rows: pd.DataFrame
    eligible: int

    def keep(self, which: npt.NDArray[np.bool_]) -> "Entered":
        """Return those of ``which``."""
        return Entered(self.rows[which].reset_index(drop=True), self.eligible)


def eligible_users(log: EventLog, design: Design) -> npt.NDArray[np.object_]:
    """Return the ids of those who can be assigned: seen before the start, active before it, and ``where``."""
    earliest = "NULL" if design.active_ms is None else str(design.start_ms - design.active_ms)
    sql = f"""
        SELECT DISTINCT {c.USER} FROM read_parquet($shards)
        WHERE {_OWN} AND {c.TIME_MS} < {design.start_ms} AND {c.TIME_MS} >= coalesce({earliest}, {c.TIME_MS})
        ORDER BY {c.USER}
    """
    with steady_duckdb() as connection:
        found = connection.execute(sql, _shards(log)).df()[c.USER].astype(object)
    chosen = users_where(design.where, log)
    return (found if chosen is None else found[found.isin(chosen)]).to_numpy(object)


def entered(log: EventLog, users: npt.NDArray[np.object_], design: Design, until_ms: int) -> Entered:
    """Return when each of ``users`` entered, no later than ``until_ms``."""
    if design.entry == "start":
        rows = pd.DataFrame({c.USER: users, c.TIME_MS: np.full(len(users), design.start_ms, np.int64)})
        return Entered(rows if design.start_ms <= until_ms else rows.iloc[:0], len(users))
    sql = f"""
        SELECT {c.USER}, min({c.TIME_MS}) AS {c.TIME_MS} FROM read_parquet($shards)
        WHERE {_OWN} AND {c.TIME_MS} >= {design.start_ms} AND {c.USER} IN (SELECT {c.USER} FROM wanted)
        GROUP BY {c.USER} HAVING min({c.TIME_MS}) <= {until_ms} ORDER BY {c.USER}
    """
    with steady_duckdb() as connection:
        connection.register("wanted", pd.DataFrame({c.USER: users}))
        return Entered(connection.execute(sql, _shards(log)).df(), len(users))


def person_outcomes(log: EventLog, rows: pd.DataFrame, metric: Metric, horizon_ms: int) -> tuple[Float64, Float64]:
    """Return (n,) outcomes, and (n, 2) the same before: within one horizon, and log(1 + how much) in 30 days.

    Raises
    ------
    QuestionError
        Revenue is asked for, and purchases have no price or several currencies.
    """
    condition, parameters = _condition(metric)
    what = "count(*)" if metric.behavior is not None else "sum(spend)"
    sql = f"""
        WITH met AS (
            SELECT w.row, p.*, w.at_ms - p.{c.TIME_MS} AS ago_ms FROM ({_PLACED}) p JOIN wanted w USING ({c.USER})
            WHERE {condition}
        )
        SELECT row,
               {what} FILTER (ago_ms <= 0 AND ago_ms > -$horizon) AS after,
               {what} FILTER (ago_ms > 0 AND ago_ms <= $horizon) AS before,
               {what} FILTER (ago_ms > 0 AND ago_ms <= {30 * DAY_MS}) AS month
        FROM met GROUP BY row
    """
    if metric.behavior is None:
        _require_prices(log)
    found = _read_rows(log, rows, sql, {**parameters, "horizon": horizon_ms})
    # Who has no such event has a count and a sum of 0: rows without a match do not come back.
    after, before, month = (found[name].fillna(0).to_numpy(float) for name in ("after", "before", "month"))
    if metric.behavior is not None:
        after, before = (after > 0).astype(float), (before > 0).astype(float)
    return after, np.column_stack([before, np.log1p(np.maximum(month, 0))])


def person_activity(log: EventLog, rows: pd.DataFrame) -> Float64:
    """Return (n, 4) what else was known: log(1 + x) of events and purchases in 30 days, days since the last of each."""
    month = "age <= 30"
    sql = f"""
        WITH met AS (
            SELECT w.row, p.{c.ACTION}, (w.at_ms - p.{c.TIME_MS}) / {DAY_MS}.0 AS age
            FROM read_parquet($shards) p JOIN wanted w USING ({c.USER}) WHERE {_OWN} AND p.{c.TIME_MS} < w.at_ms
        )
        SELECT row, count(*) FILTER ({month}) AS events,
               count(*) FILTER ({month} AND {c.ACTION} = 'purchase') AS purchases,
               min(age) AS since, min(age) FILTER ({c.ACTION} = 'purchase') AS since_purchase
        FROM met GROUP BY row
    """
    found = _read_rows(log, rows, sql, {})
    counts = found[["events", "purchases"]].fillna(0).to_numpy(float)
    # Never seen is as long ago as the longest recency that is told apart.
    ages = found[["since", "since_purchase"]].fillna(_NEVER_DAYS).clip(upper=_NEVER_DAYS).to_numpy(float)
    return np.log1p(np.hstack([counts, ages]))


def period_outcomes(log: EventLog, start_ms: Ints, metric: Metric, design: Design) -> Float64:
    """Return (n,) how many people have the outcome in each period (its washout left out), or the revenue of it."""
    assert design.period_ms is not None
    condition, parameters = _condition(metric)
    what = f"count(DISTINCT p.{c.USER})" if metric.behavior is not None else "sum(spend)"
    if metric.behavior is None:
        _require_prices(log)
    sql = f"""
        SELECT w.row, {what} AS total FROM wanted w
        JOIN ({_PLACED}) p
          ON p.{c.TIME_MS} >= w.at_ms + {design.washout_ms} AND p.{c.TIME_MS} < w.at_ms + {design.period_ms}
        WHERE {condition} GROUP BY w.row
    """
    rows = pd.DataFrame({c.USER: np.full(len(start_ms), "", object), c.TIME_MS: start_ms})
    return _read_rows(log, rows, sql, parameters)["total"].fillna(0).to_numpy(float)


def same_slot_before(log: EventLog, start_ms: Ints, metric: Metric, design: Design) -> Float64 | None:
    """Return (n, 1) the mean outcome of the same hours of the week before the experiment; None without a whole week."""
    assert design.period_ms is not None
    first = start_ms.min()
    weeks = (first - log.quality.start_ms) // WEEK_MS
    if weeks < 1 or WEEK_MS % design.period_ms:
        return None
    phase = (start_ms - first) % WEEK_MS
    slots, of_slot = np.unique(phase, return_inverse=True)
    past = np.array([[first - (k + 1) * WEEK_MS + slot for slot in slots] for k in range(int(weeks))], np.int64)
    means = period_outcomes(log, past.ravel(), metric, design).reshape(past.shape).mean(axis=0)
    return means[of_slot][:, None]


def _condition(metric: Metric) -> tuple[str, dict[str, str]]:
    if metric.behavior is None:
        return f"{c.ACTION} = 'purchase'", {}
    return outcome_sql(metric.behavior)


def _read_rows(log: EventLog, rows: pd.DataFrame, sql: str, parameters: Mapping[str, str | int]) -> pd.DataFrame:
    """Return one line per row, in order; null where no event matched."""
    wanted = pd.DataFrame({"row": np.arange(len(rows)), c.USER: rows[c.USER], "at_ms": rows[c.TIME_MS].astype("int64")})
    files = {k: v for k, v in {**_shards(log), "items": str(log.folder / ITEMS)}.items() if f"${k}" in sql}
    with steady_duckdb() as connection:
        connection.register("wanted", wanted)
        found = connection.execute(sql, {**parameters, **files}).df()
    return found.set_index("row").reindex(np.arange(len(rows)))


def _require_prices(log: EventLog) -> None:
    sql = f"""
        SELECT count(*), count(*) FILTER (spend IS NULL), count(DISTINCT {c.CURRENCY})
        FROM ({_PLACED}) WHERE {c.ACTION} = 'purchase'
    """
    with steady_duckdb() as connection:
        ((n, without, currencies),) = connection.execute(
            sql, {**_shards(log), "items": str(log.folder / ITEMS)}
        ).fetchall()
    if n == 0 or without > _WITHOUT_PRICE * n:
        raise QuestionError.of(
            found=f"{without:,} of {n:,} purchases have no price",
            needed="prices on the purchases, or on the items, for revenue",
            do="Map price in whybuy.toml, or ask for a behavior such as purchase:*",
        )
    if currencies > 1:
        raise QuestionError.of(
            found=f"Purchases are in {currencies} currencies",
            needed="one currency, since amounts are added",
            do="Convert the prices under [[events]] derive in whybuy.toml",
        )


def _shards(log: EventLog) -> dict[str, list[str]]:
    return {"shards": [str(shard) for shard in log.shards]}
