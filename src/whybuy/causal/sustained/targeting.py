"""Sequential, multiply robust estimation of what follows a strategy: backward over the decision points.

With the pseudo-outcome xi_{K+1} = Y and, for t = K, ..., 1,

    m_t(h, a) = E[xi_{t+1} | H_t = h, A_t = a]                     an initial fit, by any learner, out of fold
    V_t       = q_t m_t(H_t, 1) + (1 - q_t) m_t(H_t, 0)            what the strategy makes of it
    w_t       = A_t q_t / pi_t + (1 - A_t) (1 - q_t) / (1 - pi_t)
    xi_t      = V_t + w_t (xi_{t+1} - m_t(H_t, A_t))               corrects the fit by what really followed
                    + g'(pi_t) (m_t(H_t, 1) - m_t(H_t, 0)) (A_t - pi_t)      pays for pi_t, which q_t leans on

the mean of xi_1 is the mean of Y under the strategy, and xi_1 less that mean is its efficient influence function. For
odds this is Kennedy's estimator; for nudges and curbs V_t and the last term add up to m_t at the modified treatment,
which is the sequentially doubly robust estimator of Diaz and others; for static strategies the last term is zero and it
is the classical doubly robust one. Left as it is (q = pi) xi_1 is Y itself, whatever the fits.

At every point the answer survives a wrong m_t where pi_t is right, and (but for the odds' lean on pi) the other way
round. Fits are out of fold by user; an error in m_{t+1} moves the target of m_t only in second order, so the folds of
one step may be those of the next.

Source: Kennedy, Nonparametric causal effects based on incremental propensity score interventions (JASA, 2019),
theorem 2; Diaz, Williams, Hoffman and Schenck, Nonparametric causal effects based on longitudinal modified treatment
policies (JASA, 2023), the sequentially doubly robust estimator; Luedtke, Sofrygin, van der Laan and Carone, Sequential
double robustness in right-censored longitudinal models (arXiv:1705.02459, 2017).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import lightgbm as lgb
import numpy as np

from whybuy.causal.array_learners import STEADY, Learners, out_of_fold
from whybuy.causal.array_rows import Rows
from whybuy.causal.clusters import Float64
from whybuy.causal.sustained.strategies import Strategy

_CLIP = (1e-3, 1 - 1e-3)

Arms = tuple[Float64, Float64]


@dataclass(frozen=True)
class Followed:
    """What follows a strategy, row by row.

    Attributes
    ----------
    score : (n,) xi_1
    weight : (n,) product of all w_t: how much a row's own path counts
    chance : (K,) mean chance of the behavior at every decision among rows weighted by the path so far
    """

    score: Float64
    weight: Float64
    chance: Float64


class Sequential:
    """Follows any number of strategies through the same decision points; what they share is fitted once.

    Parameters
    ----------
    decisions : K checked rows, the covariates of each holding all that is known before it, past treatments too
    learners : of the propensities and of the pseudo-outcomes
    """

    def __init__(self, decisions: Sequence[Rows], learners: Learners) -> None:
        self.decisions, self.learners = tuple(decisions), learners
        self.pi = [np.clip(out_of_fold(learners.treatment, rows, rows.T), *_CLIP) for rows in self.decisions]
        self._last: Arms | None = None

    def follow(self, strategy: Strategy) -> Followed:
        """Return what follows a strategy."""
        xi = self.decisions[-1].Y
        steps = list(zip(self.decisions, self.pi, strict=True))
        for rows, pi in reversed(steps):
            if strategy.changes_nothing:  # the correction takes back whatever is fitted
                break
            m0, m1 = self._arms(rows, xi)
            xi = corrected(xi, rows.T, pi, (m0, m1), strategy)
        weight, chance = np.ones(len(xi)), []
        for rows, pi in steps:
            q = strategy.chance(pi)
            # A static strategy's chance is the same for all, also where nobody followed it so far.
            chance.append(float(q[0]) if strategy.is_static else float(np.average(q, weights=weight)))
            weight = weight * path_weight(rows.T, pi, strategy)
        return Followed(xi, weight, np.array(chance))

    def _arms(self, rows: Rows, xi: Float64) -> Arms:
        """Return m(H, 0) and m(H, 1), every arm by a learner of its own; those of the last decision serve all."""
        if rows is self.decisions[-1] and self._last is not None:
            return self._last
        learner = self.learners.outcome
        fitted = out_of_fold(learner, rows, xi, use=rows.T < 1), out_of_fold(learner, rows, xi, use=rows.T > 0)
        if rows is self.decisions[-1]:
            self._last = fitted
        return fitted


def path_weight(A: Float64, pi: Float64, strategy: Strategy) -> Float64:
    """Return w_t (n,)."""
    q = strategy.chance(pi)
    return np.where(A > 0, q / pi, (1 - q) / (1 - pi))


def corrected(xi: Float64, A: Float64, pi: Float64, arms: Arms, strategy: Strategy) -> Float64:
    """Return xi_t from xi_{t+1} (n,), see the module."""
    m0, m1 = arms
    q = strategy.chance(pi)
    residual = xi - np.where(A > 0, m1, m0)
    follows = q * m1 + (1 - q) * m0
    return follows + path_weight(A, pi, strategy) * residual + strategy.slope(pi) * (m1 - m0) * (A - pi)


def default_learners() -> Learners:
    """Return boosted trees, small ones: pseudo-outcomes are noisier than outcomes."""
    fixed = {**STEADY, "reg_lambda": 1.0, "n_estimators": 80}
    return Learners(
        treatment=lgb.LGBMClassifier(learning_rate=0.05, num_leaves=6, min_child_samples=40, **fixed),
        outcome=lgb.LGBMRegressor(learning_rate=0.1, num_leaves=4, min_child_samples=20, **fixed),
    )
