"""Who is compared with whom, from when on.

- **arms** (randomized or unknown): everybody assigned, from the moment of their assignment.
- **targeted**: the people sent it, from the moment of sending, against people at comparable moments: every user gets a
  moment drawn from the moments of sending, and counts as a control if active before it and not sent it *by then*.
  People sent it later are controls at their earlier moment: to leave them out would pick controls by their future, and
  where sending follows activity the controls would be those who were about to stop. What is estimated is therefore
  "sent now instead of not yet"; how many controls were sent it within their horizon is reported. Only where sending
  comes in waves (at most a day long, half a day apart), whose people were picked before the first of them was sent it,
  are the people of a wave no controls of each other.

Nobody without complete follow-up is counted as a non-buyer: they are left out and counted.
"""

import zlib
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from whybuy import columns as c
from whybuy.behavior.folds import folds_of_users
from whybuy.campaign.assignments import TREATED, Design
from whybuy.config import Config, duration_ms, duration_text
from whybuy.events.log import EventLog

MAX_ROWS_PER_ARM = 40_000
"""At most this many people of an arm are adjusted (a random sample of users beyond)."""
_FIRST, _WAVE_END = "first_ms", "wave_end_ms"
_WAVE_GAP_MS, _WAVE_MS = 12 * 3_600_000, 24 * 3_600_000


@dataclass(frozen=True)
class Cohort:
    """Rows that are compared: ``user_id``, ``ts_ms``, ``treated``, ``arm``, ordered by user and time.

    Attributes
    ----------
    set_aside : reason -> number of people
    notes : plain words
    """

    rows: pd.DataFrame
    set_aside: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def treated(self) -> npt.NDArray[np.bool_]:
        """(n,) who was sent it."""
        return self.rows[TREATED].to_numpy(bool)

    def keep(self, which: npt.NDArray[np.bool_]) -> pd.DataFrame:
        """Return the rows of ``which``."""
        return self.rows[which].reset_index(drop=True)


@dataclass(frozen=True)
class Observed:
    """The window of time in which the log sees everything, milliseconds, and the seed of what is drawn in it."""

    start_ms: int
    end_ms: int
    horizon_ms: int
    lookback_ms: int
    seed: int

    @classmethod
    def of(cls, log: EventLog, config: Config, horizon_ms: int) -> "Observed":
        """Return the window of ``log``."""
        return cls(log.quality.start_ms, log.quality.end_ms, horizon_ms, duration_ms(config.lookback), config.seed)

    def has_followup(self, ts_ms: pd.Series) -> pd.Series:
        """Return whether the whole horizon after each time is seen."""
        return ts_ms + self.horizon_ms <= self.end_ms

    def has_history(self, ts_ms: pd.Series) -> pd.Series:
        """Return whether the lookback before each time is seen."""
        return ts_ms - self.lookback_ms >= self.start_ms


def sampled(cohort: Cohort) -> Cohort:
    """Return the cohort with at most ``MAX_ROWS_PER_ARM`` rows per arm, drawn by a hash of the user."""
    position = folds_of_users(cohort.rows[c.USER].to_numpy(object)).position
    keep = np.ones(len(position), bool)
    notes = cohort.notes
    for arm, name in ((cohort.treated, "people who were sent it"), (~cohort.treated, "controls")):
        if arm.sum() > MAX_ROWS_PER_ARM:
            keep[arm] = position[arm] < np.partition(position[arm], MAX_ROWS_PER_ARM)[MAX_ROWS_PER_ARM]
            notes += (f"A random {keep[arm].sum():,} of the {arm.sum():,} {name} are looked at.",)
    return Cohort(cohort.keep(keep), cohort.set_aside, notes)


def arms_cohort(design: Design, observed: Observed) -> Cohort:
    """Return everybody assigned, with complete follow-up."""
    followed = observed.has_followup(design.rows[c.TIME_MS])
    set_aside, notes = _unfollowed(int((~followed).sum()), observed)
    return Cohort(_ordered(design.rows[followed]), set_aside, notes)


