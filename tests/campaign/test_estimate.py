"""Estimates from plain arrays, by hand."""

import math
from fractions import Fraction

import numpy as np
import pytest

from whybuy.campaign.estimate import (
    difference,
    effect_on_the_treated,
    holm,
    overlap_weighted,
    regression_adjusted,
)
from whybuy.campaign.nuisance import Nuisances
from whybuy.causal.checks import PairData
from whybuy.causal.effects import Estimate


def arms(sent_yes, sent_no, held_yes, held_no):
    treated = np.repeat([True, True, False, False], [sent_yes, sent_no, held_yes, held_no])
    outcome = np.repeat([True, False, True, False], [sent_yes, sent_no, held_yes, held_no])
    return treated, outcome


def test_the_difference_of_two_proportions_by_hand():
    found = difference(*arms(30, 70, 20, 180))
    estimate = Fraction(30, 100) - Fraction(20, 200)
    variance = Fraction(30 * 70, 100**3) + Fraction(20 * 180, 200**3)
    assert found.estimate == pytest.approx(float(estimate))
    assert found.std_error == pytest.approx(math.sqrt(variance))
    assert found.ci_low == pytest.approx(0.2 - 1.959963984540054 * math.sqrt(variance))
    assert found.estimand == "ate"


def test_swapping_the_arms_flips_the_sign():
    treated, outcome = arms(30, 70, 20, 180)
    there, back = difference(treated, outcome), difference(~treated, outcome)
    assert (back.estimate, back.ci_low) == pytest.approx((-there.estimate, -there.ci_high))


def test_an_empty_arm_has_no_difference():
    assert difference(*arms(3, 4, 0, 0)) == Estimate(estimand="ate")


def test_regression_adjustment_without_slope_is_the_difference():
    treated, outcome = arms(30, 70, 20, 180)
    useless = np.tile([[0.0], [1.0]], (150, 1)).astype(np.float32)
    found = regression_adjusted(treated, outcome, useless)
    assert found.estimate == pytest.approx(0.2)
    assert found.std_error == pytest.approx(difference(treated, outcome).std_error, rel=0.03)


def test_regression_adjustment_sharpens_where_the_past_tells_of_the_outcome():
    rng = np.random.default_rng(1)
    past = rng.normal(size=(4_000, 1)).astype(np.float32)
    treated = rng.random(4_000) < 0.5
    outcome = (past[:, 0] + 0.3 * rng.normal(size=4_000)) > 0
    plain, sharper = difference(treated, outcome), regression_adjusted(treated, outcome, past)
    assert sharper.std_error < 0.7 * plain.std_error
    assert abs(sharper.estimate) < 3 * sharper.std_error


def test_regression_adjustment_is_refused_with_few_people_per_covariate():
    treated, outcome = arms(10, 10, 10, 9)
    assert regression_adjusted(treated, outcome, np.ones((39, 2), np.float32)).estimate is None


def pair(T, Y, e, m, user):
    return PairData(*(np.array(v, float) for v in (T, Y, e, m)), np.array(user))


def test_the_overlap_weighted_effect_by_hand():
    # RT = 1/2, -1/2, 1/2, -1/2 and RY = 1/2, 0, 0, -1/2: sum RT RY = 1/2, sum RT^2 = 1
    data = pair([1, 0, 1, 0], [1, 0, 1, 0], [0.5] * 4, [0.5, 0, 1, 0.5], [0, 1, 2, 3])
    found, effective_users = overlap_weighted(data)
    assert found.estimate == pytest.approx(1 / 2)
    # scores N - theta D = 1/8, -1/8, -1/8, 1/8 over four users: variance = (4 / 3) 4 / 64
    assert found.std_error == pytest.approx(math.sqrt(4 / 3 * 4 / 64))
    assert effective_users == pytest.approx(4)


def test_a_person_who_is_control_and_sent_is_one_person():
    one_each = pair([1, 0, 1, 0], [1, 0, 1, 0], [0.5] * 4, [0.5, 0, 1, 0.5], [0, 0, 1, 1])
    assert overlap_weighted(one_each)[1] == pytest.approx(2)


def test_the_effect_on_the_treated_by_hand():
    # sent: 1 - 1/4 and 0 - 1/4; controls weigh e / (1 - e) = 1: -(0 - 1/4) and -(1 - 3/4); sum 1/2 over 2 people
    data = pair([1, 1, 0, 0], [1, 0, 0, 1], [0.5] * 4, [0] * 4, [0, 1, 2, 3])
    nuisances = Nuisances(np.full(4, 0.5), np.zeros(4), np.array([0.25, 0.25, 0.25, 0.75]))
    assert effect_on_the_treated(data, nuisances).estimate == pytest.approx((3 / 4 - 1 / 4 + 1 / 4 - 1 / 4) / 2)


def test_the_effect_on_the_treated_is_refused_without_overlap():
    data = pair([1, 1, 0, 0], [1, 0, 0, 1], [0.5] * 4, [0] * 4, [0, 1, 2, 3])
    nuisances = Nuisances(np.array([0.999, 0.5, 0.5, 0.5]), np.zeros(4), np.zeros(4))
    assert effect_on_the_treated(data, nuisances) == Estimate(estimand="att")


def test_a_part_of_the_people_is_numbered_anew():
    data = pair([1, 0, 1], [1, 0, 1], [0.5] * 3, [0.5] * 3, [0, 1, 2])
    assert data.rows(np.array([True, False, True])).user.tolist() == [0, 1]


def test_holm_by_hand():
    # sorted .01 .02 .03: times 3, 2, 1 and never falling
    assert holm([0.03, None, 0.01, 0.02]) == pytest.approx([0.04, None, 0.03, 0.04])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
