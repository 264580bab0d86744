"""The first pass over a log: every source is read once, mapped, judged row by row, and divided by users into buckets.

A bucket is about 250,000 rows, so that the second pass sorts and compares rows in memory whatever the size of the log.
The number of buckets follows from the sources' sizes alone, so that the same log gives the same shards.
"""

# The body of a built-in function is empty: DuckDB has it.
# mypy: disable-error-code="empty-body,untyped-decorator"

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir

from whybuy import columns as c
from whybuy.config import Config, EventsConfig
from whybuy.errors import SourceError
from whybuy.events.buckets import BUCKET, Buckets
from whybuy.events.clean import NO_ACTION, NO_TIME, Rules, judge_rows
from whybuy.events.duck import first_row, sql_of, table_of, whole_numbers
from whybuy.events.intake import Selection, make_view, n_unreadable, no_rows
from whybuy.events.map import (
    FOUND_ACTION,
    FOUND_TIME,
    RowContext,
    SourceMapping,
    map_rows,
    resolve_mapping,
    told_columns,
)
from whybuy.events.read import Source, absolute, estimated_rows, open_source, readable
from whybuy.events.times import SLASHED
from whybuy.progress import Report

EVENTS_PER_SHARD = 250_000
MAX_SHARDS = 512
"""Beyond 128 million rows shards grow instead: every bucket is an open file while rows are divided."""

_BATCH = 200_000
_HEAD = 100_000
_TYPES = dict.fromkeys((c.RATING, c.PRICE, c.QUANTITY, c.PROPENSITY), "float64") | {c.SLOT: "int32"}


