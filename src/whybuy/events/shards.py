"""Ingest: from the sources of a config to user shards, tables of items and users, and the facts of the log.

Two passes. The first (:mod:`whybuy.events.partition`) reads every source once and divides its rows by users into
buckets. The second takes one bucket after the other, marks bots, duplicates, moments and sessions, and writes the events
that remain as a shard, sorted by user and time. Nothing ever holds the whole log: DuckDB works within a fixed memory and
puts what does not fit beside the shards. Rejected rows go last, joined back to the rows as they were read, so that the
table of rejected rows shows them as they were found.

The identity ``rows read = rows kept + duplicates merged + rows rejected`` is checked before anything is handed over.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import ibis

from whybuy import columns as c
from whybuy.config import Config
from whybuy.errors import SourceError
from whybuy.events import log as names
from whybuy.events.catalog import make_tallies, rename_users, tally_shard, write_items, write_users
from whybuy.events.clean import DUPLICATE, KEPT, Rules, judge_users
from whybuy.events.intake import sql_of, table_of
from whybuy.events.locate import sql_text
from whybuy.events.log import EventLog
from whybuy.events.map import UNREADABLE_LINE, register_functions
from whybuy.events.partition import REJECTS, Taken, bucket_files, partition, relation, take_sources, unknown_notes
from whybuy.events.quality import Quality
from whybuy.events.read import enough_space
from whybuy.events.tally import LogFacts, facts_of, make_fact_tables, tally_facts
from whybuy.progress import Report, quiet
from whybuy.trust.privacy import key_from_environment

MEMORY_LIMIT = "1200MB"
"""What DuckDB may use: with Python and its libraries the whole stays under 2 GiB."""

_STAGE = ".reading"
_MAX_RAW = 500
_TYPES = {
    c.TIME_MS: "BIGINT", c.MOMENT: "INTEGER", c.RATING: "DOUBLE", c.PRICE: "DOUBLE", c.QUANTITY: "DOUBLE",
    c.PROPENSITY: "DOUBLE", c.SLOT: "INTEGER", c.SOURCE: "SMALLINT", c.ROW: "BIGINT",
}  # fmt: skip


def ingest(
    config: Config, folder: Path, *, tables: Mapping[str, object] | None = None, report: Report = quiet
) -> EventLog:
    """Read the sources of ``config`` and write the ingested log into ``folder``, which exists and is empty.

    Parameters
    ----------
    tables : pandas, Polars or Arrow tables that the config names as ``table:NAME``

    Raises
    ------
    SourceError
        A source cannot be read, or is no log: no user, no time, no row with a known action.
    ConfigError
        The mapping contradicts itself or the sources, or the key of pseudonyms is missing.
    WorkspaceError
        The disk is full.
    """
    privacy = config.privacy
    key = key_from_environment(privacy.key_variable) if privacy.pseudonymize else None
    stage = folder / _STAGE
    try:
        with enough_space():
            stage.mkdir()
            with _connection(stage, config.timezone) as con:
                quality = _Ingest(con, config, folder, key, tables or {}, report).run()
            path = folder / names.QUALITY
            path.write_text(json.dumps(quality.to_json(), indent=1, ensure_ascii=False), encoding="utf-8")
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    return EventLog.open(folder)


@contextmanager
def _connection(stage: Path, timezone: str) -> Iterator[duckdb.DuckDBPyConnection]:
    settings = {"memory_limit": MEMORY_LIMIT, "temp_directory": str(stage / "spilled")}
    with duckdb.connect(stage / "stage.duckdb", config=settings) as con:
        con.execute(f"SET TimeZone = {sql_text(timezone)}")
        register_functions(con)
        yield con


@dataclass
class _Ingest:
    """One ingest under way."""

    con: duckdb.DuckDBPyConnection
    config: Config
    folder: Path
    key: bytes | None
    tables: Mapping[str, object]
    report: Report
    notes: list[str] = field(default_factory=list)

    def run(self) -> Quality:
        taken = take_sources(self.con, self.config, self.tables, self.report)
        rules = Rules.of(self.config)
        buckets = self.folder / _STAGE / "buckets"
        n_buckets, notes = partition(self.con, taken, self.config, rules, buckets)
        self.notes += notes
        for source in taken:
            self.notes += unknown_notes(self.con, source, buckets)
        present = set().union(*(source.mapping.present for source in taken)) | {c.SESSION}
        self.shards(rules, buckets, n_buckets, present)
        self.rejected(taken, buckets)
        if not facts_of(self.con).rows_kept:
            raise self.nothing_left()
        self.notes += write_items(self.con, self.config, self.tables, self.folder / names.ITEMS)
        attributes, notes = write_users(self.con, self.config, self.tables, self.key, self.folder / names.USERS)
        self.notes += notes
        return self.quality(taken, facts_of(self.con), attributes)

    def shards(self, rules: Rules, buckets: Path, n_buckets: int, present: set[str]) -> None:
        """Clean bucket after bucket and write the shards."""
        self.con.execute(f"CREATE TABLE dropped ({c.SOURCE} SMALLINT, {c.ROW} BIGINT, {c.REASON} VARCHAR, {c.USER} VARCHAR)")
        make_tallies(self.con)
        make_fact_tables(self.con)
        (self.folder / names.SHARDS).mkdir()
        query = ""
        number = 0
        for bucket in range(n_buckets):
            self.report("clean", bucket, n_buckets)
            files = bucket_files(buckets, bucket)
            if not files:
                continue
            self.con.execute(f"CREATE OR REPLACE VIEW bucket AS SELECT * FROM {relation(files)}")
            query = query or sql_of(judge_users(table_of(self.con, "bucket"), rules))
            self.con.execute(f"CREATE OR REPLACE TEMP TABLE cleaned AS {query}")
            if self.key is not None:
                rename_users(self.con, "cleaned", self.key)
            number += self.shard(number, present)
            for file in files:
                file.unlink()
        self.report("clean", n_buckets, n_buckets)

    def shard(self, number: int, present: set[str]) -> int:
        """Write one shard and add it to the tallies; return 1, or 0 where no event is left."""
        self.con.execute(
            f"INSERT INTO dropped SELECT {c.SOURCE}, {c.ROW}, {c.REASON}, {c.USER} FROM cleaned "
            f"WHERE {c.REASON} IS NOT NULL"
        )
        self.con.execute(f"CREATE OR REPLACE VIEW kept AS SELECT * FROM cleaned WHERE {KEPT}")
        tally_facts(self.con, "cleaned", "kept", DUPLICATE, present)
        if not self.con.execute("SELECT 1 FROM kept LIMIT 1").fetchone():
            return 0
        tally_shard(self.con, "kept", present)
        path = self.folder / names.SHARDS / f"shard-{number:05d}.parquet"
        columns = ", ".join(_shard_column(name, present) for name in c.SHARD_COLUMNS)
        order = f"{c.USER}, {c.TIME_MS}, {c.SOURCE}, {c.ROW}"
        self.con.execute(
            f"COPY (SELECT {columns} FROM kept ORDER BY {order}) TO {sql_text(path)} (FORMAT parquet, COMPRESSION zstd)"
        )
        return 1
