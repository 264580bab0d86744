"""``whybuy recommend --evaluate`` from a file to a table, a figure and a document."""

import pandas as pd
import pytest

from tests.recommend.backtest.test_heldout import browsing
from tests.recommend.backtest.test_run import clicks_only
from whybuy.recommend import backtest

DAY_TEXT = "2025-01-01"


@pytest.fixture
def clicks(shop):
    """A shop that shows one of two items with a fair coin, and logs clicks."""
    events = clicks_only()
    events = events.assign(ts=pd.Timestamp(DAY_TEXT) + pd.to_timedelta(events["ts_ms"], unit="ms")).drop(
        columns="ts_ms"
    )
    events.to_csv(shop / "log.csv", index=False)
    (shop / "whybuy.toml").write_text('lookback = "1d"\n[[events]]\npath = "log.csv"\n', encoding="utf-8")
    return shop


def test_the_answer_in_words_as_a_document_and_as_a_figure(call, clicks, conforms, monkeypatch):
    answer = call("recommend", "--evaluate")
    assert answer.code == 0, answer.err
    assert "clicks of the item within 1d, per 1,000 shown" in answer.out
    assert "users' worth" in answer.out
    assert "policies that explore" in answer.out
    folder = clicks / "whybuy-workspace" / "evaluation"
    assert "plotly" in (folder / "evaluation.html").read_text(encoding="utf-8")[:20_000]
    monkeypatch.setattr(backtest, "evaluate_log", None)  # the second answer is read, not computed
    again = call("recommend", "--evaluate", "--json")
    conforms(again.json, "evaluation")
    assert again.json["figure"] == str(folder / "evaluation.html")
    assert again.json["policies"][0]["policy"] == "as logged"


def test_without_impressions_rankings_are_held_against_what_was_bought(call, shop, conforms, monkeypatch):
    """The same command and stage, and prediction in every word of it."""
    events = browsing(50)
    times = pd.Timestamp(DAY_TEXT) + pd.to_timedelta(events["ts_ms"], unit="ms")
    events.assign(ts=times).drop(columns="ts_ms").to_csv(shop / "log.csv", index=False)
    answer = call("recommend", "--evaluate")
    assert answer.code == 0, answer.err
    assert "What policies would have earned cannot be told. The log has no impressions" in answer.out
    assert answer.out.count("This is prediction: what people took by themselves, not what showing adds.") == 1
    assert "winner" not in answer.out
    rows = answer.out.partition("miscalibration\n")[2].splitlines()[:6]
    assert [row[:11].strip() for row in rows] == [
        "this policy", "by P(buy)", "co-purchase", "last seen", "popular", "random",
    ]  # fmt: skip
    folder = shop / "whybuy-workspace" / "evaluation"
    assert "Prediction, not effect" in (folder / "evaluation.html").read_text(encoding="utf-8")
    monkeypatch.setattr(backtest, "hold_out", None)  # the second answer is read, not computed
    again = call("recommend", "--evaluate", "--json")
    conforms(again.json, "held_out")
    assert again.json["figure"] == str(folder / "evaluation.html")


def test_a_log_with_neither_impressions_nor_enough_purchases_is_exit_2(call, shop):
    (shop / "log.csv").write_text("user_id,ts,action,item_id\na,2025-01-01,view,1\na,2025-01-09,purchase,1\n")
    answer = call("recommend", "--evaluate")
    assert answer.code == 2
    assert "The log has no impressions" in answer.err
    assert "propensity" in answer.err
    assert "and 1 of its users did something before 2025-01-09T00:00:00+00:00 and bought an item after it" in answer.err


@pytest.mark.parametrize("words", [("--all",), ("--user", "a"), ("-k", "3"), ("--output", "x.parquet")])
def test_evaluate_stands_alone(call, shop, words):
    answer = call("recommend", "--evaluate", *words)
    assert answer.code == 2
    assert "Ask with --evaluate alone" in answer.err
