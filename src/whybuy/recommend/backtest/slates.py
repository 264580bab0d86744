"""The slates of a log and what came of them: which of them can be judged, and why the others cannot.

A slate is what one user was shown at one moment. A defect of one row leaves out its whole slate, because a propensity
is that of the item in its slot *given the earlier slots*; nothing is left out silently.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from whybuy.causal.clusters import Ints
from whybuy.config import duration_text
from whybuy.events.log import EventLog
from whybuy.progress import Report
from whybuy.recommend.store import FIRST_SHOWN, load_events

DUPLICATES, NO_ITEM, UNFOLLOWED = "duplicates", "no_item", "unfollowed"


@dataclass(frozen=True)
class Reading:
    """How feedback is read.

    Attributes
    ----------
    reward : the action that counts, "purchase" or "click"
    horizon_ms : it counts within this time after showing
    lookback_ms : "recently" means within this time
    end_ms : the end of the log
    first_slot : the number of the first slot in this log; None where no slot is logged
    """

    reward: str
    horizon_ms: int
    lookback_ms: int
    end_ms: int
    first_slot: int | None

    @property
    def defects(self) -> dict[str, str]:
        """What leaves impressions out, in words, by its name in :func:`load_slates`."""
        return {
            NO_ITEM: "without an item",
            DUPLICATES: "the same item a second time at the same moment",
            "propensity": "in slates with a propensity that is missing, 0 or above 1",
            "slotless": "in slates of several items without slots, so that nothing is earlier or later",
            "shared": "in slates with two items in one slot",
            "gaps": "in slates that lack a slot before a logged one",
            UNFOLLOWED: f"shown within {duration_text(self.horizon_ms)} of the log's end, without follow-up",
        }


def load_feedback(con: duckdb.DuckDBPyConnection, shard: Path, reading: Reading) -> None:
    """Make ``people`` and ``ev`` of a shard, where clicks stand as purchases if they are what counts."""
    load_events(con, [shard])
    if reading.reward == "click":
        con.execute("UPDATE ev SET action = 'purchase' WHERE action = 'click'")


def load_slates(con: duckdb.DuckDBPyConnection, reading: Reading) -> None:
    """Make ``shown`` (u, t, item, slot, p), each item of a moment once, and ``slates`` (u, t, n, any_item, defect).

    ``defect`` is null where a slate can be judged.
    """
    con.execute(f"CREATE OR REPLACE TEMP TABLE shown AS {FIRST_SHOWN}")
    first = "NULL" if reading.first_slot is None else str(reading.first_slot)
    con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE slates AS
        SELECT u, t, count(*) AS n, min(item) AS any_item,
               CASE WHEN bool_or((p > 0 AND p <= 1) IS NOT TRUE) THEN 'propensity'
                    WHEN count(*) > 1 AND bool_or(slot IS NULL) THEN 'slotless'
                    WHEN count(*) > 1 AND count(DISTINCT slot) < count(*) THEN 'shared'
                    WHEN count(*) > 1 AND max(slot) - {first} + 1 > count(*) THEN 'gaps'
                    WHEN t + {reading.horizon_ms} > {reading.end_ms} THEN '{UNFOLLOWED}' END AS defect
        FROM shown GROUP BY u, t
        """
    )


@dataclass(frozen=True, eq=False)
class Survey:
    """What a log has shown.

    Attributes
    ----------
    reading : how it was read
    times : (n_slates,) of the slates that can be judged
    shelf : (n_items,) which items could stand in each other's place: those that were shown in one slate or are of one
        department, and those that share theirs, and so on
    last_ms : (n_items,) when each item was last shown in such a slate; -1 for never
    always : items that were in every such slate of their shelf, of those that have others beside them
    left_out : defect -> impressions
    """

    reading: Reading
    times: Ints
    shelf: Ints
    last_ms: Ints
    always: Ints
    left_out: dict[str, int]

    @property
    def left_out_in_words(self) -> dict[str, int]:
        """Why impressions cannot be judged -> how many."""
        return {words: self.left_out[name] for name, words in self.reading.defects.items() if self.left_out.get(name)}


