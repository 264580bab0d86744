"""Values by hand, as fractions, and unbiasedness by adding up everything that can happen."""

import numpy as np
import pytest

from whybuy.recommend.evaluate import ESTIMATORS, LoggedFeedback, Target
from whybuy.recommend.evaluate.estimators import (
    clipped_ips,
    direct_method,
    doubly_robust,
    ips,
    self_normalized_dr,
    snips,
    switch_dr,
)  # fmt: skip

# Two actions; weights of the logged ones: .8 / .4 = 2, .2 / .2 = 1, .5 / .1 = 5, .5 / .5 = 1.
POLICY = [[0.2, 0.8], [0.2, 0.8], [0.5, 0.5], [0.5, 0.5]]
PREDICTED = [[0.5, 0.5], [0.0, 1.0], [0.5, 0.25], [1.0, 0.5]]
LOG = LoggedFeedback.of([1, 0, 1, 0], [1, 0, 1, 1], [0.4, 0.2, 0.1, 0.5], predicted=PREDICTED)
TARGET = Target.of(LOG, POLICY)


@pytest.mark.parametrize(
    ("rounds", "expected"),
    [
        (ips(TARGET), (2 + 0 + 5 + 1) / 4),
        (snips(TARGET), (2 + 0 + 5 + 1) / (2 + 1 + 5 + 1)),
        (clipped_ips(TARGET, 2.0), (2 + 0 + 2 + 1) / 4),
        (direct_method(TARGET), (0.5 + 0.8 + 0.375 + 0.75) / 4),
        (doubly_robust(TARGET), (0.5 + 0.8 + 0.375 + 0.75 + 2 * 0.5 + 5 * 0.75) / 4),
        (self_normalized_dr(TARGET), (0.5 + 0.8 + 0.375 + 0.75) / 4 + (2 * 0.5 + 5 * 0.75) / 9),
        (switch_dr(TARGET, 2.0), (0.5 + 0.8 + 0.375 + 0.75 + 2 * 0.5) / 4),
    ],
)
def test_values_of_four_rows_by_hand(rounds, expected):
    assert rounds.estimate == pytest.approx(expected, abs=1e-12)


def test_the_logged_probability_alone_is_as_good_without_a_model():
    logged = Target.of(LOG, [0.8, 0.2, 0.5, 0.5])
    assert snips(logged).estimate == snips(TARGET).estimate


def test_the_row_s_own_slot_is_taken_of_three_dimensions():
    log = LoggedFeedback.of([1, 0], [1, 1], [0.5, 0.5], slots=["left", "right"])
    by_slot = np.zeros((2, 2, 2))
    by_slot[:, :, 0], by_slot[:, :, 1] = [0.25, 0.75], [0.5, 0.5]
    assert Target.of(log, by_slot).weight.tolist() == [1.5, 1.0]


def test_limits_that_cut_nothing_change_nothing():
    assert clipped_ips(TARGET, 5.0).estimate == ips(TARGET).estimate
    assert switch_dr(TARGET, 5.0).estimate == doubly_robust(TARGET).estimate


def everything(chance: np.ndarray, pays: np.ndarray) -> tuple[LoggedFeedback, np.ndarray]:
    """A row for every action and reward that can come, and how likely each is."""
    action, reward = np.repeat([0, 1, 2], 2), np.tile([0, 1], 3)
    likely = chance[action] * np.where(reward == 1, pays[action], 1 - pays[action])
    wrong = np.broadcast_to([0.9, 0.1, 0.4], (6, 3))
    return LoggedFeedback.of(action, reward, chance[action], predicted=wrong), likely


@pytest.mark.parametrize(("name", "is_unbiased"), [("ips", True), ("dr", True), ("dm", False), ("clipped", False)])
def test_the_expectation_is_the_truth_with_a_wrong_reward_model(name, is_unbiased):
    chance, pays, policy = np.array([0.7, 0.2, 0.1]), np.array([0.1, 0.3, 0.5]), np.array([0.1, 0.2, 0.7])
    log, likely = everything(chance, pays)
    rounds = ESTIMATORS[name].rounds(Target.of(log, np.broadcast_to(policy, (6, 3))), 2.0)
    expectation = float(likely @ rounds.numerators.sum(axis=1))
    assert (abs(expectation - policy @ pays) < 1e-12) == is_unbiased


def test_the_expectation_is_the_truth_with_wrong_propensities_and_a_right_model():
    chance, pays, policy = np.array([0.7, 0.2, 0.1]), np.array([0.1, 0.3, 0.5]), np.array([0.1, 0.2, 0.7])
    log, likely = everything(chance, pays)
    wrong = LoggedFeedback.of(log.action, log.reward, [0.5] * 6, predicted=np.broadcast_to(pays, (6, 3)))
    found = {n: ESTIMATORS[n].rounds(Target.of(wrong, np.broadcast_to(policy, (6, 3))), 9.0) for n in ("ips", "dr")}
    expectation = {n: float(likely @ rounds.numerators.sum(axis=1)) for n, rounds in found.items()}
    assert expectation["dr"] == pytest.approx(policy @ pays, abs=1e-12)
    assert abs(expectation["ips"] - policy @ pays) > 0.1
