"""The shop front: rounds in which people come, are shown slates, and act; the loop that any policy can be put into.

All random numbers come from (seed, what for, round) and are laid out by user and item, whatever was shown before. So
two fronts with one seed are parallel worlds: the same goods and people, the same visits, and the same luck for every
user, round, nest and item; where two policies show a user the same slates, the same happens.

A purchase is drawn in two steps: a uniform number of the user and nest says whether the nest is bought from, a race
between its items says which item. A policy that adds a little chance so adds purchases and takes none away.
"""

from copy import copy
from dataclasses import dataclass
from typing import Final

import numpy as np

from whybuy.worlds.chain import Bools, Float64, Ints
from whybuy.worlds.showcase.equations import Equations, by_nest, chances, nest_group
from whybuy.worlds.showcase.policy import Context, Interest, Noise, Policy, Slates, check_slates
from whybuy.worlds.showcase.state import Happened, State

_WORLD, _VISIT, _LOOK, _SLATE, _CLICK, _BUY = range(6)


@dataclass(frozen=True, kw_only=True)
class Size:
    """How large a world is drawn: ``visit_chance`` is the chance that a user comes in a round; a round is a day."""

    n_users: int = 3_000
    n_rounds: int = 24
    visit_chance: float = 5 / 6
    n_slots: int = 5


FULL: Final = Size()  # 300,000 impressions
THIN: Final = Size(visit_chance=1 / 12)  # 30,000


@dataclass(frozen=True)
class Bought:
    """The purchases of a round: user, item, price in EUR and margin in EUR, each (n,)."""

    user: Ints
    item: Ints
    price: Float64
    margin: Float64


class Shopfront:
    """A world that goes on round by round.

    Attributes
    ----------
    size, seed : as given
    start : the world before the first round
    state : the world at the beginning of the next round; its people's tastes are the truth that no log shows
    history : what happened in each round so far
    """

    def __init__(self, equations: Equations, seed: int, size: Size = FULL) -> None:
        """Open the shop: the same equations, seed and size give the same goods, people and luck."""
        self.size, self.seed = size, seed
        self.start: State = equations.start(size.n_users, self._rng(_WORLD, 0))
        self.state = self.start
        self.history: list[Happened] = []
        self._interest = Interest(np.zeros((size.n_users, len(equations.categories))))
        sales = np.log(chances(self.state).alone.mean(axis=0))
        self._popularity = (sales - sales.mean()) / sales.std()

    def context(self) -> Context:
        """Return who comes in the next round and what a policy may know; asking twice gives the same."""
        number, n_items = len(self.history), len(self.state.goods)
        users = np.flatnonzero(self._rng(_VISIT, number).random(self.size.n_users) < self.size.visit_chance)
        rng, shape = self._rng(_SLATE, number), (self.size.n_users, n_items)
        race, lot, coin = rng.standard_exponential(shape), rng.random(shape), rng.random((shape[0], self.size.n_slots))
        return Context(
            number=number,
            n_slots=self.size.n_slots,
            users=users,
            candidates=np.ones(n_items, bool),
            popularity=self._popularity,
            interest=np.log1p(self._interest.counts[users])[:, self.state.goods.category],
            noise=Noise(race[users], lot[users], coin[users]),
        )

    def show(self, context: Context, slates: Slates) -> Happened:
        """Let the round happen with these slates, and return it.

        Raises
        ------
        ArraysError
            The slates cannot be shown.
        """
        check_slates(slates, context)
        happened = Happened(
            number=context.number,
            visitor=context.users,
            looked=self._look(context),
            items=slates.items,
            propensity=slates.propensity,
            clicked=self._click(context, slates.items),
            bought=self._buy(context, slates.items),
        )
        self.state = self.state.after(happened)
        self._interest = self._interest.after(happened, self.state.goods)
        self.history.append(happened)
        return happened

    def run(self, policy: Policy, n_rounds: int) -> list[Bought]:
        """Let a policy show the slates of the next rounds; return what was bought in each."""
        bought = []
        for _ in range(n_rounds):
            context = self.context()
            bought.append(self.bought(self.show(context, policy(context))))
        return bought

    def parallel(self, seed: int | None = None) -> "Shopfront":
        """Return a front with the same past that goes on by itself: with the same luck, or with that of ``seed``."""
        twin = copy(self)
        twin.history = list(self.history)
        twin.seed = self.seed if seed is None else seed
        return twin

    def bought(self, happened: Happened) -> Bought:
        """Return the purchases of a round with their prices and margins."""
        user, _, item = happened.purchases()
        return Bought(user, item, self.state.goods.price[item], self.state.goods.margin[item])

    def _rng(self, stream: int, number: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, stream, number])

    def _look(self, context: Context) -> Ints:
        """Return (n, n_categories) the item looked at, -1 for none."""
        equations, goods = self.state.equations, self.state.goods
        n_categories = len(equations.categories)
        uniform, which = self._rng(_LOOK, context.number).random((2, self.size.n_users, n_categories))
        taste = self.state.people.taste[:, equations.group(np.arange(n_categories))]
        shelf = np.argsort(goods.category, kind="stable").reshape(n_categories, -1)
        item = shelf[np.arange(n_categories), (which * shelf.shape[1]).astype(np.int64)]
        return np.where(uniform < equations.look(taste), item, -1)[context.users]

    def _click(self, context: Context, items: Ints) -> Bools:
        goods, rows = self.state.goods, context.users[:, None]
        uniform = self._rng(_CLICK, context.number).random((self.size.n_users, len(goods)))
        taste = self.state.people.taste[rows, self.state.equations.group(goods.category[items])]
        return uniform[rows, items] < self.state.equations.click(self.state, taste, items)

    def _buy(self, context: Context, items: Ints) -> Ints:
        """Return (n_users, n_nests) the item bought, -1 for none."""
        state, goods = self.state, self.state.goods
        need, attraction = present(state, context.users, items)
        total = by_nest(attraction, goods)
        rng = self._rng(_BUY, context.number)
        uniform, race = rng.random(total.shape), rng.standard_exponential(attraction.shape)
        user, nest = np.nonzero(uniform < need * total / (1 + total))
        of_nest = (-1, goods.n_nests, goods.nest_size)
        first = (race.reshape(of_nest)[user, nest] / attraction.reshape(of_nest)[user, nest]).argmin(axis=1)
        bought = np.full(total.shape, -1, np.int64)
        bought[user, nest] = nest * goods.nest_size + first
        return bought


def present(state: State, visitors: Ints, items: Ints) -> tuple[Float64, Float64]:
    """Return need (n_users, n_nests) and attraction (n_users, n_items) while slates ``items`` (n, k) are shown."""
    equations, goods, taste = state.equations, state.goods, state.people.taste
    users, every, rows = np.arange(len(taste))[:, None], np.arange(len(goods)), visitors[:, None]
    group = equations.group(goods.category)
    attraction = equations.attraction(state, taste[:, group], users, every).alone
    attraction[rows, items] = equations.attraction(state, taste[rows, group[items]], rows, items).shown
    return equations.need(state, taste[:, nest_group(state)]), attraction


def bought_by_chance(state: State, visitors: Ints, items: Ints) -> Float64:
    """Return (n_users, n_items) the exact chances of a purchase in this round with these slates."""
    need, attraction = present(state, visitors, items)
    inside = need / (1 + by_nest(attraction, state.goods))
    return inside[:, state.goods.nest] * attraction
