"""Ingest: from the sources of a config to user shards, tables of items and users, and the facts of the log.

Two passes. The first (:mod:`whybuy.events.partition`) reads every source once, judges its rows one by one, and divides
them by users into buckets. The second takes the buckets, marks bots, duplicates, moments and sessions, and writes the
events that remain as a shard, sorted by user and time. Nothing ever holds the whole log: DuckDB works within a fixed
memory and puts what does not fit beside the shards.

The identity ``rows read = rows kept + duplicates merged + rows rejected`` is checked before anything is handed over.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from whybuy import columns as c
from whybuy.config import Config
from whybuy.engine import without_bar
from whybuy.errors import SourceError
from whybuy.events import log as names
from whybuy.events.catalog import make_tallies, write_items, write_users
from whybuy.events.clean import Rules
from whybuy.events.cleaner import Cleaner
from whybuy.events.duck import whole_numbers
from whybuy.events.intake import n_unreadable
from whybuy.events.locate import sql_text
from whybuy.events.log import EventLog
from whybuy.events.map import register_functions
from whybuy.events.partition import Divided, open_sources, partition
from whybuy.events.quality import Quality
from whybuy.events.read import enough_space
from whybuy.events.rejected import make_rejected, reject_found, reject_lines, write_rejected
from whybuy.events.tally import LogFacts, facts_of, make_fact_tables, times_of
from whybuy.progress import Report, quiet
from whybuy.trust.privacy import key_from_environment

MEMORY_LIMIT = "1200MB"
"""What DuckDB may use: with Python and its libraries the whole stays under 2 GiB."""

_STAGE = ".reading"
_MAX_THREADS = 4


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
        without_bar(con)
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
        con, config, hide = self.con, self.config, self.key is not None
        opened = open_sources(con, config, self.tables)
        divided = partition(con, opened, config, self.folder / _STAGE / "buckets", self.report)
        for make in (make_rejected, make_tallies, make_fact_tables):
            make(con)
        shards = self.write_shards(divided)
        reject_found(con, divided.buckets.rejects())
        for one in opened:
            if n_unreadable(con, one.source):
                reject_lines(con, one, hide_user=hide)
        rejected = write_rejected(con, self.key, self.folder / names.REJECTED)
        facts = facts_of(con)
        _check_identity(divided.n_read, facts, rejected)
        self.notes += divided.notes
        self.notes += write_items(con, config, self.tables, self.folder / names.ITEMS)
        attributes, notes = write_users(con, config, self.tables, self.key, self.folder / names.USERS)
        self.notes += notes
        return self.quality(shards, rejected, facts, attributes)

    def write_shards(self, divided: Divided) -> list[Path]:
        """Clean every bucket and write what is left of it as a shard; several at once, as one keeps one core busy."""
        folder = self.folder / names.SHARDS
        folder.mkdir()
        threads = whole_numbers(self.con, "SELECT current_setting('threads')")[0]
        self.con.execute("SET threads = 1")  # for each bucket: one that is shared among threads costs a tenth more
        cleaner = Cleaner(divided.buckets, divided.present, Rules.of(self.config), self.key, folder)
        with ThreadPoolExecutor(min(threads, _MAX_THREADS)) as pool:
            work = [pool.submit(cleaner.clean, self.con.cursor(), n) for n in range(divided.buckets.n_buckets)]
            try:
                for done, _ in enumerate(as_completed(work)):
                    self.report("clean", done + 1, len(work))
                found = [path for future in work if (path := future.result()) is not None]
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise
        self.con.execute(f"SET threads = {threads}")
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


def _check_identity(read: int, facts: LogFacts, rejected: dict[str, int]) -> None:
    """Raise where a row was lost or counted twice (a defect), or where no event is left (the log's fault)."""
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
