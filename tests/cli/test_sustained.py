"""``whybuy effects --periods``: the question that reaches the engine, the answer as JSON and in words."""

import pytest

from tests.causal.sustained.test_log import curve
from whybuy.causal.sustained import log as engine
from whybuy.pipeline import Pipeline

PAIR = ("--treatment", "view:b", "--outcome", "purchase:a")


@pytest.fixture
def asked(monkeypatch):
    """What reached the engine."""
    seen = []

    def answer(question, study, *, n_periods, report):
        seen.append((question.design, n_periods))
        return curve(-0.02, 0.03).judged("suggestive", ("A reason.",))

    monkeypatch.setattr(engine, "sustained_effects", answer)
    monkeypatch.setattr(Pipeline, "study", None)
    return seen


def test_periods_are_those_of_the_calendar(call, shop, stages, asked):
    found = call("effects", *PAIR, "--periods", "4", "--json").json["sustained"]
    assert asked == [("calendar", 4)]
    assert [p["label"] for p in found["points"]] == ["odds times 0.5", "odds times 2"]
    assert found["verdict"] == "suggestive"
    assert "confirm" not in stages


def test_the_answer_in_words(call, shop, stages, asked):
    out = call("effects", *PAIR, "--design", "calendar", "--periods", "2").out
    assert "odds times 2" in out
    assert "+.0300" in out
    assert "verdict: suggestive" in out
    assert out.endswith("- A reason.\n")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--periods", "3"), "both --treatment and --outcome are needed"),
        ((*PAIR, "--periods", "3", "--design", "step"), "--periods with --design step"),
        ((*PAIR, "--periods", "3", "--reference", "view:c"), "A --reference in the design calendar"),
    ],
)
def test_what_is_no_question_is_exit_2(call, shop, stages, asked, options, message):
    answer = call("effects", *options)
    assert answer.code == 2
    assert message in answer.err
    assert asked == []
