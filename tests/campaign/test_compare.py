"""One comparison, many outcomes: adjusted differences, and what the learned expectation may not do."""

import numpy as np
import pytest

from tests.campaign.crowds import Crowd, covers
from whybuy.campaign.compare import Comparison, crossfit_mean, within_folds
from whybuy.campaign.estimate import difference, overlap_weighted
from whybuy.campaign.nuisance import People


def test_the_past_sharpens_a_drawn_comparison():
    crowd = Crowd.of(3, 4_000)
    treated = crowd.coin(0.5)
    outcome = crowd.coin(0.02 + 0.9 * (crowd.heat > 0) + 0.03 * treated)
    plain, sharper = difference(treated, outcome), crowd.drawn(treated).effect(outcome)
    assert sharper.std_error < 0.6 * plain.std_error
    assert covers(sharper, 0.03)
    assert plain.ci_low < 0 < sharper.ci_low


def test_without_a_past_it_is_the_plain_difference():
    crowd = Crowd.of(2, 300)
    treated, outcome = crowd.coin(0.5), crowd.coin(0.5)
    nothing = Comparison.of(crowd.rows(treated), treated, np.empty((300, 0), np.float32), None)
    assert nothing.effect(outcome) == difference(treated, outcome)


def test_the_level_of_a_fold_is_no_covariate():
    """Out-of-fold means fall where the fold's own outcomes rise: as a covariate they would explain by themselves."""
    people = People(np.zeros((6, 1), np.float32), np.array([0, 0, 1, 1, 2, 2]), np.linspace(0, 0.9, 6))
    expected = crossfit_mean(people, np.array([5.0, 5, 1, 1, 0, 0]))
    assert expected.tolist() == [0.5, 0.5, 2.5, 2.5, 3.0, 3.0]
    assert within_folds(expected, people.fold).tolist() == [0.0] * 6


def test_what_is_foretold_of_a_person_is_not_learned_from_that_person():
    crowd = Crowd.of(3, 500)
    comparison = crowd.drawn(crowd.coin(0.5))
    y = crowd.rng.poisson(1.0, 500).astype(float)
    changed = y.copy()
    changed[7] = 100
    same = comparison.people.fold == comparison.people.fold[7]
    before, after = comparison.foretold(y), comparison.foretold(changed)
    assert np.array_equal(before[same], after[same])
    assert not np.allclose(before[~same], after[~same])


def test_picked_people_are_compared_by_residuals():
    """Who is keen is sent it and buys; the letter does nothing."""
    crowd = Crowd.of(4, 3_000)
    treated = crowd.coin(logistic_of(crowd.heat))
    outcome = crowd.buys(0.0)
    found = crowd.picked(treated).effect(outcome)
    assert difference(treated, outcome).ci_low > 0.05
    assert covers(found, 0.0)
    assert found.estimand == "ato"


def logistic_of(heat):
    return 1 / (1 + np.exp(-1.5 * heat))


def test_other_campaigns_are_partialled_out_like_columns_of_one_regression():
    """Frisch, Waugh and Lovell: coefficient and clustered error of the regression on both residuals."""
    crowd = Crowd.of(5, 400)
    treated = crowd.coin(0.5)
    other = crowd.rng.normal(size=(400, 1)) + treated[:, None]
    y = crowd.coin(0.3 + 0.2 * treated)
    plain = crowd.picked(treated)
    joint = Comparison(plain.rows, treated, plain.people, plain.e, other)
    data = joint.pair_data(y)
    m = joint.foretold(y)
    R = np.column_stack([treated - plain.e, other])
    theta = np.linalg.solve(R.T @ R, R.T @ (y - m))
    scores = R * (y - m - R @ theta)[:, None]
    inverse = np.linalg.inv(R.T @ R)
    variance = (inverse @ scores.T @ scores @ inverse)[0, 0] * 400 / 399
    found = overlap_weighted(data)[0]
    assert found.estimate == pytest.approx(theta[0], abs=1e-12)
    assert found.std_error == pytest.approx(np.sqrt(variance), rel=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("design", ["drawn", "picked"])
def test_intervals_hold_their_level(design):
    """Whole estimates with learners, 300 crowds on seeds not used before, a true effect of .05."""
    held = 0
    for seed in range(100, 400):
        crowd = Crowd.of(seed, 1_000)
        treated = crowd.coin(0.5 if design == "drawn" else logistic_of(0.6 * crowd.heat))
        outcome = crowd.buys(0.05 * treated)
        held += covers(getattr(crowd, design)(treated).effect(outcome), 0.05)
    assert 0.912 <= held / 300 <= 0.988
