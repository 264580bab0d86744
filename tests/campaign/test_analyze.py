"""Whole answers: a randomized campaign by hand, a targeted one that does nothing, and campaigns nobody can judge."""

import json
import math
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest

from tests.campaign.shops import config, event, targeted_events, write_shop
from whybuy import columns as c
from whybuy.campaign import analyze_campaign, analyze_campaigns, campaigns_frame, campaigns_summary
from whybuy.errors import BehaviorError, ConfigError, QuestionError

RANDOM = {"randomized": ["spring"]}


def trial(sent_yes, sent_no, held_yes, held_no, **more):
    """People assigned on day 10 of 20, the ``yes`` of whom buy on day 12; odd ones are gold."""
    groups = (
        ("letter", sent_yes, True),
        ("letter", sent_no, False),
        ("control", held_yes, True),
        ("control", held_no, False),
    )
    events = []
    for arm, n, buys in groups:
        for i in range(n):
            user = f"{arm}-{buys}-{i:03d}"
            events.append(event(user, 10, "campaign", campaign_id="spring", arm=arm, **more))
            if buys:
                events.append(event(user, 12, "purchase", item_id="i1"))
    events += [event("passer-by", 0, "view"), event("passer-by", 20, "view")]
    return events


def with_views(events):
    """The same people, each with a few views before day 9 that tell of nothing."""
    rng = np.random.default_rng(4)
    people = sorted({e[c.USER] for e in events})
    return [*events, *(event(p, day, "view") for p in people for day in rng.uniform(0, 9, rng.poisson(2)))]


def users_of(events):
    ids = sorted({e[c.USER] for e in events})
    return pd.DataFrame({c.USER: ids, "tier": ["gold" if i[-1] in "13579" else "basic" for i in ids]})


def one(shop, **settings):
    return analyze_campaigns(shop, config(**settings))[0]


def test_a_randomized_campaign_by_hand(tmp_path):
    result = one(write_shop(tmp_path, trial(60, 40, 30, 70)), campaign=RANDOM)
    difference = Fraction(60, 100) - Fraction(30, 100)
    variance = Fraction(60 * 40, 100**3) + Fraction(30 * 70, 100**3)
    assert result.effect.estimate == pytest.approx(float(difference))
    assert result.effect.std_error == pytest.approx(math.sqrt(variance))
    assert (result.n_treated, result.n_control, result.kind) == (100, 100, "randomized")
    # P(bought) = 90/200, P(sent) = 1/2, P(sent | bought) = 60/90
    assert result.naive.p_outcome == pytest.approx(0.45)
    assert result.naive.p_treatment_given_outcome == pytest.approx(2 / 3)
    assert result.naive.difference == pytest.approx(0.3)
    assert result.verdict == "strong"
    assert result.reasons[0] == (
        "Being sent it changes purchase:* within 7d by +30.00 in 100 people, 95% interval [+16.85, +43.15]."
    )


def test_the_json_is_the_contract_s(tmp_path):
    events = trial(60, 40, 30, 70)
    raw = one(write_shop(tmp_path, events, users=users_of(events)), campaign=RANDOM).to_json()
    assert json.loads(json.dumps(raw, allow_nan=False)) == raw
    assert {key: raw["uplift"][key] for key in ("qini", "qini_low", "qini_high", "auuc", "at")} == {
        "qini": None, "qini_low": None, "qini_high": None, "auuc": None, "at": [],
    }  # fmt: skip
    assert raw["reasons"][-1].startswith("Whom it moves is not told. 60 of those sent it and 30 of the others had")
    assert raw["policy"]["needed"].startswith("To say whom to send it to, it takes how much may be spent (--budget N)")
    assert set(raw["checks"]) >= {"sample_ratio", "overlap", "balance", "nuisance", "placebo", "sensitivity"}
    assert raw["segments"][0].keys() >= {"attribute", "value", "n", "estimate", "ci_low", "ci_high", "p_holm"}


