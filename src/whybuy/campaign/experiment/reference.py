"""What the log already shows of an experiment like the one planned: units, their outcomes, and how fast they enter.

Persons are taken as if the experiment had begun as early as the log allows (``active`` after its start), which shows
how many of those eligible come back by each day; the number of eligible people is that of the log's end, when it
would begin.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from whybuy import columns as c
from whybuy.campaign.experiment.design import DAY_MS, WEEK_MS, Design
from whybuy.campaign.experiment.from_log import (
    eligible_users,
    entered,
    period_outcomes,
    person_activity,
    person_outcomes,
)
from whybuy.campaign.experiment.metrics import Metric
from whybuy.campaign.experiment.plan import cumulated
from whybuy.causal.clusters import Float64, Ints
from whybuy.config import duration_text
from whybuy.errors import QuestionError
from whybuy.events.log import EventLog

_PERIOD_DAYS = 84
"""Switchbacks are planned up to twelve weeks."""


@dataclass(frozen=True)
class Reference:
    """Units of the log.

    Attributes
    ----------
    outcome : (n,) without the treatment; covariates : (n, d) known before, None where the log is too short for any
    clusters : (n,) values of the attribute; None where rows are units
    arriving : (n_days,) units that will have entered by each day
    notes : plain words
    """

    outcome: Float64
    covariates: Float64 | None
    clusters: npt.NDArray[np.object_] | None
    arriving: Ints | None
    notes: tuple[str, ...] = ()


def reference_of(log: EventLog, design: Design, metric: Metric, horizon_ms: int) -> Reference:
    """Return the units that a plan is read off.

    Raises
    ------
    QuestionError
        The log is too short for the horizon, or nobody is eligible.
    """
    if design.is_period:
        return _periods(log, design, metric)
    return _persons(log, design, metric, horizon_ms)


def _persons(log: EventLog, design: Design, metric: Metric, horizon_ms: int) -> Reference:
    first, end = log.quality.start_ms, log.quality.end_ms
    last_entry = end - horizon_ms
    start = last_entry if design.entry == "start" else first + (design.active_ms or 0)
    days = (last_entry - start) / DAY_MS
    if start <= first or (design.entry == "visit" and days < 1):
        raise QuestionError.of(
            found=f"The log spans {(end - first) / DAY_MS:.1f} days",
            needed=f"time before the experiment ({duration_text(design.active_ms or DAY_MS)}), a horizon of "
            f"{duration_text(horizon_ms)} after it, and a day for people to enter",
            do="Plan with a shorter --horizon or --active, or bring a longer log",
        )
    then = replace(design, start_ms=start)
    users = eligible_users(log, then)
    now = len(eligible_users(log, replace(design, start_ms=end)))
    who = entered(log, users, then, last_entry)
    notes = [
        f"Read off {len(who.rows):,} of {len(users):,} people active before {day_text(start)} who entered after it."
    ]
    clusters, kept = None, np.ones(len(who.rows), bool)
    if design.is_attribute:
        values = attribute_of(log, who.rows[c.USER], design.unit)
        kept = values.notna().to_numpy()
        clusters = values[kept].to_numpy(object)
        if not kept.all():
            notes.append(f"Left out: {int((~kept).sum()):,} people without {design.unit}.")
    rows = who.keep(kept).rows
    if rows.empty:
        raise QuestionError.of(
            found="Nobody is eligible", needed="people who could be assigned", do="Widen --active or --where"
        )
    outcome, before = person_outcomes(log, rows, metric, horizon_ms)
    covariates = np.hstack([before, person_activity(log, rows)])
    entry_day = ((rows[c.TIME_MS].to_numpy() - start) // DAY_MS).astype(np.int64)
    share = cumulated(entry_day, max(int(days), 1)) / max(len(users), 1)
    arriving = None if design.is_attribute else np.floor(share * now).astype(np.int64)
    if arriving is not None:
        notes.append(
            f"{now:,} people are eligible at the log's end; by day {len(arriving)}, {arriving[-1]:,} will be in."
        )
    return Reference(outcome, covariates, clusters, arriving, tuple(notes))


def _periods(log: EventLog, design: Design, metric: Metric) -> Reference:
    assert design.period_ms is not None
    starts = period_starts(log.quality.start_ms, log.quality.end_ms, design.period_ms)
    if len(starts) < 3:
        raise QuestionError.of(
            found=f"The log holds {len(starts)} whole {design.units_word}",
            needed="at least three to see how they vary",
            do="Take shorter periods, or bring a longer log",
        )
    outcome = period_outcomes(log, starts, metric, design)
    n_week = WEEK_MS // design.period_ms
    days = np.arange(1, _PERIOD_DAYS + 1)
    arriving = (days * DAY_MS // design.period_ms).astype(np.int64)
    notes = ["Effects are of a whole period for everybody; one that outlasts its period is missed: leave a --washout."]
    if WEEK_MS % design.period_ms or len(starts) - n_week < max(30, n_week):
        return Reference(outcome, None, None, arriving, (*notes, "Too short a log to adjust for the week before."))
    return Reference(outcome[n_week:], outcome[:-n_week, None], None, arriving, tuple(notes))


def period_starts(from_ms: int, until_ms: int, period_ms: int) -> Ints:
    """Return the beginnings of the whole periods within a time, at multiples of their length in UTC."""
    first = -(-from_ms // period_ms) * period_ms
    return np.arange(first, until_ms - period_ms + 1, period_ms, dtype=np.int64)


def attribute_of(log: EventLog, users: pd.Series, name: str) -> pd.Series:
    """Return the value of an attribute for each of ``users``, as text; null where unknown."""
    values = log.users().set_index(c.USER)[name].reindex(users)
    return values.astype(object).where(values.notna(), None).map(lambda v: None if v is None else str(v))


def day_text(ms: int) -> str:
    """Return a time to the minute, UTC."""
    return pd.Timestamp(ms, unit="ms").strftime("%Y-%m-%d %H:%M")
