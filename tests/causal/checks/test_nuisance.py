"""Forecasts that are worse than the base rate fail; what nothing foretells does not."""

from dataclasses import replace

import numpy as np
import pytest

from tests.causal.checks.simulated import World, trials
from whybuy.causal.checks import PairData, nuisance
from whybuy.causal.checks.nuisance import nuisance_failures

UNFORETOLD = range(100, 150)


def unforetold(seed: int) -> PairData:
    """Return trials whose behavior nothing foretells, with a forecast that has learned a little noise."""
    rng = np.random.default_rng(seed)
    n, user = 6000, np.repeat(np.arange(300), 20)
    noise = 0.1 * rng.normal(size=n)
    e, T, Y = 0.1 * np.exp(noise), rng.random(n) < 0.1, rng.random(n) < 0.2
    return PairData(T=T.astype(float), Y=Y.astype(float), e=e, m=np.full(n, 0.2), user=user)


def test_right_forecasts_pass_and_their_gain_is_told_with_its_error():
    data, _ = trials(0, World())
    found = nuisance(data)
    assert nuisance_failures(found) == []
    for kind in ("e", "m"):
        gain = found[f"{kind}_log_loss_base"] - found[f"{kind}_log_loss"]
        assert gain > 3 * found[f"{kind}_gain_error"] > 0


@pytest.mark.parametrize(("kind", "what"), [("e", "propensity"), ("m", "outcome")])
def test_a_forecast_that_is_worse_fails(kind, what):
    data, _ = trials(0, World())
    turned = replace(data, **{kind: 1.0 - getattr(data, kind)})
    assert [text for text in nuisance_failures(nuisance(turned)) if what in text]
    assert len(nuisance_failures(nuisance(turned))) == 1


def test_what_nothing_foretells_is_as_good_as_random_and_does_not_fail():
    """The forecast is a little worse than the base rate in nearly every draw, and that alone is no reason."""
    found = [nuisance(unforetold(seed)) for seed in UNFORETOLD]
    assert np.mean([f["e_log_loss"] > f["e_log_loss_base"] for f in found]) > 0.5
    assert np.mean([bool(nuisance_failures(f)) for f in found]) == 0


def test_overfitted_forecasts_fail():
    """The same noise ten times as strong: that is more than a little."""
    made = [unforetold(seed) for seed in UNFORETOLD]
    overfitted = [replace(data, e=np.clip(0.1 * (data.e / 0.1) ** 10, 1e-4, 0.9)) for data in made]
    assert np.mean([bool(nuisance_failures(nuisance(data))) for data in overfitted]) > 0.95
