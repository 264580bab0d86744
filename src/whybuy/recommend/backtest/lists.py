"""What rankings say to people at one moment, from the tables that answers rest on.

``this policy`` is the answer itself, as ``whybuy recommend`` gives it. By P(buy), co-purchase and last seen order the
items that are weighed for a person by one thing that is known of them, without what was bought just now; places that
nothing is known for go to the items with the most buyers.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import duckdb
import numpy as np

from whybuy import columns as c
from whybuy.causal.clusters import Ints
from whybuy.events.log import EventLog
from whybuy.progress import Report
from whybuy.recommend.backtest.judge import BY_P_BUY, POPULAR, RANDOM, THIS
from whybuy.recommend.candidates import load_touched
from whybuy.recommend.moves import load_no_effects, moved_sql
from whybuy.recommend.personal.asked import Asker
from whybuy.recommend.ranking import load_ranked
from whybuy.recommend.store import load_events, sql_in
from whybuy.recommend.terms import TOUCH_ACTIONS, Terms

CO_PURCHASE, LAST_SEEN = "co-purchase", "last seen"
RANKINGS = (THIS, BY_P_BUY, CO_PURCHASE, LAST_SEEN, POPULAR, RANDOM)
_KNOWN = {
    THIS: "SELECT u, item, -rank AS known FROM chosen",
    BY_P_BUY: "SELECT u, item, p_buy AS known FROM weighed WHERE p_buy IS NOT NULL AND NOT last",
    CO_PURCHASE: "SELECT u, item, strength AS known FROM weighed WHERE strength > 0 AND NOT last",
    LAST_SEEN: "SELECT u, item, last_t AS known FROM weighed JOIN touched USING (u, item) WHERE NOT last",
    POPULAR: "SELECT u, item, 0 AS known FROM weighed WHERE false",
}
"""What is known of items by which each of the rankings orders them, the largest first."""


@dataclass(frozen=True, eq=False)
class Lists:
    """Rankings of some people, what they had done, and what they took afterwards.

    Attributes
    ----------
    rankings : by name, (n_users, k) items, best first, -1 where the catalog ends
    row, taken : (n_taken,) the user's row, and an item bought afterwards
    past_row, past_item, past_n : (n_past,) the user's row, and how many events of interest on an item came before
    """

    rankings: dict[str, Ints]
    row: Ints
    taken: Ints
    past_row: Ints
    past_item: Ints
    past_n: Ints

    @property
    def n_users(self) -> int:
        """How many people there are."""
        return len(self.rankings[THIS])

    @classmethod
    def joined(cls, parts: Sequence["Lists"]) -> "Lists":
        """Return the people of several shards, one shard after the other."""
        before = np.cumsum([0, *(part.n_users for part in parts)])
        return cls(
            rankings={name: np.concatenate([part.rankings[name] for part in parts]) for name in parts[0].rankings},
            row=np.concatenate([n + part.row for n, part in zip(before, parts, strict=False)]),
            taken=np.concatenate([part.taken for part in parts]),
            past_row=np.concatenate([n + part.past_row for n, part in zip(before, parts, strict=False)]),
            past_item=np.concatenate([part.past_item for part in parts]),
            past_n=np.concatenate([part.past_n for part in parts]),
        )


def rank_people(  # noqa: PLR0913 - the tables, the log, who asks, on which terms, how many, and the luck
    con: duckdb.DuckDBPyConnection,
    earlier: EventLog,
    asker: Asker,
    terms: Terms,
    *,
    k: int,
    rng: np.random.Generator,
    report: Report,
) -> Lists:
    """Return what is said to the people of the table ``taken`` (shard, user_id, item) at the end of a log.

    Parameters
    ----------
    earlier, terms : the log, and its terms; its tables are made already
    asker : asks its lifts by person, if there are any
    """
    load_no_effects(con)
    parts = []
    for shard, path in enumerate(earlier.shards):
        con.execute(f"CREATE OR REPLACE TEMP TABLE wanted AS SELECT DISTINCT {c.USER} FROM taken WHERE shard = {shard}")
        n_people = load_events(con, [path], only="wanted")
        parts.append(_rank_shard(con, asker, terms, shard, n_people, k))
        report("evaluate: rankings", shard + 1, len(earlier.shards))
    lists = Lists.joined(parts)
    return replace(lists, rankings={**lists.rankings, RANDOM: _random(con, lists.n_users, k, rng)})


def _rank_shard(
    con: duckdb.DuckDBPyConnection,
    asker: Asker,
    terms: Terms,
    shard: int,
    n_people: int,
    k: int,
) -> Lists:
    load_touched(con, terms)
    con.execute(moved_sql(terms))
    asker = asker.about(con)
    rankings = {name: np.full((n_people, k), -1) for name in _KNOWN}
    for first in range(0, n_people, asker.people_at_once):
        people = (first, min(first + asker.people_at_once, n_people))
        load_ranked(con, terms, asker, people=people, k=k)
        for name, known in _KNOWN.items():
            found = con.execute(_list(known, people, k)).fetchnumpy()
            rankings[name][found["u"], np.asarray(found["rank"], np.int64) - 1] = found["item"]
    row, taken = _integers(con, f"SELECT u, item FROM taken JOIN people USING ({c.USER}) WHERE shard = {shard}")
    touched = f"item IS NOT NULL AND action IN {sql_in(TOUCH_ACTIONS)}"
    past = _integers(con, f"SELECT u, item, count(*) FROM ev WHERE {touched} GROUP BY u, item ORDER BY u, item")
    return Lists(rankings, row, taken, *past)


def _list(known: str, people: tuple[int, int], k: int) -> str:
    """SQL of the first ``k`` items (u, item, rank) of every person by what is known, then by buyers."""
    return f"""
        WITH known AS ({known}), popular AS (
            SELECT u, item FROM (SELECT u FROM people WHERE u >= {people[0]} AND u < {people[1]})
            CROSS JOIN (SELECT item FROM places WHERE place_bought <= {k})
        ), every AS (
            SELECT u, item, known FROM known UNION ALL
            SELECT u, item, NULL FROM popular ANTI JOIN known USING (u, item)
        )
        SELECT u, item, row_number() OVER (PARTITION BY u ORDER BY known DESC NULLS LAST, place_bought) AS rank
        FROM every JOIN places USING (item) QUALIFY rank <= {k}
    """


def _random(con: duckdb.DuckDBPyConnection, n_people: int, k: int, rng: np.random.Generator) -> Ints:
    """Return (n_people, k) items, each equally likely in every place: neighbors in one random order of the catalog."""
    (items,) = _integers(con, "SELECT item FROM places ORDER BY item")
    found = np.full((n_people, k), -1)
    if len(items):
        width = min(k, len(items))
        start = rng.integers(len(items), size=(n_people, 1))
        found[:, :width] = rng.permutation(items)[(start + np.arange(width)) % len(items)]
    return found


def _integers(con: duckdb.DuckDBPyConnection, query: str) -> list[Ints]:
    """Return the columns of a query."""
    return [np.asarray(column, np.int64) for column in con.execute(query).fetchnumpy().values()]
