"""A run in the data contract: views, purchases, who was sent what, and redemptions."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from whybuy import columns as c
from whybuy.worlds.chain import DAY_MS, Float64, Ints
from whybuy.worlds.promotions.campaigns import COUPON_DAYS, COUPON_OFF, REDEEMS
from whybuy.worlds.promotions.equations import CATEGORIES, DEVICES, TIERS, N
from whybuy.worlds.promotions.run import Run, Sending
from whybuy.worlds.shop import CURRENCY, START, Shop, config_text, write_shop

ITEMS_PER_CATEGORY = 12
_ITEMS, _REDEEM = 11, 12  # streams of random numbers after those of a run
_LOOK_MS, _BUY_MS = 40_000, 20_000


def tables(run: Run) -> Shop:
    """Return the log of a run; the n-th user is index n of every array."""
    rng = np.random.default_rng([run.seed, _ITEMS])
    items = item_table(CATEGORIES, rng)
    rows = pd.concat([_looks(run), _purchases(run)], ignore_index=True)
    n = len(rows)
    item = rows[c.CATEGORY].to_numpy(np.int64) * ITEMS_PER_CATEGORY + rng.integers(ITEMS_PER_CATEGORY, size=n)
    off = np.where(rows[c.CAMPAIGN].notna(), COUPON_OFF, 0.0)
    rows = rows.assign(**{c.ITEM: item, c.PRICE: np.round(items[c.PRICE].to_numpy()[item] * (1 - off), 2)})
    redeemed = _without_item(rows[rows[c.CAMPAIGN].notna()], "redeem")
    bought = rows.assign(**{c.CAMPAIGN: None})
    sent = [_sent(sending) for sending in run.sendings.values()]
    tier, device = np.array(TIERS, object)[run.people.tier], np.array(DEVICES, object)[run.people.device]
    return in_contract([bought, redeemed, *sent], items, {"tier": tier, "device": device})


def write_tables(shop: Shop, folder: Path) -> Path:
    """Write the shop's tables and a ``whybuy.toml`` into ``folder``; return the config's path."""
    first = shop.items[c.CATEGORY].iloc[0]
    headline = "A promotion shop of whybuy: a log drawn from equations with known effects."
    return write_shop(shop, folder, config_text(shop, headline, [(f"view:{first}", f"purchase:{first}")]))


def item_table(categories: Sequence[str], rng: np.random.Generator) -> pd.DataFrame:
    """Return the items, all of the first category, then of the next."""
    kind = np.repeat(np.array(categories, object), ITEMS_PER_CATEGORY)
    number = np.tile(np.arange(1, ITEMS_PER_CATEGORY + 1), len(categories))
    price = np.round(np.exp(3.2 + 0.4 * rng.standard_normal(len(kind))), 2)
    return pd.DataFrame(
        {c.ITEM: [f"{k}-{i:02d}" for k, i in zip(kind, number, strict=True)], c.CATEGORY: kind, c.PRICE: price}
    )


def in_contract(parts: list[pd.DataFrame], items: pd.DataFrame, attributes: dict[str, np.ndarray]) -> Shop:
    """Return the shop of rows with users and items by number (-1 for none) and times in ms since the start."""
    events = pd.concat(parts, ignore_index=True).sort_values([c.TIME, c.USER], kind="stable", ignore_index=True)
    user_ids = np.array([f"u{k + 1:05d}" for k in range(len(next(iter(attributes.values()))))], object)
    item, number = events[c.ITEM].to_numpy(np.int64), events[c.USER].to_numpy(np.int64)
    names = items[c.ITEM].to_numpy(object)
    events = events.assign(
        **{
            c.USER: user_ids[number],
            c.TIME: (START + pd.to_timedelta(events[c.TIME], unit="ms")).astype("datetime64[ms, UTC]"),
            c.ITEM: np.where(item >= 0, names[item], None),
            c.CURRENCY: events[c.PRICE].notna().map({True: CURRENCY, False: None}),
        }
    )
    wanted = [name for name in c.EVENT_COLUMNS if name in events.columns and events[name].notna().any()]
    return Shop(events=events[wanted], items=items, users=pd.DataFrame({c.USER: user_ids, **attributes}), cells=())


def rows_of(action: str, user: Ints, ts_ms: Ints, category: Ints) -> pd.DataFrame:
    """Return events on categories by number."""
    return pd.DataFrame({c.USER: user, c.TIME: ts_ms, c.ACTION: action, c.CATEGORY: category})


def _looks(run: Run) -> pd.DataFrame:
    parts = []
    for day in run.days:
        user, k = np.nonzero(day.looked >= 0)
        parts.append(rows_of("view", user, in_ms(day.at)[user] + k * _LOOK_MS, day.looked[user, k]))
    return pd.concat(parts, ignore_index=True)


def _purchases(run: Run) -> pd.DataFrame:
    """Return the purchases; those under a coupon that is redeemed carry its campaign."""
    parts = []
    for number, day in enumerate(run.days):
        user, category = np.nonzero(day.bought)
        at = in_ms(day.at)[user] + 4 * _LOOK_MS + (1 + category) * _BUY_MS
        luck = np.random.default_rng([run.seed, _REDEEM, number]).random((len(run.people), N))[user, category]
        rows = rows_of("purchase", user, at, category).assign(**{c.QUANTITY: 1.0, c.CAMPAIGN: None})
        for name, sending in run.sendings.items():
            left = sending.at + COUPON_DAYS - day.at
            live = sending.promotion.coupon & sending.sent & (left >= 0) & (left < COUPON_DAYS)
            redeems = live[user] & (category == sending.promotion.category) & (luck < REDEEMS)
            rows.loc[redeems, c.CAMPAIGN] = name
        parts.append(rows)
    return pd.concat(parts, ignore_index=True)


def _sent(sending: Sending) -> pd.DataFrame:
    """Return everybody's arm and its probability where a coin decided, else only those who were sent it."""
    promotion = sending.promotion
    who = np.arange(len(sending.sent)) if promotion.share is not None else np.flatnonzero(sending.sent)
    rows = pd.DataFrame({c.USER: who, c.TIME: in_ms(sending.at)[who], c.CAMPAIGN: promotion.name})
    rows = _without_item(rows, "campaign")
    if promotion.share is None:
        return rows
    sent = sending.sent
    arm, propensity = np.where(sent, "treated", "control"), np.where(sent, sending.chance, 1 - sending.chance)
    return rows.assign(**{c.ARM: arm, c.PROPENSITY: propensity})


def _without_item(rows: pd.DataFrame, action: str) -> pd.DataFrame:
    """Return the rows as events of another action that are aimed at no item."""
    rows = rows.copy()
    rows[c.ACTION], rows[c.ITEM], rows[c.PRICE] = action, -1, np.nan
    return rows


def in_ms(days: Float64) -> Ints:
    """Return (n,) days since the start in milliseconds."""
    found: Ints = np.rint(days * DAY_MS).astype(np.int64)
    return found