def test_segments_carry_their_own_effect(tmp_path):
    events = trial(60, 40, 50, 50)
    result = one(write_shop(tmp_path, events, users=users_of(events)), campaign=RANDOM)
    gold = next(s for s in result.segments if s.value == "gold")
    assert (gold.attribute, gold.n, gold.n_treated) == ("tier", 100, 50)
    assert gold.effect.estimate == pytest.approx(30 / 50 - 25 / 50)
    assert gold.p_holm == pytest.approx(min(1, 2 * gold.effect.p_value))


def test_people_are_not_described_by_protected_attributes(tmp_path):
    events = trial(180, 20, 60, 140)
    shop = write_shop(tmp_path, events, users=users_of(events))
    assert any("it moves people with tier = basic" in text for text in one(shop, campaign=RANDOM).reasons)
    told = one(shop, campaign=RANDOM, protected=["tier", "gender"])
    assert not any("tier =" in text for text in told.reasons)
    assert "Left out of the words because protected: tier." in told.reasons
    assert {s.attribute for s in told.segments} == {"tier"}


def test_thin_segments_are_left_open_and_said(tmp_path):
    events = trial(30, 70, 25, 75)
    result = one(write_shop(tmp_path, events, users=users_of(events)), campaign=RANDOM)
    assert {s.effect.estimate for s in result.segments} == {None}
    assert "2 of 2 segments are too thin to judge (fewer than 20 people with the outcome in an arm)." in result.reasons


def test_arms_with_few_buyers_cannot_tell(tmp_path):
    result = one(write_shop(tmp_path, trial(2, 1, 1, 2)), campaign=RANDOM)
    assert result.verdict == "cannot_tell"
    assert result.effect.estimate is None
    assert result.naive.difference == pytest.approx(1 / 3)
    assert result.reasons[0] == "Only 2 of the people sent it had the outcome; 20 are needed."
    assert result.summary().startswith("Campaign spring (assigned at random): cannot tell. Only 2 of")


def test_a_split_that_is_off_stops_the_verdict(tmp_path):
    result = one(write_shop(tmp_path, with_views(trial(100, 60, 30, 70, propensity=0.5))))
    assert result.verdict == "cannot_tell"
    assert result.effect.estimate is not None
    assert any(r.startswith("Sample ratio: 100 in control, 160 in letter instead of 130, 130") for r in result.reasons)


def test_a_split_that_is_off_stops_a_declared_experiment_too(tmp_path):
    result = one(write_shop(tmp_path, trial(100, 60, 30, 70, propensity=0.5)), campaign=RANDOM)
    assert (result.kind, result.verdict) == ("randomized", "cannot_tell")


def test_logged_propensities_make_a_campaign_randomized(tmp_path):
    result = one(write_shop(tmp_path, trial(60, 40, 30, 70, propensity=0.5)))
    assert (result.kind, result.verdict) == ("randomized", "strong")


def test_arms_without_a_ground_for_randomness_are_at_most_suggestive(tmp_path):
    result = one(write_shop(tmp_path, with_views(trial(200, 100, 100, 200))))
    assert (result.kind, result.verdict) == ("unknown", "suggestive")
    assert result.effect.estimate == pytest.approx(1 / 3, abs=0.06)


def test_arms_without_any_history_cannot_be_adjusted(tmp_path):
    result = one(write_shop(tmp_path, trial(60, 40, 30, 70)))
    assert result.verdict == "cannot_tell"
    assert result.reasons[0] == "Nothing is known of these people before: there is nothing to adjust for."


def test_no_effect_is_an_interval_inside_the_smallest(tmp_path):
    result = one(write_shop(tmp_path, trial(50, 50, 50, 50)), campaign=RANDOM, causal={"smallest_effect": 0.2})
    assert result.verdict == "none"
    too_wide = one(write_shop(tmp_path / "2", trial(50, 50, 50, 50)), campaign=RANDOM)
    assert too_wide.verdict == "cannot_tell"
    assert too_wide.reasons[1] == "The interval is too wide or too near zero to tell an effect from none."


