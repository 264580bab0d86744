"""Cross-fitted ridge regression of many targets at once, from sums.

One Gram matrix per fold of users serves every target, and adds over blocks of users. The penalty acts on
standardized columns and leaves the intercept alone, as scikit-learn's ``Ridge`` on standardized columns does. It is
chosen per target by the squared error on users that the coefficients did not see, from the same sums: trials of one
user are alike, so the number of users, not of trials, says how much a regression can learn. Where an outcome leaves
its own decisions out, their (rare) rows are subtracted from the Gram matrix, exactly.

Source: Hoerl and Kennard (Technometrics, 1970), equation 2.1.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy import linalg

Float64 = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

PENALTIES = (1e1, 1e2, 1e3, 1e4, 1e5)
_TOGETHER = 128
"""Rows that are added to a Gram matrix at once: fewer cost as much, since the whole matrix goes through the cache."""


@dataclass(frozen=True)
class FoldSums:
    """Sums per fold of users.

    Attributes
    ----------
    G : (n_folds, d + 1, d + 1) X'X with an intercept in front
    C : (n_folds, d + 1, n_targets) X'targets
    S : (n_folds, n_targets) sums of squared targets
    G_own : (n_folds, n_outcomes, d + 1, d + 1) the part of G from decisions that are the outcome
    C_own : (n_folds, d + 1, n_masked) the part of X'targets from decisions that are the target's outcome
    waiting : (fold, outcome) -> rows of X that are not in G_own yet; see :meth:`settle`
    """

    G: Float64
    C: Float64
    S: Float64
    G_own: Float64
    C_own: Float64
    waiting: dict[tuple[int, int], list[Float64]] = field(default_factory=dict)

    @classmethod
    def zeros(cls, n_folds: int, d: int, n_targets: int, masks: int, n_masked: int) -> "FoldSums":
        """Return empty sums; ``masks`` outcomes leave decisions out, for ``n_masked`` further targets."""
        p = d + 1
        return cls(
            np.zeros((n_folds, p, p)),
            np.zeros((n_folds, p, n_targets + n_masked)),
            np.zeros((n_folds, n_targets + n_masked)),
            np.zeros((n_folds, masks, p, p)),
            np.zeros((n_folds, p, n_masked)),
        )

    def add(self, X: Float64, targets: Float64, fold: Ints, own: npt.NDArray[np.uint8]) -> None:
        """Add a block of trials, in place (one accumulator lives through a pass, and its size is that of the Gram).

        Parameters
        ----------
        X : (n, d + 1) with the intercept in front
        targets : (n, n_targets + n_masked); masked target i leaves out the decisions of outcome i modulo ``masks``
        own : (n, masks) decisions that are the outcome
        """
        for k in np.unique(fold).tolist():
            mine = fold == k
            Xk, Yk = X[mine], targets[mine]
            self.G[k] += Xk.T @ Xk
            self.C[k] += Xk.T @ Yk
            self.S[k] += np.einsum("nt,nt->t", Yk, Yk)
            for a in range(own.shape[1]):
                rows = np.flatnonzero(own[mine, a])
                if len(rows) > 0:
                    self._leave_out(k, a, Xk[rows], Yk[rows])

    def _leave_out(self, k: int, a: int, X: Float64, targets: Float64) -> None:
        """Add the decisions of fold ``k`` that are outcome ``a``."""
        masks, n_masked = self.G_own.shape[1], self.C_own.shape[2]
        first = targets.shape[1] - n_masked
        self.C_own[k, :, a::masks] += X.T @ targets[:, first + a :: masks]
        waiting = self.waiting.setdefault((k, a), [])
        waiting.append(X)
        if sum(map(len, waiting)) >= _TOGETHER:
            self._settle(k, a)

    def settle(self) -> None:
        """Bring what waits into ``G_own``."""
        for k, a in list(self.waiting):
            self._settle(k, a)

    def _settle(self, k: int, a: int) -> None:
        X = np.concatenate(self.waiting.pop((k, a)))
        self.G_own[k, a] += X.T @ X


def with_intercept(X: npt.NDArray[np.number]) -> Float64:
    """Return (n, d + 1) float64 with a column of ones in front."""
    return np.concatenate([np.ones((len(X), 1)), X], axis=1)


def fit_folds(sums: FoldSums, columns: list[Ints], *, penalty: float | None = None) -> Float64:
    """Return (n_folds, d + 1, n_targets) coefficients, each fold's fitted on the other folds.

    Parameters
    ----------
    columns : per target the covariates it may use (positions without the intercept); equal arrays share a solution
    penalty : on standardized columns; chosen per target on users within the other folds where None
    """
    sums.settle()
    n_folds, p, n_targets = sums.C.shape
    masks, n_masked = sums.G_own.shape[1], sums.C_own.shape[2]
    out = np.zeros((n_folds, p, n_targets))
    plain = n_targets - n_masked
    for k in range(n_folds):
        others = [j for j in range(n_folds) if j != k]
        for keep, targets in _by_columns(columns):
            chosen = (
                np.full(len(targets), penalty) if penalty is not None else choose_penalty(sums, others, keep, targets)
            )
            for value in np.unique(chosen):
                these = targets[(chosen == value) & (targets < plain)]
                if len(these):
                    G = sums.G[others].sum(0)[np.ix_(keep, keep)]
                    out[k][np.ix_(keep, these)] = solve_ridge(G, sums.C[others].sum(0)[np.ix_(keep, these)], value)
            for target, value in zip(targets, chosen, strict=True):
                if target >= plain:
                    i = target - plain
                    G = (sums.G[others] - sums.G_own[others, i % masks]).sum(0)[np.ix_(keep, keep)]
                    c = (sums.C[others][:, :, target] - sums.C_own[others][:, :, i]).sum(0)[keep]
                    out[k][keep, target] = solve_ridge(G, c, value)
    return out


def choose_penalty(sums: FoldSums, others: list[int], keep: Ints, targets: Ints) -> Float64:
    """Return per target the penalty with the least squared error on users left out, among the folds ``others``.

    A masked target is judged on all its decisions: leaving its own (rare) ones out does not move the choice.
    """
    error = np.zeros((len(PENALTIES), len(targets)))
    for held_out in others:
        train = [j for j in others if j != held_out]
        if not train:
            return np.full(len(targets), PENALTIES[len(PENALTIES) // 2])
        G = sums.G[train].sum(0)[np.ix_(keep, keep)]
        C = sums.C[train].sum(0)[np.ix_(keep, targets)]
        G_out, C_out = sums.G[held_out][np.ix_(keep, keep)], sums.C[held_out][np.ix_(keep, targets)]
        for i, penalty in enumerate(PENALTIES):
            beta = solve_ridge(G, C, penalty)
            error[i] += sums.S[held_out, targets] - 2 * (beta * C_out).sum(0) + (beta * (G_out @ beta)).sum(0)
    return np.asarray(PENALTIES)[error.argmin(axis=0)]


def _by_columns(columns: list[Ints]) -> list[tuple[Ints, Ints]]:
    """Group targets by the covariates they may use: (positions with the intercept, targets)."""
    groups: dict[bytes, tuple[Ints, list[int]]] = {}
    for target, allowed in enumerate(columns):
        key = np.asarray(allowed, np.int64).tobytes()
        keep = np.concatenate([[0], 1 + np.asarray(allowed, np.int64)])
        groups.setdefault(key, (keep, []))[1].append(target)
    return [(keep, np.array(targets)) for keep, targets in groups.values()]


def solve_ridge(G: Float64, C: Float64, penalty: float) -> Float64:
    """Return ridge coefficients with the intercept in front; a constant column gets a coefficient of zero.

    Parameters
    ----------
    G : (d + 1, d + 1) X'X with the intercept first, so that G[0, 0] = n and G[0] are column sums
    C : (d + 1, ...) X'y
    penalty : on standardized columns
    """
    n = G[0, 0]
    if n < 1:
        # Every decision is the outcome: nothing is in its trials, and nothing will be predicted from this.
        return np.zeros_like(C)
    mean = G[0, 1:] / n
    centered = G[1:, 1:] - n * np.outer(mean, mean)
    variance = np.diag(centered) / n
    varies = np.flatnonzero(variance > 1e-9 * np.maximum(1, mean**2))
    sd = np.sqrt(variance[varies])
    cross = C[1:] - np.multiply.outer(mean, C[0])
    correlation = centered[np.ix_(varies, varies)] / np.outer(sd, sd) + penalty * np.eye(len(varies))
    scaled = linalg.solve(correlation, (cross[varies].T / sd).T, assume_a="pos")
    beta = np.zeros_like(C)
    beta[1 + varies] = (scaled.T / sd).T
    beta[0] = C[0] / n - np.tensordot(mean[varies], beta[1 + varies], axes=1)
    return beta
