"""Rows side by side: what was found and what was promised, each at its place."""

import pytest

from whybuy.campaign.figures import budget_figure, elasticity_figure, portfolio_figure
from whybuy.campaign.policy import Policy
from whybuy.campaign.price import CategoryElasticity
from whybuy.causal.effects import Estimate
from whybuy.errors import QuestionError

NOTHING = Estimate(estimand="elasticity")


def offer(name: str, *, send: int, found: tuple[float, float, float] | None = None) -> dict:
    ends = dict(zip(("found", "found_low", "found_high"), found or (None, None, None), strict=True))
    return {"offer": name, "send": send, "spent": 2.0 * send, "foretold": 3.0 * send, **ends}


def category(name: str, elasticity: Estimate, naive: float | None) -> CategoryElasticity:
    return CategoryElasticity(
        category=name, elasticity=elasticity, naive=naive, n_periods=52, n_spells=40, effective_spells=20.0,
        units=900.0, price_spread=0.1, share_left=0.5, reason=None,
    )  # fmt: skip


def test_a_portfolio_has_value_and_money_by_campaign_the_dearest_first():
    offers = [
        offer("mail", send=10, found=(8.0, 2.0, 11.0)),
        offer("<b>", send=0),
        offer("letter", send=50, found=(90.0, 60.0, 120.0)),
    ]
    found, promised, spent = portfolio_figure(offers, unit="outcome", budget=500).data
    assert (list(found.y), list(found.x)) == (["letter", "mail"], [90.0, 8.0])
    assert (list(found.error_x.arrayminus), list(found.error_x.array)) == ([30.0, 6.0], [30.0, 3.0])
    assert list(promised.x) == [150.0, 30.0]
    assert (list(spent.y), list(spent.x)) == (["letter", "mail", "&lt;b&gt;"], [100.0, 20.0, 0.0])
    assert spent.text[0] == "100 · 50 sent"


@pytest.mark.parametrize(("unit", "words"), [("money", "costs taken off"), ("outcome", "people with the outcome")])
def test_the_axis_says_what_is_added(unit, words):
    figure = portfolio_figure([offer("mail", send=10, found=(8.0, 2.0, 11.0))], unit=unit, budget=20)
    assert words in figure.layout.xaxis.title.text
    assert figure.layout.title.text.startswith("20 of a budget of 20")


def test_elasticities_have_lines_at_0_and_minus_1_and_their_mean_below():
    tea, jam = (Estimate.of("elasticity", value, 0.5) for value in (-1.5, -0.5))
    figure = elasticity_figure(
        [category("jam", jam, 0.25), category("tea", tea, -0.25), category("hats", NOTHING, None)], tea
    )
    adjusted, naive, mean = figure.data
    assert (list(adjusted.y), list(adjusted.x)) == (["tea", "jam"], [-1.5, -0.5])
    assert adjusted.error_x.array[0] == pytest.approx(0.98, abs=0.01)
    assert list(naive.x) == [-0.25, 0.25]
    assert list(mean.x) == [-1.5]
    assert sorted(line.x0 for line in figure.layout.shapes) == [-1, 0]
    assert "(1 of 3 not told)" in figure.layout.title.text


def test_a_log_that_tells_no_category_says_so_instead_of_an_empty_picture():
    figure = elasticity_figure([category("hats", NOTHING, None)], NOTHING)
    assert [note.text for note in figure.layout.annotations][-1] == "No category can be told."


def test_a_plan_is_drawn_over_budgets_with_its_band_and_the_one_that_was_asked():
    curve = [
        {"budget": 10.0 * k, "gain": 5.0 * k, "gain_low": 2.0 * k, "gain_high": 9.0 * k, "random": k, "likeliest": -k}
        for k in (1, 2, 3)
    ]
    figure = budget_figure({"curve": curve, "unit": "outcome", "budget": 20.0})
    high, low, likeliest, random, plan = figure.data
    assert [list(line.y) for line in (low, plan, high)] == [[2, 4, 6], [5, 10, 15], [9, 18, 27]]
    assert (list(random.y), list(likeliest.y)) == ([1, 2, 3], [-1, -2, -3])
    assert [shape.x0 for shape in figure.layout.shapes if shape.x0 == shape.x1] == [20.0]
    assert figure.layout.yaxis.title.text == "people with the outcome added"


def test_where_there_is_no_plan_none_is_drawn():
    with pytest.raises(QuestionError, match="no plan to draw"):
        Policy(needed="It takes a budget.").plot()
