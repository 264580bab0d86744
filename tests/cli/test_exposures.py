"""``whybuy recommend`` on what exposure logs get wrong: from a file to words, nothing invented on the way.

The shop shows two of five items a day to forty users, drawn with known probabilities; whoever sees ``a`` or ``b`` buys
it more often. The stages that train and confirm are left out, so that no effect of a behavior is known.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from whybuy import pipeline
from whybuy.causal.scan import write_effects

ITEMS = list("abcde")
CONFIG = 'lookback = "1d"\n[[events]]\npath = "log.csv"\n'
COLUMNS = ["user_id", "ts", "action", "item_id", "propensity", "slot"]


def exposures(n_users: int = 40, n_days: int = 12) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = []
    for user in range(n_users):
        for day in range(n_days):
            ts = pd.Timestamp("2025-01-01") + pd.Timedelta(days=day, minutes=user)
            for place, item in enumerate(rng.permutation(ITEMS)[:2]):
                rows.append((f"u{user}", ts, "impression", item, 1 / (len(ITEMS) - place), place + 1))
                if rng.random() < {"a": 0.5, "b": 0.4}.get(item, 0.2):
                    bought = ts + pd.Timedelta(hours=1 + rng.random())
                    rows.append((f"u{user}", bought, "purchase", item, None, None))
    return pd.DataFrame(rows, columns=COLUMNS)


EVENTS = exposures()
SHOWN = EVENTS["action"] == "impression"


@pytest.fixture
def ask(call, shop: Path, monkeypatch):
    """Write a log, with items where there are any, and ask ``whybuy recommend``."""

    def no_effects(run: pipeline.Pipeline, folder: Path) -> None:
        write_effects([], folder / pipeline.EFFECTS)

    untrained = ("sequences", "model", "scan", "confirm")
    monkeypatch.setattr(
        pipeline,
        "STAGES",
        {
            name: replace(stage, build=no_effects) if name in untrained else stage
            for name, stage in pipeline.STAGES.items()
        },
    )

    def run(events: pd.DataFrame, *words: str, items: pd.DataFrame | None = None):
        events.to_csv(shop / "log.csv", index=False)
        config = CONFIG
        if items is not None:
            items.to_csv(shop / "items.csv", index=False)
            config += '[items]\npath = "items.csv"\n'
        (shop / "whybuy.toml").write_text(config, encoding="utf-8")
        return call("recommend", *words)

    return run


def test_unknown_users_get_a_cold_answer_that_says_so(ask, shop):
    (shop / "ids.txt").write_text("u1\nnobody\n", encoding="utf-8")
    one = ask(EVENTS, "--user", "nobody", "-k", "2")
    assert one.code == 0
    assert one.out.count("Nothing this user did is in the log, so this is the answer for anyone unknown.") == 2
    many = ask(EVENTS, "--users", "ids.txt", "-k", "2", "--output", "r.parquet")
    assert many.out == "4 recommendations: r.parquet\n"
    cold = (
        pd.read_parquet(shop / "r.parquet").groupby("user_id")["reason"].agg(lambda r: r.str.contains("Nothing").sum())
    )
    assert cold.to_dict() == {"u1": 0, "nobody": 2}


def test_items_that_only_the_log_or_only_the_catalog_knows_are_both_weighed(ask):
    items = pd.DataFrame({"item_id": ["a", "b", "new"], "category": ["x", "x", "y"]})
    found = ask(EVENTS, "--user", "u1", "-k", "6", "--json", items=items).json["items"]
    assert {item["item_id"] for item in found} == {*ITEMS, "new"}
    assert found[-1]["item_id"] == "new"
    assert found[-1]["lift"] is None
    assert "it was never shown" in found[-1]["reason"]


def test_without_impressions_there_is_no_value_of_a_policy_and_no_lift(ask):
    foretold = ask(EVENTS[~SHOWN], "--evaluate")
    assert foretold.code == 0
    assert "What policies would have earned cannot be told. The log has no impressions" in foretold.out
    assert "No ranking by P(buy): the log has neither views nor impressions" in foretold.out
    answer = ask(EVENTS[~SHOWN], "--user", "u1", "-k", "1")
    assert answer.code == 0
    assert "lift not known" in answer.out
    assert "neither views nor impressions with their probability of being shown" in answer.out


def test_without_any_propensity_rankings_are_held_against_what_was_bought(ask):
    foretold = ask(exposures(n_users=70).drop(columns="propensity"), "--evaluate")
    assert foretold.code == 0
    assert "None of 1,680 impressions has a propensity in (0, 1]" in foretold.out
    assert "This is prediction" in foretold.out
    assert "No impression has its probability of being shown: it was estimated from" in foretold.out


def with_propensities(*values: object) -> pd.DataFrame:
    """Return the log with every tenth impression's propensity replaced."""
    at = EVENTS.index[SHOWN][::10]
    changed = EVENTS["propensity"].astype(object)
    changed.loc[at] = [values[n % len(values)] for n in range(len(at))]
    return EVENTS.assign(propensity=changed)


