"""What markers are learned from and walk through: users that are left out, donors, and every shard moment by moment."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from whybuy.causal.certificate.arrays import Past
from whybuy.causal.trials import Protocol
from whybuy.events.behaviors import Behavior
from whybuy.events.moments import BehaviorIndex, Moments, decisions, prefix_counts, within
from whybuy.events.sequences import EVENT_FIELDS, Bools, Ints, Sequences, SequenceStore, concatenate

Bytes = npt.NDArray[np.uint8]

_FEW_LEARNERS, _MANY_LEARNERS = 400, 4_000
_SHARE_OF_LEARNERS = (0.1, 0.25)
_MOST_DONORS = 5_000
_SALT = "whybuy spikes 01"  # pandas wants 16 characters


@dataclass(frozen=True)
class Asked:
    """The questions of a certificate.

    Attributes
    ----------
    index : the log's behaviors that markers may remember
    outcomes : columns of ``index`` that are outcomes
    protocol : who is a trial, and the horizon
    """

    index: BehaviorIndex
    outcomes: tuple[int, ...]
    protocol: Protocol

    @property
    def outcome_behaviors(self) -> tuple[Behavior, ...]:
        """The outcomes."""
        return tuple(self.index.behaviors[a] for a in self.outcomes)

    def moments(self, sequences: Sequences) -> Moments:
        """Return the moments, which a horizon can be asked of."""
        return Moments.of(sequences, reach_ms=self.protocol.horizon_ms)

    def past(self, sequences: Sequences, moments: Moments) -> Past:
        """Return a log moment by moment."""
        prefix = prefix_counts(self.index.hits(sequences))
        counts = np.minimum(prefix[moments.end] - prefix[moments.first], 255).astype(np.uint8)
        return Past(
            offsets=np.searchsorted(moments.user, np.arange(sequences.n_users + 1)),
            key=user_keys(sequences.user_ids),
            ts_ms=moments.ts_ms,
            decided=decisions(sequences, moments),
            counts=counts,
            bought=(counts[:, self.outcomes] > 0).astype(np.uint8),
        )


@dataclass(frozen=True)
class Pool:
    """Events that donors are copies of: purchases of users who are left out.

    Attributes
    ----------
    events : field -> (n_donors,) values, by the fields of :class:`~whybuy.events.sequences.Sequences`
    counts, bought : (n_donors, ...) which behaviors and which outcomes a donor is
    """

    events: dict[str, npt.NDArray[Any]]
    counts: Bytes
    bought: Bytes

    @classmethod
    def of(cls, learners: Sequences, asked: Asked) -> "Pool":
        """Take the outcomes of ``learners``."""
        hits = asked.index.hits(learners)
        chosen = np.flatnonzero(hits[:, asked.outcomes].any(axis=1))
        # As many as are asked for, evenly over the users.
        chosen = chosen[np.linspace(0, len(chosen) - 1, min(len(chosen), _MOST_DONORS)).astype(np.int64)]
        events = {name: np.asarray(getattr(learners, name))[chosen] for name in EVENT_FIELDS}
        return cls(events, hits[chosen], hits[chosen][:, asked.outcomes])


@dataclass(frozen=True)
class Lessons:
    """The users that markers are learned on, who are left out of the copy.

    Attributes
    ----------
    sequences, moments : of those users
    """

    questions: Asked
    sequences: Sequences
    moments: Moments

    @classmethod
    def of(cls, store: SequenceStore, questions: Asked, *, copy: int) -> "Lessons":
        """Return the lessons of one copy: other users for every one of the first few."""
        n_users = sum(sequences.n_users for sequences in store)
        parts = [s.users(is_learner(s.user_ids, n_users=n_users, copy=copy)) for s in store]
        sequences = concatenate([part for part in parts if part.n_users] or parts[:1])
        return cls(questions, sequences, questions.moments(sequences))

    @property
    def protocol(self) -> Protocol:
        """Who is a trial."""
        return self.questions.protocol

    @property
    def outcomes(self) -> list[str]:
        """The outcomes, in words."""
        return [str(a) for a in self.questions.outcome_behaviors]

    @cached_property
    def past(self) -> Past:
        """What they did, moment by moment."""
        return self.questions.past(self.sequences, self.moments)

    @cached_property
    def pool(self) -> Pool:
        """Their purchases: the donors."""
        return Pool.of(self.sequences, self.questions)

    @cached_property
    def trials(self) -> Bools:
        """(n_moments,) which of their moments are trials."""
        return self.protocol.eligible(self.sequences, self.moments)

    def followed(self, outcome: int) -> Bools:
        """Return (n_moments,) whether a trial is followed by an outcome within the horizon; false elsewhere."""
        prefix = prefix_counts(self._hits[:, [self.questions.outcomes[outcome]]])
        found: Bools = (within(prefix, self.moments, self.protocol.horizon_ms)[:, 0] > 0) & self.trials
        return found

    def history(self, behavior: int) -> tuple[Bytes, Ints, Ints, Moments]:
        """Return events of one behavior and where they stand, as decayed counts want them."""
        sequences = self.sequences
        return self._hits[:, [behavior]], np.asarray(sequences.offsets), np.asarray(sequences.ts_ms), self.moments

    @cached_property
    def _hits(self) -> Bytes:
        return self.questions.index.hits(self.sequences)


def user_keys(user_ids: npt.NDArray[np.object_]) -> npt.NDArray[np.uint64]:
    """Return (n_users,) a hash of every user that no fold of ours goes by."""
    ids = np.asarray(user_ids, object)
    found: npt.NDArray[np.uint64] = pd.util.hash_array(ids, hash_key=_SALT, categorize=False)
    return found


def is_learner(user_ids: npt.NDArray[np.object_], *, n_users: int, copy: int) -> Bools:
    """Return (n_users,) which users are left out of a copy.

    A tenth, up to a quarter where that is too few to learn from, and no more than are of use.
    """
    n = max(n_users, 1)
    share = min(float(np.clip(_FEW_LEARNERS / n, *_SHARE_OF_LEARNERS)), _MANY_LEARNERS / n)
    place = (user_keys(user_ids) & np.uint64(2**32 - 1)).astype(float) / 2.0**32
    found: Bools = (place - copy * share) % 1.0 < share
    return found
