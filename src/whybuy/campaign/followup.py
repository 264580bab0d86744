"""How often things follow a moment, in any window after it: what every question after the first one counts.

Same rules as :mod:`whybuy.campaign.history`: a shard holds all events of its users, and the events of one moment (same
time or same order) are dated by the first of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from whybuy import columns as c
from whybuy.campaign.estimate import Float64
from whybuy.campaign.history import PLACED, outcome_sql
from whybuy.engine import steady_duckdb
from whybuy.events.behaviors import Behavior
from whybuy.events.log import ITEMS, EventLog

_ROW, _AT = "row", "at_ms"
NO_ITEMS = pd.DataFrame({c.ITEM: pd.Series([], dtype="string")})


@dataclass(frozen=True)
class Counted:
    """What is counted: events of a behavior later than ``from_ms`` and at most ``to_ms`` after the moment.

    Attributes
    ----------
    among_items : whether only events of the listed items count
    money : whether their price times quantity is added up, instead of the events
    """

    behavior: Behavior
    from_ms: int
    to_ms: int
    among_items: bool = False
    money: bool = False

    def sql(self, mark: int) -> tuple[str, dict[str, str]]:
        """Return the expression over events joined to moments, and the parameters of its condition."""
        condition, parameters = outcome_sql(self.behavior, mark=f"_{mark}")
        if self.among_items:
            condition += f" AND {c.ITEM} IN (SELECT {c.ITEM} FROM listed)"
        when = f"moment_ms > {_AT} + {self.from_ms} AND moment_ms <= {_AT} + {self.to_ms}"
        what = f"sum({c.PRICE} * coalesce({c.QUANTITY}, 1))" if self.money else "count(*)"
        return f"coalesce({what} FILTER ({condition} AND {when}), 0)", parameters


def followups(
    log: EventLog, rows: pd.DataFrame, counted: Sequence[Counted], *, items: pd.DataFrame = NO_ITEMS
) -> Float64:
    """Return (n, len(counted)) how much of each follows the moments of ``rows`` (``user_id``, ``ts_ms``).

    Parameters
    ----------
    items : the listed items, one column ``item_id``
    """
    wanted = pd.DataFrame({_ROW: np.arange(len(rows)), c.USER: rows[c.USER], _AT: rows[c.TIME_MS].astype("int64")})
    expressions: list[str] = []
    parameters: dict[str, str] = {}
    for mark, one in enumerate(counted):
        expression, more = one.sql(mark)
        expressions.append(f"{expression} AS y{mark}")
        parameters |= more
    sql = f"""
    WITH {PLACED}
    SELECT w.{_ROW}, {", ".join(expressions)} FROM placed JOIN wanted w USING ({c.USER}) GROUP BY w.{_ROW}
    """
    out = np.zeros((len(rows), len(counted)))
    with steady_duckdb() as connection:
        connection.register("wanted", wanted)
        connection.register("listed", items)
        for shard in log.shards:
            values = {**parameters, "shard": str(shard), "items": str(log.folder / ITEMS)}
            found = connection.execute(sql, values).df()
            out[found[_ROW].to_numpy()] = found.drop(columns=_ROW).to_numpy(float)
    return out
