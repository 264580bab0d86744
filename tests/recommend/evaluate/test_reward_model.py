"""Expected rewards: no row is judged by its own user, and bad input has one message."""

import numpy as np
import pytest

from tests.recommend.evaluate.bandits import N_ACTIONS, draw
from whybuy.errors import ArraysError
from whybuy.recommend.evaluate import LoggedFeedback, cross_fitted_rewards

DRAWN = draw(0, n_users=400)


@pytest.mark.parametrize("learner", ["linear", "lightgbm"])
def test_a_user_s_own_rewards_do_not_move_what_is_expected_of_the_user(learner):
    log = DRAWN.log
    own = log.user == 7
    turned = LoggedFeedback.of(log.action, np.where(own, 1 - log.reward, log.reward), log.propensity, users=log.user)
    before, after = (cross_fitted_rewards(each, DRAWN.X, learner=learner, folds=3) for each in (log, turned))
    assert (before[own] == after[own]).all()
    assert (before != after).any()


@pytest.mark.parametrize("learner", ["linear", "lightgbm"])
def test_it_knows_actions_and_covariates(learner):
    predicted = cross_fitted_rewards(DRAWN.log, DRAWN.X, learner=learner)
    assert predicted.shape == (DRAWN.log.n_rows, N_ACTIONS)
    means = predicted.mean(axis=0)
    assert means[-1] > means[0]
    with_taste = cross_fitted_rewards(DRAWN.log, DRAWN.X, Z=DRAWN.X[:, :, None], learner=learner)
    errors = [((p - DRAWN.expected) ** 2).mean() for p in (with_taste, predicted)]
    assert errors[0] < errors[1]


def test_money_is_regressed():
    log = LoggedFeedback.of(DRAWN.log.action, 12.5 * DRAWN.log.reward, DRAWN.log.propensity, users=DRAWN.log.user)
    predicted = cross_fitted_rewards(log, DRAWN.X, learner="linear", n_actions=N_ACTIONS + 1)
    assert predicted.shape[1] == N_ACTIONS + 1
    assert predicted[:, :N_ACTIONS].max() > 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"X": DRAWN.X[:-1]}, r"X has the shape .*Needed: finite numbers known before the action"),
        ({"X": np.where(DRAWN.X > 2, np.nan, DRAWN.X)}, r"NaN or infinite values in X"),
        ({"Z": DRAWN.X}, r"Z has the shape .*Needed: finite numbers known of every action.*Z\[:, :, None\]"),
        ({"learner": "forest"}, r"learner='forest'\. Needed: one of 'lightgbm' and 'linear'"),
        ({"folds": np.arange(DRAWN.log.n_rows) % 2}, r"a group in two of them"),
    ],
)
def test_bad_input_has_one_message(change, message):
    with pytest.raises(ArraysError, match=message):
        cross_fitted_rewards(DRAWN.log, **{"X": DRAWN.X, **change})


def test_rewards_that_never_come_teach_nothing():
    nothing = LoggedFeedback.of(DRAWN.log.action, np.zeros(DRAWN.log.n_rows), DRAWN.log.propensity)
    with pytest.raises(ArraysError, match=r"The reward is 0 in every row outside fold 0"):
        cross_fitted_rewards(nothing, DRAWN.X)
