import duckdb
import ibis
import pandas as pd
import pyarrow as pa
import pytest

from whybuy.events.duck import sql_of, table_of
from whybuy.events.times import time_ms

T = 1_511_544_070_123  # 2017-11-24 17:21:10.123 UTC


def read(values, kind="auto", *, zone="UTC", **options):
    with duckdb.connect() as con:
        con.execute(f"SET TimeZone = '{zone}'")
        con.register("log", pa.table({"ts": values}))
        table = table_of(con, "log")
        return [row[0] for row in con.execute(sql_of(table.select(ms=time_ms(table.ts, kind, **options)))).fetchall()]


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("2017-11-24 17:21:10.123", T),
        ("2017-11-24T17:21:10.123Z", T),
        ("2017-11-24T17:21:10.123999Z", T),
        ("2017-11-25 01:21:10.123+08:00", T),
        ("2017-11-25 01:21:10.123 +0800", T),
        ("2017-11-24 17:21:10 UTC", T - 123),
        ("2017/11/24 17:21", T - 10_123),
        ("11/24/2017 17:21", T - 10_123),
        ("24.11.2017 17:21:10", T - 123),
        ("Fri, 24 Nov 2017 17:21:10 GMT", T - 123),
        ("Nov 24, 2017, 5:21:10 PM", T - 123),
        ("2017-11-24", 1_511_481_600_000),
        ("20171124", 1_511_481_600_000),
        ("20171124172110", T - 123),
        ("1511544070", T - 123),
        ("1511544070.123", T),
        (" 1511544070123 ", T),
        ("1511544070123456", T),
        ("1511544070123456789", T),
        ("-5", -5_000),
        ("yesterday", None),
        ("2017-13-45", None),
        ("24/11/2017", None),
        ("99999999999999999999999", None),
        ("", None),
        (None, None),
    ],
)
def test_texts(text, ms):
    assert read(pa.array([text], pa.string())) == [ms]


@pytest.mark.parametrize(
    "values",
    [
        pa.array([1_511_544_070], pa.int32()),
        pa.array([1_511_544_070_000], pa.int64()),
        pa.array([1_511_544_070_000_000], pa.int64()),
        pa.array([1_511_544_070.0], pa.float64()),
        pa.array([pd.Timestamp("2017-11-24 17:21:10")], pa.timestamp("ns")),
        pa.array([pd.Timestamp("2017-11-24 17:21:10")], pa.timestamp("s")),
        pa.array([pd.Timestamp("2017-11-25 01:21:10", tz="Asia/Shanghai")], pa.timestamp("us", "Asia/Shanghai")),
    ],
)
def test_numbers_and_timestamps(values):
    assert read(values) == [T - 123]


def test_seconds_milliseconds_and_text_in_one_column():
    assert read(pa.array(["1511544070", "1511544070123", "2017-11-24 17:21:10"])) == [T - 123, T, T - 123]


def test_times_without_a_zone_are_local():
    local = pa.array(["2017-11-25 01:21:10.123", "2017-11-24T17:21:10.123Z"])
    assert read(local, zone="Asia/Shanghai") == [T, T]
    naive = pa.array([pd.Timestamp("2017-11-25 01:21:10.123")], pa.timestamp("us"))
    assert read(naive, zone="Asia/Shanghai") == [T]
    assert read(naive.cast(pa.date32(), safe=False), zone="Asia/Shanghai") == [1_511_539_200_000]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("s", [1_000_000, None, 1_500]),
        ("ms", [1_000, None, 1]),
        ("us", [1, None, 0]),
        ("text", [None, T - 123, None]),
        ("order", [1_000, None, 1]),
    ],
)
def test_a_kind_is_taken_at_its_word(kind, expected):
    assert read(pa.array(["1000", "2017-11-24 17:21:10", "1.5"]), kind) == expected


def test_the_day_may_come_first():
    texts = pa.array(["1/2/2010", "24-11-2017 17:21"])
    assert read(texts, day_first=True) == [1_264_982_400_000, T - 10_123]
    assert read(texts) == [1_262_390_400_000, None]


def test_the_body_of_the_expression_is_portable_text():
    table = ibis.table({"ts": "string"}, name="log")
    assert "TIMESTAMPTZ" in sql_of(table.select(ms=time_ms(table.ts)))
