"""The trials of a log, block of users by block of users.

Treated: the trial holds behavior b. Control for outcome a: any other trial that holds no event of a itself (else the
control's own purchase would not be counted, and a behavior that does nothing would look like a cause). Covariates:
everything strictly before, and the time. Outcome: a in (ts, ts + horizon]. Eligible: ``lookback`` of observed history
before, complete follow-up after. What a trial is made of, one decision or several, its design says
(:mod:`whybuy.causal.designs`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from whybuy.behavior.folds import folds_of_users
from whybuy.behavior.targets import Bytes, Heads
from whybuy.behavior.twins import TwinModels
from whybuy.causal.designs import STEP, Design, Units
from whybuy.causal.measures import Measure
from whybuy.causal.neighbors import Neighbors
from whybuy.config import Config, duration_ms, duration_text
from whybuy.engine import give_back_memory
from whybuy.errors import QuestionError
from whybuy.events.behaviors import Behavior
from whybuy.events.features import LONGEST_WINDOW_MS, history_features, windowed_counts
from whybuy.events.log import EventLog
from whybuy.events.moments import Moments, decisions, in_moment, prefix_counts, within
from whybuy.events.sequences import Bools, Ints, Sequences, SequenceStore, hits_in
from whybuy.progress import Report, quiet

BLOCK_EVENTS = 16_384
_JUDGED_EVENTS = 65_536
_MANY_BEHAVIORS = 80
Float64 = npt.NDArray[np.float64]

_OWN_WINDOWS = tuple(duration_ms(w) for w in ("1d", "7d"))


@dataclass(frozen=True)
class Protocol:
    """Who is eligible, and how long is looked back and ahead; milliseconds."""

    start_ms: int
    end_ms: int
    lookback_ms: int
    horizon_ms: int

    @classmethod
    def of(cls, log: EventLog, config: Config, horizon: str) -> "Protocol":
        """Return the protocol of a horizon on this log."""
        return cls(log.quality.start_ms, log.quality.end_ms, duration_ms(config.lookback), duration_ms(horizon))

    @property
    def is_possible(self) -> bool:
        """Whether any decision can have both history and follow-up."""
        return self.end_ms - self.start_ms > self.lookback_ms + self.horizon_ms

    @property
    def late_ms(self) -> int:
        """When the last fifth of the time of trials begins: calibration is judged from here on."""
        first, last = self.start_ms + self.lookback_ms, self.end_ms - self.horizon_ms
        return last - (last - first) // 5

    def require_possible(self) -> None:
        """Raise QuestionError where the log is shorter than lookback and horizon together."""
        if not self.is_possible:
            day = 86_400_000
            raise QuestionError.of(
                found=f"The log spans {(self.end_ms - self.start_ms) / day:.1f} days",
                needed=f"more than lookback plus horizon, {(self.lookback_ms + self.horizon_ms) / day:.1f} days",
                do="Ask with a shorter --horizon, shorten `lookback` in whybuy.toml, or bring a longer log",
            )

    def eligible(self, sequences: Sequences, moments: Moments) -> Bools:
        """Return (n_moments,) which moments are trials of the step design."""
        return decisions(sequences, moments) & self.spanned(moments.ts_ms, moments.ts_ms)

    def spanned(self, first_ms: Ints, last_ms: Ints) -> Bools:
        """Return (n,) whether there is history before ``first_ms`` and follow-up after ``last_ms``."""
        spanned: Bools = (first_ms >= self.start_ms + self.lookback_ms) & (last_ms + self.horizon_ms <= self.end_ms)
        return spanned


@dataclass(frozen=True)
class Columns:
    """What the columns of X are: names, and covariate groups ("model" for the heads)."""

    names: list[str]
    groups: list[str]

    @property
    def logged(self) -> Bools:
        """(d,) columns computed from the log alone, without the model."""
        return np.array([group != "model" for group in self.groups])


@dataclass(frozen=True)
class TrialBlock:
    """The trials of a block of users.

    Attributes
    ----------
    user : (n,) index of the user within the block, ascending
    user_ids : ids of the block's users
    is_behavior : (n, n_behaviors) 1 where the trial holds the behavior
    outcome : (n, n_outcomes) 1 where the outcome follows within the horizon
    X : (n, d) float32 covariates, the model's heads among them
    logits : (n, n_behaviors + 2 n_outcomes) propensities, outcomes in trials, outcomes anywhere
    extra_behavior, extra_outcome : (n, n_extra) the same for behaviors that the model has no head for
    ts_ms : (n,) time of the trial's first decision
    past, recent : (n, n_behaviors + n_extra) events of each behavior, at most 255, in the source's ``past_ms`` before
        the trial and in the last ``recent_ms`` of it; no column where ``past_ms`` is 0
    excess : (n, n_neighbors) by behavior of the source's ``neighbors``; no column where it has none
    is_late : (n,) whether the trial lies in the last fifth of the time that trials can lie in
    measured : (n, n_measures) sums, over the trial's events, of what the source measures
    """

    user: Ints
    user_ids: npt.NDArray[np.object_]
    is_behavior: Bytes
    outcome: Bytes
    X: npt.NDArray[np.float32]
    logits: npt.NDArray[np.float32]
    columns: Columns
    extra_behavior: Bytes
    extra_outcome: Bytes
    is_late: Bools
    ts_ms: Ints
    past: Bytes
    recent: Bytes
    measured: Float64
    excess: npt.NDArray[np.float32]

    def __len__(self) -> int:
        """Return the number of trials."""
        return len(self.user)

    @property
    def subfold(self) -> Ints:
        """(n,) fold of the trial's user for the final learners."""
        return folds_of_users(self.user_ids).subfold[self.user]


