from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.campaign.budget.people import COST, best_value, draw_values, two_channels
from whybuy.campaign.budget.core import TOLERANCE
from whybuy.estimators import ArraysError, Offers, spend


def used(plan, offers):
    return np.concatenate([[plan.spent.sum()], offers.members @ plan.sent])


def assert_within(plan, offers, budget):
    limits = np.array([budget, *offers.at_most.values()])
    assert (used(plan, offers) <= limits * (1 + 1e-9)).all()
    assert (plan.chosen.sum(axis=1) <= offers.per_person).all()


def test_by_hand():
    """Ann is worth 3 for 1 or 5 for 3, Bob 2 or 3, Cem 1 or nothing: 4 buys Ann's better offer and Bob's cheap one."""
    values = [[3, 5], [2, 3], [1, -1]]
    plan = spend(values, Offers(cost=[1, 3], names=["mail", "gift"]), 4)
    assert plan.arm.tolist() == [2, 1, 0]
    assert (plan.value, plan.gap, plan.left_over) == (7, 0, 0)
    assert plan.to_frame().to_dict("list") == {
        "offer": ["mail", "gift"],
        "sent": [1, 1],
        "spent": [1, 3],
        "value": [2, 5],
    }


def test_the_cheapest_first_is_not_the_best_and_the_gap_knows_it():
    """Of 6 for 3, 5 for 2 and 5 for 2 with 4 to spend, the two at 2 are best; with 3, the one at 3."""
    offers = Offers(cost=[[3], [2], [2]])
    assert spend([[6], [5], [5]], offers, 4).chosen.ravel().tolist() == [False, True, True]
    assert spend([[6], [5], [5]], offers, 3).chosen.ravel().tolist() == [True, False, False]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("share", [0.03, 0.101, 0.3])
