"""Trials of showing, by hand and against loops."""

import duckdb
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whybuy.recommend.personal.acts import Acts
from whybuy.recommend.personal.covariates import Histories, Items
from whybuy.recommend.personal.opportunities import CONTROLS_PER_SLATE, QUIET_PER_USER, EventLine, opportunities
from whybuy.recommend.terms import Terms

DAY = 86_400_000
TERMS = Terms(
    basis="impression", horizon_ms=DAY, lookback_ms=7 * DAY, start_ms=0, end_ms=100 * DAY, has_times=True,
    why_no_lift=None, goal="purchase",
)  # fmt: skip


def events(rows: list[tuple[int, int, str, int, float | None, int | None]]) -> duckdb.DuckDBPyConnection:
    """Return a connection whose table ``ev`` holds (u, t, action, item, p, slot)."""
    con = duckdb.connect()
    con.execute("CREATE TABLE ev (u INTEGER, t BIGINT, action VARCHAR, item INTEGER, p DOUBLE, slot INTEGER)")
    con.executemany("INSERT INTO ev VALUES (?, ?, ?, ?, ?, ?)", rows)
    return con


def seen_by_day_0(n_items: int) -> np.ndarray:
    return np.zeros(n_items, np.int64)


def test_a_slate_gives_its_items_and_controls_that_stand_for_the_rest():
    con = events([(0, DAY, "impression", 3, 0.2, 1), (0, DAY, "impression", 5, 0.1, 2)])
    found = opportunities(con, seen_by_day_0(40), TERMS, np.random.default_rng(0))
    assert found.item[found.shown].tolist() == [3, 5]
    assert found.propensity[found.shown] == pytest.approx([1 - 0.8**2, 1 - 0.9**2])
    controls = ~found.shown & ~found.quiet
    assert not np.isin(found.item[controls], [3, 5]).any()
    assert len(set(found.item[controls].tolist())) == controls.sum() <= CONTROLS_PER_SLATE
    assert found.weight[controls].sum() == pytest.approx(38)
    assert np.isnan(found.propensity[controls]).all()


def test_all_buyers_among_the_controls_are_kept_and_the_rest_stand_for_the_rest():
    rows = [(0, DAY, "impression", 3, 0.2, 1), *((0, DAY + k, "purchase", 10 + k, None, None) for k in range(1, 16))]
    found = opportunities(events(rows), seen_by_day_0(400), TERMS, np.random.default_rng(0))
    controls = ~found.shown & ~found.quiet
    bought = controls & found.outcome
    assert sorted(found.item[bought].tolist()) == list(range(11, 26))
    assert (found.weight[bought] == 1).all()
    assert found.weight[controls & ~found.outcome].sum() == pytest.approx(400 - 1 - 15)


