"""Rows of landmarks against a plain loop, nothing of the future in them, and where no grid fits."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from tests.behavior.test_landmarks import twins_of
from tests.events.sequences_by_hand import DAY, HOUR, random_sequences, sequences
from whybuy.causal.calendar.grid import Grid, next_midnight
from whybuy.causal.calendar.landmarks import Asked, BlockRows
from whybuy.columns import ACTIONS
from whybuy.errors import QuestionError
from whybuy.events.behaviors import parse_behavior

PAIR = (parse_behavior("search:*"), parse_behavior("purchase:*"))
ASKED = Asked(PAIR, None, 1.0)


def grid(**changes) -> Grid:
    given = {"start_ms": 0, "end_ms": 40 * DAY, "first_ms": 7 * DAY, "lookback_ms": 7 * DAY, "every_ms": 5 * DAY}
    given |= {"horizon_ms": 6 * DAY, "active_ms": 7 * DAY, "washout_ms": 2 * DAY, "n_periods": 2}
    return Grid(**{**given, **changes})


def hits(s):
    return np.stack([np.asarray(s.action) == ACTIONS.index(b.action) for b in PAIR], axis=1).astype(np.uint8)


def rows(s, g, twins=None):
    return BlockRows(s, hits(s), ASKED, g, twins or twins_of(s)).rows()


def test_rows_equal_a_plain_loop():
    s, g = random_sequences(np.random.default_rng(5), n_users=30, longest=60), grid()
    columns, found = rows(s, g)
    expected = []
    for u in range(s.n_users):
        events = [(int(s.ts_ms[i]), ACTIONS[s.action[i]]) for i in range(int(s.offsets[u]), int(s.offsets[u + 1]))]

        def between(low, high, action=None, events=events):
            return sum(low <= t < high and action in (None, a) for t, a in events)

        for start in (7 * DAY, 17 * DAY):
            if not between(start - 7 * DAY, start) or between(start - 2 * DAY, start, "search"):
                continue
            periods = [(start + 5 * k * DAY, start + 5 * (k + 1) * DAY) for k in range(2)]
            end = periods[-1][1]
            expected.append(
                (
                    start,
                    [between(*p, "search") > 0 for p in periods],
                    [between(*p) > 0 for p in periods],
                    between(end, end + 6 * DAY, "purchase") > 0,
                    between(start - 7 * DAY, start, "purchase"),
                )
            )
    assert len(expected) > 10
    assert found["ts_ms"].tolist() == [row[0] for row in expected]
    assert found["done"].astype(bool).tolist() == [row[1] for row in expected]
    assert found["came"].tolist() == [row[2] for row in expected]
    assert found["outcome"][:, 1].astype(bool).tolist() == [row[3] for row in expected]
    assert found["past"][:, 1].tolist() == [row[4] for row in expected]
    assert (np.diff(found["user"]) >= 0).all()
    assert not np.isnan(found["X"]).any()
    assert found["X"].shape == (len(expected), 2, len(columns.names))


def test_nothing_of_a_period_or_after_it_is_a_covariate_of_it():
    story = [(k * 30 * HOUR, ["view", "search", "purchase"][k % 3], k % 3) for k in range(26)]
    whole = sequences({"a": story, "b": story[::2]})
    g, twins = grid(washout_ms=0), twins_of(whole)
    _, found = rows(whole, g, twins)
    for period in range(2):
        for row, start in enumerate(found["ts_ms"]):
            landmark = start + period * g.every_ms
            cut = sequences(
                {u: [e for e in events if e[0] < landmark] for u, events in (("a", story), ("b", story[::2]))}
            )
            _, of_cut = rows(cut, g, twins)
            mine = np.flatnonzero((of_cut["ts_ms"] == start) & (of_cut["user"] == found["user"][row]))
            np.testing.assert_allclose(of_cut["X"][mine[0], period], found["X"][row, period], rtol=1e-5, atol=1e-5)
            assert not of_cut["outcome"][mine[0]].any()


def test_landmarks_lie_at_midnight_where_the_shop_is():
    noon = int(datetime(2025, 3, 10, 12, tzinfo=UTC).timestamp() * 1000)
    for zone in ("UTC", "Europe/Berlin", "America/New_York"):
        found = datetime.fromtimestamp(next_midnight(noon, ZoneInfo(zone)) / 1000, ZoneInfo(zone))
        assert (found.hour, found.minute, found.second) == (0, 0, 0)
    midnight = int(datetime(2025, 3, 10, tzinfo=UTC).timestamp() * 1000)
    assert next_midnight(midnight, ZoneInfo("UTC")) == midnight


def test_starts_do_not_overlap_and_are_followed_up():
    g = grid()
    assert g.n_starts == 2
    assert (g.times / DAY).tolist() == [7, 12, 17, 22, 27]
    assert g.times[-1] + g.horizon_ms <= g.end_ms
    assert grid(n_periods=1).n_starts == 5


def test_a_horizon_longer_than_the_follow_up_is_refused():
    with pytest.raises(QuestionError, match=r"spans 40\.00 days.*57\.00 days"):
        grid(horizon_ms=40 * DAY).require_possible()


def test_a_block_of_users_who_are_not_asked_about_has_no_rows():
    s = random_sequences(np.random.default_rng(5), n_users=3)
    nobody = Asked(PAIR, frozenset({"somebody else"}), 1.0)
    assert len(BlockRows(s, hits(s), nobody, grid(), twins_of(s)).row_user) == 0
