"""Slates that do not say the same thing ten times.

Both ways change the scores of a slot by what stands in the earlier ones, in units of the score: ``weight`` is how much
of the score (purchases added, say) is given up for variety. Exploration then works on the changed scores, so
propensities given the earlier slots stay exact.

=====  ===============================================================================================================
Mmr    score - weight * the largest cosine with an item chosen before (Carbonell and Goldstein, SIGIR 1998; their
       lambda is 1 / (1 + weight))
Dpp    score + weight * log of the share of the item that the chosen ones do not span: the greedy maximum of
       sum of scores + weight * log det S over slates (Chen, Zhang and Zhou, NeurIPS 2018, algorithm 1; their theta
       is 1 / (1 + weight)), with S = (1 + cosine) / 2
=====  ===============================================================================================================
"""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from whybuy.errors import PolicyError
from whybuy.recommend.policy.inputs import Floats, Ints

_LEAST_SPAN = 1e-10
"""Twins of chosen items span nothing, and the logarithm of nothing orders nothing: they keep this much."""


class Variety(Protocol):
    """How the slots filled so far change the scores of a block of users."""

    def adjust(self, score: Floats) -> Floats:
        """Return (n_users, n_candidates) the scores for the next slot."""

    def chose(self, column: Ints) -> None:
        """Take in the candidate of every user that got the slot, -1 where none did."""


class _Weighted:
    weight: float

    def __post_init__(self) -> None:
        if not 0 <= self.weight < np.inf:
            raise PolicyError.of(
                found=f"A weight of {self.weight} for diversity",
                needed="a finite weight of at least 0, in units of the score",
                do="Start with a tenth of the spread of the scores",
            )


@dataclass(frozen=True, kw_only=True)
class Mmr(_Weighted):
    """Maximal marginal relevance; ``weight`` is the score given up for an item unlike every other."""

    weight: float

    def start(self, vectors: Floats, k: int) -> Variety:
        """Return the state before the first slot of ``k``; ``vectors`` is (n_users, n_candidates, d), of length one."""
        del k
        return _Nearest(vectors, self.weight)


@dataclass(frozen=True, kw_only=True)
class Dpp(_Weighted):
    """Greedy maximum of a determinantal point process; ``weight`` is the score worth a factor e of spanned volume."""

    weight: float

    def start(self, vectors: Floats, k: int) -> Variety:
        """Return the state before the first slot of ``k``; ``vectors`` is (n_users, n_candidates, d), of length one."""
        return _Spanned(vectors, self.weight, k)


@dataclass
class _Nearest:
    vectors: Floats
    weight: float
    nearest: Floats | None = None

    def adjust(self, score: Floats) -> Floats:
        return score if self.nearest is None else score - self.weight * self.nearest

    def chose(self, column: Ints) -> None:
        cosine = _cosines(self.vectors, column)
        cosine[column < 0] = -1.0
        self.nearest = cosine if self.nearest is None else np.maximum(self.nearest, cosine)


@dataclass
class _Spanned:
    """Rows of the Cholesky factor of S, grown by one column per chosen item (algorithm 1)."""

    vectors: Floats
    weight: float
    k: int
    n_chosen: int = 0
    factor: Floats = field(init=False)
    left: Floats = field(init=False)

    def __post_init__(self) -> None:
        n_users, n_candidates, _ = self.vectors.shape
        self.factor = np.zeros((n_users, n_candidates, self.k))
        self.left = np.ones((n_users, n_candidates))

    def adjust(self, score: Floats) -> Floats:
        return score + self.weight * np.log(np.maximum(self.left, _LEAST_SPAN))

    def chose(self, column: Ints) -> None:
        rows = np.arange(len(column))
        similar = (1 + _cosines(self.vectors, column)) / 2
        known = np.einsum("uij,uj->ui", self.factor[:, :, : self.n_chosen], self.factor[rows, column, : self.n_chosen])
        grown = (similar - known) / np.sqrt(np.maximum(self.left[rows, column], _LEAST_SPAN))[:, None]
        grown[column < 0] = 0.0
        self.factor[:, :, self.n_chosen] = grown
        self.left -= grown**2
        self.n_chosen += 1


def _cosines(vectors: Floats, column: Ints) -> Floats:
    """Return (n_users, n_candidates) cosines of every candidate with the chosen one."""
    return np.einsum("uid,ud->ui", vectors, vectors[np.arange(len(column)), column])
