"""The sums of all pairs where the decisions that are the outcome itself are left out of its trials.

A decision is one behavior or a few: what is summed over treated decisions are products of a sparse matrix, and only the
sums over all decisions, of propensities, are dense.
"""

from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy import sparse

from whybuy.causal.residuals import Float64, Ints, PairSums, UserChunk, user_chunks, user_products

_HALF = 0.5
_MAX_OWN = 0.95
"""A decision that is the outcome almost surely tells next to nothing of the others."""


@dataclass(frozen=True)
class MaskedTrials:
    """What the masked sums of a block need; see :func:`masked_pair_sums`.

    Attributes
    ----------
    T : (n, B) 1 where the decision is b, else 0; E : (n, B) P(decision is b)
    own : (n, A) 1 where the decision is the outcome itself; e_own : (n, A) its probability
    RY : (n, A) outcome minus its expectation among decisions that are not the outcome
    Y : (n, A) the outcome
    shared : (B, A) P(decision is b | it is a): 0 where a moment is never both
    """

    T: Float64
    E: Float64
    own: Float64
    e_own: Float64
    RY: Float64
    Y: Float64
    shared: Float64
    user: Ints


@dataclass(frozen=True)
class PairCounts:
    """Counts for naive evidence and grounds, each (B, A); the last two count users by where their outcomes follow."""

    trials: Float64
    treated: Float64
    outcomes: Float64
    joint: Float64
    treated_outcome_users: Float64
    control_outcome_users: Float64

    @classmethod
    def zeros(cls, n_treatments: int, n_outcomes: int) -> "PairCounts":
        """Return empty counts."""
        return cls(*(np.zeros((n_treatments, n_outcomes)) for _ in fields(cls)))

    def __add__(self, other: "PairCounts") -> "PairCounts":
        """Add the counts of other users."""
        return PairCounts(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


def masked_pair_sums(trials: MaskedTrials) -> tuple[PairSums, PairCounts]:
    """Return the sums of all pairs where decisions that are outcome a are left out of the trials for a.

    With M = 1 - own and w = 1 / (1 - e_a), the propensity among the decisions that are not a is
    e' = (E - shared e_a) w. Numerator and denominator are sums per user of T, E, T E and E^2 times M RY, M, M w and
    their like, so no (n, B, A) array is ever formed.
    """
    B, A = trials.T.shape[1], trials.Y.shape[1]
    sums, counts = PairSums.zeros(B, A), PairCounts.zeros(B, A)
    for chunk in user_chunks(trials.user, bytes_per_user=16 * B * A, bytes_per_row=8 * (2 * B + 6 * A)):
        s, c = _of_chunk(trials, chunk)
        sums, counts = sums + s, counts + c
    return sums, counts


def _of_chunk(trials: MaskedTrials, chunk: UserChunk) -> tuple[PairSums, PairCounts]:
    """Return the sums and counts of a chunk of users; arrays are (U, L, .), and padding is in no outcome's trials."""
    rows, shared = chunk.rows, trials.shared
    E, w, M, MRY, MY = (v[rows] for v in (trials.E, trials.e_own, trials.own, trials.RY, trials.Y))
    # In place: what is gathered lies in the cache, and a further array would push it out.
    chunk.without_padding(np.subtract(1, M, out=M))
    MRY *= M
    MY *= M
    np.divide(1, np.subtract(1, np.minimum(w, _MAX_OWN, out=w), out=w), out=w)
    Mw = M * w
    done = _Done.of(chunk.without_padding(trials.T[rows]))
    treated, joint = done.sums(M), done.sums(MY)
    N_u, N_done = user_products(E, MRY * -w), done.sums(MRY)
    D_u, D_done = user_products(E * E, Mw * w), treated - 2 * done.weighted_sums(E, Mw)
    if (shared > 0).any():
        ew = trials.e_own[rows] * w
        # Of the decisions that are the outcome some are b too: they are not among b's chances in these trials.
        N_u += shared * (MRY * ew).sum(axis=1)[:, None]
        D_u += shared * (shared * (M * ew * ew).sum(axis=1)[:, None] - 2 * user_products(E, Mw * ew))
        D_done += 2 * shared[done.behavior] * done.sums(M * ew)
    done.add_to(N_u, N_done)
    done.add_to(D_u, D_done)
    n_trials, outcomes = M.sum(axis=1), MY.sum(axis=1)
    sums = PairSums.of_users(N_u, D_u, (n_trials > 0).sum(axis=0))
    followed = outcomes > _HALF
    only_after = followed[done.user] & (outcomes[done.user] - joint < _HALF)
    shape = shared.shape
    counts = PairCounts(
        trials=np.broadcast_to(n_trials.sum(axis=0), shape),
        treated=done.by_behavior(treated),
        outcomes=np.broadcast_to(outcomes.sum(axis=0), shape),
        joint=done.by_behavior(joint),
        treated_outcome_users=done.by_behavior(joint > _HALF),
        control_outcome_users=followed.sum(axis=0) - done.by_behavior(only_after),
    )
    return sums, counts


@dataclass(frozen=True)
class _Done:
    """Which users of a chunk did which behaviors at which decisions: P pairs of a user and a behavior.

    Attributes
    ----------
    user, behavior : (P,) of every pair
    trial : (n_done,) the decisions of the pairs, one pair after another; first : (P + 1,) where each pair's begin
    shape : (U, L, B) of the chunk
    """

    user: Ints
    behavior: Ints
    trial: Ints
    first: Ints
    shape: tuple[int, ...]

    @classmethod
    def of(cls, T: Float64) -> "_Done":
        """Find the behaviors done in (U, L, B) treatments."""
        _, L, B = T.shape
        trial, behavior = np.divmod(np.flatnonzero(T > 0), B)
        key = trial // L * B + behavior
        order = np.argsort(key, kind="stable")
        pairs, first = np.unique(key[order], return_index=True)
        return cls(pairs // B, pairs % B, trial[order], np.append(first, len(trial)), T.shape)

    @cached_property
    def _matrix(self) -> sparse.csr_array:
        """(P, U L) which decisions are of which pair."""
        U, L, _ = self.shape
        return sparse.csr_array((np.ones(len(self.trial)), self.trial, self.first), shape=(len(self.user), U * L))

    @cached_property
    def _behaviors(self) -> sparse.csr_array:
        """(B, P) which pairs are of which behavior."""
        P = len(self.user)
        return sparse.csr_array((np.ones(P), (self.behavior, np.arange(P))), shape=(self.shape[2], P))

    def sums(self, values: Float64) -> Float64:
        """Return (P, A): of every pair the sum of ``values`` (U, L, A) over its decisions."""
        return np.asarray(self._matrix @ values.reshape(-1, values.shape[2]))

    def weighted_sums(self, weight: Float64, values: Float64) -> Float64:
        """Return (P, A) the same of values weighted by (U, L, B): every decision has its weight for the behavior."""
        of_each = np.repeat(self.behavior, np.diff(self.first))
        matrix = self._matrix.copy()
        matrix.data = weight.reshape(-1, self.shape[2])[self.trial, of_each]
        return np.asarray(matrix @ values.reshape(-1, values.shape[2]))

    def by_behavior(self, found: npt.NDArray[np.generic]) -> Float64:
        """Return (B, A): the sum of ``found`` (P, A) over the users of each behavior."""
        return np.asarray(self._behaviors @ found.astype(float))

    def add_to(self, per_user: Float64, found: Float64) -> None:
        """Add ``found`` (P, A) to the sums of all users and behaviors (U, B, A), in place."""
        per_user[self.user, self.behavior] += found
