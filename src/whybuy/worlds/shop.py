"""What a world hands over: a log, an items table and a users table, as a shop would, and what the shop cannot see."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from whybuy import columns as c
from whybuy.worlds.chain import Equations, Float32, Ints, Step, Users, choose, joined, natural_steps
from whybuy.worlds.hidden import WithWish

START = pd.Timestamp("2025-03-03", tz="UTC")
POSITION = "position"  # of the own event in drawing order; -1 for campaigns
ITEMS_PER_CATEGORY = 25
CURRENCY = "EUR"
_POPULARITY_POWER = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """A drawn shop.

    Attributes
    ----------
    events : one row per event, sorted by time; columns of the data contract
    items : one row per item; users : one row per user
    cells : (n_cells,) the behaviors that an event can be
    propensity : (n_events, n_cells) float32, the true probability of each of ``cells`` just before the event; NaN for
        campaigns, which are no decisions. None unless asked for.
    logged_propensity : the same as far as the log can tell; differs where a hidden wish is at work
    """

    events: pd.DataFrame
    items: pd.DataFrame
    users: pd.DataFrame
    cells: tuple[str, ...]
    propensity: Float32 | None = None
    logged_propensity: Float32 | None = None

    def summary(self) -> str:
        """Return one sentence about its size."""
        purchases = int((self.events[c.ACTION] == "purchase").sum())
        return f"{len(self.events):,} events of {len(self.users):,} users, {purchases:,} purchase lines"


@dataclass(frozen=True)
class Chains:
    """Everybody's events, drawn from the equations."""

    equations: Equations
    users: Users
    steps: list[Step]

    def propensity(self) -> Float32:
        """(n, n_cells) the true probabilities before each event, in drawing order."""
        return np.concatenate([s.P for s in self.steps])

    def logged_propensity(self) -> Float32:
        """(n, n_cells) the probabilities that the logged history alone implies."""
        if not isinstance(self.equations, WithWish):
            return self.propensity()
        logged = self.equations.base
        return np.concatenate([logged.probabilities(s.S, s.ts_ms, self.users.take(s.user)) for s in self.steps])


def draw_shop(equations: Equations, seed: int, *, n_users: int, with_propensity: bool = False) -> Shop:
    """Return a shop with plain items: within a category, the item is drawn by popularity alone.

    Parameters
    ----------
    seed : the same seed and number of users give the same shop
    with_propensity : also return the true probabilities (80 bytes per event)
    """
    who, chain, shelf, mail = np.random.default_rng(seed).spawn(4)
    users = equations.users(n_users, who)
    items = _plain_items(equations.categories, shelf)
    steps = list(natural_steps(equations, users, chain))
    sent = equations.exposures(users, steps, mail)
    parts = [_plain_events(equations, steps, items, shelf), sent]
    return assembled(Chains(equations, users, steps), parts, items, with_propensity=with_propensity)


def _plain_items(categories: tuple[str, ...], rng: np.random.Generator) -> pd.DataFrame:
    """Return the items table, in the order of item positions: all items of the first category, then of the next."""
    category = np.repeat(np.array(categories, object), ITEMS_PER_CATEGORY)
    number = np.tile(np.arange(1, ITEMS_PER_CATEGORY + 1), len(categories))
    price = np.exp(3 + 0.5 * rng.standard_normal(len(category)))
    return pd.DataFrame(
        {
            c.ITEM: [f"{kind}-{k:03d}" for kind, k in zip(category, number, strict=True)],
            c.CATEGORY: category,
            c.PRICE: np.round(price, 2),
        }
    )


def _plain_events(
    equations: Equations, steps: list[Step], items: pd.DataFrame, rng: np.random.Generator
) -> pd.DataFrame:
    """Return the rows of the users' own events: a search carries words and a category, everything else an item."""
    cell = joined(steps, "cell")
    action, category = np.divmod(cell, len(equations.categories))
    names = np.array(equations.actions, object)[action]
    searched = names == "search"
    popularity = (1.0 + np.arange(ITEMS_PER_CATEGORY)) ** -_POPULARITY_POWER
    rank = choose(np.broadcast_to(popularity, (len(cell), ITEMS_PER_CATEGORY)), rng.random(len(cell)))
    at = category * ITEMS_PER_CATEGORY + rank
    price = items[c.PRICE].to_numpy()[at] * (1 - np.concatenate([equations.discount(s) for s in steps]))
    words, item = np.array(equations.categories, object)[category], items[c.ITEM].to_numpy(object)[at]
    words[~searched], item[searched] = None, None
    rows = pd.DataFrame(
        {
            c.USER: joined(steps, "user"),
            c.TIME: joined(steps, "ts_ms"),
            c.ACTION: names,
            c.ITEM: item,
            c.CATEGORY: words,
            c.QUERY: words,
            c.PRICE: np.where(searched, np.nan, np.round(price, 2)),
            c.QUANTITY: np.where(names == "purchase", 1.0, np.nan),
            POSITION: np.arange(len(cell)),
        }
    )
    return rows if searched.any() else rows.drop(columns=[c.CATEGORY, c.QUERY])


def assembled(chains: Chains, parts: Iterable[pd.DataFrame], items: pd.DataFrame, *, with_propensity: bool) -> Shop:
    """Return the shop whose log is made of ``parts``: own events with their position, campaigns without."""
    events = pd.concat([_placed(part) for part in parts if len(part)], ignore_index=True)
    order = np.lexsort((events[POSITION], events[c.USER], events[c.TIME]))
    events = events.iloc[order].reset_index(drop=True)
    position = events[POSITION].to_numpy()
    users = {c.USER: _user_ids(np.arange(len(chains.users))), **chains.equations.attribute_columns(chains.users)}
    return Shop(
        events=_finished(events),
        items=items,
        users=pd.DataFrame(users),
        cells=chains.equations.cells,
        propensity=_rows(chains.propensity(), position) if with_propensity else None,
        logged_propensity=_rows(chains.logged_propensity(), position) if with_propensity else None,
    )


def _placed(part: pd.DataFrame) -> pd.DataFrame:
    return part if POSITION in part else part.assign(action="campaign", position=-1)


def _rows(P: Float32, position: Ints) -> Float32:
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


def write_shop(shop: Shop, folder: str | Path, config: str) -> Path:
    """Write the shop's three tables and its ``whybuy.toml`` into ``folder``; return the config's path."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for frame, name in ((shop.events, "events"), (shop.items, "items"), (shop.users, "users")):
        part = folder / f".{name}.parquet.part"
        frame.to_parquet(part, index=False)
        os.replace(part, folder / f"{name}.parquet")
    part = folder / ".whybuy.toml.part"
    part.write_text(config, encoding="utf-8")
    path = folder / "whybuy.toml"
    os.replace(part, path)
    return path


def config_text(
    shop: Shop, headline: str, pairs: Iterable[tuple[str, str]], protected_attributes: Iterable[str] = ()
) -> str:
    """Return the config of a drawn shop: its columns already have the contract's names."""
    mapping, items = (
        "\n".join(f'{column} = "{column}"' for column in frame.columns) for frame in (shop.events, shop.items)
    )
    confirm = "\n".join(f'  ["{treatment}", "{outcome}"],' for treatment, outcome in pairs)
    protected = ", ".join(f'"{name}"' for name in protected_attributes)
    *first, last = (name for name in shop.users.columns if name != c.USER)
    attributes = f"{', '.join(first)} and {last} become attributes" if first else f"{last} becomes an attribute"
    return f"""# {headline}
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
path = "users.parquet"      # {attributes}

[causal]
confirm = [                 # the pairs whose true effect is known
{confirm}
]
"""