@dataclass(frozen=True)
class TrialSource:
    """Draws the trials of a log, block of users by block of users, for one horizon.

    Attributes
    ----------
    judged : folder of the saved heads, see :func:`save_heads`
    position_below : only users whose hash position lies below are drawn (1 for all)
    extra : behaviors without a head of their own that a question is about
    users : only these users are drawn (all where None)
    past_ms : how far before a decision each behavior's own events are counted for the checks; not at all where 0
    design : which decisions make a trial
    measure : numbers of events that are wanted of every trial; none where None
    neighbors : what others did, for the checks
    """

    store: SequenceStore
    heads: Heads
    judged: Path
    protocol: Protocol
    position_below: float = 1.0
    extra: tuple[Behavior, ...] = ()
    users: frozenset[str] | None = None
    past_ms: int = 0
    design: Design = STEP
    measure: Measure | None = None
    neighbors: Neighbors | None = None

    @property
    def recent_ms(self) -> int:
        """The last part of ``past_ms``, of seven: a day of a week."""
        return self.past_ms // 7

    @property
    def outcomes(self) -> list[int]:
        """Columns of the behaviors that are outcomes."""
        return list(self.heads.outcomes)

    def blocks(self) -> Iterator[TrialBlock]:
        """Yield the trials of every block of users."""
        for shard, log_shard in zip(self.store.shards, self.store.log_shards, strict=True):
            sequences = Sequences.open(shard)
            at = np.load(self.judged / f"{shard.name}.moments.npy", mmap_mode="r")
            logits = np.load(self.judged / f"{shard.name}.logits.npy", mmap_mode="r")
            extra, measured = self._extra_hits(sequences, log_shard), self._measured(sequences, log_shard)
            first_moment, first_event = 0, 0
            for block in sequences.blocks(BLOCK_EVENTS):
                n = len(block.moment_starts) - 1
                low, high = np.searchsorted(at, [first_moment, first_moment + n])
                judged = Judged(np.asarray(at[low:high]) - first_moment, np.asarray(logits[low:high], np.float32))
                events = slice(first_event, first_event + block.n_events)
                yield self.block(block, judged, extra[events], measured[events])
                first_moment += n
                first_event += block.n_events
            give_back_memory()

    def hits(self) -> Iterator[tuple[Sequences, Bytes]]:
        """Yield every block of users with (n_events, n_behaviors + n_extra) the behaviors that its events are."""
        for shard, log_shard in zip(self.store.shards, self.store.log_shards, strict=True):
            sequences = Sequences.open(shard)
            extra, first = self._extra_hits(sequences, log_shard), 0
            for block in sequences.blocks(BLOCK_EVENTS):
                yield block, self._all_hits(block, extra[first : first + block.n_events])
                first += block.n_events
            give_back_memory()

    def _all_hits(self, sequences: Sequences, extra: Bytes) -> Bytes:
        return np.concatenate([self.heads.index.hits(sequences), extra], axis=1)

    def block(self, sequences: Sequences, judged: "Judged", extra: Bytes, measured: Float64) -> TrialBlock:
        """Return the trials of ``sequences``.

        Parameters
        ----------
        extra : (n_events, n_extra) marks the extra behaviors
        measured : (n_events, n_measures) what is measured
        """
        moments = Moments.of(sequences, reach_ms=max(self.protocol.horizon_ms, LONGEST_WINDOW_MS))
        hits = self._all_hits(sequences, extra)
        prefix, horizon, n_extra = prefix_counts(hits), self.protocol.horizon_ms, len(self.extra)
        units = self._units(sequences, moments, judged, prefix)
        where, last = units.first, units.last
        is_behavior = (prefix[moments.end[last]] > prefix[moments.first[where]]).astype(np.uint8)
        modeled = is_behavior.shape[1] - n_extra
        asked = [*self.outcomes, *range(modeled, modeled + n_extra)]
        outcome = within(np.ascontiguousarray(prefix[:, asked]), moments, horizon)[last]
        history = history_features(sequences, moments, self.heads.spec)
        own, own_names = _own_counts(prefix[:, modeled:], moments, self.extra)
        found = of_horizon(judged.logits[np.searchsorted(judged.moments, where)], self.heads, self.protocol.horizon_ms)
        heads, names = model_columns(found, self.heads)
        groups = history.groups + ["behavior"] * len(own_names) + ["model"] * len(names)
        none = np.empty((len(where), 0), np.float32)
        excess = none if self.neighbors is None else self.neighbors.excess(sequences, moments, where, hits)
        past, recent = (_counts_before(prefix, moments, where, ms) for ms in (self.past_ms, self.recent_ms))
        return TrialBlock(
            user=moments.user[where],
            user_ids=sequences.user_ids,
            is_behavior=is_behavior[:, :modeled],
            outcome=outcome[:, : len(self.outcomes)],
            X=np.concatenate([history.values[where], own[where], heads], axis=1),
            logits=found,
            columns=Columns(history.names + own_names + names, groups),
            extra_behavior=is_behavior[:, modeled:],
            extra_outcome=outcome[:, len(self.outcomes) :],
            is_late=moments.ts_ms[where] >= self.protocol.late_ms,
            ts_ms=moments.ts_ms[where],
            past=past,
            recent=recent,
            measured=_sums(measured, moments.first[where], moments.end[last]),
            excess=excess,
        )

    def _units(self, sequences: Sequences, moments: Moments, judged: "Judged", prefix: npt.NDArray[np.int32]) -> Units:
        """Return the eligible trials of the users drawn, those whose first decision the model has judged."""
        names = [*self.heads.index.behaviors, *self.extra]

        def holds(behavior: Behavior) -> Bools:
            column = np.ascontiguousarray(prefix[:, [names.index(behavior)]])
            return in_moment(column, moments)[:, 0] > 0

        units = self.design.units(sequences, moments, holds)
        keep = self._drawn(sequences)[moments.user[units.first]] & np.isin(units.first, judged.moments)
        return units.rows(keep & self.protocol.spanned(moments.ts_ms[units.first], moments.ts_ms[units.last]))

    def _drawn(self, sequences: Sequences) -> Bools:
        drawn = np.ones(sequences.n_users, bool)
        if self.position_below < 1:
            drawn &= folds_of_users(sequences.user_ids).position < self.position_below
        if self.users is not None:
            drawn &= np.isin(sequences.user_ids.astype(str), sorted(self.users))
        return drawn

    def _extra_hits(self, sequences: Sequences, log_shard: Path) -> Bytes:
        hits = np.zeros((sequences.n_events, len(self.extra)), np.uint8)
        for column, behavior in enumerate(self.extra):
            hits[:, column] = hits_in(sequences, log_shard, behavior, self.store.vocabulary)
        return hits

    def _measured(self, sequences: Sequences, log_shard: Path) -> Float64:
        if self.measure is None:
            return np.empty((sequences.n_events, 0))
        return self.measure.of(sequences, log_shard)


