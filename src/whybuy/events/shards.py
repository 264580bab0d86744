"""Ingest: from the sources of a config to user shards, tables of items and users, and the facts of the log.

Two passes. The first (:mod:`whybuy.events.partition`) reads every source once and divides its rows by users into
buckets. The second takes one bucket after the other, marks bots, duplicates, moments and sessions, and writes the
events that remain as a shard, sorted by user and time. Nothing ever holds the whole log: DuckDB works within a fixed
memory and puts what does not fit beside the shards. Rejected rows go last, joined back to the rows as they were read,
so that the table of rejected rows shows them as they were found.

The identity ``rows read = rows kept + duplicates merged + rows rejected`` is checked before anything is handed over.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from whybuy import columns as c
from whybuy.config import Config
from whybuy.errors import SourceError
from whybuy.events import log as names
from whybuy.events.catalog import make_tallies, rename_users, tally_shard, write_items, write_users
from whybuy.events.clean import DUPLICATE, KEPT, Rules, judge_users
from whybuy.events.duck import first_row, sql_of, table_of, whole_numbers
from whybuy.events.locate import sql_text
from whybuy.events.log import EventLog
from whybuy.events.map import register_functions
from whybuy.events.partition import REJECTS, Taken, bucket_files, partition, relation, take_sources, unknown_notes
from whybuy.events.quality import Quality
from whybuy.events.read import enough_space
from whybuy.events.rejected import drop_rows, make_dropped, write_rejected
from whybuy.events.tally import LogFacts, facts_of, make_fact_tables, own_category, tally_facts, times_of
from whybuy.progress import Report, quiet
from whybuy.trust.privacy import key_from_environment

MEMORY_LIMIT = "1200MB"
"""What DuckDB may use: with Python and its libraries the whole stays under 2 GiB."""

_STAGE = ".reading"
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
    settings: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": MEMORY_LIMIT,
        "temp_directory": str(stage / "spilled"),
    }
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
        n_buckets, self.notes = partition(self.con, taken, self.config, rules, buckets)
        for source in taken:
            self.notes += unknown_notes(self.con, source, buckets)
        for make in (make_dropped, make_tallies, make_fact_tables):
            make(self.con)
        shards = self.write_shards(rules, buckets, n_buckets, set().union(*(s.mapping.present for s in taken)))
        if rejects := bucket_files(buckets, REJECTS):
            drop_rows(self.con, relation(rejects))
        rejected = write_rejected(self.con, taken, self.key, self.folder / names.REJECTED)
        facts = facts_of(self.con)
        _check_identity(taken, facts, rejected)
        self.notes += write_items(self.con, self.config, self.tables, self.folder / names.ITEMS)
        attributes, notes = write_users(self.con, self.config, self.tables, self.key, self.folder / names.USERS)
        self.notes += notes
        return self.quality(shards, rejected, facts, attributes)

    def write_shards(self, rules: Rules, buckets: Path, n_buckets: int, present: set[str]) -> list[Path]:
        """Clean bucket after bucket and write what is left of each as a shard."""
        (self.folder / names.SHARDS).mkdir()
        query = ""
        written: list[Path] = []
        for bucket in range(n_buckets):
            self.report("clean", bucket, n_buckets)
            if not (files := bucket_files(buckets, bucket)):
                continue
            self.con.execute(f"CREATE OR REPLACE VIEW bucket AS SELECT * FROM {relation(files)}")
            query = query or sql_of(judge_users(table_of(self.con, "bucket"), rules))
            self.con.execute(f"CREATE OR REPLACE TEMP TABLE cleaned AS {query}")
            path = self.folder / names.SHARDS / f"shard-{len(written):05d}.parquet"
            written += [path] * self.write_shard(path, present)
            for file in files:
                file.unlink()
        self.report("clean", n_buckets, n_buckets)
        return written

    def write_shard(self, path: Path, present: set[str]) -> bool:
        """Write the events of the cleaned bucket and add them to the sums; return whether there were any."""
        con = self.con
        drop_rows(con, "cleaned")
        if self.key is not None:
            rename_users(con, "cleaned", self.key)
        con.execute(f"CREATE OR REPLACE TEMP VIEW kept AS SELECT * FROM cleaned WHERE {KEPT}")
        con.execute(
            f"INSERT INTO row_counts SELECT count(*) FILTER ({KEPT}), count(*) FILTER ({DUPLICATE}) FROM cleaned"
        )
        if first_row(con, "SELECT 1 FROM kept LIMIT 1") is None:
            return False
        tally_facts(con, events="kept", bucket="bucket", present=present)
        tally_shard(con, "kept", present)
        columns = ", ".join(_shard_column(name, present | {c.SESSION}) for name in c.SHARD_COLUMNS)
        order = f"{c.USER}, {c.TIME_MS}, {c.SOURCE}, {c.ROW}"
        con.execute(
            f"COPY (SELECT {columns} FROM kept ORDER BY {order}) TO {sql_text(path)} (FORMAT parquet, COMPRESSION zstd)"
        )
        return True

    def quality(self, shards: list[Path], rejected: dict[str, int], facts: LogFacts, attributes: list[str]) -> Quality:
        """Return the facts of the log."""
        times = times_of(self.con, shards)
        start, q01, q99, end = times.quantiles_ms
        items = sql_text(self.folder / names.ITEMS)
        n_items, n_categories = whole_numbers(
            self.con,
            f"SELECT (SELECT count(*) FROM {items}), (SELECT count({c.CATEGORY}) FROM "
            f"(SELECT {c.CATEGORY} FROM {items} UNION SELECT category FROM categories_seen))",
        )
        has_times = self.config.has_times
        return Quality(
            rows_read=facts.rows_kept + facts.duplicates_merged + sum(rejected.values()),
            rows_kept=facts.rows_kept,
            duplicates_merged=facts.duplicates_merged,
            rejected=rejected,
            actions=facts.actions,
            n_users=facts.n_users,
            n_items=n_items,
            n_categories=n_categories,
            n_sessions=facts.n_sessions,
            n_moments=facts.n_moments,
            first_ms=times.first_ms,
            last_ms=times.last_ms,
            start_ms=start,
            end_ms=end,
            q01_ms=q01,
            q99_ms=q99,
            has_times=has_times,
            longest_gap_ms=times.longest_gap_ms if has_times else None,
            attributes=attributes,
            campaigns=facts.campaigns,
            columns_present=facts.columns_present,
            notes=self.notes,
        )


def _shard_column(name: str, present: set[str]) -> str:
    if name == c.CATEGORY and name in present:
        return f"{own_category(present)} AS {name}"
    if name in present or name in (c.USER, c.TIME_MS, c.MOMENT, c.ACTION, c.SOURCE, c.ROW):
        return name
    return f"CAST(NULL AS {_TYPES.get(name, 'VARCHAR')}) AS {name}"


def _check_identity(taken: list[Taken], facts: LogFacts, rejected: dict[str, int]) -> None:
    """Raise where a row was lost or counted twice (a defect), or where no event is left (the log's fault)."""
    read = sum(source.rows + source.unreadable for source in taken)
    accounted = facts.rows_kept + facts.duplicates_merged + sum(rejected.values())
    if read != accounted:
        message = (
            f"{read} rows were read, {facts.rows_kept} kept, {facts.duplicates_merged} merged as duplicates and "
            f"{sum(rejected.values())} rejected: {read - accounted} rows are not accounted for"
        )
        raise RuntimeError(message)
    if not facts.rows_kept:
        told = "; ".join(f"{n:,} {reason}" for reason, n in rejected.items())
        raise SourceError.of(
            found=f"None of the {read:,} rows is an event: {told}",
            needed="At least one event is needed",
            do="Look at the rules under [clean] in whybuy.toml, or name another log",
        )
