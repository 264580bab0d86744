import dataclasses
import json
import math

import numpy as np
import pandas as pd
import pytest

from whybuy.config import load_config
from whybuy.errors import ModelError
from whybuy.events.behaviors import parse_behavior
from whybuy.worlds import campaign_truth, demo, demo_truth, draw_demo, write_demo
from whybuy.worlds.demo_equations import DEMO
from whybuy.worlds.intervene import RatioSums
from whybuy.worlds.truth import read_truth, truth_path


@pytest.fixture(scope="module")
def shop():
    """120 users over the whole 35 days, so that both campaigns and every action occur."""
    return draw_demo(3, n_users=120, with_propensity=True)


def test_same_seed_same_shop(shop):
    again = draw_demo(3, n_users=120)
    pd.testing.assert_frame_equal(again.events, shop.events)
    pd.testing.assert_frame_equal(again.items, shop.items)
    pd.testing.assert_frame_equal(again.users, shop.users)
    assert again.propensity is None
    assert not draw_demo(4, n_users=120).events.equals(shop.events)


def test_default_shop_has_the_promised_size_and_mix():
    events = draw_demo().events
    assert 210_000 <= len(events) <= 230_000
    shares = events["action"].value_counts(normalize=True)
    assert set(shares.index) == {*demo.ACTIONS, "campaign"}
    assert 0.04 < shares["purchase"] < 0.06
    assert shares.drop("campaign").min() > 0.015


def test_times_increase_except_within_an_order(shop):
    events = shop.events.sort_values(["user_id", "ts"], kind="stable")
    before = events.shift()
    together = (events["user_id"] == before["user_id"]) & (events["ts"] == before["ts"])
    assert 0 < together.sum() < 0.01 * len(events)
    assert (events.loc[together, "order_id"] == before.loc[together, "order_id"]).all()
    gap = events["ts"] - before["ts"]
    own = (events["user_id"] == before["user_id"]) & ~together
    decisions = own & (events["action"] != "campaign") & (before["action"] != "campaign")
    assert gap[decisions].min() > pd.Timedelta(1, "s")  # else it would be taken for a near-duplicate


def test_further_lines_are_other_items_of_the_same_category(shop):
    lines = shop.events.dropna(subset="order_id").merge(shop.items[["item_id", "category"]], on="item_id")
    orders = lines.groupby("order_id").agg(n=("item_id", "size"), items=("item_id", "nunique"))
    assert set(orders["n"]) == {1, 2, 3}
    assert (orders["n"] == orders["items"]).all()
    assert (lines.groupby("order_id")["category_y"].nunique() == 1).all()


def test_searches_reviews_and_prices_are_logged_as_a_shop_would(shop):
    events = shop.events
    search, review = events[events["action"] == "search"], events[events["action"] == "review"]
    assert search["item_id"].isna().all()
    assert search["query"].str.len().min() > 0
    assert set(search["category"]) == set(demo.CATEGORIES)
    assert events.loc[events["action"] != "search", "category"].isna().all()
    assert set(review["rating"]) == {1, 2, 3, 4, 5}
    assert review.loc[review["rating"] == 5, "text"].str.contains("Excellent|Love").all()
    assert review.loc[review["rating"] == 1, "text"].str.contains("Broke|Not as described").all()
    assert events.loc[events["action"] == "purchase", "price"].notna().all()


def test_spring_is_randomized_and_vip_only_logs_the_sent(shop):
    spring = shop.events[shop.events["campaign_id"] == "spring"]
    vip = shop.events[shop.events["campaign_id"] == "vip"]
    assert sorted(spring["user_id"]) == sorted(shop.users["user_id"])
    assert set(spring["arm"]) == {"treated", "control"}
    assert set(spring["propensity"]) == {0.5}
    assert 0 < len(vip) < 0.5 * len(shop.users)
    assert set(vip["arm"]) == {"treated"}
    assert vip["propensity"].isna().all()


