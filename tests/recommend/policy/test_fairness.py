"""Exposure follows merit over rounds, though a seller's items are a little better every time."""

import numpy as np
import pytest

from tests.recommend.policy.shelves import candidates_of, shelf_of
from whybuy.errors import PolicyError
from whybuy.recommend.policy import FairExposure, Policy

SELLER = ["x"] * 5 + ["y"] * 5
MERIT = np.array([0.6, 0.4])


def exposures(strength: float, n_rounds: int = 30) -> np.ndarray:
    """x's items are better by three standard deviations of what differs between users."""
    fairness = FairExposure(merit=MERIT, exposure=np.zeros(2), strength=strength)
    shelf = shelf_of(10, seller=SELLER)
    for r in range(n_rounds):
        noise = np.random.default_rng(r).normal(scale=0.1, size=(50, 10))
        candidates = candidates_of(noise + np.repeat([0.3, 0.0], 5), shelf)
        fairness = fairness.after(Policy(k=3, fairness=fairness).slates(candidates, round_number=r))
    return fairness.exposure / fairness.exposure.sum()


def test_without_the_controller_the_better_seller_takes_nearly_all():
    assert exposures(0.0)[0] > 0.95


def test_with_it_exposure_comes_to_the_shares_of_merit():
    np.testing.assert_allclose(exposures(0.05), MERIT, atol=0.03)


def test_exposure_of_slots_by_hand():
    """User 1 sees x, nobody's, y; user 2 sees y, x, nobody's: slots count 1, 1 / log2(3) and 1 / 2."""
    shelf = shelf_of(4, seller=["x", "y", None, "x"])
    slates = Policy(k=3).slates(candidates_of([[4.0, 2.0, 3.0, 1.0], [1.0, 4.0, 2.0, 3.0]], shelf))
    np.testing.assert_allclose(slates.exposure(), [(1 + 1 / np.log2(3)) / 2, (1 / 2 + 1) / 2])


def test_what_is_owed_by_hand():
    """x got 3 for half of the merit, y got 1 for the other half: y is behind by 6 - 2."""
    state = FairExposure(merit=np.array([2.0, 2.0]), exposure=np.array([3.0, 1.0]), strength=0.1)
    shelf = shelf_of(3, seller=["x", "y", None])
    np.testing.assert_allclose(state.bonus(candidates_of([0.0] * 3, shelf)), [[0.0, 0.4, 0.0]])


def test_a_seller_less_item_gets_nothing_added_and_other_sellers_are_refused():
    shelf = shelf_of(2, seller=["x", None])
    state = FairExposure(merit=np.array([1.0]), exposure=np.array([3.0]), strength=1.0)
    assert state.bonus(candidates_of([0.5, 0.5], shelf)).tolist() == [[0.0, 0.0]]
    with pytest.raises(PolicyError, match="Merits of 1 sellers and a shelf with 2"):
        state.bonus(candidates_of([0.5, 0.5], shelf_of(2, seller=["x", "y"])))
    with pytest.raises(PolicyError, match="one positive merit"):
        FairExposure(merit=np.array([0.0]), exposure=np.array([3.0]), strength=1.0)
