import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from tests.campaign.experiment.people import draw
from whybuy.campaign.experiment.metrics import parse_guardrail, parse_metric
from whybuy.errors import ArraysError, BehaviorError, QuestionError
from whybuy.estimators import Margin, Rules, analyze_experiment

EVEN = {"control": 0.5, "mail": 0.5}


def arms(p) -> np.ndarray:
    return np.where(p.T > 0, "mail", "control")


def test_a_real_effect_is_seen_and_shipped():
    p = draw(100, n=4000, effect=0.1)
    calm = draw(101, n=4000)
    rules = Rules(shares=EVEN, guardrails={"returned": Margin(0.05, more_is_better=False)})
    found = analyze_experiment(arms(p), {"bought": p.Y, "returned": calm.Y}, rules, covariates={"bought": p.Z})
    assert found.decision() == "mail: ship. bought rose, and no guardrail is hurt."
    bought, returned = found.answers
    assert (bought.verdict, returned.verdict) == ("strong", "held")
    assert bought.ci_low < 0.1 < bought.ci_high
    assert bought.variance_removed > 0
    assert returned.variance_removed == 0


def test_a_guardrail_that_is_hurt_stops_what_would_be_shipped():
    p = draw(102, n=4000, effect=0.1)
    rules = Rules(shares=EVEN, guardrails={"returned": Margin(0.02, more_is_better=False)})
    found = analyze_experiment(arms(p), {"bought": p.Y, "returned": p.Y}, rules)
    assert found.answers[1].verdict == "broken"
    assert found.decision() == "mail: do not ship. returned is hurt by more than its margin."


def test_not_shown_to_be_harmless_is_not_harmless():
    p, calm = draw(103, n=1500, effect=0.12), draw(104, n=1500)
    rules = Rules(shares=EVEN, guardrails={"returned": Margin(0.005, more_is_better=False)})
    found = analyze_experiment(arms(p), {"bought": p.Y, "returned": calm.Y}, rules)
    assert found.answers[1].verdict == "cannot_tell"
    assert "nothing shows yet that returned is not hurt" in found.decision()


def test_a_split_that_is_off_stops_every_verdict():
    p = draw(105, n=4000, effect=0.1)
    lost = (p.T > 0) & (p.Y == 0) & (np.random.default_rng(0).random(4000) < 0.3)
    keep = ~lost
    found = analyze_experiment(arms(p)[keep], {"bought": p.Y[keep]}, Rules(shares=EVEN))
    assert found.sample_ratio["passed"] is False
    assert found.answers[0].verdict == "cannot_tell"
    assert found.answers[0].p_value < 1e-6
    assert found.decision().startswith("Sample ratio: 2,000 in control, ")
    assert found.to_json()["stopped"] == found.decision()


def test_holm_over_metrics_and_arms_equals_statsmodels():
    rng = np.random.default_rng(0)
    arm = rng.permutation(np.repeat(["control", "mail", "gift"], 500))
    outcomes = {f"m{k}": rng.normal(size=1500) + 0.1 * k * (arm == "mail") for k in range(3)}
    found = analyze_experiment(arm, outcomes, Rules(shares=dict.fromkeys(("control", "mail", "gift"), 1 / 3)))
    p = [a.p_value for a in found.answers]
    assert [a.p_holm for a in found.answers] == pytest.approx(multipletests(p, method="holm")[1])
    assert [(a.metric, a.arm) for a in found.answers][:2] == [("m0", "mail"), ("m0", "gift")]


def test_many_metrics_without_effect_are_seldom_called_moved():
    """Ten metrics: with Holm 5% of experiments call one, without more than a third do."""
    called = naive = 0
    for seed in range(200):
        rng = np.random.default_rng([1, seed])
        arm = rng.permutation(np.repeat(["control", "mail"], 100))
        found = analyze_experiment(arm, {f"m{k}": rng.normal(size=200) for k in range(10)}, Rules(shares=EVEN))
        called += any(a.verdict == "strong" for a in found.answers)
        naive += any(a.p_value < 0.05 for a in found.answers)
    assert called / 200 < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 200)
    assert naive / 200 > 0.3


