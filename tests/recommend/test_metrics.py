"""Metrics by hand, intervals by known spread."""

import numpy as np
import pytest

from whybuy.errors import PolicyError
from whybuy.recommend import metrics

RANKED = np.array([[3, 1, 4], [0, 2, -1], [5, 4, 3]])
ROW, TAKEN = np.array([0, 0, 0, 1, 1]), np.array([1, 4, 4, 9, 0])
SECOND, THIRD = 1 / np.log2(3), 1 / 2


def test_hits_by_hand():
    """User 1 took 1 and 4 (twice), user 2 took 9 and 0, user 3 took nothing."""
    np.testing.assert_array_equal(metrics.hit_rate(RANKED, row=ROW, taken=TAKEN), [1, 1, np.nan])
    np.testing.assert_array_equal(metrics.hit_rate(RANKED[:, :1], row=ROW, taken=TAKEN), [0, 1, np.nan])


def test_ndcg_by_hand():
    found = metrics.ndcg(RANKED, row=ROW, taken=TAKEN)
    np.testing.assert_allclose(found, [(SECOND + THIRD) / (1 + SECOND), 1 / (1 + SECOND), np.nan])


def test_causal_metrics_by_hand():
    effect = np.array([[0.3, 0.0, -0.1], [0.2, 0.1, 0.0]])
    np.testing.assert_allclose(metrics.causal_precision(effect), [0.2 / 3, 0.1])
    np.testing.assert_allclose(metrics.causal_dcg(effect), [0.3 - 0.1 * THIRD, 0.2 + 0.1 * SECOND])


def test_weighted_effects_are_unbiased_where_those_who_would_buy_anyway_are_shown_more():
    """p is .8 for an item that sells anyway (.5, effect 0) and .2 for one that sells when shown (.1 + .3)."""
    rng = np.random.default_rng(0)
    n = 200_000
    p = np.repeat([0.8, 0.2], n)
    shown = rng.random(2 * n) < p
    chance = np.where(np.arange(2 * n) < n, 0.5, 0.1 + 0.3 * shown)
    outcome = (rng.random(2 * n) < chance).astype(float)
    effects = metrics.weighted_effect(outcome, shown, p).reshape(2, n)
    assert np.abs(effects.mean(axis=1) - [0.0, 0.3]).max() < 4 * effects.std() / np.sqrt(n)
    assert outcome[shown].mean() - outcome[~shown].mean() > 0.2  # the naive answer for both together: .15 is true


def test_novelty_by_hand():
    """4 users in the log and one more who took everything; item 1 has 4 takers, item 4 has 1, the others none."""
    found = metrics.novelty(np.array([[1, 4], [0, -1], [-1, -1]]), n_takers=np.array([0, 4, 0, 0, 1]), n_users=4)
    np.testing.assert_allclose(found, [(np.log2(5 / 5) + np.log2(5 / 2)) / 2, np.log2(5), np.nan])


def test_miscalibration_by_hand():
    """A user with 7 romances and 3 action movies; Steck's example of a slate with romances only."""
    shares = np.array([[0.7, 0.3], [0.7, 0.3], [np.nan, np.nan]])
    shown = metrics.category_shares(np.array([[0, 1], [0, 2], [0, 2]]), category=np.array([0, 0, 1]), n_categories=2)
    np.testing.assert_allclose(shown, [[1, 0], [0.5, 0.5], [0.5, 0.5]])
    found = metrics.miscalibration(shares, shown)
    only = 0.7 * np.log(0.7 / (0.99 + 0.007)) + 0.3 * np.log(0.3 / 0.003)
    even = 0.7 * np.log(0.7 / (0.495 + 0.007)) + 0.3 * np.log(0.3 / (0.495 + 0.003))
    np.testing.assert_allclose(found, [only, even, np.nan])
    assert metrics.miscalibration(shares[:1], shares[:1])[0] == pytest.approx(0)


def test_shares_of_nothing_are_not_told():
    found = metrics.category_shares(np.array([[-1, 0]]), category=np.array([-1]), n_categories=2)
    assert np.isnan(found).all()


def test_coverage_by_hand():
    assert metrics.coverage(RANKED, n_items=10) == 6 / 10


def test_the_interval_of_a_mean_is_that_of_its_standard_error_and_leaves_out_who_has_none():
    values = np.append(np.random.default_rng(1).normal(2.0, 3.0, 400), [np.nan] * 7)
    found = metrics.mean_over_users(values, metric="ndcg@10", rng=np.random.default_rng(2))
    error = np.nanstd(values) / np.sqrt(400)
    assert found.estimate == pytest.approx(np.nanmean(values))
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.1)
    assert (found.n_users, found.n_without) == (400, 7)
    assert found.to_frame()["estimate"].item() == found.estimate
    assert "(95% interval, 400 users; 7 without a value)" in found.summary()


def test_pairing_narrows_the_interval_of_a_difference():
    rng = np.random.default_rng(3)
    first = rng.normal(0, 1, 500)
    second = first + 0.1 + rng.normal(0, 0.1, 500)
    paired = metrics.mean_over_users(second - first, metric="difference", rng=rng)
    alone = metrics.mean_over_users(second, metric="second", rng=rng)
    assert paired.high - paired.low < (alone.high - alone.low) / 5


def test_blocks_of_resamples_change_nothing(monkeypatch):
    values = np.random.default_rng(1).normal(size=50)
    whole = metrics.mean_over_users(values, metric="m", rng=np.random.default_rng(2))
    monkeypatch.setattr(metrics, "_RESAMPLED_AT_ONCE", 500)
    assert metrics.mean_over_users(values, metric="m", rng=np.random.default_rng(2)) == whole


def test_what_cannot_be_told_is_refused():
    with pytest.raises(PolicyError, match=r"1 users with a value of hr.*At least 2"):
        metrics.mean_over_users(np.array([1.0, np.nan]), metric="hr", rng=np.random.default_rng(0))
    with pytest.raises(PolicyError, match=r"Propensities from 0.0 to 0.5.*strictly between 0 and 1.*always or never"):
        metrics.weighted_effect(np.ones(2), np.ones(2, bool), np.array([0.0, 0.5]))
    with pytest.raises(PolicyError, match="Rows from 0 to 3 for 3 users"):
        metrics.hit_rate(RANKED, row=np.array([0, 3]), taken=np.array([0, 0]))
