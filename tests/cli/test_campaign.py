"""``whybuy campaign`` on small shops: whom it moves, whom to send it to, and everything that is refused."""

import re
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.campaign.shops import event, moved_events, targeted_events, tiers, write_shop
from tests.cli.conftest import SPRING
from whybuy import columns as c
from whybuy import pipeline as module
from whybuy.campaign.uplift import uplift
from whybuy.causal.effects import Estimate
from whybuy.events.log import EventLog

CONFIG = '[[events]]\npath = "log.csv"\n'


@pytest.fixture
def ask(call, tmp_path: Path, monkeypatch):
    """Ask the command about a log as the reader leaves it; the model is not asked, and one learner is tried."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "log.csv").write_text("user_id,ts,action\n", encoding="utf-8")

    def nothing(run: object, folder: Path) -> None:
        pass

    stages = {
        name: stage if name == "campaign" else replace(stage, build=nothing) for name, stage in module.STAGES.items()
    }
    monkeypatch.setattr(module, "STAGES", stages)
    monkeypatch.setattr("whybuy.pipeline.Pipeline.forecaster", None)
    monkeypatch.setattr("whybuy.campaign.by_person.uplift", partial(uplift, learners=("dr",)))

    def run(log: EventLog, *words: str, config: str = "", first: str = ""):
        (tmp_path / "whybuy.toml").write_text(f"{first}{CONFIG}{config}", encoding="utf-8")
        monkeypatch.setattr("whybuy.pipeline.Pipeline.log", log)
        return call("campaign", *words)

    return run


@pytest.fixture(scope="module")
def letters(tmp_path_factory) -> EventLog:
    """A letter that moves gold people and puts the others off."""
    return write_shop(
        tmp_path_factory.mktemp("letters") / "shop", moved_events(np.random.default_rng(3)), users=tiers()
    )


def test_whom_it_moves(ask, letters, conforms):
    answer = ask(letters, "spring", "--json")
    conforms(answer.json, "campaign")
    found = answer.json["uplift"]
    assert found["qini_low"] > 0
    assert found["auuc"] == pytest.approx(found["qini"] + found["average"]["estimate"] / 2)
    assert found["deciles"][0]["ci_low"] > 0 > found["deciles"][-1]["effect"]
    assert found["sleeping_dogs"]["found"]
    assert found["at"][-1]["gain"] == pytest.approx(found["average"]["estimate"])
    assert found["counted"]["qini"]["estimate"] > 0
    assert (
        found["revenue"]["average"]["ci_low"]
        < 10 * found["average"]["estimate"]
        < found["revenue"]["average"]["ci_high"]
    )
    assert found["margin"] is None
    assert "(--budget N) and what sending it to one person costs (--cost C" in answer.json["policy"]["needed"]


def test_margin_is_a_share_of_revenue_that_the_config_says(ask, letters):
    found = ask(letters, "spring", "--json", config="[campaign]\nmargin = 0.25\n").json["uplift"]
    assert found["margin"]["average"]["estimate"] == pytest.approx(found["revenue"]["average"]["estimate"] / 4)


def test_whom_to_send_to(ask, letters, tmp_path, conforms):
    answer = ask(letters, "spring", "--budget", "200", "--cost", "0.5", "--output", "send.parquet", "--json")
    conforms(answer.json, "campaign")
    policy = answer.json["policy"]
    assert policy["send"] == {"letter": 400}
    assert policy["spent"] == pytest.approx(200)
    by_name = {row["policy"]: row for row in policy["compared"]}
    assert by_name["plan"]["ci_low"] > 0
    assert by_name["plan"]["estimate"] > by_name["at random"]["estimate"] > 0
    assert policy["over_random"]["ci_low"] > 0
    assert "Whom it is sent to matters" in " ".join(policy["decision"])
    assert any("tier is" in line and "send it" in line for line in policy["rule"]["words"])
    people = pd.read_parquet(tmp_path / "send.parquet")
    assert list(people.columns) == ["user_id", "send", "effect", "tenth_low", "tenth_high", "value", "cost", "reason"]
    assert len(people) == 1_600
    sent = people[people["send"] == "letter"]
    assert (len(sent), sent["cost"].unique().tolist()) == (400, [0.5])
    assert (sent["user_id"].str[-1].astype(int) % 2 == 1).mean() > 0.95


def test_a_rule_says_which_protected_attributes_it_left_out(ask, letters):
    words = ("spring", "--budget", "200", "--cost", "0.5", "--json")
    rule = ask(letters, *words, config="", first='protected = ["tier"]\n').json["policy"]["rule"]["words"]
    assert rule[-1] == "Left out of the words because protected: tier."
    assert not any("tier is" in line for line in rule)


def test_in_words(ask, letters):
    out = ask(letters, "spring", "--budget", "200", "--cost", "0.5").out
    assert "by tenth of the people" in out
    assert "Send spring to 400 of 1,600 people, for 200.00 of 200.00." in out
    assert re.search(r"The plan itself promises \+[\d.]+: .*; trust the people who taught nothing", out)
    assert "Whether that pays takes what one more person with the outcome is worth (--value V)." in out
    assert "a rule for whom it is worth sending to" in out


def test_with_a_value_nobody_is_sent_what_costs_more_than_it_brings(ask, letters):
    policy = ask(letters, "spring", "--budget", "5000", "--cost", "1", "--value", "20", "--json").json["policy"]
    assert policy["unit"] == "money"
    assert 600 < policy["send"]["letter"] < 1_000
    assert "The budget is larger than needed" in policy["flags"][0]
    assert policy["left_over"] == pytest.approx(5000 - policy["send"]["letter"])
    shares = {row["policy"]: row["share_sent"] for row in policy["compared"]}
    assert shares["at random"] == pytest.approx(shares["plan"])
    assert shares["likeliest to buy"] == pytest.approx(shares["plan"], abs=0.002)


def test_a_budget_of_nothing_sends_nothing(ask, letters):
    policy = ask(letters, "spring", "--budget", "0", "--cost", "1", "--json").json["policy"]
    assert policy["send"] == {"letter": 0}
    assert policy["decision"][0] == "The budget is 0, so nobody is sent anything."


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--cost", "0", "--budget", "5"), "--cost 0. Needed: an amount of money above 0"),
        (("--cost", "-2", "--budget", "5"), "--cost -2"),
        (("--value", "0"), "--value 0"),
        (("--budget", "-1", "--cost", "1"), "--budget -1. Needed: an amount of money of at least 0"),
        (("--output", "f.parquet"), "There is no plan to write. To say whom to send it to, it takes"),
        (("--horizon", "90d"), "more than the horizon of 90d"),
    ],
)
def test_amounts_that_make_no_sense_are_exit_2(ask, letters, words, message):
    answer = ask(letters, "spring", *words)
    assert answer.code == 2
    assert message in answer.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("sprng",), "Did you mean 'spring'?"),
        (("spring", "--outcome", "purchas:shoes"), "Did you mean 'purchase'?"),
        (("spring", "--horizon", "7x"), "'7x' is not a duration"),
        (("spring", "--horizon", "90d"), "more than the horizon of 90d"),
        (("spring", "--output", "f.parquet"), "There is no plan to write."),
        (("--budget", "5"), "No campaign of the log has a cost"),
    ],
)
def test_a_slip_is_refused_before_anything_is_trained_or_read(ask, letters, monkeypatch, words, message):
    def read(log: EventLog) -> None:
        pytest.fail("assignments were read")

    if "--output" not in words:
        monkeypatch.setattr("whybuy.campaign.assignments.read_assignments", read)
    answer = ask(letters, *words)
    assert (answer.code, "model" in answer.err) == (2, False)
    assert message in answer.err


def test_a_slip_loads_neither_learners_nor_tables():
    """Another process, since this one has loaded everything."""
    code = "import sys, whybuy.cli.app, whybuy.campaign.asked, whybuy.campaign.question; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"duckdb", "numpy", "pandas", "scipy", "sklearn", "torch"} & set(loaded)


def test_costs_in_the_config_below_0_and_unknown_keys_are_exit_2(ask, letters):
    answer = ask(letters, "spring", config="[campaign.offers.spring]\ncost = -1\n")
    assert (answer.code, "greater than 0" in answer.err) == (2, True)
    answer = ask(letters, "spring", config="[campaign.offers.spring]\ncots = 1\n")
    assert (answer.code, "did you mean 'cost'?" in answer.err) == (2, True)


def test_an_observational_campaign_says_what_it_assumes_and_counts_nothing(ask, tmp_path):
    log = write_shop(tmp_path / "shop", targeted_events(np.random.default_rng(5), n_users=1_500, effect=0.3))
    answer = ask(log, "letter", "--json")
    assert answer.json["kind"] == "targeted"
    assert answer.json["uplift"]["counted"] is None
    assert any("Unconfoundedness assumed" in reason for reason in answer.json["reasons"])
    assert "Unconfoundedness assumed" in ask(log, "letter", "--budget", "50", "--cost", "0.5").out


def test_no_overlap_is_refused(ask, tmp_path):
    """Whoever looked around often was sent it, and nobody else."""
    rng = np.random.default_rng(1)
    events = []
    for i in range(800):
        keen = i % 2 == 0
        days = rng.uniform(0, 30, 25 if keen else 1)
        events += [event(f"u{i:03d}", day, "view", item_id="i1") for day in days]
        arm = "letter" if keen else "control"
        events.append(event(f"u{i:03d}", 35, "campaign", campaign_id="spring", arm=arm))
        events += [event(f"u{i:03d}", 36, "purchase", item_id="i1")] * int(rng.random() < 0.4)
    log = write_shop(tmp_path / "shop", [*events, event("u000", 45, "view", item_id="i1")])
    answer = ask(log, "spring", "--json")
    assert answer.json["uplift"]["qini"] is None
    assert "No overlap" in answer.json["uplift"]["refused"]
    assert answer.json["verdict"] == "cannot_tell"


def test_an_arm_of_few_people_is_refused(ask, tmp_path):
    log = write_shop(tmp_path / "shop", moved_events(np.random.default_rng(2), n_users=150), users=tiers(150))
    answer = ask(log, "spring", "--budget", "10", "--cost", "1", "--json")
    assert "at least 100 are needed in each" in answer.json["uplift"]["refused"]
    assert answer.json["policy"]["refused"] == answer.json["uplift"]["refused"]
    assert "Whom to send it to is not told." in ask(log, "spring", "--budget", "10", "--cost", "1").out


def test_an_outcome_that_is_missing_for_one_arm_is_refused(ask, tmp_path):
    events = moved_events(np.random.default_rng(2), n_users=600)
    held = set(events.loc[events[c.ARM] == "control", c.USER])
    log = write_shop(tmp_path / "shop", events[~(events[c.USER].isin(held) & (events[c.ACTION] == "purchase"))])
    answer = ask(log, "spring", "--json")
    assert answer.json["verdict"] == "cannot_tell"
    assert "0 of the others had the outcome" in answer.json["uplift"]["refused"]
    assert "See whether the outcome was logged for both." in answer.json["uplift"]["refused"]


def test_a_split_that_is_off_stops_verdict_uplift_and_plan(ask, tmp_path):
    events = moved_events(np.random.default_rng(2), n_users=800)
    lost = set(events.loc[events[c.ARM] == "control", c.USER].iloc[:150])
    log = write_shop(tmp_path / "shop", events[~events[c.USER].isin(lost)])
    answer = ask(log, "spring", "--budget", "10", "--cost", "1", "--json")
    assert answer.json["verdict"] == "cannot_tell"
    assert "sample-ratio alarm" in answer.json["uplift"]["refused"]
    assert "sample-ratio alarm" in answer.json["policy"]["refused"]


def test_several_arms_are_offers_of_their_own(ask, tmp_path):
    """A call moves gold people twice as much as a letter, at ten times the cost."""
    rng, n = np.random.default_rng(9), 1_800
    arm = rng.choice(["control", "letter", "call"], n)
    gold = np.arange(n) % 2 == 1
    buys = rng.random(n) < 0.2 + gold * (0.25 * (arm == "letter") + 0.5 * (arm == "call"))
    events = [event(f"u{i:05d}", day, "view", item_id="i1") for i in range(n) for day in rng.uniform(0, 30, 2)]
    events += [event(f"u{i:05d}", 35, "campaign", campaign_id="spring", arm=arm[i], propensity=1 / 3) for i in range(n)]
    events += [event(f"u{i:05d}", 37, "purchase", item_id="i1", price=10.0) for i in np.flatnonzero(buys)]
    log = write_shop(tmp_path / "shop", [*events, event("u00000", 46, "view", item_id="i1")], users=tiers(n))
    config = "[campaign.offers.spring]\ncost = {letter = 0.5, call = 5.0}\nvalue = 20.0\n"
    policy = ask(log, "spring", "--budget", "400", "--json", config=config).json["policy"]
    assert set(policy["send"]) == {"call", "letter"}
    assert policy["send"]["letter"] > policy["send"]["call"]
    assert policy["compared"][0]["ci_low"] > 0
    answer = ask(log, "spring", "--budget", "400", config="[campaign.offers.spring]\ncost = {letter = 0.5}\n")
    assert (answer.code, "has no cost for call" in answer.err) == (2, True)


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> EventLog:
    """Two letters to the same people; both were drawn on their own."""
    first = moved_events(np.random.default_rng(3))
    second = moved_events(np.random.default_rng(4), campaign="summer")
    second[c.TIME_MS] += 12 * 86_400_000
    return write_shop(tmp_path_factory.mktemp("two") / "shop", pd.concat([first, second]), users=tiers())


OFFERS = """
[campaign]
per_person = 2
[campaign.offers.spring]
cost = 0.5
channel = "mail"
[campaign.offers.summer]
cost = 1.0
channel = "mail"
"""


def test_a_budget_over_all_campaigns(ask, two, tmp_path, conforms):
    answer = ask(two, "--budget", "300", "--json", "--output", "send.parquet", config=OFFERS)
    conforms(answer.json, "portfolio")
    found = answer.json
    assert {offer["offer"] for offer in found["offers"]} == {"spring", "summer"}
    assert found["spent"] <= 300
    assert found["offers"][0]["send"] > found["offers"][1]["send"]
    assert found["next_unit"]["spring"] + found["next_unit"]["summer"] == pytest.approx(1)
    people = pd.read_parquet(tmp_path / "send.parquet")
    assert list(people.columns) == ["user_id", "send", "cost"]
    assert people["cost"].sum() == pytest.approx(found["spent"])
    assert (
        sum(line.startswith("Trust what they say, whose outcomes no forecast has seen") for line in found["decision"])
        == 1
    )


def test_plans_are_drawn(ask, letters, two, tmp_path):
    ask(letters, "spring", "--budget", "200", "--cost", "0.5", "--picture", "one.html")
    ask(two, "--budget", "300", "--picture", "all.html", config=OFFERS)
    assert "what each campaign adds and takes" in (tmp_path / "all.html").read_text(encoding="utf-8")
    assert "likeliest to buy" in (tmp_path / "one.html").read_text(encoding="utf-8")
    answer = ask(letters, "spring", "--picture", "one.html")
    assert (answer.code, "Leave --output and --picture away" in answer.err) == (2, True)


def test_a_channel_s_limit_per_person_holds(ask, two, tmp_path):
    config = f"{OFFERS}[campaign.channels.mail]\nper_person = 1\n"
    ask(two, "--budget", "900", "--output", "send.parquet", config=config)
    assert pd.read_parquet(tmp_path / "send.parquet")["user_id"].is_unique


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("", "No campaign of the log has a cost in whybuy.toml"),
        (f"{OFFERS}value = 10.0\n", "spring has no value, others have one"),
    ],
)
def test_what_cannot_be_planned_together_is_exit_2(ask, two, config, message):
    answer = ask(two, "--budget", "300", config=config)
    assert answer.code == 2
    assert message in answer.err


def test_options_of_one_campaign_without_its_name_are_exit_2(ask, letters):
    answer = ask(letters, "--cost", "1")
    assert (answer.code, "--cost was given without a campaign" in answer.err) == (2, True)


def test_all_campaigns(ask, letters, conforms):
    answer = ask(letters, "--json")
    conforms(answer.json, "campaigns")
    assert ask(letters).out.splitlines()[1].split()[:4] == ["spring", "randomized", "purchase:*", "7d"]


def test_another_outcome_and_horizon_are_answered_now(ask, letters, conforms):
    answer = ask(letters, "spring", "--outcome", "purchase:item=i1", "--horizon", "5d", "--json")
    conforms(answer.json, "campaign")
    assert (answer.json["outcome"], answer.json["horizon"]) == ("purchase:item=i1", "5d")
    assert answer.json["uplift"]["qini_low"] > 0


def test_a_log_without_campaigns_says_so_before_anything_is_trained(ask, tmp_path):
    log = write_shop(tmp_path / "shop", [event("a", day, "view", item_id="i1") for day in range(20)])
    answer = ask(log)
    assert answer.out.startswith("The log has no campaign")
    assert "model" not in answer.err


def test_what_is_told_beside_the_effect(ask, letters):
    out = ask(letters, "spring").out
    assert "by time since it was sent:" in out
    assert "days 7-14" in out


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (("campaign", "spring", "--budget", "5", "--output", "list.csv"), "list.parquet"),
        (("campaign", "spring", "--budget", "5", "--picture", "plan.png"), "plan.html"),
        (("recommend", "--all", "--output", "list.docx"), "list.parquet"),
        (("profile", "--output", "list"), "list.parquet"),
        (("prices", "--picture", "prices.svg"), "prices.html"),
    ],
)
def test_a_file_named_like_another_format_is_refused_at_once(call, shop, words, name):
    answer = call(*words)
    assert answer.code == 2
    assert f"Name it {name}" in answer.err


def test_the_list_says_where_one_campaign_by_itself_may_say_more(call, shop, stages, letters, monkeypatch):
    """Of the two only the first has p < .05 <= q."""
    told = Estimate.of("ate", 0.05, 0.02)
    found = [
        SPRING | {"campaign": name, "verdict": "cannot_tell", "effect": replace(effect, q_value=q).to_json()}
        for name, effect, q in (("2", told, 0.06), ("10", Estimate.of("ate", 0.01, 0.02), 0.6))
    ]
    monkeypatch.setattr("whybuy.pipeline.Pipeline.log", letters)
    monkeypatch.setattr("whybuy.cli.campaign._known_campaigns", lambda pipeline: found)
    out = call("campaign").out
    assert "2: cannot_tell, since of 2 campaigns judged together some look good by chance (q-value)" in out
    assert "10: cannot_tell" not in out
    found[0]["effect"]["q_value"] = 0.04
    assert "judged together" not in call("campaign").out