def test_peeking_widens_and_is_refused_before_there_are_enough():
    p = draw(106, n=1000, effect=0.1)
    once = analyze_experiment(arms(p), {"bought": p.Y}, Rules(shares=EVEN)).answers[0]
    early = analyze_experiment(arms(p), {"bought": p.Y}, Rules(shares=EVEN, planned=4000)).answers[0]
    assert early.fraction == pytest.approx(0.25)
    assert early.ci_high - early.ci_low > 1.5 * (once.ci_high - once.ci_low)
    assert early.p_value > once.p_value
    few = draw(107, n=150)
    found = analyze_experiment(arms(few), {"bought": few.Y}, Rules(shares=EVEN, planned=4000))
    assert "the first look needs 100" in found.answers[0].reasons[0]
    assert found.decision() == "mail: cannot tell. Go on until the planned end, or plan for more."


def test_no_effect_worth_acting_on():
    p = draw(108, n=4000)
    found = analyze_experiment(arms(p), {"bought": p.Y}, Rules(shares=EVEN, smallest={"bought": 0.06}))
    assert found.answers[0].verdict == "none"
    assert found.decision() == "mail: no effect worth acting on."


def test_few_units_carry_few_covariates_and_say_so():
    p = draw(109, n=2000, n_groups=40)
    found = analyze_experiment(
        arms(p), {"bought": p.Y}, Rules(shares=EVEN), covariates=np.tile(p.Z, 3), clusters=p.group
    )
    assert found.counts == {"control": 20, "mail": 20}
    assert found.answers[0].reasons == ("Adjusted for 2 of 6 covariates: the smaller arm has 20 units.",)


def test_an_outcome_that_one_arm_lacks_is_told_not_estimated():
    p = draw(110, n=1000)
    missing = np.where(p.T > 0, np.nan, p.Y)
    nobody = np.where(p.T > 0, 0.0, p.Y)
    found = analyze_experiment(arms(p), {"a": missing, "b": nobody, "c": np.zeros(1000), "d": p.Y}, Rules(shares=EVEN))
    a, b, c, d = found.answers
    assert "missing or not finite for 500 of 500 treated and 0 of 500 controls" in a.reasons[0]
    assert "Nobody in mail has the outcome" in b.reasons[0]
    assert "is it logged in mail?" in b.reasons[0]
    assert c.reasons == ("Only 0 in mail have the outcome; 20 are needed.",)
    assert (a.estimate, b.estimate, c.estimate) == (None, None, None)
    assert d.estimate is not None
    assert len(found.plot().data) == 2


@pytest.mark.parametrize(
    ("arm", "more", "message"),
    [
        (["mail"] * 100, {}, "Everybody .* is treated.*Hold some out"),
        (["control"] * 100, {}, "Everybody .* is a control"),
        (["mail"] * 3 + ["control"] * 97, {}, "One arm has 3 units"),
        (["mail", "control"] * 48 + ["gift"] * 4, {}, "Units are in the arm gift"),
        (["mail", "control"] * 50, {"clusters": np.arange(100) // 2}, "50 of 50 units are in two arms"),
        (["mail", "control"] * 40, {}, "80 arms and outcomes bought of shape"),
    ],
)
def test_experiments_that_are_none(arm, more, message):
    with pytest.raises(ArraysError, match=f"(?s){message}"):
        analyze_experiment(np.array(arm), {"bought": np.arange(100) % 2.0}, Rules(shares=EVEN), **more)


def test_guardrails_without_outcomes_and_no_metric():
    rules = Rules(shares=EVEN, guardrails={"returned": Margin(0.1, more_is_better=False)})
    arm = np.array(["mail", "control"] * 50)
    with pytest.raises(ArraysError, match="guardrail returned has no outcomes"):
        analyze_experiment(arm, {"bought": np.arange(100.0)}, rules)
    with pytest.raises(ArraysError, match="No metric was given"):
        analyze_experiment(arm, {}, Rules(shares=EVEN))
    with pytest.raises(ArraysError, match="0 units were planned"):
        Rules(shares=EVEN, planned=0)


def test_metrics_and_guardrails_are_written_as_claims():
    assert parse_metric("Revenue").behavior is None
    assert parse_metric("purchase:shoes").name == "purchase:shoes"
    metric, margin = parse_guardrail("return:*<0.01")
    assert (metric.name, margin) == ("return:*", Margin(0.01, more_is_better=False))
    assert parse_guardrail("revenue > -.5")[1] == Margin(-0.5, more_is_better=True)
    for text in ("revenue", "revenue>x", "revenue>"):
        with pytest.raises(QuestionError, match="is no claim"):
            parse_guardrail(text)
    for text in ("revenue>0.5", "return:*<-1", "revenue>0"):
        with pytest.raises(QuestionError, match="asks for an improvement, or allows no loss"):
            parse_guardrail(text)
    with pytest.raises(BehaviorError):
        parse_metric("profit")
