"""From a log to plan, assignment and verdict, in a shop whose effect is known.

Every user comes on a day with a chance v of their own (.2 or .6), at a random hour. A visit is a view, and a purchase
of 10 a minute later with chance p = .15, from day 14 on .15 + effect for treated users. Within 3 days of the first
visit after the start the chance of a purchase is 1 - (1 - p) (1 - v p)^2 and a little more: of the third day what comes
before the hour of the first visit counts too.
"""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from tests.campaign.shops import DAY, HOUR, event, write_shop
from whybuy import columns as c
from whybuy.campaign.experiment.ask import PlanQuestion, assign_log, plan_log
from whybuy.campaign.experiment.design import Design, parse_unit
from whybuy.campaign.experiment.file import Assignment
from whybuy.campaign.experiment.from_log import entered, person_outcomes
from whybuy.campaign.experiment.judge import Questions, analyze_log, foreign_design
from whybuy.campaign.experiment.metrics import Margin, Metric, parse_metric
from whybuy.campaign.experiment.plan import Wanted
from whybuy.errors import ArraysError, QuestionError, SourceError

N, START, DAYS, HORIZON = 1500, 14, 24, 3 * DAY
BOUGHT, REVENUE = parse_metric("purchase:*"), parse_metric("revenue")
EVEN = {"control": 0.5, "mail": 0.5}
USERS = np.array([f"u{i:04d}" for i in range(N)], object)


def shop_events(seed: int, treated: np.ndarray, *, effect: float, days: int, n: int = N) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    visits = np.where(np.arange(n) % 3 == 0, 0.6, 0.2)
    rows = []
    for day in range(days):
        came = np.flatnonzero(rng.random(n) < visits)
        at = day * DAY + rng.integers(0, 23 * HOUR, len(came))
        p = 0.15 + effect * treated[came] * (day >= START)
        bought = rng.random(len(came)) < p
        rows.append(pd.DataFrame({c.USER: USERS[came], c.TIME_MS: at, c.ACTION: "view", c.ITEM: "i"}))
        paid = {c.ACTION: "purchase", c.ITEM: "i", c.PRICE: 10.0}
        rows.append(pd.DataFrame({c.USER: USERS[came[bought]], c.TIME_MS: at[bought] + 60_000, **paid}))
    return pd.concat(rows, ignore_index=True)


def attributes() -> pd.DataFrame:
    i = np.arange(N)
    return pd.DataFrame(
        {c.USER: USERS, "keen": np.where(i % 3 == 0, "yes", "no"), "region": [f"r{k % 50:02d}" for k in i]}
    )


@pytest.fixture(scope="module")
def early(tmp_path_factory):
    """Fourteen days, before anybody is treated."""
    events = shop_events(1, np.zeros(N), effect=0, days=START)
    return write_shop(tmp_path_factory.mktemp("early") / "log", events, users=attributes(), end_ms=START * DAY)


def later(tmp_path, assignment: Assignment, *, effect: float, unit: str = "user"):
    """The same log ten days later, in which the assignment was carried out."""
    of_unit = assignment.frame.set_index("unit").arm
    unit_of = USERS if unit == "user" else attributes()[unit].to_numpy()
    treated = (of_unit.reindex(unit_of).to_numpy() == "mail").astype(float)
    events = shop_events(1, treated, effect=effect, days=DAYS)
    return write_shop(tmp_path / "log", events, users=attributes(), end_ms=DAYS * DAY)


def design(**changes) -> Design:
    return replace(Design(active_ms=7 * DAY, shares=EVEN, start_ms=START * DAY), **changes)


def questions(**changes) -> Questions:
    return replace(Questions(metrics=[BOUGHT], horizon_ms=HORIZON), **changes)


