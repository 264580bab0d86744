import numpy as np
import pytest

from tests.campaign.budget.people import COST, draw_values, two_channels
from whybuy.estimators import ArraysError, Offers, response_curve, spend


def test_by_hand():
    """Two people, 4 for 2 and 3 for 3: the first two units bring 2 each, the next three 1 each, then nothing."""
    curve = response_curve([[4.0, -9], [-9, 3.0]], Offers(cost=[2, 3]), budgets=[1, 2, 3.5, 5, 9])
    assert curve.value == pytest.approx([2, 4, 5.5, 7, 7], rel=1e-6)
    assert curve.marginal_return[[0, 2, 4]] == pytest.approx([2, 1, 0], abs=1e-4)
    assert curve.needed == pytest.approx(5)
    assert curve.value_at(1.5) == pytest.approx(3, rel=1e-6)
    assert curve.next_unit(2.5) == pytest.approx({"offer 1": 0, "offer 2": 1})
    assert curve.next_unit(6) == {"offer 1": 0, "offer 2": 0}


def test_is_concave_and_its_slope_is_the_marginal_return():
    values, offers = draw_values(3_000, 1), two_channels(3_000)
    curve = response_curve(values, offers)
    assert (np.diff(curve.value) > 0).all()
    assert (np.diff(curve.marginal_return) <= 1e-9).all()
    slope = np.diff(curve.value) / np.diff(curve.budget)
    slack = 2e-5 * curve.value[1:] / np.diff(curve.budget)  # the curve's tolerance at both ends
    assert (slope <= curve.marginal_return[:-1] + slack).all()
    assert (slope >= curve.marginal_return[1:] - slack).all()
    assert (curve.bound - curve.value <= 1e-4 * curve.bound).all()


def test_agrees_with_the_plan_of_each_budget():
    """The relaxation is above the plan by no more than the values of one person per limit."""
    values, offers = draw_values(2_000, 2), two_channels(2_000)
    curve = response_curve(values, offers, budgets=[50, 200])
    for budget, bound, marginal in zip(curve.budget, curve.bound, curve.marginal_return, strict=True):
        plan = spend(values, offers, budget)
        assert plan.value <= bound * (1 + 1e-9)
        assert bound - plan.value <= 4 * values.max()
        assert marginal == pytest.approx(plan.marginal_return, rel=0.02)


def test_beyond_what_is_needed_nothing_is_gained():
    values, offers = draw_values(500, 3), Offers(cost=COST)
    curve = response_curve(values, offers, budgets=[1_000, 2_000])
    everything = np.maximum(values.max(axis=1), 0).sum()
    assert curve.value == pytest.approx([everything] * 2)
    assert curve.marginal_return == pytest.approx([0, 0], abs=1e-9)
    assert curve.needed == pytest.approx(spend(values, offers, 2_000).spent.sum())


def test_frame_words_and_figure_tell_the_same():
    curve = response_curve(draw_values(500, 3), Offers(cost=COST, names=list("abcde")))
    frame = curve.to_frame()
    assert frame["budget"].tolist() == curve.budget.tolist()
    assert frame[[f"spent on {name}" for name in "abcde"]].sum(axis=1).to_numpy() == pytest.approx(
        curve.budget, rel=1e-3
    )
    assert f"Beyond a budget of {curve.needed:,.2f} nothing is gained" in curve.summary()
    figure = curve.plot()
    assert [trace.name for trace in figure.data] == ["value", "marginal return", *"abcde"]
    assert tuple(figure.data[0].y[1:]) == pytest.approx(curve.value)


def test_what_has_no_curve_is_refused():
    with pytest.raises(ArraysError, match="No offer adds anything"):
        response_curve([[-1.0], [0.0]], Offers(cost=[1]))
    with pytest.raises(ArraysError, match="amounts above 0"):
        response_curve([[1.0]], Offers(cost=[1]), budgets=[0, 1])
