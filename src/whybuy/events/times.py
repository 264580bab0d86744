"""Times of every kind to integer milliseconds since 1970-01-01 UTC, as one Ibis expression.

Integers and digit texts are told apart by magnitude, row by row, because logs mix them: below 1e11 they are seconds
(until the year 5138), below 1e14 milliseconds, below 1e17 microseconds, else nanoseconds; 8 and 14 digits that start
with a year are dates written without separators. Texts with a zone are honored; those without one are read in the
session's ``TimeZone``, which the reader sets to the config's. Everything is floored to whole milliseconds in integer
arithmetic, so that two engines agree to the last event. A time that cannot be read is null, never a guess.
"""

# The bodies of built-in functions are empty: DuckDB has them.
# mypy: disable-error-code="empty-body,untyped-decorator"

from typing import Any

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir

from whybuy.config import TimeKind

_UTC = dt.Timestamp(timezone="UTC")
_NUMBER = dt.Decimal(38, 6)
_DECIMAL = r"^\s*-?[0-9]*\.?[0-9]+([eE][-+]?[0-9]+)?\s*$"
_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_DATE_FORMATS = ("%m/%d/%Y", "%m-%d-%Y")
_CLOCK_FORMATS = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p")
_OTHER_FORMATS = (
    "%d.%m.%Y", "%d.%m.%Y %H:%M", "%d.%m.%Y %H:%M:%S",
    "%Y%m%d %H%M%S", "%Y%m%d %H:%M:%S", "%Y-%m-%d %H:%M:%S,%f", "%Y-%m-%dT%H:%M:%S,%f",
    "%d %b %Y", "%d %b %Y %H:%M:%S", "%b %d, %Y", "%b %d, %Y, %I:%M:%S %p",
)  # fmt: skip
_ZONED_FORMATS = (
    "%Y-%m-%d %H:%M:%S %z", "%Y-%m-%d %H:%M:%S.%f %z", "%Y-%m-%dT%H:%M:%S%Z",
    "%a, %d %b %Y %H:%M:%S %Z", "%a, %d %b %Y %H:%M:%S %z", "%d/%b/%Y:%H:%M:%S %z",
)  # fmt: skip

SLASHED = r"^\s*\d{1,2}[/-]\d{1,2}[/-]\d{4}"
"""Dates whose first two numbers may be month and day or day and month: one source has one order."""


@ibis.udf.scalar.builtin(name="epoch_us")
def _epoch_us(time: dt.Timestamp(timezone="UTC")) -> dt.int64: ...  # type: ignore[valid-type]


@ibis.udf.scalar.builtin(name="try_strptime")
def _naive_time(text: str, formats: dt.Array(dt.string)) -> dt.timestamp: ...  # type: ignore[valid-type]


@ibis.udf.scalar.builtin(name="try_strptime")
def _zoned_time(text: str, formats: dt.Array(dt.string)) -> dt.Timestamp(timezone="UTC"): ...  # type: ignore[valid-type]


def _epoch_ms(time: ir.Value) -> ir.IntegerValue:
    """Return the whole milliseconds of a time; DuckDB's own ``epoch_ms`` rounds."""
    return _floor(_epoch_us(time) / 1_000)


def time_ms(value: ir.Value, kind: TimeKind = "auto", *, day_first: bool = False) -> ir.IntegerValue:
    """Return the int64 milliseconds UTC of ``value``, null where it cannot be read.

    Parameters
    ----------
    value : a timestamp, a date, a number, or text
    kind : how numbers are meant; "auto" decides by magnitude, "text" reads no numbers, "order" takes a position as is
    day_first : whether ``1/2/2010`` is the first of February
    """
    dtype = value.type()
    if dtype.is_timestamp() or dtype.is_date():
        return _epoch_ms(value.cast(_UTC))
    if dtype.is_integer():
        return _of_number(value.cast("int64"), kind)
    if dtype.is_numeric():
        return _of_number(value.try_cast(_NUMBER), kind)
    return _of_text(value if dtype.is_string() else value.cast("string"), kind, day_first=day_first)


def _of_text(text: ir.StringValue, kind: TimeKind, *, day_first: bool) -> ir.IntegerValue:
    # A cast that fails costs a microsecond a row, so that the shape of the text chooses which one is tried.
    iso = _epoch_ms(text.try_cast(_UTC))
    other = _of_layouts(text.strip(), day_first=day_first)
    nothing = ibis.null("int64")
    is_written, is_number = kind in ("auto", "text"), kind != "text"
    return ibis.cases(
        (text.like("____-%") | text.like("____/%"), ibis.coalesce(iso, other) if is_written else nothing),
        (text.re_search(r"^\s*-?[0-9]+\s*$"), _of_number(text.try_cast("int64"), kind) if is_number else nothing),
        (text.re_search(_DECIMAL), _of_number(text.try_cast(_NUMBER), kind) if is_number else nothing),
        else_=ibis.coalesce(other, iso) if is_written else nothing,
    )


def _of_number(number: Any, kind: TimeKind) -> ir.IntegerValue:
    if kind == "order":
        return _floor(number)
    if kind in _PER_SECOND:
        return _to_ms(number, _PER_SECOND[kind])
    return ibis.cases(
        (number.between(19_000_101, 21_001_231), _of_compact(number, "%Y%m%d")),
        (number.between(19_000_101_000000, 21_001_231_235959), _of_compact(number, "%Y%m%d%H%M%S")),
        (_within(number, 10**11), _to_ms(number, 1)),
        (_within(number, 10**14), _floor(number)),
        (_within(number, 10**17), _to_ms(number, 1_000_000)),
        else_=_to_ms(number, 1_000_000_000),
    )


def _within(number: Any, size: int) -> ir.BooleanValue:
    inside: ir.BooleanValue = number.between(1 - size, size - 1)
    return inside


def _of_compact(number: Any, layout: str) -> ir.IntegerValue:
    return _epoch_ms(_naive_time(number.cast("int64").cast("string"), [layout]).cast(_UTC))


def _to_ms(number: Any, per_second: int) -> ir.IntegerValue:
    if per_second <= 1_000:  # the bound keeps the product an int64
        return ibis.ifelse(_within(number, 10**15), _floor(number * (1_000 // per_second)), ibis.null("int64"))
    return _floor(number / (per_second // 1_000))


def _floor(number: Any) -> ir.IntegerValue:
    whole: ir.IntegerValue = number if number.type().is_integer() else number.floor().try_cast("int64")
    return whole


def _of_layouts(text: ir.StringValue, *, day_first: bool) -> ir.IntegerValue:
    dates = [f"%d{d[2]}%m{d[5:]}" if day_first else d for d in _DATE_FORMATS]
    naive = [date + clock for date in dates for clock in _CLOCK_FORMATS] + list(_OTHER_FORMATS)
    return _epoch_ms(ibis.coalesce(_naive_time(text, naive).cast(_UTC), _zoned_time(text, list(_ZONED_FORMATS))))
