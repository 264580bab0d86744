"""Draw the demo shop: a log, an items table and a users table, as a shop would hand them over."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from whybuy import columns as c
from whybuy.worlds import demo as world
from whybuy.worlds.catalog import ItemMemory, draw_items, draw_queries, draw_reviews
from whybuy.worlds.chain import DAY_MS, Equations, Ints, joined, natural_steps
from whybuy.worlds.demo_equations import AGE_GROUP, DEMO, GENDER
from whybuy.worlds.shop import POSITION, Chains, Shop, assembled, config_text, write_shop

PROTECTED = (GENDER, AGE_GROUP)
_EXTRA_LINES = np.array([0.94, 0.045, 0.015])  # shares of orders with 0, 1 and 2 further lines
_PRICED = ("view", "cart", "purchase")


def draw_demo(
    seed: int = 7, *, n_users: int = DEMO.n_users, days: int = DEMO.days, with_propensity: bool = False
) -> Shop:
    """Return a demo shop drawn from the equations of :mod:`whybuy.worlds.demo`.

    Parameters
    ----------
    seed : the same seed, size and length give the same shop
    n_users, days : size of the log; the stored truth is about 35 days, whatever the number of users
    with_propensity : also return the true probabilities (170 bytes per event)
    """
    return draw_demo_shop(DEMO, seed, n_users=n_users, days=days, with_propensity=with_propensity)


def draw_demo_shop(
    equations: Equations, seed: int, *, n_users: int, days: int = DEMO.days, with_propensity: bool = False
) -> Shop:
    """Return a shop with the demo's items and words, drawn from its equations or from those with a hidden wish."""
    who, chain, shelf, words, mail = np.random.default_rng(seed).spawn(5)
    users = equations.users(n_users, who)
    items = draw_items(shelf)
    memory = ItemMemory.empty(n_users)
    steps = list(natural_steps(equations, users, chain, days=days))
    own = _OwnEvents(
        user=joined(steps, "user"),
        ts_ms=joined(steps, "ts_ms"),
        cell=joined(steps, "cell"),
        item=np.concatenate([memory.draw(s, shelf) for s in steps]),
    )
    chosen = _own_frame(own, items, words)
    sent = equations.exposures(users, steps, mail)
    parts = [chosen, _further_lines(chosen, items, words), sent[sent[c.TIME] < days * DAY_MS]]
    return assembled(Chains(equations, users, steps), parts, items, with_propensity=with_propensity)


@dataclass(frozen=True)
class _OwnEvents:
    user: Ints
    ts_ms: Ints
    cell: Ints
    item: Ints


def _own_frame(own: _OwnEvents, items: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    action, category = np.divmod(own.cell, len(world.CATEGORIES))
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
            POSITION: np.arange(n),
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
    per_category = len(items) // len(world.CATEGORIES)
    other = first - first % per_category + (first % per_category + number) % per_category
    further[c.ITEM] = items[c.ITEM].to_numpy(object)[other]
    further[c.PRICE] = items[c.PRICE].to_numpy()[other]
    further[c.QUANTITY] = 1.0
    return further


_OFFERS = """
[campaign]
margin = 0.3                # share of revenue that is kept

[campaign.offers.spring]    # what the report plans with
cost = 1.0                  # of sending it to one person
value = 40.0                # of one more person with a purchase
budget = 1_200.0
"""


def write_demo(shop: Shop, folder: Path) -> Path:
    """Write the shop's three tables and a commented ``whybuy.toml`` into ``folder``; return the config's path."""
    headline = "The demo shop of whybuy: a log drawn from equations, so that the true effects are known."
    return write_shop(shop, folder, config_text(shop, headline, DEMO.pairs, PROTECTED) + _OFFERS)
