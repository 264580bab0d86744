"""Propensities are those of the definition: all ordered slates of a small shelf, and frequencies of many draws."""

import numpy as np
import pytest

from tests.recommend.policy.shelves import CATEGORY, candidates_of, every_slate, shelf_of
from whybuy.errors import PolicyError
from whybuy.recommend.policy import Candidates, Dpp, Limits, Mmr, Policy

SCORE = np.array([0.9, 0.2, 0.5, -0.3, 0.1, 0.55])
VECTORS = np.random.default_rng(3).normal(size=(6, 4))
SHELF = shelf_of(category=CATEGORY, embedding=VECTORS)

POLICIES = {
    "plackett-luce": Policy(k=3, temperature=0.4),
    "plackett-luce, capped": Policy(k=4, temperature=0.4, limits=Limits(per_category=1)),
    "epsilon": Policy(k=3, epsilon=0.3),
    "floor": Policy(k=3, floor=0.05),
    "epsilon, temperature, cap": Policy(k=3, epsilon=0.2, temperature=0.5, limits=Limits(per_category=1)),
    "epsilon, temperature": Policy(k=3, epsilon=0.5, temperature=0.15),
    "mmr": Policy(k=3, temperature=0.3, diversity=Mmr(weight=0.6)),
    "dpp": Policy(k=3, temperature=0.3, diversity=Dpp(weight=0.4)),
    "dpp, epsilon, cap": Policy(k=3, epsilon=0.3, diversity=Dpp(weight=0.4), limits=Limits(per_category=1)),
    "more slots than items": Policy(k=9, temperature=0.4),
}


def slates_and_chances(policy: Policy) -> tuple[np.ndarray, np.ndarray]:
    """Every ordered slate as a row, -1 at the end of short ones, and its propensities by the definition."""
    found = list(every_slate(policy, candidates_of(SCORE, SHELF)))
    item = np.full((len(found), policy.k), -1)
    chance = np.full(item.shape, np.nan)
    for row, (items, chances) in enumerate(found):
        item[row, : len(items)], chance[row, : len(items)] = items, chances
    return item, chance


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
def test_propensities_of_all_slates_are_those_of_the_definition_and_sum_to_one(policy):
    item, chance = slates_and_chances(policy)
    found = policy.propensity_of(candidates_of(np.tile(SCORE, (len(item), 1)), SHELF), item)
    np.testing.assert_allclose(found, chance, atol=1e-12)
    assert np.nansum(np.nanprod(found, axis=1)) == pytest.approx(1.0, abs=1e-10)


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
def test_frequencies_of_draws_are_the_propensities(policy):
    """40,000 users draw; a slate's count is within 5 standard errors, and the propensity logged is the one computed."""
    n = 40_000
    item, chance = slates_and_chances(policy)
    candidates = candidates_of(np.tile(SCORE, (n, 1)), SHELF)
    slates = policy.slates(candidates)
    np.testing.assert_allclose(policy.propensity_of(candidates, slates.item), slates.propensity, atol=1e-12)
    first, of_first = np.unique(item[:, :2], axis=0, return_inverse=True)
    p = np.bincount(of_first.reshape(-1), weights=np.nanprod(chance, axis=1))
    count = np.array([(slates.item[:, :2] == pair).all(axis=1).sum() for pair in first])
    assert count.sum() == n
    z = (count - n * p) / np.sqrt(np.maximum(n * p * (1 - p), 1e-9))
    assert np.abs(z).max() < 5
    assert np.sqrt(np.mean(z**2)) < 1.7


@pytest.mark.parametrize("name", POLICIES)
def test_inclusion_probabilities_are_sums_over_all_slates(name):
    policy = POLICIES[name]
    item, chance = slates_and_chances(policy)
    truth = np.array([np.nanprod(chance, axis=1)[(item == i).any(axis=1)].sum() for i in range(6)])
    found = policy.inclusion(candidates_of(SCORE, SHELF), n_draws=2_000)
    allowed = 1e-10 * truth + 1e-14 + 5 * found.std_error[0]
    assert (np.abs(found.probability[0] - truth) <= allowed).all()
    assert found.computed[0] == (name in ("plackett-luce", "epsilon", "floor", "more slots than items"))


def test_quadrature_holds_over_scores_far_apart():
    """Weights from 1 to exp(-3000): the inclusion of a slate that is nearly certain, against its few likely orders."""
    score = np.array([0.0, -1.0, -1500.0, -1501.0, -3000.0])
    found = Policy(k=3, temperature=1.0).inclusion(candidates_of(score)).probability[0]
    third = 1 / (1 + np.exp(-1.0))
    np.testing.assert_allclose(found, [1, 1, third, 1 - third, 0], atol=1e-10)


