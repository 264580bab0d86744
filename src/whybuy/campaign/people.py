"""The people of a campaign as arrays: what was known of each before the assignment, their arm, what came of it.

Covariates are windowed counts, attributes and the behavior model's forecasts, all strictly before. The same columns are
read for everybody as they are when the log ends, because that is whom the next message goes to; their clock is set to
the campaign's usual one, as nothing was learned about another.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from whybuy import columns as c
from whybuy.campaign.assignments import TREATED, Design
from whybuy.campaign.cohort import Cohort, Observed, sampled
from whybuy.campaign.history import Bools, Floats, History, Window, history_of
from whybuy.causal.clusters import Float64, Ints
from whybuy.engine import steady_duckdb
from whybuy.events.log import EventLog
from whybuy.progress import Report, quiet

if TYPE_CHECKING:
    from whybuy.campaign.forecasts import Forecaster, Remembering

NOTHING = "nothing"
CLOCK, FORECAST = "clock", "forecast"


@dataclass(frozen=True)
class People:
    """Who was assigned what, and what came of it.

    Attributes
    ----------
    user_ids, arm : (n,) the person, and 0 for not sent, else the place of the arm in ``arms``
    arms : names, "nothing" first
    shares : (n_arms,) the chance of each arm where it was drawn at random; None where it was not
    X, names, groups : (n, d) covariates and what they are
    outcome : (n,) whether the outcome followed; revenue : (n,) money of all purchases, None where prices are not logged
    now : (m, d) the same covariates of everybody when the log ends, with ``now_ids``; none where not asked for
    notes : who was left out, in words
    """

    user_ids: npt.NDArray[np.object_]
    arm: Ints
    arms: tuple[str, ...]
    shares: Float64 | None
    X: Floats
    names: list[str]
    groups: list[str]
    outcome: Bools
    revenue: Float64 | None
    now: Floats
    now_ids: npt.NDArray[np.object_]
    notes: tuple[str, ...] = ()

    @property
    def sent(self) -> Bools:
        """(n,) who was sent anything."""
        return self.arm > 0

    @property
    def chance(self) -> float | None:
        """The known chance of being sent anything."""
        return None if self.shares is None else float(self.shares[1:].sum())


@dataclass(frozen=True)
class Reader:
    """What the covariates of a campaign's people are read from.

    Attributes
    ----------
    forecaster : the behavior model; counts and attributes alone where None
    is_for_sending : whether everybody is read as they are now, too
    """

    log: EventLog
    window: Window
    observed: Observed
    forecaster: "Forecaster | Remembering | None" = None
    is_for_sending: bool = False
    report: Report = quiet

    def people(self, design: Design, cohort: Cohort) -> People:
        """Return the people of a campaign."""
        cohort = sampled(cohort)
        everybody = everybody_now(self.log, self.observed)
        if not self.is_for_sending:
            everybody = everybody.iloc[:0]
        rows = pd.concat([cohort.rows[[c.USER, c.TIME_MS]], everybody], ignore_index=True)
        history = history_of(self.log, rows, self.window, report=self.report)
        then = np.arange(len(rows)) < len(cohort.rows)
        # What the campaign's people do not differ in teaches nothing, with a plan for people now or without.
        history = history.columns(history.keep(then).varying())
        at, now = self._with_forecasts(history.keep(then), history.keep(~then), rows[then], rows[~then])
        if design.kind == "targeted":
            cohort, at = replace(cohort, rows=cohort.keep(at.active)), at.keep(at.active)
        arms = (NOTHING, *_arms(design))
        revenue = at.revenue if _one_currency(self.log) else None
        return People(
            user_ids=cohort.rows[c.USER].to_numpy(object),
            arm=_numbers(cohort.rows, arms),
            arms=arms,
            shares=_shares(design, cohort.rows, arms) if design.kind == "randomized" else None,
            X=at.X,
            names=at.names,
            groups=at.groups,
            outcome=at.outcome,
            revenue=revenue,
            now=_at_the_usual_clock(now.X, at.X, at.groups),
            now_ids=everybody[c.USER].to_numpy(object),
            notes=cohort.notes,
        )

    def _with_forecasts(
        self, at: History, now: History, at_rows: pd.DataFrame, now_rows: pd.DataFrame
    ) -> tuple[History, History]:
        """Return both histories with forecasts; what fills a gap of the campaign's people must not come from now."""
        if self.forecaster is None:
            return at, now
        found = self.forecaster.at(at_rows, self.window.horizon_ms, report=self.report)
        later = np.empty((len(now_rows), found.shape[1]), np.float32)
        if later.size:
            later[:] = self.forecaster.at(now_rows, self.window.horizon_ms, report=self.report)
        names = self.forecaster.names[: found.shape[1]]
        return _beside(at, found, names), _beside(now, later, names)


def _beside(history: History, forecasts: Floats, names: list[str]) -> History:
    return replace(
        history,
        X=np.concatenate([history.X, forecasts], axis=1),
        names=[*history.names, *names],
        groups=[*history.groups, *[FORECAST] * len(names)],
    )


def everybody_now(log: EventLog, observed: Observed) -> pd.DataFrame:
    """Return everybody who ever did anything (``user_id``, ``ts_ms``), at the end of the log."""
    users = log.users()
    ids = users.loc[users[c.N_EVENTS] > 0, c.USER]
    return pd.DataFrame({c.USER: ids.to_numpy(object), c.TIME_MS: np.int64(observed.end_ms + 1)})


def _arms(design: Design) -> list[str]:
    """Return the arms that are told apart: only a draw says who could have been in which of several."""
    found = design.treated_arms
    return found if len(found) == 1 or (found and design.kind == "randomized") else ["sent"]


def _numbers(rows: pd.DataFrame, arms: tuple[str, ...]) -> Ints:
    if len(arms) == 2:
        return rows[TREATED].to_numpy(np.int64)
    place = {name: k for k, name in enumerate(arms)}
    return np.where(rows[TREATED], rows[c.ARM].map(place).fillna(0), 0).astype(np.int64)


def _shares(design: Design, rows: pd.DataFrame, arms: tuple[str, ...]) -> Float64:
    """Return the chance of every arm: as logged, or else as it came out, where the config says that it was drawn."""
    expected = design.sample_ratio["expected"]
    arm = _numbers(rows, arms)
    if expected is None:
        return np.bincount(arm, minlength=len(arms)) / len(arm)
    by_arm = [expected[name] for name in arms[1:]]
    found = np.array([sum(expected.values()) - sum(by_arm), *by_arm])
    return found / found.sum()


def _at_the_usual_clock(now: Floats, then: Floats, groups: list[str]) -> Floats:
    clock = np.array([group == CLOCK for group in groups], bool)
    out = now.copy()
    out[:, clock] = np.median(then[:, clock], axis=0) if len(then) else 0.0
    return out


def _one_currency(log: EventLog) -> bool:
    """Return whether all money is of one kind, so that it can be added."""
    sql = f"""
        SELECT count(DISTINCT {c.CURRENCY}) FROM read_parquet($shards)
        WHERE {c.ACTION} = 'purchase' AND {c.PRICE} IS NOT NULL
    """
    with steady_duckdb() as connection:
        row = connection.execute(sql, {"shards": [str(shard) for shard in log.shards]}).fetchone()
    return row is not None and row[0] <= 1
