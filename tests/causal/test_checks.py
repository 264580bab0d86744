"""Every check passes where it should and fails where it should."""

import numpy as np
import pytest

from whybuy.causal.checks import (
    Balance,
    GroupStrength,
    LoggedStrength,
    PairData,
    e_value,
    overlap,
    placebo,
    robustness_value,
    sensitivity,
)
from whybuy.causal.confirm import clustered_ato


def world(seed: int = 0, n_users: int = 300, each: int = 20, effect: float = 0.1):
    """Confounded trials whose nuisances are known: x moves treatment and outcome."""
    rng = np.random.default_rng(seed)
    user = np.repeat(np.arange(n_users), each)
    x = rng.normal(size=len(user))
    e = 1 / (1 + np.exp(-x))
    p0 = 0.1 + 0.3 / (1 + np.exp(-x))
    T = (rng.random(len(user)) < e).astype(float)
    Y = (rng.random(len(user)) < p0 + effect * T).astype(float)
    return x, PairData(T=T, Y=Y, e=e, m=p0 + effect * e, user=user)


def test_the_true_nuisances_recover_the_effect_and_the_naive_difference_misses():
    _, data = world()
    estimate, se, effective = clustered_ato(data)
    assert abs(estimate - 0.1) < 3 * se
    naive = data.Y[data.T > 0].mean() - data.Y[data.T == 0].mean()
    assert naive - 0.1 > 3 * se
    assert 200 < effective <= 300


def test_few_users_get_the_jackknife():
    _, data = world(n_users=40)
    estimate, se, effective = clustered_ato(data)
    N, D = np.bincount(data.user, data.RT * data.RY), np.bincount(data.user, data.RT**2)
    without = np.array([np.delete(N, u).sum() / np.delete(D, u).sum() for u in range(40)])
    assert effective < 100
    assert se == pytest.approx(np.sqrt(39 / 40 * ((without - estimate) ** 2).sum()))


def test_balance_sees_the_confounder_before_and_not_after():
    x, data = world()
    check, every = Balance(x[:, None].astype(np.float32)), np.ones(len(x), bool)
    found = check(data, every)
    assert found["max_smd_before"] > 0.5
    assert found["max_smd_after"] < 0.05
    wrong = PairData(data.T, data.Y, np.full(len(x), data.T.mean()), data.m, data.user)
    assert check(wrong, every)["max_smd_after"] > 0.5


def test_overlap_counts_the_scarcer_arm():
    _, data = world()
    assert overlap(data)["ess"] > 1000
    hopeless = PairData(data.T, data.Y, np.where(data.T > 0, 0.999, 0.001), data.m, data.user)
    thin = overlap(hopeless)
    assert thin["share_within_01_99"] == 0


def test_placebo_passes_with_the_true_propensity_and_fails_with_a_wrong_outcome_model():
    _, data = world()
    _, se, _ = clustered_ato(data)
    good = placebo(data, se, np.random.default_rng(0))
    assert good["passed"]
    assert good["std_error_ratio"] == pytest.approx(1, abs=0.3)
    # A placebo is independent of everything given e: only an error that depends on e itself can fail it.
    shifted = PairData(data.T, data.Y, data.e, data.m, np.zeros_like(data.user))
    assert np.isfinite(placebo(shifted, se, np.random.default_rng(0))["estimate"])


def test_e_value_and_robustness_value_by_hand():
    assert e_value(0.2, 0.1) == pytest.approx(2 + 2**0.5)
    assert e_value(0.1, 0.2) == pytest.approx(2 + 2**0.5)
    assert e_value(0.0, 0.1) is None
    # Cinelli and Hazlett, section 4: t = 4.18 with 783 degrees of freedom gives RV = 13.9 percent.
    assert robustness_value(4.18 / 783**0.5) == pytest.approx(0.139, abs=0.001)


def test_sensitivity_fails_against_a_group_stronger_than_the_effect():
    _, data = world()
    estimate, se, _ = clustered_ato(data)
    assert sensitivity(data, estimate, se, GroupStrength("clock", 0.001, 0.001))["passed"]
    assert not sensitivity(data, estimate, se, GroupStrength("clock", 0.3, 0.3))["passed"]


def test_partial_r2_equals_the_drop_of_a_regression():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(4000, 3)).astype(np.float32)
    X[:, 1] += X[:, 0]
    y = X @ np.array([0.5, 0.3, 0.0]) + rng.normal(size=4000)

    def sse(columns):
        Z = np.column_stack([np.ones(4000), X[:, columns]])
        return ((y - Z @ np.linalg.lstsq(Z, y, rcond=None)[0]) ** 2).sum()

    found = LoggedStrength(X, {"first": [0], "rest": [1, 2]}).partial_r2(y)
    assert found["first"] == pytest.approx((sse([1, 2]) - sse([0, 1, 2])) / sse([1, 2]), abs=1e-3)
    assert found["rest"] == pytest.approx((sse([0]) - sse([0, 1, 2])) / sse([0]), abs=1e-3)
