"""Flexible nuisances: LightGBM on counts and the model's heads, starting from the model's own logit, recalibrated.

One binned data set per fold serves every target: labels, weights and starting logits are swapped, the bins stay. A
target that the model has no head for starts from its base rate. B + A targets are fitted for B x A questions.
"""

from dataclasses import dataclass

import lightgbm as lgb
import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit

from whybuy.behavior.calibration import Platt

Float64 = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

_MIN_CASES = 10


@dataclass(frozen=True)
class BoostingPlan:
    """Size of a fit."""

    rounds: int
    learning_rate: float
    leaves: int
    min_rows_in_leaf: int
    share_of_columns: float
    l2: float

    def parameters(self) -> dict[str, object]:
        """Return LightGBM's parameters."""
        return {
            "learning_rate": self.learning_rate,
            "num_leaves": self.leaves,
            "min_data_in_leaf": self.min_rows_in_leaf,
            "feature_fraction": self.share_of_columns,
            "lambda_l2": self.l2,
        }


PROPENSITY = BoostingPlan(rounds=12, learning_rate=0.12, leaves=8, min_rows_in_leaf=300, share_of_columns=0.2, l2=100.0)
"""What the next decision is. Few rounds: the start is the model's own logit, and only what it missed is learned."""

OUTCOME = BoostingPlan(rounds=12, learning_rate=0.12, leaves=4, min_rows_in_leaf=1000, share_of_columns=0.2, l2=100.0)
"""What follows within the horizon: decisions of one user share their outcome, so the trees stay small."""


def fixed_parameters(*, threads: int, seed: int) -> dict[str, object]:
    """Return what every fit shares; deterministic, so that a rerun gives the same numbers."""
    return {
        "objective": "binary",
        "deterministic": True,
        "force_col_wise": True,
        "verbosity": -1,
        "max_bin": 31,
        "boost_from_average": False,
        # The bins are built once for all targets: a row count that suits one must not drop columns for another.
        "feature_pre_filter": False,
        "num_threads": threads,
        "seed": seed,
    }


class CrossFitter:
    """Predicts any number of binary targets of the same trials, each row by learners that did not see its user.

    Parameters
    ----------
    X : (n, d) covariates
    fold : (n,) fold of each row, constant within a user; a fold is judged by what the other folds teach
    """

    def __init__(self, X: Floats, fold: Ints, *, threads: int = 2, seed: int = 7) -> None:
        self.X, self.fixed = X, fixed_parameters(threads=threads, seed=seed)
        folds = range(int(fold.max()) + 1)
        self.test = [np.flatnonzero(fold == k) for k in folds]
        self.train = [np.flatnonzero(fold != k) for k in folds]
        self._bins = [
            lgb.Dataset(X[rows], label=np.zeros(len(rows)), params=self.fixed, free_raw_data=True).construct()
            for rows in self.train
        ]

    def predict(
        self, y: npt.NDArray[np.uint8], plan: "BoostingPlan", *, start: Floats | None, use: Bools | None = None
    ) -> Float64:
        """Return (n,) out-of-fold probabilities of ``y``.

        Parameters
        ----------
        plan : how large the learners are
        start : (n,) logits to start from, the model's own, recalibrated on what teaches; the base rate where None
        use : (n,) rows that teach; all where None (all rows are predicted)
        """
        out = np.empty(len(y))
        for train, test, bins in zip(self.train, self.test, self._bins, strict=True):
            taught = np.ones(len(train), bool) if use is None else use[train]
            label = y[train].astype(float)
            cases = label[taught].sum()
            rate = (cases + 0.5) / (taught.sum() + 1)
            base = np.full(len(y), logit(rate)) if start is None else start
            if min(cases, taught.sum() - cases) < _MIN_CASES:
                # Too few cases to learn more than the start says.
                out[test] = expit(base[test])
                continue
            if start is not None:
                # A head that was trained long is surer than it should be, and so would be what starts from it.
                base = Platt.fit(start[train][taught].astype(float), label[taught] > 0).logit(start.astype(float))
            bins.set_label(label).set_weight(taught.astype(float)).set_init_score(base[train].astype(float))
            booster = lgb.train({**self.fixed, **plan.parameters()}, bins, num_boost_round=plan.rounds)
            out[test] = expit(base[test] + booster.predict(self.X[test], raw_score=True))
        return out
