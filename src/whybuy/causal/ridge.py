"""Cross-fitted ridge regression of many targets at once, from sums.

One Gram matrix per fold of users serves every target, and adds over blocks of users. The penalty acts on standardized
columns and leaves the intercept alone, as scikit-learn's ``Ridge`` on standardized columns does. Where an outcome
leaves its own decisions out, their (rare) rows are subtracted from the Gram matrix, exactly.

Source: Hoerl and Kennard (Technometrics, 1970), equation 2.1.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import linalg

Float64 = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class FoldSums:
    """Sums per fold of users.

    Attributes
    ----------
    G : (n_folds, d + 1, d + 1) X'X with an intercept in front
    C : (n_folds, d + 1, n_targets) X'targets
    G_own : (n_folds, n_outcomes, d + 1, d + 1) the part of G from decisions that are the outcome
    c_own : (n_folds, n_outcomes, d + 1) the part of X'y from them
    """

    G: Float64
    C: Float64
    G_own: Float64
    c_own: Float64

    @classmethod
    def zeros(cls, n_folds: int, d: int, n_targets: int, n_outcomes: int) -> "FoldSums":
        """Return empty sums."""
        p = d + 1
        return cls(
            np.zeros((n_folds, p, p)),
            np.zeros((n_folds, p, n_targets)),
            np.zeros((n_folds, n_outcomes, p, p)),
            np.zeros((n_folds, n_outcomes, p)),
        )

    def add(self, X: Float64, targets: Float64, fold: Ints, own: npt.NDArray[np.uint8], Y: Float64) -> None:
        """Add a block of trials, in place (one accumulator lives through a pass, and its size is that of the Gram).

        Parameters
        ----------
        X : (n, d + 1) with the intercept in front
        targets : (n, n_targets)
        own, Y : (n, n_outcomes) decisions that are the outcome, and the outcome
        """
        for k in np.unique(fold):
            mine = fold == k
            Xk = X[mine]
            self.G[k] += Xk.T @ Xk
            self.C[k] += Xk.T @ targets[mine]
            for a in range(own.shape[1]):
                rows = own[mine, a].astype(bool)
                Xa = Xk[rows]
                self.G_own[k, a] += Xa.T @ Xa
                self.c_own[k, a] += Xa.T @ Y[mine, a][rows]


@dataclass(frozen=True)
class RidgeFits:
    """Coefficients per fold, fitted on the other folds.

    Attributes
    ----------
    targets : (n_folds, d + 1, n_targets)
    trials : (n_folds, d + 1, n_outcomes) outcomes among decisions that are not the outcome
    """

    targets: Float64
    trials: Float64


def with_intercept(X: npt.NDArray[np.floating]) -> Float64:
    """Return (n, d + 1) float64 with a column of ones in front."""
    return np.concatenate([np.ones((len(X), 1)), X], axis=1)


def fit_folds(sums: FoldSums, penalty: float, *, outcome_targets: slice, columns: Ints | None = None) -> RidgeFits:
    """Return the cross-fitted coefficients.

    Parameters
    ----------
    penalty : ridge penalty on standardized columns
    outcome_targets : where in the targets the outcomes stand, in the order of ``own``
    columns : (optional) the covariates to use; the coefficients of others are zero
    """
    n_folds, p, n_targets = sums.C.shape
    keep = np.arange(p) if columns is None else np.concatenate([[0], 1 + columns])
    n_outcomes = sums.G_own.shape[1]
    targets, trials = np.zeros((n_folds, p, n_targets)), np.zeros((n_folds, p, n_outcomes))
    for k in range(n_folds):
        others = [j for j in range(n_folds) if j != k]
        G, C = sums.G[others].sum(0)[np.ix_(keep, keep)], sums.C[others].sum(0)[keep]
        targets[k, keep] = solve_ridge(G, C, penalty)
        own_G, own_c = sums.G_own[others].sum(0), sums.c_own[others].sum(0)
        for a in range(n_outcomes):
            c_a = C[:, outcome_targets][:, a] - own_c[a][keep]
            trials[k, keep, a] = solve_ridge(G - own_G[a][np.ix_(keep, keep)], c_a, penalty)
    return RidgeFits(targets, trials)


def solve_ridge(G: Float64, C: Float64, penalty: float) -> Float64:
    """Return ridge coefficients with the intercept in front; a constant column gets a coefficient of zero.

    Parameters
    ----------
    G : (d + 1, d + 1) X'X with the intercept first, so that G[0, 0] = n and G[0] are column sums
    C : (d + 1, ...) X'y
    penalty : on standardized columns
    """
    n, mean = G[0, 0], G[0, 1:] / G[0, 0]
    centered = G[1:, 1:] - n * np.outer(mean, mean)
    variance = np.diag(centered) / n
    varies = np.flatnonzero(variance > 1e-9 * np.maximum(1, mean**2))
    sd = np.sqrt(variance[varies])
    y_mean = C[0] / n
    cross = C[1:] - np.multiply.outer(mean, C[0])
    correlation = centered[np.ix_(varies, varies)] / np.outer(sd, sd) + penalty * np.eye(len(varies))
    scaled = linalg.solve(correlation, (cross[varies].T / sd).T, assume_a="pos")
    beta = np.zeros_like(C)
    beta[1 + varies] = (scaled.T / sd).T
    beta[0] = y_mean - np.tensordot(mean[varies], beta[1 + varies], axes=1)
    return beta
