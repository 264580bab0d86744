r"""Fashion: one taste on a circle of styles, and a wardrobe that fills.

Six departments are the nests, with 40 items each: 20 staples, 12 discoveries, 8 nags. Every item has a style, an angle;
a category is a quarter of the circle within a department. A user's taste is an angle and a strength, one of 32 x 3;
the prior leans to one side by the logged attribute (``casual`` to angle 0, ``formal`` to the opposite).

.. math:: \log x_{ui} = appeal_i + strength_u \cos(angle_u - angle_i)
          + shown_i \, (EFFECT_{kind(i)} - [i\ is\ a\ nag] \, FATIGUE \, seen_{ui})

``seen`` counts showings of the item and halves in 4 rounds: nags annoy more the more often they are shown. The need of
a department is 1 / (1 + SATED owned), ``owned`` being purchases in the department, halving in 8 rounds: who buys
something today buys less of the rest in the days to come. At a visit, a category is looked at with probability
sigmoid(LOOK + LOOK_TASTE match) for its middle angle; a shown item is clicked with sigmoid(CLICK + CLICK_TASTE match),
match being strength x cosine.
"""

import numpy as np
from scipy.special import expit

from whybuy.worlds.chain import Float64, Ints
from whybuy.worlds.showcase.equations import MARGIN_SHARES, Attraction, Equations, draw_labels, items_table
from whybuy.worlds.showcase.state import DISCOVERY, NAG, STAPLE, Goods, Memory, State

DEPARTMENTS = ("shoes", "dresses", "shirts", "bags", "jewelry", "knitwear")
STYLES = ("street", "classic", "business", "vintage")  # quarters of the circle, from angle 0
IN_QUARTER = np.array([STAPLE] * 5 + [DISCOVERY] * 3 + [NAG] * 2)
MEDIAN_PRICE = np.array([85.0, 70, 35, 90, 25, 55])

APPEAL = np.array([-5.6, -7.7, -4.4])  # of staples, discoveries, nags
APPEAL_SPREAD = np.array([1.8, 1.4, 0.8])
EFFECT = np.array([0.06, 3.4, -0.5])  # of being shown, on the log of the attraction
FATIGUE = 0.25
SATED = 0.5
STRENGTHS = np.array([0.6, 1.2, 1.8])
STRENGTH_SHARES = np.array([0.3, 0.4, 0.3])
N_ANGLES = 32
LEAN = 0.6
LOOK, LOOK_TASTE = -3.5, 1.1
CLICK, CLICK_TASTE = -3.0, 1.0

_ANGLE = np.repeat(2 * np.pi * np.arange(N_ANGLES) / N_ANGLES, len(STRENGTHS))
_STRENGTH = np.tile(STRENGTHS, N_ANGLES)
_TASTE = _STRENGTH[:, None] * np.stack([np.cos(_ANGLE), np.sin(_ANGLE)], axis=1)


class Fashion(Equations):
    """See the module."""

    name = "fashion"
    about = "one taste on a circle of styles, a wardrobe that fills"
    categories = tuple(f"{department}/{style}" for department in DEPARTMENTS for style in STYLES)
    attribute = "line"
    segments = ("casual", "formal")
    n_types = len(_TASTE)
    n_groups = 1
    keeps = (0.5 ** (1 / 4), 0.5 ** (1 / 8))

    def goods(self, rng: np.random.Generator) -> Goods:
        """Draw the catalog."""
        category = np.repeat(np.arange(len(self.categories)), len(IN_QUARTER))
        kind = np.tile(IN_QUARTER, len(self.categories))
        department, quarter = np.divmod(category, len(STYLES))
        angle = np.pi / 2 * (quarter + rng.random(len(kind)))
        labels = draw_labels(kind, APPEAL, APPEAL_SPREAD, rng)
        price = np.round(MEDIAN_PRICE[department] * np.exp(0.3 * rng.standard_normal(len(kind))), 2)
        return Goods(
            kind=kind,
            category=category,
            nest=department,
            appeal=labels.appeal,
            style=np.stack([np.cos(angle), np.sin(angle)], axis=1),
            price=price,
            margin=price * MARGIN_SHARES[kind],
            table=items_table(self, category, labels.brand, price),
        )

    def log_prior(self) -> Float64:
        """Return (n_segments, n_types) log probabilities of the types."""
        lean = LEAN * np.array([1.0, -1.0])[:, None] * np.cos(_ANGLE)
        weight = np.exp(lean) * np.tile(STRENGTH_SHARES, N_ANGLES)
        return np.log(weight / weight.sum(axis=1, keepdims=True))

    def memory(self, n_users: int, goods: Goods) -> Memory:
        """Return the memory before the first round."""
        return Memory.fresh(n_users, goods, age=30)

    def group(self, category: Ints) -> Ints:
        """Return which taste a category appeals to: there is one."""
        return np.zeros_like(category)

    def need(self, state: State, taste: Ints) -> Float64:  # noqa: ARG002
        """Return (n_users, n_nests) the need, the same for every taste."""
        goods = state.goods
        owned = state.memory.owned.reshape(-1, goods.n_nests, goods.nest_size).sum(axis=2)
        return 1 / (1 + SATED * owned)

    def attraction(self, state: State, taste: Ints, users: Ints, items: Ints) -> Attraction:
        """Return the attraction of items to users, if they had these tastes."""
        kind = state.goods.kind[items]
        alone = np.exp(state.goods.appeal[items] + _match(taste, state.goods.style[items]))
        tired = FATIGUE * np.where(kind == NAG, state.memory.seen[users, items], 0.0)
        return Attraction(alone, alone * np.exp(EFFECT[kind] - tired))

    def totals(self, state: State, taste: Ints) -> Float64:
        """Return (n_types, 1, n_nests) the summed attraction with nothing shown: no memory moves it."""
        alone = np.exp(state.goods.appeal + _match(taste[:, None], state.goods.style))
        return alone.reshape(len(taste), 1, state.goods.n_nests, -1).sum(axis=3)

    def click(self, state: State, taste: Ints, items: Ints) -> Float64:
        """Return the probabilities that shown items are clicked."""
        return expit(CLICK + CLICK_TASTE * _match(taste, state.goods.style[items]))

    def look(self, taste: Ints) -> Float64:
        """Return the probabilities of a look at each category before the slate."""
        middle = np.pi / 2 * (np.arange(len(self.categories)) % len(STYLES) + 0.5)
        return expit(LOOK + LOOK_TASTE * _match(taste, np.stack([np.cos(middle), np.sin(middle)], axis=1)))


def _match(taste: Ints, style: Float64) -> Float64:
    """Return strength x cosine of the angle between tastes (...) and styles (..., 2)."""
    vector = _TASTE[taste]
    return vector[..., 0] * style[..., 0] + vector[..., 1] * style[..., 1]
