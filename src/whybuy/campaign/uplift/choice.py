"""Which learner a log bears, asked of people who did not teach it.

Users are in folds; every learner is taught on the other folds and foretells the effects of each. Two questions are put
to what it foretold, both with nuisances of the other folds too:

- the *R-loss*, mean (RY - tau RT)^2: is the effect's size right? It is the noise plus the weighted squared error of
  tau, so the differences between learners mean something and the level does not;
- the *policy value*: what does treating in its order add over treating as many at random, per person, averaged over all
  budgets? (:mod:`whybuy.campaign.uplift.rate`: Qini.)

Both are noisy, and picking the best of six by noise loses more than it finds. So the first learner that was asked for
(the mean of S, X and R, unless said otherwise) stays, unless another beats it in both: an R-loss lower by more than
1.96 standard errors, and a higher policy value; of several such, the one of the highest policy value. Effects are then
put to scale by the line a + b tau of least R-loss, with b drawn towards 1 by as much as it is uncertain, and at least
0. None of these numbers is the answer: the winner of a contest looks better than it is, so the answer is computed on
people who took no part in it.

Source: Nie and Wager (Biometrika, 2021), equation 4; Schuler, Baiocchi, Tibshirani and Shah, A comparison of methods
for model selection when estimating individual treatment effects (arXiv:1804.05146, 2018).
"""

from dataclasses import dataclass

import numpy as np

from whybuy.campaign.uplift.effects import EffectModel
from whybuy.campaign.uplift.learners import Foretold, Lesson
from whybuy.campaign.uplift.rate import Ranking, areas, doubly_robust_scores
from whybuy.campaign.uplift.rows import UpliftRows
from whybuy.causal.clusters import Float64, clustered_ratio
from whybuy.causal.effects import Z95

N_FOLDS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """How a learner did on people who did not teach it.

    Attributes
    ----------
    excess_loss, excess_error : its R-loss less that of one effect for everybody, and the standard error by user; below
        0 where its differences between people are worth something
    behind, behind_error : its R-loss less that of the first learner that was asked for
    policy_value : outcome per person that its order adds over a random one, averaged over all budgets
    """

    learner: str
    excess_loss: float
    excess_error: float
    behind: float
    behind_error: float
    policy_value: float


@dataclass(frozen=True)
class Chosen:
    """The chosen learner.

    Attributes
    ----------
    candidates : all of them, as asked
    foretold : (n,) effects of the people who chose, each by learners that did not see them, put to scale
    model : the learner taught on all of them, put to scale
    """

    learner: str
    candidates: tuple[Candidate, ...]
    foretold: Float64
    model: EffectModel


@dataclass(frozen=True)
class _Scale:
    """The line that foretold effects lie nearest to."""

    a: float
    b: float

    def __call__(self, tau: Float64) -> Float64:
        return self.a + self.b * tau


def choose(rows: UpliftRows, learners: tuple[str, ...], *, seed: int) -> Chosen:
    """Return the learner that these people bear, taught on all of them."""
    fold = rows.folds(N_FOLDS)
    tau = {name: np.empty(len(fold)) for name in learners}
    e, mu0, mu1 = (np.empty(len(fold)) for _ in range(3))
    for k in range(N_FOLDS):
        mine = fold == k
        lesson, others = Lesson(rows.keep(~mine), seed=seed), rows.keep(mine)
        seen = lesson.foretold(others)
        e[mine], mu0[mine], mu1[mine] = np.clip(seen.e, 0.01, 0.99), seen.mu0, seen.mu1
        for name in learners:
            tau[name][mine] = lesson.learned(name)(others.X)
    judging = Foretold(e, mu0, mu1)
    candidates = _judged(rows, tau, judging)
    name = _best(candidates).learner
    scale = _to_scale(rows, tau[name], judging)
    lesson = Lesson(rows, seed=seed)
    model, most = lesson.learned(name), 1.0 if lesson.binary else np.inf

    def possible(effect: Float64) -> Float64:
        """Return effects of which none moves a chance by more than 1."""
        return np.clip(scale(effect), -most, most)

    return Chosen(name, candidates, possible(tau[name]), lambda X: possible(model(X)))


def _judged(rows: UpliftRows, tau: dict[str, Float64], judging: Foretold) -> tuple[Candidate, ...]:
    RT, RY = rows.T - judging.e, rows.Y - judging.m
    scores = doubly_robust_scores(rows.T, rows.Y, judging.e, judging.mu0, judging.mu1)
    loss = {name: (RY - effect * RT) ** 2 for name, effect in tau.items()}
    one = (RY - (RT @ RY) / (RT @ RT) * RT) ** 2
    first = next(iter(loss.values()))
    found = []
    for name, mine in loss.items():
        excess, behind = (clustered_ratio(mine - other, 1.0, rows.user) for other in (one, first))
        ranking = Ranking(tau[name], rows.user)
        found.append(
            Candidate(
                learner=name,
                excess_loss=excess.value,
                excess_error=excess.std_error,
                behind=behind.value,
                behind_error=behind.std_error,
                policy_value=float(areas(ranking.shared(scores[ranking.order]))[1]),
            )
        )
    return tuple(found)


def _best(candidates: tuple[Candidate, ...]) -> Candidate:
    """Return the first, or the highest policy value among those that beat it in both questions."""
    first = candidates[0]
    better = [c for c in candidates if c.behind < -Z95 * c.behind_error and c.policy_value > first.policy_value]
    return max([first, *better], key=lambda c: c.policy_value)


def _to_scale(rows: UpliftRows, tau: Float64, judging: Foretold) -> _Scale:
    """Return the line a + b tau of least R-loss, b ~ N(1, 1) beforehand; one effect for everybody where b is below 0.

    Parameters
    ----------
    tau : (n,) foretold effects, by learners that did not see the person
    """
    RT, RY = rows.T - judging.e, rows.Y - judging.m
    average = float(RT @ RY / (RT @ RT))
    middle = float(np.average(tau, weights=RT**2))
    away = (tau - middle) * RT
    if float(away @ away) <= 1e-20 * float(RT @ RT):
        return _Scale(average, 0.0)
    # Where b is all but unknown, 1 says more than the noise does: sizes are rough then, and the order is kept.
    found = clustered_ratio(away * (RY - average * RT), away**2, rows.user)
    slope = max(0.0, (found.value + found.std_error**2) / (1 + found.std_error**2))
    return _Scale(average - slope * middle, slope)
