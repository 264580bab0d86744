"""Purchases moved from one shelf to another, and how long what a campaign adds lasts."""

import numpy as np
import pandas as pd
import pytest

from tests.campaign.shops import DAY, config, event, write_shop
from whybuy import columns as c
from whybuy.campaign import analyze_campaigns
from whybuy.campaign.followup import Counted, followups
from whybuy.errors import ColumnsError, ConfigError
from whybuy.events.behaviors import parse_behavior

ITEMS = pd.DataFrame({c.ITEM: ["tea1", "tea2", "mug"], c.CATEGORY: ["tea", "tea/green", "mugs"], c.BRAND: [None] * 3})
SPRING = {"randomized": ["spring"]}


def swap(folder, *, seed: int = 0, n: int = 1_200, coupons: bool = False):
    """Everybody buys one thing, and a third of the sent take tea instead of their mug."""
    rng = np.random.default_rng(seed)
    events = [event("zz", 0, "view"), event("zz", 30, "view")]
    for i in range(n):
        user, sent = f"u{i:04d}", rng.random() < 0.5
        events.append(event(user, 10, "campaign", campaign_id="spring", arm="coupon" if sent else "control"))
        takes_tea = rng.random() < (0.2 + sent / 3)
        if rng.random() < 0.7:
            events.append(event(user, 11, "purchase", item_id="tea2" if takes_tea else "mug", price=3.0))
            if coupons and sent and takes_tea:
                events.append(event(user, 11, "redeem", item_id="tea2", campaign_id="spring"))
    return write_shop(folder, events, items=ITEMS)


def spillover(log, **more):
    return analyze_campaigns(log, config(campaign={**SPRING, **more}))[0].further.spillover


def test_what_is_moved_is_not_added(tmp_path):
    """Gross +.7/3, the mugs lose as much, net nothing: the promoted category alone would call it a success."""
    found = spillover(swap(tmp_path), promoted={"spring": ["tea"]})
    gross, others, net = (line.effect for line in found.purchases)
    assert [line.name for line in found.purchases] == ["tea", "everything else", "net"]
    assert gross.ci_low > 0.1
    assert gross.ci_low < 0.7 / 3 < gross.ci_high
    assert others.ci_high < -0.1
    assert net.ci_low < 0 < net.ci_high
    assert gross.estimate + others.estimate == pytest.approx(net.estimate, abs=1e-12)
    assert [line.effect.estimate for line in found.money] == pytest.approx(
        [3 * e.estimate for e in (gross, others, net)]
    )
    assert found.known_by == "config"
    assert found.notes()[0].startswith("Purchases of tea change by +2")


def test_the_strongest_category_is_found_on_other_users(tmp_path):
    found = spillover(swap(tmp_path, seed=1))
    assert found.known_by == "strongest"
    assert found.promoted in ("tea", "tea/green", "mugs")
    assert 400 < found.purchases[0].n < 800
    assert "found on the other half of the users" in found.notes()[0]


def test_items_of_redemptions_are_promoted(tmp_path):
    found = spillover(swap(tmp_path, coupons=True))
    assert (found.known_by, found.promoted) == ("redemptions", "the 1 items of its redemptions")
    assert found.purchases[0].effect.ci_low > 0.1


def test_a_table_of_coupons_says_what_is_promoted(tmp_path):
    table = pd.DataFrame({"campaign": ["spring", "spring", "other"], "product": ["tea1", "tea2", "mug"]})
    table.to_parquet(tmp_path / "coupons.parquet")
    columns = {c.CAMPAIGN: "campaign", c.ITEM: "product"}
    path = str(tmp_path / "coupons.parquet")
    found = spillover(swap(tmp_path / "shop"), coupons={"path": path, "columns": columns})
    assert (found.known_by, found.promoted) == ("coupons", "the 2 items of its coupons")
    with pytest.raises(ColumnsError, match="campaign_id"):
        spillover(swap(tmp_path / "again"), coupons={"path": path})
    with pytest.raises(ConfigError, match="column of the table of coupons"):
        config(campaign={"coupons": {"path": path, "columns": {"coupon": "campaign"}}})


