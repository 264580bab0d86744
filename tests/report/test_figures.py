import json

import pytest

from whybuy.report import figures
from whybuy.report.payload import ProfilesPart, Timeline
from whybuy.report.selection import effects_part


@pytest.fixture
def pairs(effect):
    raw = [
        effect("view:<b>", "purchase:a%20b", naive=0.05, estimate=-0.02, std_error=0.001),
        effect("view:c", "purchase:d", naive=0.04, estimate=0.0, std_error=0.001, verdict="none"),
        effect("view:e", "purchase:f", naive=0.03, estimate=0.04, verdict="suggestive"),
    ]
    return effects_part(raw, {}, smallest_effect=0.005)


def trace(figure, name):
    return next(t for t in figure.data if t.name == name)


def test_naive_and_adjusted_stand_in_one_row(pairs):
    figure = figures.comparison(pairs.compared)
    # Largest estimate on top: view:e, view:c, view:<b>.
    assert list(trace(figure, "co-occurrence").x) == pytest.approx([3, 4, 5])
    assert list(trace(figure, "co-occurrence").y) == [0, 1, 2]
    strong = trace(figure, "adjusted: strong")
    assert (list(strong.x), list(strong.y)) == ([-2.0], [2])
    assert list(strong.error_x.array) == pytest.approx([0.196])
    assert list(strong.error_x.arrayminus) == pytest.approx([0.196])
    assert list(trace(figure, "adjusted: suggestive").y) == [0]
    assert list(trace(figure, "adjusted: none").y) == [1]


def test_a_wrong_sign_is_joined_by_a_line_of_its_own(pairs):
    wrong = [t for t in figures.comparison(pairs.compared).data if t.name == "wrong sign" and t.showlegend]
    assert [list(t.x) for t in wrong] == [[5.0, -2.0, None]]


def test_names_from_the_log_are_escaped_in_labels(pairs):
    figure = figures.comparison(pairs.compared)
    assert figure.layout.yaxis.ticktext[2] == "view:&lt;b&gt; → purchase:a b"
    assert "<b>&" not in json.dumps(figure.to_dict()["layout"])


def test_the_truth_is_a_diamond(whole):
    diamonds = trace(figures.demo_picture(whole.effects), "truth")
    assert diamonds.marker.symbol == "diamond-open"
    assert sorted(diamonds.x) == pytest.approx([-1.95, -1.72, 0.0, 3.1, 4.5, 6.6])


def test_the_picture_of_the_readme_has_only_pairs_with_truth(whole):
    assert len(figures.demo_picture(whole.effects).layout.yaxis.ticktext) == 6
    assert len(figures.comparison(whole.effects.compared).layout.yaxis.ticktext) == 24


def test_the_cloud_holds_every_pair_with_an_estimate(pairs):
    figure = figures.cloud(pairs)
    points = {t.name: (list(t.x), list(t.y)) for t in figure.data if t.mode == "markers"}
    assert points["strong"] == ([5.0], [-2.0])
    assert points["wrong sign"] == ([5.0], [-2.0])
    assert points["none"] == ([4.0], [0.0])


def test_rare_actions_are_stacked_together():
    counts = {f"a{i}": (10 - i, 1) for i in range(10)}
    figure = figures.timeline(Timeline(unit="day", starts_ms=(0, 86_400_000), counts=counts))
    assert [t.name for t in figure.data] == [*(f"a{i}" for i in range(7)), "other actions"]
    assert list(figure.data[-1].y) == [3 + 2 + 1, 3]
    assert figure.data[0].x[1] == "1970-01-02 00:00"


def test_losses_of_both_twins(whole):
    figure = figures.training(whole.model)
    assert [t.name for t in figure.data] == [
        "twin 1, training users", "twin 1, held-out users", "twin 2, training users", "twin 2, held-out users",
    ]  # fmt: skip
    assert list(figure.data[0].y) == list(whole.model.train[0])


def test_what_the_model_adds_is_the_share_of_the_loss(whole):
    figure = figures.nuisance_gain(whole.model)
    assert trace(figure, "counts alone").x[0] == pytest.approx(1 - 0.29 / 0.325)
    assert trace(figure, "counts and the behavior model").x[0] == pytest.approx(1 - 0.27 / 0.325)


def test_campaigns_stand_above_their_segments(whole):
    figure = figures.campaigns(whole.campaigns)
    labels = ["<b>spring</b>", "age = young", "age = middle", "age = old", "<b>vip</b>"]
    assert list(figure.layout.yaxis.ticktext) == labels
    assert list(trace(figure, "effect").y) == [0, 4]
    assert list(trace(figure, "effect by segment").x) == pytest.approx([8.1, 0.4, -0.6])
    assert list(trace(figure, "co-occurrence").x) == pytest.approx([2.7, 14.8])


def test_stages_with_their_shares():
    figure = figures.lifecycle(ProfilesPart(stages={"new": 1, "lost": 3}, examples=()))
    assert list(figure.data[0].text) == ["1 (25%)", "3 (75%)"]


def test_only_traces_of_the_basic_bundle_are_used(whole):
    drawn = [
        figures.comparison(whole.effects.compared), figures.cloud(whole.effects), figures.training(whole.model),
        figures.nuisance_gain(whole.model), figures.campaigns(whole.campaigns), figures.lifecycle(whole.profiles),
        figures.timeline(whole.log.timeline),
    ]  # fmt: skip
    assert {t.type for figure in drawn for t in figure.data} == {"scatter", "bar"}


def test_calibration_shows_what_was_said_and_what_happened(whole):
    figure = figures.calibration(whole.model)
    said = trace(figure, "does the outcome follow")
    assert said.x[0] == pytest.approx(0.001)
    assert said.y[0] == pytest.approx(0.001**1.05)
    # Two heads are two lines: a gap lies between them.
    assert [x is None for x in trace(figure, "is it this behavior now").x].count(True) == 2
