"""A source under the contract's names: columns selected, joined and derived, as a view that has not been read yet.

Every source is read exactly once, by whoever selects from its view: what is read then is the log, whatever else is
written to the file meanwhile. Rows are numbered by their place in the source. Where nothing is joined or left out, rows
come in the source's order and the reader numbers them as they pass; numbering in SQL runs in one thread, so that it is
only asked for where the order would be lost.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import duckdb

from whybuy import columns as c
from whybuy.errors import ColumnsError, ConfigError, SourceError
from whybuy.events.duck import first_row, whole_numbers
from whybuy.events.presets import quote_name
from whybuy.events.read import Source, first_line, readable
from whybuy.events.text_files import UNREADABLE

_PLACE = "__place"
_PLAIN = (
    "VARCHAR", "BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER",
    "UBIGINT", "UHUGEINT", "FLOAT", "DOUBLE", "DECIMAL", "DATE", "TIMESTAMP",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What is taken from a source.

    Attributes
    ----------
    columns : name in the view -> column of the source, joined or derived
    derive : new column -> SQL expression
    where : SQL condition
    join : a second source and the columns that both have
    is_numbered : whether the view numbers the rows, in :data:`whybuy.columns.ROW`
    """

    columns: Mapping[str, str]
    derive: Mapping[str, str]
    where: str | None = None
    join: tuple[Source, list[str]] | None = None
    is_numbered: bool = False


def make_view(con: duckdb.DuckDBPyConnection, source: Source, selection: Selection, *, name: str) -> None:
    """Make the view ``name`` of what is selected of ``source``.

    Raises
    ------
    ColumnsError
        A selected column is not there.
    ConfigError
        ``derive`` or ``where`` is no SQL that fits the source.
    SourceError
        A row would be joined to several.
    """
    _check_columns(source, selection)
    _check_join(con, selection)
    rows = _rows(source, selection)
    try:
        with readable(source.name):
            types = dict(
                con.execute(f"SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM {rows})").fetchall()
            )
            columns = [_column(column, alias, types[column]) for alias, column in selection.columns.items()]
            columns += [UNREADABLE] * source.has_mark + [f"{_PLACE} AS {c.ROW}"] * selection.is_numbered
            con.execute(f"CREATE TEMP VIEW {name} AS SELECT {', '.join(columns)} FROM {rows}")
    except SourceError as error:
        if not selection.derive and selection.where is None:
            raise
        written = [f"{column} = {sql!r}" for column, sql in selection.derive.items()]
        written += [f"where = {selection.where!r}"] if selection.where is not None else []
        raise ConfigError.of(
            found=f"{'; '.join(written)} cannot be computed from {source.name}: {first_line(error.__cause__ or error)}",
            needed=f"SQL on its columns is needed: {', '.join(source.columns)}",
            do="Correct it in whybuy.toml",
        ) from error


def _column(column: str, alias: str, dtype: str) -> str:
    """Return SQL for a column; what is neither number, time nor text (an enumeration, a UUID) is read as text."""
    is_plain = dtype.startswith(_PLAIN)
    value = quote_name(column) if is_plain else f"CAST({quote_name(column)} AS VARCHAR)"
    return f"{value} AS {quote_name(alias)}"


def _rows(source: Source, selection: Selection) -> str:
    """Return the relation with joined and derived columns and the condition."""
    rows = source.relation
    if selection.is_numbered:
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


def _check_join(con: duckdb.DuckDBPyConnection, selection: Selection) -> None:
    """Raise SourceError where a row would be joined to several: it would become several events."""
    if selection.join is None:
        return
    other, on = selection.join
    keys = ", ".join(f"CAST({quote_name(name)} AS VARCHAR)" for name in on)
    query = f"SELECT {keys}, count(*) AS n FROM {other.relation} GROUP BY ALL HAVING n > 1 ORDER BY ALL LIMIT 1"
    with readable(other.name):
        found = first_row(con, query)
    if found is not None:
        value = ", ".join(f"{name} = {v}" for name, v in zip(on, found, strict=False))
        raise SourceError.of(
            found=f"{other.name} has {found[-1]} rows with {value}",
            needed="One row for each value is needed, else an event would be counted several times",
            do="Join by more columns (on = [...]), or remove the repeated rows",
        )


def no_rows(source: Source, where: str | None) -> SourceError:
    """Return the error for a source without rows."""
    if where is not None:
        return SourceError.of(
            found=f"No row of {source.name} satisfies where = {where!r}",
            needed="At least one row is needed",
            do="Correct the condition in whybuy.toml, or remove it",
        )
    return SourceError.of(
        found=f"{source.name} has the columns {', '.join(source.columns)} and no rows",
        needed="At least one row is needed",
        do="Export it again",
    )


def n_unreadable(con: duckdb.DuckDBPyConnection, source: Source) -> int:
    """Return how many lines of a CSV source could not be read; 0 before it was read."""
    if not source.rejects:
        return 0
    if first_row(con, "SELECT 1 FROM duckdb_tables() WHERE table_name = ?", [source.rejects]) is None:
        return 0
    return whole_numbers(con, f"SELECT count(*) FROM {unreadable_lines(source)}")[0]


def unreadable_lines(source: Source) -> str:
    """Return SQL after FROM for the lines of a CSV source that could not be read: ``line`` from 1, ``line_text``.

    A line is listed once for each of its faults and each time that its file is looked at.
    """
    lines = f"SELECT file_path, line, any_value(csv_line) AS line_text FROM {source.rejects}"
    return f"({lines} JOIN {source.rejects}_scan USING (scan_id, file_id) GROUP BY file_path, line)"
