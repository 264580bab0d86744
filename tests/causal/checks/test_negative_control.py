"""A control fires where what was not logged drives it too, and is silent where it does not: then it proves nothing."""

import numpy as np
import pytest

from tests.causal.checks.simulated import World, trials, whole
from whybuy.causal.checks import Control, negative_control
from whybuy.causal.checks.negative_control import (
    asked,
    negative_control_failures,
    negative_control_warnings,
    proposed,
)
from whybuy.events.behaviors import parse_behavior

CLEAN = World()
TRACE = World(wish_treatment=1.0, wish_outcome=1.5, wish_control=1.5)
NO_TRACE = World(wish_treatment=1.0, wish_outcome=1.5)


def judged(seed: int, world: World, *, named: bool = True):
    data, control = trials(seed, world)
    return data, negative_control(data, [control], named=named, smallest_effect=0.005)


def test_a_clean_world_passes_and_the_numbers_are_there():
    data, found = judged(10, CLEAN)
    (row,) = found["controls"]
    assert found["passed"]
    assert row["outcome"] == "purchase:tea"
    assert row["ci_low"] < row["estimate"] < row["ci_high"]
    assert abs(whole(data).estimate - 0.08) < 4 * whole(data).std_error
    assert negative_control_failures(found) == []


@pytest.mark.parametrize("seed", range(10, 15))
def test_a_hidden_wish_that_drives_both_fires(seed):
    data, found = judged(seed, TRACE)
    assert whole(data).estimate - 0.08 > 4 * whole(data).std_error
    assert not found["passed"]
    assert negative_control_failures(found)[0].startswith("Negative control: it also seems to change purchase:tea, +")


@pytest.mark.parametrize("seed", range(10, 15))
def test_a_hidden_wish_without_a_trace_stays_silent_though_the_effect_is_wrong(seed):
    # What a control cannot do, shown: the bias is as large as above, and nothing says so.
    data, found = judged(seed, NO_TRACE)
    assert whole(data).estimate - 0.08 > 4 * whole(data).std_error
    assert found["passed"]


def test_false_alarms_are_as_rare_as_said():
    fired = 0
    for seed in range(300):
        data, control = trials(1_000 + seed, CLEAN, n_users=120, each=15)
        fired += not negative_control(data, [control], named=True, smallest_effect=0.0)["passed"]
    # One in a hundred, 300 draws: more than 9 has a chance of about one in a thousand.
    assert fired <= 9


def test_decisions_that_are_the_control_itself_are_left_out():
    # They are never treated, and the outcome that they are is not counted after them: kept in, they make an effect.
    data, control = trials(0, CLEAN)
    kept_in = Control(control.outcome, np.zeros_like(control.own), control.e_own, control.followed, control.m)
    wrong = negative_control(data, [kept_in], named=True, smallest_effect=0.005)
    right = negative_control(data, [control], named=True, smallest_effect=0.005)
    assert wrong["controls"][0]["fired"]
    assert not right["controls"][0]["fired"]


def test_a_small_effect_does_not_fire_however_sure():
    data, control = trials(0, TRACE)
    assert negative_control(data, [control], named=True, smallest_effect=0.5)["passed"]


def test_a_named_control_that_never_happens_is_said():
    data, control = trials(0, CLEAN)
    never = Control("purchase:tea", control.own, control.e_own, np.zeros(len(data.T), bool), control.m)
    found = negative_control(data, [never], named=True, smallest_effect=0.005)
    assert found["passed"] is False
    assert "named in the config, could not be judged: Only 0 users" in negative_control_failures(found)[0]


def test_the_rule_warns_where_most_of_its_controls_rise_and_weakens_nothing():
    data, lifted = trials(0, TRACE)
    _, still = trials(0, CLEAN)
    most = negative_control(data, [lifted, lifted, still], named=False, smallest_effect=0.005)
    one = negative_control(data, [lifted, still, still], named=False, smallest_effect=0.005)
    assert (most["warns"], one["warns"]) == (True, False)
    assert most["passed"] is None
    assert negative_control_failures(most) == []
    (words,) = negative_control_warnings(most)
    assert words.startswith("Warning, negative controls: it also seems to raise 2 of 3 outcomes in other categories")


def test_the_rule_takes_a_fall_for_displacement():
    data, lifted = trials(0, TRACE)
    falls = Control("purchase:tea", lifted.own, lifted.e_own, ~lifted.followed, 1 - lifted.m)
    found = negative_control(data, [falls, falls, falls], named=False, smallest_effect=0.005)
    assert all(row["fired"] and row["estimate"] < 0 for row in found["controls"])
    assert not found["warns"]


def pair(b: str, a: str):
    return parse_behavior(b), parse_behavior(a)


OUTCOMES = [parse_behavior(f"purchase:{name}") for name in ("*", "shoes", "shoes/boots", "bags", "books")]


@pytest.mark.parametrize(
    ("b", "a", "names"),
    [
        ("view:shoes", "purchase:bags", ["purchase:books"]),
        ("view:shoes/boots", "purchase:bags", ["purchase:books"]),
        ("view:shoes", "purchase:shoes/boots", ["purchase:bags", "purchase:books"]),
        ("view:*", "purchase:bags", []),
        ("view:shoes", "purchase:*", []),
        ("view:item=7", "purchase:bags", []),
    ],
)
def test_the_rule_proposes_other_top_level_categories(b, a, names):
    assert [str(c) for c in proposed(pair(b, a), OUTCOMES)] == names


def test_a_named_control_is_none_for_its_own_pair_nor_for_what_it_holds():
    named = [parse_behavior("purchase:bags"), parse_behavior("purchase:shoes")]
    assert asked(pair("view:shoes", "purchase:bags"), named) == named[1:]
    assert asked(pair("purchase:shoes/boots", "purchase:bags"), named) == []
    assert asked(pair("view:shoes", "purchase:books"), named) == named
