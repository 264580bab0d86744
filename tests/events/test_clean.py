from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pytest

from whybuy import columns as c
from whybuy.config import config_from_dict
from whybuy.events.clean import DUPLICATE, KEPT, Rules, clean
from whybuy.events.duck import sql_of, table_of

RULES = Rules(earliest_ms=1_000, latest_ms=10**9, near_ms=1_000, gap_ms=1_800_000)


def cleaned(rows, rules=RULES, **columns):
    """Clean events given as (user, ms, action, item), with further columns; return a frame in the order given."""
    names = (c.USER, c.TIME_MS, c.ACTION, c.ITEM)
    types = (pa.string(), pa.int64(), pa.string(), pa.string())
    data = {n: pa.array(v, t) for n, v, t in zip(names, zip(*rows, strict=True), types, strict=True)}
    data |= {c.SOURCE: pa.array([0] * len(rows), pa.int16()), c.ROW: pa.array(range(len(rows)), pa.int64())}
    data |= {c.REASON: pa.nulls(len(rows), pa.string())}
    data |= {n: pa.array(v, pa.string() if isinstance(v[0], str) else pa.float64()) for n, v in columns.items()}
    with duckdb.connect() as con:
        con.register("mapped", pa.table(data))
        found = con.execute(sql_of(clean(table_of(con, "mapped"), rules))).df()
    return found.sort_values(c.ROW).reset_index(drop=True)


def reasons(rows, rules=RULES, **columns):
    found = cleaned(rows, rules, **columns)[c.REASON]
    return [None if pd.isna(reason) else reason for reason in found]


def test_a_row_has_the_first_reason_that_applies():
    rows = [
        ("u", 2_000, "view", "a"), (None, 2_000, None, "a"), ("  ", 2_000, "view", "a"), ("u", 2_000, None, "a"),
        ("u", None, "view", "a"), ("u", 999, "view", "a"), ("u", 10**9 + 1, "view", "a"),
    ]  # fmt: skip
    assert reasons(rows) == [
        None, "no user id", "no user id", "unknown action", "no readable time", "time too early", "time too late",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("column", "good", "bad"),
    [
        (c.PRICE, [0.0, 9.99, None], [-0.01, float("nan"), float("inf"), 1e11]),
        (c.RATING, [1.0, 3.5, 5.0, None], [0.0, 5.5, float("nan")]),
        (c.PROPENSITY, [1e-9, 1.0, None], [0.0, 1.01, float("nan")]),
        (c.SLOT, [0.0, 3.0, None], [-1.0, 1.5, 1e12]),
        (c.QUANTITY, [0.0, 1.0, None], [-1.0, 1e8, float("inf")]),
    ],
)
def test_impossible_numbers(column, good, bad):
    values = [*good, *bad]
    rows = [("u", 2_000 + 5_000 * i, "cart", "a") for i in range(len(values))]
    assert reasons(rows, **{column: values}) == [None] * len(good) + [f"impossible {column}"] * len(bad)


def test_a_negative_purchase_is_a_return_and_nothing_bought_is_impossible():
    rows = [("u", 2_000 + 5_000 * i, "purchase", "a") for i in range(3)] + [("u", 90_000, "return", "a")]
    found = cleaned(rows, **{c.QUANTITY: [2.0, -3.0, 0.0, -4.0]})
    assert list(found[c.ACTION][[0, 1, 3]]) == ["purchase", "return", "return"]
    assert list(found[c.QUANTITY][[0, 1, 3]]) == [2.0, 3.0, 4.0]
    assert found[c.REASON][2] == "impossible quantity"


def duplicates(rows, rules=RULES, **columns):
    return list(cleaned(rows, rules, **columns)[DUPLICATE])


def test_near_duplicates_are_merged_into_the_one_before():
    rows = [
        ("u", 5_000, "view", "a"), ("u", 6_000, "view", "a"), ("u", 7_001, "view", "a"), ("u", 7_001, "view", "b"),
        ("v", 7_001, "view", "a"), ("u", 7_001, "cart", "a"), ("u", 7_001, "view", None), ("u", 7_500, "view", None),
    ]  # fmt: skip
    assert duplicates(rows) == [False, True, False, False, False, False, False, True]


def test_a_chain_of_near_duplicates_is_one_event():
    assert duplicates([("u", 5_000 + 900 * i, "view", "a") for i in range(4)]) == [False, True, True, True]


@pytest.mark.parametrize("column", [c.QUERY, c.ORDER, c.CAMPAIGN, c.ARM])
def test_events_that_differ_in_what_they_are_about_are_not_merged(column):
    rows = [("u", 5_000, "search", None)] * 3
    assert duplicates(rows, **{column: ["x", "y", "x"]}) == [False, False, True]


