"""The log: what is in it, that whybuy reads all of it, and that the same seed gives the same."""

import numpy as np
import pandas as pd
import pytest

from whybuy.config import load_config
from whybuy.events.shards import ingest
from whybuy.worlds.shop import START
from whybuy.worlds.showcase import FULL, SHOWCASES, THIN, Size, draw_log, write_log

SMALL = Size(n_users=120, n_rounds=8)
NAMES = tuple(SHOWCASES)


@pytest.fixture(scope="module", params=NAMES)
def log(request):
    return draw_log(SHOWCASES[request.param], 3, SMALL)


def test_same_seed_same_log(log):
    again = draw_log(log.start.equations, 3, SMALL)
    pd.testing.assert_frame_equal(again.shop.events, log.shop.events)
    pd.testing.assert_frame_equal(again.shop.items, log.shop.items)
    pd.testing.assert_frame_equal(again.shop.users, log.shop.users)
    assert (again.lift() == log.lift()).all()
    assert not draw_log(log.start.equations, 4, SMALL).shop.events.equals(log.shop.events)


def test_every_row_is_read(log, tmp_path):
    (tmp_path / "log").mkdir()
    quality = ingest(load_config(write_log(log, tmp_path / "shop")), tmp_path / "log").quality
    assert quality.rows_read == quality.rows_kept == len(log.shop.events)
    assert quality.actions == log.shop.events["action"].value_counts().to_dict()


def test_a_slate_is_one_moment_of_different_items_with_probabilities(log):
    shown = log.shop.events[log.shop.events["action"] == "impression"]
    slates = shown.groupby(["user_id", "session_id"])
    assert (slates["ts"].nunique() == 1).all()
    assert (slates["item_id"].nunique() == SMALL.n_slots).all()
    assert slates["slot"].apply(sorted).map(lambda slots: slots == [1, 2, 3, 4, 5]).all()
    assert shown["propensity"].between(0, 1, inclusive="neither").all()
    assert log.shop.events.loc[log.shop.events["action"] != "impression", "propensity"].isna().all()


def test_looks_come_before_the_slate_and_all_else_within_the_day_after(log):
    events = log.shop.events
    slate = events[events["action"] == "impression"].groupby("session_id")["ts"].first()
    after = events.assign(hours=(events["ts"] - events["session_id"].map(slate)) / pd.Timedelta(1, "h")).dropna(
        subset="hours"
    )
    hours = after.groupby("action")["hours"].agg(["min", "max"])
    assert -0.17 < hours.loc["view", "min"] < hours.loc["view", "max"] < 0
    assert 0 < hours.loc["click", "min"] < hours.loc["click", "max"] < 0.09
    assert 0 < hours.loc["purchase", "min"] < hours.loc["purchase", "max"] < 20
    begins = START + pd.to_timedelta(log.start.people.minute, unit="min")
    user, _, item = log.history[2].purchases()
    bought = events[(events["action"] == "purchase") & events["session_id"].str.endswith("-2")]
    assert len(bought) == len(user)
    ids = [f"u{u + 1:05d}" for u in user]
    begun = bought["user_id"].map(dict(zip(ids, begins[user] + pd.Timedelta(2, "D"), strict=True)))
    assert (bought["ts"] > begun).all()
    assert (bought["ts"] < begun + pd.Timedelta(20, "h")).all()
    names = log.shop.items["item_id"].to_numpy()[item]
    assert sorted(bought["user_id"] + bought["item_id"]) == sorted(ids + names)


def test_people_buy_on_days_on_which_they_do_not_come(log):
    came = np.zeros(len(log.start.people), bool)
    came[log.history[0].visitor] = True
    assert (log.history[0].bought[~came] >= 0).any()


def test_items_are_described_and_kinds_are_not_told(log):
    items = log.shop.items
    assert list(items.columns) == ["item_id", "category", "brand", "price", "title"]
    assert len(items) == 240
    kinds = pd.Series(log.start.goods.kind)
    assert kinds.groupby(items["brand"].to_numpy()).nunique().max() == 3
    assert (log.start.goods.margin < log.start.goods.price).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_sizes_are_as_promised(name):
    for size, promised in ((FULL, 300_000), (THIN, 30_000)):
        events = draw_log(SHOWCASES[name], 100, size).shop.events
        assert (events["action"] == "impression").sum() == pytest.approx(promised, rel=0.02)
        assert len(events) < 600_000
        assert events["item_id"].nunique() == 240
