"""The rule of the verdict on hand-made numbers."""

import pytest

from whybuy.campaign.result import CampaignResult, nothing_known
from whybuy.campaign.verdict import judged, judged_alone
from whybuy.causal.effects import Estimate

GROUNDS = {"treated_outcome_users": 50, "control_outcome_users": 50, "effective_users": 400.0}


def result(estimate=0.1, std_error=0.02, kind="targeted", **checks):
    return CampaignResult(
        campaign="c",
        kind=kind,
        effect=Estimate.of("ato", estimate, std_error),
        naive=nothing_known(),
        outcome="purchase:*",
        horizon="7d",
        checks={"grounds": GROUNDS, **checks},
    )


def verdict(*results):
    return judged(list(results), smallest_effect=0.005)[0]


@pytest.mark.parametrize(
    ("given", "expected", "reason"),
    [
        (result(), "strong", "Every check passed."),
        (result(kind="randomized"), "strong", "Every check passed."),
        (result(kind="unknown"), "suggestive", "Being sent it changes"),
        (
            result(overlap={"passed": False, "ess": 12.0}),
            "cannot_tell",
            "Overlap is weak: 12 effective people in one arm",
        ),
        (
            result(balance={"passed": False, "max_smd_after": 0.3}),
            "suggestive",
            "Balance: a covariate still differs by 0.30 standard deviations.",
        ),
        (
            result(kind="randomized", balance={"passed": False, "max_smd_after": 0.3}),
            "suggestive",
            "Balance: what people did before predicts their arm, which a random draw does not do.",
        ),
        (
            result(sensitivity={"passed": False, "strongest_group": "view:*"}),
            "suggestive",
            "Sensitivity: a hidden reason as strong as view:* could explain the effect.",
        ),
        (result(nuisance={"passed": False}), "suggestive", "Nuisance: who was sent it"),
        (result(placebo={"passed": False}), "strong", "Warning: the outcome differed already"),
        (result(0.001, 0.001), "none", "The interval lies inside plus or minus 0.5 in 100"),
        (result(0.01, 0.02), "cannot_tell", "The interval is too wide or too near zero to tell an effect from none."),
        (
            result(grounds={**GROUNDS, "effective_users": 12.0}),
            "cannot_tell",
            "The estimate rests on 12 people's worth",
        ),
    ],
)
def test_the_verdict_follows_the_rule(given, expected, reason):
    found = verdict(given)
    assert found.verdict == expected
    assert any(text.startswith(reason) for text in found.reasons), found.reasons


def test_what_chance_does_among_many_campaigns_is_no_effect():
    found = verdict(result(0.041, 0.02), *(result(0.0, 0.02) for _ in range(9)))
    assert found.effect.ci_low > 0
    assert found.verdict == "cannot_tell"
    assert (
        found.reasons[1]
        == "The interval leaves zero out, but among all campaigns judged that happens by chance (q = 0.4)."
    )


def test_sensitivity_is_not_asked_of_what_may_be_nothing():
    found = verdict(result(0.01, 0.02, sensitivity={"passed": False, "strongest_group": "view:*"}))
    assert not any(text.startswith("Sensitivity") for text in found.reasons)


def test_missing_grounds_take_the_numbers_away():
    found = verdict(result(grounds={**GROUNDS, "control_outcome_users": 19}))
    assert found.effect == Estimate(estimand="ato")
    assert found.reasons[0] == "Only 19 of the controls had the outcome; 20 are needed."


def test_one_of_many_judged_by_itself_says_that_the_list_may_say_less():
    """p = 0.012 is told alone, and is 5 times as much among five campaigns of which four do nothing."""
    found, noise = result(0.05, 0.02), result(0.001, 0.02)
    assert verdict(found, noise, noise, noise, noise).verdict == "cannot_tell"
    alone = judged_alone(found, 5, smallest_effect=0.005)
    assert alone.verdict == "strong"
    assert alone.reasons[-1].startswith("Judged by itself: the list of all 5 campaigns goes by q-values")
    assert not any("Judged by itself" in text for text in judged_alone(found, 1, smallest_effect=0.005).reasons)
    assert not any("Judged by itself" in text for text in judged_alone(found, 4, smallest_effect=0.005).reasons)
    assert not any("Judged by itself" in text for text in judged_alone(noise, 5, smallest_effect=0.005).reasons)