def test_lines_of_a_basket_differ_by_quantity_and_price_where_views_do_not():
    rows = [("u", 5_000, "purchase", "a")] * 3 + [("u", 9_000, "view", "a")] * 2
    found = duplicates(rows, **{c.ORDER: ["o"] * 5, c.QUANTITY: [1.0, 2.0, 1.0, 1.0, 2.0], c.PRICE: [5.0] * 5})
    assert found == [False, False, True, False, True]


def test_categories_tell_events_apart_only_without_an_item():
    rows = [("u", 5_000, "view", None)] * 2 + [("u", 5_000, "view", "a")] * 2
    assert duplicates(rows, **{c.CATEGORY: ["x", "y", "x", "y"]}) == [False, False, False, True]


def test_positions_merge_only_what_is_equal():
    rules = Rules(earliest_ms=None, latest_ms=None, near_ms=0, gap_ms=None)
    found = cleaned([("u", 1, "view", "a"), ("u", 1, "view", "a"), ("u", 2, "view", "a")], rules)
    assert list(found[DUPLICATE]) == [False, True, False]
    assert list(found[c.SESSION]) == ["s1", "s1", "s1"]


def test_a_rejected_row_is_not_what_a_duplicate_follows():
    rows = [("u", 5_000, "view", "a"), ("u", 5_100, "view", "a")]
    assert duplicates(rows, **{c.PRICE: [-1.0, 1.0]}) == [False, False]


def test_suspected_bots_and_test_accounts_are_set_aside_whole():
    rules = Rules(earliest_ms=0, latest_ms=10**9, max_per_minute=3, max_per_day=6, test_accounts=r"(?i)^test([_.].*)?$")
    rows = [("fast", 60_000 + 2_000 * i, "view", f"i{i}") for i in range(4)] + [("fast", 10**8, "view", "a")]
    rows += [("steady", 60_000 * i, "view", f"i{i}") for i in range(1, 8)]
    rows += [("TEST_1", 5_000, "view", "a"), ("tester", 5_000, "view", "a")]
    assert reasons(rows, rules) == [
        *["suspected bot: over 3 events in a minute"] * 5,
        *["suspected bot: over 6 events in a day"] * 7,
        "test account",
        None,
    ]


def test_a_large_basket_makes_no_bot():
    rules = Rules(earliest_ms=0, latest_ms=10**9, max_per_minute=3)
    rows = [("u", 5_000, "purchase", f"i{i}") for i in range(9)]
    assert reasons(rows, rules, **{c.ORDER: ["o"] * 9}) == [None] * 9
    assert reasons(rows, rules, **{c.ORDER: list("abcdefghi")}) == ["suspected bot: over 3 events in a minute"] * 9


def test_rows_that_are_left_out_have_no_moment():
    rows = [("u", 5_000, "view", "a"), ("u", 5_500, "view", "a"), ("u", 9_000, "view", "a"), ("u", 10, "view", "a")]
    found = cleaned(rows)
    assert list(found[KEPT]) == [True, False, True, False]
    assert found[c.MOMENT].tolist()[0::2] == [0, 1]
    assert found[c.MOMENT].isna().tolist() == [False, True, False, True]


def test_the_order_of_rows_changes_nothing():
    rows = [("u", 5_000 + 700 * (i * 7 % 5), "view", "ab"[i % 2]) for i in range(12)]
    found = cleaned(rows).drop(columns=c.ROW)
    shuffled = cleaned(rows[::-1]).drop(columns=c.ROW)
    key = [c.TIME_MS, c.ITEM, KEPT]
    pd.testing.assert_frame_equal(
        found.sort_values(key).reset_index(drop=True), shuffled.sort_values(key).reset_index(drop=True)
    )


def test_rules_follow_the_config():
    base = {"events": [{"path": "x.csv"}], "clean": {"near_duplicate": "2s", "latest": "2024-01-01", "bots": False}}
    rules = Rules.of(config_from_dict(base, base=Path()))
    assert (rules.near_ms, rules.gap_ms, rules.max_per_minute, rules.too_late) == (
        2_000, 1_800_000, None, "time after 2024-01-01",
    )  # fmt: skip
    order = {"events": [{"path": "x.csv", "time": "order"}]}
    rules = Rules.of(config_from_dict(order, base=Path()))
    assert (rules.near_ms, rules.gap_ms, rules.earliest_ms, rules.max_per_day) == (0, None, None, None)
