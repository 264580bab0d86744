"""Answers that explore: exact propensities, the same answer twice, caps, and nobody is served what is not on sale."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.recommend.shops import CONFIG, DAY, Log, events_of, recommend_user, write_effects, write_log
from whybuy import columns as c
from whybuy.recommend.batch import build, recommend_all

ITEMS = {f"i{n}": "shoes" if n < 4 else "hats" for n in range(8)}
N_PEOPLE = 600


def answers(folder: Path, k: int = 3, **settings: object) -> tuple[pd.DataFrame, Path, Log]:
    rng = np.random.default_rng(0)
    rows = [(f"u{n}", int(rng.integers(0, 100)), "view", f"i{rng.integers(0, 8)}") for n in range(N_PEOPLE)]
    log = write_log(folder / "log", events_of(rows), ITEMS, window=(0, 6 * DAY), out_of_stock=["i7"])
    recommend = CONFIG.recommend.model_copy(update=settings)
    build(
        log, write_effects(folder / "effects.json"), CONFIG.model_copy(update={"recommend": recommend}), folder / "rec"
    )
    recommend_all(folder / "rec", log, k, folder / "recs.parquet")
    return pd.read_parquet(folder / "recs.parquet"), folder / "rec", log


def test_propensities_are_the_shares_with_which_slots_are_drawn(tmp_path):
    """Everybody weighs the seven items on sale: the next in line has 1 - e + e/7 in the first slot, all others e/7."""
    frame, _, _ = answers(tmp_path, explore=0.35)
    assert (frame.groupby(c.USER).size() == 3).all()
    assert not frame.duplicated([c.USER, c.ITEM]).any()
    assert "i7" not in set(frame[c.ITEM])
    first = frame[frame["rank"] == 1][c.PROPENSITY]
    assert sorted(first.round(9).unique()) == pytest.approx([0.05, 0.70])
    assert (first > 0.5).mean() == pytest.approx(0.70, abs=4 * np.sqrt(0.7 * 0.3 / N_PEOPLE))
    later = frame[frame["rank"] == 2][c.PROPENSITY]
    assert sorted(later.round(9).unique()) == pytest.approx([0.35 / 6, 0.65 + 0.35 / 6])


def test_one_user_is_answered_as_among_all(tmp_path):
    frame, folder, _ = answers(tmp_path, explore=0.35)
    alone = recommend_user(folder, "u17", 3)
    rows = frame[frame[c.USER] == "u17"]
    assert [item.item_id for item in alone.items] == rows[c.ITEM].tolist()
    assert [item.propensity for item in alone.items] == pytest.approx(rows[c.PROPENSITY].tolist())


def test_a_cap_holds_and_leaves_certainty(tmp_path):
    frame, _, _ = answers(tmp_path, k=4, per_category=2)
    kinds = frame[c.ITEM].map(ITEMS)
    assert (frame.assign(kind=kinds).groupby([c.USER, "kind"]).size() <= 2).all()
    assert (frame.groupby(c.USER).size() == 4).all()
    assert (frame[c.PROPENSITY] == 1).all()


def test_without_either_the_first_in_line_are_served(tmp_path):
    frame, _, _ = answers(tmp_path)
    assert (frame[c.PROPENSITY] == 1).all()
