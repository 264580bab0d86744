"""Coupons: what the offer does, what redeeming does, and where only the first can be told."""

import math

import numpy as np
import pytest

from tests.campaign.crowds import Crowd, covers, logistic
from tests.campaign.shops import config, event, write_shop
from whybuy.campaign import analyze_campaigns
from whybuy.campaign.redemption import Redemption, encouraged
from whybuy.causal.checks import PairData


def coupons(seed: int, *, n: int = 4_000, effect: float = 0.3, redeems: float = 0.3, by_letter: float = 0.0):
    """Half are offered a coupon; the keen redeem it. Redeeming adds ``effect``, the letter itself ``by_letter``."""
    crowd = Crowd.of(seed, n)
    offered = crowd.coin(0.5)
    redeemed = offered & crowd.coin(2 * redeems * logistic(2 * crowd.heat))
    outcome = crowd.coin(0.1 + 0.4 * logistic(2 * crowd.heat) + effect * redeemed + by_letter * offered)
    comparison = crowd.drawn(offered)
    return encouraged(comparison.pair_data(outcome), comparison.pair_data(redeemed), outcome, redeemed)


def test_redeeming_is_told_from_the_offer():
    found = coupons(0)
    assert found.naive > 0.35
    assert covers(found.effect, 0.3)
    assert covers(found.offer, 0.3 * found.first_stage.estimate)
    assert found.effect.estimate == pytest.approx(found.offer.estimate / found.first_stage.estimate)
    assert found.interval == "wald"
    assert found.strength > 10
    assert found.notes()[0].startswith("If exclusion and monotonicity hold, redeeming changes the outcome by +")


def test_a_coupon_that_does_nothing_looks_great_among_its_redeemers():
    found = coupons(2, effect=0.0)
    assert found.naive > 0.05
    assert covers(found.effect, 0.0)


def pair(T, Y, p):
    T, Y = np.array(T, float), np.array(Y, float)
    return PairData(T, Y, np.full(len(T), p), np.full(len(T), Y.mean()), np.arange(len(T)))


def test_the_wald_ratio_and_its_error_by_hand():
    T = np.repeat([1, 0], 100)
    D = np.r_[np.ones(50), np.zeros(150)]
    Y = np.r_[np.ones(60), np.zeros(40), np.ones(30), np.zeros(70)]
    found = encouraged(pair(T, Y, 0.5), pair(T, D, 0.5), Y > 0, D > 0)
    assert found.offer.estimate == pytest.approx(0.3)
    assert found.first_stage.estimate == pytest.approx(0.5)
    assert found.effect.estimate == pytest.approx(0.6)
    # residuals of Y - .6 D on the offer, around their arms' means .3 and .3
    residual = Y - 0.6 * D - 0.3
    variance = 200 / 199 * (residual**2 / 4).sum() / (200 / 4 * 0.5) ** 2
    assert found.effect.std_error == pytest.approx(math.sqrt(variance), rel=1e-6)


def test_it_is_two_stage_least_squares():
    """A second implementation: statsmodels' 2SLS without covariates."""
    gmm = pytest.importorskip("statsmodels.sandbox.regression.gmm")
    rng = np.random.default_rng(3)
    T = rng.random(2_000) < 0.5
    D = T & (rng.random(2_000) < 0.4)
    Y = rng.random(2_000) < 0.2 + 0.3 * D
    p = float(T.mean())
    found = encouraged(pair(T, Y, p), pair(T, D, p), Y, D)
    ones = np.ones(2_000)
    other = gmm.IV2SLS(Y.astype(float), np.column_stack([ones, D]), np.column_stack([ones, T])).fit()
    assert found.effect.estimate == pytest.approx(other.params[1], abs=1e-9)