def truth(effect: float) -> float:
    """Return the mean change in P(purchase within 3 days of the first visit), from 2 million people."""
    rng = np.random.default_rng(9)
    n = 2_000_000
    v = np.where(np.arange(n) % 3 == 0, 0.6, 0.2)
    first, hours = rng.integers(0, 23 * HOUR, n), rng.integers(0, 23 * HOUR, n)
    chances = []
    for p in (0.15, 0.15 + effect):
        last = v * p * (hours + 60_000 < first)
        chances.append(1 - (1 - p) * (1 - v * p) ** 2 * (1 - last))
    return float((chances[1] - chances[0]).mean())


def test_an_experiment_from_plan_to_verdict(early, tmp_path):
    plan = plan_log(early, PlanQuestion(metric=BOUGHT, horizon_ms=HORIZON), design(), Wanted(simulations=150))
    assert plan.unit == "people"
    assert plan.days[-1].n_units > 0.5 * N
    assert 0.15 < plan.baseline < 0.35
    drawn = assign_log(early, design(), stratify=["keen", "activity:3"])
    assert not drawn.is_rehearsal
    assert drawn.frame.stratum.nunique() >= 4
    log = later(tmp_path, drawn, effect=0.15)
    found = analyze_log(log, drawn, drawn.design, questions(guardrails=[(REVENUE, Margin(-1, more_is_better=True))]))
    bought, revenue = found.answers
    assert bought.ci_low < truth(0.15) < bought.ci_high
    assert (bought.verdict, revenue.verdict) == ("strong", "held")
    assert found.decision().startswith("mail: ship.")
    # Whoever visits can be compared; those who came back late have no full horizon yet.
    assert sum(found.counts.values()) < len(drawn.frame)
    assert "horizon is not over" in " ".join(found.notes)


def test_a_person_s_outcomes_by_hand(tmp_path):
    """Ann enters on day 14 with a purchase and buys for 5 more on day 16; Bob buys too late, Cem never comes."""
    people = [
        event("ann", 10, "purchase", item_id="i", price=7.0),
        event("ann", 14.5, "purchase", item_id="i", price=20.0),
        event("ann", 16, "purchase", item_id="i", price=5.0),
        event("bob", 11, "view", item_id="i"),
        event("bob", 14.6, "impression", item_id="i"),
        event("bob", 15, "view", item_id="i"),
        event("bob", 18.1, "purchase", item_id="i", price=1.0),
        event("cem", 12, "view", item_id="i"),
    ]
    log = write_shop(tmp_path / "log", people, end_ms=24 * DAY)
    users = np.array(["ann", "bob", "cem"], object)
    who = entered(log, users, design(), 24 * DAY)
    assert who.rows[c.TIME_MS].tolist() == [14.5 * DAY, 15 * DAY]
    after, before = person_outcomes(log, who.rows, BOUGHT, HORIZON)
    assert after.tolist() == [1, 0]
    assert before[:, 0].tolist() == [0, 0]
    assert before[:, 1].tolist() == pytest.approx([np.log(2), 0])
    money, before = person_outcomes(log, who.rows, REVENUE, 5 * DAY)
    assert money.tolist() == [25, 1]
    assert before[:, 0].tolist() == [7, 0]
    at_once = entered(log, users, design(entry="start"), 24 * DAY)
    assert person_outcomes(log, at_once.rows, BOUGHT, HORIZON)[0].tolist() == [1, 0, 0]


def test_regions_are_the_unit(early, tmp_path):
    fields = parse_unit("region", early)
    drawn = assign_log(early, design(**fields), stratify=["size:2"])
    assert len(drawn.frame) == 50
    log = later(tmp_path, drawn, effect=0.15, unit="region")
    found = analyze_log(log, drawn, drawn.design, questions())
    answer = found.answers[0]
    assert (answer.n_treated, answer.n_control) == (25, 25)
    assert answer.ci_low < truth(0.15) < answer.ci_high
    assert found.unit == "values of region"
    plan = plan_log(early, PlanQuestion(metric=BOUGHT, horizon_ms=HORIZON), design(**fields), Wanted(simulations=100))
    assert plan.design_effect is not None
    with pytest.raises(QuestionError, match=r"values of region.*Write --stratify size:2"):
        assign_log(early, design(**fields), stratify=["keen"])


