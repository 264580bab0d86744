"""Rankers as one: a mixture of their distributions, its weights learned where none of them was.

A Transformer generalizes, a table of counts remembers: which item followed which, exactly. Mixing the next item's
probabilities of both beats either (as with language models and their nearest neighbors: Khandelwal et al., 2020,
equation 3), and costs no training.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from whybuy.behavior.baselines.ranking import Ranker, RankingTask
from whybuy.errors import ModelError
from whybuy.events.sequences import Ints, Sequences
from whybuy.progress import Report, quiet

_LEAST = 1e-9
_STEPS = 200
_BLOCK_USERS = 512


@dataclass(frozen=True)
class Member:
    """A ranker of a mixture; ``logs`` says that its scores are logarithms of probabilities, not multiples of them."""

    name: str
    ranker: Ranker
    logs: bool = False

    def probability(self, history: Sequences, ts_ms: Ints) -> npt.NDArray[np.float32]:
        """Return (n_users, n_items) scores that sum to one; all alike for a user about whom it knows nothing."""
        scores = self.ranker.score(history, ts_ms)
        p = np.exp(scores - scores.max(axis=1, keepdims=True)) if self.logs else scores
        total = p.sum(axis=1, keepdims=True)
        return np.where(total > _LEAST, p / np.maximum(total, _LEAST), 1.0 / p.shape[1]).astype(np.float32)


@dataclass(frozen=True)
class Mixture:
    """A weighted sum of distributions.

    Attributes
    ----------
    members : the rankers
    weights : (n_members,) from 0 to 1, of sum 1
    """

    members: tuple[Member, ...]
    weights: tuple[float, ...]

    @classmethod
    def tuned(cls, members: tuple[Member, ...], validation: RankingTask, *, report: Report = quiet) -> "Mixture":
        """Return the mixture under which the validation's targets are likeliest (expectation maximization).

        Parameters
        ----------
        validation : questions that no member was trained on

        Raises
        ------
        ModelError
            No target has a probability under any member.
        """
        p = np.stack([_of_targets(member, validation, report) for member in members], axis=1)
        p = p[p.max(axis=1) > 0]
        if not len(p):
            raise ModelError.of(
                found="No member of the mixture gives any target of the validation a chance",
                needed="a target that a member knows",
                do="Validate on users whose last items were seen in training",
            )
        weights = np.full(len(members), 1.0 / len(members))
        for _ in range(_STEPS):
            share = p * weights
            weights = (share / share.sum(axis=1, keepdims=True)).mean(axis=0)
        return cls(members, tuple(weights.tolist()))

    def score(self, history: Sequences, ts_ms: Ints) -> npt.NDArray[np.float32]:
        """Return (n_users, n_items) P(the next item)."""
        parts = (w * m.probability(history, ts_ms) for w, m in zip(self.weights, self.members, strict=True))
        total: npt.NDArray[np.float32] = sum(parts, np.zeros(1, np.float32))
        return total


def _of_targets(member: Member, task: RankingTask, report: Report) -> npt.NDArray[np.float64]:
    """(n_users,) the probability of each target, block by block of users."""
    found = np.empty(len(task.target))
    for low in range(0, len(task.target), _BLOCK_USERS):
        block = np.zeros(len(task.target), bool)
        block[low : low + _BLOCK_USERS] = True
        part = task.users(block)
        p = member.probability(part.history, part.target_ts_ms)
        found[block] = p[np.arange(len(p)), part.target]
        report("weigh", min(low + _BLOCK_USERS, len(found)), len(found), member.name)
    return found
