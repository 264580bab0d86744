"""The first pass over a log: every source is copied, mapped and judged row by row, and divided by users into buckets.

A bucket holds all rows of some users: about 250,000 rows, so that the second pass sorts and compares rows in memory
whatever the size of the log. Buckets are Parquet files of a temporary folder; rows that are rejected for what they are
go to a bucket of their own. The number of buckets follows from the number of rows alone, so that the same log gives the
same shards.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb
import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir

from whybuy import columns as c
from whybuy.config import Config, EventsConfig
from whybuy.errors import SourceError
from whybuy.events.clean import NO_ACTION, NO_TIME, Rules, judge_rows
from whybuy.events.duck import first_row, sql_of, table_of
from whybuy.events.intake import Selection, copy_source, n_unreadable
from whybuy.events.locate import sql_text
from whybuy.events.map import RowContext, SourceMapping, map_rows, resolve_mapping
from whybuy.events.read import Source, absolute, enough_space, open_source
from whybuy.events.times import SLASHED
from whybuy.progress import Report

# The body of a built-in function is empty: DuckDB has it.
# mypy: disable-error-code="empty-body,untyped-decorator"

EVENTS_PER_SHARD = 250_000
REJECTS = -1
"""The bucket of rows that are rejected for what they are."""

_BUCKET = "bucket"
_TYPES = dict.fromkeys((c.RATING, c.PRICE, c.QUANTITY, c.PROPENSITY), "float64") | {c.SLOT: "int32"}


@ibis.udf.scalar.builtin(name="hash")
def _hash(text: str) -> dt.uint64: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A source that was copied.

    Attributes
    ----------
    number : its place among ``[[events]]``, from 0
    view : its rows under the contract's names, in its own types
    rows : how many rows it has
    unreadable : how many lines of it are no rows
    """

    number: int
    entry: EventsConfig
    source: Source
    mapping: SourceMapping
    view: str
    rows: int
    unreadable: int


def take_sources(
    con: duckdb.DuckDBPyConnection, config: Config, tables: Mapping[str, object], report: Report
) -> list[Taken]:
    """Copy every source of the config."""
    taken = []
    for number, entry in enumerate(config.events):
        report("read", number, len(config.events), entry.path)
        taken.append(_take(con, config, number, tables))
    report("read", len(config.events), len(config.events))
    return taken


def _take(con: duckdb.DuckDBPyConnection, config: Config, number: int, tables: Mapping[str, object]) -> Taken:
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
    selection = Selection(columns=mapping.columns, derive=entry.derive, where=entry.where, join=join)
    view = f"raw_{number}"
    rows = copy_source(con, source, selection, into=view)
    return Taken(
        number=number,
        entry=entry,
        source=source,
        mapping=mapping,
        view=view,
        rows=rows,
        unreadable=n_unreadable(con, source),
    )