def test_inclusion_sums_to_the_length_of_the_slate_for_hundreds_of_candidates():
    score = np.random.default_rng(0).normal(size=(4, 300))
    found = Policy(k=10, temperature=0.5).inclusion(candidates_of(score))
    np.testing.assert_allclose(found.probability.sum(axis=1), 10, atol=1e-9)
    assert not found.std_error.any()
    greedy = Policy(k=10, epsilon=0.1).inclusion(candidates_of(score))
    np.testing.assert_allclose(greedy.probability.sum(axis=1), 10, atol=1e-9)


def test_the_floor_holds_for_everything_open_in_every_slot():
    slates = Policy(k=4, floor=0.01, temperature=0.1).slates(
        candidates_of(np.random.default_rng(0).normal(size=(500, 40)))
    )
    assert slates.propensity.min() >= 0.01


def test_a_floor_that_cannot_be_shared_is_refused():
    with pytest.raises(
        PolicyError, match=r"A floor of 0.3 for each of 6 candidates. .*at most 1 / 6.* fewer candidates"
    ):
        Policy(k=2, floor=0.3).slates(candidates_of(SCORE))


def test_a_slate_is_the_same_alone_in_a_batch_and_in_another_order():
    rng = np.random.default_rng(5)
    n = 300
    whole = candidates_of(rng.normal(size=(n, 6)), SHELF)
    for policy in POLICIES.values():
        together = policy.slates(whole, round_number=3)
        some = rng.permutation(n)[:40]
        np.testing.assert_array_equal(policy.slates(whole.rows(some), round_number=3).item, together.item[some])
        order = np.array([3, 1, 5, 0, 2, 4])
        turned = Candidates(shelf=SHELF, user_id=whole.user_id, item=whole.item[:, order], score=whole.score[:, order])
        np.testing.assert_array_equal(policy.slates(turned, round_number=3).item, together.item)


def test_blocks_change_nothing(monkeypatch):
    whole = candidates_of(np.random.default_rng(5).normal(size=(50, 6)), SHELF)
    policy = POLICIES["dpp, epsilon, cap"]
    together, included = policy.slates(whole), policy.inclusion(whole)
    monkeypatch.setattr("whybuy.recommend.policy.policy._CELLS_AT_ONCE", 700)
    np.testing.assert_array_equal(policy.slates(whole).propensity, together.propensity)
    np.testing.assert_array_equal(policy.inclusion(whole).probability, included.probability)


def test_other_seeds_and_rounds_draw_other_slates_and_the_same_ones_draw_them_again():
    whole = candidates_of(np.zeros((400, 6)))
    draws = [Policy(k=3, temperature=1.0, seed=s).slates(whole, round_number=r).item for s in (0, 1) for r in (0, 1)]
    again = Policy(k=3, temperature=1.0).slates(whole).item
    np.testing.assert_array_equal(draws[0], again)
    for other in draws[1:]:
        assert (draws[0] == other).mean() == pytest.approx(1 / 6, abs=0.06)


def test_what_the_policy_could_not_show_has_propensity_zero_and_so_has_all_that_follows():
    policy = Policy(k=3, temperature=0.4, limits=Limits(per_category=1))
    logged = np.array([[0, 1, 2], [0, 2, -1], [5, 4, 3]])
    found = policy.propensity_of(candidates_of(np.tile(SCORE, (3, 1)), SHELF), logged)
    assert found[0, 0] > 0
    assert found[0, 1:].tolist() == [0, 0]
    assert found[1, 1] > 0
    assert np.isnan(found[1, 2])
    assert (found[2] > 0).all()


def test_logged_items_that_are_no_candidates_and_slots_past_the_last_have_propensity_zero():
    candidates = Candidates(shelf=SHELF, user_id=["u"], item=np.array([[0, 1, -1]]), score=np.zeros((1, 3)))
    found = Policy(k=2, temperature=1.0).propensity_of(candidates, np.array([[1, 0, 5]]))
    np.testing.assert_allclose(found, [[0.5, 1.0, 0.0]])
    assert Policy(k=2, temperature=1.0).propensity_of(candidates, np.array([[5, 0]])).tolist() == [[0, 0]]


def test_logged_slates_with_gaps_are_refused():
    with pytest.raises(PolicyError, match=r"gaps between slots.*-1 only at the end.*Order the logged items by slot"):
        Policy().propensity_of(candidates_of(SCORE), np.array([[0, -1, 2]]))
