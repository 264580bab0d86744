"""What a showcase world is made of: goods, people, and what both remember from one round to the next."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from whybuy.worlds.chain import Bools, Float32, Float64, Ints

if TYPE_CHECKING:
    from whybuy.worlds.showcase.equations import Equations

STAPLE, DISCOVERY, NAG = range(3)
KINDS: Final = ("staple", "discovery", "nag")


@dataclass(frozen=True)
class Goods:
    """The catalog; items of one nest lie side by side, and all nests are equally large.

    Attributes
    ----------
    kind : (n_items,) index into ``KINDS``; no log shows it
    category, nest : (n_items,) where the item stands, and what it competes with: a nest is bought from once a round
    appeal : (n_items,) log attraction; style : (n_items, 2) unit vectors, of no length where a world has no style
    price : (n_items,) EUR; margin : (n_items,) EUR earned per unit
    table : the items table of the data contract
    """

    kind: Ints
    category: Ints
    nest: Ints
    appeal: Float64
    style: Float64
    price: Float64
    margin: Float64
    table: pd.DataFrame

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self.kind)

    @property
    def n_nests(self) -> int:
        """How many nests there are."""
        return int(self.nest[-1]) + 1

    @property
    def nest_size(self) -> int:
        """How many items each nest has."""
        return len(self) // self.n_nests


@dataclass(frozen=True)
class People:
    """The users.

    Attributes
    ----------
    taste : (n_users, n_groups) index of the hidden type; no log shows it
    segment : (n_users,) index of the logged attribute
    minute : (n_users,) the minute of the day at which the user's rounds begin
    """

    taste: Ints
    segment: Ints
    minute: Ints

    def __len__(self) -> int:
        """Return the number of users."""
        return len(self.segment)


@dataclass(frozen=True)
class Happened:
    """What happened in one round; all of it is logged.

    Attributes
    ----------
    number : the round, from 0
    visitor : (n,) users who came, sorted
    looked : (n, n_categories) item looked at before the slate, -1 for none
    items, propensity : (n, k) the slate by slot, and the probability of each item given the context and earlier slots
    clicked : (n, k)
    bought : (n_users, n_nests) item bought, -1 for none; also by those who did not come
    """

    number: int
    visitor: Ints
    looked: Ints
    items: Ints
    propensity: Float64
    clicked: Bools
    bought: Ints

    def purchases(self) -> tuple[Ints, Ints, Ints]:
        """Return user, nest and item of every purchase."""
        user, nest = np.nonzero(self.bought >= 0)
        return user, nest, self.bought[user, nest]


@dataclass(frozen=True)
class Memory:
    """What the past has left; a function of the log alone.

    Attributes
    ----------
    seen, owned : (n_users, n_items) showings and purchases of the item, each fading with the world's half-life
    age : (n_users, n_nests) rounds since the nest was last bought from
    """

    seen: Float32
    owned: Float32
    age: Float32

    @classmethod
    def fresh(cls, n_users: int, goods: Goods, age: float) -> "Memory":
        """Return the memory at the start: nothing seen, nothing owned, every nest bought from ``age`` rounds ago."""
        shape = (n_users, len(goods))
        return cls(
            np.zeros(shape, np.float32),
            np.zeros(shape, np.float32),
            np.full((n_users, goods.n_nests), age, np.float32),
        )

    def after(self, happened: Happened, keeps: tuple[float, float]) -> "Memory":
        """Return the memory a round later; ``keeps`` is what a round leaves of ``seen`` and of ``owned``."""
        seen, owned, age = self.seen.copy(), self.owned.copy(), self.age + np.float32(1)
        seen[happened.visitor[:, None], happened.items] += 1
        user, nest, item = happened.purchases()
        owned[user, item] += 1
        age[user, nest] = 1
        seen *= np.float32(keeps[0])
        owned *= np.float32(keeps[1])
        return Memory(seen, owned, age)


@dataclass(frozen=True)
class State:
    """A world at the beginning of a round: equations, goods, people and memory."""

    equations: "Equations"
    goods: Goods
    people: People
    memory: Memory

    def after(self, happened: Happened) -> "State":
        """Return the state a round later."""
        return replace(self, memory=self.memory.after(happened, self.equations.keeps))