def test_propensities_are_a_function_of_what_is_logged(shop):
    """Second implementation: one user's probabilities, event by event, from nothing but the three tables."""
    user = shop.events["user_id"].value_counts().index[0]
    rows = np.flatnonzero((shop.events["user_id"] == user) & (shop.events["action"] != "campaign"))
    for row in rows[[0, 1, len(rows) // 2, len(rows) - 1]]:
        assert shop.propensity[row] == pytest.approx(_probabilities_by_hand(shop, user, row), rel=2e-3)


def _probabilities_by_hand(shop, user, row):
    who = shop.users.set_index("user_id").loc[user]
    now = shop.events.loc[row, "ts"]
    past = shop.events[(shop.events["user_id"] == user) & (shop.events["ts"] < now)]
    categories = shop.items.set_index("item_id")["category"]
    states = dict.fromkeys(demo.STATES, 0.0)
    spring = 0.0
    for event in past.drop_duplicates("ts").itertuples():
        hours = (now - event.ts) / pd.Timedelta(1, "h")
        if event.action == "campaign":
            if event.campaign_id == "spring" and event.arm == "treated" and who["segment"] == "new":
                spring = 0.5 ** (hours / demo.SPRING_HALF_LIFE_HOURS)
            continue
        category = event.category if event.action == "search" else categories[event.item_id]
        for key in (f"{event.action}:c", f"{event.action}:{category}"):
            for state, size in demo.JUMPS.get(key, {}).items():
                name = state.replace(":c", f":{category}") if state.endswith(":c") else state
                states[name] += size * 0.5 ** (hours / demo.HALF_LIVES[state])
    hour = (now - now.normalize()) / pd.Timedelta(1, "h")
    features = {name: math.log1p(max(value, 0)) for name, value in states.items()}
    features |= {
        "loyal": who["segment"] == "loyal",
        "f": who["gender"] == "f",
        "young": who["age_group"] == "18-29",
        "old": who["age_group"] == "50+",
        "evening": math.cos(2 * math.pi * (hour - demo.EVENING_HOUR) / 24),
        "spring": spring,
    }
    weights = np.array([math.exp(_logit_by_hand(cell, features)) for cell in demo.CELLS])
    return weights / weights.sum()


def _logit_by_hand(cell, features):
    action, category = cell.split(":")
    logit = demo.BASE[f"{action}:*"] + demo.BASE.get(cell, 0)
    for (feature, event), size in demo.ARROWS.items():
        if event in (cell, f"{action}:*"):
            logit += size * features[feature]
        elif event == f"{action}:c":
            logit += size * features[feature.replace(":c", f":{category}")]
    return logit


def test_no_half_life_is_a_window_of_the_features():
    windows_hours = {0.5, 24, 72, 168, 720}
    assert windows_hours.isdisjoint(demo.HALF_LIVES.values())


def test_campaigns_are_no_decisions(shop):
    campaign = (shop.events["action"] == "campaign").to_numpy()
    assert np.isnan(shop.propensity[campaign]).all()
    assert shop.propensity[~campaign].sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert shop.propensity.dtype == np.float32


def test_written_shop_is_read_back_with_its_config(shop, tmp_path):
    config = load_config(write_demo(shop, tmp_path / "demo"))
    events = pd.read_parquet(config.resolve(config.events[0].path))
    assert len(events) == len(shop.events)
    assert list(events.columns) == list(config.events[0].columns)
    assert config.protected == ["gender", "age_group"]
    assert config.horizons == ["7d"]
    assert config.lookback == "7d"
    assert config.campaign.randomized == []
    assert config.causal.confirm == [(e.treatment, e.outcome) for e in demo_truth()]
    assert sorted(p.name for p in (tmp_path / "demo").iterdir()) == [
        "events.parquet",
        "items.parquet",
        "users.parquet",
        "whybuy.toml",
    ]


def test_stored_truth_has_the_promised_kinds():
    effects = demo_truth()
    assert 24 <= len(effects) <= 40
    assert len({e.treatment for e in effects}) >= 8
    assert all(str(parse_behavior(e.treatment)) == e.treatment for e in effects)
    wrong = [e for e in effects if e.kind == "wrong sign"]
    assert [(e.truth < -0.03, e.naive > 0.03) for e in wrong] == [(True, True)]
    none = [e for e in effects if e.kind == "no cause"]
    assert all(abs(e.truth) < 0.0015 for e in none)
    assert sum(e.lift > 1.3 for e in none) >= 3
    assert sum(e.truth > 0.02 for e in effects if e.kind == "cause") >= 5
    assert all(e.std_error < 0.0015 for e in effects)


def test_campaign_truth_is_one_segment_and_nothing():
    truth = {(c.campaign, c.segment): c.truth for c in campaign_truth()}
    assert truth["spring", "new"] > 0.08
    assert truth["spring", "loyal"] == 0
    assert truth["vip", "*"] == 0


def test_truth_of_other_equations_is_refused(tmp_path):
    stale = json.loads(truth_path(DEMO).read_text(encoding="utf-8")) | {"fingerprint": "0123456789abcdef"}
    path = tmp_path / "stale.json"
    path.write_text(json.dumps(stale), encoding="utf-8")
    with pytest.raises(ModelError, match=r"equations 0123456789abcdef, the world has .* Run `python -m"):
        read_truth(DEMO, path)


def test_a_changed_constant_makes_the_stored_truth_stale(monkeypatch):
    monkeypatch.setattr(demo, "STAY", demo.STAY + 0.01)
    with pytest.raises(ModelError, match=r"the truth of the equations as they are\. Run `python -m"):
        read_truth(DEMO)


def test_ratio_and_its_clustered_error_by_hand():
    """Two users: sums 1 and 3 of weights 2 and 2: effect 4/4 = 1; spreads -1 and 1; error sqrt(2)/4."""
    sums = RatioSums(weighted=np.array([[1.0], [3.0]]), weight=np.array([[2.0], [2.0]]))
    assert sums.effect == pytest.approx([1.0])
    assert sums.std_error == pytest.approx([math.sqrt(2) / 4])


def test_shop_cannot_be_reassigned(shop):
    with pytest.raises(dataclasses.FrozenInstanceError):
        shop.events = None