def partition(
    con: duckdb.DuckDBPyConnection, taken: list[Taken], config: Config, rules: Rules, folder: Path
) -> tuple[int, list[str]]:
    """Write the rows of all sources into ``folder``, divided by bucket; return the number of buckets and notes."""
    n_buckets = max(1, -(-sum(source.rows for source in taken) // EVENTS_PER_SHARD))
    present = set().union(*(source.mapping.present for source in taken))
    position = 0
    notes: list[str] = []
    for source in taken:
        day_first, note = _day_first(con, source)
        context = RowContext(
            source=source.number,
            first_position=position,
            day_first=day_first,
            max_text=config.clean.max_query_length,
        )
        mapped = map_rows(table_of(con, source.view), source.entry, source.mapping, context)
        judged = judge_rows(mapped, rules)
        _write(con, _aligned(judged, present, n_buckets), folder / f"source={source.number}")
        _check_useful(con, source, folder)
        position += source.rows
        notes += [*source.mapping.notes, *note]
    return n_buckets, notes


def bucket_files(folder: Path, bucket: int) -> list[Path]:
    """Return the files of a bucket."""
    return sorted(folder.glob(f"source=*/{_BUCKET}={bucket}/*.parquet"))


def relation(files: list[Path]) -> str:
    """Return files of buckets as SQL to stand after FROM."""
    return f"read_parquet([{', '.join(map(sql_text, files))}], hive_partitioning = false)"


def _aligned(judged: ir.Table, present: set[str], n_buckets: int) -> ir.Table:
    """Return the columns that any source fills, the same for every source, and the bucket."""
    names = [n for n in c.MAPPABLE_COLUMNS if n in present and n not in c.REQUIRED_COLUMNS]
    filled = {name: judged[name] if name in judged.columns else ibis.null(_TYPES.get(name, "string")) for name in names}
    fixed = {name: judged[name] for name in (c.USER, c.TIME_MS, c.ACTION, c.SOURCE, c.ROW, c.REASON)}
    bucket = ibis.ifelse(judged[c.REASON].isnull(), (_hash(judged[c.USER]) % n_buckets).cast("int32"), REJECTS)
    return judged.select(**fixed, **filled, **{_BUCKET: bucket.cast("int32")})


def _write(con: duckdb.DuckDBPyConnection, rows: ir.Table, folder: Path) -> None:
    folder.mkdir(parents=True)
    with enough_space():
        con.execute(f"COPY ({sql_of(rows)}) TO {sql_text(folder)} (FORMAT parquet, PARTITION_BY ({_BUCKET}))")


def _check_useful(con: duckdb.DuckDBPyConnection, source: Taken, folder: Path) -> None:
    """Raise SourceError where no row of a source can be an event, saying why."""
    own = folder / f"source={source.number}"
    if any(path.name != f"{_BUCKET}={REJECTS}" for path in own.iterdir()):
        return
    reasons = [f"{n:,} {reason}{_examples(con, source, folder, reason)}" for reason, n in _rejects(con, source, folder)]
    if source.unreadable:
        reasons.append(f"{source.unreadable:,} unreadable lines")
    raise SourceError.of(
        found=f"None of the {source.rows + source.unreadable:,} rows of {source.source.name} can be an event: "
        f"{'; '.join(reasons)}",
        needed="At least one row with a user, a time and a known action is needed",
        do="Correct the mapping in whybuy.toml ([events.columns], [events.actions], time), or run `whybuy init`",
    )


def _rejects(con: duckdb.DuckDBPyConnection, source: Taken, folder: Path) -> list[tuple[str, int]]:
    """Return the reasons of a source's rejected rows with their counts, commonest first."""
    files = sorted(folder.glob(f"source={source.number}/{_BUCKET}={REJECTS}/*.parquet"))
    if not files:
        return []
    query = f"SELECT {c.REASON}, count(*) AS n FROM {relation(files)} GROUP BY ALL ORDER BY n DESC, 1"
    return [(str(reason), int(n)) for reason, n in con.execute(query).fetchall()]


def _examples(con: duckdb.DuckDBPyConnection, source: Taken, folder: Path, reason: str) -> str:
    """Return the commonest values behind an unknown action or an unreadable time, in words."""
    column = {NO_ACTION: c.ACTION, NO_TIME: c.TIME}.get(reason)
    if column is None or column not in source.mapping.columns:
        return ""
    files = sorted(folder.glob(f"source={source.number}/{_BUCKET}={REJECTS}/*.parquet"))
    rows = con.execute(
        f"SELECT CAST(v.{column} AS VARCHAR) AS value, count(*) AS n FROM {source.view} AS v "
        f"JOIN {relation(files)} AS r USING ({c.ROW}) WHERE r.{c.REASON} = ? "
        "GROUP BY ALL ORDER BY n DESC, value LIMIT 3",
        [reason],
    ).fetchall()
    shown = [f"{'nothing' if value is None else repr(value[:40])} {n:,} times" for value, n in rows]
    return f" ({', '.join(shown)})" if shown else ""


def unknown_notes(con: duckdb.DuckDBPyConnection, source: Taken, folder: Path) -> list[str]:
    """Return in words which actions and times of a source could not be read."""
    told = [r for r, _ in _rejects(con, source, folder) if r in (NO_ACTION, NO_TIME)]
    return [f"{source.source.name}: {reason}{_examples(con, source, folder, reason)}" for reason in told]


def _day_first(con: duckdb.DuckDBPyConnection, source: Taken) -> tuple[bool, list[str]]:
    """Return whether dates such as 1/2/2010 start with the day, decided by all of the source's dates together."""
    column = c.TIME
    if column not in source.mapping.columns or source.entry.time not in ("auto", "text"):
        return False, []
    if not table_of(con, source.view)[column].type().is_string():
        return False, []
    found = first_row(
        con,
        f"SELECT max(CAST(regexp_extract({column}, '(\\d+)[/-](\\d+)', 1) AS INTEGER)), "
        f"max(CAST(regexp_extract({column}, '(\\d+)[/-](\\d+)', 2) AS INTEGER)) FROM {source.view} "
        f"WHERE NOT starts_with({column}[3:], '-') AND NOT starts_with({column}[5:], '-') "
        f"AND regexp_matches({column}, '{SLASHED}')",
    )
    first, second = found or (None, None)
    if first is None:
        return False, []
    name = source.source.name
    if first > 12:
        return True, [f"{name}: dates such as 31/12/2010 are read day first"]
    if second > 12:
        return False, [f"{name}: dates such as 12/31/2010 are read month first"]
    return False, [f"{name}: dates such as 1/2/2010 could be read day or month first; they are read month first"]