def test_periods_are_the_unit(early, tmp_path):
    fields = parse_unit("period=6h", early, washout="1h")
    drawn = assign_log(early, design(**fields), days=10)
    assert len(drawn.frame) == 40
    assert drawn.frame.unit.iloc[0] == "1970-01-15T00:00:00Z"
    events = shop_events(1, np.zeros(N), effect=0, days=DAYS)
    log = write_shop(tmp_path / "log", events, users=attributes(), end_ms=DAYS * DAY)
    found = analyze_log(log, drawn, drawn.design, questions())
    answer = found.answers[0]
    inside = (events[c.TIME_MS] % (6 * HOUR)) >= HOUR
    after = events[(events[c.ACTION] == "purchase") & (events[c.TIME_MS] >= START * DAY) & inside]
    by_period = after.groupby(after[c.TIME_MS] // (6 * HOUR))[c.USER].nunique()
    arm = drawn.frame.arm.to_numpy()
    totals = by_period.reindex(range(START * 4, DAYS * 4), fill_value=0).to_numpy()
    assert answer.mean_treated == pytest.approx(totals[arm == "mail"].mean())
    assert abs(answer.n_treated - answer.n_control) <= 1
    assert answer.ci_low < 0 < answer.ci_high
    plan = plan_log(early, PlanQuestion(metric=BOUGHT, horizon_ms=HORIZON), design(**fields), Wanted(simulations=100))
    assert plan.unit == "periods of 6h"


def test_arms_drawn_after_the_outcomes_are_a_rehearsal(early):
    drawn = assign_log(early, design(start_ms=8 * DAY, active_ms=None))
    assert drawn.is_rehearsal
    found = analyze_log(early, drawn, drawn.design, questions())
    assert found.decision().startswith("A rehearsal: the arms were drawn when the log reached")
    assert found.stopped == found.decision()


@pytest.mark.slow
def test_rehearsals_find_nothing(early):
    """Twenty drawn assignments of nothing: about one interval leaves 0 out."""
    missed = 0
    for seed in range(100, 120):
        drawn = assign_log(early, design(start_ms=8 * DAY, active_ms=None, seed=seed))
        low, high = (
            getattr(analyze_log(early, drawn, drawn.design, questions()).answers[0], f"ci_{k}") for k in ("low", "high")
        )
        missed += not low < 0 < high
    assert missed <= 4


def test_peeking_counts_those_whose_horizon_is_over(early, tmp_path):
    drawn = assign_log(early, design())
    log = later(tmp_path, drawn, effect=0.15)
    answer = analyze_log(log, drawn, drawn.design, questions(peek=True)).answers[0]
    assert answer.fraction == pytest.approx((answer.n_treated + answer.n_control) / len(drawn.frame))
    assert answer.ci_high - answer.ci_low > 2 * 1.96 * answer.std_error * 1.4


def foreign(rows: list[tuple[str, str | None]]) -> Assignment:
    return Assignment(pd.DataFrame(rows, columns=["unit", "arm"]).assign(stratum="all").astype(object), None)


def test_a_file_of_another_system(early, tmp_path):
    arm = np.where(np.arange(N) % 2, "mail", "control")
    rows = [*zip(USERS, arm, strict=True), ("u0001", "control")]
    log = later(tmp_path, foreign(rows[:-1]), effect=0.0)
    found = analyze_log(log, foreign(rows), foreign_design(EVEN, START * DAY), questions())
    assert "Set aside because in two arms: 1 units." in found.notes
    assert "no hash" in " ".join(found.notes)


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        ([(u, "mail") for u in USERS], ArraysError, "Everybody .* is treated"),
        (
            [(u, "mail" if i < 3 else "control") for i, u in enumerate(USERS)],
            ArraysError,
            r"One arm has [0-3] units|Everybody",
        ),
        ([(u, None) for u in USERS], SourceError, f"{N} rows of the assignment have no unit or no arm"),
        ([(f"x{i}", "mail") for i in range(50)], QuestionError, "50 of 50 units of the file are not in the log"),
        ([(u, ["mail", "gift"][i % 2]) for i, u in enumerate(USERS)], ArraysError, "Units are in the arm gift"),
    ],
)
def test_files_that_are_no_experiment(early, rows, error, message):
    with pytest.raises(error, match=message):
        analyze_log(early, foreign(rows), foreign_design(EVEN, 5 * DAY), questions())


