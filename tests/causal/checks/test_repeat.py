"""What brings more of itself is not called strong; what puts itself off may be."""

from dataclasses import replace

import pytest

from whybuy.causal.checks.repeat import REPEAT, repeat_failures
from whybuy.causal.effects import Effect, Estimate, Naive


def effect(treatment: str, outcome: str, estimate: float) -> Effect:
    naive = Naive.of_counts(n=100, treated=20, outcome=30, joint=12)
    return Effect(
        treatment=treatment, outcome=outcome, horizon="7d", design="step", n_trials=100, n_treated=20, n_users=50,
        method="confirmed", naive=naive, effect=Estimate.of("ato", estimate, 0.001),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("treatment", "outcome"),
    [
        ("purchase:shoes", "purchase:shoes"),
        ("purchase:*", "purchase:shoes"),
        ("purchase:shoes/boots", "purchase:shoes"),
        ("view:shoes+purchase:shoes@1d", "purchase:shoes"),
        ("2*purchase:shoes@7d", "purchase:shoes"),
    ],
)
def test_a_rise_of_the_same_is_capped_and_a_fall_is_not(treatment, outcome):
    assert repeat_failures(effect(treatment, outcome, 0.05)) == [REPEAT]
    assert repeat_failures(effect(treatment, outcome, -0.05)) == []


@pytest.mark.parametrize("treatment", ["view:shoes", "purchase:bags", "campaign:spring/treated", "purchase:item=1"])
def test_other_behaviors_are_left_alone(treatment):
    assert repeat_failures(effect(treatment, "purchase:shoes", 0.05)) == []


def test_an_effect_without_a_number_is_left_alone():
    nothing = replace(effect("purchase:*", "purchase:*", 0.05), effect=Estimate(estimand="ato"))
    assert repeat_failures(nothing) == []
