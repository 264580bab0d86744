"""Effects from residuals: the overlap-weighted average effect (ATO) of every pair, with errors clustered by user.

For one pair, theta = sum RT RY / sum RT^2 with RT = T - e(h) and RY = Y - m(h): the partialling-out score of the
partially linear model. Where effects differ between people it is the average weighted by e(1 - e).

Source: Robinson (Econometrica, 1988), equation 3; Chernozhukov et al., Double/debiased machine learning (Econometrics
Journal, 2018), equation 4.4 and algorithm DML2; clustered errors as Liang and Zeger (Biometrika, 1986).

Per-user sums N_u = sum RT RY and D_u = sum RT^2 are all that is needed: theta = sum N_u / sum D_u, and its variance is
sum (N_u - theta D_u)^2 / (sum D_u)^2, which expands into sums of N_u^2, N_u D_u and D_u^2. They add over blocks of
users.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
_CHUNK_BYTES = 96_000_000


@dataclass(frozen=True)
class PairSums:
    """Sums over users for every pair; each is (n_treatments, n_outcomes) float64.

    Attributes
    ----------
    N, D : sum RT RY, sum RT^2
    NN, ND, DD : sums over users of products of the per-user sums
    users : users with at least one trial of the outcome
    """

    N: Float64
    D: Float64
    NN: Float64
    ND: Float64
    DD: Float64
    users: Float64

    @classmethod
    def zeros(cls, n_treatments: int, n_outcomes: int) -> "PairSums":
        """Return empty sums."""
        return cls(*(np.zeros((n_treatments, n_outcomes)) for _ in fields(cls)))

    @classmethod
    def of_users(cls, N_u: Float64, D_u: Float64, users: Float64 | float) -> "PairSums":
        """Return the sums of per-user sums, each (n_users, n_treatments, n_outcomes)."""
        return cls(
            N=N_u.sum(0),
            D=D_u.sum(0),
            NN=np.einsum("uba,uba->ba", N_u, N_u),
            ND=np.einsum("uba,uba->ba", N_u, D_u),
            DD=np.einsum("uba,uba->ba", D_u, D_u),
            users=np.broadcast_to(users, N_u.shape[1:]).astype(float),
        )

    def __add__(self, other: "PairSums") -> "PairSums":
        """Add the sums of other users."""
        return PairSums(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    @property
    def estimate(self) -> Float64:
        """The effects; NaN where no treatment varies."""
        return _divide(self.N, self.D)

    @property
    def std_error(self) -> Float64:
        """Clustered standard errors, with the U / (U - 1) correction."""
        theta = self.estimate
        spread = self.NN - 2 * theta * self.ND + theta**2 * self.DD
        correction = _divide(self.users, self.users - 1)
        return np.sqrt(np.maximum(correction * spread, 0)) / np.where(self.D > 0, self.D, np.nan)

    @property
    def effective_users(self) -> Float64:
        """(sum D_u)^2 / sum D_u^2: how many users of equal weight carry the estimate."""
        return _divide(self.D**2, self.DD)


def _divide(top: Float64, bottom: Float64) -> Float64:
    return np.divide(top, bottom, out=np.full(np.shape(top), np.nan), where=np.asarray(bottom) > 0)


def user_chunks(user: Ints, bytes_per_user: int) -> Iterator[tuple[Ints, npt.NDArray[np.bool_]]]:
    """Yield (rows, valid) of users of like length: (n_users, longest) indices of trials and which are real.

    ``user`` is ascending. Padding is bounded by grouping users of like length, and a chunk's products by memory.
    """
    if len(user) == 0:
        return
    starts = np.flatnonzero(np.diff(user, prepend=user[0] - 1))
    lengths = np.diff(np.append(starts, len(user)))
    order = np.argsort(lengths, kind="stable")
    starts, lengths = starts[order], lengths[order]
    # Users of a chunk differ by at most a quarter in length, and share at most _CHUNK_BYTES of products.
    limit = max(1, _CHUNK_BYTES // bytes_per_user)
    at = 0
    while at < len(starts):
        longest = int(np.searchsorted(lengths, lengths[at] * 1.25 + 1, side="right"))
        stop = min(longest, at + limit)
        rows = starts[at:stop, None] + np.arange(lengths[stop - 1])
        valid = np.arange(lengths[stop - 1]) < lengths[at:stop, None]
        yield np.where(valid, rows, starts[at:stop, None]), valid
        at = stop


def user_products(left: Float64, right: Float64) -> Float64:
    """Return (n_users, p, q): per-user sums over trials of left (U, L, p) times right (U, L, q)."""
    return np.matmul(left.transpose(0, 2, 1), right)


def plain_pair_sums(RT: Float64, RY: Float64, user: Ints) -> PairSums:
    """Return the sums of all pairs of residual columns where no outcome leaves decisions out.

    Parameters
    ----------
    RT : (n, n_treatments) treatment residuals
    RY : (n, n_outcomes) outcome residuals
    user : (n,) ascending
    """
    total = PairSums.zeros(RT.shape[1], RY.shape[1])
    for rows, valid in user_chunks(user, bytes_per_user=8 * 3 * RT.shape[1] * RY.shape[1]):
        left = RT[rows] * valid[..., None]
        N_u = user_products(left, RY[rows])
        D_u = np.einsum("ulb,ulb->ub", left, left)[:, :, None]
        total = total + PairSums.of_users(N_u, np.broadcast_to(D_u, N_u.shape), len(rows))
    return total


@dataclass(frozen=True)
class MaskedTrials:
    """What the masked sums of a block need; see :func:`masked_pair_sums`.

    Attributes
    ----------
    T : (n, B) treated; E : (n, B) P(decision is b)
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
    e' = (E - shared e_a) w; numerator and denominator are matrix products per user of T and E with M RY, M, M w and
    their like, so no (n, B, A) array is ever formed.
    """
    B, A = trials.T.shape[1], trials.Y.shape[1]
    sums, counts = PairSums.zeros(B, A), PairCounts.zeros(B, A)
    baskets = bool((trials.shared > 0).any())
    M = 1 - trials.own
    w = 1 / (1 - np.minimum(trials.e_own, 0.95))
    ew = trials.e_own * w
    right_T = [M * trials.RY, M, M * trials.Y]
    right_E = [M * trials.RY * w]
    if baskets:
        right_T.append(M * ew)
        right_E.append(M * w * ew)
    T_stack, E_stack = np.concatenate(right_T, axis=1), np.concatenate(right_E, axis=1)
    alone = np.stack([M * trials.RY * ew, M * ew**2, M * trials.Y, M])
    for rows, valid in user_chunks(trials.user, bytes_per_user=8 * 12 * B * A):
        ok = valid[..., None]
        T, E = trials.T[rows] * ok, trials.E[rows] * ok
        by_T = np.split(user_products(T, T_stack[rows]), len(right_T), axis=2)
        by_E = np.split(user_products(E, E_stack[rows]), len(right_E), axis=2)
        N_u = by_T[0] - by_E[0]
        D_u = by_T[1] - 2 * user_products(T * E, (M * w)[rows]) + user_products(E * E, (M * w**2)[rows])
        per_user = (alone[:, rows] * ok).sum(axis=2)  # (4, n_users, A)
        if baskets:
            N_u = N_u + trials.shared * per_user[0][:, None]
            D_u = D_u + 2 * trials.shared * (by_T[3] - by_E[1]) + trials.shared**2 * per_user[1][:, None]
        control = per_user[2][:, None] - by_T[2]
        in_trial = (per_user[3] > 0).sum(0)
        sums = sums + PairSums.of_users(N_u, D_u, in_trial)
        counts = counts + PairCounts(
            trials=np.broadcast_to(per_user[3].sum(0), (B, A)),
            treated=by_T[1].sum(0),
            outcomes=np.broadcast_to(per_user[2].sum(0), (B, A)),
            joint=by_T[2].sum(0),
            treated_outcome_users=(by_T[2] > 0.5).sum(0).astype(float),
            control_outcome_users=(control > 0.5).sum(0).astype(float),
        )
    return sums, counts