@ibis.udf.scalar.builtin(name="hash")
def _hash(text: str) -> dt.uint64: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A source that is ready to be read.

    Attributes
    ----------
    number : its place among ``[[events]]``, from 0
    view : its rows under the contract's names, in its own types
    """

    number: int
    entry: EventsConfig
    source: Source
    mapping: SourceMapping
    view: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Divided:
    """What came of the first pass.

    Attributes
    ----------
    buckets : the rows
    present : columns of the contract that any source fills
    n_read : rows read, lines that are no rows included
    notes : what was decided, in words
    """

    buckets: Buckets
    present: set[str]
    n_read: int
    notes: list[str]


def open_sources(con: duckdb.DuckDBPyConnection, config: Config, tables: Mapping[str, object]) -> list[Opened]:
    """Open every source of the config and check its mapping; nothing is read yet but headers and samples."""
    return [_open(con, config, number, tables) for number in range(len(config.events))]


def _open(con: duckdb.DuckDBPyConnection, config: Config, number: int, tables: Mapping[str, object]) -> Opened:
    entry = config.events[number]
    own = [n for n in c.REQUIRED_COLUMNS if n not in entry.columns and n not in entry.constants]
    joined = entry.join.on if entry.join is not None else []
    wanted = [n for n in (*entry.columns.values(), *joined, *own) if n not in entry.derive]
    source = open_source(con, absolute(config, entry.path), tables=tables, wanted=wanted)
    join = None
    if entry.join is not None:
        other = open_source(con, absolute(config, entry.join.path), tables=tables, wanted=entry.join.on)
        join = (other, entry.join.on)
    present = dict.fromkeys([*source.columns, *(join[0].columns if join else ()), *entry.derive])
    mapping = resolve_mapping(entry, list(present), name=source.name)
    place_is_time = c.TIME not in mapping.present
    selection = Selection(
        columns=mapping.columns,
        derive=entry.derive,
        where=entry.where,
        join=join,
        # What an expression of the config is made of is not known here, and a join in it would lose the order.
        is_numbered=join is not None or entry.where is not None or bool(entry.derive) or place_is_time,
    )
    view = f"source_{number}"
    make_view(con, source, selection, name=view)
    return Opened(number=number, entry=entry, source=source, mapping=mapping, view=view)


def partition(
    con: duckdb.DuckDBPyConnection, opened: list[Opened], config: Config, folder: Path, report: Report
) -> Divided:
    """Read all sources and divide their rows into buckets under ``folder``.

    Raises
    ------
    SourceError
        A source cannot be read to its end, has no row, or no row that can be an event.
    """
    estimate = sum(estimated_rows(con, one.source) for one in opened)
    n_buckets = min(MAX_SHARDS, max(1, -(-estimate // EVENTS_PER_SHARD)))
    divider = _Divider(con, config, opened, Buckets(folder, n_buckets))
    for one in opened:
        report("read", one.number, len(opened), Path(one.entry.path).name)
        divider.divide(one)
    divider.buckets.close()
    report("read", len(opened), len(opened))
    notes = [note for one in opened for note in divider.what_was_found(one)]
    n_read = sum(part.n_rows + part.n_unreadable for part in divider.parts)
    return Divided(buckets=divider.buckets, present=divider.present, n_read=n_read, notes=notes)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """What one source gave."""

    n_rows: int
    n_rejected: int
    n_unreadable: int
    note: str


class _Divider:
    """Reads one source after the other into the same buckets."""

    def __init__(self, con: duckdb.DuckDBPyConnection, config: Config, opened: list[Opened], buckets: Buckets) -> None:
        self.buckets = buckets
        self.parts: list[_Part] = []
        self.present = set().union(*(one.mapping.present for one in opened))
        self._con = con
        self._config = config
        self._rules = Rules.of(config)

    def divide(self, one: Opened) -> None:
        """Read a source."""
        with readable(one.source.name):
            day_first, note = _day_first(self._con, one)
            context = RowContext(
                source=one.number,
                first_position=sum(part.n_rows for part in self.parts),
                day_first=day_first,
                max_text=self._config.clean.max_query_length,
            )
            mapped = map_rows(table_of(self._con, one.view), one.entry, one.mapping, context)
            rows = self._aligned(judge_rows(mapped, self._rules), one.mapping)
            n_rows, n_rejected = self.buckets.write(self._con.sql(sql_of(rows)).to_arrow_reader(_BATCH))
        unreadable = n_unreadable(self._con, one.source)
        if not n_rows and not unreadable:
            raise no_rows(one.source, one.entry.where)
        self.parts.append(_Part(n_rows=n_rows, n_rejected=n_rejected, n_unreadable=unreadable, note=note))

    def _aligned(self, judged: ir.Table, mapping: SourceMapping) -> ir.Table:
        """Return the columns that any source fills, the same for every source, and the bucket."""
        names = [n for n in c.MAPPABLE_COLUMNS if n in self.present and n not in c.REQUIRED_COLUMNS]
        filled = {n: judged[n] if n in judged.columns else ibis.null(_TYPES.get(n, "string")) for n in names}
        places = [name for name in (c.SOURCE, c.ROW) if name in judged.columns]
        fixed = {name: judged[name] for name in (c.USER, c.TIME_MS, c.ACTION, c.REASON, *places)}
        told = told_columns(judged, mapping, hide_user=self._config.privacy.pseudonymize)
        last = self.buckets.n_buckets
        bucket = ibis.ifelse(judged[c.REASON].isnull(), (_hash(judged[c.USER]) % last).cast("int32"), last)
        return judged.select(**fixed, **filled, **told, **{BUCKET: bucket.cast("int32")})

    def what_was_found(self, one: Opened) -> list[str]:
        """Return what must be told of a source that was read.

        Raises
        ------
        SourceError
            No row of it can be an event.
        """
        part = self.parts[one.number]
        reasons = _Reasons(self._con, self.buckets, one)
        if part.n_rejected == part.n_rows:
            told = [f"{n:,} {reason}{reasons.examples(reason)}" for reason, n in reasons.counts()]
            told += [f"{part.n_unreadable:,} unreadable lines"] if part.n_unreadable else []
            raise SourceError.of(
                found=f"None of the {part.n_rows + part.n_unreadable:,} rows of {one.source.name} can be an event: "
                f"{'; '.join(told)}",
                needed="At least one row with a user, a time and a known action is needed",
                do="Correct the mapping in whybuy.toml (columns, actions, time), or run `whybuy init`",
            )
        notes = [*one.mapping.notes, *([part.note] if part.note else [])]
        unknown = [reason for reason, _ in reasons.counts() if reason in (NO_ACTION, NO_TIME)]
        return notes + [f"{one.source.name}: {reason}{reasons.examples(reason)}" for reason in unknown]


class _Reasons:
    """Looks into the rejected rows of a source."""

    def __init__(self, con: duckdb.DuckDBPyConnection, buckets: Buckets, one: Opened) -> None:
        self._con = con
        self._rejects = buckets.rejects()
        self._number = one.number

    def counts(self) -> list[tuple[str, int]]:
        """Return the reasons with their rows, commonest first."""
        rows = self._query(f"SELECT {c.REASON}, count(*) AS n FROM rejects WHERE {c.SOURCE} = ?", [])
        return [(str(reason), int(n)) for reason, n in rows]

    def examples(self, reason: str) -> str:
        """Return the commonest values behind an unknown action or an unreadable time, in words."""
        column = {NO_ACTION: FOUND_ACTION, NO_TIME: FOUND_TIME}.get(reason)
        if column is None:
            return ""
        query = f"SELECT {column}, count(*) AS n FROM rejects WHERE {c.SOURCE} = ? AND {c.REASON} = ?"
        shown = [f"{'nothing' if v is None else repr(v[:40])} {n:,} times" for v, n in self._query(query, [reason])[:3]]
        return f" ({', '.join(shown)})"

    def _query(self, query: str, parameters: list[str]) -> list[tuple[Any, ...]]:
        if self._rejects is None:
            return []
        self._con.register("rejects", self._rejects)
        rows = self._con.execute(f"{query} GROUP BY ALL ORDER BY n DESC, 1", [self._number, *parameters]).fetchall()
        self._con.unregister("rejects")
        return rows


def _day_first(con: duckdb.DuckDBPyConnection, one: Opened) -> tuple[bool, str]:
    """Return whether dates such as 1/2/2010 start with the day, and what was decided in words.

    All dates of the source decide together; they are only looked at where its first rows have such dates.
    """
    column = c.TIME
    if column not in one.mapping.columns or one.entry.time not in ("auto", "text"):
        return False, ""
    if not table_of(con, one.view)[column].type().is_string():
        return False, ""
    slashed = f"{column} NOT LIKE '____-%' AND regexp_matches({column}, '{SLASHED}')"
    if first_row(con, f"SELECT 1 FROM (SELECT {column} FROM {one.view} LIMIT {_HEAD}) WHERE {slashed} LIMIT 1") is None:
        return False, ""
    parts = [f"max(CAST(regexp_extract({column}, '(\\d+)[/-](\\d+)', {n}) AS INTEGER))" for n in (1, 2)]
    first, second = whole_numbers(con, f"SELECT {', '.join(parts)} FROM {one.view} WHERE {slashed}")
    name = one.source.name
    if first > 12:
        return True, f"{name}: dates such as 31/12/2010 are read day first"
    if second > 12:
        return False, f"{name}: dates such as 12/31/2010 are read month first"
    return False, f"{name}: dates such as 1/2/2010 could be read day or month first; they are read month first"
