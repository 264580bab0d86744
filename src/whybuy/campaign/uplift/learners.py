"""Six ways to learn by how much a treatment changes each person's outcome, from one set of nuisances.

``s`` one outcome model that reads the arm as a column, asked twice. Shrinks effects to 0, good where there are few.
``t`` one outcome model per arm, subtracted. Good where arms have little in common and there are people enough.
``x`` what each person did, less what the other arm's model expects of them, learned in both arms and mixed by the
      propensity. Good where one arm is small.
``r`` residual outcome over residual treatment, weighted by the latter's square.
``dr`` the doubly robust score of everybody, learned as it is.
``sxr`` half S, a quarter X and R each. What S smooths away those that learn effects find, and where they follow noise S
      does not: their errors have little in common, so the mean is nearer to the truth than any of them in most logs.

Nuisances are predicted out of fold, folds are by user. Which one is right for a log is not known beforehand:
:mod:`whybuy.campaign.uplift.choice` asks people who did not teach them.

Source: Kunzel, Sekhon, Bickel and Yu, Metalearners for estimating heterogeneous treatment effects (PNAS, 2019), S, T
and X; Nie and Wager (Biometrika, 2021), R; Kennedy, Towards optimal doubly robust estimation of heterogeneous causal
effects (Electronic Journal of Statistics, 2023), DR.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from whybuy.campaign.uplift.boosters import OUTCOME, PROPENSITY, Bins, Ensemble
from whybuy.campaign.uplift.effects import EffectModel, learn_effect
from whybuy.campaign.uplift.rate import doubly_robust_scores
from whybuy.campaign.uplift.rows import UpliftRows
from whybuy.causal.array_rows import is_binary
from whybuy.causal.clusters import Float64

N_FOLDS = 3


@dataclass(frozen=True)
class Foretold:
    """What is expected of people who did not teach it: (n,) propensity, and outcome in either arm."""

    e: Float64
    mu0: Float64
    mu1: Float64

    @property
    def m(self) -> Float64:
        """(n,) expected outcome, whatever the arm."""
        return (1 - self.e) * self.mu0 + self.e * self.mu1


class Lesson:
    """One training set and its nuisances, each fitted once for whichever learner needs it."""

    def __init__(self, rows: UpliftRows, *, seed: int) -> None:
        self.rows, self.seed = rows, seed
        self.bins = Bins(rows.X, rows.folds(N_FOLDS), seed=seed)
        self.binary = is_binary(rows.Y)
        self._learned: dict[str, EffectModel] = {}

    def learned(self, name: str) -> EffectModel:
        """Return what a learner of :data:`LEARNERS` makes of the lesson, taught once."""
        if name not in self._learned:
            self._learned[name] = LEARNERS[name](self)
        return self._learned[name]

    @cached_property
    def arms(self) -> tuple[Ensemble, Ensemble]:
        """The outcome of the controls and of the treated."""
        T, Y = self.rows.T, self.rows.Y
        control, treated = (self.bins.learn(Y, OUTCOME, use=use, binary=self.binary) for use in (T < 1, T > 0))
        return control, treated

    @cached_property
    def assignment(self) -> Ensemble:
        """Who is treated; asked only where it is not known."""
        return self.bins.learn(self.rows.T, PROPENSITY, binary=True)

    @cached_property
    def own(self) -> Foretold:
        """What is expected of the rows themselves, out of fold."""
        e = self.rows.e if self.rows.e is not None else self.bins.out_of_fold(self.assignment)
        return Foretold(e, *(self.bins.out_of_fold(arm) for arm in self.arms))

    def foretold(self, others: UpliftRows) -> Foretold:
        """Return what is expected of other people."""
        e = others.e if others.e is not None else self.assignment(others.X)
        return Foretold(e, *(arm(others.X) for arm in self.arms))

    @property
    def weighable(self) -> Float64:
        """(n,) propensities kept off 0 and 1, where a score would be one person's luck."""
        return np.clip(self.own.e, 0.01, 0.99)


def s_learner(lesson: Lesson) -> EffectModel:
    """Return one outcome model asked with and without the treatment."""
    rows = lesson.rows
    bins = Bins(np.column_stack([rows.X, rows.T]), lesson.bins.fold, seed=lesson.seed)
    outcome = bins.learn(rows.Y, OUTCOME, binary=lesson.binary)

    def effect(X: Float64) -> Float64:
        control, treated = (outcome(np.column_stack([X, np.full(len(X), arm)])) for arm in (0.0, 1.0))
        return treated - control

    return effect


def t_learner(lesson: Lesson) -> EffectModel:
    """Return the difference of the arms' outcome models."""
    control, treated = lesson.arms
    return lambda X: treated(X) - control(X)


def x_learner(lesson: Lesson) -> EffectModel:
    """Return effects imputed with the other arm's model, learned in each arm and mixed by the propensity."""
    T, Y, own = lesson.rows.T, lesson.rows.Y, lesson.own
    imputed = np.where(T > 0, Y - own.mu0, own.mu1 - Y)
    control, treated = (learn_effect(lesson.bins, imputed, use=use) for use in (T < 1, T > 0))
    # Any mixture is right; where propensities are known, those of other people need not be.
    share = float(own.e.mean())
    assignment = lesson.assignment if lesson.rows.e is None else None

    def effect(X: Float64) -> Float64:
        e = share if assignment is None else assignment(X)
        return e * control(X) + (1 - e) * treated(X)

    return effect


def r_learner(lesson: Lesson) -> EffectModel:
    """Return effects that explain the residual outcome by the residual treatment."""
    own, rows = lesson.own, lesson.rows
    RT, RY = rows.T - lesson.weighable, rows.Y - own.m
    return learn_effect(lesson.bins, RY / RT, weight=RT**2)


def dr_learner(lesson: Lesson) -> EffectModel:
    """Return effects learned from everybody's doubly robust score."""
    own, rows = lesson.own, lesson.rows
    scores = doubly_robust_scores(rows.T, rows.Y, lesson.weighable, own.mu0, own.mu1)
    return learn_effect(lesson.bins, scores)


def sxr_learner(lesson: Lesson) -> EffectModel:
    """Return the mean of what S foretells and of the mean of X and R."""
    s, x, r = (lesson.learned(name) for name in ("s", "x", "r"))
    return lambda X: s(X) / 2 + (x(X) + r(X)) / 4


LEARNERS: dict[str, Callable[[Lesson], EffectModel]] = {
    "sxr": sxr_learner,
    "s": s_learner,
    "t": t_learner,
    "x": x_learner,
    "r": r_learner,
    "dr": dr_learner,
}
