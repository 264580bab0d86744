"""What people did with items, and what they were shown: read once, looked at from many sides."""

from collections.abc import Iterable
from dataclasses import dataclass

import duckdb
import numpy as np
import numpy.typing as npt

from whybuy import columns as c
from whybuy.recommend.store import sql_in

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

ACTED_SQL = f"""
    SELECT u, item, t, CAST(list_position({list(c.ACTIONS)}, action) - 1 AS TINYINT) AS act
    FROM ev WHERE item IS NOT NULL AND action IN {sql_in(c.ACTIONS)} ORDER BY u, t, item, action
"""
"""Of the table ``ev``; actions by their place in the contract."""


@dataclass(frozen=True, eq=False)
class Acts:
    """Events with items, in the order of user and time, (n,) each.

    Attributes
    ----------
    user, item, ts : numbers from 0, milliseconds
    action : place in ``columns.ACTIONS``
    """

    user: Ints
    item: Ints
    ts: Ints
    action: npt.NDArray[np.int8]

    @classmethod
    def of(cls, con: duckdb.DuckDBPyConnection) -> "Acts":
        """Read the events of the table ``ev``."""
        found = con.execute(ACTED_SQL).fetchnumpy()
        user, item, ts = (np.asarray(found[name], np.int64) for name in ("u", "item", "t"))
        return cls(user, item, ts, np.asarray(found["act"], np.int8))

    def is_of(self, actions: Iterable[str]) -> Bools:
        """Return (n,) whether each is one of ``actions``."""
        asked = np.isin(c.ACTIONS, list(actions))
        return asked[self.action]
