"""From a log and an assignment to what the experiment found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from whybuy import columns as c
from whybuy.campaign.experiment.analyze import Rules, analyze_experiment
from whybuy.campaign.experiment.design import DAY_MS, Design, require_times
from whybuy.campaign.experiment.file import ARM, STRATUM, UNIT, Assignment
from whybuy.campaign.experiment.from_log import (
    entered,
    period_outcomes,
    person_activity,
    person_outcomes,
    same_slot_before,
)
from whybuy.campaign.experiment.metrics import Margin, Metric, require_distinct
from whybuy.campaign.experiment.reference import attribute_of, day_text
from whybuy.campaign.experiment.result import ExperimentResult
from whybuy.causal.clusters import Float64
from whybuy.errors import QuestionError, SourceError
from whybuy.events.log import EventLog


@dataclass(frozen=True, kw_only=True)
class Questions:
    """What is asked of an experiment.

    Attributes
    ----------
    metrics : what shall move; guardrails : what must not be hurt, with margins
    smallest : differences of shares within plus or minus this count as none
    peek : whether one looks before the planned end
    planned : units in all arms at the end; all assigned where None
    """

    metrics: Sequence[Metric]
    horizon_ms: int
    guardrails: Sequence[tuple[Metric, Margin]] = ()
    smallest: float | None = None
    peek: bool = False
    planned: int | None = None

    def __post_init__(self) -> None:
        require_distinct(self.metrics, [metric for metric, _ in self.guardrails])

    @property
    def all(self) -> list[Metric]:
        """All metrics, those that shall move first."""
        return [*self.metrics, *(metric for metric, _ in self.guardrails)]


@dataclass(frozen=True)
class _Table:
    """One row per person or period that is compared."""

    arm: npt.NDArray[np.object_]
    stratum: npt.NDArray[np.object_]
    clusters: npt.NDArray[np.object_] | None
    outcomes: dict[str, Float64]
    covariates: dict[str, Float64]
    notes: tuple[str, ...] = ()
    checks: dict[str, Any] = field(default_factory=dict)


def analyze_log(log: EventLog, assignment: Assignment, design: Design, questions: Questions) -> ExperimentResult:
    """Return what an experiment found.

    Parameters
    ----------
    design : the assignment's own; for a file of another system what is said of it

    Raises
    ------
    QuestionError
        The experiment has not begun within the log, nobody's horizon has passed, or the file is of other people.
    SourceError
        The file lacks an arm or a unit.
    ArraysError
        An arm is unknown, missing or too small.
    """
    require_times(log)
    frame, notes = _checked(assignment.frame)
    _require_begun(log, design)
    table = (_periods if design.is_period else _persons)(log, frame, design, questions)
    is_share = {m.name for m in questions.all if m.behavior is not None and not design.is_period}
    smallest = {} if questions.smallest is None else dict.fromkeys(is_share, questions.smallest)
    rules = Rules(
        shares=design.shares,
        guardrails={metric.name: margin for metric, margin in questions.guardrails},
        smallest=smallest,
        planned=(questions.planned or len(frame)) if questions.peek else None,
    )
    found = analyze_experiment(
        table.arm,
        table.outcomes,
        rules,
        covariates=table.covariates,
        strata=table.stratum,
        clusters=table.clusters,
    )
    told = () if assignment.design is not None else ("The file has no hash: nothing shows that it was not changed.",)
    return replace(
        found,
        unit=design.units_word,
        notes=(*notes, *table.notes, *told),
        checks={**table.checks, "sha256": assignment.sha256 if assignment.design is not None else None},
        rehearsal=_rehearsal(assignment),
    )


def _checked(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Return the rows of units in one arm."""
    lacking = frame[[UNIT, ARM]].isna() | (frame[[UNIT, ARM]] == "")
    if lacking.any(axis=None):
        raise SourceError.of(
            found=f"{int(lacking.any(axis=1).sum())} rows of the assignment have no unit or no arm",
            needed="both in every row",
            do="Correct the file, or take these rows out for every arm alike",
        )
    frame = frame.astype(str).drop_duplicates([UNIT, ARM])
    in_two = frame[UNIT].duplicated(keep=False)
    note = [f"Set aside because in two arms: {frame.loc[in_two, UNIT].nunique():,} units."] if in_two.any() else []
    return frame[~in_two].reset_index(drop=True), note


def _require_begun(log: EventLog, design: Design) -> None:
    if design.start_ms >= log.quality.last_ms:
        raise QuestionError.of(
            found=f"The experiment begins {day_text(design.start_ms)}, and the log ends at "
            f"{day_text(log.quality.last_ms)}",
            needed="what happened after the assignment",
            do="Bring the log up to date and run this again",
        )


