"""The love plot of a pair: which covariates differ most, before and after; a frozen result, drawn from its fields."""

from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from tests.causal.checks.simulated import World, trials
from whybuy.causal.checks import Balance, CovariateBalance, PairData
from whybuy.causal.checks.balance import balance_failures


@pytest.fixture(scope="module")
def found() -> CovariateBalance:
    data, _ = trials(0, World())
    rng = np.random.default_rng(9)
    x = np.log(data.e / (1 - data.e)) + 1
    X = np.column_stack([rng.normal(size=len(x)), x, 0.5 * x + rng.normal(size=len(x)), np.ones(len(x))])
    return Balance(X.astype(np.float32), ["noise", "cause", "half", "constant"]).covariates(data)


def test_the_covariates_that_differ_most_come_first(found):
    assert found.covariates == ("cause", "half", "noise")
    assert found.before[0] == found.max_before > 0.5
    assert found.max_after < 0.05
    frame = found.to_frame()
    assert list(frame.columns) == ["covariate", "before", "after"]
    assert (frame["before"].diff().dropna() <= 0).all()


def test_it_is_frozen_and_survives_the_check(found):
    with pytest.raises(FrozenInstanceError):
        found.max_after = 0.0
    assert CovariateBalance.from_check(found.to_json()) == found
    assert "up to 0.0" in found.summary()


def test_only_the_twenty_largest_are_named():
    data, _ = trials(0, World())
    X = np.random.default_rng(0).normal(size=(len(data.T), 30)).astype(np.float32)
    many = Balance(X, [f"x{i}" for i in range(30)]).covariates(data)
    assert len(many.covariates) == 20
    assert many.max_after >= max(many.after)


def test_the_love_plot_shows_both_and_the_limit(found):
    figure = found.plot()
    before, after = figure.data
    assert list(before.x) == list(found.before)
    assert list(after.x) == list(found.after)
    assert list(after.y) == list(found.covariates)
    assert figure.layout.shapes[0].x0 == 0.1


def few_treated(seed: int, *, pull: float) -> tuple[PairData, np.ndarray]:
    """Return about 200 treated of 20,000 decisions and 200 covariates, the first of which drives the treatment."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(20_000, 200)).astype(np.float32)
    e = 1 / (1 + np.exp(4.7 - pull * X[:, 0]))
    T, user = (rng.random(20_000) < e).astype(float), np.repeat(np.arange(1_000), 20)
    return PairData(T, np.zeros(20_000), np.full(20_000, T.mean()), np.zeros(20_000), user), X


def test_what_chance_explains_is_no_failure_and_what_it_does_not_is():
    by_chance = [Balance(X).covariates(data) for data, X in (few_treated(seed, pull=0) for seed in range(20))]
    assert min(one.max_after for one in by_chance) > 0.1
    assert sum(one.beyond_chance > 0 for one in by_chance) <= 1
    assert not balance_failures(by_chance[0].to_json())
    missed = Balance(few_treated(0, pull=0.7)[1]).covariates(few_treated(0, pull=0.7)[0])
    assert missed.beyond_chance > 0.4
    assert "more than chance explains" in balance_failures(missed.to_json())[0]