def test_a_weak_first_stage_has_anderson_and_rubin_s_interval():
    rng = np.random.default_rng(8)
    T = np.repeat([True, False], 400)
    D = np.r_[np.repeat([True, False], [52, 348]), np.repeat([True, False], [30, 370])]
    Y = rng.random(800) < 0.2 + 0.3 * D
    found = encouraged(pair(T, Y, 0.5), pair(T, D, 0.5), Y, D)
    assert 3.84 < found.strength < 10
    assert found.interval == "anderson-rubin"
    assert found.effect.p_value == pytest.approx(found.offer.p_value)
    # The borders are where "the offer does nothing to Y - beta D" is just rejected.
    for beta in (found.effect.ci_low, found.effect.ci_high):
        assert _z_of(T, Y - beta * D) == pytest.approx(1.96, abs=0.03)


def _z_of(T, y):
    data = pair(T, y, 0.5)
    theta = (data.RT * data.RY).sum() / (data.RT**2).sum()
    scores = data.RT * (data.RY - theta * data.RT)
    return abs((data.RT * data.RY).sum()) / math.sqrt((scores**2).sum() * len(T) / (len(T) - 1))


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (lambda: coupons(4, redeems=0.002), "of the people sent it redeemed within the horizon; 20 are needed."),
        (lambda: everybody_redeems(), "the offer makes nobody redeem, as far as can be told (no first stage)."),
        (lambda: coupons(5, effect=0.2, redeems=0.03, by_letter=0.3), "the offer moves more people than redeem it"),
    ],
)
def test_redeeming_is_refused_where_the_offer_tells_nothing_of_it(found, why):
    redemption: Redemption = found()
    assert why in redemption.why
    assert redemption.effect.estimate is None
    assert redemption.offer.estimate is not None
    assert redemption.notes()[0].startswith("What redeeming does cannot be told:")


def test_more_than_redeemers_can_do_is_said():
    """Of 100 offered and 100 others 20 redeem, and 25 more of the offered buy: within chance of 20."""
    T = np.repeat([1, 0], 100)
    D = np.r_[np.ones(20), np.zeros(180)]
    Y = np.r_[np.ones(55), np.zeros(45), np.ones(30), np.zeros(70)]
    found = encouraged(pair(T, Y, 0.5), pair(T, D, 0.5), Y > 0, D > 0)
    assert found.effect.estimate == pytest.approx(1.25)
    assert found.notes()[0].endswith("the offer works by other ways too (exclusion fails).")


def everybody_redeems():
    rng = np.random.default_rng(6)
    T, D, Y = rng.random((3, 1_000)) < 0.5
    return encouraged(pair(T, Y, 0.5), pair(T, D, 0.5), Y, D)


def test_from_the_log_to_the_answer(tmp_path):
    """100 of 400 offered redeem and all of them buy; 60 of each arm buy anyway."""
    events = [event("x", 0, "view"), event("x", 20, "view")]
    for i in range(800):
        user, offered = f"u{i:03d}", i < 400
        events.append(event(user, 10, "campaign", campaign_id="spring", arm="coupon" if offered else "control"))
        redeems = offered and i % 4 == 0
        if redeems:
            events.append(event(user, 12, "redeem", campaign_id="spring"))
        if redeems or i % 20 in (1, 2, 3):
            events.append(event(user, 12, "purchase", item_id="i1"))
    result = analyze_campaigns(write_shop(tmp_path, events), config(campaign={"randomized": ["spring"]}))[0]
    found = result.further.redemption
    assert (found.n_redeemers, found.n_redeemers_control) == (100, 0)
    assert found.first_stage.estimate == pytest.approx(0.25)
    assert found.effect.estimate == pytest.approx(1.0)
    assert result.to_json()["redemption"]["assumes"][0].startswith("exclusion")


@pytest.mark.slow
def test_intervals_of_redeeming_hold_their_level():
    held = sum(covers(coupons(seed, n=1_500).effect, 0.3) for seed in range(100, 400))
    assert 0.912 <= held / 300 <= 0.988
