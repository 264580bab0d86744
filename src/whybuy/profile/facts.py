"""Facts of every user of a shard, in one SQL statement: counts, days, orders, money, favorites, usual times.

Own events are those a user did; impressions and campaigns are done to them and say nothing of what they do or like. An
order is a moment with a purchase (all lines of one order id or one time). A line without quantity is one piece; a line
without price has no amount, and how many lines have one is kept beside the sum. Days and hours are those of the time
zone of the config.
"""

from pathlib import Path
from typing import Final

import duckdb

from whybuy import columns as c

N_FAVORITES: Final = 3
_MIN_GAPS: Final = 2
"""A user's own rhythm needs at least three active days."""
_EXPOSURES: Final = "('impression', 'campaign')"


def write_facts(connection: duckdb.DuckDBPyConnection, shard: Path, items: Path, zone: str, target: Path) -> None:
    """Write one row per user of ``shard`` to ``target``."""
    sql = f"""
    COPY (
        WITH met AS (
            SELECT e.{c.USER}, e.{c.TIME_MS} AS ms, e.{c.MOMENT}, e.{c.ACTION}, e.{c.RATING}, e.{c.CURRENCY},
                   coalesce(i.{c.CATEGORY}, e.{c.CATEGORY}) AS {c.CATEGORY}, i.{c.BRAND},
                   coalesce(e.{c.QUANTITY}, 1) AS pieces, e.{c.PRICE} * coalesce(e.{c.QUANTITY}, 1) AS amount,
                   e.{c.ACTION} = 'purchase' AS bought, e.{c.ACTION} NOT IN {_EXPOSURES} AS own,
                   epoch_ms(e.{c.TIME_MS}) AT TIME ZONE 'UTC' AT TIME ZONE $zone AS local
            FROM read_parquet($shard) e LEFT JOIN read_parquet($items) i USING ({c.ITEM})
        ),
        counts AS ({_COUNTS}), actions AS ({_ACTIONS}), gaps AS ({_GAPS}),
        categories AS ({_favorites(c.CATEGORY)}), brands AS ({_favorites(c.BRAND)}),
        hours AS ({_usual("hour(local)")}), weekdays AS ({_usual("isodow(local)")})
        SELECT counts.*, actions.events, gaps.gap_days, categories.favorites AS categories, brands.favorites AS brands,
               hours.usual AS usual_hour, hours.n AS usual_hour_n,
               weekdays.usual AS usual_weekday, weekdays.n AS usual_weekday_n
        FROM counts LEFT JOIN actions USING ({c.USER}) LEFT JOIN gaps USING ({c.USER})
        LEFT JOIN categories USING ({c.USER}) LEFT JOIN brands USING ({c.USER})
        LEFT JOIN hours USING ({c.USER}) LEFT JOIN weekdays USING ({c.USER})
    ) TO '{_quoted(target)}' (FORMAT parquet, COMPRESSION zstd)
    """
    connection.execute(sql, {"shard": str(shard), "items": str(items), "zone": zone})


_COUNTS = f"""
    SELECT {c.USER}, count(*) AS {c.N_EVENTS}, count(*) FILTER (own) AS n_own,
           min(ms) FILTER (own) AS first_seen_ms, max(ms) FILTER (own) AS last_seen_ms,
           count(DISTINCT local::DATE) FILTER (own) AS active_days,
           count(DISTINCT {c.MOMENT}) FILTER (bought) AS frequency,
           max(ms) FILTER (bought) AS last_order_ms,
           count(*) FILTER (bought) AS purchase_lines,
           count(amount) FILTER (bought) AS priced_lines,
           sum(amount) FILTER (bought) AS spent,
           sum(pieces) FILTER (bought) AS pieces,
           count(DISTINCT {c.CURRENCY}) FILTER (bought) AS n_currencies,
           min({c.CURRENCY}) FILTER (bought) AS {c.CURRENCY},
           count({c.RATING}) AS n_ratings, avg({c.RATING}) AS mean_rating,
           count(*) FILTER ({c.ACTION} = 'return') AS return_lines
    FROM met GROUP BY {c.USER}
"""

_ACTIONS = f"""
    SELECT {c.USER}, list({{'name': {c.ACTION}, 'n': n}} ORDER BY n DESC, {c.ACTION}) AS events
    FROM (SELECT {c.USER}, {c.ACTION}, count(*) AS n FROM met GROUP BY ALL) GROUP BY {c.USER}
"""

_GAPS = f"""
    SELECT {c.USER}, median(gap) AS gap_days
    FROM (
        SELECT {c.USER}, day - lag(day) OVER (PARTITION BY {c.USER} ORDER BY day) AS gap
        FROM (SELECT DISTINCT {c.USER}, local::DATE AS day FROM met WHERE own)
    ) GROUP BY {c.USER} HAVING count(gap) >= {_MIN_GAPS}
"""


def _favorites(column: str) -> str:
    """Return the commonest values of a column per user, with their share of the user's events that have one."""
    return f"""
    SELECT {c.USER}, list({{'name': name, 'n': n, 'share': n / total}} ORDER BY place) AS favorites
    FROM (
        SELECT {c.USER}, {column} AS name, count(*) AS n, sum(count(*)) OVER (PARTITION BY {c.USER}) AS total,
               row_number() OVER (PARTITION BY {c.USER} ORDER BY count(*) DESC, {column}) AS place
        FROM met WHERE own AND {column} IS NOT NULL GROUP BY {c.USER}, {column}
    ) WHERE place <= {N_FAVORITES} GROUP BY {c.USER}
    """


def _usual(part: str) -> str:
    """Return the commonest value of a part of the local time per user, the earliest of equals, with its count."""
    return f"""
    SELECT {c.USER}, first(value ORDER BY n DESC, value) AS usual, max(n) AS n
    FROM (SELECT {c.USER}, {part} AS value, count(*) AS n FROM met WHERE own GROUP BY ALL) GROUP BY {c.USER}
    """


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")
