"""The rule of the verdict, the q-values, and the naive evidence, by hand."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from whybuy.causal.effects import Effect, Estimate, Naive
from whybuy.causal.grounds import Grounds
from whybuy.causal.verdict import judge_confirmed, judge_scan, q_values, refused
from whybuy.config import CausalConfig
from whybuy.events.behaviors import parse_behavior

GOOD = Grounds(n_treated=500, treated_outcome_users=60, control_outcome_users=80, effective_users=300.0)
CONFIG = CausalConfig()


def effect(estimate: float, std_error: float, q: float = 0.001, method: str = "confirmed") -> Effect:
    naive = Naive.of_counts(n=100, treated=20, outcome=30, joint=12)
    number = replace(Estimate.of("ato", estimate, std_error), q_value=q)
    return Effect(
        treatment="view:a", outcome="purchase:b", horizon="7d", design="step", n_trials=100, n_treated=20, n_users=50,
        method=method, naive=naive, effect=number,
    )  # fmt: skip


def test_naive_evidence_as_fractions():
    naive = Naive.of_counts(n=100, treated=20, outcome=30, joint=12)
    assert naive.p_outcome == pytest.approx(Fraction(30, 100))
    assert naive.p_outcome_given_treatment == pytest.approx(Fraction(12, 20))
    assert naive.p_treatment_given_outcome == pytest.approx(Fraction(12, 30))
    assert naive.lift == pytest.approx(2)
    assert naive.difference == pytest.approx(Fraction(12, 20) - Fraction(18, 80))


def test_naive_evidence_without_treated_is_null_not_zero():
    naive = Naive.of_counts(n=100, treated=0, outcome=30, joint=0)
    assert naive.p_outcome_given_treatment is None
    assert naive.difference is None
    assert naive.p_treatment == 0


def test_q_values_by_hand():
    bh, by = q_values(np.array([0.01, 0.04, np.nan, 0.03]))
    np.testing.assert_allclose(bh, [0.03, 0.04, np.nan, 0.04])
    np.testing.assert_allclose(by, np.minimum(np.array([0.03, 0.04, np.nan, 0.04]) * 11 / 6, 1))


@pytest.mark.parametrize(
    ("found", "failed", "verdict"),
    [
        (effect(0.05, 0.01), [], "strong"),
        (effect(-0.05, 0.01), [], "strong"),
        (effect(0.05, 0.01), ["Balance: off."], "suggestive"),
        (effect(0.05, 0.01), ["Overlap is weak."], "cannot_tell"),
        (effect(0.05, 0.01, q=0.2), [], "cannot_tell"),
        (effect(0.001, 0.001, q=0.5), [], "none"),
        (effect(0.001, 0.01, q=0.9), [], "cannot_tell"),
    ],
)
def test_confirmed(found, failed, verdict):
    assert judge_confirmed(found, GOOD, failed, CONFIG).verdict == verdict


def test_a_scan_alone_is_never_strong():
    judged = judge_scan(effect(0.05, 0.001, method="scan"), GOOD, CONFIG)
    assert judged.verdict == "suggestive"
    assert "never strong" in " ".join(judged.reasons)


@pytest.mark.parametrize(
    ("grounds", "reason"),
    [
        (replace(GOOD, treated_outcome_users=19), "Only 19 users had the outcome after the behavior"),
        (replace(GOOD, control_outcome_users=3), "Only 3 users had the outcome after another decision"),
        (replace(GOOD, effective_users=12.0), "12 users' worth of information"),
        (replace(GOOD, n_treated=0), "No decision of a trial is this behavior"),
    ],
)
def test_without_grounds_there_is_no_number(grounds, reason):
    judged = judge_confirmed(effect(0.05, 0.001), grounds, [], CONFIG)
    assert judged.verdict == "cannot_tell"
    assert judged.effect.estimate is None
    assert reason in judged.reasons[0]


def test_an_effect_survives_json():
    judged = judge_confirmed(effect(0.05, 0.01), GOOD, [], CONFIG)
    assert Effect.from_json(judged.to_json()) == judged
    refusal = refused(parse_behavior("view:a"), parse_behavior("purchase:b"), "7d", "Too thin.")
    assert Effect.from_json(refusal.to_json()) == refusal
    assert "cannot tell. Too thin." in refusal.summary()


def test_wrong_sign_is_said():
    judged = judge_confirmed(effect(-0.05, 0.01), GOOD, [], CONFIG)
    assert "Co-occurrence has the wrong sign." in judged.reasons


def test_without_grounds_no_estimand_keeps_its_numbers():
    asked = replace(effect(0.1, 0.01), also=(Estimate.of("ato_by_user", 0.1, 0.01), Estimate.of("ate", 0.1, 0.01)))
    judged = judge_confirmed(asked, Grounds(500, 5, 80, 300.0), [], CONFIG)
    assert judged.also == (Estimate(estimand="ato_by_user"), Estimate(estimand="ate"))


def test_the_reasons_say_whom_the_averages_are_about():
    asked = replace(
        effect(0.1, 0.01), also=(Estimate(estimand="ate"),), checks={"overlap": {"share_within_01_99": 0.9}}
    )
    judged = judge_confirmed(asked, GOOD, [], CONFIG)
    assert any(reason.startswith("ATE and ATT are not computed: 90.0%") for reason in judged.reasons)
