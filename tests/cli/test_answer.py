import pytest

from whybuy.causal import dose_question, question
from whybuy.causal.dose import Dose, DosePoint
from whybuy.causal.effects import Estimate
from whybuy.pipeline import Pipeline


def pairs(answer) -> list[str]:
    return [f"{e['treatment']} {e['outcome']}" for e in answer.json["effects"]]


def test_headlines_are_ordered_by_verdict_then_size_without_funnels(call, shop, stages):
    assert pairs(call("effects", "--json")) == [
        "cart:b purchase:a",
        "view:c purchase:a",
        "view:b purchase:a",
        "view:d purchase:a",
    ]


def test_top_limits_and_all_prints_every_pair(call, shop, stages):
    assert len(pairs(call("effects", "--top", "1", "--json"))) == 1
    assert len(pairs(call("effects", "--all", "--json"))) == 5


def test_the_table_keeps_funnel_pairs_apart(call, shop, stages):
    answer = call("effects")
    head, _, apart = answer.out.partition("1 pairs whose treatment is a stage on the way to the outcome, kept apart:")
    assert "view:a" not in head
    assert "view:a" in apart
    assert "+.1111" in head
    assert "-.0500" in head


def test_one_name_picks_its_pairs(call, shop, stages):
    assert pairs(call("effects", "--treatment", "view:b", "--json")) == ["view:b purchase:a"]
    assert pairs(call("effects", "--outcome", "purchase:b", "--json")) == []


def test_names_that_were_not_scanned_are_said_to_be_none(call, shop, stages):
    assert "Did you mean --treatment view:b?" in call("effects", "--treatment", "view:bb").out
    assert "within 7d. Name --treatment and --outcome" in call("effects", "--horizon", "1d").out


@pytest.fixture
def asked(monkeypatch):
    """What reached the engine that answers questions."""
    seen = []

    def answer(q, study, *, report):
        seen.append(q)
        from whybuy.causal.effects import Effect, Estimate, Naive

        return Effect(
            treatment=str(q.treatment),
            outcome=str(q.outcome),
            horizon=q.horizon,
            design="step",
            n_trials=1,
            n_treated=0,
            n_users=1,
            method="confirmed",
            naive=Naive.of_counts(n=1, treated=0, outcome=0, joint=0),
            effect=Estimate(estimand="ato"),
            reasons=("Asked now.",),
            checks={"overlap": {}},
        )

    monkeypatch.setattr(question, "answer", answer)
    monkeypatch.setattr(Pipeline, "study", None)
    return seen


PAIR = ("--treatment", "view:b", "--outcome", "purchase:a")


def test_a_confirmed_pair_is_looked_up(call, shop, stages, asked):
    (found,) = call("effects", *PAIR, "--json").json["effects"]
    assert found["effect"]["estimate"] == 0.02
    (found,) = call("effects", *PAIR, "--horizon", "168h", "--design", "step", "--json").json["effects"]
    assert found["effect"]["estimate"] == 0.02
    assert asked == []


@pytest.mark.parametrize(
    "options",
    [
        ("--treatment", "view:c", "--outcome", "purchase:a"),
        (*PAIR, "--horizon", "1d"),
        (*PAIR, "--where", "age > 3"),
        (*PAIR, "--reference", "view:c"),
    ],
    ids=["only scanned", "horizon", "where", "reference"],
)
def test_anything_else_is_answered_now(call, shop, stages, asked, options):
    answer = call("effects", *options, "--json")
    assert answer.code == 0
    assert answer.json["effects"][0]["reasons"] == ["Asked now."]
    assert len(asked) == 1


def test_several_are_answered_together(call, shop, stages, asked):
    options = ("--treatment", "view:c,view:e", "--outcome", "purchase:a", "--horizon", "1d,3d")
    found = call("effects", *options, "--json").json["effects"]
    named = [(e["treatment"], e["horizon"]) for e in found]
    assert named == [("view:c", "1d"), ("view:e", "1d"), ("view:c", "3d"), ("view:e", "3d")]
    out = call("effects", *options, "--reference", "view:d", "--design", "step").out
    assert "q-values are those of the 4 questions together." in out
    assert [q.design for q in asked] == ["step"] * 8


