"""The line of one user: candidates from all sources, weighed and in order; what ``candidates`` and ``ranking`` do for
many users in SQL, for one in arrays.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from whybuy.recommend.answerer.people import Person
from whybuy.recommend.answerer.shop import Effect, Shop
from whybuy.recommend.candidates import BEST_ITEMS, CATEGORIES, FOLLOWED_ITEMS, MOVES, OWN_ITEMS
from whybuy.recommend.policy.inputs import NOBODY
from whybuy.recommend.terms import STATES, Terms

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Candidates:
    """Items weighed for a user, (n,) each, sorted by item.

    Attributes
    ----------
    strength : share of people who took the item after one of the user's last items, 0 for none
    followed : that item, ``NOBODY`` for none
    near : whether it is of a category touched, or shown, last
    """

    item: Ints
    strength: Floats
    followed: Ints
    near: Bools


@dataclass(frozen=True, eq=False)
class Own:
    """Lifts by person of the candidates, (n,) each; NaN where there is none."""

    lift: Floats
    p_buy: Floats
    alone: Floats


@dataclass(frozen=True, eq=False)
class Line:
    """The candidates in order, the best first, (n,) each; NaN and ``NOBODY`` for what is not known."""

    item: Ints
    strength: Floats
    followed: Ints
    near: Bools
    state: Ints
    last: Bools
    adds: Floats
    move: Ints
    share: Floats
    share_place: Ints
    lift: Floats
    lift_low: Floats
    lift_high: Floats
    p_buy: Floats
    n_users: Floats
    own: Floats
    alone: Floats


def moves_of(shop: Shop, person: Person) -> list[Effect]:
    """Return the strongest effect on each outcome that the user's behaviors set going."""
    return [shop.effects[int(number)] for number in person.effects]


def candidates_of(
    shop: Shop, person: Person, moves: Sequence[Effect], terms: Terms, *, k: int, more: Ints
) -> Candidates:
    """Return the items to weigh.

    Parameters
    ----------
    more : further items, which a lift model by person wants
    """
    in_time = np.lexsort([person.item, -person.last_ms])
    newest, bought = person.item[in_time], person.state[in_time] == STATES.index("bought")
    again = newest[:OWN_ITEMS][bought[:OWN_ITEMS] & (shop.again[newest[:OWN_ITEMS]] > 0)]
    follows = [shop.followers.rows(int(item)) for item in newest[:FOLLOWED_ITEMS]]
    follower = np.concatenate([again, *(shop.next[rows] for rows in follows)])
    strength = np.concatenate([shop.again[again], *(shop.strength[rows] for rows in follows)])
    followed = np.concatenate([again, np.repeat(newest[:FOLLOWED_ITEMS], [r.stop - r.start for r in follows])])
    near = [shop.first[shop.firsts.rows(category)] for category in _last_categories(shop, person)]
    adding = sorted(moves, key=lambda move: (-move.adds, move.kind, move.outcome))[:MOVES]
    reached = [shop.reached[move.kind, move.outcome] for move in adding if move.adds > 0 and _is_reached(shop, move)]
    parts = [newest[:OWN_ITEMS], follower, *near, *(one.item[one.is_candidate] for one in reached), shop.popular]
    item = _on_sale(shop, np.unique(np.concatenate(parts)))
    if terms.basis == "impression" or np.isin(item, person.item[person.just_bought], invert=True).sum() < k:
        item = np.union1d(item, shop.by_place[: max(k, BEST_ITEMS)])
    item = np.union1d(item, _on_sale(shop, more))
    best = np.lexsort([followed, -strength, follower])
    best = best[np.unique(follower[best], return_index=True)[1]]
    at, is_follower = _places(follower[best], item)
    return Candidates(
        item=item,
        strength=np.where(is_follower, np.append(strength[best], 0.0)[at], 0.0),
        followed=np.where(is_follower, np.append(followed[best], NOBODY)[at], NOBODY),
        near=np.isin(item, np.concatenate([_NONE, *near])),
    )


