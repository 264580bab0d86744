"""The scan for plain arrays: every column of T on every column of Y, in two passes over blocks that fit the cache."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from whybuy.causal.residuals import Float64, Ints, PairSums, chunk_sums, user_chunks
from whybuy.causal.ridge import FoldSums, fit_folds, with_intercept

Numbers = npt.NDArray[np.number]

_ROWS = 2_048
"""Rows of a block: what is made of it is used again at once, so it has to stay in the cache."""


@dataclass(frozen=True)
class ArrayScan:
    """Effects of every treatment column on every outcome column; each (n_treatments, n_outcomes)."""

    estimate: Float64
    std_error: Float64
    effective_users: Float64


def scan_arrays(
    X: Numbers,
    T: Numbers,
    Y: Numbers,
    *,
    groups: Ints,
    folds: Ints,
    penalty: float | None = None,
) -> ArrayScan:
    """Return the ATO of every column of T on every column of Y, ridge nuisances, cross-fitted, clustered.

    Parameters
    ----------
    X : (n, d) covariates; T : (n, n_treatments); Y : (n, n_outcomes); any numbers
    groups : (n,) ascending cluster of every row
    folds : (n,) fold of every row, constant within a cluster
    penalty : ridge penalty on standardized columns; chosen on users left out where None

    Notes
    -----
    The same algebra as ``DoubleMLPLR(score="partialling out")`` with ``Ridge`` on standardized columns.
    """
    n_targets = T.shape[1] + Y.shape[1]
    sums = FoldSums.zeros(int(folds.max()) + 1, X.shape[1], n_targets, 0, 0)
    for start in range(0, len(X), _ROWS):
        at = slice(start, start + _ROWS)
        nothing_left_out = np.zeros((len(X[at]), 0), np.uint8)
        sums.add(with_intercept(X[at]), _together(T[at], Y[at]), folds[at], nothing_left_out)
    beta = fit_folds(sums, [np.arange(X.shape[1])] * n_targets, penalty=penalty)
    pairs = PairSums.zeros(T.shape[1], Y.shape[1])
    for k in range(len(beta)):
        pairs = _add_fold(pairs, np.flatnonzero(folds == k), beta[k], (X, T, Y), groups)
    return ArrayScan(pairs.estimate, pairs.std_error, pairs.effective_users)


def _add_fold(
    total: PairSums, mine: Ints, beta: Float64, arrays: tuple[Numbers, Numbers, Numbers], groups: Ints
) -> PairSums:
    """Return ``total`` with the rows ``mine`` added, whose users the coefficients ``beta`` did not see."""
    X, T, Y = arrays
    B, A = T.shape[1], Y.shape[1]
    per_row = 8 * (2 * (B + A) + X.shape[1])
    for chunk in user_chunks(groups[mine], bytes_per_user=8 * B * A, bytes_per_row=per_row):
        rows = mine[chunk.rows.ravel()]
        left = _together(T[rows], Y[rows])
        left -= with_intercept(X[rows]) @ beta
        left = left.reshape(*chunk.rows.shape, B + A)
        total = total + chunk_sums(chunk.without_padding(left[:, :, :B]), left[:, :, B:])
    return total


def _together(T: Numbers, Y: Numbers) -> Float64:
    return np.concatenate([T, Y], axis=1, dtype=float)