def test_a_composite_and_a_session_reach_the_engine(call, shop, stages, asked):
    call("effects", "--treatment", "2*view:c@1d", "--outcome", "purchase:a")
    call("effects", *PAIR, "--design", "session:5")
    assert str(asked[0].composite) == "view:c+view:c@1d"
    assert (asked[1].design, asked[1].first) == ("session", 5)


@pytest.fixture
def dosed(monkeypatch):
    """A price whose slope is known, in place of the engine."""
    seen = []

    def answer_dose(question, study, *, report):
        seen.append(question)
        points = [("about the usual", 0.0, Estimate(estimand="ato", estimate=0.0))]
        points.append(("15% or more above", 2.0, Estimate.of("ato", -0.1, 0.01)))
        return Dose(
            treatment=str(question),
            outcome="purchase:a",
            horizon=question.asked.horizon,
            unit=question.unit,
            n_trials=1000,
            n_users=100,
            n_clusters=40,
            slope=Estimate.of("slope", -0.05, 0.01),
            naive=0.01,
            curve=tuple(DosePoint(label=name, dose=d, n_trials=500, effect=e) for name, d, e in points),
            verdict="suggestive",
            reasons=("A reason.",),
            meaning=question.meaning,
        )

    monkeypatch.setattr(dose_question, "answer_dose", answer_dose)
    monkeypatch.setattr(Pipeline, "study", None)
    return seen


def test_a_dose_has_a_slope_and_a_curve(call, shop, stages, dosed):
    options = ("effects", "--treatment", "price:a", "--outcome", "purchase:a")
    out = call(*options).out
    assert "price:a: a price 10% above the usual one changes purchase:a within 7d by -5.00 in 100 [-6.96, -3.04]" in out
    assert "-.1000" in out
    found = call(*options, "--json").json["dose"]
    assert found["slope"]["estimate"] == -0.05
    assert [point["label"] for point in found["curve"]] == ["about the usual", "15% or more above"]
    assert str(dosed[0].behavior) == "view:a"


def test_one_answer_in_words(call, shop, stages):
    out = call("effects", *PAIR).out
    assert "view:b now instead of the usual alternatives changes purchase:a within 7d by +2.0 in 100" in out
    assert "decisions: 1,000, treated: 100, users: 50" in out
    assert out.endswith("- A reason.\n")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--where", "x = 1"), "both --treatment and --outcome are needed"),
        (("--treatment", "view:b", "--outcome", "purchase:a", "--horizon", "soon"), "'soon' is not a duration"),
        (("--treatment", "look:b", "--outcome", "purchase:a"), "starts with 'look', which is no action"),
        (("--treatment", "view:b", "--outcome", "purchase:a", "--design", "weekly"), "--design weekly"),
        (
            ("--treatment", "price:b", "--outcome", "purchase:a", "--reference", "view:c"),
            "--reference with the dose price:b",
        ),
        (("--treatment", "number:view:b", "--outcome", "purchase:a", "--horizon", "1d,7d"), "is not a duration"),
        ((*PAIR, "--reference", "view:*"), "Every view:b is itself a view:*"),
        (
            ("--treatment", "view:*", "--outcome", "purchase:a", "--reference", "view:c"),
            "Every view:c is itself a view:*",
        ),
    ],
)
def test_a_question_that_cannot_be_asked_is_exit_2(call, shop, stages, options, message):
    answer = call("effects", *options)
    assert answer.code == 2
    assert message in answer.err
    assert answer.out == ""
    assert stages == []  # nothing is built for what is no question


def test_what_if_is_refused_of_a_log_without_times(call, shop):
    (shop / "whybuy.toml").write_text('[[events]]\npath = "log.csv"\ntime = "order"\n', encoding="utf-8")
    answer = call("whatif", "--user", "a", "--do", "view:*", "--outcome", "purchase:*")
    assert answer.code == 2
    assert "no times" in answer.err
    assert "times are needed to say what happens within a horizon" in answer.err