def line_of(
    shop: Shop, person: Person, moves: Sequence[Effect], terms: Terms, *, found: Candidates, own: Own | None
) -> Line:
    """Return the candidates in the order of answers."""
    item = found.item
    at, touched = _places(person.item, item)
    state = np.where(touched, np.append(person.state, 0)[at], 0)
    last = touched & np.append(person.just_bought, False)[at] & ~shop.repeated[item]
    added = _Added.of(shop, moves, item)
    told = {name: values[item, state] for name, values in shop.lifts.items()}
    # A lift measured from impressions stays as measured; p_buy and the order of items without a lift take the addition.
    in_lift, half = (added.adds, added.half) if terms.basis == "view" else (0.0, 0.0)
    lift = told["lift"] + in_lift
    low = lift - np.sqrt((told["lift"] - told["lift_low"]) ** 2 + half**2)
    high = lift + np.sqrt((told["lift_high"] - told["lift"]) ** 2 + half**2)
    p_buy = np.clip(told["p_buy"] + added.adds, 0, 1)
    alone = np.full(len(item), np.nan)
    if own is not None:
        is_own = ~np.isnan(own.alone)
        lift, p_buy, alone = np.where(is_own, own.lift, lift), np.where(is_own, own.p_buy, p_buy), own.alone
    gain = lift * shop.worth[item]
    by_lift = [-np.nan_to_num(lift), np.isnan(lift), -np.nan_to_num(gain), np.isnan(gain), last]
    order = np.lexsort([shop.place[item], ~found.near, -found.strength, -added.adds, *by_lift])
    line = Line(
        item, found.strength, found.followed, found.near, state, last, added.adds, added.move, added.share,
        added.place, lift, low, high, p_buy, told["n_users"], told["own"], alone,
    )  # fmt: skip
    return taken(line, order)


def taken(line: Line, rows: Ints) -> Line:
    """Return the rows (m,) of a line, in their order."""
    return Line(*(getattr(line, name)[rows] for name in Line.__dataclass_fields__))


@dataclass(frozen=True, eq=False)
class _Added:
    """What the strongest of the effects adds to each candidate, (n,) each: 0 and ``NOBODY`` where none does."""

    adds: Floats
    half: Floats
    move: Ints
    share: Floats
    place: Ints

    @classmethod
    def of(cls, shop: Shop, moves: Sequence[Effect], item: Ints) -> "_Added":
        n = len(item)
        found = cls(np.zeros(n), np.zeros(n), np.full(n, NOBODY), np.full(n, np.nan), np.full(n, NOBODY))
        for number in sorted(range(len(moves)), key=lambda number: moves[number].outcome):
            move = moves[number]
            if not _is_reached(shop, move):
                continue
            reached = shop.reached[move.kind, move.outcome]
            at, is_reached = _places(reached.item, item)
            adds = np.where(is_reached, move.adds * np.append(reached.share, 0.0)[at], 0.0)
            more = is_reached & ((np.abs(adds) > np.abs(found.adds)) | (found.move == NOBODY))
            rows = np.flatnonzero(more)
            found.adds[rows], found.move[rows] = adds[rows], number
            found.half[rows] = move.adds_half * reached.share[at[rows]]
            found.share[rows], found.place[rows] = reached.share[at[rows]], reached.place[at[rows]]
        return found


_NONE = np.empty(0, np.int64)


def _last_categories(shop: Shop, person: Person) -> list[int]:
    """Return the categories touched last, or shown last to someone who touched nothing."""
    item, last_ms = (person.item, person.last_ms) if len(person.item) else (person.shown, person.shown_ms)
    category = shop.category[item]
    category, last_ms = category[category > 0], last_ms[category > 0]
    numbers, at, count = np.unique(category, return_inverse=True, return_counts=True)
    latest = np.full(len(numbers), np.iinfo(np.int64).min)
    np.maximum.at(latest, at, last_ms)
    return [int(numbers[place]) for place in np.lexsort([numbers, -count, -latest])[:CATEGORIES]]


def _is_reached(shop: Shop, move: Effect) -> bool:
    """Whether anything on sale is of the effect's outcome."""
    return (move.kind, move.outcome) in shop.reached


def _on_sale(shop: Shop, item: Ints) -> Ints:
    return item[shop.place[item] > 0]


def _places(known: Ints, asked: Ints) -> tuple[Ints, Bools]:
    """Return, of each asked, its place among the sorted ``known``, and whether it is one of them."""
    at = np.searchsorted(known, asked)
    return at, np.append(known, NOBODY)[at] == asked
