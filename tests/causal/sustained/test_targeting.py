"""The recursion: the plain sums of the papers beside it, what it must leave alone, and which errors it forgives."""

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.linear_model import LinearRegression

from tests.causal.sustained.feedback import natural, truth, visits
from whybuy.causal.sustained.arrays import checked, effective_users
from whybuy.causal.sustained.strategies import Strategy, strategies
from whybuy.causal.sustained.targeting import Sequential, corrected, path_weight
from whybuy.errors import ArraysError
from whybuy.estimators import Learners

N, K = 50, 3


@pytest.fixture
def parts():
    """Any data and any fits: the sums must agree whatever they are."""
    rng = np.random.default_rng(3)
    pi = [rng.uniform(0.1, 0.9, N) for _ in range(K)]
    A = [(rng.random(N) < p).astype(float) for p in pi]
    arms = [(rng.normal(size=N), rng.normal(size=N)) for _ in range(K)]
    return pi, A, arms, rng.normal(size=N)


def followed(parts, strategy):
    pi, A, arms, xi = parts
    for t in reversed(range(K)):
        xi = corrected(xi, A[t], pi[t], arms[t], strategy)
    return xi


@pytest.mark.parametrize("d", [0.3, 2.5])
def test_odds_are_kennedy_s_influence_function(parts, d):
    """Theorem 2, term by term."""
    pi, A, arms, Y = parts
    weight, total = np.ones(N), np.zeros(N)
    for p, a, (m0, m1) in zip(pi, A, arms, strict=True):
        weight = weight * (d * a + 1 - a) / (d * p + 1 - p)
        lean = (a * (1 - p) - (1 - a) * d * p) / (d / (1 - d))
        total += lean * (d * p * m1 + (1 - p) * m0) / (d * p + 1 - p) * weight
    assert followed(parts, Strategy("odds", d)) == pytest.approx(total + weight * Y, abs=1e-10)


@pytest.mark.parametrize(("kind", "s"), [("nudge", 0.2), ("curb", 0.4)])
def test_nudges_and_curbs_are_modified_treatment_policies(parts, kind, s):
    """Diaz and others, equation 5: density ratios of the modified treatment, fits at it, no propensity's derivative."""
    pi, A, arms, xi = parts
    for p, a, (m0, m1) in reversed(list(zip(pi, A, arms, strict=True))):
        moved = (
            np.where(a > 0, m1, s * m1 + (1 - s) * m0)
            if kind == "nudge"
            else np.where(a > 0, s * m0 + (1 - s) * m1, m0)
        )
        new = p + s * (1 - p) if kind == "nudge" else (1 - s) * p
        ratio = np.where(a > 0, new / p, (1 - new) / (1 - p))
        xi = moved + ratio * (xi - np.where(a > 0, m1, m0))
    assert followed(parts, Strategy(kind, s)) == pytest.approx(xi, abs=1e-10)


def test_what_is_left_alone_stays_as_it_is(parts):
    assert followed(parts, Strategy("odds", 1.0)) == pytest.approx(parts[3], abs=1e-12)


def test_a_static_strategy_reads_those_who_followed_it(parts):
    pi, A, _, Y = parts
    nothing = [(np.zeros(N), np.zeros(N))] * K
    always = followed((pi, A, nothing, Y), Strategy("always"))
    by_hand = np.prod(A, axis=0) * Y / np.prod(pi, axis=0)
    assert always == pytest.approx(by_hand)


def test_slopes_are_the_derivatives():
    pi, h = np.linspace(0.05, 0.95, 19), 1e-6
    for strategy in strategies():
        numeric = (strategy.chance(pi + h) - strategy.chance(pi - h)) / (2 * h)
        assert strategy.slope(pi) == pytest.approx(numeric, abs=1e-6)


def test_weights_are_one_on_average():
    pi = natural(np.random.default_rng(0).normal(size=200_000), np.zeros(200_000))
    A = (np.random.default_rng(1).random(len(pi)) < pi).astype(float)
    for strategy in strategies():
        assert path_weight(A, pi, strategy).mean() == pytest.approx(1, abs=0.02)


def test_effective_users_by_hand():
    # Two rows of one user add up: weights 3 and 1 by user, (3 + 1)^2 / (9 + 1).
    assert effective_users(np.array([1.0, 2.0, 1.0]), np.array([0, 0, 1])) == pytest.approx(1.6)


class KnownChance(DummyClassifier):
    """Answers with the world's own chances: the last interest and the last visit are where the estimator puts them."""

    def predict_proba(self, X):
        known = X.shape[1] // 2 + X.shape[1] % 2 if X.shape[1] > 1 else 1
        before = X[:, -1] if X.shape[1] > 1 else np.zeros(len(X))
        p = natural(X[:, known - 1], before)
        return np.column_stack([1 - p, p])


def test_a_useless_outcome_fit_is_forgiven_where_the_propensity_is_right_and_not_where_both_are_wrong():
    seen = visits(np.random.default_rng(100), 40_000)
    decisions = checked(seen.H, seen.A, seen.Y, groups=None, folds=2)
    doubled = Strategy("odds", 2.0)
    useless, marginal = DummyRegressor(), DummyClassifier(strategy="prior")
    right = truth(doubled.chance) - truth(lambda pi: pi)

    def error(treatment, outcome):
        gain = Sequential(decisions, Learners(treatment=treatment, outcome=outcome)).follow(doubled).score - seen.Y
        return (gain.mean() - right) / (gain.std() / len(gain) ** 0.5)

    assert abs(error(KnownChance(), useless)) < 3.5
    assert error(marginal, useless) > 10
    assert abs(error(KnownChance(), LinearRegression())) < 3.5


@pytest.mark.parametrize(("kind", "amount"), [("odds", 0.0), ("odds", -1.0), ("nudge", 1.0), ("curb", 0.0)])
def test_amounts_that_mean_nothing_are_refused(kind, amount):
    with pytest.raises(ArraysError, match="share between 0 and 1"):
        Strategy(kind, amount)
