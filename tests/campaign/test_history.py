"""Covariates strictly before, outcomes strictly after."""

import numpy as np
import pandas as pd
import pytest

from tests.campaign.shops import DAY, event, write_shop
from whybuy import columns as c
from whybuy.campaign.history import Window, history_of
from whybuy.events.behaviors import parse_behavior

ITEMS = pd.DataFrame({c.ITEM: ["i1", "i2"], c.CATEGORY: ["shoes/boots", "bags"], c.BRAND: ["acme", None]})
EVENTS = [
    event("a", 1, "view", item_id="i1"),
    event("a", 9, "purchase", item_id="i1", price=5.0, quantity=2),
    event("a", 10, "campaign", campaign_id="spring"),
    event("a", 12, "purchase", item_id="i2", price=3.0),
    event("b", 10, "view", item_id="i2"),
    event("b", 17, "purchase", item_id="i1"),
    event("b", 17.1, "purchase", item_id="i1"),
    event("d", 20, "campaign", campaign_id="summer"),
    event("d", 25, "view"),
]
ROWS = pd.DataFrame({c.USER: ["d", "a", "b"], c.TIME_MS: [20 * DAY, 10 * DAY, 10 * DAY]})


@pytest.fixture
def shop(tmp_path):
    users = pd.DataFrame({c.USER: ["a", "b", "d"], "tier": ["gold", None, "basic"]})
    return write_shop(tmp_path, EVENTS, items=ITEMS, users=users)


def history(shop, outcome="purchase:*", *, days=7, rows=ROWS):
    return history_of(shop, rows, Window(parse_behavior(outcome), round(days * DAY)))


def column(found, name):
    return np.expm1(found.X[:, found.names.index(name)]).tolist()


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        ("purchase:*", [False, True, True]),
        ("purchase:shoes", [False, False, True]),
        ("purchase:bags", [False, True, False]),
        ("purchase:item=i1", [False, False, True]),
        ("purchase:brand=acme", [False, False, True]),
        ("view:*", [True, False, False]),
    ],
)
def test_the_outcome_is_after_the_moment_and_within_the_horizon(shop, outcome, expected):
    assert history(shop, outcome).outcome.tolist() == expected


def test_the_end_of_the_horizon_counts_and_the_moment_itself_does_not(shop):
    assert history(shop, days=6.9).outcome.tolist() == [False, True, False]
    assert history(shop, "view:*").outcome.tolist()[2] is False


def test_what_happened_before_is_counted_in_windows(shop):
    found = history(shop)
    assert column(found, "view:* in 30d") == pytest.approx([0, 1, 0])
    assert column(found, "purchase:* in 1d") == pytest.approx([0, 1, 0])
    assert column(found, "spend in 7d") == pytest.approx([0, 10, 0])
    assert column(found, "bought in shoes/boots") == pytest.approx([0, 1, 0])
    assert column(found, "days since purchase:*") == pytest.approx([60, 1, 60], rel=1e-5)
    assert column(found, "purchase:* decayed over 0.5d") == pytest.approx([0, 0.25, 0], abs=1e-6)
    assert found.X[:, found.names.index("tier = gold")].tolist() == [0, 1, 0]
    assert "view:* in 1d" not in found.names  # nobody: constant columns are left out


def test_exposures_are_no_activity(shop):
    assert history(shop).active.tolist() == [False, True, False]


def test_the_outcome_of_the_time_before_is_known(shop):
    assert history(shop).outcome_before.tolist() == [False, True, False]


def test_the_lines_of_an_order_are_one_moment(tmp_path):
    lines = [event("a", day, "purchase", item_id="i1", order_id="o1") for day in (10, 10.01)]
    shop = write_shop(tmp_path, [event("a", 2, "view"), *lines])
    rows = pd.DataFrame({c.USER: ["a"], c.TIME_MS: [round(10.005 * DAY)]})
    assert history(shop, rows=rows).outcome.tolist() == [False]


def test_nothing_later_than_the_moment_is_a_covariate(shop, tmp_path):
    earlier = [e for e in EVENTS if e[c.TIME_MS] <= 10 * DAY or e[c.USER] == "d"]
    cut = write_shop(tmp_path / "cut", earlier, items=ITEMS, users=shop.users()[[c.USER, "tier"]])
    rows = ROWS[ROWS[c.USER] != "d"]
    whole, known = history(shop, rows=rows), history(cut, rows=rows)
    assert whole.names == known.names
    np.testing.assert_array_equal(whole.X, known.X)


def test_a_user_without_events_cannot_be_asked_for(shop):
    with pytest.raises(ValueError, match="1 users at moments were asked for and 0 have events"):
        history(shop, rows=pd.DataFrame({c.USER: ["nobody"], c.TIME_MS: [0]}))
