"""The JSON that people and programs rely on keeps its shape: every document of the contract against its schema."""

import json
from copy import deepcopy
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from tests.cli.conftest import CHECKS
from whybuy.campaign.result import CampaignResult, SegmentEffect
from whybuy.causal.effects import Effect, Estimate, Naive
from whybuy.causal.verdict import refused
from whybuy.events.behaviors import parse_behavior
from whybuy.recommend.answer import Recommendation, Recommendations

SCHEMAS = sorted((Path(__file__).parent / "schemas").glob("*.json"))
NAIVE = Naive.of_counts(n=1000, treated=100, outcome=200, joint=30)
STRONG = Effect(
    treatment="view:shoes",
    outcome="purchase:item=12",
    horizon="7d",
    design="step",
    n_trials=1000,
    n_treated=100,
    n_users=80,
    method="confirmed",
    naive=NAIVE,
    effect=replace(
        Estimate.of("ato", 0.05, 0.01), q_value=1e-6, q_value_by=1e-5, selected_low=0.02, selected_high=0.08
    ),
    also=(Estimate.of("ato_by_user", 0.04, 0.01), Estimate.of("ate", 0.05, 0.02), Estimate(estimand="att")),
    verdict="strong",
    reasons=("Every check passed.",),
    checks=CHECKS,
)


def test_every_schema_is_a_schema():
    assert len(SCHEMAS) >= 6
    for file in SCHEMAS:
        Draft202012Validator.check_schema(json.loads(file.read_text(encoding="utf-8")))


def test_a_confirmed_effect(conforms):
    conforms({"effects": [STRONG.to_json()]}, "effects")


def test_a_refused_pair_keeps_the_shape(conforms):
    pair = (parse_behavior("view:*"), parse_behavior("purchase:*"))
    conforms({"effects": [refused(*pair, "7d", "The log is too short.").to_json()]}, "effects")


def without(raw: dict, *place: str) -> dict:
    raw = deepcopy(raw)
    inside = raw
    for key in place[:-1]:
        inside = inside[key]
    del inside[place[-1]]
    return raw


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (without(STRONG.to_json(), "naive", "lift"), "'lift' is a required property"),
        (without(STRONG.to_json(), "checks", "placebo"), "'placebo' is a required property"),
        ({**STRONG.to_json(), "checks": {}}, "checks"),
        ({**STRONG.to_json(), "reasons": []}, "reasons"),
        ({**STRONG.to_json(), "method": "scan"}, "'confirmed' was expected"),
        ({**STRONG.to_json(), "more": 1}, "'more' was unexpected"),
        ({**STRONG.to_json(), "verdict": "maybe"}, "'maybe' is not one of"),
    ],
)
def test_the_schema_of_an_effect_is_strict(conforms, broken, message):
    with pytest.raises(AssertionError, match=message):
        conforms({"effects": [broken]}, "effects")


def campaign() -> CampaignResult:
    return CampaignResult(
        campaign="spring",
        kind="randomized",
        effect=Estimate.of("ate", 0.02, 0.01),
        naive=NAIVE,
        outcome="purchase:*",
        horizon="7d",
        n_treated=100,
        n_control=90,
        verdict="suggestive",
        reasons=("Assigned at random.",),
        segments=(
            SegmentEffect(attribute="segment", value="new", n=50, n_treated=20, effect=Estimate(estimand="ate")),
        ),
    )


def test_a_campaign(conforms):
    conforms(campaign().to_json(), "campaign")
    conforms({"campaigns": [campaign().to_json()]}, "campaigns")


def test_a_campaign_without_an_answer(conforms):
    nothing = Naive(**dict.fromkeys(asdict(NAIVE), None))
    conforms(replace(campaign(), kind="unknown", effect=Estimate(estimand="ato"), naive=nothing).to_json(), "campaign")


def test_recommendations(conforms):
    item = Recommendation(
        item_id="7",
        rank=1,
        lift=0.01,
        lift_low=-0.01,
        lift_high=0.03,
        p_buy=0.05,
        basis="impression",
        ranked_by="lift_by_impression",
        reason="Looked at it.",
        propensity=1.0,
    )
    unseen = replace(item, rank=2, lift=None, lift_low=None, lift_high=None, p_buy=None, basis="view")
    conforms(Recommendations(user_id="u", horizon="1d", items=(item, unseen)).to_json(), "recommend")
    conforms(Recommendations(user_id="u", horizon="1d", items=()).to_json(), "recommend")
