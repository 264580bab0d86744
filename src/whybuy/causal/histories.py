"""Histories: the moments of some users, reduced to the behaviors that a second opinion is asked about."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from whybuy.behavior.folds import folds_of_users
from whybuy.events.behaviors import Behavior
from whybuy.events.log import EventLog
from whybuy.events.moments import BehaviorIndex, Moments, decisions, in_moment, prefix_counts
from whybuy.events.sequences import Ints, SequenceStore
from whybuy.progress import Report, quiet

MAX_USERS, MAX_MOMENTS = 4_000, 250_000
_BLOCK_EVENTS = 65_536


@dataclass(frozen=True)
class Histories:
    """The moments of some users, sorted by user and time.

    Attributes
    ----------
    names : behaviors in canonical form, in column order
    offsets : (n_users + 1,) where each user's moments start
    ts_ms : (n_moments,) times
    hits : (n_moments, n_behaviors) 1 where the moment is the behavior
    start_ms, end_ms : the observed window
    """

    names: tuple[str, ...]
    offsets: Ints
    ts_ms: Ints
    hits: npt.NDArray[np.uint8]
    start_ms: int
    end_ms: int

    @property
    def n_users(self) -> int:
        """Number of users."""
        return len(self.offsets) - 1

    @property
    def user(self) -> Ints:
        """(n_moments,) index of each moment's user."""
        return np.repeat(np.arange(self.n_users), np.diff(self.offsets))

    def keys(self, user: Ints, ts_ms: Ints) -> Ints:
        """Return one number per (user, time) that sorts by user, then time."""
        return user * (4 * (self.end_ms - self.start_ms + 1)) + (ts_ms - self.start_ms)

    def before(self, user: Ints, ts_ms: Ints) -> Ints:
        """Return (n,) the first moment of each user at or after a time within the observed window."""
        found = np.searchsorted(self.keys(self.user, self.ts_ms), self.keys(user, ts_ms), side="left")
        return np.clip(found, self.offsets[user], self.offsets[user + 1])


def histories_of(
    store: SequenceStore, log: EventLog, behaviors: tuple[Behavior, ...], *, report: Report = quiet
) -> Histories:
    """Return the decisions of a sample of users within the observed window.

    The sample is about 4,000 users or 250,000 moments, whichever is less: those whose id's hash lies lowest, which is
    random and the same on every run.
    """
    index = BehaviorIndex.of(behaviors, store.vocabulary)
    start_ms, end_ms = log.quality.start_ms, log.quality.end_ms
    share = min(1.0, MAX_USERS / max(1, log.quality.n_users), MAX_MOMENTS / max(1, log.quality.n_moments))
    lengths, times, hits = [np.zeros(1, np.int64)], [], []
    for done, sequences in enumerate(store):
        for block in sequences.users(folds_of_users(sequences.user_ids).position < share).blocks(_BLOCK_EVENTS):
            moments = Moments.of(block, reach_ms=1)
            kept = decisions(block, moments) & (moments.ts_ms >= start_ms) & (moments.ts_ms <= end_ms)
            lengths.append(np.bincount(moments.user[kept], minlength=block.n_users))
            times.append(moments.ts_ms[kept])
            hits.append(in_moment(prefix_counts(index.hits(block)), moments)[kept])
        report("second opinion", done + 1, len(store.shards))
    return Histories(
        names=tuple(map(str, behaviors)),
        offsets=np.cumsum(np.concatenate(lengths)),
        ts_ms=np.concatenate([*times, np.empty(0, np.int64)]),
        hits=np.concatenate([*hits, np.empty((0, len(behaviors)), np.uint8)]),
        start_ms=start_ms,
        end_ms=end_ms,
    )


def independent_columns(X: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Return (d,) which columns are no linear combination of those before them (a constant is one of the intercept)."""
    Z = X - X.mean(axis=0)
    size = np.sqrt((Z * Z).sum(axis=0))
    left = np.abs(np.diag(np.linalg.qr(Z / np.maximum(size, 1e-300), mode="r")))
    found: npt.NDArray[np.bool_] = (size > 1e-9) & (left > 1e-6)
    return found
