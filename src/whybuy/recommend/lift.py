r"""Lift of every item by the user's state: what showing it changes in P(buy it within the horizon).

Within a stratum (state on the item x how busy in its pool) the shown and the not shown opportunities are compared;
strata are put together with overlap weights, so that where nearly all or nearly none were shown counts little. With w
= 1 (view) or 1 / probability of the slot (impression, Hajek), for item i and state s over levels l:

.. math:: \hat\tau = \sum_l \omega_l (\bar Y_{1l} - \bar Y_{0l}) / \sum_l \omega_l, \qquad \omega_l = N_{1l} N_{0l} /
(N_{1l} + N_{0l})

With w = 1 this is the regression of the outcome on being shown with a level for every stratum (the ATO of the causal
part). The standard error is that of the sum of every user's influence (clustered by user), given the strata.

In the impression basis the probability of i is logged only where i was shown. The not shown opportunities of a
stratum count equally: where the policy's probability of i varies within a stratum the control mean is off by at most
the order of that probability. In the view basis nothing was assigned: looking is a choice, and what made the person
look may make them buy. What was logged of it (state and activity) is adjusted for; the answer stays "at most
suggestive" and out of every causal figure.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import numpy as np

from whybuy import columns as c
from whybuy.events.log import EventLog
from whybuy.progress import Report
from whybuy.recommend.opportunities import shard_cells
from whybuy.recommend.shrink import shrink_lifts
from whybuy.recommend.store import load_shown_events, parquet_list, write_parquet
from whybuy.recommend.terms import STATES, Terms

Z95 = 1.959963984540054


@dataclass(frozen=True)
class CellFiles:
    """Where the cells and the pools of every shard were written."""

    cells: tuple[Path, ...]
    pools: tuple[Path, ...]


def load_lifts(con: duckdb.DuckDBPyConnection, log: EventLog, terms: Terms, scratch: Path, report: Report) -> Terms:
    """Make the tables ``lifts`` (item, state) and ``exposed`` (item, shown, not_shown); return the terms, perhaps
    narrowed.

    Reads the table ``items``. ``lifts`` is empty where no lift can be told, and the terms then say why.
    """
    if terms.why_no_lift is None:
        files = _write_cells(con, log, terms, scratch, report)
        terms = load_estimates(con, files, terms)
    else:
        con.execute("CREATE OR REPLACE TABLE exposed (item INTEGER, shown DOUBLE, not_shown DOUBLE)")
    if terms.why_no_lift is not None:
        con.execute(
            "CREATE OR REPLACE TABLE lifts (item INTEGER, state INTEGER, n_shown DOUBLE, n_users BIGINT, "
            "n_buyers BIGINT, estimate DOUBLE, std_error DOUBLE, lift DOUBLE, lift_low DOUBLE, lift_high DOUBLE, "
            f"p_buy DOUBLE, own DOUBLE, {c.ITEM} VARCHAR)"
        )
    return terms


def _write_cells(
    con: duckdb.DuckDBPyConnection, log: EventLog, terms: Terms, scratch: Path, report: Report
) -> CellFiles:
    pools = np.asarray(con.execute("SELECT pool FROM items ORDER BY item").fetchnumpy()["pool"], np.int64)
    cell_files, pool_files = [], []
    for done, shard in enumerate(log.shards):
        load_shown_events(con, shard, scratch)
        found = shard_cells(con, pools, terms)
        cell_files.append(scratch / f"cells-{done:05d}.parquet")
        pool_files.append(scratch / f"pools-{done:05d}.parquet")
        write_parquet(found.cells, cell_files[-1])
        write_parquet(found.pools, pool_files[-1])
        report("recommend: lifts", done + 1, len(log.shards))
    return CellFiles(tuple(cell_files), tuple(pool_files))


def load_estimates(con: duckdb.DuckDBPyConnection, files: CellFiles, terms: Terms) -> Terms:
    """Make ``lifts`` and ``exposed`` from the cells; return the terms, which say why where there is no lift."""
    _load_sums(con, files, everyone_in_pool_0=terms.basis == "impression")
    con.execute(_STRATA)
    con.execute(_EXPOSED)
    con.execute(_EFFECTS)
    _load_influence(con, files)
    frame = con.execute(_ESTIMATES).df()
    if not len(frame):
        return terms.without_lift(
            f"no item was both shown and not shown at moments with {terms.lookback} of history before and "
            f"{terms.horizon} of follow-up after"
        )
    if not (frame["n_buyers"] > 0).any():
        how = "looked at" if terms.basis == "view" else "shown"
        return terms.without_lift(f"no item was bought within {terms.horizon} after it was {how}")
    shrunk = shrink_lifts(frame, con.execute("SELECT item, cat FROM items").df(), n_states=len(STATES))  # noqa: F841
    con.execute(
        f"""
        CREATE OR REPLACE TABLE lifts AS
        SELECT CAST(item AS INTEGER) AS item, CAST(state AS INTEGER) AS state, n_shown, n_users, n_buyers, estimate,
               std_error, lift, lift - {Z95} * lift_error AS lift_low, lift + {Z95} * lift_error AS lift_high,
               p_buy, own, {c.ITEM}
        FROM shrunk JOIN items USING (item) ORDER BY item, state
        """
    )
    return replace(terms, n_bought=int(frame["n_buyers"].sum()))


def _load_sums(con: duckdb.DuckDBPyConnection, files: CellFiles, *, everyone_in_pool_0: bool) -> None:
    """Add the shards up: ``cell_sums``, ``pool_sums``, and the second moments of users' counts by level."""
    con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE cell_sums AS
        SELECT item, state, level, sum(n1) AS n1, sum(w1) AS w1, sum(y1) AS y1, sum(n0) AS n0, sum(y0) AS y0,
               sum(n_all) AS n_all
        FROM read_parquet({parquet_list(files.cells)}) GROUP BY item, state, level
        """
    )
    con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE pool_sums AS
        SELECT pool, level, sum(n) AS n FROM read_parquet({parquet_list(files.pools)}) GROUP BY pool, level
        """
    )
    pool = "0" if everyone_in_pool_0 else "pool"
    con.execute(f"CREATE OR REPLACE TEMP TABLE item_pool AS SELECT item, {pool} AS pool FROM items")
    con.execute(f"CREATE OR REPLACE TEMP TABLE item_squares (item INTEGER, {_SQUARE_TYPES})")
    con.execute(f"CREATE OR REPLACE TEMP TABLE pool_squares (pool INTEGER, {_SQUARE_TYPES})")
    for cells, pools in zip(files.cells, files.pools, strict=True):
        con.execute(_squares("item_squares", "item", "n_all", cells))
        con.execute(_squares("pool_squares", "pool", "n", pools))


