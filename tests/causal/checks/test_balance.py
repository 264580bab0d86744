"""The love plot of a pair: which covariates differ most, before and after; a frozen result, drawn from its fields."""

from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from tests.causal.checks.simulated import World, trials
from whybuy.causal.checks import Balance, CovariateBalance


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
