"""Two groups of people, ready for any question about what came of them.

Who was sent it, and what is known of them, stays the same from question to question; only what is counted changes: the
outcome in the first day, purchases of another category, redemptions. So propensities are learned once, and every
outcome brings an expectation of its own, learned from the other folds' users of both arms alike.

- Assigned at random: the difference of the arms, regressed on that expectation in each arm. However it was learned and
  however wrong it is, the difference stays unbiased; the better it is, the narrower the interval (CUPED with a learned
  covariate).
- Otherwise: residual on residual, the residual exposure to other campaigns partialled out of both.

Source: Deng et al., Improving the sensitivity of online controlled experiments (WSDM, 2013); Lin, Agnostic notes on
regression adjustments (Annals of Applied Statistics, 2013); Guo et al., Machine learning for variance reduction in
online experiments (NeurIPS, 2021), algorithm 1.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from whybuy import columns as c
from whybuy.campaign.cohort import MAX_ROWS_PER_ARM
from whybuy.campaign.estimate import Float64, Ints, difference, overlap_weighted, regression_adjusted
from whybuy.campaign.history import Bools, Floats
from whybuy.campaign.nuisance import N_FOLDS, People, crossfit
from whybuy.causal.checks import PairData
from whybuy.causal.effects import Estimate

_PENALTIES = np.logspace(0, 5, 6)


@dataclass(frozen=True)
class Comparison:
    """The people of one campaign who are compared.

    Attributes
    ----------
    rows : (n) ``user_id``, ``ts_ms``, ``treated``, ``arm``, ordered by user and time
    people : their covariates, all from before
    e : (n,) probability of being sent it, None where it was assigned at random
    others : (n, k) residual exposures to other campaigns, which every effect is adjusted for; none where k is 0
    """

    rows: pd.DataFrame
    treated: Bools
    people: People
    e: Float64 | None
    others: Float64

    @classmethod
    def of(cls, rows: pd.DataFrame, treated: Bools, X: Floats, e: Float64 | None) -> "Comparison":
        """Return the comparison without other campaigns."""
        return cls(rows, treated, People.of(X, rows[c.USER].to_numpy(object)), e, np.empty((len(rows), 0)))

    @property
    def estimand(self) -> str:
        """What every effect estimates."""
        return "ate" if self.e is None else "ato"

    @property
    def user(self) -> Ints:
        """(n,) number of the user, ascending."""
        ids = self.rows[c.USER]
        return ids.ne(ids.shift()).cumsum().to_numpy(np.int64) - 1

    def keep(self, which: Bools) -> "Comparison":
        """Return some of the people, their propensities as they are."""
        people = People(self.people.X[which], self.people.fold[which], self.people.position[which])
        e = None if self.e is None else self.e[which]
        rows = self.rows[which].reset_index(drop=True)
        return Comparison(rows, self.treated[which], people, e, self.others[which])

    def refitted(self, *, seed: int) -> "Comparison":
        """Return the comparison with propensities learned from these people alone."""
        if self.e is None:
            return self
        everybody = np.ones(len(self.treated), bool)
        return replace(self, e=crossfit(self.people, self.treated, everybody, seed=seed, boost=False))

    def foretold(self, y: Bools | Float64) -> Float64:
        """Return (n,) what is expected of everybody's ``y`` (n,), learned from the other folds' users of both arms."""
        if self.people.X.shape[1] == 0:
            return np.full(len(y), float(np.mean(y)))
        if y.dtype == bool:
            teach = self.people.position < min(1.0, 2 * MAX_ROWS_PER_ARM / len(y))
            return crossfit(self.people, y.astype(bool), teach, seed=0, boost=False)
        return crossfit_mean(self.people, y.astype(float))

    def pair_data(self, y: Bools | Float64, *, expected: Float64 | None = None) -> PairData:
        """Return residual on residual, other campaigns partialled out of both (Frisch, Waugh and Lovell)."""
        e = np.full(len(y), self.treated.mean()) if self.e is None else self.e
        T, Y = self.treated.astype(float), y.astype(float)
        m = self.foretold(y) if expected is None else expected
        return PairData(T, Y, e + explained(self.others, T - e), m + explained(self.others, Y - m), self.user)

    def effect(self, y: Bools | Float64, *, expected: Float64 | None = None, estimand: str | None = None) -> Estimate:
        """Return the effect on ``y`` (n,): whether something happened, or how much.

        ``expected`` (n,) is :meth:`foretold` of it, where that is known already.
        """
        estimand = estimand or self.estimand
        expected = self.foretold(y) if expected is None else expected
        if self.e is not None:
            return replace(overlap_weighted(self.pair_data(y, expected=expected))[0], estimand=estimand)
        covariate = within_folds(expected, self.people.fold)
        if np.ptp(covariate) == 0:
            return difference(self.treated, y, estimand=estimand)
        return regression_adjusted(self.treated, y, covariate[:, None], estimand=estimand)


def explained(others: Float64, residual: Float64) -> Float64:
    """Return (n,) what residual exposures to other campaigns explain of a residual; 0 where there are none."""
    if others.shape[1] == 0:
        return np.zeros(len(residual))
    found: Float64 = others @ np.linalg.lstsq(others, residual, rcond=None)[0]
    return found


def within_folds(expected: Float64, fold: Ints) -> Float64:
    """Return the expectations around the mean of their fold.

    The level of a fold was learned from all others, so that it is high where the fold's own outcomes are low: as a
    covariate it would explain outcomes by themselves.
    """
    n = np.bincount(fold, minlength=N_FOLDS)
    means = np.bincount(fold, expected, minlength=N_FOLDS) / np.maximum(n, 1)
    centered = expected - means[fold]
    return np.where(np.abs(centered) < 1e-12, 0.0, centered)


def crossfit_mean(people: People, y: Float64) -> Float64:
    """Return (n,) expectations of a number, each row predicted by a ridge regression on the other folds' users."""
    out = np.empty(len(y))
    for k in range(N_FOLDS):
        test = people.fold == k
        if not test.any():
            continue
        if test.all() or np.ptp(y[~test]) == 0:
            out[test] = y[~test].mean() if (~test).any() else y.mean()
            continue
        learner = make_pipeline(StandardScaler(), RidgeCV(_PENALTIES)).fit(people.X[~test].astype(float), y[~test])
        out[test] = learner.predict(people.X[test].astype(float))
    return out
