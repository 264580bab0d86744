"""The facts of a log as sums over its shards: rows, actions, times, campaigns, filled columns.

Quantiles of time are exact without holding all times: events are counted by clock minute, the minute of a quantile is
found in those counts, and only the times of that minute are looked up in the shards.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import duckdb

from whybuy import columns as c
from whybuy.events.duck import first_row, whole_numbers
from whybuy.events.locate import sql_text
from whybuy.events.order import natural

QUANTILES = (0.001, 0.01, 0.99, 0.999)
_MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFacts:
    """Sums over all shards; see :class:`whybuy.events.quality.Quality` for their meaning."""

    rows_kept: int
    duplicates_merged: int
    actions: dict[str, int]
    n_users: int
    n_sessions: int
    n_moments: int
    campaigns: list[str]
    columns_present: list[str]


def make_fact_tables(con: duckdb.DuckDBPyConnection) -> None:
    """Make the empty tables that shards add to."""
    con.execute("CREATE TABLE row_counts (kept BIGINT, merged BIGINT)")
    con.execute("CREATE TABLE action_counts (action VARCHAR, n BIGINT)")
    con.execute("CREATE TABLE minute_counts (minute BIGINT, n BIGINT, low BIGINT, high BIGINT)")
    con.execute("CREATE TABLE campaigns_seen (campaign VARCHAR)")
    con.execute("CREATE TABLE categories_seen (category VARCHAR)")
    con.execute("CREATE TABLE columns_seen (name VARCHAR)")


def tally_facts(con: duckdb.DuckDBPyConnection, *, events: str, bucket: str, present: set[str]) -> None:
    """Add the facts of one shard.

    Parameters
    ----------
    events : relation of the kept events
    bucket : relation of the rows before cleaning, whose sessions are the log's own
    present : columns that any source fills
    """
    con.execute(f"INSERT INTO action_counts SELECT {c.ACTION}, count(*) FROM {events} GROUP BY ALL")
    minute = f"{c.TIME_MS} // {_MINUTE_MS}"
    con.execute(
        f"INSERT INTO minute_counts SELECT {minute} AS minute, count(*), min({c.TIME_MS}), max({c.TIME_MS}) "
        f"FROM {events} GROUP BY minute"
    )
    if c.CAMPAIGN in present:
        con.execute(
            f"INSERT INTO campaigns_seen SELECT DISTINCT {c.CAMPAIGN} FROM {events} WHERE {c.CAMPAIGN} IS NOT NULL"
        )
    if c.CATEGORY in present:
        own = f"{c.CATEGORY} IS NOT NULL" + (f" AND {c.ITEM} IS NULL" if c.ITEM in present else "")
        con.execute(f"INSERT INTO categories_seen SELECT DISTINCT {c.CATEGORY} FROM {events} WHERE {own}")
    names = [name for name in c.MAPPABLE_COLUMNS if name in present and name != c.TIME]
    counts = ", ".join(f"count({name}) > 0" for name in names)
    for relation, only in ((events, set(names) - {c.SESSION}), (bucket, {c.SESSION})):
        row = first_row(con, f"SELECT {counts} FROM {relation}") if only & present else None
        filled = [name for name, has in zip(names, row or (), strict=False) if has and name in only]
        if filled:
            con.execute("INSERT INTO columns_seen SELECT unnest(?)", [filled])


def facts_of(con: duckdb.DuckDBPyConnection) -> LogFacts:
    """Return the sums over all shards."""
    kept, merged = whole_numbers(con, "SELECT coalesce(sum(kept), 0), coalesce(sum(merged), 0) FROM row_counts")
    users = whole_numbers(
        con, "SELECT count(*), coalesce(sum(n_sessions), 0), coalesce(sum(n_moments), 0) FROM user_counts"
    )
    actions = con.execute(
        "SELECT action, sum(n) AS n FROM action_counts GROUP BY ALL ORDER BY n DESC, action"
    ).fetchall()
    campaigns = con.execute("SELECT DISTINCT campaign FROM campaigns_seen").fetchall()
    seen = {row[0] for row in con.execute("SELECT DISTINCT name FROM columns_seen").fetchall()}
    return LogFacts(
        rows_kept=kept,
        duplicates_merged=merged,
        actions={str(action): int(n) for action, n in actions},
        n_users=users[0],
        n_sessions=users[1],
        n_moments=users[2],
        campaigns=sorted((str(row[0]) for row in campaigns), key=natural),
        columns_present=[name for name in c.MAPPABLE_COLUMNS if name in seen or name == c.TIME],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeFacts:
    """First and last time, the quantiles of :data:`QUANTILES`, and the longest time without an event."""

    first_ms: int
    last_ms: int
    quantiles_ms: tuple[int, ...]
    longest_gap_ms: int


def times_of(con: duckdb.DuckDBPyConnection, shards: list[Path]) -> TimeFacts:
    """Return the facts of time."""
    con.execute(
        "CREATE OR REPLACE TABLE minutes AS SELECT *, sum(n) OVER (ORDER BY minute) - n AS before, "
        "low - lag(high) OVER (ORDER BY minute) AS gap FROM "
        "(SELECT minute, sum(n) AS n, min(low) AS low, max(high) AS high FROM minute_counts GROUP BY minute)"
    )
    first, last, total, gap = whole_numbers(
        con, "SELECT min(low), max(high), sum(n), coalesce(max(gap), 0) FROM minutes"
    )
    return TimeFacts(
        first_ms=first,
        last_ms=last,
        quantiles_ms=_quantiles(con, shards, [max(0, math.ceil(q * total) - 1) for q in QUANTILES]),
        longest_gap_ms=gap,
    )


def _quantiles(con: duckdb.DuckDBPyConnection, shards: list[Path], ranks: list[int]) -> tuple[int, ...]:
    """Return the times of the events that so many others come before, for ranks in order."""
    wanted = ", ".join(f"({rank})" for rank in ranks)
    ranked = f"minutes JOIN (VALUES {wanted}) AS w(rank) ON rank - before BETWEEN 0 AND n - 1"
    found = f"SELECT rank, minute, before FROM {ranked}"
    files = ", ".join(map(sql_text, shards))
    counts = (
        f"SELECT {c.TIME_MS} AS ms, {c.TIME_MS} // {_MINUTE_MS} AS minute, count(*) AS n FROM read_parquet([{files}]) "
        f"WHERE {c.TIME_MS} // {_MINUTE_MS} IN (SELECT minute FROM ({found})) GROUP BY ALL"
    )
    running = f"SELECT ms, minute, sum(n) OVER (PARTITION BY minute ORDER BY ms) AS upto FROM ({counts})"
    rows = con.execute(
        f"SELECT rank, min(ms) FROM ({found}) JOIN ({running}) USING (minute) WHERE upto > rank - before GROUP BY rank"
    ).fetchall()
    times = dict(rows)
    return tuple(int(times[rank]) for rank in ranks)
