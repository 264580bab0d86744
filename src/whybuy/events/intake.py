"""Reading a source once, into a table on disk whose row number is the row's place in the source.

What was read is then fixed, whatever else is written to the file meanwhile, the rows can be counted before they are
divided into shards, and a rejected row can be shown as it was found. Rejected: reading twice (once to count, once to
clean), for the first of these reasons; numbering the rows in a stream, because a stream has one thread.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import duckdb

from whybuy import columns as c
from whybuy.errors import ColumnsError, ConfigError, SourceError, WhybuyError
from whybuy.events.duck import first_row, whole_numbers
from whybuy.events.presets import quote_name
from whybuy.events.read import Source, first_line, readable
from whybuy.events.text_files import UNREADABLE

_PLACE = "__place"


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What is copied from a source.

    Attributes
    ----------
    columns : name in the copy -> column of the source, joined or derived
    derive : new column -> SQL expression
    where : SQL condition
    join : a second source and the columns that both have
    """

    columns: Mapping[str, str]
    derive: Mapping[str, str]
    where: str | None = None
    join: tuple[Source, list[str]] | None = None


def copy_source(con: duckdb.DuckDBPyConnection, source: Source, selection: Selection, *, into: str) -> int:
    """Copy what is selected of ``source`` into the view ``into`` and return its number of rows.

    The view has the selected columns and :data:`whybuy.columns.ROW`, the row's place in its source.

    Raises
    ------
    ColumnsError
        A selected column is not there.
    ConfigError
        ``derive`` or ``where`` is no SQL that fits the source.
    SourceError
        The source cannot be read to its end, or has no row.
    """
    _check_columns(source, selection)
    _check_join(con, selection)
    table = f"{into}_rows"
    is_numbered = selection.where is not None or selection.join is not None
    columns = [f"{quote_name(name)} AS {quote_name(alias)}" for alias, name in selection.columns.items()]
    columns += [UNREADABLE] * source.has_mark + [_PLACE] * is_numbered
    query = f"SELECT {', '.join(columns)} FROM {_rows(source, selection, is_numbered=is_numbered)}"
    _check_sql(con, query, source, selection)
    with readable(source.name):
        con.execute(f"CREATE TABLE {table} AS {query}")
    row = f"{_PLACE} AS {c.ROW}, * EXCLUDE ({_PLACE})" if is_numbered else f"rowid AS {c.ROW}, *"
    con.execute(f"CREATE VIEW {into} AS SELECT {row} FROM {table}")
    (n_rows,) = whole_numbers(con, f"SELECT count(*) FROM {table}")
    if n_rows == 0 and not n_unreadable(con, source):
        raise _no_rows(source, selection)
    return n_rows


def _check_join(con: duckdb.DuckDBPyConnection, selection: Selection) -> None:
    """Raise SourceError where a row would be joined to several: it would become several events."""
    if selection.join is None:
        return
    other, on = selection.join
    keys = ", ".join(f"CAST({quote_name(name)} AS VARCHAR)" for name in on)
    with readable(other.name):
        found = first_row(con, f"SELECT {keys}, count(*) AS n FROM {other.relation} GROUP BY ALL HAVING n > 1 LIMIT 1")
    if found is not None:
        value = ", ".join(f"{name} = {v}" for name, v in zip(on, found, strict=False))
        raise SourceError.of(
            found=f"{other.name} has {found[-1]} rows with {value}",
            needed="One row for each value is needed, else an event would be counted several times",
            do="Join by more columns (on = [...]), or remove the repeated rows",
        )


def _rows(source: Source, selection: Selection, *, is_numbered: bool) -> str:
    """Return the relation with joined and derived columns and the condition."""
    rows = source.relation
    if is_numbered:
        rows = f"(SELECT *, row_number() OVER () - 1 AS {_PLACE} FROM {rows})"
    if selection.join is not None:
        other, on = selection.join
        same = " AND ".join(f"CAST(l.{q} AS VARCHAR) = CAST(r.{q} AS VARCHAR)" for q in map(quote_name, on))
        new = [f"r.{quote_name(name)}" for name in other.columns if name not in source.columns]
        rows = f"(SELECT {', '.join(['l.*', *new])} FROM {rows} AS l LEFT JOIN {other.relation} AS r ON {same})"
    if selection.derive:
        new = [f"({sql}\n) AS {quote_name(name)}" for name, sql in selection.derive.items()]
        rows = f"(SELECT {', '.join(['*', *new])} FROM {rows})"
    return f"(SELECT * FROM {rows} WHERE ({selection.where}\n))" if selection.where is not None else rows


def _check_columns(source: Source, selection: Selection) -> None:
    present = [*source.columns, *selection.derive]
    if selection.join is not None:
        other, on = selection.join
        for part in (source, other):
            if missing := [name for name in on if name not in part.columns]:
                raise ColumnsError.missing(missing, part.columns, where=part.name)
        present += other.columns
    if missing := [name for name in dict.fromkeys(selection.columns.values()) if name not in present]:
        raise ColumnsError.missing(missing, dict.fromkeys(present), where=source.name)


def _check_sql(con: duckdb.DuckDBPyConnection, query: str, source: Source, selection: Selection) -> None:
    """Raise ConfigError where an expression of the config does not fit the source."""
    if not selection.derive and selection.where is None:
        return
    try:
        con.execute(f"EXPLAIN {query}")
    except (duckdb.BinderException, duckdb.ParserException, duckdb.CatalogException) as error:
        written = [f"{name} = {sql!r}" for name, sql in selection.derive.items()]
        written += [f"where = {selection.where!r}"] if selection.where is not None else []
        raise ConfigError.of(
            found=f"{'; '.join(written)} cannot be computed from {source.name}: {first_line(error)}",
            needed=f"SQL on its columns is needed: {', '.join(source.columns)}",
            do="Correct it in whybuy.toml",
        ) from error


def _no_rows(source: Source, selection: Selection) -> WhybuyError:
    if selection.where is not None:
        return SourceError.of(
            found=f"No row of {source.name} satisfies where = {selection.where!r}",
            needed="At least one row is needed",
            do="Correct the condition in whybuy.toml, or remove it",
        )
    return SourceError.of(
        found=f"{source.name} has the columns {', '.join(source.columns)} and no rows",
        needed="At least one row is needed",
        do="Export it again",
    )


def n_unreadable(con: duckdb.DuckDBPyConnection, source: Source) -> int:
    """Return how many lines of a CSV source could not be read; 0 before it was copied."""
    if not source.rejects:
        return 0
    if first_row(con, "SELECT 1 FROM duckdb_tables() WHERE table_name = ?", [source.rejects]) is None:
        return 0
    return whole_numbers(con, f"SELECT count(DISTINCT (file_id, line)) FROM {source.rejects}")[0]
