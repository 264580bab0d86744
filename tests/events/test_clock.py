"""How times are written, and what the span of a log makes of horizon and lookback."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from whybuy.events.clock import Reading, read_time
from whybuy.events.probe import open_probe
from whybuy.events.span import windows

HOUR, DAY = 3_600_000, 86_400_000


def reading_of(values: list[str], folder: Path) -> tuple[Reading | None, list[str]]:
    """How the values are read, and what they are read as."""
    file = folder / "times.csv"
    file.write_text("id,w\n" + "".join(f'{i},"{value}"\n' for i, value in enumerate(values)))
    with open_probe() as probe:
        (table,) = probe.tables(file)
        reading = read_time(probe, f"SELECT * FROM {table.head}", "w", type_=table.columns["w"])
        if reading is None:
            return None, []
        found = probe.rows(f"SELECT {reading.ms} FROM {table.head}")
    return reading, [f"{datetime.fromtimestamp(ms / 1000, tz=UTC):%Y-%m-%d %H:%M:%S}" for (ms,) in found]


@pytest.mark.parametrize(
    ("value", "time", "why"),
    [
        ("1511544070", "2017-11-24 17:21:10", "seconds since 1970"),
        ("1511544070000", "2017-11-24 17:21:10", "milliseconds since 1970"),
        ("1511544070000000", "2017-11-24 17:21:10", "microseconds since 1970"),
        ("1511544070000000000", "2017-11-24 17:21:10", "nanoseconds since 1970"),
        ("20171124", "2017-11-24 00:00:00", "days as numbers"),
        ("2017-11-24", "2017-11-24 00:00:00", "text"),
        ("2017-11-24 17:21:10 UTC", "2017-11-24 17:21:10", "text"),
        ("2017-11-24T17:21:10.277Z", "2017-11-24 17:21:10", "text"),
        ("2017-11-24 17:21:10+08:00", "2017-11-24 09:21:10", "text"),
    ],
)
def test_what_the_reader_reads_by_itself(value: str, time: str, why: str, tmp_path: Path) -> None:
    reading, times = reading_of([value], tmp_path)
    assert reading is not None
    assert (times, reading.why, reading.derive) == ([time], why, None)


def test_seconds_milliseconds_and_text_in_one_column(tmp_path: Path) -> None:
    _, times = reading_of(["1511544070", "1511544070000", "2017-11-24 17:21:10"], tmp_path)
    assert times == ["2017-11-24 17:21:10"] * 3


def test_an_unusual_format_becomes_an_expression(tmp_path: Path) -> None:
    reading, times = reading_of(["2014-12-06 02"], tmp_path)
    assert times == ["2014-12-06 02:00:00"]
    assert reading is not None
    assert reading.why == "text written as %Y-%m-%d %H"
    assert reading.derive is not None
    with open_probe() as probe:
        (row,) = probe.rows(f"SELECT {reading.derive} FROM (SELECT unnest(['2014-12-06 02', 'broken']) AS w) LIMIT 1")
    assert row == ("2014-12-06 02:00:00.000",)


def test_a_broken_time_stays_as_it_was_found(tmp_path: Path) -> None:
    reading, _ = reading_of(["2014-12-06 02"], tmp_path)
    assert reading is not None
    with open_probe() as probe:
        assert probe.rows(f"SELECT {reading.derive} FROM (SELECT 'broken' AS w)") == [("broken",)]


def test_month_and_day_are_told_apart_by_a_row(tmp_path: Path) -> None:
    reading, times = reading_of(["3/12/2010 8:26", "25/12/2010 8:26"], tmp_path)
    assert times == ["2010-12-03 08:26:00", "2010-12-25 08:26:00"]
    assert reading is not None
    assert reading.doubt == ""


def test_month_and_day_are_told_apart_by_the_span(tmp_path: Path) -> None:
    month_first, times = reading_of(["12/1/2010 8:26", "12/5/2010 8:26"], tmp_path)
    assert times == ["2010-12-01 08:26:00", "2010-12-05 08:26:00"]
    assert month_first is not None
    assert month_first.doubt == "%d/%m/%Y %H:%M fits as well; the one with the shorter span was taken"
    day_first, times = reading_of(["1/12/2010 8:26", "5/12/2010 8:26"], tmp_path)
    assert times == ["2010-12-01 08:26:00", "2010-12-05 08:26:00"]
    assert day_first is not None
    assert day_first.derive is not None


@pytest.mark.parametrize("values", [["1", "711"], ["829", "1111"], ["abc", "def"], ["10:30", "11:00"]])
def test_what_is_no_time(values: list[str], tmp_path: Path) -> None:
    assert reading_of(values, tmp_path) == (None, [])


@pytest.mark.parametrize(
    ("span", "duration"),
    [
        (400 * DAY, "7d"),
        (28 * DAY, "7d"),
        (28 * DAY - 1, "3d"),
        (12 * DAY, "3d"),
        (12 * DAY - 1, "1d"),
        (4 * DAY, "1d"),
        (4 * DAY - 1, "6h"),
        (DAY, "6h"),
        (DAY - 1, "1h"),
        (4 * HOUR, "1h"),
        (60_000, "1h"),
    ],
)
def test_horizon_and_lookback_come_from_the_span(span: float, duration: str) -> None:
    assert windows(span)[0] == duration


def test_why_these_durations() -> None:
    apart = "the 1st and the 99th percentile of time lie"
    assert windows(30 * DAY)[1] == f"{apart} 30.0 days apart, which is 28 days or more"
    assert windows(8 * DAY)[1] == f"{apart} 8.0 days apart; horizon and lookback together are at most half of it"
    assert (
        windows(HOUR)[1] == f"{apart} 60 minutes apart, too short for causal answers: the shortest durations were taken"
    )
    assert windows(None)[1].startswith("the log has no times")