def survey(con: duckdb.DuckDBPyConnection, log: EventLog, reading: Reading, report: Report) -> Survey:
    """Return what the log has shown, shard by shard; reads the table ``items``."""
    n_items = int(con.execute("SELECT count(*) FROM items").fetchall()[0][0])
    shelf, last_ms = _by_category(con), np.full(n_items, -1)
    n_of_item, n_by_any = np.zeros(n_items, np.int64), np.zeros(n_items, np.int64)
    times, left_out = [], Counter[str]()
    for done, shard in enumerate(log.shards):
        load_feedback(con, shard, reading)
        load_slates(con, reading)
        left_out += _left_out(con)
        own = con.execute("SELECT t, any_item FROM slates WHERE defect IS NULL").fetchnumpy()
        times.append(np.asarray(own["t"], np.int64))
        n_by_any += np.bincount(np.asarray(own["any_item"], np.int64), minlength=n_items)
        found = con.execute(f"SELECT item, max(t) AS t, count(*) AS n FROM {_JUDGED} GROUP BY item").fetchnumpy()
        at = np.asarray(found["item"], np.int64)
        last_ms[at] = np.maximum(last_ms[at], found["t"])
        n_of_item[at] += np.asarray(found["n"], np.int64)
        pairs = con.execute(f"SELECT DISTINCT any_item AS a, item AS b FROM {_JUDGED}").fetchnumpy()
        shelf = _joined(shelf, np.asarray(pairs["a"], np.int64), np.asarray(pairs["b"], np.int64))
        report("evaluate: what was shown", done + 1, len(log.shards))
    shelf = _with_loners_together(shelf)
    n_by_shelf = np.bincount(shelf, n_by_any, minlength=n_items + 1)
    n_beside = np.bincount(shelf, n_of_item > 0, minlength=n_items + 1)
    return Survey(
        reading=reading,
        times=np.concatenate(times),
        shelf=shelf,
        last_ms=last_ms,
        always=np.flatnonzero((n_of_item > 0) & (n_of_item == n_by_shelf[shelf]) & (n_beside[shelf] > 1)),
        left_out=dict(left_out),
    )


_JUDGED = "shown JOIN slates USING (u, t) WHERE defect IS NULL"


def _left_out(con: duckdb.DuckDBPyConnection) -> Counter[str]:
    """Return the impressions of the shard that cannot be judged, by defect."""
    shown, total, itemless = con.execute(
        """SELECT (SELECT count(*) FROM shown), count(*), count(*) FILTER (item IS NULL) FROM ev
           WHERE action = 'impression'"""
    ).fetchall()[0]
    rows = con.execute("SELECT defect, sum(n) FROM slates WHERE defect IS NOT NULL GROUP BY defect").fetchall()
    return Counter({NO_ITEM: itemless, DUPLICATES: total - itemless - shown, **{name: int(n) for name, n in rows}})


def _by_category(con: duckdb.DuckDBPyConnection) -> Ints:
    """Return (n_items,) the first item of each one's department, the first part of its category; itself without one."""
    found = con.execute(
        "SELECT min(item) OVER (PARTITION BY split_part(path, '/', 1), path IS NULL) AS first, path FROM items "
        "ORDER BY item"
    ).fetchnumpy()
    has_category = ~np.ma.getmaskarray(np.ma.asarray(found["path"]))
    return np.where(has_category, np.asarray(found["first"], np.int64), np.arange(len(has_category)))


def _joined(shelf: Ints, a: Ints, b: Ints) -> Ints:
    """Return (n_items,) the first item of each one's shelf once the items ``a`` and ``b`` were shown together."""
    n = len(shelf)
    edges = (np.concatenate([np.arange(n), a]), np.concatenate([shelf, b]))
    label = connected_components(coo_array((np.ones(len(edges[0])), edges), shape=(n, n)), directed=False)[1]
    return np.asarray(np.unique(label, return_index=True)[1][label], np.int64)


def _with_loners_together(shelf: Ints) -> Ints:
    """Return the shelves with the items that share theirs with no other one on a shelf of their own."""
    return np.where(np.bincount(shelf)[shelf] == 1, len(shelf), shelf)
