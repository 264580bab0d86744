"""The items with what the whole log says of each: who took it, how often, since when, and after what.

One pass over the shards: counts of people add up because nobody is in two shards. Which item follows which
(candidates, and the ranking where no lift can be told) is the share of the people who touched A that went on to take
B; only the last ``_ANTECEDENTS`` touches before a taking count, so that a heavy user costs no square of their events.
"""

import duckdb

from whybuy import columns as c
from whybuy.events.log import EventLog
from whybuy.progress import Report
from whybuy.recommend.store import load_events, quoted, sql_in
from whybuy.recommend.terms import TOUCH_ACTIONS, Terms

_ANTECEDENTS = 10
_PER_ITEM = 10
"""How many followers of an item are kept."""
PRIOR_PEOPLE = 10
"""Followers' shares are taken over this many people more, so that one person's path is no certainty."""
REPEAT_SHARE = 0.2
REPEAT_BUYERS = 5
"""An item counts as bought repeatedly when at least this share of at least this many buyers bought it in two
moments."""


def load_items(con: duckdb.DuckDBPyConnection, log: EventLog) -> None:
    """Make the table ``items`` from the log's items: ``item`` numbers them in the order of the file.

    An item whose availability is not known counts as available.
    """
    source = quoted(log.folder / "items.parquet")
    con.execute(
        f"""
        CREATE OR REPLACE TABLE items AS
        SELECT CAST(file_row_number AS INTEGER) AS item, {c.ITEM}, CAST({c.CATEGORY} AS VARCHAR) AS path,
               CAST({c.BRAND} AS VARCHAR) AS {c.BRAND}, CAST({c.TITLE} AS VARCHAR) AS {c.TITLE},
               TRY_CAST({c.PRICE} AS DOUBLE) AS {c.PRICE},
               coalesce(TRY_CAST(CAST({c.AVAILABLE} AS VARCHAR) AS BOOLEAN), true) AS on_sale,
               CAST({c.N_EVENTS} AS BIGINT) AS n_events
        FROM read_parquet({source}, file_row_number = true)
        """
    )


def load_facts(con: duckdb.DuckDBPyConnection, log: EventLog, terms: Terms, report: Report) -> None:
    """Add to ``items`` its counts, category number and pool, and make the table ``followers``."""
    con.execute(
        "CREATE OR REPLACE TABLE item_parts (item INTEGER, viewers BIGINT, touchers BIGINT, buyers BIGINT, "
        "repeat_buyers BIGINT, purchases BIGINT, first_t BIGINT)"
    )
    con.execute("CREATE OR REPLACE TABLE follow_parts (item INTEGER, next INTEGER, n BIGINT)")
    for done, shard in enumerate(log.shards):
        load_events(con, [shard])
        con.execute(_ITEM_FACTS)
        con.execute(_follow(terms))
        report("recommend: items", done + 1, len(log.shards))
    con.execute(_MERGE_ITEMS)
    con.execute(_MERGE_FOLLOWERS)
    con.execute("DROP TABLE item_parts; DROP TABLE follow_parts")


_ITEM_FACTS = f"""
    INSERT INTO item_parts
    SELECT item, count(*) FILTER (viewed), count(*) FILTER (touched), count(*) FILTER (bought > 0),
           count(*) FILTER (bought > 1), sum(bought), min(first_t)
    FROM (
        SELECT u, item, bool_or(action = 'view') AS viewed, bool_or(action IN {sql_in(TOUCH_ACTIONS)}) AS touched,
               count(DISTINCT t) FILTER (action = 'purchase') AS bought, min(t) AS first_t
        FROM ev WHERE item IS NOT NULL GROUP BY u, item
    ) GROUP BY item
"""


def _follow(terms: Terms) -> str:
    goal = "action = 'purchase'" if terms.goal == "purchase" else f"action IN {sql_in(TOUCH_ACTIONS)}"
    recent = f"AND a.t >= g.t - {terms.lookback_ms}" if terms.has_times else ""
    return f"""
        INSERT INTO follow_parts
        WITH touches AS (
            SELECT u, t, item, bool_or({goal}) AS is_goal FROM ev
            WHERE item IS NOT NULL AND action IN {sql_in(TOUCH_ACTIONS)} GROUP BY u, t, item
        ), placed AS (
            SELECT *, row_number() OVER (PARTITION BY u ORDER BY t, item) AS place FROM touches
        ), reached AS (
            SELECT u, t, item, place - unnest(range(1, {_ANTECEDENTS + 1})) AS place FROM placed WHERE is_goal
        )
        SELECT a.item, g.item, count(DISTINCT a.u)
        FROM reached g JOIN placed a ON a.u = g.u AND a.place = g.place AND a.t < g.t {recent}
        WHERE a.item <> g.item GROUP BY a.item, g.item
    """


# Categories in which only one item was looked at have nothing to compare it with: they share the pool 0 with the items
# that have no category.
_MERGE_ITEMS = """
    CREATE OR REPLACE TABLE items AS
    WITH facts AS (
        SELECT item, sum(viewers) AS viewers, sum(touchers) AS touchers, sum(buyers) AS buyers,
               sum(repeat_buyers) AS repeat_buyers, sum(purchases) AS purchases, min(first_t) AS first_t
        FROM item_parts GROUP BY item
    ), paths AS (
        SELECT path, row_number() OVER (ORDER BY path) AS cat, count(*) FILTER (viewers > 0) AS viewed_items
        FROM items LEFT JOIN facts USING (item) WHERE path IS NOT NULL GROUP BY path
    )
    SELECT i.*, CAST(coalesce(cat, 0) AS INTEGER) AS cat,
           CAST(CASE WHEN viewed_items >= 2 THEN cat ELSE 0 END AS INTEGER) AS pool,
           CAST(coalesce(viewers, 0) AS BIGINT) AS viewers, CAST(coalesce(touchers, 0) AS BIGINT) AS touchers,
           CAST(coalesce(buyers, 0) AS BIGINT) AS buyers,
           CAST(coalesce(repeat_buyers, 0) AS BIGINT) AS repeat_buyers,
           CAST(coalesce(purchases, 0) AS BIGINT) AS purchases, first_t
    FROM items i LEFT JOIN facts USING (item) LEFT JOIN paths USING (path)
    ORDER BY item
"""

_MERGE_FOLLOWERS = f"""
    CREATE OR REPLACE TABLE followers AS
    SELECT item, next, n / (touchers + {PRIOR_PEOPLE}) AS strength
    FROM (SELECT item, next, sum(n) AS n FROM follow_parts GROUP BY item, next)
    JOIN (SELECT item, touchers FROM items) USING (item)
    JOIN (SELECT item AS next FROM items WHERE on_sale) USING (next)
    QUALIFY row_number() OVER (PARTITION BY item ORDER BY n DESC, next) <= {_PER_ITEM}
"""