def test_several_arms_are_compared_one_by_one(tmp_path):
    events = trial(60, 40, 30, 70)
    for e in events[:50]:
        if e[c.ACTION] == "campaign":
            e[c.ARM] = "call"
    result = one(write_shop(tmp_path, events), campaign=RANDOM)
    assert [arm.name for arm in result.further.arms] == ["campaign:spring/call", "campaign:spring/letter"]
    assert [e.estimand for e in result.also] == ["ate_difference", "ate_always_valid"]


def test_redemptions_are_counted(tmp_path):
    buyers = [event(f"letter-True-{i:03d}", 13, "redeem", campaign_id="spring") for i in range(25)]
    result = one(write_shop(tmp_path, [*trial(60, 40, 30, 70), *buyers]), campaign=RANDOM)
    assert result.checks["redemptions"] == {"people": 25, "share_of_sent": 0.25, "events": 25}
    assert "25 of those sent it (25.0%) redeemed it within 7d." in result.reasons


def test_q_values_go_over_all_campaigns(tmp_path):
    events = trial(60, 40, 30, 70)
    other = [e | ({c.CAMPAIGN: "summer"} if e[c.ACTION] == "campaign" else {}) for e in trial(50, 50, 49, 51)]
    renamed = [e | {c.USER: f"x{e[c.USER]}"} for e in other]
    both = analyze_campaigns(
        write_shop(tmp_path, [*events, *renamed]), config(campaign={"randomized": ["spring", "summer"]})
    )
    assert both[0].effect.q_value == pytest.approx(2 * both[0].effect.p_value)
    assert both[0].effect.selected_high > both[0].effect.ci_high
    assert both[1].effect.selected_high is None
    assert campaigns_frame(both)["verdict"].tolist() == ["strong", "cannot_tell"]
    assert campaigns_summary(both).count("\n") == 1


@pytest.fixture(scope="module")
def letter_that_does_nothing(tmp_path_factory):
    events = targeted_events(np.random.default_rng(2), n_users=1_500)
    return one(write_shop(tmp_path_factory.mktemp("shop") / "w", events))


def test_a_targeted_campaign_that_does_nothing_looks_great_and_is_not(letter_that_does_nothing):
    result = letter_that_does_nothing
    assert result.kind == "targeted"
    assert result.naive.difference > 0.3
    assert result.effect.ci_low < 0 < result.effect.ci_high
    assert result.verdict in ("cannot_tell", "none")
    assert result.also[0].estimand == "att"


def test_a_targeted_campaign_is_balanced_and_checked(letter_that_does_nothing):
    checks = letter_that_does_nothing.checks
    assert checks["balance"]["max_smd_before"] > 0.5
    assert checks["balance"]["passed"]
    assert checks["overlap"]["passed"]
    assert checks["nuisance"]["e_log_loss"] < checks["nuisance"]["e_log_loss_base"]
    assert checks["placebo"]["kind"] == "past outcome"
    assert checks["sensitivity"]["e_value"] >= 1


def test_a_result_draws_what_it_says(letter_that_does_nothing):
    figure = letter_that_does_nothing.plot()
    assert [trace.y[0] for trace in figure.data] == ["naive", "adjusted"]
    frame = letter_that_does_nothing.to_frame()
    assert frame.loc[0, "estimate"] == letter_that_does_nothing.effect.estimate
    assert "the plain comparison says +" in letter_that_does_nothing.summary()


def campaign_of(events, *people, day=10.0, arm=None):
    return [*events, *(event(p, day, "campaign", campaign_id="spring", arm=arm) for p in people)]


WALKERS = [event(user, day, "view") for user in "abd" for day in range(30)]


