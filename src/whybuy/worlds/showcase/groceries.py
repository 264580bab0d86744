r"""Groceries: clocks that make staples sell, and discoveries that must be known to be bought.

Twelve categories with 20 items each: 6 staples and 4 nags share a nest, 10 discoveries have another. A user's taste is
one of three levels in each category (shy, willing, keen), independent between categories.

Staples and nags sell by a clock. ``age`` is the number of rounds since the user last bought of the nest:

.. math:: need = PACE_{level} \, size_u \, (1 - e^{-(age/RENEWAL)^2}) \, / \, (1 + FILLED \, owned),

size by the logged attribute (``single`` or ``family``), ``owned`` the discoveries lately bought in the category: what
was bought on impulse is one purchase less that was needed. Given need, the choice is by popularity, and showing a
staple moves little but the choice; a nag irritates, for days:

.. math:: \log x_i = appeal_i + SHOWN_{kind(i)} shown_i - [i\ is\ a\ nag] \, IRRITATION \, seen_{ui}

Discoveries have no clock (need = 1). They are bought as far as they are known, and forgotten soon:

.. math:: x_i = KEEN_{level} \, e^{appeal_i} \, aware_{ui} \, e^{-STOCKED owned_{ui}}, \qquad
          aware_{ui} = \max(shown_i, UNKNOWN + RECALL \min(seen_{ui}, 1))

``seen`` halves in 2 rounds, ``owned`` in 10. At a visit a category is looked at with probability LOOK_level, a shown
item clicked with CLICK_level.
"""

import numpy as np

from whybuy.worlds.chain import Float64, Ints
from whybuy.worlds.showcase.equations import MARGIN_SHARES, Attraction, Equations, draw_labels, items_table
from whybuy.worlds.showcase.state import DISCOVERY, NAG, STAPLE, Goods, Memory, State

AISLES = (
    "bread", "cheese", "coffee", "fruit", "juice", "meat", "noodles", "sauces", "snacks", "sweets", "tea", "vegetables",
)  # fmt: skip
IN_AISLE = np.array([STAPLE] * 6 + [NAG] * 4 + [DISCOVERY] * 10)  # the first half is the nest with a clock
MEDIAN_PRICE = np.array([2.5, 4, 7, 2, 2.5, 8, 2, 3.5, 3, 3, 4, 2])

APPEAL = np.array([-1.5, -4.5, -0.6])  # of staples, discoveries, nags
APPEAL_SPREAD = np.array([1.9, 1.4, 0.8])
SHOWN = np.array([0.05, 0.0, -0.5])
IRRITATION = 0.3
PACE = np.array([0.06, 0.24, 0.70])
SIZE = np.array([1.0, 1.35])
RENEWAL = 1.4
FILLED = 0.5
KEEN = np.array([0.4, 0.8, 1.4])
UNKNOWN, RECALL = 0.03, 0.10
STOCKED = 1.0
LOOK = np.array([0.03, 0.12, 0.35])
CLICK = np.array([0.03, 0.10, 0.25])
LEVEL_SHARES = np.array([[0.65, 0.23, 0.12], [0.55, 0.29, 0.16]])  # of singles, of families
_IS_CLOCK = np.arange(2 * len(AISLES)) % 2 == 0  # by nest


class Groceries(Equations):
    """See the module."""

    name = "groceries"
    about = "clocks for staples, discoveries that must be known and are forgotten"
    categories = AISLES
    attribute = "household"
    segments = ("single", "family")
    n_types = 3
    n_groups = len(AISLES)
    keeps = (0.5 ** (1 / 2), 0.5 ** (1 / 10))

    def goods(self, rng: np.random.Generator) -> Goods:
        """Draw the catalog."""
        category = np.repeat(np.arange(len(AISLES)), len(IN_AISLE))
        kind = np.tile(IN_AISLE, len(AISLES))
        labels = draw_labels(kind, APPEAL, APPEAL_SPREAD, rng)
        price = np.round(MEDIAN_PRICE[category] * np.exp(0.3 * rng.standard_normal(len(kind))), 2)
        return Goods(
            kind=kind,
            category=category,
            nest=np.arange(len(kind)) // (len(IN_AISLE) // 2),
            appeal=labels.appeal,
            style=np.zeros((len(kind), 0)),
            price=price,
            margin=price * MARGIN_SHARES[kind],
            table=items_table(self, category, labels.brand, price),
        )

    def log_prior(self) -> Float64:
        """Return (n_segments, n_types) log probabilities of the levels."""
        return np.log(LEVEL_SHARES)

    def memory(self, n_users: int, goods: Goods) -> Memory:
        """Return the memory before the first round: every clock a renewal time old."""
        return Memory.fresh(n_users, goods, age=RENEWAL)

    def group(self, category: Ints) -> Ints:
        """Return which taste a category appeals to: its own."""
        return category

    def need(self, state: State, taste: Ints) -> Float64:
        """Return (..., n_users, n_nests) the need, for tastes (..., n_users or 1, n_nests or 1)."""
        goods, memory = state.goods, state.memory
        owned = memory.owned.reshape(-1, goods.n_nests, goods.nest_size).sum(axis=2)
        filled = 1 / (1 + FILLED * np.roll(owned, -1, axis=1))  # the nest after a clock's holds its discoveries
        ripe = 1 - np.exp(-((memory.age / RENEWAL) ** 2))
        clock = PACE[taste] * SIZE[state.people.segment][:, None] * ripe * filled
        return np.where(_IS_CLOCK, clock, 1.0)

    def attraction(self, state: State, taste: Ints, users: Ints, items: Ints) -> Attraction:
        """Return the attraction of items to users, if they had these tastes."""
        kind, seen = state.goods.kind[items], state.memory.seen[users, items]
        base = np.exp(state.goods.appeal[items])
        known = KEEN[taste] * base * np.exp(-STOCKED * state.memory.owned[users, items])
        needed = base * np.exp(-IRRITATION * np.where(kind == NAG, seen, 0.0))
        is_new = kind == DISCOVERY
        aware = UNKNOWN + RECALL * np.minimum(seen, 1)
        return Attraction(
            np.where(is_new, known * aware, needed), np.where(is_new, known, needed * np.exp(SHOWN[kind]))
        )

    def click(self, state: State, taste: Ints, items: Ints) -> Float64:  # noqa: ARG002
        """Return the probabilities that shown items are clicked."""
        return np.broadcast_to(CLICK[taste], np.broadcast_shapes(taste.shape, items.shape))

    def look(self, taste: Ints) -> Float64:
        """Return the probabilities of a look at each category before the slate."""
        return np.broadcast_to(LOOK[taste], np.broadcast_shapes(taste.shape, (len(AISLES),)))
