"""Rankings learned from the events before a time, and from nothing after it.

The earlier part is written as shards of its own, on which the code of ``whybuy recommend`` learns the lifts as it
does on the whole log. Effects of behaviors are left out: those of the workspace were confirmed on the whole log.
Items are numbered by id, as their commonness in the whole log would tell of what came later, and all of them count as
on sale: what is out of stock today says nothing of then.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt

from whybuy import columns as c
from whybuy.causal.clusters import Float64, Ints
from whybuy.events.log import EventLog
from whybuy.progress import Report
from whybuy.recommend.backtest.slates import Reading
from whybuy.recommend.batch import load_learned
from whybuy.recommend.catalog import REPEAT_BUYERS, REPEAT_SHARE, load_items
from whybuy.recommend.personal.asked import learned_lifts
from whybuy.recommend.personal.learn import PersonalLifts
from whybuy.recommend.store import parquet_list, quoted
from whybuy.recommend.terms import STATES, Terms


@dataclass(frozen=True, eq=False)
class Learned:
    """Rankings as places in one line: the smaller, the earlier; no two items share a place.

    Attributes
    ----------
    by_lift, by_p_buy : (n_items, n_states, 2) by the user's state on the item, and by whether the item was bought
        within the last horizon (and is not one that people buy repeatedly): such items come last
    popular : (n_items,) by the number of buyers
    repeated : (n_items,) bool, people buy it repeatedly
    worth : (n_items,) what a purchase counts, of the most that one counts; NaN where that is not known
    why_no_lift : why lifts cannot be told, None where they can
    personal : lifts by person, which then take the place of ``by_lift`` and ``by_p_buy``; None where there are none
    """

    by_lift: Ints
    by_p_buy: Ints
    popular: Ints
    repeated: npt.NDArray[np.bool_]
    worth: Float64
    why_no_lift: str | None
    personal: PersonalLifts | None


def number_items(con: duckdb.DuckDBPyConnection, log: EventLog) -> None:
    """Make the table ``items``, numbered by id, all of them on sale."""
    load_items(con, log)
    con.execute(
        f"""
        CREATE OR REPLACE TABLE items AS
        SELECT * REPLACE (CAST(row_number() OVER (ORDER BY {c.ITEM}) - 1 AS INTEGER) AS item, true AS on_sale)
        FROM items ORDER BY item
        """
    )


def learn(  # noqa: PLR0913 - what, from where, until when, and where to put and say it
    con: duckdb.DuckDBPyConnection,
    log: EventLog,
    terms: Terms,
    *,
    reading: Reading,
    before_ms: int,
    scratch: Path,
    report: Report,
) -> Learned:
    """Return what the events before ``before_ms`` teach; reads the table ``items`` and adds to it.

    Parameters
    ----------
    terms : of the whole log
    """
    earlier = cut_before(con, log, before_ms, scratch=scratch, clicks_count=reading.reward == "click", report=report)
    terms = replace(terms, end_ms=before_ms)
    if reading.reward == "click":
        terms = replace(terms, goal="purchase", why_no_lift=None)
    terms = load_learned(con, earlier, terms, scratch=scratch, report=report)
    return _learned(con, terms.why_no_lift, learned_lifts(con, earlier, terms, scratch, report))


def cut_before(
    con: duckdb.DuckDBPyConnection,
    log: EventLog,
    before_ms: int,
    *,
    scratch: Path,
    clicks_count: bool = False,
    report: Report,
) -> EventLog:
    """Return the log of the moments before a time, written into ``scratch``, with as many shards.

    Parameters
    ----------
    clicks_count : clicks stand as purchases
    """
    action = f"CAST({c.ACTION} AS VARCHAR)"
    if clicks_count:
        action = f"CASE WHEN {action} = 'click' THEN 'purchase' ELSE {action} END"
    shards = tuple(scratch / f"before-{number:05d}.parquet" for number in range(len(log.shards)))
    for done, (whole, part) in enumerate(zip(log.shards, shards, strict=True)):
        con.execute(
            f"""
            COPY (
                SELECT * REPLACE ({action} AS {c.ACTION}) FROM read_parquet({parquet_list([whole])})
                QUALIFY min({c.TIME_MS}) OVER (PARTITION BY {c.USER}, {c.MOMENT}) < {before_ms}
            ) TO {quoted(part)} (FORMAT parquet)
            """
        )
        report("evaluate: the earlier part", done + 1, len(log.shards))
    return replace(log, shards=shards)


def _learned(con: duckdb.DuckDBPyConnection, why_no_lift: str | None, personal: PersonalLifts | None) -> Learned:
    found = con.execute(
        f"""SELECT place, place_bought, worth / max(worth) OVER () AS worth,
                   buyers >= {REPEAT_BUYERS} AND repeat_buyers >= {REPEAT_SHARE} * buyers AS again
            FROM items JOIN places USING (item) ORDER BY item"""
    ).fetchnumpy()
    place = np.asarray(found["place"], np.int64)
    worth: Float64 = np.ma.filled(np.ma.asarray(found["worth"], float), np.nan)
    lifts = con.execute("SELECT item, state, lift, p_buy FROM lifts").fetchnumpy()
    cell = (np.asarray(lifts["item"], np.int64), np.asarray(lifts["state"], np.int64))
    tables = {name: np.full((len(place), len(STATES)), np.nan) for name in ("lift", "p_buy")}
    for name, table in tables.items():
        table[cell] = np.asarray(lifts[name], float)
    return Learned(
        by_lift=_line(tables["lift"] * worth[:, None], place),
        by_p_buy=_line(tables["p_buy"], place),
        popular=np.asarray(found["place_bought"], np.int64),
        repeated=np.asarray(found["again"], bool),
        worth=worth,
        why_no_lift=why_no_lift,
        personal=personal,
    )


def _line(score: Float64, place: Ints) -> Ints:
    """Return (n_items, n_states, 2) places: by score, without one by the catalog's order, just bought ones last."""
    shape = (*score.shape, 2)
    wide = np.broadcast_to(score[:, :, None], shape).ravel()
    order = np.lexsort(
        (
            np.broadcast_to(place[:, None, None], shape).ravel(),
            -wide,  # NaN sorts last
            np.broadcast_to(np.arange(2), shape).ravel(),
        )
    )
    line = np.empty(len(order), np.int64)
    line[order] = np.arange(len(order))
    return line.reshape(shape)
