"""Slates that explore, or hold to a cap: from the line of candidates to the K that are served, with propensities.

A slot takes the next in line with probability 1 - explore, and else any candidate that is left, all alike; the
probability of what was drawn in its slot, given the earlier slots, is exact and stands beside it. So a log of what was
served is one that lifts can be learned from, and policies judged on. The draw belongs to the user and the day of the
log's end: the same answer however often it is asked for.
"""

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from whybuy import columns as c
from whybuy.recommend.policy import Candidates, Limits, Policy, Shelf, Slates
from whybuy.recommend.policy.inputs import NOBODY
from whybuy.recommend.terms import Terms

Ints = npt.NDArray[np.int64]
_DAY_MS = 86_400_000


def load_drawn(con: duckdb.DuckDBPyConnection, terms: Terms, *, k: int) -> None:
    """Make ``drawn`` (u, item, rank, propensity) from the table ``line`` (u, item, in_line).

    Items bought just now are drawn only where nothing else fills the list.
    """
    found = con.execute(
        f"""SELECT u, item, in_line FROM line
            WHERE NOT last OR in_line <= {k} ORDER BY u, in_line"""
    ).fetchnumpy()
    u, item = (np.asarray(found[name], np.int64) for name in ("u", "item"))
    people, row, size = np.unique(u, return_inverse=True, return_counts=True)
    line = np.full((len(people), int(size.max(initial=1))), NOBODY)
    line[row, np.arange(len(u)) - np.repeat(size.cumsum() - size, size)] = item
    ids = con.execute(f"SELECT u, {c.USER} FROM people ORDER BY u").fetchnumpy()
    user_id = np.asarray(ids[c.USER], object)[np.asarray(ids["u"], np.int64).searchsorted(people)]
    slates = drawn_slates(_shelf(con), user_id, line, terms, k=k)
    filled, slot = np.nonzero(slates.item != NOBODY)
    # DuckDB reads it by name, and would read the table of that name that an earlier shard left.
    served = pa.table(  # noqa: F841
        {
            "u": people[filled],
            "item": slates.item[filled, slot],
            "rank": slot + 1,
            "propensity": slates.propensity[filled, slot],
        }
    )
    con.execute("CREATE OR REPLACE TEMP TABLE drawn AS SELECT * FROM served")


def explores(terms: Terms) -> bool:
    """Whether anything but the first K in line can be served."""
    return terms.explore > 0 or terms.per_category is not None


def drawn_slates(shelf: Shelf, user_id: npt.NDArray[np.object_], line: Ints, terms: Terms, *, k: int) -> Slates:
    """Return the slates of (n_users,) people from their lines, (n_users, n_candidates), the first in line first."""
    policy = Policy(
        k=k, epsilon=terms.explore, limits=Limits(per_category=terms.per_category, bought_again=True), seed=terms.seed
    )
    score = np.where(line == NOBODY, np.nan, -np.arange(line.shape[1], dtype=float))
    candidates = Candidates(shelf=shelf, user_id=user_id, item=line, score=score)
    return policy.slates(candidates, round_number=terms.end_ms // _DAY_MS)


def _shelf(con: duckdb.DuckDBPyConnection) -> Shelf:
    found = con.execute("SELECT item, path FROM items ORDER BY item").df()
    return Shelf(item_id=found["item"].to_numpy(np.int64), category=found["path"].to_numpy(object))