def test_quiet_moments_are_a_horizon_apart_and_far_from_slates():
    rows = [(0, DAY // 4, "view", 1, None, None), (0, 30 * DAY + DAY // 2, "impression", 0, 0.5, 1)]
    found = opportunities(events(rows), seen_by_day_0(5), TERMS, np.random.default_rng(0))
    moments = np.unique(found.ts[found.quiet])
    assert 0 < len(moments) <= QUIET_PER_USER
    assert (moments % DAY == DAY // 2).all()
    assert np.abs(moments - (30 * DAY + DAY // 2)).min() > DAY
    assert moments.min() > DAY // 4
    assert not found.shown[found.quiet].any()


def test_what_was_not_on_show_yet_is_no_candidate():
    first = np.full(40, 10 * DAY)
    first[:4] = 0
    con = events([(0, DAY, "impression", 0, 0.5, 1)])
    found = opportunities(con, first, TERMS, np.random.default_rng(0))
    controls = ~found.shown & (found.ts == DAY)
    assert set(found.item[controls].tolist()) <= {1, 2, 3}
    assert found.weight[controls].sum() == pytest.approx(3)


def test_the_outcome_is_a_later_purchase_of_the_item_within_the_horizon():
    con = events(
        [
            *[(u, DAY, "impression", 0, 0.5, 1) for u in range(4)],
            (0, DAY + 1, "purchase", 0, None, None),
            (1, 2 * DAY, "purchase", 0, None, None),
            (2, 2 * DAY + 1, "purchase", 0, None, None),
            (3, DAY - 1, "purchase", 0, None, None),
        ]
    )
    found = opportunities(con, seen_by_day_0(2), TERMS, np.random.default_rng(0))
    assert found.outcome[found.shown].tolist() == [True, True, False, False]
    assert not found.outcome[~found.shown & ~found.quiet].any()


def test_bought_at_that_very_moment_or_without_follow_up_is_left_out():
    con = events(
        [
            (0, DAY, "impression", 0, 0.5, 1),
            (0, DAY, "purchase", 0, None, None),
            (1, 99 * DAY + 1, "impression", 0, 0.5, 1),
        ]
    )
    found = opportunities(con, seen_by_day_0(1), TERMS, np.random.default_rng(0))
    assert not found.shown.any()
    assert found.ts.max() + TERMS.horizon_ms <= TERMS.end_ms


@pytest.mark.parametrize("p", [None, 0.0, 1.5, -0.1])
def test_an_impression_without_a_usable_probability_is_neither_shown_nor_not(p):
    con = events([(0, DAY, "impression", 0, p, 1), (0, DAY, "impression", 1, 0.5, 2)])
    found = opportunities(con, seen_by_day_0(3), TERMS, np.random.default_rng(0))
    assert found.item[found.shown].tolist() == [1]
    assert 0 not in found.item[~found.shown & ~found.quiet]
    assert found.n_unusable == 1


def test_a_duplicate_impression_counts_once_at_its_first_slot():
    con = events([(0, DAY, "impression", 0, 0.3, 2), (0, DAY, "impression", 0, 0.5, 1)])
    found = opportunities(con, seen_by_day_0(3), TERMS, np.random.default_rng(0))
    assert found.propensity[found.shown].tolist() == [0.5]


TRIPLES = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(0, 30)), max_size=40)


@given(TRIPLES, TRIPLES, st.integers(1, 20))
def test_counts_and_times_since_are_those_of_a_loop(happened, asked, window):
    user, thing, ts = (np.array([row[i] for row in happened], np.int64) for i in range(3))
    line = EventLine.of(user, thing, ts)
    u, i, t = (np.array([row[k] for row in asked], np.int64) for k in range(3))
    (counts, ever), since = line.past(u, i, t, (window,))
    for k, (a, b, at) in enumerate(asked):
        before = [s for x, y, s in happened if x == a and y == b and s < at]
        assert counts[k] == sum(s >= at - window for s in before)
        assert ever[k] == len(before)
        assert since[k] == at - max(before) if before else np.isnan(since[k])


def test_covariates_know_nothing_of_the_moment_itself_or_later():
    rows = [(0, t * DAY, "view", 0, None, None) for t in (1, 2, 3, 4)] + [(0, 3 * DAY, "purchase", 1, None, None)]
    items = Items(np.array([1, 1, 0]), np.zeros(3, np.int64), np.log([1.0, 2.0, 3.0]))
    at = (np.zeros(1, np.int64), np.zeros(1, np.int64), np.array([3 * DAY]))
    names = Histories.of(Acts.of(events(rows)), items, (DAY,)).names
    whole = Histories.of(Acts.of(events(rows)), items, (DAY,)).covariates(*at, items)
    before = Histories.of(Acts.of(events([row for row in rows if row[1] < 3 * DAY])), items, (DAY,)).covariates(
        *at, items
    )
    np.testing.assert_array_equal(whole, before)
    assert whole.shape == (1, len(names))
    found = dict(zip(names, whole[0].tolist(), strict=True))
    assert found["times ever looked at the item"] == pytest.approx(np.log(3))
    assert found["times within 1 days looked at its category"] == pytest.approx(np.log(2))
    assert found["how lately looked at the item"] == pytest.approx(1 / 5)
    assert found["how lately bought the item"] == 0
