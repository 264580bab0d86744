"""All profiles of a log: facts shard by shard, then scores and stages over all users, written as one Parquet file."""

import json
import os
import tempfile
from dataclasses import asdict
from pathlib import Path

import duckdb

from whybuy import columns as c
from whybuy.config import Config
from whybuy.engine import steady_duckdb
from whybuy.events.log import ITEMS, USERS, EventLog
from whybuy.profile.facts import write_facts
from whybuy.profile.lifecycle import Lifecycle
from whybuy.profile.store import CONTEXT, PROFILES, SUMMARY, Context, profile_summary
from whybuy.progress import Report, quiet

_DAY_MS = 86_400_000.0
MIN_SCORED = 5
"""Fifths of fewer buyers than this mean nothing."""


def build_profiles(log: EventLog, config: Config, folder: Path, *, report: Report = quiet) -> Path:
    """Write ``profiles.parquet`` (one row per user, by id) and ``summary.json`` into ``folder``; return the first.

    Users of the users table without any event are included. Each file appears whole or not at all.
    """
    span_days = (log.quality.end_ms - log.quality.start_ms) / _DAY_MS
    rule = Lifecycle.of_span(span_days)
    context = Context(log.quality.end_ms, rule.new_days, config.timezone, log.quality.has_times)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".profiles-") as scratch, steady_duckdb() as connection:
        parts = Path(scratch)
        for done, shard in enumerate(log.shards):
            write_facts(connection, shard, log.folder / ITEMS, config.timezone, parts / shard.name)
            report("profiles", done + 1, len(log.shards) + 1, "facts")
        whole = parts / "whole.parquet"
        _write_whole(connection, log, parts, rule, context)
        os.replace(whole, folder / PROFILES)
        (parts / SUMMARY).write_text(json.dumps(profile_summary(folder), allow_nan=False), encoding="utf-8")
        os.replace(parts / SUMMARY, folder / SUMMARY)
    report("profiles", len(log.shards) + 1, len(log.shards) + 1, "scores")
    return folder / PROFILES


def _write_whole(
    connection: duckdb.DuckDBPyConnection, log: EventLog, parts: Path, rule: Lifecycle, context: Context
) -> None:
    """Join the facts of all shards to all users, add scores and stages, and write them with their context."""
    metadata = json.dumps(asdict(context)).replace("'", "''")
    sql = f"""
    COPY (
        WITH facts AS (SELECT * FROM read_parquet($parts)),
        known AS (
            SELECT u.{c.USER}, f.* EXCLUDE ({c.USER}) FROM read_parquet($users) u LEFT JOIN facts f USING ({c.USER})
        ),
        counted AS (
            SELECT * REPLACE (
                       coalesce({c.N_EVENTS}, 0) AS {c.N_EVENTS}, coalesce(n_own, 0) AS n_own,
                       coalesce(frequency, 0) AS frequency, coalesce(purchase_lines, 0) AS purchase_lines,
                       coalesce(priced_lines, 0) AS priced_lines, coalesce(return_lines, 0) AS return_lines,
                       coalesce(n_ratings, 0) AS n_ratings,
                       CASE WHEN $timed THEN first_seen_ms END AS first_seen_ms,
                       CASE WHEN $timed THEN last_seen_ms END AS last_seen_ms,
                       CASE WHEN $timed THEN active_days END AS active_days,
                       CASE WHEN $timed THEN gap_days END AS gap_days,
                       CASE WHEN $timed THEN usual_hour END AS usual_hour,
                       CASE WHEN $timed THEN usual_hour_n END AS usual_hour_n,
                       CASE WHEN $timed THEN usual_weekday END AS usual_weekday,
                       CASE WHEN $timed THEN usual_weekday_n END AS usual_weekday_n,
                       CASE WHEN n_currencies = 1 THEN {c.CURRENCY} END AS {c.CURRENCY}
                   ),
                   CASE WHEN priced_lines > 0 AND n_currencies <= 1 THEN spent END AS monetary
            FROM known
        ),
        dated AS (
            SELECT *,
                   {_days_since("first_seen_ms")} AS age_days, {_days_since("last_seen_ms")} AS silent_days,
                   CASE WHEN $timed THEN {_days_since("last_order_ms")} END AS recency_days,
                   coalesce(gap_days, (SELECT median(gap_days) FROM counted)) AS rhythm_days
            FROM counted
        )
        SELECT * EXCLUDE (spent, last_order_ms, n_currencies),
               monetary / nullif(frequency, 0) AS basket_value, pieces / nullif(frequency, 0) AS basket_pieces,
               CASE WHEN $returns THEN return_lines / nullif(purchase_lines, 0) END AS returns_share,
               {_fifth("recency_days", "DESC")} AS recency_score,
               {_fifth("nullif(frequency, 0)", "ASC")} AS frequency_score,
               {_fifth("monetary", "ASC", within=f"{c.CURRENCY}")} AS monetary_score,
               {rule.sql()} AS stage
        FROM dated ORDER BY {c.USER}
    ) TO '{_quoted(parts / "whole.parquet")}'
    (FORMAT parquet, COMPRESSION zstd, KV_METADATA {{{CONTEXT}: '{metadata}'}})
    """
    files = {"users": str(log.folder / USERS), "parts": str(parts / "shard-*.parquet")}
    returns = log.quality.actions.get("return", 0) > 0
    connection.execute(sql, {**files, "as_of": context.as_of_ms, "timed": context.has_times, "returns": returns})


def _days_since(moment: str) -> str:
    """Return the days from a moment to the end of the log; the few events after the observed window are 0 days ago."""
    # DuckDB's greatest() passes over nulls, which would make a moment that is not known a moment at the end.
    return f"CASE WHEN {moment} IS NOT NULL THEN greatest(0, ($as_of - {moment}) / {_DAY_MS}) END"


def _fifth(value: str, order: str, *, within: str | None = None) -> str:
    """Return the fifth (1 to 5, 5 the best) of a value among users who have it; equal values share a fifth."""
    known = ", ".join([f"({value}) IS NULL", *([within] if within else [])])
    rank = f"percent_rank() OVER (PARTITION BY {known} ORDER BY {value} {order})"
    enough = f"count({value}) OVER (PARTITION BY {known}) >= {MIN_SCORED}"
    return f"CASE WHEN ({value}) IS NOT NULL AND {enough} THEN least(5, 1 + floor(5 * {rank}))::INTEGER END"


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")
