"""Boosted trees over one binned training set: every target, arm and weight of a learner shares the bins.

A target is learned once per fold, on the other folds. The rows themselves are so predicted by trees that did not see
their user, and new people by the mean of all folds' trees, which is steadier than one fit on everybody.

Effects are far smaller than the noise around them, and how many trees they bear depends on the log, as it does for
outcomes. So everything is boosted until the fold left out is foretold no better, down to no tree at all: one effect for
everybody.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import lightgbm as lgb
import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit

from whybuy.causal.clusters import Float64, Ints
from whybuy.causal.learners import BoostingPlan, fixed_parameters

Bools = npt.NDArray[np.bool_]

OUTCOME = BoostingPlan(rounds=400, learning_rate=0.1, leaves=8, min_rows_in_leaf=40, share_of_columns=0.5, l2=10.0)
"""What people do in either arm: some logs bear twenty trees, and some four hundred."""
PROPENSITY = BoostingPlan(rounds=300, learning_rate=0.1, leaves=8, min_rows_in_leaf=20, share_of_columns=0.5, l2=1.0)
"""Who is treated: as many trees as help, for some that stop short of 0 and 1 would hide that nobody had a choice."""
EFFECT = BoostingPlan(rounds=300, learning_rate=0.05, leaves=3, min_rows_in_leaf=80, share_of_columns=0.5, l2=20.0)
"""By what the treatment changes it."""
PATIENCE = 20
THREADS = 2
"""The trees are small: more threads would wait for each other."""


@dataclass(frozen=True)
class Trees:
    """Trees on top of a constant, in logits where the target is 0 or 1."""

    start: float
    trees: lgb.Booster
    rounds: int
    binary: bool

    def __call__(self, X: Float64) -> Float64:
        """Return (n,) predictions."""
        raw = np.full(len(X), self.start)
        if self.rounds:
            raw += np.asarray(self.trees.predict(X, raw_score=True, num_iteration=self.rounds), float)
        return expit(raw) if self.binary else raw


@dataclass(frozen=True)
class Ensemble:
    """The trees of every fold."""

    members: Sequence[Trees]

    def __call__(self, X: Float64) -> Float64:
        """Return (n,) predictions of people who taught none of the trees."""
        return np.mean([trees(X) for trees in self.members], axis=0)


class Bins:
    """One training set, binned once.

    Parameters
    ----------
    X : (n, d) covariates
    fold : (n,) fold of each row, from 0 without gaps, constant within a user
    """

    def __init__(self, X: Float64, fold: Ints, *, seed: int) -> None:
        self.X, self.fold = X, fold
        self.fixed = {**fixed_parameters(threads=THREADS, seed=seed), "objective": "regression"}
        self._all = lgb.Dataset(X, label=np.zeros(len(X)), params=self.fixed).construct()

    def learn(
        self, y: Float64, plan: BoostingPlan, *, use: Bools | None = None, weight: Float64 | None = None,
        binary: bool = False,
    ) -> Ensemble:  # fmt: skip
        """Return the trees of every fold that foretell ``y`` (n,), as many as foretell the fold left out best.

        Parameters
        ----------
        use : (n,) rows that teach; all where None
        weight : (n,) of the rows; equal where None
        """
        use = np.ones(len(y), bool) if use is None else use
        weight = np.ones(len(y)) if weight is None else weight
        members = []
        for k in range(int(self.fold.max()) + 1):
            taught, judging = (np.flatnonzero(use & side) for side in (self.fold != k, self.fold == k))
            members.append(self._boost(y, weight, (taught, judging), plan, binary=binary))
        return Ensemble(members)

    def out_of_fold(self, ensemble: Ensemble) -> Float64:
        """Return (n,) predictions of the rows, each by the trees that did not see its user."""
        out = np.empty(len(self.X))
        for k, trees in enumerate(ensemble.members):
            out[self.fold == k] = trees(self.X[self.fold == k])
        return out

    def _boost(
        self, y: Float64, weight: Float64, rows: tuple[Ints, Ints], plan: BoostingPlan, *, binary: bool
    ) -> Trees:
        taught, judging = rows
        parameters = {**self.fixed, **plan.parameters(), "objective": "binary" if binary else "regression"}
        start = float(np.average(y[taught], weights=weight[taught]))
        if binary:
            # A row's worth of doubt: an arm without any response has a finite logit.
            start = float(logit((start * len(taught) + 0.5) / (len(taught) + 1)))
        booster = lgb.Booster(parameters, self._part(y, weight, taught, start))
        booster.add_valid(self._part(y, weight, judging, start), "left out")
        return Trees(start, booster, _rounds_that_help(booster, plan), binary)

    def _part(self, y: Float64, weight: Float64, rows: Ints, start: float) -> lgb.Dataset:
        part = self._all.subset(rows.tolist()).construct()
        return part.set_label(y[rows]).set_weight(weight[rows]).set_init_score(np.full(len(rows), start))


def _rounds_that_help(booster: lgb.Booster, plan: BoostingPlan) -> int:
    """Boost until the rows left out have not been foretold better for a while, and return where they were best."""
    best, at = booster.eval_valid()[0][2], 0
    for done in range(1, plan.rounds + 1):
        if booster.update():
            return at
        loss = booster.eval_valid()[0][2]
        if loss < best:
            best, at = loss, done
        elif done - at >= PATIENCE:
            return at
    return at
