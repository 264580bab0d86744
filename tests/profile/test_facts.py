"""Facts of users, by hand."""

import pandas as pd
import pytest

from tests.campaign.shops import DAY, config, event, write_shop
from whybuy import columns as c
from whybuy.profile import Favorite, build_profiles, profile_of

ITEMS = pd.DataFrame(
    {c.ITEM: ["i1", "i2", "i3"], c.CATEGORY: ["shoes", "shoes", "bags"], c.BRAND: ["acme", None, "acme"]}
)


def bought(user, day, item, order, price=None, **more):
    return event(user, day, "purchase", item_id=item, order_id=order, price=price, **more)


# Ann: 2 orders of 3 lines on days 1 and 11, views on days 1, 11 and 13, a letter, a return, two ratings.
# Bob: one view. The log ends after 20 days.
EVENTS = [
    event("ann", 1.0, "view", item_id="i1"),
    bought("ann", 1.1, "i1", "o1", price=10.0, quantity=2, currency="EUR"),
    bought("ann", 1.1, "i3", "o1", price=5.0, currency="EUR"),
    event("ann", 11.0, "view", item_id="i2"),
    bought("ann", 11.2, "i1", "o2", price=7.0, currency="EUR"),
    event("ann", 12.0, "campaign", campaign_id="spring"),
    event("ann", 13.0, "return", item_id="i3"),
    event("ann", 13.1, "review", item_id="i1", rating=4),
    event("ann", 13.2, "rating", item_id="i2", rating=5),
    event("bob", 2.5, "view", item_id="i3"),
    event("eve", 20.0, "search", category="bags"),
]


@pytest.fixture
def shop(tmp_path):
    users = pd.DataFrame({c.USER: ["ann", "bob", "eve", "zoe"], "tier": "gold"})
    return write_shop(tmp_path / "events", EVENTS, items=ITEMS, users=users)


def profile(log, folder, user, **settings):
    build_profiles(log, config(**settings), folder)
    return profile_of(folder, user)


@pytest.fixture
def ann(shop, tmp_path):
    return profile(shop, tmp_path, "ann")


def test_orders_are_moments_and_money_is_price_times_pieces(ann):
    assert (ann.frequency, ann.purchase_lines, ann.priced_lines) == (2, 3, 3)
    assert (ann.monetary, ann.currency) == (32.0, "EUR")
    assert (ann.basket_value, ann.basket_pieces) == (16.0, 2.0)


def test_days_are_counted_back_from_the_end_of_the_log(ann):
    assert ann.recency_days == pytest.approx(20 - 11.2)
    assert ann.silent_days == pytest.approx(20 - 13.2)
    assert ann.active_days == 3
    assert ann.gap_days == pytest.approx(6)  # days 1, 11, 13: gaps 10 and 2


def test_exposures_are_counted_but_are_not_what_the_user_did(ann):
    assert ann.n_events == 9
    assert ann.n_own == 8
    assert ann.events == {"purchase": 3, "view": 2, "campaign": 1, "rating": 1, "return": 1, "review": 1}


def test_favorites_are_shares_of_the_events_that_have_one(ann):
    assert ann.categories == (Favorite(name="shoes", n=6, share=6 / 8), Favorite(name="bags", n=2, share=2 / 8))
    assert ann.brands == (Favorite(name="acme", n=6, share=1.0),)


def test_ratings_and_returns(ann):
    assert (ann.n_ratings, ann.mean_rating) == (2, 4.5)
    assert (ann.return_lines, ann.returns_share) == (1, pytest.approx(1 / 3))


def test_a_search_has_the_category_that_the_log_gives_it(shop, tmp_path):
    assert profile(shop, tmp_path, "eve").categories == (Favorite(name="bags", n=1, share=1.0),)


def test_a_user_who_never_bought_has_no_money_recency_or_returns(shop, tmp_path):
    bob = profile(shop, tmp_path, "bob")
    assert bob.frequency == 0
    assert {bob.monetary, bob.recency_days, bob.basket_value, bob.returns_share, bob.gap_days} == {None}


