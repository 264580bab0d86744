"""Policies on a small showcase log: what is known of their values, and what cannot be asked."""

import numpy as np
import pandas as pd
import pytest

from tests.recommend.backtest.showcases import DAY, Case, case
from tests.recommend.shops import CONFIG, events_of, write_log
from whybuy import columns as c
from whybuy.errors import QuestionError
from whybuy.recommend.backtest import evaluate_log
from whybuy.worlds.showcase import Size

SMALL = Size(n_users=400, n_rounds=10)


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Case:
    return case("groceries", 3, SMALL, tmp_path_factory.mktemp("small"))


def test_the_logging_policy_earned_what_it_earned(small):
    events, judged = small.events(), small.found.judged
    shown = events[(events[c.ACTION] == "impression") & events[c.TIME_MS].between(judged.first_ms, judged.last_ms)]
    bought = events.loc[events[c.ACTION] == "purchase", [c.USER, c.ITEM, c.TIME_MS]]
    pairs = shown.reset_index().merge(bought, on=[c.USER, c.ITEM], suffixes=("", "_bought"))
    waited = pairs["ts_ms_bought"] - pairs[c.TIME_MS]
    rewarded = pairs.loc[(waited > 0) & (waited <= DAY), "index"].nunique()
    assert small.found.comparison.n_rows == len(shown)
    assert small.found.comparison["as logged"].value.estimate == pytest.approx(rewarded / len(shown), rel=1e-12)


def test_the_true_value_of_showing_anything_lies_in_its_interval(small):
    value = small.found.comparison["random"].value
    truth = small.true_value(np.arange(len(small.drawn.start.goods)), n_draws=8, power=0.0)
    assert 1_000 * value.low < truth < 1_000 * value.high
    logged = small.found.comparison["as logged"].value
    assert truth < 1_000 * logged.low  # the log's own mean misses it


def test_every_policy_has_a_value_here_and_weights_average_one(small, conforms):
    conforms({**small.found.to_json(), "figure": "x"}, "evaluation")
    values = {found.policy: found for found in small.found.comparison.values}
    assert list(values) == ["as logged", "this policy", "by P(buy)", "popular", "random"]
    assert all(found.value is not None for found in values.values())
    assert all(abs(found.overlap.mean_weight - 1) < 0.1 for found in values.values())


def test_an_evaluation_says_what_was_judged_and_what_was_left_out(small):
    found = small.found
    assert found.judged.first_ms > found.taught.last_ms
    assert found.taught.n_slates == pytest.approx(1.5 * found.judged.n_slates, rel=0.02)
    assert list(found.left_out) == ["shown within 1d of the log's end, without follow-up"]
    text = found.summary()
    assert "purchases of the item within 1d, per 1,000 shown" in text
    assert "policies that explore" in text
    assert "learned on the first 60% of the slates" in text
    frame = found.to_frame().set_index("policy")
    assert frame.loc["random", "value"] == pytest.approx(1_000 * found.comparison["random"].value.estimate)
    assert len(found.plot().data[0].x) == 5


def clicks_only(n_users: int = 60) -> pd.DataFrame:
    """Two items shown one at a time with a fair coin, ten days; every second showing of a is clicked, none of b."""
    rng = np.random.default_rng(5)
    rows = []
    for user in range(n_users):
        for day in range(10):
            item = "ab"[rng.integers(2)]
            rows.append((f"u{user}", 24 * day + user / 60, "impression", item, 0.5, 1))
            if item == "a" and rng.random() < 0.5:
                rows.append((f"u{user}", 24 * day + user / 60 + 1, "click", item, None, None))
    return events_of(rows, c.PROPENSITY, c.SLOT)


def test_without_purchases_clicks_count_and_that_is_said(tmp_path):
    found = evaluate_log(write_log(tmp_path / "log", clicks_only(), {"a": None, "b": None}), CONFIG)
    assert found.reward == "click"
    assert any("The log has no purchases" in note for note in found.notes)
    # 1 and 1/2 of the weight for the first of two: a is shown two times in three, and is clicked every other time.
    assert found.comparison["popular"].value.estimate == pytest.approx(1 / 3, abs=0.05)
    assert found.comparison["random"].value.estimate == pytest.approx(1 / 4, abs=0.05)
    assert found.comparison.winner in ("this policy", "popular", "by P(buy)", None)


def test_rare_rewards_are_refused_where_too_few_are_expected(tmp_path):
    """Twelve of 200 users ever click: an interval would rest on what by chance did not happen."""
    events = clicks_only(200)
    rare = events[(events[c.ACTION] == "impression") | events[c.USER].isin([f"u{user}" for user in range(12)])]
    found = evaluate_log(write_log(tmp_path / "log", rare, {"a": None, "b": None}), CONFIG)
    for value in found.comparison.values:
        assert value.value is None
        assert "are expected to bring a reward (fewer where amounts differ); 20 are needed" in value.reasons[0]
    assert found.comparison.differences == ()
    assert found.verdict() == "No winner: fewer than two policies can be told."


def shop(*actions: str, **changes) -> pd.DataFrame:
    """Clicks, with some of it changed."""
    events = clicks_only(10)
    return events[events[c.ACTION].isin(actions)].assign(**changes)


@pytest.mark.parametrize(
    ("events", "said"),
    [
        (shop("click"), "The log has no impressions.*the probability in .0, 1. with which the item was shown"),
        (shop("impression", "click", propensity=None), "None of 100 impressions has a propensity"),
        (shop("impression", "click", propensity=0.0), "None of 100 impressions has a propensity"),
        (shop("impression"), "neither purchases nor clicks"),
        (
            shop("impression", "click").query("ts_ms < 80_000_000"),
            "No slate can be judged .10 impressions shown within 1d of the log's end, without",
        ),
    ],
)
def test_a_log_that_cannot_judge_is_refused(events, said, tmp_path):
    with pytest.raises(QuestionError, match=said):
        evaluate_log(write_log(tmp_path / "log", events, {"a": None, "b": None}), CONFIG)


def test_an_order_without_times_is_refused(tmp_path):
    log = write_log(tmp_path / "log", clicks_only(5), {"a": None, "b": None}, has_times=False)
    with pytest.raises(QuestionError, match="an order but no times"):
        evaluate_log(log, CONFIG)
