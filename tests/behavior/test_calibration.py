"""A calibrated probability has no error but sampling; a bent one has the error that was bent in, and is repaired."""

import numpy as np
import pytest
from scipy.special import expit

from whybuy.behavior.calibration import BinSums, Platt, reliabilities


def drawn(bend: float, *, n: int = 60_000, seed: int = 0) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    true = rng.beta(1, 12, size=(n, 1))
    happened = (rng.random((n, 1)) < true).astype(float)
    return true**bend, happened, np.ones((n, 1), bool), rng.integers(0, 3, n)


def test_a_calibrated_head_has_hardly_any_error():
    p, y, keep, fold = drawn(1.0)
    assert BinSums.of(p, y, keep, fold, 3).error()[0] < 0.006


def test_what_is_left_of_a_calibrated_head_is_what_chance_makes():
    shown, told = [], []
    for seed in range(20):
        sums = BinSums.of(*drawn(1.0, n=2_000, seed=seed), 3)
        shown.append(sums.error()[0])
        told.append(sums.sampling_error()[0])
    assert np.mean(shown) == pytest.approx(np.mean(told), rel=0.15)
    assert np.mean(told) > 0.01  # 2,000 decisions cannot tell an error of a hundredth from none


def test_the_error_of_a_bent_head_is_measured_and_repaired():
    p, y, keep, fold = drawn(0.5)
    sums = BinSums.of(p, y, keep, fold, 3)
    assert sums.error()[0] == pytest.approx((p - p**2).mean(), abs=0.006)
    (found,) = reliabilities(sums, ["view:*"], "e")
    assert found.ece > 0.1 > 0.01 > found.ece_repaired
    assert (found.n, sum(found.weight)) == (60_000, 60_000)


def test_the_repair_of_a_fold_does_not_see_the_fold():
    p, y, keep, fold = drawn(1.0, n=3_000)
    sums = BinSums.of(p, y, keep, fold, 3)
    turned = BinSums.of(p, np.where(fold[:, None] == 0, 1 - y, y), keep, fold, 3)
    np.testing.assert_array_equal(sums.repaired().predicted[0], turned.repaired().predicted[0])
    assert (sums.repaired().predicted[1] != turned.repaired().predicted[1]).any()


def test_sums_of_blocks_add_up():
    p, y, keep, fold = drawn(1.0, n=1_000)
    whole = BinSums.of(p, y, keep, fold, 3)
    parts = BinSums.zeros(3, 1)
    for part in np.array_split(np.arange(1_000), 7):
        parts = parts + BinSums.of(p[part], y[part], keep[part], fold[part], 3)
    np.testing.assert_allclose(parts.predicted, whole.predicted)
    np.testing.assert_array_equal(parts.n, whole.n)


def test_a_head_without_predictions_is_left_out():
    p, y, keep, fold = drawn(1.0, n=100)
    assert reliabilities(BinSums.of(p, y, ~keep, fold, 3), ["view:*"], "e") == []


def test_a_line_in_the_logit_repairs_overconfidence():
    rng = np.random.default_rng(0)
    true = rng.normal(-1, 1, 4_000)
    happened = rng.random(4_000) < expit(true)
    found = Platt.fit(3 * true + 1, happened)
    assert (found.slope, found.intercept) == pytest.approx((1 / 3, -1 / 3), abs=0.05)
    np.testing.assert_allclose(found.probability(3 * true + 1), expit(true), atol=0.03)
    assert Platt.fit(true, np.zeros(4_000, bool)) == Platt(1.0, 0.0)
    few = Platt.fit(np.array([-1.0, 1.0]), np.array([False, True]))
    assert np.isfinite(few.slope)
