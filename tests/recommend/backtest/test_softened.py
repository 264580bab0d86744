"""Slates without replacement are weighed so that values are exact, and explored rankings are what they say."""

from itertools import permutations

import numpy as np
import pytest

from whybuy.recommend.backtest.softened import drawn_given_slate, shown_by_rank

LOGGED = np.array([0.5, 0.2, 0.15, 0.1, 0.05])
REWARD = np.array([0.3, 0.1, 0.2, 0.0, 0.4])
N_SLOTS = 3


def test_values_of_whole_slates_are_unbiased_and_weights_average_one():
    q = shown_by_rank(5, N_SLOTS)[[4, 2, 0, 1, 3]]
    value, weights, by_slot = 0.0, 0.0, 0.0
    for slate in map(list, permutations(range(5), N_SLOTS)):
        left = 1 - np.concatenate([[0.0], np.cumsum(LOGGED[slate])[:-1]])
        p = LOGGED[slate] / left
        w = q[slate] / drawn_given_slate(p, np.arange(1.0, N_SLOTS + 1), np.full(N_SLOTS, float(N_SLOTS)))
        value += p.prod() * (w * REWARD[slate]).mean()
        weights += p.prod() * w.mean()
        by_slot += p.prod() * (q[slate] / p * REWARD[slate]).mean()
    assert value == pytest.approx(q @ REWARD, rel=1e-12)
    assert weights == pytest.approx(1, rel=1e-12)
    assert abs(by_slot - q @ REWARD) > 0.01  # weighing slot by slot forgets that items do not come twice


def test_a_slot_alone_is_drawn_by_one_over_rank():
    np.testing.assert_allclose(shown_by_rank(3, 1), np.array([6, 3, 2]) / 11)


@pytest.mark.parametrize(("n_items", "n_slots"), [(5, 2), (40, 5), (3, 3), (1, 1)])
def test_every_slot_is_filled_once(n_items, n_slots):
    q = shown_by_rank(n_items, n_slots)
    assert q.sum() == pytest.approx(1)
    assert (np.diff(q) <= 0).all()
    assert (q * n_slots <= 1 + 1e-12).all()


def test_two_slots_by_hand():
    # Weights 6, 3, 2 of 11: the first is in the slate at once, or after the second (3/11 x 6/8) or third (2/11 x 6/9).
    assert 2 * shown_by_rank(3, 2)[0] == pytest.approx(6 / 11 + 3 / 11 * 6 / 8 + 2 / 11 * 6 / 9)
