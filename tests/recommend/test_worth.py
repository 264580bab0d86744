"""Ranked by what a purchase is worth: its price, or what is kept of it; by hand."""

from pathlib import Path

import pytest

from tests.recommend.shops import CONFIG, DAY, Log, events_of, recommend_user, write_effects, write_log
from whybuy import columns as c
from whybuy.config import RecommendConfig, config_from_dict
from whybuy.errors import ConfigError
from whybuy.recommend.batch import build

ITEMS = {"cheap": "a", "dear": "b/x", "bulky": "b", "unpriced": "a"}
PRICES = {"cheap": 1.0, "dear": 20.0, "bulky": 8.0}
BOUGHT = {"cheap": 8, "dear": 2, "bulky": 4, "unpriced": 9}
"""Of ten who look at it."""


def shop(folder: Path, prices: dict[str, float] = PRICES) -> Log:
    """Two hundred and forty people look at one item each, and ``BOUGHT`` of ten buy it."""
    rows = []
    for n in range(240):
        item, at = list(ITEMS)[n % 4], 30 + n % 40
        rows.append((f"u{n:03d}", at, "view", item))
        if n // 4 % 10 < BOUGHT[item]:
            rows.append((f"u{n:03d}", at + 1, "purchase", item))
    return write_log(folder / "log", events_of(rows), ITEMS, prices=prices, window=(0, 6 * DAY))


def ranked(folder: Path, log: Log, **settings) -> list[str]:
    config = CONFIG.model_copy(update={"recommend": RecommendConfig(**settings)})
    build(log, write_effects(folder / "effects.json"), config, folder / "rec")
    return [row.item_id for row in recommend_user(folder / "rec", "nobody", k=4).items]


def test_lifts_count_by_price_or_by_what_is_kept_of_it(tmp_path):
    log = shop(tmp_path)
    assert ranked(tmp_path, log)[0] in ("unpriced", "cheap")
    by_revenue = ranked(tmp_path, log, by="revenue")
    assert by_revenue.index("dear") < by_revenue.index("cheap")
    assert by_revenue[-1] == "unpriced"
    # The nearest category on the path counts: of dear things next to nothing is kept.
    by_margin = ranked(tmp_path, log, by="margin", margins={"b": 0.9, "b/x": 0.01, "*": 0.5})
    assert by_margin.index("bulky") < by_margin.index("cheap") < by_margin.index("dear")


def test_the_answer_says_what_it_is_ranked_by(tmp_path):
    log = shop(tmp_path)
    ranked(tmp_path, log, by="revenue")
    notes = recommend_user(tmp_path / "rec", "nobody", k=1).notes
    assert any("Ranked by the revenue that showing adds: the lift of an item times its price" in note for note in notes)


def test_without_prices_there_is_nothing_to_rank_by(tmp_path):
    with pytest.raises(ConfigError, match=r"none of 4 items on sale has a price.*Map price"):
        ranked(tmp_path, shop(tmp_path, {}), by="revenue")


def test_a_margin_has_to_be_named():
    with pytest.raises(ConfigError, match=r"recommend\.margins"):
        config_from_dict({"events": [{"path": "x.csv"}], "recommend": {"by": "margin"}}, base=Path())


def test_what_is_bought_again_is_offered_again_and_that_is_said(tmp_path):
    rows = [
        (f"u{n}", 24 * day, "purchase", item)
        for n in range(20)
        for day, item in enumerate(["milk", f"once{n}", "milk", f"other{n}", "milk"])
    ]
    items = dict.fromkeys(sorted({row[3] for row in rows}))
    log = write_log(tmp_path / "log", events_of(rows), items, window=(0, 8 * DAY))
    build(log, write_effects(tmp_path / "effects.json"), CONFIG, tmp_path / "rec")
    first = recommend_user(tmp_path / "rec", "u1", k=3).items[0]
    assert first.item_id == "milk"
    assert "Others who bought it bought it again." in first.reason
    assert first.ranked_by == "repeat_purchase"
    assert c.REASON in recommend_user(tmp_path / "rec", "u1", k=1).to_frame()