def test_questions_that_cannot_be_asked(early, tmp_path):
    drawn = assign_log(early, design())
    with pytest.raises(QuestionError, match=r"The experiment begins 1970-01-15 00:00, and the log ends"):
        analyze_log(early, drawn, drawn.design, questions())
    with pytest.raises(QuestionError, match="Nobody's horizon has passed"):
        analyze_log(early, foreign([("u0000", "mail")]), foreign_design(EVEN, 13 * DAY), questions())
    with pytest.raises(QuestionError, match=r"no attribute 'regoin'.*Did you mean 'region'"):
        assign_log(early, design(), stratify=["regoin"])
    with pytest.raises(QuestionError, match="no attribute 'regoin'"):
        parse_unit("regoin", early)
    with pytest.raises(QuestionError, match="no length"):
        parse_unit("period", early)
    with pytest.raises(QuestionError, match="A washout of 4h in periods of 6h"):
        parse_unit("period=6h", early, washout="4h")
    with pytest.raises(QuestionError, match="units that are no periods"):
        parse_unit("user", early, washout="4h")
    with pytest.raises(QuestionError, match="A switchback has no --days"):
        assign_log(early, design(**parse_unit("period=6h", early)))
    with pytest.raises(QuestionError, match="Nobody is eligible"):
        assign_log(early, design(start_ms=100 * DAY))
    with pytest.raises(ArraysError, match=r"2 units leave 1\.0 in the smallest arm"):
        assign_log(early, design(unit="keen"))
    question = PlanQuestion(metric=BOUGHT, horizon_ms=HORIZON)
    with pytest.raises(QuestionError, match=r"The log spans 14.0 days.*shorter --horizon"):
        plan_log(early, replace(question, horizon_ms=13 * DAY), design(), Wanted())
    with pytest.raises(QuestionError, match="--days 90 was asked for"):
        plan_log(early, replace(question, days=90), design(), Wanted())
    with pytest.raises(ArraysError, match="outcome is the same for all"):
        plan_log(early, replace(question, metric=parse_metric("purchase:never")), design(), Wanted())
    with pytest.raises(QuestionError, match=r"purchase:\* is asked for twice"):
        questions(metrics=[BOUGHT, BOUGHT])


def test_revenue_without_prices_or_in_two_currencies(tmp_path):
    rows = [event(f"u{i}", 5 + i / 100, "purchase", item_id="i") for i in range(100)]
    question = PlanQuestion(metric=Metric("revenue", None), horizon_ms=DAY)
    log = write_shop(tmp_path / "a", rows, end_ms=20 * DAY)
    with pytest.raises(QuestionError, match="100 of 100 purchases have no price"):
        plan_log(log, question, design(entry="start", active_ms=None), Wanted())
    priced = [{**row, "price": 1.0, "currency": "EUR" if i % 2 else "USD"} for i, row in enumerate(rows)]
    log = write_shop(tmp_path / "b", priced, end_ms=20 * DAY)
    with pytest.raises(QuestionError, match="in 2 currencies"):
        plan_log(log, question, design(entry="start", active_ms=None), Wanted())
    ordered = write_shop(tmp_path / "c", priced, has_times=False)
    with pytest.raises(QuestionError, match="an order of events but no times"):
        plan_log(ordered, question, design(), Wanted())
