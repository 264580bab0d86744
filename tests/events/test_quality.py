import json
from dataclasses import replace
from pathlib import Path

import pytest

from whybuy.config import config_from_dict
from whybuy.events.quality import Quality, capabilities

DAY = 86_400_000
START = 1_704_067_200_000  # 2024-01-01
SHOP = Quality(
    rows_read=1_012,
    rows_kept=1_000,
    duplicates_merged=5,
    rejected={"no user id": 4, "test account": 3},
    actions={"view": 700, "purchase": 300},
    n_users=90,
    n_items=40,
    n_categories=6,
    n_sessions=200,
    n_moments=950,
    first_ms=START,
    last_ms=START + 31 * DAY,
    start_ms=START,
    end_ms=START + 30 * DAY,
    q01_ms=START,
    q99_ms=START + 29 * DAY,
    has_times=True,
    longest_gap_ms=5 * 3_600_000,
    campaigns=["spring"],
    columns_present=["user_id", "ts", "action", "item_id", "price"],
    notes=["shop.csv: dates such as 12/31/2010 are read month first"],
)
CONFIG = config_from_dict({"events": [{"path": "shop.csv"}]}, base=Path())


def told(part, config=CONFIG, **changes):
    found = {one.part: one for one in capabilities(replace(SHOP, **changes), config)}[part]
    return found.can, found.why


def test_quality_survives_json():
    assert Quality.from_json(json.loads(json.dumps(SHOP.to_json()))) == SHOP


def test_summary_tells_where_the_rows_went_and_what_the_log_holds():
    assert SHOP.summary() == (
        "rows: 1,012 read = 1,000 kept + 5 duplicates merged + 7 rejected\n"
        "  rejected: 4 no user id\n"
        "  rejected: 3 test account\n"
        "actions: view 700, purchase 300\n"
        "users 90, items 40, categories 6, sessions 200, moments 950\n"
        "times: 2024-01-01 00:00 to 2024-02-01 00:00 UTC\n"
        "observed window: 2024-01-01 00:00 to 2024-01-31 00:00 UTC (30.0 days)\n"
        "longest time without an event: 5.0 hours\n"
        "campaigns: spring\n"
        "note: shop.csv: dates such as 12/31/2010 are read month first"
    )
    assert "times: none, an order only" in replace(SHOP, has_times=False, longest_gap_ms=None).summary()


def test_the_frame_adds_up_to_the_rows_read():
    frame = SHOP.to_frame()
    assert frame["rows"].sum() == SHOP.rows_read
    assert frame["fate"].tolist() == ["kept", "merged", "rejected", "rejected"]


@pytest.mark.parametrize(
    ("changes", "can", "why"),
    [
        ({}, True, "300 purchases of 90 users in 30.0 days"),
        ({"has_times": False}, False, "an order but no times, so every causal question is refused"),
        ({"actions": {"view": 9}}, False, "no purchases, so there is no outcome to cause"),
        ({"actions": {"purchase": 300}}, True, "a further purchase can be asked about"),
        ({"end_ms": START + 3 * DAY}, False, "3.0 days, shorter than lookback 7d plus horizon 7d"),
        ({"n_users": 29}, False, "29 users, at least 30 are needed"),
        ({"actions": {"view": 900, "purchase": 46}}, True, "so few purchases that most answers will be cannot_tell"),
    ],
)
def test_causal_effects(changes, can, why):
    found = told("causal effects", **changes)
    assert found[0] is can
    assert why in found[1]


def test_a_horizon_longer_than_the_log_is_named():
    config = config_from_dict({"events": [{"path": "x.csv"}], "horizons": ["1d", "28d"]}, base=Path())
    can, why = told("causal effects", config)
    assert can
    assert "not within 28d" in why


@pytest.mark.parametrize(
    ("changes", "can", "why"),
    [
        ({"campaigns": []}, False, "no event names a campaign"),
        ({}, False, "no event says who was sent one"),
        ({"actions": {"campaign": 5}}, True, "without arms: others at comparable moments compare"),
        ({"actions": {"campaign": 5}, "columns_present": ["arm"]}, True, "1 campaigns, with arms"),
        ({"has_times": False}, False, "without times"),
    ],
)
def test_campaigns(changes, can, why):
    found = told("campaigns", **changes)
    assert found[0] is can
    assert why in found[1]


@pytest.mark.parametrize(
    ("changes", "can", "why"),
    [
        ({}, True, "no impressions: lift of 40 items is by view, at most suggestive"),
        ({"actions": {"impression": 5}}, True, "lift by impression of 40 items"),
        ({"actions": {"purchase": 5}}, True, "neither impressions nor views"),
        ({"n_items": 0}, False, "no event names an item"),
    ],
)
def test_recommendations(changes, can, why):
    found = told("recommendations", **changes)
    assert found[0] is can
    assert why in found[1]


def test_parts_that_need_columns():
    logged = {"columns_present": ["session_id", "query", "propensity", "text", "quantity", "price"]}
    assert told("sessions") == (True, "200 sessions, cut at gaps of 30m: the log names none")
    assert told("sessions", **logged) == (True, "200 sessions, as logged")
    assert told("sessions", has_times=False) == (False, "neither times nor session ids: a user is one session")
    assert told("search") == (False, "no searches")
    assert told("search", actions={"search": 3}) == (True, "3 searches without queries: search:* only")
    assert told("search", actions={"search": 3}, **logged) == (True, "3 searches with their queries")
    assert told("off-policy evaluation") == (False, "no impressions with propensities")
    assert told("off-policy evaluation", actions={"impression": 3}, **logged)[0]
    assert told("categories") == (True, "6 categories")
    assert told("categories", n_categories=0) == (False, "no categories: behaviors are about single items")
    assert told("prices") == (True, "prices without quantities: a purchase is one unit")
    assert told("prices", columns_present=[])[0] is False
    assert told("reviews") == (False, "no reviews")
    assert told("reviews", actions={"review": 2, "rating": 1}, **logged) == (True, "3 reviews and ratings, with texts")


def test_protected_attributes():
    config = config_from_dict({"events": [{"path": "x.csv"}], "protected": ["age"]}, base=Path())
    assert told("protected attributes", config, attributes=["age"]) == (True, "fairness is audited by age")
    assert told("protected attributes", attributes=["age", "city"])[1] == (
        "name one of age, city under protected in whybuy.toml"
    )
    assert told("protected attributes") == (False, "the log has no user attributes")


def test_a_capability_says_itself_in_a_line():
    first = capabilities(SHOP, CONFIG)[0]
    assert first.summary() == "can: causal effects: 300 purchases of 90 users in 30.0 days"
    assert first.to_json() == {"part": "causal effects", "can": True, "why": "300 purchases of 90 users in 30.0 days"}