def test_a_log_without_categories_has_no_spillover(tmp_path):
    events = [event("zz", 0, "view"), event("zz", 30, "view")]
    for i in range(200):
        events.append(event(f"u{i}", 10, "campaign", campaign_id="spring", arm=("a", "control")[i % 2]))
        if i % 3:
            events.append(event(f"u{i}", 11, "purchase", item_id="tea1"))
    assert spillover(write_shop(tmp_path, events)) is None


def test_a_category_that_few_buy_leaves_it_open(tmp_path):
    found = spillover(swap(tmp_path, n=100), promoted={"spring": ["tea/green/matcha"]})
    assert found.why == "Only 0 of the people sent it had the outcome; 20 are needed."
    assert found.notes() == []


def test_effects_by_time_add_what_was_brought_forward(tmp_path):
    """Two of five sent buy on day 10 instead of day 15: good in the first days, bad in the next, nothing in all."""
    events = [event("zz", 0, "view"), event("zz", 30, "view")]
    for i in range(1_000):
        user, sent = f"u{i:04d}", i % 2 == 0
        events.append(event(user, 10, "campaign", campaign_id="spring", arm="coupon" if sent else "control"))
        day = (10.5, 12, 15, 15, 15, 15, 15, 15, 20, 20)[i // 2 % 10]
        early = sent and day == 15 and i // 20 % 5 < 2
        events.append(event(user, 10.5 if early else day, "purchase", item_id="mug"))
    result = analyze_campaigns(write_shop(tmp_path, events), config(campaign=SPRING))[0]
    lines = {line.name: line for line in result.further.over_time}
    assert list(lines) == ["days 0-1", "days 1-3", "days 3-7", "days 7-14"]
    assert lines["days 0-1"].effect.ci_low > 0.1
    assert lines["days 3-7"].effect.ci_high < -0.1
    assert lines["days 1-3"].p_holm > 0.05
    assert result.effect.estimate == pytest.approx(0, abs=1e-9)
    (drawn,) = result.further.plot().data
    assert list(drawn.x) == [line.effect.estimate for line in lines.values()]


def test_a_window_that_the_log_does_not_see_to_its_end_has_no_people(tmp_path):
    result = analyze_campaigns(swap_short(tmp_path), config(campaign=SPRING))[0]
    last = result.further.over_time[-1]
    assert (last.n, last.effect.estimate) == (0, None)


def swap_short(folder):
    events = [event("zz", 0, "view"), event("zz", 18, "view")]
    for i in range(200):
        events.append(event(f"u{i}", 10, "campaign", campaign_id="spring", arm=("a", "control")[i % 2]))
        if i % 3:
            events.append(event(f"u{i}", 11, "purchase", item_id="tea1"))
    return write_shop(folder, events)


def test_what_follows_is_counted_by_hand(tmp_path):
    """A basket is one moment, dated by its first line; the border of a window belongs to it."""
    events = [
        event("a", 1, "purchase", item_id="tea1", price=2.0, quantity=3),
        event("a", 2, "purchase", item_id="tea2", order_id="o1", price=1.0),
        event("a", 2.5, "purchase", item_id="mug", order_id="o1"),
        event("b", 9, "view"),
    ]
    rows = pd.DataFrame({c.USER: ["b", "a", "a"], c.TIME_MS: [0, DAY, 0]})
    asked = [
        Counted(parse_behavior("purchase:*"), 0, DAY),
        Counted(parse_behavior("purchase:tea"), 0, 5 * DAY),
        Counted(parse_behavior("purchase:tea"), 0, 5 * DAY, money=True),
        Counted(parse_behavior("purchase:*"), 0, 5 * DAY, among_items=True),
    ]
    found = followups(
        write_shop(tmp_path, events, items=ITEMS), rows, asked, items=ITEMS[ITEMS[c.ITEM] == "mug"][[c.ITEM]]
    )
    assert found.tolist() == [[0, 0, 0, 0], [2, 1, 1, 1], [1, 2, 7, 1]]
