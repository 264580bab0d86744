"""Draw the demo shop: a log, an items table and a users table, as a shop would hand them over."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit

from whybuy import columns as c
from whybuy.worlds import demo as world
from whybuy.worlds.catalog import CURRENCY, ItemMemory, draw_items, draw_queries, draw_reviews
from whybuy.worlds.simulate import Float32, Ints, Step, Users, natural_steps
from whybuy.worlds.truth import demo_truth

START = pd.Timestamp("2025-03-03", tz="UTC")
SEGMENT, GENDER, AGE_GROUP = "segment", "gender", "age_group"
PROTECTED = (GENDER, AGE_GROUP)
_EXTRA_LINES = np.array([0.94, 0.045, 0.015])  # shares of orders with 0, 1 and 2 further lines
_PRICED = ("view", "cart", "purchase")
_N_CATEGORIES = len(world.CATEGORIES)


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoShop:
    """A drawn shop.

    Attributes
    ----------
    events : one row per event, sorted by time; columns of the data contract
    items : one row per item; users : one row per user
    propensity : (n_events, n_cells) float32, the true probability of every action x category just before the event, in
        the order of :data:`whybuy.worlds.demo.CELLS`; NaN for campaigns, which are no decisions. None unless asked for.
    """

    events: pd.DataFrame
    items: pd.DataFrame
    users: pd.DataFrame
    propensity: Float32 | None = None

    def summary(self) -> str:
        """Return one sentence about its size."""
        purchases = int((self.events[c.ACTION] == "purchase").sum())
        return f"{len(self.events):,} events of {len(self.users):,} users, {purchases:,} purchase lines"


def draw_demo(
    seed: int = 7, *, n_users: int = 2_400, days: int = world.DAYS, with_propensity: bool = False
) -> DemoShop:
    """Return a demo shop drawn from the equations of :mod:`whybuy.worlds.demo`.

    Parameters
    ----------
    seed : the same seed, size and length give the same shop
    n_users, days : size of the log; the stored truth is about 35 days, whatever the number of users
    with_propensity : also return the true probabilities (170 bytes per event)
    """
    who, chain, shelf, words, mail = np.random.default_rng(seed).spawn(5)
    users = Users.draw(n_users, who)
    items = draw_items(shelf)
    memory = ItemMemory.empty(n_users)
    steps = list(natural_steps(users, chain, days=days))
    own = _OwnEvents(
        user=np.concatenate([s.user for s in steps]),
        ts_ms=np.concatenate([s.ts_ms for s in steps]),
        cell=np.concatenate([s.cell for s in steps]),
        item=np.concatenate([memory.draw(s, shelf) for s in steps]),
    )
    chosen = _own_frame(own, items, words)
    parts = [chosen, _further_lines(chosen, items, words), _campaign_frame(users, steps, days, mail)]
    events = pd.concat([p for p in parts if len(p)], ignore_index=True)
    order = np.lexsort((events[_POSITION], events[c.USER], events[c.TIME]))
    events = events.iloc[order].reset_index(drop=True)
    propensity = _propensity_rows(events[_POSITION].to_numpy(), steps) if with_propensity else None
    return DemoShop(events=_finished(events), items=items, users=_users_frame(users), propensity=propensity)


_POSITION = "position"  # of the own event in drawing order; -1 for campaigns


@dataclass(frozen=True)
class _OwnEvents:
    user: Ints
    ts_ms: Ints
    cell: Ints
    item: Ints


def _own_frame(own: _OwnEvents, items: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    action, category = np.divmod(own.cell, _N_CATEGORIES)
    names = np.array(world.ACTIONS, object)[action]
    is_search, is_review, is_purchase = (names == a for a in ("search", "review", "purchase"))
    n = len(names)
    query, text, order, searched = (np.full(n, None, object) for _ in range(4))
    rating, price, quantity = (np.full(n, np.nan) for _ in range(3))
    item = items[c.ITEM].to_numpy(object)[own.item]
    item[is_search] = None
    searched[is_search] = np.array(world.CATEGORIES, object)[category[is_search]]
    query[is_search] = draw_queries(category[is_search], rng)
    rating[is_review], text[is_review] = draw_reviews(own.item[is_review], rng)
    priced = np.isin(names, _PRICED)
    price[priced] = items[c.PRICE].to_numpy()[own.item[priced]]
    quantity[is_purchase] = 1 + (rng.random(is_purchase.sum()) < 0.06)
    order[is_purchase] = [f"o{number:06d}" for number in range(1, int(is_purchase.sum()) + 1)]
    return pd.DataFrame(
        {
            c.USER: own.user,
            c.TIME: own.ts_ms,
            c.ACTION: names,
            c.ITEM: item,
            c.CATEGORY: searched,
            c.QUERY: query,
            c.RATING: rating,
            c.TEXT: text,
            c.PRICE: price,
            c.QUANTITY: quantity,
            c.ORDER: order,
            _POSITION: np.arange(n),
        }
    )


def _further_lines(own: pd.DataFrame, items: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Return further lines of some orders: another item of the same category, at the same time and order id.

    The same category, so that a moment stays one cell of the equations.
    """
    bought = own[own[c.ACTION] == "purchase"]
    lines = rng.choice(3, size=len(bought), p=_EXTRA_LINES)
    further = bought.loc[bought.index.repeat(lines)].copy()
    number = further.groupby(c.ORDER).cumcount().to_numpy() + 1
    of_item = items.set_index(c.ITEM)
    first = of_item.index.get_indexer(pd.Index(further[c.ITEM]))
    per_category = len(items) // _N_CATEGORIES
    other = first - first % per_category + (first % per_category + number) % per_category
    further[c.ITEM] = items[c.ITEM].to_numpy(object)[other]
    further[c.PRICE] = items[c.PRICE].to_numpy()[other]
    further[c.QUANTITY] = 1.0
    return further


