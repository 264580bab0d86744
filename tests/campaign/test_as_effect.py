"""The design assignment: a campaign answered in the form of every other effect."""

import numpy as np
import pandas as pd
import pytest

import whybuy
from tests.campaign.shops import write_shop
from tests.campaign.test_analyze import RANDOM, one, trial
from whybuy.causal.question import Question
from whybuy.causal.several import questions
from whybuy.errors import QuestionError

START = pd.Timestamp("2025-01-01", tz="UTC")


def mailed(n: int = 400) -> pd.DataFrame:
    """People who get a letter or not by a logged coin on day 10; of those sent it half buy, else a quarter."""
    rng = np.random.default_rng(3)
    sent = rng.random(n) < 0.5
    buys = rng.random(n) < np.where(sent, 0.5, 0.25)
    parts = [
        pd.DataFrame(
            {"user_id": np.arange(n).astype(str), "day": 10.0, "action": "campaign", "campaign_id": "letter"}
        ).assign(arm=np.where(sent, "treated", "control"), propensity=0.5),
        pd.DataFrame({"user_id": np.flatnonzero(buys).astype(str), "day": 12.0, "action": "purchase", "item_id": "i1"}),
        pd.DataFrame({"user_id": np.tile(np.arange(n), 2).astype(str), "day": np.repeat([1.0, 25.0], n)}).assign(
            action="view", item_id="i1"
        ),
    ]
    events = pd.concat(parts, ignore_index=True)
    events["ts"] = START + pd.to_timedelta(events.pop("day"), unit="D")
    return events


def test_a_randomized_campaign_is_an_effect_among_the_others(tmp_path, conforms):
    result = one(write_shop(tmp_path, trial(60, 40, 30, 70)), campaign=RANDOM)
    effect = result.to_effect()
    assert (effect.treatment, effect.design, effect.unit) == ("campaign:spring", "assignment", "people")
    assert (effect.effect.estimand, effect.effect.estimate) == ("ato", result.effect.estimate)
    assert [e.estimand for e in effect.also][:1] == ["ate"]
    assert (effect.n_trials, effect.n_treated, effect.verdict) == (200, 100, result.verdict)
    assert "+30.0 in 100 people" in effect.summary()
    conforms({"effects": [effect.to_json()]}, "effects")


def test_it_is_asked_as_every_other_question(tmp_path):
    found = whybuy.effect(
        whybuy.read(mailed(), workspace=tmp_path),
        treatment="campaign:letter",
        outcome="purchase:*",
        horizon="7d",
        design="assignment",
    )
    assert found.design == "assignment"
    assert found.effect.ci_low < 0.25 < found.effect.ci_high
    assert found.effect.ci_low > 0


@pytest.mark.parametrize(
    ("treatment", "where", "words"),
    [
        ("view:shoes", None, "--design assignment with view:shoes"),
        ("campaign:spring/treated", None, "all its arms together"),
        ("campaign:*", None, "campaign:NAME"),
        ("campaign:spring", "tier = 'gold'", "whybuy campaign spring"),
    ],
)
def test_what_nobody_assigns_is_refused(treatment, where, words):
    with pytest.raises(QuestionError, match=words):
        Question.of(treatment, "purchase:*", horizon="7d", design="assignment", where=where)


def test_several_campaigns_are_asked_with_the_command_that_corrects_for_it():
    with pytest.raises(QuestionError, match="one campaign within one horizon"):
        questions("campaign:spring,campaign:vip", "purchase:*", horizon="7d", design="assignment")


@pytest.mark.parametrize(
    ("treatment", "outcome", "words"),
    [
        ("view:shoes,view:bags", "purchase:*", "2 behaviors as the treatment.*whybuy.effects"),
        ("view:shoes", "purchase:a,purchase:b", "2 behaviors as the outcome. Needed: one outcome"),
    ],
)
def test_one_question_has_one_treatment_and_one_outcome(treatment, outcome, words):
    with pytest.raises(QuestionError, match=words):
        Question.of(treatment, outcome, horizon="7d")