def targeted_cohort(log: EventLog, design: Design, observed: Observed, campaign: str) -> Cohort:
    """Return the people sent ``campaign`` and controls at comparable moments, drawn by seed and campaign."""
    users = log.users()[[c.USER, _FIRST, c.N_EVENTS]]
    sent = design.rows[[c.USER, c.TIME_MS, c.ARM]].merge(users, on=c.USER)
    followed = observed.has_followup(sent[c.TIME_MS])
    set_aside, notes = _unfollowed(int((~followed).sum()), observed)
    early = followed & ~observed.has_history(sent[c.TIME_MS])
    if early.any():
        set_aside["without_lookback"] = int(early.sum())
        lookback = duration_text(observed.lookback_ms)
        notes += (f"Left out because sent it before the log had {lookback} of history: {early.sum():,}.",)
    kept = sent[followed & ~early]
    if kept.empty:
        return Cohort(_ordered(kept.assign(**{TREATED: True})), set_aside, notes)
    rng = np.random.default_rng([observed.seed, zlib.crc32(campaign.encode())])
    moments = kept[[c.TIME_MS]].assign(**{_WAVE_END: wave_ends(design.everyone[c.TIME_MS], kept[c.TIME_MS])})
    controls = _controls(users, design.everyone, moments, rng)
    soon = (controls["sent_ms"] - controls[c.TIME_MS] <= observed.horizon_ms).sum()
    if soon:
        set_aside["controls_sent_within_horizon"] = int(soon)
        notes += (
            f"{soon:,} of {len(controls):,} controls were sent it later within the horizon: "
            "the effect is of being sent it now instead of not yet.",
        )
    rows = pd.concat([kept.assign(**{TREATED: True}), controls.assign(**{TREATED: False, c.ARM: None})])
    return Cohort(_ordered(rows), set_aside, notes)


def only_active(cohort: Cohort, active: npt.NDArray[np.bool_]) -> Cohort:
    """Return the cohort of people who were active before their moment, the others counted."""
    idle = int((cohort.treated & ~active).sum())
    set_aside, notes = dict(cohort.set_aside), cohort.notes
    if idle:
        set_aside["without_activity_before"] = idle
        notes += (f"Left out because sent it before they ever did anything (nobody is like them): {idle:,}.",)
    return Cohort(cohort.keep(active), set_aside, notes)


def wave_ends(all_ms: pd.Series, ms: pd.Series) -> npt.NDArray[np.int64]:
    """Return for each of ``ms`` (all in ``all_ms``) the end of its wave of sending, itself where there is none."""
    times = np.sort(all_ms.to_numpy(np.int64))
    starts = np.flatnonzero(np.diff(times, prepend=times[0] - _WAVE_GAP_MS - 1) > _WAVE_GAP_MS)
    lasts = times[np.append(starts[1:], len(times)) - 1]
    at = ms.to_numpy(np.int64)
    wave = np.searchsorted(times[starts], at, side="right") - 1
    is_short = (lasts - times[starts])[wave] <= _WAVE_MS
    return np.where(is_short, lasts[wave], at)


def _controls(users: pd.DataFrame, sent: pd.DataFrame, moments: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Return users with a drawn moment before which they were there and by which they were not sent it."""
    pool = users[users[c.N_EVENTS] > 0].sort_values(c.USER, ignore_index=True)
    # Sorted, so that neither the order of users nor of assignments changes what is drawn.
    drawn = rng.integers(len(moments), size=len(pool))
    pool[[c.TIME_MS, _WAVE_END]] = moments.sort_values(c.TIME_MS).to_numpy()[drawn]
    own = sent.set_index(c.USER)[c.TIME_MS].rename("sent_ms")
    pool = pool.join(own, on=c.USER)
    not_yet = pool["sent_ms"].isna() | (pool["sent_ms"] > pool[_WAVE_END])
    return pool[not_yet & (pool[_FIRST] < pool[c.TIME_MS])]


def _unfollowed(n: int, observed: Observed) -> tuple[dict[str, int], tuple[str, ...]]:
    if n == 0:
        return {}, ()
    horizon = duration_text(observed.horizon_ms)
    return {"without_followup": n}, (f"Left out because assigned less than {horizon} before the log ends: {n:,}.",)


def _ordered(rows: pd.DataFrame) -> pd.DataFrame:
    columns = [c.USER, c.TIME_MS, TREATED, c.ARM]
    return rows.sort_values([c.USER, c.TIME_MS], kind="stable", ignore_index=True)[columns]
