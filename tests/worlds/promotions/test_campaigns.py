"""The log of a promotion shop says all that drives it, and its truth is what happens with and without."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from whybuy import columns as c
from whybuy.campaign.history import HALF_LIVES_DAYS, WINDOWS_DAYS
from whybuy.worlds.chain import DAY_MS
from whybuy.worlds.promotions import chances, run, tables, with_and_without
from whybuy.worlds.promotions.equations import CATEGORIES, HALF_LIFE, INTEREST, MOMENTUM, SATED, TIERS, Luck, live
from whybuy.worlds.shop import START

N = 2_000


@pytest.fixture(scope="module")
def coin():
    return run("randomized", 1, N)


@pytest.fixture(scope="module")
def coupons():
    return run("coupons", 1, N)


def test_the_same_seed_gives_the_same_log_and_another_one_another():
    one, other, third = (tables(run("coupons", seed, 300)).events for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(one, other)
    assert len(one) != len(third)


def test_states_follow_from_the_log(coin):
    """Momentum, interest and satedness when the mail is sent, added up again from the events of the log."""
    sending, shop = coin.sendings["letter"], tables(coin)
    events = shop.events.assign(days=(shop.events[c.TIME] - START) / pd.Timedelta(1, "D"))
    user = pd.Index(shop.users[c.USER]).get_indexer(events[c.USER])
    age = sending.at[user] - events["days"].to_numpy()
    category = events[c.ITEM].str.split("-").str[0]
    before = age > 0

    def faded(rows, half_life, weight):
        return np.bincount(user[rows], weight * 0.5 ** (age[rows] / half_life), minlength=N)

    looks, bought = (before & (events[c.ACTION] == action).to_numpy() for action in ("view", "purchase"))
    first = looks & ~pd.DataFrame({"user": user, "day": events["days"] // 1, "look": looks}).duplicated().to_numpy()
    # Looks come within two minutes of the visit at which states jump.
    close = {"rtol": 2e-3, "atol": 1e-9}
    visits = faded(first, HALF_LIFE["momentum"], 1.0) + faded(looks, HALF_LIFE["momentum"], 0.5)
    assert_allclose(sending.before.S[:, MOMENTUM], visits, **close)
    assert_allclose(sending.before.S[:, SATED], faded(bought, HALF_LIFE["sated"], 1.0), **close)
    coats = looks & (category == CATEGORIES[0]).to_numpy()
    assert_allclose(sending.before.S[:, INTEREST][:, 0], faded(coats, HALF_LIFE["interest"], 1.0), **close)


def test_histories_fade_unlike_any_feature_of_ours():
    assert not set(HALF_LIFE.values()) & {*HALF_LIVES_DAYS, *WINDOWS_DAYS}


def test_the_logged_propensity_is_the_one_it_was_drawn_with(coin):
    sent = tables(coin).events.query("action == 'campaign'")
    assert len(sent) == N
    assert set(sent[c.PROPENSITY]) == {0.5}
    assert set(sent[c.ARM]) == {"treated", "control"}


def test_a_targeted_log_holds_only_those_who_were_sent_it():
    drawn = run("targeted", 2, N)
    sent = tables(drawn).events.query("action == 'campaign'")
    assert len(sent) == drawn.sendings["letter"].sent.sum() < N
    assert c.ARM not in sent


def test_the_same_luck_with_and_without(coin):
    sent, not_sent = with_and_without(coin, "letter")
    arm = coin.sendings["letter"].sent
    observed = coin.bought_after("letter")
    np.testing.assert_array_equal(observed, np.where(arm, sent, not_sent))
    assert 0.01 < (sent & ~not_sent).mean() < 0.3
    assert (~sent & not_sent).any()  # sleeping dogs


def test_without_an_effect_nobody_is_moved_and_the_plain_comparison_says_they_are():
    drawn = run("targeted", 3, N)
    sent, not_sent = with_and_without(drawn, "letter")
    np.testing.assert_array_equal(sent, not_sent)
    bought, arm = drawn.bought_after("letter"), drawn.sendings["letter"].sent
    assert bought[arm].mean() - bought[~arm].mean() > 0.06


def test_what_is_expected_is_what_happens_on_average(coin):
    """The chances have the mean of the outcomes, of everybody and of the half of whom more is expected."""
    for expected, happened in zip(chances(coin, "letter"), with_and_without(coin, "letter"), strict=True):
        for rows in (np.ones(N, bool), expected > np.median(expected)):
            error = np.sqrt(happened[rows].mean() / rows.sum())
            assert abs(expected[rows].mean() - happened[rows].mean()) < 3 * error


def test_few_paths_rank_as_many_do(coin):
    """Of the gain from treating the best 30%, a ranking by 40 paths keeps 97%: it is the best that can be had."""
    few, many = (sent - not_sent for sent, not_sent in (chances(coin, "letter", n_paths=n) for n in (40, 120)))
    k = 3 * N // 10
    assert many[np.argsort(-few)[:k]].sum() > 0.97 * np.sort(many)[-k:].sum()


def test_a_path_without_purchases_has_the_chances_of_the_first_one(coin):
    """What a day's luck would buy is the same with purchases held back."""
    known, luck = coin.sendings["letter"].before, Luck.draw(N, np.random.default_rng(5))
    _, bought = live(known, coin.people, 30, luck)
    _, held = live(known, coin.people, 30, luck, buying=False)
    np.testing.assert_array_equal(bought.bought, held.visited[:, None] & (luck.buy < held.chance))
    assert not held.bought.any()


def test_the_club_sleeps_and_who_buys_anyway_is_moved_least(coin):
    sent, not_sent = chances(coin, "letter")
    effect = sent - not_sent
    by_tier = [effect[coin.people.tier == k].mean() for k in range(len(TIERS))]
    assert by_tier[0] > by_tier[1] > 0.03 > -0.05 > by_tier[2]
    top = np.argsort(-not_sent)[: N // 3]
    assert effect[top].mean() < 0 < effect.mean()


def test_coupons_overlap_and_are_redeemed_where_they_are_live(coupons):
    events = tables(coupons).events
    sent, redeemed = (events[events[c.ACTION] == action] for action in ("campaign", "redeem"))
    both = redeemed.merge(sent[sent[c.ARM] == "treated"], on=[c.USER, c.CAMPAIGN], suffixes=("", "_sent"))
    assert len(both) == len(redeemed) > 60
    waited = (both[c.TIME] - both[f"{c.TIME}_sent"]) / pd.Timedelta(1, "D")
    assert waited.between(0, 10).all()
    bought = events[events[c.ACTION] == "purchase"].merge(redeemed, on=[c.USER, c.TIME], suffixes=("", "_coupon"))
    assert len(bought) >= len(redeemed)
    first = sent.groupby(c.CAMPAIGN)[c.TIME].min()
    assert (first.max() - first.min()) / pd.Timedelta(1, "D") == pytest.approx(4, abs=0.1)


def test_coupons_have_effects_of_their_own_while_the_other_goes_on(coupons):
    for name in coupons.sendings:
        sent, not_sent = with_and_without(coupons, name)
        assert sent.mean() - not_sent.mean() > 0.01


def test_times_are_whole_milliseconds_within_the_log(coin):
    ts = tables(coin).events[c.TIME]
    assert ts.is_monotonic_increasing
    assert ts.min() >= START
    assert (ts.max() - START) / pd.Timedelta(1, "D") < 44
    assert DAY_MS == 86_400_000
