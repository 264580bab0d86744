"""Flexible nuisances: boosted trees on counts, stacked with the model's own heads. B + A fits serve B x A questions.

Trees and the behavior model err in different ways, and which of them knows more depends on the log: a stack in the
logit weighs them (Wolpert, Neural Networks, 1992; in double machine learning Ahrens, Hansen, Schaffer and Wiemann,
Journal of Applied Econometrics, 2025). Every fold of users teaches one booster. A row of fold k is judged by the mean
of the other folds' boosters, and the weights of its stack come from those folds judging each other: nothing of fold k
has a part in its own answers.

One binned data set per fold serves every target: labels, weights and starting logits are swapped, the bins stay.
"""

from dataclasses import dataclass

import lightgbm as lgb
import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

Float64 = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

_MIN_CASES = 10
_MIN_FOLDS = 3
_STACK_C = 10.0
"""Weights are shrunk hardly at all: there are three, and cases by the hundred."""


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


PROPENSITY = BoostingPlan(rounds=50, learning_rate=0.15, leaves=8, min_rows_in_leaf=300, share_of_columns=0.2, l2=50.0)
"""What the next decision is."""

OUTCOME = BoostingPlan(rounds=40, learning_rate=0.1, leaves=4, min_rows_in_leaf=1000, share_of_columns=0.2, l2=100.0)
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
    fold : (n,) fold of each row, constant within a user; fewer than three teach nothing, since the others must be able
        to judge each other
    """

    def __init__(self, X: Floats, fold: Ints, *, threads: int = 2, seed: int = 7) -> None:
        self.X, self.fixed = X, fixed_parameters(threads=threads, seed=seed)
        self.rows = [np.flatnonzero(fold == k) for k in np.unique(fold)]
        self._bins = [
            lgb.Dataset(X[rows], label=np.zeros(len(rows)), params=self.fixed, free_raw_data=True).construct()
            for rows in self.rows
        ]

    def predict(
        self, y: npt.NDArray[np.uint8], plan: BoostingPlan, *, head: Floats | None, use: Bools | None = None
    ) -> Float64:
        """Return (n,) out-of-fold probabilities of ``y``.

        Parameters
        ----------
        plan : how large the learners are
        head : (n,) the behavior model's own logits, from twins that did not see the row's user; None where it has none
        use : (n,) rows that teach; all where None (all rows are predicted)
        """
        taught = np.ones(len(y), bool) if use is None else use
        folds, out = range(len(self.rows)), np.empty(len(y))
        boosted = self._judged_apart(self._boosters(y, taught, plan))
        for k, rows in enumerate(self.rows):
            others = np.flatnonzero(taught)
            others = others[~np.isin(others, rows, assume_unique=True)]
            cases = int(y[others].sum())
            if len(folds) < _MIN_FOLDS or min(cases, len(others) - cases) < _MIN_CASES:
                # Too few cases to learn more than the head or the base rate says.
                out[rows] = expit(head[rows]) if head is not None else (cases + 0.5) / (len(others) + 1)
                continue
            by_others = boosted[[j for j in folds if j != k]]
            if head is None:
                out[rows] = expit(by_others[:, rows].mean(axis=0))
                continue
            # A row of another fold j is judged by the folds that are neither j nor k: boosted[j] is missing there.
            apart = np.nanmean(by_others[:, others], axis=0)
            stack = LogisticRegression(C=_STACK_C).fit(np.stack([head[others], apart], axis=1), y[others])
            out[rows] = expit(stack.decision_function(np.stack([head[rows], by_others[:, rows].mean(axis=0)], axis=1)))
        return out

    def frozen(
        self, y: npt.NDArray[np.uint8], plan: BoostingPlan, *, head: Floats, use: Bools | None = None
    ) -> "FrozenLearner":
        """Return the learner of ``y`` for users who are in no fold: all boosters and one stack; as for predict."""
        taught = np.ones(len(y), bool) if use is None else use
        boosters = self._boosters(y, taught, plan)
        apart = np.nanmean(self._judged_apart(boosters), axis=0)
        stack = LogisticRegression(C=_STACK_C).fit(np.stack([head[taught], apart[taught]], axis=1), y[taught])
        return FrozenLearner(tuple(boosters), stack)

    def _boosters(self, y: npt.NDArray[np.uint8], taught: Bools, plan: BoostingPlan) -> list["Booster"]:
        """Return the booster that each fold teaches."""
        found = []
        for rows, bins in zip(self.rows, self._bins, strict=True):
            label, weight = y[rows].astype(float), taught[rows].astype(float)
            start = float(logit(((label * weight).sum() + 0.5) / (weight.sum() + 1)))
            bins.set_label(label).set_weight(weight).set_init_score(np.full(len(rows), start))
            trees = lgb.train({**self.fixed, **plan.parameters()}, bins, num_boost_round=plan.rounds)
            found.append(Booster(start, trees))
        return found

    def _judged_apart(self, boosters: list["Booster"]) -> Float64:
        """Return (n_folds, n) logits by the booster of each fold; NaN for the fold's own rows."""
        found = np.full((len(self.rows), len(self.X)), np.nan)
        for k, booster in enumerate(boosters):
            judged = np.concatenate([other for j, other in enumerate(self.rows) if j != k])
            found[k, judged] = booster.logits(self.X[judged])
        return found


@dataclass(frozen=True)
class Booster:
    """Trees on top of a base rate, in logits."""

    start: float
    trees: lgb.Booster

    def logits(self, X: Floats) -> Float64:
        """Return (n,) logits of the rows ``X``."""
        return self.start + np.asarray(self.trees.predict(X, raw_score=True), float)


@dataclass(frozen=True)
class FrozenLearner:
    """A learner that is taught no more."""

    boosters: tuple[Booster, ...]
    stack: LogisticRegression

    def predict(self, X: Floats, head: Floats) -> Float64:
        """Return (n,) probabilities of rows ``X`` by users who taught neither the trees nor the ``head`` (n,)."""
        by_trees = np.mean([booster.logits(X) for booster in self.boosters], axis=0)
        return np.asarray(expit(self.stack.decision_function(np.stack([head, by_trees], axis=1))))
