"""A mixture weighs its members by what they know."""

from dataclasses import dataclass

import numpy as np
import pytest

from tests.events.sequences_by_hand import sequences
from whybuy.behavior.baselines.mixture import Member, Mixture
from whybuy.behavior.baselines.ranking import RankingTask, leave_one_out
from whybuy.errors import ModelError


@dataclass(frozen=True)
class Fixed:
    scores: tuple[float, ...]

    def score(self, history, ts_ms):
        return np.tile(np.array(self.scores, np.float32), (history.n_users, 1))


def task(targets: list[int]) -> RankingTask:
    return leave_one_out(sequences({f"u{i}": [(0, "view", 0), (1000, "view", t)] for i, t in enumerate(targets)}))


def test_weights_are_those_of_the_truth():
    # One member always says item 1, the other item 2: the best weights are the shares of the targets.
    members = (Member("one", Fixed((0, 1, 0))), Member("two", Fixed((0, 0, 5))))
    mixture = Mixture.tuned(members, task([1] * 30 + [2] * 10))
    assert mixture.weights == pytest.approx((0.75, 0.25), abs=1e-6)
    score = mixture.score(task([1]).history, np.array([1000]))
    assert score[0] == pytest.approx([0, 0.75, 0.25])


def test_logarithms_are_turned_into_probabilities():
    found = Member("m", Fixed(tuple(np.log([0.2, 0.3, 0.5]))), logs=True).probability(task([1]).history, np.array([0]))
    assert found[0] == pytest.approx([0.2, 0.3, 0.5])


def test_who_knows_nothing_of_a_user_is_even_handed():
    found = Member("m", Fixed((0, 0, 0))).probability(task([1]).history, np.array([0]))
    assert found[0] == pytest.approx([1 / 3] * 3)


def test_targets_that_nobody_knows_are_an_error():
    with pytest.raises(ModelError, match="No member"):
        Mixture.tuned((Member("one", Fixed((1, 0, 0))),), task([1, 2]))
