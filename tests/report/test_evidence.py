"""The evidence of an opened row: every kind of field in words, and the love plot where covariates are named."""

from dataclasses import replace

import pytest
from tests.report.conftest import effect_json

from whybuy.causal.effects import Effect
from whybuy.report import render
from whybuy.report.evidence import checks, love_plot

GROUP = {"estimate": 0.021, "ci_low": 0.014, "ci_high": 0.028, "n_treated": 300}
UNKNOWN = {"estimate": None, "ci_low": None, "ci_high": None, "n_treated": 2, "why": "Only 2 users."}
LARGEST = [
    {"covariate": "view:<b> in 1d", "before": 0.61, "after": 0.02},
    {"covariate": "sin day", "before": 0.2, "after": 0.04},
]


@pytest.fixture
def effect() -> Effect:
    raw = effect_json("view:books", "purchase:bags", naive=0.05, estimate=-0.02)
    raw["checks"]["balance"]["largest"] = LARGEST
    raw["checks"] |= {
        "negative_control": {"kind": "rule", "controls": [{"outcome": "purchase:tea", **GROUP}], "warns": True},
        "halves": {"first": GROUP, "second": UNKNOWN, "p_value": None, "passed": None},
        "influence": {"largest_share": 0.4, "n_left_out": 7, "share_left_out": 0.6, **GROUP, "passed": False},
    }
    return Effect.from_json(raw)


def test_every_kind_of_field_is_read_out(effect):
    found = {name: (dict(rows), state) for name, rows, state in checks(effect)}
    assert found["negative control"] == (
        {"controls named by": "rule", "purchase:tea": "+2.1 pp [1.4, 2.8]"},
        "warning",
    )
    assert found["halves"] == ({"first": "+2.1 pp [1.4, 2.8]", "second": "too few to tell", "p value": "–"}, None)
    assert found["influence"][1] == "did not pass"
    assert found["influence"][0]["most active users left out"] == "7"
    assert found["placebo"][1] == "passed"
    assert "largest" not in found["balance"][0]
    assert found["balance"][0]["largest standardized difference before"] == "0.61"


def test_the_love_plot_is_drawn_where_covariates_are_named(effect):
    figure = love_plot(effect)
    before, after = figure.data
    assert (list(before.x), list(after.x)) == ([0.61, 0.2], [0.02, 0.04])
    assert list(figure.layout.yaxis.ticktext) == ["view:&lt;b&gt; in 1d", "sin day"]
    assert love_plot(replace(effect, checks={})) is None


def test_the_page_holds_it_beside_the_checks(effect, whole):
    first = replace(whole.effects.top[0], effect=effect)
    text = render(replace(whole, effects=replace(whole.effects, top=(first, *whole.effects.top[1:]))))
    assert 'data-plot="love-0"' in text
    assert 'data-plot="love-1"' not in text
    assert "Balance</h4>" in text
    assert "warning</span>" in text
