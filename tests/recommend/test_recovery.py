"""Lifts in a shop whose truth is known by construction."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.recommend.shops import DAY, Log, write_log
from tests.recommend.test_lift import lifts_of
from whybuy import columns as c

N_ITEMS, N_USERS, N_DAYS, N_SHOWN = 240, 3_000, 30, 30_000


def draw_shop(folder: Path, rng: np.random.Generator) -> tuple[Log, pd.Series]:
    """30,000 impressions of 240 items: staples that sell by themselves, discoveries that sell when shown, neither.

    Users of the first half are shown the first half of the items three times as often, and buy what they are shown
    three times as often: a plain mean over the shown is biased, one weighted by 1 / probability is not. Returns the
    log and each item's true lift: P(buy within a day of being shown) over all users, less the chance without.
    """
    kind = rng.choice(3, N_ITEMS, p=[0.3, 0.3, 0.4])
    by_itself = np.where(kind == 0, rng.uniform(0.001, 0.005, N_ITEMS), 0.0001)
    lift = np.where(kind == 1, rng.uniform(0.01, 0.06, N_ITEMS), 0.0)
    user = rng.integers(0, N_USERS, N_SHOWN)
    liked = np.where(np.arange(N_ITEMS) < N_ITEMS // 2, 3.0, 1.0)
    policy = np.stack([liked, liked[::-1]])
    policy /= policy.sum(axis=1, keepdims=True)
    item = np.where(user % 2 == 0, *(rng.choice(N_ITEMS, N_SHOWN, p=p) for p in policy))
    at = rng.integers(0, N_DAYS * DAY // 1000, N_SHOWN) * 1000
    moved = rng.random(N_SHOWN) < lift[item] * np.where(user % 2 == 0, 1.5, 0.5)
    alone = np.repeat(np.arange(N_ITEMS), rng.poisson(by_itself * N_USERS * N_DAYS))
    parts = [
        (user, at, "impression", item, policy[user % 2, item]),
        (user[moved], at[moved] + rng.integers(1, DAY, moved.sum()), "purchase", item[moved], np.nan),
        (rng.integers(0, N_USERS, len(alone)), rng.integers(0, N_DAYS * DAY, len(alone)), "purchase", alone, np.nan),
    ]
    names = [c.USER, c.TIME_MS, c.ACTION, c.ITEM, c.PROPENSITY]
    events = pd.concat([pd.DataFrame(dict(zip(names, part, strict=True))) for part in parts])
    events = events.astype({c.USER: str, c.ITEM: str}).drop_duplicates(names[:4])
    shop = {str(i): f"category {i % 12}" for i in range(N_ITEMS)}
    return write_log(folder, events, shop, shards=2), pd.Series(lift * (1 - by_itself), index=list(shop))


@pytest.mark.slow
def test_intervals_cover_the_truth_and_the_first_ten_are_good(tmp_path: Path) -> None:
    """A thin log: about 125 showings of an item. Eight shops: 1,920 intervals, correlated within a shop."""
    covered, raw_covered, gained = [], [], []
    for seed in range(8):
        log, truth = draw_shop(tmp_path / str(seed), np.random.default_rng(seed))
        found, terms = lifts_of(log)
        assert terms.basis == "impression"
        found = found.xs(0, level="state")
        true = truth.reindex(found.index)
        covered.append(((found["lift_low"] <= true) & (true <= found["lift_high"])).mean())
        half = 1.96 * found["std_error"]
        raw_covered.append(((found["estimate"] - true).abs() <= half).mean())
        first = found["lift"].nlargest(10).index
        gained.append(truth[first].mean() / truth.nlargest(10).mean())
    assert 0.90 <= np.mean(covered) <= 0.99
    # The plain interval takes items nobody bought for certain.
    assert np.mean(raw_covered) < 0.8
    assert np.mean(gained) > 0.75
