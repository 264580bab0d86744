"""What of a log can be judged, and what is left out and counted."""

import numpy as np
import pytest

from tests.recommend.shops import DAY, events_of, write_log
from whybuy import columns as c
from whybuy.progress import quiet
from whybuy.recommend.backtest.learn import number_items
from whybuy.recommend.backtest.slates import Reading, Survey, survey
from whybuy.recommend.store import connection

READING = Reading(reward="purchase", horizon_ms=DAY, lookback_ms=DAY, end_ms=10 * DAY, first_slot=1)
ITEMS = dict.fromkeys("abcdefgh")


def surveyed(tmp_path, rows: list[tuple], items: dict = ITEMS) -> Survey:
    events = events_of([(user, hours, "impression", *rest) for user, hours, *rest in rows], c.PROPENSITY, c.SLOT)
    log = write_log(tmp_path / "log", events, items, shards=2, window=(0, 10 * DAY))
    with connection() as (con, _):
        number_items(con, log)
        return survey(con, log, READING, quiet)


GOOD = [("u1", 1, "a", 0.5, 1), ("u1", 1, "b", 0.5, 2), ("u2", 2, "c", 0.25, 1)]


def test_good_slates_are_kept(tmp_path):
    found = surveyed(tmp_path, GOOD)
    assert sorted(found.times) == [DAY // 24, DAY // 12]
    assert found.left_out_in_words == {}


@pytest.mark.parametrize(
    ("rows", "n", "words"),
    [
        ([("u3", 3, "a", 0.0, 1), ("u3", 3, "b", 0.5, 2)], 2, "missing, 0 or above 1"),
        ([("u3", 3, "a", 1.2, 1)], 1, "missing, 0 or above 1"),
        ([("u3", 3, "a", None, 1)], 1, "missing, 0 or above 1"),
        ([("u3", 3, "a", 0.5, None), ("u3", 3, "b", 0.5, None)], 2, "without slots"),
        ([("u3", 3, "a", 0.5, 1), ("u3", 3, "b", 0.5, 1)], 2, "two items in one slot"),
        ([("u3", 3, "a", 0.5, 1), ("u3", 3, "b", 0.5, 3)], 2, "lack a slot before a logged one"),
        ([("u3", 3, "a", 0.5, 2), ("u3", 3, "b", 0.5, 3)], 2, "lack a slot before a logged one"),
        ([("u3", 239, "a", 0.5, 1)], 1, "shown within 1d of the log's end"),
        ([("u3", 3, None, 0.5, 1)], 1, "without an item"),
    ],
)
def test_a_defect_leaves_out_its_slate_and_is_counted(tmp_path, rows, n, words):
    found = surveyed(tmp_path, [*GOOD, *rows])
    assert len(found.times) == 2
    ((said, count),) = found.left_out_in_words.items()
    assert (words in said, count) == (True, n)


def test_a_duplicate_is_counted_and_its_first_row_kept(tmp_path):
    found = surveyed(tmp_path, [*GOOD, ("u3", 3, "a", 0.5, 1), ("u3", 3, "a", 0.5, 1)])
    assert len(found.times) == 3
    assert found.left_out_in_words == {"the same item a second time at the same moment": 1}


def test_shelves_are_what_was_shown_together_or_is_of_one_department(tmp_path):
    rows = [*GOOD, ("u3", 3, "b", 0.5, 1), ("u3", 3, "d", 0.5, 2)]
    categories = {"e": "x/y", "f": "x/z", "d": "w"}
    shelf = surveyed(tmp_path, rows, {item: categories.get(item) for item in ITEMS}).shelf
    a, b, alone, d, e, f, g, h = shelf
    assert a == b == d
    assert e == f
    assert alone == g == h  # never beside another item
    assert len({a, e, alone}) == 3


def test_an_item_that_is_always_there_is_told(tmp_path):
    found = surveyed(tmp_path, [*GOOD, ("u3", 3, "a", 0.5, 1), ("u3", 3, "d", 0.5, 2)])
    np.testing.assert_array_equal(found.always, [0])
