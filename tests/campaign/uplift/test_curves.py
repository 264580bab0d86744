"""Counted curves: by hand, what they refuse, intervals, and that shuffling changes nothing."""

import numpy as np
import plotly.graph_objects as go
import pytest

from tests.campaign.uplift.shoppers import draw
from whybuy.campaign.uplift.counts import area, sorted_counts
from whybuy.estimators import ArraysError, uplift_curves

T = np.array([1, 0, 1, 0, 0, 1.0])
Y = np.array([1, 0, 1, 1, 0, 0.0])
PRIORITY = np.array([6, 5, 4, 3, 2, 1.0])


def test_curves_by_hand():
    counts = sorted_counts(T, Y, PRIORITY)
    k, uplift = counts.curve("uplift")
    assert k.tolist() == [0, 1, 2, 3, 4, 5, 6]
    # Nobody untreated is among the first one: a line from 0 to the first two.
    expected = [0, 1 / 2, 1, 1, 1 - 1 / 2, 1 - 1 / 3, 2 / 3 - 1 / 3]
    np.testing.assert_allclose(uplift, expected)
    np.testing.assert_allclose(counts.curve("gain")[1], k * expected)
    np.testing.assert_allclose(counts.curve("qini")[1], [0, 1 / 2, 1, 2, 2 - 1, 2 - 2 / 3, 2 - 1])


def test_the_area_per_person_by_hand():
    # Gain over 6 people: 0, 1/12, 1/3, 1/2, 1/3, 5/9, 1/3 at sixths; the diagonal ends at 1/3.
    expected = (1 / 12 + 1 / 3 + 1 / 2 + 1 / 3 + 5 / 9 + 1 / 6) / 6 - 1 / 6
    assert area(T, Y, sorted_counts(T, Y, PRIORITY), "gain", "per person") == pytest.approx(expected)


def test_points_lie_where_the_ranking_changes():
    counts = sorted_counts(T, Y, np.array([2, 2, 2, 1, 1, 1.0]))
    assert counts.curve("gain")[0].tolist() == [0, 3, 6]


def test_shuffling_changes_nothing_and_a_doubled_outcome_doubles():
    s = draw(0, n_users=600, each=2)
    args = {"propensity": 0.5, "users": s.user}
    one = uplift_curves(s.T, s.Y, s.tau, **args)
    order = np.random.default_rng(0).permutation(len(s.T))
    other = uplift_curves(s.T[order], s.Y[order], s.tau[order], propensity=0.5, users=s.user[order])
    twice = uplift_curves(s.T, 2 * s.Y, s.tau, **args)
    assert other.qini.estimate == pytest.approx(one.qini.estimate, abs=1e-12)
    assert other.qini.std_error == pytest.approx(one.qini.std_error, rel=0.2)  # other half-samples
    assert (twice.qini.estimate, twice.qini.std_error) == pytest.approx((2 * one.qini.estimate, 2 * one.qini.std_error))


def test_repeating_rows_of_the_same_users_does_not_shrink_the_error():
    s = draw(1, n_users=800)
    one = uplift_curves(s.T, s.Y, s.tau, propensity=0.5, users=s.user)
    twice = [np.repeat(values, 2) for values in (s.T, s.Y, s.tau, s.user)]
    again = uplift_curves(*twice[:3], propensity=0.5, users=twice[3])
    assert again.qini.std_error == pytest.approx(one.qini.std_error, rel=0.05)


def test_a_good_ranking_is_told_from_a_random_one():
    s = draw(2, n_users=6000)
    good = uplift_curves(s.T, s.Y, s.tau, propensity=0.5)
    random = uplift_curves(s.T, s.Y, np.random.default_rng(0).random(len(s.T)), propensity=0.5)
    response = uplift_curves(s.T, s.Y, s.p0, propensity=0.5)
    assert good.qini.ci_low > 0
    assert random.qini.ci_low < 0 < random.qini.ci_high
    assert response.qini.ci_high < good.qini.ci_low
    assert good.deciles[0].effect.ci_low > good.deciles[-1].effect.ci_high


def test_the_result_shows_its_numbers():
    s = draw(3, n_users=1000)
    found = uplift_curves(s.T, s.Y, s.tau, propensity=0.5)
    frame = found.to_frame()
    assert frame["share"].tolist() == [i / 100 for i in range(1, 101)]
    assert ((frame["gain_low"] <= frame["gain"]) & (frame["gain"] <= frame["gain_high"])).all()
    assert frame["gain"].iloc[-1] == pytest.approx(s.Y[s.T > 0].mean() - s.Y[s.T < 1].mean())
    assert found.deciles_frame()["n_rows"].sum() == 1000
    assert "per person" in found.summary()
    assert "Randomized" in found.summary()
    assert isinstance(found.plot(), go.Figure)


def test_counts_of_unlike_people_are_refused():
    s = draw(4, assigned="strata")
    with pytest.raises(ArraysError, match=r"same known probability.*counts of unlike people.*estimators\.uplift"):
        uplift_curves(s.T, s.Y, s.tau, propensity=s.e)


def test_a_ranking_of_one_value_has_no_area():
    s = draw(6, n_users=500)
    found = uplift_curves(s.T, s.Y, np.ones(500), propensity=0.5)
    assert (found.auuc.estimate, found.qini.estimate) == (None, None)
    assert "AUUC none" in found.summary()


def test_perfect_needs_a_binary_outcome():
    s = draw(5, n_users=500)
    with pytest.raises(ArraysError, match="binary outcome"):
        uplift_curves(s.T, 3 * s.Y, s.tau, propensity=0.5, normalization="perfect")
