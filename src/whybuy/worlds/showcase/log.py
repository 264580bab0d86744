"""The log of a shop front in the data contract, with what no log shows beside it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from whybuy import columns as c
from whybuy.worlds.chain import DAY_MS, Float64, Ints
from whybuy.worlds.shop import CURRENCY, START, Shop, config_text, write_shop
from whybuy.worlds.showcase.equations import Equations
from whybuy.worlds.showcase.front import FULL, Shopfront, Size
from whybuy.worlds.showcase.policy import Policy, logging_policy
from whybuy.worlds.showcase.state import Happened, State
from whybuy.worlds.showcase.truth import best_possible, true_lift

_TIMES = 6  # after the streams of the front
_LOOKS_WITHIN_MS = 600_000  # before the slate
_CLICKS_WITHIN_MS = 300_000  # after it
_FIRST_MS, _LAST_MS = 120_000, 20 * 3_600_000  # of a purchase after the round's beginning: within the day


@dataclass(frozen=True, kw_only=True)
class ShowcaseLog:
    """A drawn log and its truth.

    Attributes
    ----------
    shop : events, items and users as a shop would hand them over; the n-th user and item are index n of every array
    start, end : the states before the first round and after the last
    history : the rounds
    """

    shop: Shop
    start: State
    end: State
    history: tuple[Happened, ...]

    def lift(self) -> Float64:
        """Return (n_users, n_items) the true lift at the log's end."""
        return true_lift(self.end)

    def best(self) -> Float64:
        """Return (n_users, n_items) E[lift | log], the best that a log allows to rank by."""
        return best_possible(self.start, self.history)


def draw_log(equations: Equations, seed: int, size: Size = FULL, *, policy: Policy = logging_policy) -> ShowcaseLog:
    """Return the log of a shop that is run by ``policy``; the same seed and size give the same log."""
    front = Shopfront(equations, seed, size)
    front.run(policy, size.n_rounds)
    return ShowcaseLog(shop=tables(front), start=front.start, end=front.state, history=tuple(front.history))


def tables(front: Shopfront) -> Shop:
    """Return the log so far of a shop front, in the data contract.

    A round of a user begins at the user's own minute of the day: looks come before, the slate at that time, clicks and
    purchases after, all within the day. So a purchase within a day of a slate is one of that round.
    """
    state = front.state
    parts = [_round(state, happened, front.seed) for happened in front.history]
    events = pd.concat(parts, ignore_index=True)
    events = events.sort_values([c.TIME, c.USER, c.SLOT, c.ITEM], kind="stable", ignore_index=True)
    users = np.array([f"u{k + 1:05d}" for k in range(len(state.people))], object)
    items = state.goods.table[c.ITEM].to_numpy(object)
    number = events[c.ITEM].to_numpy()
    is_purchase = (events[c.ACTION] == "purchase").to_numpy()
    priced = is_purchase | (events[c.ACTION] == "view").to_numpy()
    price = np.where(priced, state.goods.price[number], np.nan)
    events = pd.DataFrame(
        {
            c.USER: users[events[c.USER].to_numpy()],
            c.TIME: (START + pd.to_timedelta(events[c.TIME], unit="ms")).astype("datetime64[ms, UTC]"),
            c.ACTION: events[c.ACTION],
            c.ITEM: items[number],
            c.SESSION: events[c.SESSION],
            c.PRICE: price,
            c.QUANTITY: np.where(is_purchase, 1.0, np.nan),
            c.CURRENCY: pd.Series(priced).map({True: CURRENCY, False: None}),
            c.PROPENSITY: events[c.PROPENSITY],
            c.SLOT: events[c.SLOT],
        }
    )
    segment = np.array(state.equations.segments, object)[state.people.segment]
    attributes = pd.DataFrame({c.USER: users, state.equations.attribute: segment})
    return Shop(events=events, items=state.goods.table, users=attributes, cells=())


def _round(state: State, happened: Happened, seed: int) -> pd.DataFrame:
    """Return the rows of one round: user and item by number, time in milliseconds since the start."""
    begins = happened.number * DAY_MS + state.people.minute * 60_000
    rng = np.random.default_rng([seed, _TIMES, happened.number])
    looks = rng.integers(1_000, _LOOKS_WITHIN_MS, (len(begins), happened.looked.shape[1]))
    clicks = rng.integers(1_000, _CLICKS_WITHIN_MS, (len(begins), len(state.goods)))
    waits = np.exp(rng.uniform(np.log(_FIRST_MS), np.log(_LAST_MS), happened.bought.shape)).astype(np.int64)
    row, category = np.nonzero(happened.looked >= 0)
    looker = happened.visitor[row]
    click, slot = np.nonzero(happened.clicked)
    clicker, clicked = happened.visitor[click], happened.items[click, slot]
    shown_to = np.repeat(happened.visitor, happened.items.shape[1])
    buyer, nest, item = happened.purchases()
    slots = np.tile(np.arange(1.0, happened.items.shape[1] + 1), len(happened.visitor))
    return pd.concat(
        [
            _rows("view", looker, begins[looker] - looks[looker, category], happened.looked[row, category]),
            _rows("impression", shown_to, begins[shown_to], happened.items.ravel()).assign(
                **{c.PROPENSITY: happened.propensity.ravel(), c.SLOT: slots}
            ),
            _rows("click", clicker, begins[clicker] + clicks[clicker, clicked], clicked),
            _rows("purchase", buyer, begins[buyer] + waits[buyer, nest], item),
        ],
        ignore_index=True,
    ).assign(**{c.SESSION: lambda rows: [f"s{user + 1:05d}-{happened.number}" for user in rows[c.USER]]})


def _rows(action: str, user: Ints, ts_ms: Ints, item: Ints) -> pd.DataFrame:
    return pd.DataFrame({c.USER: user, c.TIME: ts_ms, c.ACTION: action, c.ITEM: item})


def write_log(log: ShowcaseLog, folder: str | Path) -> Path:
    """Write the shop's tables and a ``whybuy.toml`` into ``folder``; return the config's path."""
    equations = log.start.equations
    headline = f"The {equations.name} showcase of whybuy, {equations.about}: a log with impressions and known lifts."
    return write_shop(log.shop, folder, config_text(log.shop, headline, _pairs(equations.categories)))


def _pairs(categories: Sequence[str]) -> list[tuple[str, str]]:
    """Return the pairs that a run confirms: looks and purchases of the first category."""
    return [(f"view:{categories[0]}", f"purchase:{categories[0]}")]
