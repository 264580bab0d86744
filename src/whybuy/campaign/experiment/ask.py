"""Plan, assign, analyze: the three questions put to a log."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from whybuy import columns as c
from whybuy.campaign.experiment.assign import assign_units
from whybuy.campaign.experiment.design import DAY_MS, Design, require_attribute, require_times
from whybuy.campaign.experiment.file import ARM, STRATUM, UNIT, Assignment
from whybuy.campaign.experiment.from_log import eligible_users, person_activity
from whybuy.campaign.experiment.metrics import Metric
from whybuy.campaign.experiment.plan import Wanted, plan_experiment
from whybuy.campaign.experiment.plan_result import ExperimentPlan
from whybuy.campaign.experiment.reference import attribute_of, day_text, period_starts, reference_of
from whybuy.config import duration_text
from whybuy.errors import QuestionError
from whybuy.events.log import EventLog
from whybuy.progress import Report, quiet

ACTIVITY, SIZE = "activity", "size"
_NONE = "(none)"


@dataclass(frozen=True, kw_only=True)
class PlanQuestion:
    """What is planned.

    Attributes
    ----------
    metric : what shall move, within ``horizon_ms``
    relative : the effect as a share of the baseline, instead of the one in the :class:`Wanted`
    days : days of entering, instead of a number of units
    """

    metric: Metric
    horizon_ms: int
    relative: float | None = None
    days: int | None = None


def plan_log(
    log: EventLog, question: PlanQuestion, design: Design, wanted: Wanted, *, report: Report = quiet
) -> ExperimentPlan:
    """Return the plan of an experiment, read off the log.

    Raises
    ------
    QuestionError
        The log has no times, is too short, or nobody is eligible.
    ArraysError
        The units are too few, or the outcome never varies.
    """
    require_times(log)
    found = reference_of(log, design, question.metric, question.horizon_ms)
    if question.relative is not None:
        wanted = replace(wanted, effect=question.relative * float(found.outcome.mean()))
    if question.days is not None:
        wanted = replace(wanted, n_units=_units_by(question.days, found.arriving))
    plan = plan_experiment(
        found.outcome,
        wanted,
        covariates=found.covariates,
        clusters=found.clusters,
        arriving=found.arriving,
        report=report,
    )
    within = None if design.is_period else duration_text(question.horizon_ms)
    per = f"{question.metric.name} per period" if design.is_period else question.metric.name
    return replace(plan, name=per, unit=design.units_word, horizon=within, notes=(*plan.notes, *found.notes))


def _units_by(days: int, arriving: npt.NDArray[np.int64] | None) -> int:
    if arriving is None or days > len(arriving):
        raise QuestionError.of(
            found=f"--days {days} was asked for, and the log shows "
            f"{'no days of entering' if arriving is None else f'{len(arriving)} days of entering'}",
            needed="a number of days that it shows",
            do="Leave --days out, or bring a longer log",
        )
    return int(arriving[days - 1])


def assign_log(log: EventLog, design: Design, *, stratify: Sequence[str] = (), days: int | None = None) -> Assignment:
    """Return who gets which arm, drawn by the design's seed.

    Parameters
    ----------
    stratify : attributes of people, or "activity:4" for quarters of what they did in the 30 days before the start; for
        values of an attribute "size:4" (people that they have); periods are stratified by weekend and hour as they are
    days : how long a switchback runs

    Raises
    ------
    QuestionError
        An attribute is unknown, nobody is eligible, or a switchback has no length.
    ArraysError
        Shares do not sum to 1, or an arm is too small.
    """
    require_times(log)
    design = replace(design, stratify=tuple(stratify), known_until_ms=log.quality.last_ms)
    strata: npt.NDArray[np.object_] | None
    if design.is_period:
        units, strata = _periods(design, days)
    elif design.is_attribute:
        units, strata = _values(log, design)
    else:
        users = eligible_users(log, design)
        units, strata = users, _strata(log, users, design)
    if len(units) == 0:
        raise QuestionError.of(
            found=f"Nobody is eligible at {day_text(design.start_ms)}",
            needed="people who were active before it",
            do="Widen --active or --where, or move --start",
        )
    frame = assign_units(units, design.shares, strata=strata, seed=design.seed)
    return Assignment(frame[[UNIT, ARM, STRATUM]].astype(object), design)


def _strata(log: EventLog, users: npt.NDArray[np.object_], design: Design) -> npt.NDArray[np.object_] | None:
    if not design.stratify:
        return None
    rows = pd.DataFrame({c.USER: users, c.TIME_MS: np.full(len(users), design.start_ms, np.int64)})
    labels = []
    for name in design.stratify:
        kind, parts = _parted(name)
        if kind == ACTIVITY and parts is not None:
            labels.append(_quantiles(person_activity(log, rows)[:, 0], parts, ACTIVITY))
            continue
        require_attribute(name, log)
        values = attribute_of(log, rows[c.USER], name)
        labels.append(pd.Series([f"{name}={_NONE if v is None else v}" for v in values], dtype=object))
    return pd.concat([label.reset_index(drop=True) for label in labels], axis=1).agg("|".join, axis=1).to_numpy(object)


def _values(log: EventLog, design: Design) -> tuple[npt.NDArray[np.object_], npt.NDArray[np.object_] | None]:
    users = pd.Series(eligible_users(log, design))
    n = attribute_of(log, users, design.unit).value_counts().sort_index()
    if not design.stratify:
        return n.index.to_numpy(object), None
    kind, parts = _parted(design.stratify[0])
    if len(design.stratify) > 1 or kind != SIZE or parts is None:
        raise QuestionError.of(
            found=f"--stratify {','.join(design.stratify)} for values of {design.unit}",
            needed="what these values have in common: how many people they have",
            do="Write --stratify size:2",
        )
    return n.index.to_numpy(object), _quantiles(np.asarray(n, float), parts, SIZE).to_numpy(object)


def _periods(design: Design, days: int | None) -> tuple[npt.NDArray[np.object_], npt.NDArray[np.object_]]:
    assert design.period_ms is not None
    if design.stratify or not days or days < 1:
        raise QuestionError.of(
            found="--stratify was given for periods" if design.stratify else "A switchback has no --days",
            needed="how long it runs; its strata are weekends and hours",
            do="Write --days 28 and leave --stratify out",
        )
    starts = period_starts(design.start_ms, design.start_ms + days * DAY_MS + design.period_ms - 1, design.period_ms)
    times = pd.to_datetime(starts, unit="ms")
    weekend = np.where(times.day_of_week >= 5, "weekend", "weekday")
    strata = [f"{kind} {time:%H:%M}" for kind, time in zip(weekend, times, strict=True)]
    return times.strftime("%Y-%m-%dT%H:%M:%SZ").to_numpy(object), np.array(strata, object)


def _parted(name: str) -> tuple[str, int | None]:
    """Return ``activity:4`` as its name and number; no number where none is written."""
    kind, _, parts = name.partition(":")
    return kind, int(parts) if parts.isdigit() and 2 <= int(parts) <= 20 else None


def _quantiles(values: npt.NDArray[np.float64], parts: int, name: str) -> pd.Series:
    """Return the quantile of every value, from 1; equal values are in one."""
    rank = pd.Series(values).rank(method="average", pct=True)
    return (rank * parts).map(lambda place: f"{name}={max(1, math.ceil(place - 1e-9))}").astype(object)
