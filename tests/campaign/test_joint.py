"""Campaigns that overlap: which of them works, whether they can be told apart, and who received others before."""

import numpy as np
import pandas as pd
import pytest

from tests.campaign.crowds import Crowd, compared, covers, logistic
from whybuy import columns as c
from whybuy.campaign.assignments import Assignments
from whybuy.campaign.decay import wear_out
from whybuy.campaign.exposures import Exposures, exposures_of
from whybuy.campaign.joint import interactions, joint_linear, joint_of, others_effects
from whybuy.campaign.verdict import judged

DAY = 86_400_000


def season(seed: int, *, n: int = 3_000, both: float = 0.0):
    """A letter that does nothing goes to the keen; 70% of them get a call that adds .15, as do 15% of others."""
    crowd = Crowd.of(seed, n)
    letter = crowd.coin(logistic(crowd.heat - 0.5))
    call = crowd.coin(np.where(letter, 0.7, 0.15))
    outcome = crowd.buys(0.15 * call + both * (letter & call))
    exposures = Exposures({}, {"call": call}, np.zeros(n, int))
    comparison = crowd.picked(letter)
    return comparison, exposures, outcome


def told_jointly(seed: int, **more):
    comparison, exposures, outcome = season(seed, **more)
    joint = joint_of(comparison, exposures)
    with_others = type(comparison)(
        comparison.rows, comparison.treated, comparison.people, comparison.e, joint.residuals
    )
    return comparison, with_others, joint, outcome


def test_a_letter_is_not_paid_for_the_call_that_came_with_it():
    comparison, with_others, joint, outcome = told_jointly(1)
    alone, together = comparison.effect(outcome), with_others.effect(outcome)
    assert alone.ci_low > 0
    assert covers(together, 0.0)
    (call,) = others_effects(with_others, joint, outcome)
    assert covers(call.effect, 0.15)
    assert call.effect.ci_low > 0


def test_what_was_done_with_the_others_is_said():
    _, _, joint, _ = told_jointly(1)
    assert joint.is_material
    (note,) = joint.notes()
    assert note.startswith("call also reached 7")
    assert "joint treatments" in note
    assert joint.to_json()["passed"] is False


def test_few_who_received_others_are_left_out_of_it():
    crowd = Crowd.of(2, 2_000)
    letter, call = crowd.coin(0.5), crowd.coin(0.03)
    joint = joint_of(crowd.picked(letter), Exposures({}, {"call": call}, np.zeros(2_000, int)))
    assert not joint.is_material
    assert "too few to matter" in joint.notes()[0]
    assert joint.to_json()["passed"] is None


def test_campaigns_that_always_come_together_cannot_be_told_apart():
    crowd = Crowd.of(3, 1_000)
    letter = crowd.coin(0.5)
    call = letter.copy()
    call[:5] = ~call[:5]
    joint = joint_of(crowd.picked(letter), Exposures({}, {"call": call}, np.zeros(1_000, int)))
    assert not joint.can_be_told_apart
    assert "cannot be told from what they do" in joint.notes()[0]
    (line,) = others_effects(crowd.picked(letter), joint, crowd.buys(0.0))
    assert line.effect.estimate is None
    assert line.why == "It is always received together with others: it cannot be told apart."


def test_columns_of_one_span_have_no_number():
    rng = np.random.default_rng(0)
    one, two = rng.normal(size=(2, 200))
    found = joint_linear(np.column_stack([one, two, one + two]), one, np.arange(200))
    assert [e.estimate for e in found] == [None, None, None]
    free, other = joint_linear(np.column_stack([one, two]), 2 * one + rng.normal(size=200), np.arange(200))
    assert free.estimate == pytest.approx(2, abs=0.2)
    assert other.ci_low < 0 < other.ci_high


def test_a_campaign_that_came_days_later_has_no_effect_here():
    """It went to those who came back in between, which no covariate from before knows: it would look great."""
    crowd = Crowd.of(8, 2_000)
    letter, back = crowd.coin(0.5), crowd.coin(0.3)
    outcome = crowd.coin(0.1 + 0.4 * back)
    exposures = Exposures({}, {"call": back & crowd.coin(0.8)}, np.zeros(2_000, int), frozenset({"call"}))
    comparison = crowd.picked(letter)
    joint = joint_of(comparison, exposures)
    for (line,) in (others_effects(comparison, joint, outcome), interactions(comparison, joint, outcome)):
        assert line.effect.estimate is None
        assert line.why.startswith("It came days later")


