"""The table of rejected rows: every row that is no event of the log, as it was found, with its place and its reason."""

from pathlib import Path

import duckdb

from whybuy import columns as c
from whybuy.events.catalog import rename_users
from whybuy.events.locate import sql_text
from whybuy.events.map import UNREADABLE_LINE
from whybuy.events.partition import Taken
from whybuy.events.presets import quote_name

RAW = "raw"
"""Column with the mapped row as JSON text."""

_MAX_CHARACTERS = 500


def make_dropped(con: duckdb.DuckDBPyConnection) -> None:
    """Make the empty table of rows that are no events: where they stand and why."""
    con.execute(f"CREATE TABLE dropped ({c.SOURCE} SMALLINT, {c.ROW} BIGINT, {c.REASON} VARCHAR, {c.USER} VARCHAR)")


def drop_rows(con: duckdb.DuckDBPyConnection, relation: str) -> None:
    """Add the rows of ``relation`` that have a reason."""
    con.execute(
        f"INSERT INTO dropped SELECT {c.SOURCE}, {c.ROW}, {c.REASON}, {c.USER} FROM {relation} "
        f"WHERE {c.REASON} IS NOT NULL"
    )


def write_rejected(con: duckdb.DuckDBPyConnection, taken: list[Taken], key: bytes | None, path: Path) -> dict[str, int]:
    """Write ``rejected.parquet``, sorted by source and place; return reason -> rows, commonest first.

    With a key of pseudonyms no raw user id is written: neither as the user, nor in the row, nor in a line that could
    not be read.
    """
    if key is not None:
        rename_users(con, "dropped", key)
    parts = [_rows(source, hide=key is not None) for source in taken]
    parts += [_lines(source, hide=key is not None) for source in taken if source.unreadable]
    con.execute(f"CREATE TABLE rejected AS {' UNION ALL '.join(parts)}")
    con.execute(
        f"COPY (SELECT * FROM rejected ORDER BY {c.SOURCE}, {c.ROW}) TO {sql_text(path)} "
        "(FORMAT parquet, COMPRESSION zstd)"
    )
    rows = con.execute(f"SELECT {c.REASON}, count(*) AS n FROM rejected GROUP BY ALL ORDER BY n DESC, 1").fetchall()
    return {str(reason): int(n) for reason, n in rows}


def _rows(source: Taken, *, hide: bool) -> str:
    mapping = source.mapping
    hidden = {c.USER, *(n for n, column in mapping.columns.items() if column == mapping.columns.get(c.USER))}
    shown = [name for name in mapping.columns if not (hide and name in hidden)]
    pairs = ", ".join(f"{name} := CAST(v.{quote_name(name)} AS VARCHAR)" for name in shown)
    raw = f"left(to_json(struct_pack({pairs})), {_MAX_CHARACTERS})" if pairs else "NULL"
    found = {name: _found(source, name) for name in (c.TIME, c.ACTION)}
    return (
        f"SELECT d.{c.SOURCE}, d.{c.ROW}, d.{c.REASON}, d.{c.USER}, {found[c.TIME]} AS {c.TIME}, "
        f"{found[c.ACTION]} AS {c.ACTION}, CAST({raw} AS VARCHAR) AS {RAW} "
        f"FROM dropped AS d JOIN {source.view} AS v ON d.{c.ROW} = v.{c.ROW} WHERE d.{c.SOURCE} = {source.number}"
    )


def _found(source: Taken, name: str) -> str:
    if name in source.mapping.columns:
        return f"CAST(v.{name} AS VARCHAR)"
    value = source.mapping.constants.get(name)
    return "CAST(NULL AS VARCHAR)" if value is None else sql_text(str(value))


def _lines(source: Taken, *, hide: bool) -> str:
    """Return SQL for the lines of a CSV that could not be read; their place is that of the line in its file."""
    raw = "NULL" if hide else f"to_json(left(any_value(csv_line), {_MAX_CHARACTERS - 50}))"
    return (
        f"SELECT CAST({source.number} AS SMALLINT), line - 2, '{UNREADABLE_LINE}', NULL, NULL, NULL, "
        f"CAST({raw} AS VARCHAR) FROM {source.source.rejects} GROUP BY file_id, line"
    )
