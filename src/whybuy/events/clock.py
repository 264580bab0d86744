"""Which column holds the time, and how it is written.

Numbers are seconds, milliseconds, microseconds or nanoseconds since 1970 by their size, texts are ISO 8601. Where that
fails, the one format that reads most rows is taken, and written to the config as an SQL expression unless the reader of
events understands it by itself. A day and a month that cannot be told apart by any row are decided by the span: the
wrong order scatters a log over the year, so the reading with the shorter span wins, and the config says that it was a
choice.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import ibis

from whybuy.events.presets import quote_name
from whybuy.events.probe import Probe
from whybuy.events.times import time_ms

_EARLIEST_MS = int(datetime(1995, 1, 1, tzinfo=UTC).timestamp() * 1000)
_READABLE = 0.5  # a log with more broken times than good ones is better asked about
_DAYS = (
    "%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y", "%m-%d-%Y", "%d-%m-%Y", "%Y/%m/%d", "%Y%m%d", "%m/%d/%y", "%d/%m/%y",
    "%d-%b-%Y", "%d %b %Y", "%b %d, %Y", "%d %B %Y",
)  # fmt: skip
_CLOCKS = (
    " %H:%M:%S", " %H:%M", "", " %H:%M:%S.%f", " %I:%M:%S %p", " %I:%M %p", " %H", ", %I:%M %p", "T%H:%M:%S", "%H%M%S",
)  # fmt: skip
_FORMATS = (
    *(day + clock for day in _DAYS for clock in _CLOCKS),
    "%Y-%m-%d %H", "%Y-%m-%d %I:%M:%S %p", "%d/%b/%Y:%H:%M:%S %z", "%a %b %d %H:%M:%S %Y",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How the times of one column are read.

    Attributes
    ----------
    ms : SQL expression for milliseconds since 1970 in UTC, null where the time cannot be read
    derive : SQL expression that the config needs to write the time in ISO form, or None where the reader reads it
    share : the share of the head's rows whose time is readable and plausible
    why : how the times are written, in words
    doubt : another reading that fits all rows as well, in words, or empty
    """

    ms: str
    derive: str | None
    share: float
    why: str
    doubt: str = ""


def read_time(probe: Probe, source: str, column: str, *, type_: str) -> Reading | None:
    """Return how ``column`` of the query ``source`` is read as a time, or None where half of it cannot be."""
    name = quote_name(column)
    if type_.startswith(("TIMESTAMP", "DATE")):
        ms = f"epoch_ms(CAST({name} AS TIMESTAMPTZ))"
        words = "days: all events of a user's day are one moment" if type_ == "DATE" else ""
        return _reading(probe, source, ms, why=words)
    if type_.startswith(("TIME", "INTERVAL", "BOOLEAN", "STRUCT", "MAP")) or type_.endswith("]"):
        return None
    found = _reading(probe, source, _auto_ms(name, type_), why=_how_written(probe, source, name))
    return found or _by_format(probe, source, name)


def _auto_ms(name: str, type_: str) -> str:
    text = f"CAST({name} AS VARCHAR)"
    number = name if type_ in ("INTEGER", "BIGINT", "DOUBLE") else f"TRY_CAST({text} AS DOUBLE)"
    return (
        f"CAST(CASE WHEN {number} IS NULL THEN epoch_ms(TRY_CAST({text} AS TIMESTAMPTZ)) "
        f"WHEN {number} BETWEEN 19000101 AND 21001231 THEN epoch_ms(try_strptime({text}, '%Y%m%d')) "
        f"WHEN abs({number}) < 1e11 THEN {number} * 1e3 WHEN abs({number}) < 1e14 THEN {number} "
        f"WHEN abs({number}) < 1e17 THEN {number} / 1e3 WHEN abs({number}) < 9e18 THEN {number} / 1e6 END AS BIGINT)"
    )


def _plausible(ms: str) -> str:
    latest = int((datetime.now(UTC) + timedelta(days=1)).timestamp() * 1000)
    return f"({ms} BETWEEN {_EARLIEST_MS} AND {latest})"


def _reading(probe: Probe, source: str, ms: str, *, why: str) -> Reading | None:
    query = f"SELECT count(*) FILTER (WHERE {_plausible(ms)}) / count(*) FROM ({source})"
    share = float(probe.rows(query)[0][0])
    return Reading(ms=ms, derive=None, share=share, why=why) if share >= _READABLE else None


def _how_written(probe: Probe, source: str, name: str) -> str:
    """Return in words how the numbers or texts of a column write time, by the commonest way."""
    text = f"CAST({name} AS VARCHAR)"
    query = (
        "SELECT mode(CASE WHEN n IS NULL THEN 'text' WHEN n BETWEEN 19000101 AND 21001231 THEN 'days as numbers' "
        "WHEN n < 1e11 THEN 'seconds since 1970' WHEN n < 1e14 THEN 'milliseconds since 1970' "
        "WHEN n < 1e17 THEN 'microseconds since 1970' ELSE 'nanoseconds since 1970' END) "
        f"FROM (SELECT abs(TRY_CAST({text} AS DOUBLE)) AS n FROM ({source}))"
    )
    return str(probe.rows(query)[0][0] or "text")


def _by_format(probe: Probe, source: str, name: str) -> Reading | None:
    """Return the reading by the format that fits most rows; of equal ones, the one with the shortest span."""
    text = f"trim(CAST({name} AS VARCHAR))"
    parsed = [f"epoch_ms(try_strptime({text}, '{form}'))" for form in _FORMATS]
    counts = ", ".join(f"count(*) FILTER (WHERE {_plausible(ms)}), max({ms}) - min({ms}), count(*)" for ms in parsed)
    values = probe.rows(f"SELECT {counts} FROM ({source})")[0]
    fits = [(-values[3 * i] / values[3 * i + 2], values[3 * i + 1] or 0, i, form) for i, form in enumerate(_FORMATS)]
    good = sorted(fit for fit in fits if -fit[0] >= _READABLE)
    if not good:
        return None
    share, _, index, form = good[0]
    equal = next((other[3] for other in good[1:] if other[0] == share), None)
    read = f"try_strptime({text}, '{form}')"
    derive = f"coalesce(strftime({read}, '%Y-%m-%d %H:%M:%S.%g'), CAST({name} AS VARCHAR))"
    by_reader = _reader_reads(probe, source, name, day_first=form.startswith("%d"))
    return Reading(
        ms=parsed[index],
        derive=None if by_reader and not (equal and form.startswith("%d")) else derive,
        share=-share,
        why=f"text written as {form}",
        doubt=f"{equal} fits as well; the one with the shorter span was taken" if equal else "",
    )


def _reader_reads(probe: Probe, source: str, name: str, *, day_first: bool) -> bool:
    """Return whether the reader of events understands a sample of the texts; it settles day and month by itself."""
    texts = f"SELECT DISTINCT CAST({name} AS VARCHAR) AS text FROM ({source}) WHERE {name} IS NOT NULL LIMIT 200"
    time = time_ms(ibis.table({"text": "string"}, name="texts").text, day_first=day_first)
    sql = ibis.to_sql(time.name("ms"), dialect="duckdb")
    return bool(probe.rows(f"WITH texts AS ({texts}) SELECT count(*) = count(ms) FROM ({sql})")[0][0])