@dataclass(frozen=True)
class Judged:
    """Moments whose heads are known, ascending, and their logits."""

    moments: Ints
    logits: npt.NDArray[np.float32]


def _sums(values: Float64, first: Ints, end: Ints) -> Float64:
    """Return (n, n_measures) sums of events from ``first`` to before ``end``."""
    running = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])
    return running[end] - running[first]


def _counts_before(prefix: npt.NDArray[np.int32], moments: Moments, where: Ints, window_ms: int) -> Bytes:
    """Return (n, n_behaviors) events in the window before the moments ``where``, at most 255; no columns for 0."""
    if window_ms == 0:
        return np.empty((len(where), 0), np.uint8)
    counts = prefix[moments.first[where]] - prefix[moments.since(window_ms)[where]]
    return np.minimum(counts, 255).astype(np.uint8)


def _own_counts(
    prefix: npt.NDArray[np.int32], moments: Moments, extra: tuple[Behavior, ...]
) -> tuple[npt.NDArray[np.float32], list[str]]:
    """Return log counts of the extra behaviors' own past."""
    prefix = np.ascontiguousarray(prefix)
    blocks = [np.log1p(windowed_counts(prefix, moments, w), dtype=np.float32) for w in _OWN_WINDOWS]
    names = [f"{b} in {duration_text(w)}" for w in _OWN_WINDOWS for b in extra]
    return np.concatenate(blocks, axis=1), names


