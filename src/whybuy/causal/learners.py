"""Flexible nuisances: LightGBM on counts and the model's heads, starting from the model's own logit.

One binned data set per fold serves every target: labels, weights and starting logits are swapped, the bins stay. A
target that the model has no head for starts from its base rate. B + A targets are fitted for B x A questions.
"""

from dataclasses import dataclass

import lightgbm as lgb
import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit

Float64 = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

_MIN_CASES = 10


@dataclass(frozen=True)
class BoostingPlan:
    """Size of a fit; chosen on worlds' seeds 0-9, see docs/experiments.md."""

    rounds: int = 40
    learning_rate: float = 0.08
    leaves: int = 15
    min_rows_in_leaf: int = 100
    share_of_columns: float = 0.4
    l2: float = 10.0
    threads: int = 2
    seed: int = 7

    def parameters(self) -> dict[str, object]:
        """Return LightGBM's parameters; deterministic, so that a rerun gives the same numbers."""
        return {
            "objective": "binary",
            "learning_rate": self.learning_rate,
            "num_leaves": self.leaves,
            "min_data_in_leaf": self.min_rows_in_leaf,
            "feature_fraction": self.share_of_columns,
            "lambda_l2": self.l2,
            "num_threads": self.threads,
            "seed": self.seed,
            "deterministic": True,
            "force_row_wise": True,
            "verbosity": -1,
            "max_bin": 63,
            "boost_from_average": False,
        }


class CrossFitter:
    """Predicts any number of binary targets of the same trials, each row by learners that did not see its user.

    Parameters
    ----------
    X : (n, d) covariates
    fold : (n,) fold of each row, constant within a user
    peers : (n_folds, n_folds) which folds (columns) a fold's (row's) learner is trained on
    """

    def __init__(self, X: Floats, fold: Ints, peers: Bools, plan: BoostingPlan) -> None:
        self.X, self.fold, self.plan = X, fold, plan
        self.test = [np.flatnonzero(fold == k) for k in range(len(peers))]
        self.train = [np.flatnonzero(peers[k][fold]) for k in range(len(peers))]
        for k, rows in enumerate(self.train):
            if np.isin(self.test[k], rows).any():
                message = "a fold's learner would see the rows it predicts"
                raise ValueError(message)
        self._bins = [
            lgb.Dataset(X[rows], label=np.zeros(len(rows)), params=plan.parameters(), free_raw_data=True).construct()
            for rows in self.train
        ]

    def predict(self, y: npt.NDArray[np.uint8], *, start: Floats | None, use: Bools | None = None) -> Float64:
        """Return (n,) out-of-fold probabilities of ``y``.

        Parameters
        ----------
        start : (n,) logits to start from, the model's own; the base rate where None
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
            bins.set_label(label).set_weight(taught.astype(float)).set_init_score(base[train].astype(float))
            booster = lgb.train(self.plan.parameters(), bins, num_boost_round=self.plan.rounds)
            out[test] = expit(base[test] + booster.predict(self.X[test], raw_score=True))
        return out


def nested_peers(n_twins: int, n_subfolds: int) -> Bools:
    """Return which folds teach which: the other subfolds of the same twin.

    Fold = twin x n_subfolds + subfold. The heads of a twin's users come from a model that saw the other twin's users,
    so learners nested within the twin never meet a label of the user they judge, not even through a head.
    """
    n = n_twins * n_subfolds
    twin, subfold = np.divmod(np.arange(n), n_subfolds)
    return (twin[:, None] == twin) & (subfold[:, None] != subfold)


def pooled_peers(n_twins: int, n_subfolds: int) -> Bools:
    """Return which folds teach which: every other subfold, of both twins."""
    n = n_twins * n_subfolds
    subfold = np.arange(n) % n_subfolds
    return subfold[:, None] != subfold
