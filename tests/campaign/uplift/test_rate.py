"""Rank-weighted effects: by hand, against loops, and intervals that hold the truth where rows of a user are alike."""

import numpy as np
import pytest

from tests.campaign.uplift.shoppers import draw, true_areas
from whybuy.campaign.uplift.rate import Ranking, areas, doubly_robust_scores, effects_of_top, ranked_effects
from whybuy.campaign.uplift.resample import half_sample_errors


def test_areas_by_hand():
    # Sorted scores 4, 1, 1, 0: means of the first j are 4, 5/2, 2, 3/2, the last being everybody's.
    autoc, qini = areas(np.array([4.0, 1.0, 1.0, 0.0]))
    assert autoc == pytest.approx((5 / 2 + 1 + 1 / 2 + 0) / 4)
    assert qini == pytest.approx((1 / 4 * 5 / 2 + 2 / 4 * 1 + 3 / 4 * 1 / 2) / 4)


def test_areas_are_those_of_the_targeting_curve():
    rng = np.random.default_rng(0)
    tau, priority = rng.normal(size=(2, 57))
    ranking = Ranking(priority, np.arange(57))
    assert areas(ranking.shared(tau[ranking.order])) == pytest.approx(true_areas(tau, priority), abs=1e-12)


def test_equal_priorities_do_not_depend_on_the_order_of_rows():
    rng = np.random.default_rng(1)
    scores, priority, user = rng.normal(size=60), rng.integers(0, 4, 60).astype(float), np.arange(60)
    found = []
    for order in (np.arange(60), rng.permutation(60)):
        ranking = Ranking(priority[order], user)
        G = ranking.shared(scores[order][ranking.order])
        found.append(np.concatenate([areas(G), effects_of_top(G)]))
    np.testing.assert_allclose(*found, atol=1e-12)


def test_a_ranking_that_is_constant_has_no_number():
    rng = np.random.default_rng(2)
    found = ranked_effects(rng.normal(size=200), np.ones(200), np.arange(200), rng=rng, assumption="")
    assert (found.autoc.estimate, found.qini.estimate) == (None, None)
    assert "nothing can be told of it" in found.summary()


def test_half_samples_give_the_error_of_a_mean_by_user():
    rng = np.random.default_rng(3)
    user = np.repeat(np.arange(301), 4)
    values = rng.normal(size=301)[user] + rng.normal(size=len(user))
    error = half_sample_errors(lambda rows: np.array([values[rows].mean()]), user, rng=rng, n_resamples=4000)
    by_user = np.bincount(user, values) / 4
    assert error[0] == pytest.approx(by_user.std(ddof=1) / np.sqrt(301), rel=0.05)


def test_scores_average_to_the_effect_whatever_the_outcome_model():
    s = draw(4, n_users=60_000, assigned="strata")
    nothing = np.zeros(len(s.T))
    for mu0, mu1, within in ((nothing, nothing, 0.012), (s.p0, s.p0 + s.tau, 0.008)):
        scores = doubly_robust_scores(s.T, s.Y, s.e, mu0, mu1)
        assert scores.mean() == pytest.approx(s.tau.mean(), abs=within)
    naive = s.Y[s.T > 0].mean() - s.Y[s.T < 1].mean()
    assert naive > s.tau.mean() + 0.1


def rule(s):
    """A ranking that knows something: need less habit, whatever the dislike."""
    return s.X[:, 0] - s.X[:, 1]


@pytest.mark.slow
def test_intervals_hold_the_truth_by_user_and_not_by_row():
    whole = draw(1, n_users=1_000_000)
    truth = true_areas(whole.tau, rule(whole))
    held, by_row = np.zeros(2), np.zeros(2)
    R = 400
    for seed in range(100, 100 + R):
        s = draw(seed, n_users=400, each=5)
        rng = np.random.default_rng(seed)
        for user, count in ((s.user, held), (np.arange(len(s.user)), by_row)):
            found = ranked_effects(s.scores, rule(s), user, rng=rng, assumption="")
            count += [e.ci_low <= t <= e.ci_high for e, t in zip((found.autoc, found.qini), truth, strict=True)]
    band = 3 * np.sqrt(0.95 * 0.05 / R)
    assert (np.abs(held / R - 0.95) < band).all(), held / R
    assert (by_row / R < 0.95 - band).all(), by_row / R