def test_impossible_propensities_are_rejected_and_that_is_said(ask):
    events = with_propensities(0.0, 1.5, -1.0)
    said = "96 rows whose propensity is no probability in (0, 1] were rejected when read"
    evaluated = ask(events, "--evaluate")
    assert evaluated.code == 0
    assert said in evaluated.out
    assert said in ask(events, "--user", "u1").out


def test_missing_propensities_leave_their_slates_out_and_that_is_said(ask):
    events = with_propensities(None)
    evaluated = ask(events, "--evaluate")
    assert evaluated.code == 0
    assert "impressions in slates with a propensity that is missing, 0 or above 1" in evaluated.out
    assert "96 impressions have no probability of being shown" in ask(events, "--user", "u1").out


def test_with_nothing_in_stock_the_answer_is_empty_and_says_why(ask, shop):
    items = pd.DataFrame({"item_id": ITEMS, "available": False})
    why = "3 items were asked for; 0 of the 5 in the catalog are on sale."
    one = ask(EVENTS, "--user", "u1", "-k", "3", items=items)
    assert (one.code, one.out) == (0, f"Nothing can be recommended to u1.\n{why}\n")
    document = ask(EVENTS, "--user", "u1", "-k", "3", "--json", items=items)
    assert document.json == {"user_id": "u1", "items": []}
    assert why in document.err
    many = ask(EVENTS, "--all", "-k", "3", "--output", "r.parquet", items=items)
    assert many.out == f"0 recommendations: r.parquet\n{why}\n"
    assert why in ask(EVENTS, "--all", "-k", "3", "--output", "r.parquet", "--json", items=items).err


def test_more_than_the_catalog_is_all_of_it_and_that_is_said(ask):
    many = ask(EVENTS, "--all", "-k", "50", "--output", "r.parquet")
    assert (
        many.out == "200 recommendations: r.parquet\n50 items were asked for; 5 of the 5 in the catalog are on sale.\n"
    )


def values(evaluated) -> dict[str, float]:
    return {row["policy"]: row["value"] and row["value"]["estimate"] for row in evaluated.json["policies"]}


def test_duplicate_impressions_count_once(ask):
    twice = pd.concat([EVENTS, EVENTS[SHOWN].iloc[::3]])
    assert values(ask(twice, "--evaluate", "--json")) == values(ask(EVENTS, "--evaluate", "--json"))


def test_purchases_before_showing_are_no_reward_and_that_is_said(ask):
    early = EVENTS.assign(ts=EVENTS["ts"].where(SHOWN, EVENTS["ts"] - pd.Timedelta(hours=23)))
    answer = ask(early, "--evaluate")
    assert "had a purchase within 1d before and none after: that is no reward" in answer.out


def test_an_item_that_was_always_shown_has_no_lift_and_that_is_said(ask):
    first = EVENTS[EVENTS["slot"] != 2]
    banner = first[first["action"] == "impression"].assign(item_id="banner", propensity=1.0, slot=2)
    events = pd.concat([first, banner])
    found = {item["item_id"]: item for item in ask(events, "--user", "u1", "-k", "6", "--json").json["items"]}
    assert found["banner"]["lift"] is None
    assert "it was shown every time, so there is nothing to compare with" in found["banner"]["reason"]
    assert found["a"]["lift"] is not None
    assert "In every slate: 1 item (banner). What showing them adds cannot be told" in ask(events, "--evaluate").out


def test_slates_without_slots_cannot_be_judged_and_lifts_say_how_they_were_read(ask):
    events = EVENTS.drop(columns="slot")
    refused = ask(events, "--evaluate")
    assert refused.code == 2
    assert "No slate can be judged (960 impressions in slates of several items without slots" in refused.err
    answer = ask(events, "--user", "u1")
    assert "960 impressions are of slates of several items without slots" in answer.out


def test_where_only_what_was_shown_is_logged_its_chances_are_estimated_and_that_is_said(ask):
    many = exposures(n_users=60)
    bare = many.drop(columns="propensity")
    answer = ask(bare, "--user", "u1", "-k", "5")
    assert "No impression has its probability of being shown: it was estimated from" in answer.out
    assert "100% of what was shown could have been left out" in answer.out
    estimated = {item["item_id"]: item for item in ask(bare, "--user", "u1", "-k", "5", "--json").json["items"]}
    logged = {item["item_id"]: item for item in ask(many, "--user", "u1", "-k", "5", "--json").json["items"]}
    assert {item["basis"] for item in estimated.values()} == {"impression"}
    assert [estimated[i]["lift"] for i in ITEMS] == pytest.approx([logged[i]["lift"] for i in ITEMS], abs=0.05)


def test_where_the_same_is_shown_whatever_happens_chances_are_not_estimated(ask):
    many = exposures(n_users=60)
    fixed = many.assign(
        item_id=many["item_id"].where(many["action"] != "impression", many["slot"].map({1: "a", 2: "b"}))
    )
    answer = ask(fixed.drop(columns="propensity"), "--user", "u1", "-k", "1")
    assert answer.code == 0
    assert "only 0% could have been left out: the same is shown whatever happens" in answer.out