_PAIRS = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
_SQUARE_TYPES = ", ".join(f"q{a}{b} DOUBLE" for a, b in _PAIRS)


def _squares(table: str, what: str, count: str, path: Path) -> str:
    """SQL that adds the sums over users of the products of their counts at two levels."""
    products = ", ".join(f"sum(a{a} * a{b})" for a, b in _PAIRS)
    levels = ", ".join(f"coalesce(sum({count}) FILTER (level = {one}), 0) AS a{one}" for one in (0, 1, 2))
    return f"""INSERT INTO {table} SELECT {what}, {products} FROM (
        SELECT u, {what}, {levels} FROM read_parquet({parquet_list([path])}) GROUP BY u, {what}) GROUP BY {what}"""


# The not shown opportunities in the state "none" are those of the pool, less all of the users who have rows of their
# own, plus those which these users spent in that state.
_STRATA = """
    CREATE OR REPLACE TEMP TABLE strata AS
    WITH touched AS (SELECT item, level, sum(n_all) AS n FROM cell_sums GROUP BY item, level)
    SELECT c.item, state, c.level, n1, w1, y1, y0,
           CASE WHEN state = 0 THEN n0 + p.n - t.n ELSE n0 END AS n0
    FROM cell_sums c JOIN item_pool USING (item) JOIN pool_sums p USING (pool, level)
    JOIN touched t ON t.item = c.item AND t.level = c.level
"""