@pytest.mark.parametrize(
    ("events", "reason"),
    [
        (campaign_of(WALKERS, "a", "b", "d"), "Everybody was sent it: nobody is left to compare with."),
        (campaign_of(WALKERS, "a", arm="control"), "Everybody (1) is in a control arm: nobody was sent it."),
        (campaign_of(WALKERS, "a", day=28), "Nobody who was sent it has both the history and the complete follow-up"),
        (campaign_of(WALKERS, "a", day=2), "Nobody who was sent it has both the history and the complete follow-up"),
        (
            [*campaign_of(WALKERS, "a", arm="x"), event("b", 28, "campaign", campaign_id="spring", arm="none")],
            "Nobody in a control arm has complete follow-up.",
        ),
        (
            campaign_of([*WALKERS, event("b", 3, "cart")], "a"),
            "Only 0 of the people sent it had the outcome; 20 are needed.",
        ),
    ],
)
def test_a_campaign_nobody_can_judge_is_answered_with_why(tmp_path, events, reason):
    result = one(write_shop(tmp_path, events))
    assert result.verdict == "cannot_tell"
    assert result.reasons[0].startswith(reason)
    assert result.effect.estimate is None
    json.dumps(result.to_json(), allow_nan=False)
    result.plot()


def test_a_log_without_campaigns_has_no_results_and_says_so(tmp_path):
    assert analyze_campaigns(write_shop(tmp_path, WALKERS), config()) == []
    assert campaigns_summary([]).startswith("The log has no campaign:")


def test_a_log_without_times_answers_cannot_tell(tmp_path):
    shop = write_shop(tmp_path, campaign_of(WALKERS, "a"), has_times=False)
    assert one(shop).reasons[0].startswith("The log has an order of events but no times")
    with pytest.raises(QuestionError, match="no times"):
        analyze_campaign(shop, config(), "spring")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"campaign_id": "sprong"}, "Campaign 'sprong' is not in the log, which has spring.*Did you mean 'spring'"),
        ({"campaign_id": "zzz"}, "Name one of these"),
        ({"campaign_id": "spring", "horizon": "60d"}, "The log spans 20.0 days.*more than the horizon of 60d.*shorter"),
        (
            {"campaign_id": "spring", "outcome": "purchase:shoe"},
            "purchase:shoe never happens.*Did you mean purchase:shoes",
        ),
        ({"campaign_id": "spring", "outcome": "cart:*"}, "cart:.* never happens in the log, which has the actions"),
    ],
)
def test_a_question_that_cannot_be_asked_is_refused(tmp_path, arguments, message):
    items = pd.DataFrame({c.ITEM: ["i1"], c.CATEGORY: ["shoes"], c.BRAND: [None]})
    shop = write_shop(tmp_path, trial(3, 3, 3, 3), items=items)
    with pytest.raises(QuestionError, match=message):
        analyze_campaign(shop, config(), **arguments)


def test_a_question_without_campaigns_is_refused(tmp_path):
    with pytest.raises(QuestionError, match=r"The log has no campaign.*\[\[events\]\]"):
        analyze_campaign(write_shop(tmp_path, WALKERS), config(), "spring")


def test_an_outcome_or_horizon_that_cannot_be_read_is_refused(tmp_path):
    shop = write_shop(tmp_path, WALKERS)
    with pytest.raises(BehaviorError, match="purchace"):
        analyze_campaign(shop, config(), "spring", outcome="purchace:*")
    with pytest.raises(ConfigError, match="is not a duration"):
        analyze_campaign(shop, config(), "spring", horizon="week")


def test_one_campaign_is_answered_for_the_outcome_and_horizon_asked(tmp_path):
    shop = write_shop(tmp_path, trial(60, 40, 30, 70))
    result = analyze_campaign(shop, config(campaign=RANDOM), "spring", outcome="purchase:item=i1", horizon="3d")
    assert (result.outcome, result.horizon, result.verdict) == ("purchase:item=i1", "3d", "strong")
    assert result.effect.q_value == result.effect.p_value
    short = analyze_campaign(shop, config(campaign=RANDOM), "spring", horizon="1d")
    assert short.verdict == "cannot_tell"
