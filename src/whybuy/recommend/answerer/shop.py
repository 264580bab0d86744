"""The catalog with its lifts, followers, places and effects as arrays, read once from the tables of a build."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from whybuy import columns as c
from whybuy.recommend.candidates import PER_CATEGORY, POPULAR_ITEMS
from whybuy.recommend.catalog import PRIOR_PEOPLE, REPEAT_BUYERS, REPEAT_SHARE
from whybuy.recommend.policy import Shelf
from whybuy.recommend.terms import STATES

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Groups:
    """Rows of one group after the other.

    Attributes
    ----------
    start : (n_groups + 1,) the rows of group g are start[g] to before start[g + 1]
    """

    start: Ints

    @classmethod
    def of(cls, group: Ints, n_groups: int) -> "Groups":
        """Return the groups of (n,) sorted numbers."""
        return cls(np.searchsorted(group, np.arange(n_groups + 1)))

    def rows(self, group: int) -> slice:
        """Return the rows of a group."""
        return slice(int(self.start[group]), int(self.start[group + 1]))


@dataclass(frozen=True)
class Effect:
    """A confirmed effect of a behavior on purchases; see ``moves``."""

    kind: str
    outcome: str
    adds: float
    adds_half: float
    said: str


@dataclass(frozen=True, eq=False)
class Reached:
    """The items on sale that an outcome falls on, (n,) each, sorted by item; see ``moves``."""

    item: Ints
    share: Floats
    place: Ints
    is_candidate: Bools


@dataclass(frozen=True, eq=False)
class Shop:
    """What answers need of the catalog, (n_items,) each unless said otherwise.

    Attributes
    ----------
    item_id, name, path : texts; ``name`` is the title, or the id where there is none
    category : number of the category, 0 without one
    place : from 1, in the order for someone unknown; 0 for what is not on sale
    worth : what a purchase counts; NaN where that is not known
    again : share of its buyers who bought it again
    repeated : whether people buy it again and again
    shown, not_shown : opportunities; NaN where it was never shown
    lifts : by column of the table, (n_items, n_states), NaN where nothing is known
    followers : of ``next`` and ``strength``, by item
    firsts : of ``first``, the best places of every category, by category
    popular : the items with most buyers
    by_place : the items on sale, best place first
    effects : by number
    reached : by kind of outcome and outcome
    """

    item_id: pa.Array
    name: pa.Array
    path: pa.Array
    category: Ints
    pool: Ints
    buyers: Ints
    touchers: Ints
    worth: Floats
    again: Floats
    repeated: Bools
    place: Ints
    shown: Floats
    not_shown: Floats
    lifts: dict[str, Floats]
    followers: Groups
    next: Ints
    strength: Floats
    firsts: Groups
    first: Ints
    popular: Ints
    by_place: Ints
    effects: dict[int, Effect]
    reached: dict[tuple[str, str], Reached]

    @classmethod
    def open(cls, folder: Path) -> "Shop":
        """Read the tables of ``folder``."""
        items, lifts, exposed, followers, places = (
            _table(folder, name) for name in ("items", "lifts", "exposed", "followers", "places")
        )
        n, category = len(items), _ints(items["cat"])
        title = pc.coalesce(items[c.TITLE], items[c.ITEM]).combine_chunks()
        buyers, again = _ints(items["buyers"]), _ints(items["repeat_buyers"])
        item, place = _ints(places["item"]), _ints(places["place"])
        first = item[_ints(places["place_in_cat"]) <= PER_CATEGORY]
        first = first[np.argsort(category[first], kind="stable")]
        return cls(
            item_id=items[c.ITEM].combine_chunks(),
            name=pc.utf8_trim(title, " "),
            path=items["path"].combine_chunks(),
            category=category,
            pool=_ints(items["pool"]),
            buyers=buyers,
            touchers=_ints(items["touchers"]),
            again=again / (buyers + PRIOR_PEOPLE),
            repeated=(buyers >= REPEAT_BUYERS) & (again >= REPEAT_SHARE * buyers),
            worth=_spread(n, item, places["worth"].to_numpy(), np.nan),
            place=_spread(n, item, place.astype(float), 0).astype(np.int64),
            shown=_spread(n, _ints(exposed["item"]), exposed["shown"].to_numpy(), np.nan),
            not_shown=_spread(n, _ints(exposed["item"]), exposed["not_shown"].to_numpy(), np.nan),
            lifts=_lifts(lifts, n),
            followers=Groups.of(_ints(followers["item"]), n),
            next=_ints(followers["next"]),
            strength=followers["strength"].to_numpy(),
            firsts=Groups.of(category[first], int(category.max(initial=0)) + 1),
            first=first,
            popular=item[_ints(places["place_bought"]) <= POPULAR_ITEMS],
            by_place=item[np.argsort(place)],
            effects=_effects(_table(folder, "effects")),
            reached=_reached(_table(folder, "effect_shares")),
        )

    @property
    def n_items(self) -> int:
        """Number of items."""
        return len(self.category)

    @cached_property
    def shelf(self) -> Shelf:
        """What policies draw from."""
        return Shelf(item_id=np.arange(self.n_items), category=np.array(self.path.to_pylist(), object))


def _table(folder: Path, name: str) -> pa.Table:
    return pq.read_table(folder / f"{name}.parquet")


def _ints(column: pa.ChunkedArray) -> Ints:
    return np.asarray(column.to_numpy(), np.int64)


def _spread(n: int, item: Ints, values: Floats, absent: float) -> Floats:
    """Return (n,) the values at their items."""
    found = np.full(n, absent)
    found[item] = values
    return found


def _lifts(table: pa.Table, n_items: int) -> dict[str, Floats]:
    at = _ints(table["item"]), _ints(table["state"])
    found = {name: np.full((n_items, len(STATES)), np.nan) for name in ("lift", "lift_low", "lift_high", "p_buy")}
    found |= {name: np.full((n_items, len(STATES)), np.nan) for name in ("own", "n_users")}
    for name, values in found.items():
        values[at] = table[name].to_numpy()
    return found


def _effects(table: pa.Table) -> dict[int, Effect]:
    return {
        row["effect"]: Effect(row["outcome_kind"], row["outcome"], row["adds"], row["adds_half"], row["said"])
        for row in table.to_pylist()
    }


def _reached(table: pa.Table) -> dict[tuple[str, str], Reached]:
    table = table.sort_by([("outcome_kind", "ascending"), ("outcome", "ascending"), ("item", "ascending")])
    names = list(zip(table["outcome_kind"].to_pylist(), table["outcome"].to_pylist(), strict=True))
    of_kind = {name: number for number, name in enumerate(dict.fromkeys(names))}
    groups = Groups.of(np.array([of_kind[name] for name in names], np.int64), len(of_kind))
    item, place, share = _ints(table["item"]), _ints(table["place"]), table["share"].to_numpy()
    is_candidate = np.asarray(table["is_candidate"].to_numpy(), bool)
    rows = {name: groups.rows(number) for name, number in of_kind.items()}
    return {name: Reached(item[at], share[at], place[at], is_candidate[at]) for name, at in rows.items()}