def _campaign_frame(users: Users, steps: list[Step], days: int, rng: np.random.Generator) -> pd.DataFrame:
    end_ms = days * world.DAY_MS
    spring = pd.DataFrame(
        {
            c.USER: np.arange(len(users)),
            c.TIME: users.spring_ms,
            c.CAMPAIGN: "spring",
            c.ARM: np.where(users.treated, "treated", "control"),
            c.PROPENSITY: np.where(users.treated, world.SPRING_SHARE, 1 - world.SPRING_SHARE),
        }
    )
    vip_ms = round(world.VIP_DAY * world.DAY_MS)
    sent = np.flatnonzero(rng.random(len(users)) < vip_probability(users, steps, vip_ms))
    vip = pd.DataFrame({c.USER: sent, c.TIME: vip_ms, c.CAMPAIGN: "vip", c.ARM: "treated"})
    both = pd.concat([spring, vip], ignore_index=True)
    both[c.ACTION], both[_POSITION] = "campaign", -1
    return both[both[c.TIME] < end_ms]


def vip_probability(users: Users, steps: list[Step], vip_ms: int) -> npt.NDArray[np.float64]:
    """Return (n_users,) the probability of being sent ``vip`` at ``vip_ms``, from the logged history alone."""
    jumps = world.jump_matrix()
    user, ts, cell = (np.concatenate([getattr(s, f) for s in steps]) for f in ("user", "ts_ms", "cell"))
    before = ts < vip_ms
    user, hours, cell = user[before], (vip_ms - ts[before]) / world.HOUR_MS, cell[before]
    log_odds = world.VIP["constant"] + world.VIP["loyal"] * users.is_loyal
    for kind in ("momentum", "owned"):
        columns = [k for k, state in enumerate(world.STATES) if state.split(":")[0] == kind]
        remaining = np.exp2(-hours / world.HALF_LIFE_HOURS[columns[0]])
        states = [np.bincount(user, jumps[cell, k] * remaining, minlength=len(users)) for k in columns]
        log_odds += world.VIP[kind] * np.log1p(np.maximum(states, 0).sum(axis=0))
    probability: npt.NDArray[np.float64] = expit(log_odds)
    return probability


def _propensity_rows(position: Ints, steps: list[Step]) -> Float32:
    P = np.concatenate([s.P for s in steps])
    rows = P[position]
    rows[position < 0] = np.nan
    return rows


def _finished(events: pd.DataFrame) -> pd.DataFrame:
    """Return the columns of the contract that the shop has, ids and times as a shop writes them."""
    events[c.USER] = _user_ids(events[c.USER].to_numpy())
    events[c.TIME] = (START + pd.to_timedelta(events[c.TIME], unit="ms")).astype("datetime64[ms, UTC]")
    events[c.CURRENCY] = events[c.PRICE].notna().map({True: CURRENCY, False: None})
    wanted = [x for x in (*c.EVENT_COLUMNS, c.CATEGORY) if x in events.columns]
    return events[wanted]


def _user_ids(number: Ints) -> list[str]:
    return [f"u{k + 1:05d}" for k in number]


def _users_frame(users: Users) -> pd.DataFrame:
    loyal, female, young, old = (users.attributes > 0).T
    return pd.DataFrame(
        {
            c.USER: _user_ids(np.arange(len(users))),
            SEGMENT: np.where(loyal, "loyal", "new"),
            GENDER: np.where(female, "f", "m"),
            AGE_GROUP: np.select([young, old], ["18-29", "50+"], "30-49"),
        }
    )


def write_demo(shop: DemoShop, folder: Path) -> Path:
    """Write the shop's three tables and a commented ``whybuy.toml`` into ``folder``; return the config's path."""
    folder.mkdir(parents=True, exist_ok=True)
    for frame, name in ((shop.events, "events"), (shop.items, "items"), (shop.users, "users")):
        part = folder / f".{name}.parquet.part"
        frame.to_parquet(part, index=False)
        os.replace(part, folder / f"{name}.parquet")
    part = folder / ".whybuy.toml.part"
    part.write_text(config_text(shop), encoding="utf-8")
    config = folder / "whybuy.toml"
    os.replace(part, config)
    return config


def config_text(shop: DemoShop) -> str:
    """Return the config of the demo shop: its columns already have the contract's names."""
    mapping, items = (
        "\n".join(f'{column} = "{column}"' for column in frame.columns) for frame in (shop.events, shop.items)
    )
    confirm = "\n".join(f'  ["{effect.treatment}", "{effect.outcome}"],' for effect in demo_truth())
    protected = ", ".join(f'"{name}"' for name in PROTECTED)
    return f"""# The demo shop of whybuy: a log drawn from equations, so that the true effects are known.
engine = "local"
horizons = ["7d"]           # effects on purchases within seven days
lookback = "7d"             # decisions need this much history
timezone = "UTC"
protected = [{protected}]

[[events]]
path = "events.parquet"

[events.columns]            # column of the contract = column of the file
{mapping}

[items]
path = "items.parquet"

[items.columns]
{items}

[users]
path = "users.parquet"      # segment, gender and age_group become attributes

[causal]
confirm = [                 # the pairs whose true effect is known
{confirm}
]
"""