@pytest.mark.parametrize("per_person", [1, 2])
def test_equals_highs_on_everybody(seed, share, per_person):
    n = 150
    values, offers = draw_values(n, seed), two_channels(n, per_person)
    plan = spend(values, offers, share * n)
    assert_within(plan, offers, share * n)
    assert plan.value == pytest.approx(best_value(values, offers, share * n), rel=1e-6)
    assert plan.bound >= plan.value * (1 - 1e-12)
    assert plan.gap <= TOLERANCE


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("limits", [{"mail": 1}, {"mail": 1, "post": 1}, {"mail": 2, "post": 1}])
@pytest.mark.parametrize("copies", [1, 20])
def test_limits_of_a_channel_per_person_equal_highs(seed, limits, copies):
    values = np.repeat(draw_values(120 // copies, seed), copies, axis=0)
    offers = two_channels(120, 3, limits)
    plan = spend(values, offers, 40.0)
    assert_within(plan, offers, 40.0)
    for channel, most in limits.items():
        mine = np.array([name == channel for name in offers.channels])
        assert (plan.chosen[:, mine].sum(axis=1) <= most).all()
    assert plan.value == pytest.approx(best_value(values, offers, 40.0), rel=1e-6)
    assert plan.gap <= TOLERANCE


def test_equals_highs_with_costs_by_person():
    values = draw_values(120, 7)
    offers = Offers(cost=np.random.default_rng(7).uniform(0.2, 2, values.shape))
    plan = spend(values, offers, 13.0)
    assert plan.value == pytest.approx(best_value(values, offers, 13.0), rel=1e-6)
    assert plan.spent.sum() == pytest.approx((offers.costs * plan.chosen).sum())


def test_many_people_are_within_the_tolerance_of_the_bound_and_copies_change_nothing():
    values, offers = draw_values(20_000, 3), two_channels(20_000)
    plan = spend(values, offers, 2_000)
    assert_within(plan, offers, 2_000)
    assert plan.gap <= TOLERANCE
    single = spend(values.astype(np.float32), offers, 2_000)
    assert single.value == pytest.approx(plan.value, rel=1e-5)


def test_people_who_are_all_alike_are_divided_as_the_budget_says():
    """100 people, 1 for 1 or 1.8 for 2: everybody gets the cheap offer before anybody the dear one."""
    plan = spend(np.tile([1.0, 1.8], (100, 1)), Offers(cost=[1, 2]), 150)
    assert plan.sent.tolist() == [50, 50]
    assert plan.marginal_return == pytest.approx(0.8)


@pytest.mark.parametrize("per_person", [1, 3])
def test_segments_of_people_who_are_alike_equal_highs(per_person):
    n = 120
    values, offers = draw_values(7, 4)[np.arange(n) % 7], two_channels(n, per_person)
    plan = spend(values, offers, 17.0)
    assert_within(plan, offers, 17.0)
    assert plan.value == pytest.approx(best_value(values, offers, 17.0), rel=1e-6)


def test_many_people_of_few_segments_are_settled():
    n = 150_000
    plan = spend(draw_values(10, 1)[np.arange(n) % 10], two_channels(n), 0.15 * n)
    assert_within(plan, two_channels(n), 0.15 * n)
    assert plan.gap <= TOLERANCE


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(1, 30),
    budgets=st.lists(st.floats(0, 20), min_size=2, max_size=3),
    per_person=st.integers(1, 3),
    scale=st.sampled_from([1e-6, 1.0, 1e6]),
)
def test_never_over_and_never_less_for_more(seed, n, budgets, per_person, scale):
    values, offers = scale * draw_values(n, seed), two_channels(n, per_person)
    plans = [spend(values, offers, budget) for budget in sorted(budgets)]
    for plan, budget in zip(plans, sorted(budgets), strict=True):
        assert_within(plan, offers, budget)
        assert 0 <= plan.value <= plan.bound * (1 + 1e-12)
        assert values[plan.chosen].min(initial=1.0) > 0
    reached = [plan.value for plan in plans]
    assert all(more >= less - 2 * TOLERANCE * less for less, more in pairwise(reached))


def test_order_of_people_and_offers_does_not_matter():
    values = draw_values(200, 1)
    plan = spend(values, Offers(cost=COST), 20)
    turned = spend(values[::-1, ::-1], Offers(cost=COST[::-1]), 20)
    assert turned.value == pytest.approx(plan.value, rel=1e-6)


def test_a_budget_larger_than_needed_is_left_over_and_said_so():
    values = np.array([[1.0], [-1.0], [2.0]])
    plan = spend(values, Offers(cost=[1]), 10)
    assert plan.chosen.ravel().tolist() == [True, False, True]
    assert (plan.left_over, plan.marginal_return) == (8, 0)
    assert "larger than needed: 8.00 are left over" in plan.summary()


def test_no_budget_sends_nothing():
    plan = spend(np.ones((3, 2)), Offers(cost=[1, 2]), 0)
    assert not plan.chosen.any()
    assert plan.summary() == "The budget is 0, so nobody is sent anything."


def test_a_budget_below_every_cost_and_offers_that_only_harm():
    assert "the budget pays for no offer" in spend(np.ones((3, 1)), Offers(cost=[2.5]), 2).summary()
    assert "no offer is foretold to add more than it costs" in spend(-np.ones((3, 1)), Offers(cost=[2]), 2).summary()


def test_the_values_are_left_as_they_were():
    values = draw_values(50, 2)
    before = values.copy()
    spend(values, two_channels(50), 5)
    assert np.array_equal(values, before)


def test_several_per_person_have_no_arm():
    plan = spend(np.ones((2, 2)), Offers(cost=[1, 1], per_person=2), 4)
    with pytest.raises(ArraysError, match="several offers"):
        _ = plan.arm


@pytest.mark.parametrize("cost", [[1, 0], [1, -2], [1, np.nan], [1, np.inf]])
def test_costs_that_are_not_positive_are_refused(cost):
    with pytest.raises(ArraysError, match="1 of 2 costs are not positive"):
        Offers(cost=cost)


@pytest.mark.parametrize(
    ("settings_", "found"),
    [
        ({"cost": 1.0, "names": ["a", "b"]}, "2 names and 1 costs"),
        ({"cost": [1, 2], "names": ["a", "a"]}, "Offers of the same name"),
        ({"cost": [1, 2], "names": ["a", "b"], "channels": ["a", "c"]}, "'a' names an offer and a channel"),
        ({"cost": [1, 2], "channels": ["mail", "post"], "at_most": {"mial": 5}}, "Use 'mail'"),
        ({"cost": [1, 2], "at_most": {"offer 1": 0}}, "at least 1"),
        ({"cost": [1, 2], "per_person": 0}, "per_person = 0"),
        ({"cost": [1, 2], "per_channel": {"mail": 1}}, "A limit per person for 'mail'.*none was passed"),
        ({"cost": [1, 2], "channels": ["a", "b"], "per_channel": {"a": 0}}, r"per_channel\['a'\] = 0"),
        ({"cost": []}, "cost has the shape"),
    ],
)
def test_offers_with_a_defect_are_refused(settings_, found):
    with pytest.raises(ArraysError, match=found):
        Offers(**settings_)


@pytest.mark.parametrize(
    ("values", "budget", "found"),
    [
        (np.empty((0, 2)), 1, "at least one person"),
        (np.ones((3, 1)), 1, "2 offers"),
        ([[1, np.nan], [1, 1]], 1, "1 of 2 people have values that are NaN"),
        (np.ones((3, 2)), -1, "A budget of -1"),
        (np.ones((3, 2)), np.nan, "A budget of nan"),
        (np.ones((3, 2)), np.inf, "larger than what can be spent"),
    ],
)
def test_values_and_budgets_with_a_defect_are_refused(values, budget, found):
    with pytest.raises(ArraysError, match=found):
        spend(values, Offers(cost=[1, 2]), budget)


def test_the_figure_shows_what_is_spent():
    plan = spend(draw_values(100, 5), Offers(cost=COST), 10)
    (bars,) = plan.plot().data
    assert tuple(bars.x) == pytest.approx(plan.spent)
