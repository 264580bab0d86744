r"""What the equations of a showcase world must say, and what follows from them for every world.

In every round a user buys at most one item of a nest. With ``need`` in (0, 1] and attractions x > 0, item i of nest n
is bought with the probability

.. math:: P(i) = need_n \frac{x_i}{1 + \sum_{j \in n} x_j},

where x_j depends on whether j is shown (Luce's choice axiom with the outside option 1). So what one item of a nest
gains, the others lose in part. Nests are independent given the user's taste and memory.

The lift of an item is told for it alone: shown, against not shown, with nothing else of its nest in the slate. Beside
others of its nest in the slate both chances are a little smaller.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd
from scipy.stats import norm

from whybuy import columns as c
from whybuy.worlds.chain import Float64, Ints
from whybuy.worlds.showcase.state import KINDS, Goods, Memory, People, State

BRANDS = ("Alder", "Brook", "Cobalt", "Dune", "Ember", "Fjord")
BRAND_SHARES = np.array(  # of staples, discoveries, nags: a brand tells something of the kind, not all
    [[0.35, 0.25, 0.15, 0.10, 0.10, 0.05], [0.05, 0.10, 0.15, 0.15, 0.25, 0.30], [0.20, 0.20, 0.20, 0.20, 0.10, 0.10]]
)
RENOWN = 0.6
MARGIN_SHARES = np.array([0.15, 0.35, 0.20])  # of the price: staples, discoveries, nags


@dataclass(frozen=True)
class Attraction:
    """How items attract, not shown and shown; both of one shape."""

    alone: Float64
    shown: Float64


@dataclass(frozen=True)
class Chances:
    """P(buy within a day), each (n_users, n_items): not shown, and shown."""

    alone: Float64
    shown: Float64

    @property
    def lift(self) -> Float64:
        """What showing changes."""
        return self.shown - self.alone


class Equations(ABC):
    """The equations of one world. Methods are vectorized: users, items and tastes broadcast against each other.

    Attributes
    ----------
    name, about : by which it is asked for; one line
    categories : names, paths where they lie within one another
    attribute, segments : the logged attribute of users, and its values
    n_types : how many types a hidden taste can have; n_groups : how many independent tastes a user has
    keeps : what one round leaves of a showing, and of a purchase, in memory
    """

    name: ClassVar[str]
    about: ClassVar[str]
    categories: ClassVar[tuple[str, ...]]
    attribute: ClassVar[str]
    segments: ClassVar[tuple[str, ...]]
    n_types: ClassVar[int]
    n_groups: ClassVar[int]
    keeps: ClassVar[tuple[float, float]]

    @abstractmethod
    def goods(self, rng: np.random.Generator) -> Goods:
        """Draw the catalog."""

    @abstractmethod
    def log_prior(self) -> Float64:
        """Return (n_segments, n_types) log probabilities of the types, the same for every group."""

    @abstractmethod
    def memory(self, n_users: int, goods: Goods) -> Memory:
        """Return the memory before the first round."""

    @abstractmethod
    def group(self, category: Ints) -> Ints:
        """Return which taste a category appeals to."""

    @abstractmethod
    def need(self, state: State, taste: Ints) -> Float64:
        """Return (..., n_users, n_nests) the need, for tastes (..., n_users or 1, n_nests or 1)."""

    @abstractmethod
    def attraction(self, state: State, taste: Ints, users: Ints, items: Ints) -> Attraction:
        """Return the attraction of items to users, if they had these tastes."""

    @abstractmethod
    def click(self, state: State, taste: Ints, items: Ints) -> Float64:
        """Return the probabilities that shown items are clicked."""

    @abstractmethod
    def look(self, taste: Ints) -> Float64:
        """Return the probabilities of a look at each category before the slate, for tastes (..., n_categories or 1).

        Which item of the category is looked at is a matter of chance alone.
        """

    def totals(self, state: State, taste: Ints) -> Float64:
        """Return (n_types, n_users or 1, n_nests) the summed attraction of nests with nothing shown.

        For tastes (n_types,), each of them as if it was everybody's.
        """
        users, items = np.arange(len(state.people))[:, None], np.arange(len(state.goods))
        found = [self.attraction(state, one, users, items).alone for one in taste[:, None, None]]
        return np.stack([by_nest(x, state.goods) for x in found])

    def people(self, n_users: int, rng: np.random.Generator) -> People:
        """Draw the users."""
        segment = rng.integers(0, len(self.segments), n_users)
        cumulated = np.exp(self.log_prior()).cumsum(axis=1)[segment]
        lot = rng.random((n_users, self.n_groups))
        taste = (lot[:, :, None] > cumulated[:, None, :-1]).sum(axis=2)
        return People(taste, segment, rng.integers(6 * 60, 23 * 60, n_users))

    def start(self, n_users: int, rng: np.random.Generator) -> State:
        """Draw goods and people."""
        goods = self.goods(rng)
        return State(self, goods, self.people(n_users, rng), self.memory(n_users, goods))


@dataclass(frozen=True)
class Labels:
    """Brand (n_items,) of every item, and its log attraction."""

    brand: Ints
    appeal: Float64


def draw_labels(kind: Ints, mean: Float64, spread: Float64, rng: np.random.Generator) -> Labels:
    """Draw brands by kind, and log attractions that are normal by kind and in part a matter of the brand.

    The attractions of a kind are evenly spaced quantiles in random order, so that every drawn world has as many best
    sellers as the next one. The order follows ``RENOWN`` x the brand's renown + noise.
    """
    brand = (rng.random(len(kind))[:, None] > BRAND_SHARES.cumsum(axis=1)[kind, :-1]).sum(axis=1)
    renown = rng.permutation(np.linspace(-1.5, 1.5, len(BRANDS)))[brand]
    order = RENOWN * renown + np.sqrt(1 - RENOWN**2) * rng.standard_normal(len(kind))
    appeal = np.empty(len(kind))
    for one in range(len(KINDS)):
        at = np.flatnonzero(kind == one)
        place = order[at].argsort().argsort()
        appeal[at] = mean[one] + spread[one] * norm.ppf((place + 0.5) / len(at))
    return Labels(brand, appeal)


def items_table(equations: Equations, category: Ints, brand: Ints, price: Float64) -> pd.DataFrame:
    """Return the items table of the data contract, from the categories and brands (n_items,) by number."""
    table = pd.DataFrame(
        {
            c.ITEM: [f"{equations.name}-{k + 1:03d}" for k in range(len(category))],
            c.CATEGORY: np.array(equations.categories, object)[category],
            c.BRAND: np.array(BRANDS, object)[brand],
            c.PRICE: price,
        }
    )
    leaf = table[c.CATEGORY].str.rsplit("/", n=1).str[-1]
    return table.assign(**{c.TITLE: table[c.BRAND] + " " + leaf + " " + table[c.ITEM].str[-3:]})


def by_nest(x: Float64, goods: Goods) -> Float64:
    """Return (n, n_nests) the sums of (n, n_items) over the items of each nest."""
    return x.reshape(len(x), goods.n_nests, goods.nest_size).sum(axis=2)


def chances(state: State, taste: Ints | None = None) -> Chances:
    """Return what showing an item does to every user, exactly, at this state.

    Parameters
    ----------
    taste : (n_users or 1, n_groups) as if these were the users' tastes; their own ones where None
    """
    equations, goods = state.equations, state.goods
    known = state.people.taste if taste is None else taste
    users, items = np.arange(len(state.people))[:, None], np.arange(len(goods))
    x = equations.attraction(state, known[:, equations.group(goods.category)], users, items)
    need = equations.need(state, known[:, nest_group(state)])[:, goods.nest]
    others = by_nest(x.alone, goods)[:, goods.nest] - x.alone
    return Chances(need * x.alone / (1 + others + x.alone), need * x.shown / (1 + others + x.shown))


def nest_group(state: State) -> Ints:
    """Return (n_nests,) which taste a nest appeals to."""
    return state.equations.group(state.goods.category[:: state.goods.nest_size])
