"""What people did before and after a moment, read from the shards: outcomes, and covariates strictly before.

A shard holds all the events of its users, so every row is answered within one shard by one SQL statement. Events of one
moment (same time or same order) are dated by the first of them and are neither before nor after each other.
Counts enter as log(1 + n); an action never seen has a recency of 60 days, the same as one seen that long ago.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pandas as pd

from whybuy import columns as c
from whybuy.engine import steady_duckdb
from whybuy.events.behaviors import Behavior
from whybuy.events.log import ITEMS, EventLog
from whybuy.progress import Report, quiet

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]

WINDOWS_DAYS = (1, 3, 7, 30)
HALF_LIVES_DAYS = (0.5, 4, 14)
N_CATEGORIES = 15
N_LEVELS = 12
EXPOSURES = ("campaign", "impression")
"""What is done to people, not by them: no sign of activity."""
_DAY_MS = 86_400_000
_NEVER_DAYS = 60.0
_MONEY_DAYS = (7, 30)
_MONEY = ("revenue", "bought", "priced")
MIN_PRICED = 0.95
"""Of the purchases within the horizon: with fewer prices, revenue is what the log happens to know."""
_WHAT = "what people did before, and what came of it"
_ROW, _AT, _KIND, _AGE = "row", "at_ms", "kind", "age_days"


WITH_ITEMS = f"e.* EXCLUDE ({c.CATEGORY}), coalesce(i.{c.CATEGORY}, e.{c.CATEGORY}) AS {c.CATEGORY}, i.{c.BRAND}"
"""Columns of events ``e`` joined to their items ``i``, as :func:`outcome_sql` needs them."""
PLACED = f"""
    dated AS (
        SELECT *, min({c.TIME_MS}) OVER (PARTITION BY {c.USER}, {c.MOMENT}) AS moment_ms
        FROM read_parquet($shard) WHERE {c.USER} IN (SELECT {c.USER} FROM wanted)
    ), placed AS (
        SELECT {WITH_ITEMS} FROM dated e LEFT JOIN read_parquet($items) i USING ({c.ITEM})
    )"""
"""The events of the people of the table ``wanted`` with ``moment_ms``, the time of the first event of their moment."""


@dataclass(frozen=True)
class History:
    """What is known about rows of (user, moment).

    Attributes
    ----------
    outcome : (n,) whether the outcome follows within the horizon
    outcome_before : (n,) whether it happened within one horizon before
    active : (n,) whether the user did anything before
    X : (n, d) float32 covariates, all strictly before; constant columns are left out
    names, groups : (d,) what each column is, and what it is about
    revenue : (n,) money of all purchases within the horizon; None where fewer than 95% of them have a price
    """

    outcome: Bools
    outcome_before: Bools
    active: Bools
    X: Floats
    names: list[str]
    groups: list[str]
    revenue: npt.NDArray[np.float64] | None = None

    def keep(self, rows: Bools) -> "History":
        """Return the history of some rows; covariates that are constant there stay."""
        return replace(
            self,
            outcome=self.outcome[rows],
            outcome_before=self.outcome_before[rows],
            active=self.active[rows],
            X=self.X[rows],
            revenue=None if self.revenue is None else self.revenue[rows],
        )

    def varying(self) -> npt.NDArray[np.int64]:
        """Return the columns in which these rows differ."""
        return np.flatnonzero(np.ptp(self.X, axis=0) > 0) if len(self.X) else np.arange(0)

    def columns(self, which: npt.NDArray[np.int64]) -> "History":
        """Return the history with some of the covariates."""
        names, groups = ([kind[j] for j in which] for kind in (self.names, self.groups))
        return replace(self, X=self.X[:, which], names=names, groups=groups)

    def by_group(self) -> dict[str, list[int]]:
        """Return group -> its columns."""
        found: dict[str, list[int]] = {}
        for i, name in enumerate(self.groups):
            found.setdefault(name, []).append(i)
        return found


@dataclass(frozen=True)
class Window:
    """The question put to every row: does ``outcome`` follow within ``horizon_ms``."""

    outcome: Behavior
    horizon_ms: int


def history_of(
    log: EventLog, rows: pd.DataFrame, window: Window, *, detailed: bool = True, report: Report = quiet
) -> History:
    """Return the history of ``rows`` (``user_id``, ``ts_ms``), in their order; users must have events.

    Without ``detailed`` the covariates are the few that sharpen a randomized comparison: counts, spend and recency.
    """
    wanted = pd.DataFrame({_ROW: np.arange(len(rows)), c.USER: rows[c.USER], _AT: rows[c.TIME_MS].astype("int64")})
    covariates = _covariates(log, window, detailed=detailed)
    facts, blocks = [], []
    with steady_duckdb() as connection:
        connection.register("wanted", wanted)
        connection.register("top", _top_categories(log).rename_axis("k").reset_index())
        report("histories", 0, len(log.shards), _WHAT)
        for done, shard in enumerate(log.shards):
            found = _read_shard(connection, log, shard, covariates, window)
            facts.append(found[[_ROW, "outcome", "outcome_before", "active", *_MONEY]])
            blocks.append(_logs(found, covariates))
            report("histories", done + 1, len(log.shards), _WHAT)
    found = pd.concat(facts, ignore_index=True)
    if len(found) != len(rows):
        message = f"{len(rows)} users at moments were asked for and {len(found)} have events"
        raise ValueError(message)
    order = np.argsort(found[_ROW].to_numpy())
    extra = [_clock(wanted[_AT].to_numpy()), *_attributes(log, rows[c.USER])] if detailed else []
    X = np.concatenate([np.concatenate(blocks)[order], *(block for block, _, _ in extra)], axis=1)
    names = [covariate.name for covariate in covariates] + [name for _, labels, _ in extra for name in labels]
    groups = [covariate.group for covariate in covariates] + [group for _, labels, group in extra for _ in labels]
    history = History(
        outcome=found["outcome"].to_numpy(bool)[order],
        outcome_before=found["outcome_before"].to_numpy(bool)[order],
        active=found["active"].to_numpy(bool)[order],
        X=X,
        names=names,
        groups=groups,
        revenue=_revenue(found, order),
    )
    return history.columns(history.varying())


def _revenue(found: pd.DataFrame, order: npt.NDArray[np.int64]) -> npt.NDArray[np.float64] | None:
    """Return the money of what was bought within the horizon, where the log knows its prices."""
    bought, priced = found["bought"].sum(), found["priced"].sum()
    return None if bought == 0 or priced < MIN_PRICED * bought else found["revenue"].to_numpy(float)[order]


@dataclass(frozen=True)
class _Covariate:
    """One column: its expression in SQL, and the value where no event says anything."""

    name: str
    group: str
    sql: str
    never: float = 0.0


def _covariates(log: EventLog, window: Window, *, detailed: bool) -> list[_Covariate]:
    kinds = {f"{a}:*": f"{c.ACTION} = '{a}'" for a in c.ACTIONS if log.quality.actions.get(a, 0) > 0}
    kinds["any event"] = f"{c.ACTION} NOT IN {EXPOSURES}"
    if window.outcome.kind != "any":
        kinds[str(window.outcome)] = "hit"
    out = []
    for name, kind in kinds.items():
        before = f"FILTER (before AND {kind})"
        for days in WINDOWS_DAYS if detailed else WINDOWS_DAYS[-1:]:
            counted = f"count(*) FILTER (before AND {kind} AND {_AGE} <= {days})"
            out.append(_Covariate(f"{name} in {days}d", name, counted))
        out.append(_Covariate(f"days since {name}", name, f"min({_AGE}) {before}", _NEVER_DAYS))
        for half in HALF_LIVES_DAYS if detailed else ():
            decayed = f"sum(pow(2, -greatest({_AGE}, 0) / {half})) {before}"
            out.append(_Covariate(f"{name} decayed over {half}d", name, decayed))
    bought = f"before AND {c.ACTION} = 'purchase'"
    for days in _MONEY_DAYS if detailed else _MONEY_DAYS[-1:]:
        spent = f"sum(spend) FILTER ({bought} AND {_AGE} <= {days})"
        out.append(_Covariate(f"spend in {days}d", "spend", spent))
    for k, category in _top_categories(log).items() if detailed else ():
        out.append(_Covariate(f"bought in {category}", "categories", f"count(*) FILTER ({bought} AND k = {k})"))
        met = f"count(*) FILTER (before AND k = {k} AND {_AGE} <= 30)"
        out.append(_Covariate(f"{category} in 30d", "categories", met))
    return out


def _logs(found: pd.DataFrame, covariates: list[_Covariate]) -> Floats:
    """Return (n, d) float32: log(1 + x), where no event is a count and sum of 0 and a recency of ``never``."""
    X = np.empty((len(found), len(covariates)), np.float32)
    for j, covariate in enumerate(covariates):
        value = found[f"x{j}"].to_numpy(float, na_value=np.nan)
        value = np.where(np.isnan(value), covariate.never, np.maximum(value, 0))
        X[:, j] = np.log1p(np.minimum(value, covariate.never) if covariate.never else value)
    return X


def outcome_sql(outcome: Behavior, *, mark: str = "") -> tuple[str, dict[str, str]]:
    """Return the condition on an event joined to its item (``category`` and ``brand`` resolved), and its parameters.

    ``mark`` tells the parameters of several conditions of one statement apart.
    """
    action, target, arm = f"action{mark}", f"target{mark}", f"arm{mark}"
    condition = f"{c.ACTION} = ${action}"
    parameters = {action: outcome.action}
    if outcome.kind == "any":
        return condition, parameters
    parameters[target] = outcome.target
    column = {"item": c.ITEM, "brand": c.BRAND, "query": c.QUERY, "campaign": c.CAMPAIGN}.get(outcome.kind)
    if column:
        condition += f" AND {column} = ${target}"
    else:
        condition += f" AND ({c.CATEGORY} = ${target} OR starts_with({c.CATEGORY}, ${target} || '/'))"
    if outcome.arm:
        parameters[arm] = outcome.arm
        condition += f" AND {c.ARM} = ${arm}"
    return condition, parameters


def _read_shard(
    connection: duckdb.DuckDBPyConnection, log: EventLog, shard: Path, covariates: list[_Covariate], window: Window
) -> pd.DataFrame:
    select = ", ".join(f"{covariate.sql} AS x{j}" for j, covariate in enumerate(covariates))
    condition, parameters = outcome_sql(window.outcome)
    bought = f"after AND {c.ACTION} = 'purchase'"
    sql = f"""
    WITH {PLACED}, judged AS (
        SELECT *, {condition} AS hit FROM placed
    ), met AS (
        SELECT w.{_ROW}, p.{c.ACTION}, p.hit, t.k,
               p.{c.PRICE} * coalesce(p.{c.QUANTITY}, 1) AS spend,
               p.moment_ms < w.{_AT} AS before, (w.{_AT} - p.moment_ms) / {_DAY_MS}.0 AS {_AGE},
               p.moment_ms > w.{_AT} AND p.moment_ms <= w.{_AT} + $horizon AS after,
               p.moment_ms >= w.{_AT} - $horizon AND p.moment_ms < w.{_AT} AS just_before
        FROM judged p JOIN wanted w USING ({c.USER}) LEFT JOIN top t ON CAST(t.{c.CATEGORY} AS VARCHAR) = p.{c.CATEGORY}
    )
    SELECT {_ROW},
           coalesce(bool_or(hit AND after), false) AS outcome,
           coalesce(bool_or(hit AND just_before), false) AS outcome_before,
           coalesce(bool_or(before AND {c.ACTION} NOT IN {EXPOSURES}), false) AS active,
           coalesce(sum(spend) FILTER ({bought}), 0) AS revenue,
           count(*) FILTER ({bought}) AS bought, count(spend) FILTER ({bought}) AS priced,
           {select}
    FROM met GROUP BY {_ROW}
    """
    values: dict[str, Any] = {**parameters, "horizon": window.horizon_ms}
    values |= {"shard": str(shard), "items": str(log.folder / ITEMS)}
    return connection.execute(sql, values).df()


def _top_categories(log: EventLog) -> pd.Series:
    """Return the commonest categories, numbered from 0."""
    totals = log.items().groupby(c.CATEGORY)[c.N_EVENTS].sum().reset_index()
    ordered = totals.sort_values([c.N_EVENTS, c.CATEGORY], ascending=[False, True], ignore_index=True)
    return ordered[c.CATEGORY].astype(str).head(N_CATEGORIES)


def _clock(at_ms: npt.NDArray[np.int64]) -> tuple[Floats, list[str], str]:
    """Return hour and weekday as points on circles, and the date, which matters where sending went on for long."""
    day = 2 * np.pi * (at_ms % _DAY_MS) / _DAY_MS
    week = 2 * np.pi * (at_ms % (7 * _DAY_MS)) / (7 * _DAY_MS)
    date = at_ms / _DAY_MS
    since = date - date.min(initial=np.inf)
    block = np.stack([np.sin(day), np.cos(day), np.sin(week), np.cos(week), since], axis=1)
    return block.astype(np.float32), ["sin day", "cos day", "sin week", "cos week", "date"], "clock"


def _attributes(log: EventLog, user_ids: pd.Series) -> list[tuple[Floats, list[str], str]]:
    users = log.users().set_index(c.USER)
    blocks = []
    for attribute in log.quality.attributes:
        values = users[attribute].reindex(user_ids).astype(object).to_numpy()
        levels = common_levels(users[attribute])
        if levels:
            hot = (values[:, None] == np.array(levels, object)).astype(np.float32)
            blocks.append((hot, [f"{attribute} = {level}" for level in levels], attribute))
    return blocks


def common_levels(values: pd.Series) -> list[str]:
    """Return the commonest levels of an attribute; rarer ones are not told apart."""
    counts = values.dropna().astype(str).value_counts()
    return sorted(str(level) for level in counts.index[:N_LEVELS])
