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
from functools import cached_property

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
_CHUNK_BYTES = 8_000_000
"""What is made of a chunk of users is used again at once, so it has to stay in the cache."""


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
        """Return the sums of per-user sums (n_users, n_treatments, n_outcomes); D_u (., ., 1) is that of all."""
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

    @cached_property
    def estimate(self) -> Float64:
        """The effects; NaN where no treatment varies."""
        return _divide(self.N, self.D)

    @cached_property
    def std_error(self) -> Float64:
        """Clustered standard errors, with the U / (U - 1) correction."""
        theta = self.estimate
        spread = self.NN - 2 * theta * self.ND + theta**2 * self.DD
        correction = _divide(self.users, self.users - 1)
        return np.sqrt(np.maximum(correction * spread, 0)) / np.where(self.D > 0, self.D, np.nan)

    @cached_property
    def effective_users(self) -> Float64:
        """(sum D_u)^2 / sum D_u^2: how many users of equal weight carry the estimate."""
        return _divide(self.D**2, self.DD)


def _divide(top: Float64, bottom: Float64) -> Float64:
    return np.divide(top, bottom, out=np.full(np.shape(top), np.nan), where=np.asarray(bottom) > 0)


@dataclass(frozen=True)
class UserChunk:
    """Some users of like length: (n_users, longest) indices of their trials, and which are real.

    What is padded repeats the user's first trial.
    """

    rows: Ints
    valid: npt.NDArray[np.bool_]

    def without_padding(self, values: Float64) -> Float64:
        """Return ``values`` (n_users, longest, p), set in place to 0 where a row is padding."""
        if not self.valid.all():
            values[~self.valid] = 0
        return values


def user_chunks(user: Ints, bytes_per_user: int, bytes_per_row: int = 0) -> Iterator[UserChunk]:
    """Yield the users of ``user`` (n,), which is ascending, a few users of like length at a time.

    Padding is bounded by grouping users of like length, and a chunk's arrays by the cache.
    """
    if len(user) == 0:
        return
    starts = np.flatnonzero(np.diff(user, prepend=user[0] - 1))
    lengths = np.diff(np.append(starts, len(user)))
    order = np.argsort(lengths, kind="stable")
    starts, lengths = starts[order], lengths[order]
    at = 0
    while at < len(starts):
        # Users of a chunk differ by at most a quarter in length, and share at most _CHUNK_BYTES.
        longest = int(np.searchsorted(lengths, lengths[at] * 1.25 + 1, side="right"))
        limit = max(1, _CHUNK_BYTES // (bytes_per_user + bytes_per_row * int(lengths[at])))
        stop = min(longest, at + limit)
        rows = starts[at:stop, None] + np.arange(lengths[stop - 1])
        valid = np.arange(lengths[stop - 1]) < lengths[at:stop, None]
        yield UserChunk(np.where(valid, rows, starts[at:stop, None]), valid)
        at = stop


def user_products(left: Float64, right: Float64) -> Float64:
    """Return (n_users, p, q): per-user sums over trials of left (U, L, p) times right (U, L, q)."""
    return np.matmul(left.transpose(0, 2, 1), right)


def chunk_sums(RT: Float64, RY: Float64) -> PairSums:
    """Return the sums of all pairs of a chunk of users, of residuals (U, L, n_treatments) and (U, L, n_outcomes).

    The residual treatment is 0 where a row is padding.
    """
    D_u = np.einsum("ulb,ulb->ub", RT, RT)[:, :, None]
    return PairSums.of_users(user_products(RT, RY), D_u, len(RT))


def plain_pair_sums(RT: Float64, RY: Float64, user: Ints) -> PairSums:
    """Return the sums of all pairs of residual columns where no outcome leaves decisions out.

    Parameters
    ----------
    RT : (n, n_treatments) treatment residuals
    RY : (n, n_outcomes) outcome residuals
    user : (n,) ascending
    """
    B, A = RT.shape[1], RY.shape[1]
    total = PairSums.zeros(B, A)
    for chunk in user_chunks(user, bytes_per_user=8 * B * A, bytes_per_row=8 * (B + A)):
        total = total + chunk_sums(chunk.without_padding(RT[chunk.rows]), RY[chunk.rows])
    return total
