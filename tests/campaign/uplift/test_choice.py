"""Which learner is taken, and how its effects are put to scale."""

import numpy as np
import pytest

from tests.campaign.uplift.shoppers import draw
from whybuy.campaign.uplift.choice import Candidate, _best, _to_scale, choose
from whybuy.campaign.uplift.learners import Foretold, Lesson
from whybuy.campaign.uplift.rows import UpliftRows


def candidate(learner, behind, policy_value):
    return Candidate(
        learner=learner, excess_loss=0.0, excess_error=1.0, behind=behind, behind_error=1.0, policy_value=policy_value
    )


@pytest.mark.parametrize(
    ("others", "taken"),
    [
        ([("a", -1.9, 9.0)], "first"),  # a lower loss that noise can explain
        ([("a", -2.0, 0.9)], "first"),  # a lower loss and a worse order
        ([("a", 3.0, 9.0)], "first"),
        ([("a", -2.0, 1.1)], "a"),
        ([("a", -2.0, 1.1), ("b", -5.0, 1.2), ("c", -9.0, 1.0)], "b"),
    ],
)
def test_the_first_stays_unless_another_beats_it_in_both_questions(others, taken):
    candidates = (candidate("first", 0.0, 1.0), *(candidate(*other) for other in others))
    assert _best(candidates).learner == taken


def judged(n, slope, noise):
    """People whose effects are ``slope`` times what is foretold of them, and who are alike otherwise."""
    rng = np.random.default_rng(0)
    tau = rng.normal(size=n)
    T = (rng.random(n) < 0.5).astype(float)
    Y = slope * tau * (T - 0.5) + noise * rng.normal(size=n)
    rows = UpliftRows.of(tau[:, None], T, Y, np.full(n, 0.5), None)
    return rows, tau, Foretold(np.full(n, 0.5), np.zeros(n), np.zeros(n))


def test_a_slope_that_is_known_is_taken_and_one_that_is_not_is_drawn_towards_one():
    assert _to_scale(*judged(4000, 0.3, 0.05)).b == pytest.approx(0.3, abs=0.01)
    assert _to_scale(*judged(400, 0.0, 50.0)).b == pytest.approx(1, abs=0.5)
    assert _to_scale(*judged(4000, -1.0, 0.05)).b == 0  # the order is the wrong way round, and that is known


def test_the_mean_of_learners_is_their_mean_and_each_is_taught_once():
    people = draw(8, n_users=800)
    lesson = Lesson(UpliftRows.of(people.X, people.T, people.Y, people.e, None), seed=7)
    mean, s, x, r = (lesson.learned(name)(people.X) for name in ("sxr", "s", "x", "r"))
    np.testing.assert_allclose(mean, s / 2 + (x + r) / 4)
    assert lesson.learned("s") is lesson.learned("s")


def test_effects_on_a_chance_stay_within_one_however_far_from_those_who_taught_somebody_is():
    people = draw(8, n_users=1_200)
    chosen = choose(UpliftRows.of(people.X, people.T, people.Y, people.e, None), ("r",), seed=7)
    far = chosen.model(1e6 * np.sign(people.X))
    assert np.abs(far).max() <= 1
    # Nothing goes on beyond what was seen.
    np.testing.assert_allclose(far, chosen.model(2e6 * np.sign(people.X)))
    assert np.ptp(chosen.model(people.X)) > 0