def _rehearsal(assignment: Assignment) -> str | None:
    """Return why there can be no verdict where outcomes were there before the arms."""
    design = assignment.design
    if design is None or not assignment.is_rehearsal:
        return None
    return (
        f"A rehearsal: the arms were drawn when the log reached {day_text(design.known_until_ms)}, and outcomes count "
        f"from {day_text(design.start_ms)} on. Nobody can have been treated by then: whatever moved here is chance. "
        "Assign with a --start that is not yet past."
    )


def _persons(log: EventLog, frame: pd.DataFrame, design: Design, questions: Questions) -> _Table:
    users = log.users()[c.USER]
    unit = users if design.unit == "user" else attribute_of(log, users, design.unit)
    of_user = pd.DataFrame({c.USER: users.to_numpy(object), UNIT: unit.to_numpy(object)})
    known = of_user.merge(frame, on=UNIT)
    missing = int((~frame[UNIT].isin(of_user[UNIT])).sum())
    if missing > len(frame) / 2:
        raise QuestionError.of(
            found=f"{missing:,} of {len(frame):,} units of the file are not in the log",
            needed="the assignment of this log's people",
            do="Name the right file; ids must be written as in the log",
        )
    last = log.quality.end_ms - questions.horizon_ms
    who = entered(log, known[c.USER].to_numpy(object), design, log.quality.end_ms)
    kept = who.keep((who.rows[c.TIME_MS] <= last).to_numpy(bool))
    if kept.rows.empty:
        raise QuestionError.of(
            found=f"Nobody's horizon has passed: the log ends {day_text(log.quality.end_ms)}",
            needed=f"people who entered before {day_text(last)}",
            do="Wait, or ask with a shorter --horizon",
        )
    rows = kept.rows.merge(known, on=c.USER, how="left")
    activity = person_activity(log, rows)
    outcomes, covariates = {}, {}
    for metric in questions.all:
        outcomes[metric.name], before = person_outcomes(log, rows, metric, questions.horizon_ms)
        covariates[metric.name] = np.hstack([before, activity])
    recent = len(who.rows) - len(rows)
    notes = [f"{len(rows):,} of {len(known):,} people assigned have entered and can be compared."]
    if recent:
        notes.append(f"Left out in every arm because their horizon is not over: {recent:,}.")
    if missing:
        notes.append(f"{missing:,} units of the file are not in the log.")
    return _Table(
        rows[ARM].to_numpy(object),
        rows[STRATUM].to_numpy(object),
        None if design.unit == "user" else rows[UNIT].to_numpy(object),
        outcomes,
        covariates,
        tuple(notes),
        {"assigned": known[ARM].value_counts().sort_index().to_dict()},
    )


def _periods(log: EventLog, frame: pd.DataFrame, design: Design, questions: Questions) -> _Table:
    assert design.period_ms is not None
    starts = pd.to_datetime(frame[UNIT], utc=True, errors="coerce")
    if starts.isna().any():
        raise SourceError.of(
            found=f"The unit {frame[UNIT][starts.isna()].iloc[0]!r} is no time",
            needed="the beginning of a period, as 2026-01-01T00:00:00Z",
            do="Name the file of a switchback",
        )
    start_ms = (starts - pd.Timestamp(0, tz="UTC")) // pd.Timedelta("1ms")
    over = (start_ms + design.period_ms <= log.quality.end_ms).to_numpy(bool)
    if not over.any():
        raise QuestionError.of(
            found=f"No period is over: the log ends {day_text(log.quality.end_ms)}",
            needed="whole periods",
            do="Wait, and bring the log up to date",
        )
    rows, times = frame[over], np.asarray(start_ms[over], np.int64)
    outcomes = {m.name: period_outcomes(log, times, m, design) for m in questions.all}
    before = {m.name: same_slot_before(log, times, m, design) for m in questions.all}
    days = (times.max() + design.period_ms - times.min()) / DAY_MS
    notes = [
        f"{int(over.sum()):,} of {len(frame):,} periods are over ({days:.0f} days); outcomes are totals of a period."
    ]
    covariates = {name: Z for name, Z in before.items() if Z is not None}
    return _Table(rows[ARM].to_numpy(object), rows[STRATUM].to_numpy(object), None, outcomes, covariates, tuple(notes))


def foreign_design(shares: Mapping[str, float], start_ms: int, **more: Any) -> Design:
    """Return what is said of an assignment that another system drew."""
    return Design(shares=dict(shares), start_ms=start_ms, known_until_ms=start_ms, **more)
