"""DuckDB connections and atomic files of this room.

Everything that grows with the log passes through DuckDB one shard at a time; what is left over spills to a folder
beside the results, so that memory stays bounded whatever the log.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from whybuy import columns as c
from whybuy.engine import steady_duckdb

_MEMORY = "1200MB"  # a quarter of what a whole run may use; beyond it DuckDB spills


@contextmanager
def connection(beside: Path | None = None) -> Iterator[tuple[duckdb.DuckDBPyConnection, Path]]:
    """Yield a connection and a scratch folder, in ``beside`` or the system's place, both gone afterwards."""
    with TemporaryDirectory(dir=beside, prefix=".scratch-") as scratch, steady_duckdb() as con:
        con.execute(f"SET temp_directory = {quoted(scratch)}")
        con.execute(f"SET memory_limit = '{_MEMORY}'")
        yield con, Path(scratch)


def quoted(text: object) -> str:
    """Return ``text`` as a SQL string."""
    return "'" + str(text).replace("'", "''") + "'"


def parquet_list(paths: Iterable[Path]) -> str:
    """Return the SQL list of these paths."""
    return "[" + ", ".join(quoted(path) for path in paths) + "]"


def sql_in(values: Iterable[str]) -> str:
    """Return the SQL tuple of these texts."""
    return "(" + ", ".join(quoted(value) for value in values) + ")"


def write_query(con: duckdb.DuckDBPyConnection, query: str, path: Path) -> None:
    """Write the rows of ``query`` as Parquet, atomically and in the query's order."""
    write_parquet(con.sql(query).to_arrow_table(), path)


def write_parquet(table: pa.Table, path: Path) -> None:
    """Write ``table``, atomically."""
    temporary = path.with_name(f".{path.name}.part")
    pq.write_table(table, temporary, compression="zstd")
    os.replace(temporary, path)


def write_text(text: str, path: Path) -> None:
    """Write ``text``, atomically."""
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


FIRST_SHOWN = """
    SELECT u, t, item, slot, p FROM ev WHERE action = 'impression' AND item IS NOT NULL
    QUALIFY row_number() OVER (PARTITION BY u, t, item ORDER BY slot NULLS LAST, p) = 1
"""
"""Each item of a slate once, at its first slot; of the table ``ev``."""


def load_events(con: duckdb.DuckDBPyConnection, shards: Iterable[Path], *, only: str = "") -> int:
    """Make the tables ``people`` (u, user id) and ``ev`` (their events) from ``shards``; return the number of people.

    ``ev.t`` is the time of the moment: that of its first event, as everywhere. ``ev.item`` is the catalog's number,
    from the table ``items``. ``only`` names a table of user ids to which people are restricted.
    """
    source = f"read_parquet({parquet_list(shards)})"
    where = f"WHERE {c.USER} IN (SELECT {c.USER} FROM {only})" if only else ""
    con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE people AS
        SELECT CAST(row_number() OVER (ORDER BY {c.USER}) - 1 AS INTEGER) AS u, {c.USER}
        FROM (SELECT DISTINCT {c.USER} FROM {source} {where})
        """
    )
    con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE ev AS
        SELECT p.u, min(e.{c.TIME_MS}) OVER (PARTITION BY p.u, e.{c.MOMENT}) AS t,
               CAST(e.{c.ACTION} AS VARCHAR) AS action, i.item, coalesce(i.path, e.{c.CATEGORY}) AS path,
               e.{c.QUERY} AS query, e.{c.CAMPAIGN} AS campaign, e.{c.ARM} AS arm,
               CAST(e.{c.PROPENSITY} AS DOUBLE) AS p, e.{c.SLOT} AS slot
        FROM (SELECT * FROM {source} {where}) e
        JOIN people p USING ({c.USER}) LEFT JOIN items i USING ({c.ITEM})
        """
    )
    return int(con.execute("SELECT count(*) FROM people").fetchall()[0][0])


def load_shown_events(con: duckdb.DuckDBPyConnection, shard: Path, estimated: Path) -> None:
    """Make the tables of :func:`load_events`; ``ev.p`` is what stands in the folder ``estimated`` where nothing was
    logged, see :mod:`whybuy.recommend.personal.showing`.
    """
    load_events(con, [shard])
    found = estimated_file(estimated, shard)
    if found.exists():
        con.execute(
            f"""UPDATE ev SET p = e.p FROM read_parquet({quoted(found)}) e
                WHERE ev.u = e.u AND ev.t = e.t AND ev.item = e.item AND ev.action = 'impression'"""
        )


def estimated_file(folder: Path, shard: Path) -> Path:
    """Return where the estimated probabilities (u, t, item, p) of a shard's impressions stand."""
    return folder / f"showing-{shard.stem}.parquet"
