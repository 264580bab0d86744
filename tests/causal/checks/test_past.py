"""What came before: the re-timed outcome warns of a propensity that forgot it, the dose shows saturation."""

import numpy as np
import pytest

from tests.causal.checks.simulated import World, trials, whole
from whybuy.causal.checks import PairData, dose, past_outcome
from whybuy.causal.checks.past_outcome import past_outcome_warnings


def buyers_return(seed: int):
    """Return trials whose treatment is three times as likely after a purchase, and who had one before."""
    rng = np.random.default_rng(seed)
    user = np.repeat(np.arange(300), 30)
    before = rng.random(len(user)) < 0.3
    e = np.where(before, 0.3, 0.1)
    T = (rng.random(len(user)) < e).astype(float)
    Y = (rng.random(len(user)) < 0.2).astype(float)
    return PairData(T, Y, e, np.full(len(user), 0.2), user), before


def test_a_propensity_that_knows_the_past_is_silent():
    data, before = buyers_return(0)
    found = past_outcome(data, before, window_hours=168.0, smallest_effect=0.005)
    assert not found["warns"]
    assert found["ci_low"] < 0 < found["ci_high"]
    assert past_outcome_warnings(found) == []


def test_a_propensity_that_forgot_the_past_warns():
    data, before = buyers_return(0)
    blind = PairData(data.T, data.Y, np.full(len(data.T), data.T.mean()), data.m, data.user)
    found = past_outcome(blind, before, window_hours=168.0, smallest_effect=0.005)
    assert found["warns"]
    assert found["estimate"] > 0.2
    assert "which it cannot have caused" in past_outcome_warnings(found)[0]


def test_a_hidden_wish_is_not_seen():
    # A wish drives past purchases, the treatment and the outcome. The past is logged, and a propensity that knows it is
    # balanced on it whatever else drives the treatment: the check is silent, and the effect of nothing is not zero.
    rng = np.random.default_rng(0)
    user = np.repeat(np.arange(300), 30)
    wish = rng.random(len(user)) < 0.5
    before = rng.random(len(user)) < np.where(wish, 0.45, 0.15)
    wished = np.where(before, 0.45 / 0.60, 0.55 / 1.40)  # Bayes: P(wish | before)
    e, m = 0.1 + 0.2 * wished, 0.1 + 0.2 * wished
    T = (rng.random(len(user)) < 0.1 + 0.2 * wish).astype(float)
    Y = (rng.random(len(user)) < 0.1 + 0.2 * wish).astype(float)
    data = PairData(T, Y, e, m, user)
    assert whole(data).estimate > 4 * whole(data).std_error
    assert not past_outcome(data, before, window_hours=168.0, smallest_effect=0.005)["warns"]


def test_saturation_shows_in_the_dose():
    rng = np.random.default_rng(50)
    past = rng.integers(0, 4, 400 * 30).astype(np.uint8)
    true = np.array([0.15, 0.08, 0.0, 0.0])
    data, _ = trials(5, World(effect=true[past]))
    recent = np.where(rng.random(len(past)) < 0.5, past, 0).astype(np.uint8)
    found = dose(data, past, recent, window_hours=168.0, recent_hours=24.0)
    for name, effect in (("first", 0.15), ("second", 0.08), ("third_or_more", 0.0)):
        std_error = (found[name]["ci_high"] - found[name]["ci_low"]) / 3.92
        assert abs(found[name]["estimate"] - effect) < 3 * std_error
    assert found["first"]["ci_low"] > found["third_or_more"]["ci_high"]
    assert found["recent"]["n_treated"] + found["earlier"]["n_treated"] + found["first"]["n_treated"] == data.T.sum()
    assert found["window_hours"] == pytest.approx(168)
