from dataclasses import replace

import pytest

from tests.causal.certificate.test_result import PAIR
from whybuy.causal.certificate import Certificate
from whybuy.causal.certificate.certify import Budget, Plan
from whybuy.cli import certify as module
from whybuy.events.behaviors import parse_behavior

OTHER = replace(PAIR, kind="non-null", estimate=None, std_error=None, ci_low=None, ci_high=None, verdict="cannot_tell")


@pytest.fixture
def asked(monkeypatch) -> list[Budget]:
    """What was asked for; the certificate has one null pair and a refused one."""
    budgets: list[Budget] = []

    def plan(pipeline, budget):
        budgets.append(budget)
        return Plan("7d", (parse_behavior("purchase:*"),), budget.copies or 6, budget.markers, ())

    monkeypatch.setattr(module, "plan_certificate", plan)
    monkeypatch.setattr(module, "certified", lambda *_: Certificate(horizon="7d", pairs=(PAIR, OTHER)))
    return budgets


def test_a_certificate_in_words(shop, call, stages, asked):
    answer = call("certify", "--copies", "2", "--markers", "3", "--outcomes", "1")
    assert answer.code == 0
    assert asked == [Budget(copies=2, markers=3, outcomes=1)]
    assert "6 pairs: 3 planted behaviors, 1 outcomes, copies of the log: 2. Every copy is trained on anew" in answer.err
    rows = [line.split() for line in answer.out.splitlines()]
    assert rows[1] == ["null", "1", "0", "1.000", "0.207", "1.000", "0.500", "+.0010", "0.0010", "0.0400", "0"]
    assert rows[2] == ["non-null", "0", "1", "-", "0.000", "1.000", "-", "-", "-", "-", "0"]
    assert "Hidden confounding is not tested" in answer.out
    assert "report.html" in answer.out
    assert stages[-1] == "report"


def test_a_certificate_as_json(shop, call, stages, asked, conforms):
    answer = call("certify", "--json")
    conforms(answer.json, "certify")
    assert asked == [Budget()]


@pytest.mark.parametrize("words", [("--copies", "0"), ("--markers", "2"), ("--outcomes", "none")])
def test_a_budget_that_is_none(shop, call, stages, asked, words):
    assert call("certify", *words).code == 2
    assert asked == []
