"""Several arms of one campaign, and people in two of them."""

import numpy as np
import pytest

from tests.campaign.crowds import Crowd, compared, covers
from tests.campaign.shops import config, event, write_shop
from whybuy.campaign import analyze_campaigns
from whybuy.campaign.arms import arm_effects, arm_notes
from whybuy.campaign.estimate import holm


def three_arms(seed: int, n: int = 3_000):
    """A letter that adds .1, a call that adds nothing."""
    crowd = Crowd.of(seed, n)
    arm = crowd.rng.choice(np.array(["letter", "call", "control"], object), n)
    outcome = crowd.buys(0.1 * (arm == "letter"))
    return compared(crowd.drawn(arm != "control", arm), outcome)


def test_every_arm_is_told_from_the_controls():
    call, letter = arm_effects("spring", ["call", "letter"], three_arms(1), seed=0)
    assert (call.name, letter.name) == ("campaign:spring/call", "campaign:spring/letter")
    assert covers(letter.effect, 0.1)
    assert letter.effect.ci_low > 0
    assert covers(call.effect, 0.0)
    assert [call.p_holm, letter.p_holm] == holm([call.effect.p_value, letter.effect.p_value])


def test_all_arms_together_hide_the_one_that_works():
    """Half of the people sent something were called, which does nothing: the whole has half of the letter's effect."""
    found = three_arms(2, 6_000)
    whole = found.comparison.effect(found.outcome)
    assert covers(whole, 0.05)
    assert not covers(whole, 0.1)
    assert arm_effects("spring", ["call", "letter"], found, seed=0)[1].effect.estimate > whole.ci_high - 0.02


def test_an_arm_of_three_people_is_not_told():
    crowd = Crowd.of(3, 1_000)
    arm = crowd.rng.choice(np.array(["letter", "control"], object), 1_000)
    arm[:3] = "call"
    call, letter = arm_effects(
        "s", ["call", "letter"], compared(crowd.drawn(arm != "control", arm), crowd.buys(0)), seed=0
    )
    assert call.effect.estimate is None
    assert call.why.endswith("of the people sent it had the outcome; 20 are needed.")
    assert letter.effect.estimate is not None
    assert any("Not told: campaign:s/call" in note for note in arm_notes((call, letter), 0.05))


def test_an_arm_without_any_outcome_is_not_told():
    crowd = Crowd.of(4, 1_000)
    arm = crowd.rng.choice(np.array(["letter", "call", "control"], object), 1_000)
    outcome = crowd.buys(0) & (arm != "call")
    call, _ = arm_effects("s", ["call", "letter"], compared(crowd.drawn(arm != "control", arm), outcome), seed=0)
    assert call.why.startswith("Only 0 of the people sent it had the outcome")


def test_one_arm_alone_has_no_table():
    assert arm_effects("s", ["letter"], three_arms(5), seed=0) == ()


def test_picked_arms_learn_who_was_in_each():
    """Keen people got the call, others the letter or nothing; neither does anything."""
    crowd = Crowd.of(6, 3_000)
    keen = crowd.coin(1 / (1 + np.exp(-1.5 * crowd.heat)))
    arm = np.where(keen, np.where(crowd.coin(0.7), "call", "control"), np.where(crowd.coin(0.5), "letter", "control"))
    outcome = crowd.buys(0)
    found = compared(crowd.picked(arm != "control"), outcome)
    found.comparison.rows["arm"] = arm.astype(object)
    call, letter = arm_effects("s", ["call", "letter"], found, seed=0)
    assert outcome[arm == "call"].mean() - outcome[arm == "control"].mean() > 0.05
    assert covers(call.effect, 0.0)
    assert covers(letter.effect, 0.0)


def people_in_two_arms(n: int):
    events = [event(f"u{i:03d}", 10, "campaign", campaign_id="spring", arm=("a", "control")[i % 2]) for i in range(100)]
    events += [event(f"u{i:03d}", 11, "campaign", campaign_id="spring", arm="b") for i in range(n)]
    return [*events, event("x", 0, "view"), event("x", 20, "view")]


@pytest.mark.parametrize(
    ("n", "reason"), [(5, None), (6, "6 of 100 people are logged in more than one arm; at most 5%")]
)
def test_people_in_two_arms_are_set_aside_or_refused(tmp_path, n, reason):
    result = analyze_campaigns(
        write_shop(tmp_path, people_in_two_arms(n)), config(campaign={"randomized": ["spring"]})
    )[0]
    assert result.verdict == "cannot_tell"
    assert result.checks["set_aside"]["in_two_arms"] == n
    assert f"Set aside because logged in more than one arm: {n}." in result.reasons
    assert reason is None or result.reasons[0].startswith(reason)
