"""Ingest: from the sources of a config to user shards, tables of items and users, and the facts of the log.

Two passes. The first (:mod:`whybuy.events.partition`) reads every source once and divides its rows by users into
buckets. The second takes one bucket after the other, marks bots, duplicates, moments and sessions, and writes the
events that remain as a shard, sorted by user and time. Nothing ever holds the whole log: DuckDB works within a fixed
memory and puts what does not fit beside the shards. Rejected rows go last, joined back to the rows as they were read,
so that the table of rejected rows shows them as they were found.

The identity ``rows read = rows kept + duplicates merged + rows rejected`` is checked before anything is handed over.
"""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import duckdb
import ibis

from whybuy import columns as c
from whybuy.config import Config
from whybuy.errors import SourceError
from whybuy.events import log as names
from whybuy.events.catalog import make_tallies, rename_users, tally_shard, write_items, write_users
from whybuy.events.clean import DUPLICATE, KEPT, Rules, judge_users
from whybuy.events.duck import first_row, sql_of, whole_numbers
from whybuy.events.locate import sql_text
from whybuy.events.log import EventLog
from whybuy.events.map import register_functions
from whybuy.events.partition import Buckets, Taken, partition, take_sources
from whybuy.events.quality import Quality
from whybuy.events.read import enough_space
from whybuy.events.rejected import drop_rows, make_dropped, write_rejected
from whybuy.events.tally import LogFacts, facts_of, make_fact_tables, own_category, tally_facts, times_of
from whybuy.progress import Report, quiet
from whybuy.trust.privacy import key_from_environment

MEMORY_LIMIT = "1200MB"
"""What DuckDB may use: with Python and its libraries the whole stays under 2 GiB."""

_STAGE = ".reading"
_MAX_THREADS = 4
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
    with duckdb.connect(config=settings) as con:
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
        buckets, self.notes = partition(self.con, taken, self.config, rules, self.folder / _STAGE / "buckets")
        for make in (make_dropped, make_tallies, make_fact_tables):
            make(self.con)
        shards = self.write_shards(rules, buckets, set().union(*(s.mapping.present for s in taken)))
        if (rejects := buckets.rejects()) is not None:
            self.con.register("rejects", rejects)
            drop_rows(self.con, "rejects")
        rejected = write_rejected(self.con, taken, self.key, self.folder / names.REJECTED)
        facts = facts_of(self.con)
        _check_identity(taken, facts, rejected)
        self.notes += write_items(self.con, self.config, self.tables, self.folder / names.ITEMS)
        attributes, notes = write_users(self.con, self.config, self.tables, self.key, self.folder / names.USERS)
        self.notes += notes
        return self.quality(shards, rejected, facts, attributes)

    def write_shards(self, rules: Rules, buckets: Buckets, present: set[str]) -> list[Path]:
        """Clean every bucket and write what is left of it as a shard; several at once, as one keeps one core busy."""
        folder = self.folder / names.SHARDS
        folder.mkdir()
        cleaner = _Cleaner(rules, buckets, present, self.key, folder)
        done = 0
        with ThreadPoolExecutor(min(os.cpu_count() or 1, _MAX_THREADS)) as pool:
            work = [pool.submit(cleaner.clean, self.con.cursor(), number) for number in range(buckets.n_buckets)]
            try:
                for _ in as_completed(work):
                    done += 1
                    self.report("clean", done, len(work))
                found = [path for future in work if (path := future.result()) is not None]
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise
        return [path.rename(folder / f"shard-{number:05d}.parquet") for number, path in enumerate(found)]

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


class _Cleaner:
    """Turns buckets into shards; each bucket on a connection of its own to the one database."""

    def __init__(self, rules: Rules, buckets: Buckets, present: set[str], key: bytes | None, folder: Path) -> None:
        self._buckets = buckets
        self._present = present
        self._key = key
        self._folder = folder
        schema = buckets.schema()
        # Gaps are looked for only where a session is missing: the same answer for less work.
        self._queries = {
            needs_gaps: sql_of(judge_users(ibis.table(schema, name="bucket"), replace(rules, gap_ms=gap_ms)))
            for needs_gaps, gap_ms in ((True, rules.gap_ms), (False, None))
        }

    def clean(self, con: duckdb.DuckDBPyConnection, number: int) -> Path | None:
        """Clean a bucket, add it to the sums and write its events; return where, or None where there are none."""
        rows = self._buckets.read(number)
        if rows is None:
            return None
        con.register("bucket", rows)
        needs_gaps = c.SESSION not in self._present or rows[c.SESSION].null_count > 0
        con.execute(f"CREATE TEMP TABLE cleaned AS {self._queries[needs_gaps]}")
        drop_rows(con, "cleaned")
        if self._key is not None:
            rename_users(con, "cleaned", self._key)
        con.execute(f"CREATE TEMP VIEW kept AS SELECT * FROM cleaned WHERE {KEPT}")
        con.execute(
            f"INSERT INTO row_counts SELECT count(*) FILTER ({KEPT}), count(*) FILTER ({DUPLICATE}) FROM cleaned"
        )
        path = self._write(con, number) if first_row(con, "SELECT 1 FROM kept LIMIT 1") is not None else None
        con.close()
        self._buckets.remove(number)
        return path

    def _write(self, con: duckdb.DuckDBPyConnection, number: int) -> Path:
        tally_facts(con, events="kept", bucket="bucket", present=self._present)
        tally_shard(con, "kept", self._present)
        path = self._folder / f".bucket-{number:05d}.parquet"
        columns = ", ".join(_shard_column(name, self._present | {c.SESSION}) for name in c.SHARD_COLUMNS)
        order = f"{c.USER}, {c.TIME_MS}, {c.SOURCE}, {c.ROW}"
        con.execute(
            f"COPY (SELECT {columns} FROM kept ORDER BY {order}) TO {sql_text(path)} (FORMAT parquet, COMPRESSION zstd)"
        )
        return path


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
