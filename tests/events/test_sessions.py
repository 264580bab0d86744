import duckdb
import pandas as pd

from whybuy import columns as c
from whybuy.events.duck import sql_of, table_of
from whybuy.events.sessions import number_moments

MINUTE = 60_000


def numbered(rows, columns, *, gap_ms=30 * MINUTE):
    frame = pd.DataFrame(rows, columns=columns).assign(kept=True)
    with duckdb.connect() as con:
        con.register("events", frame.assign(place=range(len(frame))))
        events = number_moments(table_of(con, "events"), kept="kept", gap_ms=gap_ms)
        return con.execute(f"SELECT * FROM ({sql_of(events)}) ORDER BY place").df()


def moments(rows):
    return list(numbered(rows, [c.USER, c.TIME_MS, c.ACTION, c.ORDER])[c.MOMENT])


def test_events_of_one_time_are_one_moment_of_their_user():
    rows = [("u", 10, "view", None), ("u", 10, "cart", None), ("u", 20, "view", None), ("v", 20, "view", None)]
    assert moments(rows) == [0, 0, 1, 0]


def test_lines_of_one_order_are_one_moment_at_the_time_of_the_first():
    rows = [
        ("u", 10, "purchase", "o"), ("u", 15, "view", None), ("u", 20, "purchase", "o"), ("u", 30, "view", None),
        ("v", 20, "purchase", "o"),
    ]  # fmt: skip
    assert moments(rows) == [0, 1, 0, 2, 0]


def test_events_at_the_time_of_a_later_line_belong_to_its_basket():
    rows = [("u", 10, "purchase", "o"), ("u", 20, "purchase", "o"), ("u", 20, "view", None), ("u", 21, "view", None)]
    assert moments(rows) == [0, 0, 0, 1]


def test_baskets_that_overlap_are_one_moment():
    rows = [
        ("u", 10, "purchase", "a"), ("u", 20, "purchase", "a"), ("u", 20, "purchase", "b"), ("u", 30, "purchase", "b"),
        ("u", 30, "view", None), ("u", 15, "view", None),
    ]  # fmt: skip
    assert moments(rows) == [0, 0, 0, 0, 0, 1]


def test_what_happens_to_an_order_later_is_no_line_of_it():
    rows = [
        ("u", 10, "purchase", "o"), ("u", 50, "return", "o"), ("u", 60, "return", "o"), ("u", 90, "review", "o"),
        ("u", 10, "redeem", "o"),
    ]  # fmt: skip
    assert moments(rows) == [0, 1, 1, 2, 0]


def test_sessions_are_cut_at_gaps_longer_than_the_limit():
    times = [0, 30 * MINUTE, 60 * MINUTE + 1, 60 * MINUTE + 1, 200 * MINUTE]
    rows = [("u", t, "view") for t in times] + [("v", 0, "view")]
    found = numbered(rows, [c.USER, c.TIME_MS, c.ACTION])
    assert list(found[c.SESSION]) == ["s1", "s1", "s2", "s2", "s3", "s1"]


def test_sessions_of_the_log_are_kept_and_gaps_filled():
    rows = [("u", 0, "view", "x"), ("u", 1, "view", None), ("u", 100 * MINUTE, "view", None)]
    found = numbered(rows, [c.USER, c.TIME_MS, c.ACTION, c.SESSION])
    assert list(found[c.SESSION]) == ["x", "s1", "s2"]
