"""Prices follow demand and season, sales follow prices with the elasticities that are written down."""

import numpy as np
import pandas as pd
import pytest

from whybuy import columns as c
from whybuy.worlds.promotions import ELASTICITY, draw_prices, write_tables
from whybuy.worlds.promotions.prices import WEEKS, N


@pytest.fixture(scope="module")
def drawn():
    return draw_prices(1, 1_500)


def test_the_log_holds_what_was_sold_at_which_price(drawn):
    sold = drawn.shop.events[drawn.shop.events[c.ACTION] == "purchase"]
    assert sold[c.QUANTITY].sum() == drawn.units.sum()
    items = drawn.shop.items.set_index(c.ITEM)
    off = np.log(sold[c.PRICE] / sold[c.ITEM].map(items[c.PRICE]))
    week = ((sold[c.TIME] - pd.Timestamp("2025-03-03", tz="UTC")) // pd.Timedelta(7, "D")).to_numpy()
    category = sold[c.ITEM].map(items[c.CATEGORY]).map({k: i for i, k in enumerate(drawn.elasticity)}).to_numpy()
    assert np.abs(off - drawn.log_price[week, category]).max() < 0.001


def test_the_same_seed_gives_the_same_shop():
    one, other = (draw_prices(3, 200, weeks=12) for _ in range(2))
    pd.testing.assert_frame_equal(one.shop.events, other.shop.events)


def test_one_percent_of_price_changes_units_by_the_elasticity():
    """In a shop whose prices do not move, sales at another price would be these times price ** elasticity."""
    assert len(ELASTICITY) == N
    still = draw_prices(4, 4_000, moving=False)
    assert (still.log_price == 0).all()
    moved = draw_prices(4, 4_000)
    # Everything before a week differs by prices alone through nothing: views do not see them.
    ratio = np.log(moved.units.sum(axis=0) / (still.units * np.exp(moved.log_price * ELASTICITY)).sum(axis=0))
    assert np.abs(ratio).max() < 0.05


def test_sales_against_prices_alone_mislead(drawn):
    x = drawn.log_price[4:] - drawn.log_price[4:].mean(axis=0)
    slope = (x * np.log(drawn.units[4:])).sum(axis=0) / (x**2).sum(axis=0)
    assert (slope - ELASTICITY > 0.5).all()


def test_prices_can_follow_the_calendar_alone():
    found = draw_prices(5, 300, apart=False)
    assert (found.log_price == found.log_price[:, :1]).all()
    assert found.log_price.std() > 0.03
    assert found.log_price.shape == (WEEKS, N)


def test_a_shop_is_written_with_a_config_that_names_its_files(tmp_path):
    path = write_tables(draw_prices(6, 50, weeks=10).shop, tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"events.parquet", "items.parquet", "users.parquet", "whybuy.toml"}
    assert '["view:coffee", "purchase:coffee"]' in path.read_text(encoding="utf-8")
