"""Out-of-fold predictions for plain arrays by any scikit-learn estimator, LightGBM, or the scan's ridge."""

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import lightgbm as lgb
import numpy as np
import numpy.typing as npt
from sklearn.base import clone, is_classifier

from whybuy.causal.array_rows import Rows, is_binary
from whybuy.causal.clusters import Float64
from whybuy.causal.ridge import FoldSums, fit_folds, with_intercept
from whybuy.errors import ArraysError

Bools = npt.NDArray[np.bool_]

_MIN_CASES = 10


class Learner(Protocol):
    """Anything with ``fit`` and ``predict``; a classifier answers with ``predict_proba``."""

    def fit(self, X: Any, y: Any) -> Any:
        """Learn from (n, d) covariates and (n,) targets."""

    def predict(self, X: Any) -> Any:
        """Return (n,) predictions."""


@dataclass(frozen=True, kw_only=True)
class Learners:
    """Different learners for the treatment and for the outcome."""

    treatment: Learner | Literal["lightgbm", "ridge"]
    outcome: Learner | Literal["lightgbm", "ridge"]


LearnerChoice = Learner | Learners | Literal["lightgbm", "ridge"]


def out_of_fold(learner: Learner | str, rows: Rows, y: Float64, *, use: Bools | None = None) -> Float64:
    """Return (n,) predictions of ``y``, each by a learner that saw none of the row's fold.

    Parameters
    ----------
    use : (n,) rows that teach; all where None (all rows are predicted)
    """
    use = np.ones(len(y), bool) if use is None else use
    for k in range(rows.n_folds):
        taught = y[use & (rows.fold != k)]
        if len(taught) < _MIN_CASES:
            raise ArraysError.of(
                found=f"Outside fold {k} only {len(taught)} rows of one arm",
                needed=f"at least {_MIN_CASES} to learn from",
                do="Use fewer folds, or bring more rows",
            )
    if isinstance(learner, str):
        if learner == "ridge":
            return _ridge(rows, y, use)
        if learner != "lightgbm":
            raise ArraysError.of(
                found=f"learner={learner!r}", needed="'lightgbm', 'ridge' or an estimator", do="Pass one"
            )
        learner = boosting(binary=is_binary(y))
    if is_classifier(learner) and not is_binary(y):
        raise ArraysError.of(
            found=f"{type(learner).__name__} is a classifier, and its target is not 0 or 1",
            needed="a regressor for this target",
            do="Pass Learners(treatment=..., outcome=...)",
        )
    out = np.empty(len(y))
    for k in range(rows.n_folds):
        test, train = rows.fold == k, use & (rows.fold != k)
        fitted = clone(learner).fit(rows.X[train], y[train])
        out[test] = fitted.predict_proba(rows.X[test])[:, 1] if is_classifier(learner) else fitted.predict(rows.X[test])
    return out


STEADY: dict[str, Any] = {"deterministic": True, "force_col_wise": True, "n_jobs": 1, "verbosity": -1}
"""Of every booster that is fitted through scikit-learn: the same numbers whenever it is fitted again."""


def boosting(*, binary: bool) -> Learner:
    """Return the default learner, deterministic: few rounds for what is 0 or 1, more where every row says more."""
    fixed = {**STEADY, "reg_lambda": 1.0}
    if binary:
        return lgb.LGBMClassifier(n_estimators=100, learning_rate=0.05, num_leaves=8, min_child_samples=40, **fixed)
    return lgb.LGBMRegressor(n_estimators=300, learning_rate=0.1, num_leaves=4, min_child_samples=20, **fixed)


def _ridge(rows: Rows, y: Float64, use: Bools) -> Float64:
    """Return the scan's ridge: columns standardized, the penalty chosen on folds left out."""
    A = with_intercept(rows.X)
    sums = FoldSums.zeros(rows.n_folds, rows.X.shape[1], 1, 0, 0)
    sums.add(A[use], y[use, None], rows.fold[use], np.zeros((int(use.sum()), 0), np.uint8))
    beta = fit_folds(sums, [np.arange(rows.X.shape[1])])[:, :, 0]
    return np.einsum("nk,nk->n", A, beta[rows.fold])
