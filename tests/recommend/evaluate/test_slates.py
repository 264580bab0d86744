"""Slates by hand, and what each of the three assumptions buys, by adding up every slate that can be shown."""

from itertools import permutations

import numpy as np
import pytest

from whybuy.errors import ArraysError
from whybuy.recommend.evaluate import LoggedFeedback, Target
from whybuy.recommend.evaluate.slates import cascade, independent, standard

# Slates "a" (slots 1, 2, 3; weights 2, .5, 4) and "b" (slots 1, 3; weights 1, 3), the rows in no order.
LOG = LoggedFeedback.of(
    [4, 0, 2, 1, 3],
    [10, 1, 1, 1, 1],
    [0.25, 0.5, 0.2, 0.5, 0.25],
    slates=["b", "a", "a", "b", "a"],
    slots=[3, 1, 3, 1, 2],
)
TARGET = Target.of(LOG, [0.75, 1.0, 0.8, 0.5, 0.125])


def test_slates_by_hand():
    assert standard(TARGET).estimate == pytest.approx((3 * 4 + 11 * 3) / 2)
    assert independent(TARGET).estimate == pytest.approx((2 + 0.5 + 4 + 1 + 30) / 2)
    assert cascade(TARGET).estimate == pytest.approx((2 + 1 + 4 + 1 + 30) / 2)


def test_the_order_of_rows_does_not_matter():
    rows = np.array([3, 1, 4, 0, 2])
    log = LoggedFeedback.of(
        LOG.action[rows], LOG.reward[rows], LOG.propensity[rows], slates=LOG.slate[rows], slots=LOG.slot[rows]
    )
    for estimator in (standard, independent, cascade):
        assert estimator(Target.of(log, TARGET.logged[rows])).estimate == pytest.approx(estimator(TARGET).estimate)


def given_earlier(choice: np.ndarray, slate: tuple[int, int]) -> tuple[float, float]:
    """Probabilities of both items of a slate, the second one of those that are left."""
    first, second = slate
    return choice[first], choice[second] / (1 - choice[first])


def expectations(pays) -> tuple[float, dict[str, float]]:
    """The truth, and what each estimator says on average, where ``pays(slate)`` gives the reward of both slots."""
    logging, policy = np.array([0.6, 0.3, 0.1]), np.array([0.2, 0.3, 0.5])
    slates = list(permutations(range(3), 2))
    p, pi = (np.array([given_earlier(choice, s) for s in slates]) for choice in (logging, policy))
    rewards = np.array([pays(s) for s in slates])
    log = LoggedFeedback.of(
        np.array(slates).ravel(), rewards.ravel(), p.ravel(), slates=np.repeat(range(6), 2), slots=np.tile([0, 1], 6)
    )
    target, likely = Target.of(log, pi.ravel()), np.repeat(p.prod(axis=1), 2)
    said = {f.__name__: float(likely @ f(target).numerators[:, 0]) for f in (standard, cascade, independent)}
    return float(pi.prod(axis=1) @ rewards.sum(axis=1)), said


def test_rewards_that_depend_on_earlier_items_need_the_cascade():
    truth, said = expectations(lambda s: (s[0], s[1] * (2 if s[0] == 2 else 0.5)))
    assert said["standard"] == pytest.approx(truth, abs=1e-12)
    assert said["cascade"] == pytest.approx(truth, abs=1e-12)
    assert abs(said["independent"] - truth) > 0.1


def test_rewards_that_depend_on_later_items_need_the_whole_slate():
    truth, said = expectations(lambda s: (s[0] * (3 if s[1] == 0 else 1), s[1]))
    assert said["standard"] == pytest.approx(truth, abs=1e-12)
    assert abs(said["cascade"] - truth) > 0.1


def test_the_cascade_needs_slots():
    log = LoggedFeedback.of([0, 1], [1, 0], [0.5, 0.5], slates=[0, 0])
    assert standard(Target.of(log, [0.5, 0.25])).estimate == pytest.approx(0.5)
    with pytest.raises(ArraysError, match=r"Slates without slots\. Needed: the slot of every item.*Pass slots="):
        cascade(Target.of(log, [0.5, 0.5]))


def test_a_value_per_slate_needs_slates():
    with pytest.raises(ArraysError, match=r"Rows without a slate.*Pass slates=.*'snips'"):
        standard(Target.of(LoggedFeedback.of([0], [1], [0.5]), [0.5]))
