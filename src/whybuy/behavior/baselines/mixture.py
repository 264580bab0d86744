"""Rankers as one: a mixture of their distributions, its weights chosen where none of them was trained.

A Transformer generalizes, a table of counts remembers: which item followed which, exactly. Mixing the next item's
probabilities of both beats either (as with language models and their nearest neighbors: Khandelwal et al., 2020,
equation 3), and costs no training.
"""

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from whybuy.behavior.baselines.ranking import Ranker, RankingTask, ranks
from whybuy.events.sequences import Ints, Sequences
from whybuy.progress import Report, quiet

_LEAST = 1e-9
_TENTHS = 10
_K = 10
_MOST_USERS = 3_000
_FIRST = 100
_BLOCK_USERS = 256


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
        """Return the mixture of the best NDCG@10 among all weights in tenths.

        The likeliest weights are not those that rank best: likelihood is ruled by the targets that nobody expects.

        Parameters
        ----------
        validation : questions that no member was trained on; about ``_MOST_USERS`` of them are asked
        """
        grid = _simplex(len(members))
        total = np.zeros(len(grid))
        n = len(validation.target)
        asked = np.random.default_rng(0).permutation(n)[:_MOST_USERS]
        for low in range(0, len(asked), _BLOCK_USERS):
            block = np.zeros(n, bool)
            block[asked[low : low + _BLOCK_USERS]] = True
            part = validation.users(block)
            p = np.stack([member.probability(part.history, part.target_ts_ms) for member in members])
            p, target = _shortlist(p, part.target)
            for row, weights in enumerate(grid):
                rank = ranks(np.tensordot(weights, p, 1), target)
                total[row] += np.where(rank < _K, 1 / np.log2(rank + 2), 0).sum()
            report("weigh", min(low + _BLOCK_USERS, len(asked)), len(asked))
        return cls(members, tuple(grid[int(total.argmax())].tolist()))

    def score(self, history: Sequences, ts_ms: Ints) -> npt.NDArray[np.float32]:
        """Return (n_users, n_items) P(the next item)."""
        parts = (w * m.probability(history, ts_ms) for w, m in zip(self.weights, self.members, strict=True))
        total: npt.NDArray[np.float32] = sum(parts, np.zeros(1, np.float32))
        return total


def _shortlist(
    p: npt.NDArray[np.float32], target: npt.NDArray[np.int32]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
    """Return (n_members, n_users, k) probabilities of the items that any member ranks high, and where the targets are.

    What is among the first ten of a mixture is among the first hundred of a member, nearly always: the weights are
    chosen on a few hundred items a user instead of the whole catalog. An item that several members rank high stands
    there several times, all but once with a probability below any.
    """
    n_first = min(_FIRST, p.shape[2])
    first = [np.argpartition(-member, n_first - 1, axis=1)[:, :n_first] for member in p]
    item = np.sort(np.column_stack([*first, target]), axis=1)
    again = np.zeros(item.shape, bool)
    again[:, 1:] = item[:, 1:] == item[:, :-1]
    short = np.take_along_axis(p, item[None], axis=2)
    short[:, again] = -1.0
    return short, (item == target[:, None]).argmax(axis=1).astype(np.int32)


def _simplex(n: int) -> npt.NDArray[np.float32]:
    """(n_points, n) all weights in tenths of sum 1, the even ones first, so that of equals the most even is taken."""
    points = [w for w in itertools.product(range(_TENTHS + 1), repeat=n) if sum(w) == _TENTHS]
    found = np.array(points, np.float32) / np.float32(_TENTHS)
    return found[np.argsort((found**2).sum(1), kind="stable")]