_EXPOSED = """
    CREATE OR REPLACE TABLE exposed AS
    SELECT item, sum(n1) AS shown, sum(n0) AS not_shown FROM strata GROUP BY item HAVING sum(n1) > 0
"""

_EFFECTS = """
    CREATE OR REPLACE TEMP TABLE effects_by_level AS
    SELECT item, state, level, n1, y1 / w1 AS mean1, y0 / n0 AS mean0, w1, n0, n1 * n0 / (n1 + n0) AS omega,
           sum(n1 * n0 / (n1 + n0)) OVER (PARTITION BY item, state) AS omega_all
    FROM strata WHERE n1 > 0 AND n0 > 0
"""


def _load_influence(con: duckdb.DuckDBPyConnection, files: CellFiles) -> None:
    """Make ``influence``: per (item, state) the sums over users with rows of their own."""
    con.execute(
        "CREATE OR REPLACE TEMP TABLE influence (item INTEGER, state INTEGER, squares DOUBLE, weights2 DOUBLE, "
        "n_users BIGINT, n_buyers BIGINT)"
    )
    for path in files.cells:
        con.execute(
            f"""
            INSERT INTO influence
            SELECT item, state, sum(psi * psi), sum(w1 * w1), count(*) FILTER (w1 > 0), count(*) FILTER (y1 > 0)
            FROM (
                SELECT u, item, state, sum(x.w1) AS w1, sum(x.y1) AS y1,
                       sum(omega / omega_all * ((x.y1 - x.w1 * mean1) / e.w1 - (x.y0 - x.n0 * mean0) / e.n0)) AS psi
                FROM read_parquet({parquet_list([path])}) x JOIN effects_by_level e USING (item, state, level)
                GROUP BY u, item, state
            ) GROUP BY item, state
            """
        )


def _rest(a: int, b: int) -> str:
    twice = 1 if a == b else 2
    return f"{twice} * k{a} * k{b} * (pool_squares.q{a}{b} - item_squares.q{a}{b})"


_REST_FACTORS = ", ".join(
    f"coalesce(sum(omega / omega_all * mean0 / n0) FILTER (level = {a}), 0) AS k{a}" for a in (0, 1, 2)
)
_REST = " + ".join(_rest(a, b) for a, b in _PAIRS)

# A user without rows of their own has the influence sum_l k_l n_l, k_l = omega_l mean0_l / n0_l: what all of them
# add to the variance is a quadratic form in the second moments of their counts.
_ESTIMATES = f"""
    WITH sums AS (
        SELECT item, state, sum(squares) AS squares, sum(weights2) AS weights2, sum(n_users)::BIGINT AS n_users,
               sum(n_buyers)::BIGINT AS n_buyers
        FROM influence GROUP BY item, state
    ), added AS (
        SELECT item, {", ".join(f"sum(q{a}{b}) AS q{a}{b}" for a, b in _PAIRS)} FROM item_squares GROUP BY item
    ), pooled AS (
        SELECT pool, {", ".join(f"sum(q{a}{b}) AS q{a}{b}" for a, b in _PAIRS)} FROM pool_squares GROUP BY pool
    ), effects AS (
        SELECT item, state, sum(n1) AS n_shown, sum(w1) AS w1, any_value(omega_all) AS omega,
               sum(omega * mean1) / any_value(omega_all) AS p_shown,
               sum(omega * (mean1 - mean0)) / any_value(omega_all) AS estimate,
               {_REST_FACTORS}
        FROM effects_by_level GROUP BY item, state
    )
    SELECT e.item, e.state, n_shown, n_users, n_buyers, omega, p_shown, estimate, w1 * w1 / weights2 AS n_effective,
           sqrt(squares + CASE WHEN e.state = 0 THEN {_REST} ELSE 0 END) AS std_error
    FROM effects e JOIN sums USING (item, state) JOIN item_pool USING (item)
    JOIN added AS item_squares USING (item) JOIN pooled AS pool_squares USING (pool)
    ORDER BY e.item, e.state
"""
