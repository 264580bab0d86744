"""The lift model in the path of answers: learned once per build, asked for every person's candidates.

A log whose impressions carry probabilities, with enough purchases after showing, has lifts by person and item; any
other keeps those by item and state (``whybuy.recommend.lift``), and the answers say which.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from whybuy.events.log import EventLog
from whybuy.progress import Report
from whybuy.recommend.personal import store
from whybuy.recommend.personal.acts import Acts
from whybuy.recommend.personal.learn import Known, PersonalLifts, learn_lifts
from whybuy.recommend.personal.model import Lifts
from whybuy.recommend.personal.states import tastes
from whybuy.recommend.store import load_shown_events
from whybuy.recommend.terms import Terms

Ints = npt.NDArray[np.int64]

FEWEST_BOUGHT = 20
"""Purchases after showing, in the whole log, from which on lifts are told by person."""
EVERY_ITEM = 500
"""Up to this many items on sale, all of them are weighed for everybody."""
NEAREST_ITEMS = 100
"""From larger catalogs, the items nearest to what the person did."""
_PAIRS_AT_ONCE = 400_000
_FEW_HUNDRED = 500


def has_grounds(terms: Terms) -> bool:
    """Whether lifts can be told by person."""
    enough = terms.n_bought is not None and terms.n_bought >= FEWEST_BOUGHT
    return terms.basis == "impression" and terms.why_no_lift is None and enough


def learned_lifts(
    con: duckdb.DuckDBPyConnection, log: EventLog, terms: Terms, scratch: Path, report: Report
) -> PersonalLifts | None:
    """Return the lifts of a log, None where there are no grounds; reads the table ``items``."""
    if not has_grounds(terms):
        return None
    steps = iter(range(1, 2 * len(log.shards) + 1))

    def parts() -> Iterator[None]:
        for shard in log.shards:
            load_shown_events(con, shard, scratch)
            yield
            report("recommend: lifts by person", next(steps), 2 * len(log.shards) + 1)

    lifts = learn_lifts(con, parts, terms, windows_ms=terms.windows_ms)
    report("recommend: lifts by person", 2 * len(log.shards) + 1, 2 * len(log.shards) + 1)
    return lifts


def learn_from_log(
    con: duckdb.DuckDBPyConnection, log: EventLog, terms: Terms, folder: Path, scratch: Path, report: Report
) -> None:
    """Write the lifts of a log into ``folder``, where there are grounds; what an earlier log taught goes."""
    for name in (store.NUMBERS, store.GRAPH):
        (folder / name).unlink(missing_ok=True)
    lifts = learned_lifts(con, log, terms, scratch, report)
    if lifts is not None:
        store.save(lifts, folder)


@dataclass(frozen=True, eq=False)
class Asker:
    """Asks the lift model about people, if there is one.

    Attributes
    ----------
    opened : None where lifts are by item and state
    people_at_once : whose candidates fit into memory together
    known : what the people of the table ``ev`` did, see :meth:`about`
    """

    opened: store.Opened | None
    now_ms: int
    people_at_once: int = 10_000
    known: Known | None = None

    @classmethod
    def of(cls, folder: Path, terms: Terms) -> "Asker":
        """Return who asks the model in ``folder``."""
        if not store.is_saved(folder):
            return cls(None, terms.end_ms)
        opened = store.load(folder)
        n_weighed = max(_FEW_HUNDRED, min(EVERY_ITEM, len(opened.lifts.items)))
        return cls(opened, terms.end_ms, max(1, _PAIRS_AT_ONCE // n_weighed))

    def about(self, con: duckdb.DuckDBPyConnection) -> "Asker":
        """Return who asks about the people whose events are in ``ev`` now."""
        return self if self.opened is None else replace(self, known=self.opened.lifts.known(Acts.of(con)))

    def load_more_candidates(self, con: duckdb.DuckDBPyConnection, people: tuple[int, int]) -> None:
        """Add to ``candidates`` every item of a small catalog, or those nearest to what a person did."""
        if self.opened is None:
            return
        who = f"u >= {people[0]} AND u < {people[1]}"
        n_on_sale = con.execute("SELECT count(*) FROM places").fetchall()[0][0]
        if n_on_sale <= EVERY_ITEM:
            more = f"SELECT u, item FROM (SELECT u FROM people WHERE {who}) CROSS JOIN places"
        else:
            near = self._nearest(con, who)  # noqa: F841 - DuckDB reads it by name
            more = "SELECT u, item FROM near SEMI JOIN places USING (item)"
        con.execute(
            f"""INSERT INTO candidates
                SELECT u, item, 0.0, NULL, false FROM ({more}) m ANTI JOIN candidates USING (u, item)"""
        )

    def _nearest(self, con: duckdb.DuckDBPyConnection, who: str) -> pa.Table:
        assert self.opened is not None
        assert self.known is not None
        u = np.asarray(con.execute(f"SELECT u FROM people WHERE {who} ORDER BY u").fetchnumpy()["u"], np.int64)
        taste = tastes(self.known.past, self.opened.lifts.vectors, u, np.full(len(u), self.now_ms))
        known = np.flatnonzero((taste != 0).any(axis=1))
        found = self.opened.nearest.search(taste[known], NEAREST_ITEMS).item
        user = np.repeat(u[known], found.shape[1])
        return pa.table({"u": user[found.ravel() >= 0], "item": found.ravel()[found.ravel() >= 0]})

    def load_lifts(self, con: duckdb.DuckDBPyConnection) -> None:
        """Make ``personal`` (u, item, lift, p_buy, alone) of the candidates that were both shown and not shown."""
        con.execute(
            "CREATE OR REPLACE TEMP TABLE personal (u INTEGER, item INTEGER, lift DOUBLE, p_buy DOUBLE, alone DOUBLE)"
        )
        pairs = """SELECT u, item FROM candidates SEMI JOIN (SELECT item FROM exposed WHERE not_shown > 0) USING (item)
                    ORDER BY u, item"""
        for user, item, found in self._asked(con, pairs, intervals=False):
            part = {"u": user, "item": item, "lift": found.lift, "p": found.p_shown, "alone": found.p_not_shown}
            told = pa.table(part)  # noqa: F841 - DuckDB reads it by name
            con.execute("INSERT INTO personal SELECT * FROM told")

    def load_intervals(self, con: duckdb.DuckDBPyConnection) -> None:
        """Make ``intervals`` (u, item, low, high) of the rows of ``chosen`` that have a lift of their own."""
        con.execute("CREATE OR REPLACE TEMP TABLE intervals (u INTEGER, item INTEGER, low DOUBLE, high DOUBLE)")
        pairs = "SELECT u, item FROM chosen WHERE alone IS NOT NULL ORDER BY u, item"
        for user, item, found in self._asked(con, pairs, intervals=True):
            told = pa.table({"u": user, "item": item, "low": found.low, "high": found.high})  # noqa: F841
            con.execute("INSERT INTO intervals SELECT * FROM told")

    def _asked(
        self, con: duckdb.DuckDBPyConnection, pairs: str, *, intervals: bool
    ) -> Iterator[tuple[Ints, Ints, Lifts]]:
        if self.opened is None:
            return
        assert self.known is not None
        asked = con.execute(pairs).fetchnumpy()
        user, item = (np.asarray(asked[name], np.int64) for name in ("u", "item"))
        for first in range(0, len(user), _PAIRS_AT_ONCE):
            at = slice(first, first + _PAIRS_AT_ONCE)
            ts = np.full(len(user[at]), self.now_ms)
            yield user[at], item[at], self.opened.lifts.of(self.known, user[at], item[at], ts, intervals=intervals)