def test_a_user_without_events_says_so(shop, tmp_path):
    zoe = profile(shop, tmp_path, "zoe")
    assert (zoe.stage, zoe.n_events, zoe.events) == ("no events", 0, {})
    assert {zoe.first_seen, zoe.silent_days, zoe.recency_days, zoe.usual_hour} == {None}
    assert zoe.summary() == "zoe is in the users table and has no event: nothing more is known."


def test_usual_hours_are_those_of_the_config_s_zone(tmp_path):
    # 1970-01-01 was a Thursday; 20:00 UTC is 04:00 of the Friday in Shanghai
    log = write_shop(
        tmp_path / "events", [event("a", 20 / 24, "view"), event("a", 20.5 / 24, "view"), event("a", 1.5, "view")]
    )
    utc = profile(log, tmp_path, "a")
    assert (utc.usual_hour, utc.usual_hour_n, utc.usual_weekday, utc.usual_weekday_n) == (20, 2, 4, 2)
    shanghai = profile(log, tmp_path, "a", timezone="Asia/Shanghai")
    assert (shanghai.usual_hour, shanghai.usual_weekday) == (4, 5)


def test_what_was_spent_is_not_known_without_prices(tmp_path):
    a = profile(write_shop(tmp_path / "events", [bought("a", 0, "i1", "o1")]), tmp_path, "a")
    assert (a.frequency, a.priced_lines, a.monetary) == (1, 0, None)
    assert "Spent: not known, no purchase has a price." in a.lines()


def test_several_currencies_are_not_summed(tmp_path):
    lines = [bought("a", day, "i1", f"o{day}", price=1.0, currency=money) for day, money in ((0, "EUR"), (1, "USD"))]
    a = profile(write_shop(tmp_path / "events", lines), tmp_path, "a")
    assert (a.monetary, a.currency) == (None, None)
    assert "Spent: in several currencies, so there is no sum." in a.lines()


def test_a_log_without_returns_knows_no_share_of_returns(tmp_path):
    a = profile(write_shop(tmp_path / "events", [bought("a", 0, "i1", "o1")]), tmp_path, "a")
    assert a.returns_share is None


def test_a_log_with_an_order_only_gives_no_times(tmp_path):
    events = [event("a", i / DAY, "view", item_id="i1") for i in range(3)] + [
        bought("a", 5 / DAY, "i1", "o1", price=2.0)
    ]
    a = profile(write_shop(tmp_path / "events", events, items=ITEMS, has_times=False), tmp_path, "a")
    assert a.stage == "unknown"
    times = (a.as_of, a.first_seen, a.last_seen, a.active_days, a.gap_days, a.silent_days, a.recency_days, a.usual_hour)
    assert set(times) == {None}
    assert (a.frequency, a.monetary, a.categories[0].name) == (1, 2.0, "shoes")
    assert "the log has an order but no times: no dates, gaps or days since" in a.summary()


def test_scores_are_fifths_among_buyers_and_equals_share_one(tmp_path):
    events = [bought(f"u{i}", day, "i1", f"o{day}", price=1.0 + i) for i in range(5) for day in range(1 + i // 2)]
    log = write_shop(tmp_path / "events", [*events, event("x", 9, "view")])
    build_profiles(log, config(), tmp_path)
    found = [profile_of(tmp_path, f"u{i}") for i in range(5)]
    # orders 1, 1, 2, 2, 3: the share of the others below is 0, 0, 2/4, 2/4, 4/4
    assert [p.frequency_score for p in found] == [1, 1, 3, 3, 5]
    assert [p.recency_score for p in found] == [1, 1, 3, 3, 5]
    assert [p.monetary_score for p in found] == [1, 2, 3, 4, 5]
    assert profile_of(tmp_path, "x").frequency_score is None


def test_fifths_of_few_buyers_are_not_given(ann):
    assert {ann.recency_score, ann.frequency_score, ann.monetary_score} == {None}


def test_the_order_of_the_log_changes_nothing(shop, tmp_path):
    again = write_shop(tmp_path / "again", EVENTS[::-1], items=ITEMS, users=shop.users()[[c.USER, "tier"]])
    first = pd.read_parquet(build_profiles(shop, config(), tmp_path / "a"))
    second = pd.read_parquet(build_profiles(again, config(), tmp_path / "b"))
    pd.testing.assert_frame_equal(first, second)