def test_an_interaction_is_what_both_add_to_their_sum():
    _, with_others, joint, outcome = told_jointly(4, n=6_000, both=0.15)
    (line,) = interactions(with_others, joint, outcome)
    assert line.effect.estimand == "interaction"
    assert covers(line.effect, 0.15)
    assert line.effect.ci_low > 0


def test_an_interaction_of_few_people_is_refused():
    crowd = Crowd.of(5, 600)
    letter = crowd.coin(0.5)
    call = crowd.coin(np.where(letter, 0.02, 0.5))
    comparison = crowd.picked(letter)
    joint = joint_of(comparison, Exposures({}, {"call": call | (np.arange(600) < 3)}, np.zeros(600, int)))
    (line,) = interactions(comparison, joint, crowd.buys(0.0))
    assert line.effect.estimate is None
    assert line.why.startswith("Only ")
    assert "received both had the outcome; 20 are needed" in line.why


def assignments(*rows):
    columns = [c.CAMPAIGN, c.USER, c.TIME_MS, c.ARM]
    return Assignments(pd.DataFrame(rows, columns=columns), pd.DataFrame())


def test_exposures_are_of_others_that_sent_something(monkeypatch):
    monkeypatch.setattr("whybuy.campaign.exposures.MIN_PEOPLE", 1)
    asked = pd.DataFrame({c.USER: ["a", "b", "c"], c.TIME_MS: [10 * DAY] * 3})
    logged = assignments(
        ("before", "a", 9 * DAY, None),
        ("during", "a", 12 * DAY, "mail"),
        ("during", "b", 12 * DAY, " Control "),
        ("at once", "b", 10 * DAY, None),
        ("later", "c", 18 * DAY, None),
        ("spring", "c", 10 * DAY, None),
    )
    found = exposures_of(logged, ["control"], "spring", asked, 7 * DAY)
    assert {name: who.tolist() for name, who in found.before.items()} == {"before": [True, False, False]}
    assert {name: who.tolist() for name, who in found.within.items()} == {
        "during": [True, False, False],
        "at once": [False, True, False],
    }
    assert found.n_before.tolist() == [1, 0, 0]
    assert found.later == {"during"}
    assert found.covariates()[1] == ["received before", "campaigns received"]


def test_a_campaign_that_wears_out():
    """The first letter adds .2, one after three others adds nothing; all together look like half of it."""
    crowd = Crowd.of(6, 6_000)
    n_before = crowd.rng.choice([0, 3], 6_000)
    letter = crowd.coin(0.5)
    outcome = crowd.buys(0.2 * (letter & (n_before == 0)))
    found = compared(crowd.drawn(letter), outcome, Exposures({}, {}, n_before))
    fresh, worn = wear_out(found)
    assert (fresh.name, worn.name) == ("0", "3 or more")
    assert covers(fresh.effect, 0.2)
    assert covers(worn.effect, 0.0)
    assert not covers(found.comparison.effect(outcome), 0.2)


def test_nobody_received_any_before():
    crowd = Crowd.of(7, 200)
    assert wear_out(compared(crowd.drawn(crowd.coin(0.5)), crowd.coin(0.5))) == ()


@pytest.mark.slow
def test_joint_intervals_hold_their_level():
    """300 seasons on seeds not used before; the effect alone is never near the truth."""
    held, alone_held = 0, 0
    for seed in range(100, 400):
        comparison, with_others, _, outcome = told_jointly(seed, n=1_500)
        held += covers(with_others.effect(outcome), 0.0)
        alone_held += covers(comparison.effect(outcome), 0.0)
    assert 0.912 <= held / 300 <= 0.988
    assert alone_held / 300 < 0.5


def test_a_joint_effect_is_at_most_suggestive(overlapping):
    assert overlapping.effect.ci_low > 0
    assert judged([overlapping], smallest_effect=0.005)[0].verdict == "suggestive"


@pytest.fixture
def overlapping():
    from whybuy.campaign.result import CampaignResult, nothing_known
    from whybuy.causal.effects import Estimate

    return CampaignResult(
        campaign="letter",
        kind="targeted",
        effect=Estimate.of("ato", 0.1, 0.01),
        naive=nothing_known(),
        outcome="purchase:*",
        horizon="7d",
        checks={"joint": {"passed": False}},
    )
