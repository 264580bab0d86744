"""The lift model as a learner of closed loops: the same code as ``whybuy recommend``, fed from tables in memory."""

from dataclasses import dataclass

import duckdb
import numpy as np
import numpy.typing as npt
import pandas as pd

from whybuy import columns as c
from whybuy.recommend.closed_loop import Forecast
from whybuy.recommend.personal.acts import Acts
from whybuy.recommend.personal.learn import PersonalLifts, draw, learn_lifts
from whybuy.recommend.personal.showing import ShowingModel, of_shard
from whybuy.recommend.terms import Terms
from whybuy.worlds.chain import DAY_MS
from whybuy.worlds.shop import Shop

WINDOWS_MS = (DAY_MS, 7 * DAY_MS)


@dataclass(frozen=True)
class LiftLearner:
    """Learns lifts from impressions; its settings are those of the code.

    Attributes
    ----------
    estimated : hide the logged chances of being shown, and estimate them
    """

    estimated: bool = False

    def learn(self, log: Shop) -> "LiftForecaster":
        """Return the model of a log."""
        with duckdb.connect() as con:
            load(con, log, log.users[c.USER].to_numpy(object))
            end = con.execute("SELECT max(t) FROM ev").fetchall()[0][0] + 1
            if self.estimated:
                estimate(con, end)
            lifts = learn_lifts(con, lambda: iter([None]), terms(end), windows_ms=WINDOWS_MS)
        assert lifts is not None
        return LiftForecaster(lifts)


def estimate(con: duckdb.DuckDBPyConnection, end: int) -> ShowingModel:
    """Put estimated chances of being shown in the place of the logged ones in the table ``ev``; return their model."""
    con.execute("UPDATE ev SET p = 0.5 WHERE action = 'impression'")
    model = ShowingModel.fit(*draw(con, lambda: iter([None]), terms(end), windows_ms=WINDOWS_MS))
    found = of_shard(con, model, terms(end))  # noqa: F841 - DuckDB reads it by name
    con.execute(
        """UPDATE ev SET p = f.p FROM found f
           WHERE ev.u = f.u AND ev.t = f.t AND ev.item = f.item AND action = 'impression'"""
    )
    return model


@dataclass(frozen=True, eq=False)
class LiftForecaster:
    """What has been learned."""

    lifts: PersonalLifts

    def predict(self, log: Shop, user_id: npt.NDArray[np.object_], at: pd.DatetimeIndex) -> Forecast:
        """Return what is expected of users (n,) at their times ``at`` (n,)."""
        n = len(log.items)
        with duckdb.connect() as con:
            load(con, log, user_id)
            user, item = np.repeat(np.arange(len(user_id)), n), np.tile(np.arange(n), len(user_id))
            found = self.lifts.of(
                self.lifts.known(Acts.of(con)), user, item, np.repeat(milliseconds(at), n), intervals=False
            )
        return Forecast(found.lift.reshape(-1, n), found.p_shown.reshape(-1, n))


def load(con: duckdb.DuckDBPyConnection, log: Shop, user_id: npt.NDArray[np.object_]) -> None:
    """Make the tables ``items`` and ``ev`` of a log, of the users (n,) alone, numbered in their order."""
    events = log.events[log.events[c.ITEM].notna()]
    u = pd.Index(user_id).get_indexer(events[c.USER])
    ev = pd.DataFrame(  # noqa: F841 - DuckDB reads it by name
        {
            "u": u,
            "t": milliseconds(pd.DatetimeIndex(events[c.TIME])),
            "action": events[c.ACTION].astype(str),
            "item": pd.Index(log.items[c.ITEM]).get_indexer(events[c.ITEM]),
            "p": events[c.PROPENSITY].astype(float),
            "slot": events[c.SLOT].astype(float),
        }
    )[u >= 0]
    con.execute("CREATE TABLE ev AS SELECT u::INTEGER AS u, t, action, item::INTEGER AS item, p, slot FROM ev")
    items = pd.DataFrame(  # noqa: F841
        {"item": np.arange(len(log.items)), "path": log.items[c.CATEGORY]}
        | {name: log.items[name] for name in (c.BRAND, c.PRICE)}
    )
    con.execute("CREATE TABLE items AS SELECT * FROM items")


def milliseconds(at: pd.DatetimeIndex) -> npt.NDArray[np.int64]:
    """Return (n,) milliseconds since 1970."""
    return at.tz_convert("UTC").tz_localize(None).to_numpy().astype("datetime64[ms]").astype(np.int64)


def terms(end_ms: int) -> Terms:
    """Return the terms of a showcase log: a purchase within a day of showing counts."""
    return Terms(
        basis="impression", horizon_ms=DAY_MS, lookback_ms=7 * DAY_MS, start_ms=0, end_ms=end_ms, has_times=True,
        why_no_lift=None, goal="purchase",
    )  # fmt: skip
