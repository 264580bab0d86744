"""The table of rejected rows: every row that is no event of the log, as it was found, with its place and its reason."""

from pathlib import Path

import duckdb
import pyarrow as pa

from whybuy import columns as c
from whybuy.events.catalog import rename_users
from whybuy.events.intake import unreadable_lines
from whybuy.events.locate import sql_text
from whybuy.events.map import FOUND_ACTION, FOUND_TIME, MAX_RAW, RAW, UNREADABLE_LINE
from whybuy.events.partition import Opened

_COLUMNS = (c.SOURCE, c.ROW, c.REASON, c.USER, c.TIME, c.ACTION, RAW)


def make_rejected(con: duckdb.DuckDBPyConnection) -> None:
    """Make the empty table of rejected rows."""
    types = {c.SOURCE: "SMALLINT", c.ROW: "BIGINT"}
    columns = ", ".join(f"{name} {types.get(name, 'VARCHAR')}" for name in _COLUMNS)
    con.execute(f"CREATE TABLE rejected ({columns})")


def reject_found(con: duckdb.DuckDBPyConnection, rejects: pa.Table | None) -> None:
    """Add the rows that are rejected for what they are."""
    if rejects is None:
        return
    con.register("rejects", rejects)
    found = f"{FOUND_TIME} AS {c.TIME}, {FOUND_ACTION} AS {c.ACTION}, {RAW}"
    con.execute(f"INSERT INTO rejected BY NAME SELECT {c.SOURCE}, {c.ROW}, {c.REASON}, {c.USER}, {found} FROM rejects")
    con.unregister("rejects")


def reject_suspects(con: duckdb.DuckDBPyConnection, cleaned: str, present: set[str], *, hide_user: bool) -> None:
    """Add the rows of ``cleaned`` that are set aside for whose they are, as they were mapped, the time in ISO 8601.

    Parameters
    ----------
    present : columns of the contract that any source fills
    hide_user : leave out of the row what names the user
    """
    hidden = {c.TIME, *((c.USER, c.SESSION) if hide_user else ())}
    shown = [name for name in c.MAPPABLE_COLUMNS if name in present and name not in hidden]
    time = f"strftime(make_timestamp_ms({c.TIME_MS}), '%Y-%m-%dT%H:%M:%S.%gZ')"
    pairs = ", ".join([f"{name} := CAST({name} AS VARCHAR)" for name in shown] + [f"{c.TIME} := {time}"])
    con.execute(
        f"INSERT INTO rejected SELECT {c.SOURCE}, {c.ROW}, {c.REASON}, {c.USER}, {time}, {c.ACTION}, "
        f"left(to_json(struct_pack({pairs})), {MAX_RAW}) FROM {cleaned} WHERE {c.REASON} IS NOT NULL"
    )


def reject_lines(con: duckdb.DuckDBPyConnection, one: Opened, *, hide_user: bool) -> None:
    """Add the lines of a CSV that are no rows; their place is that of the line in its file."""
    raw = "NULL" if hide_user else f"to_json(left(line_text, {MAX_RAW - 50}))"
    con.execute(
        f"INSERT INTO rejected SELECT {one.number}, line - 2, '{UNREADABLE_LINE}', NULL, NULL, NULL, {raw} "
        f"FROM {unreadable_lines(one.source)}"
    )


def write_rejected(con: duckdb.DuckDBPyConnection, key: bytes | None, path: Path) -> dict[str, int]:
    """Write ``rejected.parquet``, sorted by source and place; return reason -> rows, commonest first."""
    if key is not None:
        rename_users(con, "rejected", key)
    con.execute(
        f"COPY (SELECT * FROM rejected ORDER BY {c.SOURCE}, {c.ROW}, {c.REASON}) TO {sql_text(path)} "
        "(FORMAT parquet, COMPRESSION zstd)"
    )
    rows = con.execute(f"SELECT {c.REASON}, count(*) AS n FROM rejected GROUP BY ALL ORDER BY n DESC, 1").fetchall()
    return {str(reason): int(n) for reason, n in rows}