def of_horizon(logits: npt.NDArray[np.float32], heads: Heads, horizon_ms: int) -> npt.NDArray[np.float32]:
    """Keep the outputs of a horizon, or of the nearest one that the model was taught: e, m in trials, m anywhere."""
    distance = [abs(h - horizon_ms) for h in heads.horizons_ms]
    horizon = distance.index(min(distance))
    B, A, n = heads.n_behaviors, len(heads.outcomes), heads.n_outcomes
    trial = logits[:, B + horizon * A : B + (horizon + 1) * A]
    anywhere = logits[:, B + n + horizon * A : B + n + (horizon + 1) * A]
    return np.concatenate([logits[:, :B], trial, anywhere], axis=1)


def model_columns(logits: npt.NDArray[np.float32], heads: Heads) -> tuple[npt.NDArray[np.float32], list[str]]:
    """Return the heads as covariates: logits and probabilities of propensities and of outcomes in trials.

    Where there are many behaviors the propensities enter as logits only: the ridge's Gram matrix grows with the square.
    """
    B, A = heads.n_behaviors, len(heads.outcomes)
    names = [str(b) for b in heads.index.behaviors]
    outcome_names = [names[a] for a in heads.outcomes]
    blocks = [logits[:, : B + A], expit(logits[:, B : B + A])]
    labels = [f"logit e {b}" for b in names]
    labels += [f"logit m {a}" for a in outcome_names] + [f"m {a}" for a in outcome_names]
    if B <= _MANY_BEHAVIORS:
        blocks.append(expit(logits[:, :B]))
        labels += [f"e {b}" for b in names]
    return np.concatenate(blocks, axis=1).astype(np.float32), labels


def save_heads(
    twins: TwinModels, store: SequenceStore, protocol: Protocol, folder: Path, *, report: Report = quiet
) -> None:
    """Write, shard by shard, the heads of every trial of ``protocol``.

    Half precision: a logit's rounding (under 1 in 1,000) is far below its error.
    """
    for done, shard in enumerate(store.shards):
        places: list[Ints] = []
        found: list[npt.NDArray[np.float16]] = []
        first_moment = 0
        for block in Sequences.open(shard).blocks(_JUDGED_EVENTS):
            moments = Moments.of(block, reach_ms=protocol.horizon_ms)
            trials = protocol.eligible(block, moments)
            with_trials = np.bincount(moments.user[trials], minlength=block.n_users) > 0
            at, logits = twins.judge(block, keep=with_trials)
            wanted = trials[at]
            places.append(first_moment + at[wanted])
            found.append(logits[wanted].astype(np.float16))
            first_moment += len(moments)
        np.save(folder / f"{shard.name}.moments.npy", np.concatenate(places))
        np.save(folder / f"{shard.name}.logits.npy", np.concatenate(found))
        give_back_memory()
        report("heads", done + 1, len(store.shards))
