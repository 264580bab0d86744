r"""Who is shown what: slates with the exact probability of every item in its slot.

A policy gives every candidate a score. With the weights w = exp(score), slot by slot among the items not yet in the
slate (R is how many they are),

.. math:: P(i\ in\ slot\ s \mid earlier\ slots) = (1 - \epsilon) \frac{w_i}{\sum_{j\ left} w_j} + \frac{\epsilon}{R}:

a Plackett-Luce ranking with a floor. It is drawn by races: every item has a standard exponential time of the user and
the round, the least time / weight among those left wins the slot; where a coin says so, the least lot wins instead. As
races have no memory, what is left after a slot races on with the probabilities of those left. The random numbers
belong to the user, the round and the item, so two policies with nearly the same scores draw nearly the same slates.

The shop's own policy shows what sells and what the user has lately been interested in: it knows nothing that is not
logged, and it is confounded, as people are shown what they would have bought anyway.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from whybuy.errors import ArraysError
from whybuy.worlds.chain import Bools, Float64, Ints
from whybuy.worlds.showcase.state import Goods, Happened

EPSILON: Final = 0.15
POPULARITY: Final = 0.3  # weight of the standardized log sales
INTEREST: Final = 2.0  # weight of log(1 + interest) in the item's category
_INTEREST_KEEPS: Final = 0.5 ** (1 / 10)
_PER_PURCHASE: Final = 2.0


@dataclass(frozen=True)
class Noise:
    """The random numbers of the visitors' slates.

    Attributes
    ----------
    race : (n, n_items) standard exponential; lot : (n, n_items) uniform; coin : (n, k) uniform
    """

    race: Float64
    lot: Float64
    coin: Float64


@dataclass(frozen=True)
class Context:
    """What a policy may know when a round begins; all of it is logged, or drawn for the policy alone.

    Attributes
    ----------
    number : the round, from 0; n_slots : how many items a slate has
    users : (n,) index of the users who come
    candidates : (n_items,) bool, the items that can be shown
    popularity : (n_items,) log of last year's sales, standardized
    interest : (n, n_items) what the user lately looked at, clicked and bought in the item's category, fading
    noise : the policy's random numbers
    """

    number: int
    n_slots: int
    users: Ints
    candidates: Bools
    popularity: Float64
    interest: Float64
    noise: Noise


@dataclass(frozen=True)
class Slates:
    """What is shown: ``items`` (n, k) by slot, and ``propensity`` (n, k) of each given the earlier slots."""

    items: Ints
    propensity: Float64


Policy = Callable[[Context], Slates]


def draw_slates(context: Context, scores: Float64, *, epsilon: float) -> Slates:
    """Return slates drawn by ``scores`` (n, n_items) with a floor of ``epsilon`` in [0, 1]."""
    weight = np.where(context.candidates, np.exp(scores - scores.max(axis=1, keepdims=True)), 0.0)
    left = np.broadcast_to(context.candidates, weight.shape).copy()
    rows = np.arange(len(weight))
    items, propensity = [], []
    for slot in range(context.n_slots):
        with np.errstate(divide="ignore"):
            arrival = np.where(left, context.noise.race / weight, np.inf)
        by_lot = np.where(left, context.noise.lot, np.inf).argmin(axis=1)
        item = np.where(context.noise.coin[:, slot] < epsilon, by_lot, arrival.argmin(axis=1))
        items.append(item)
        propensity.append((1 - epsilon) * weight[rows, item] / weight.sum(axis=1) + epsilon / left.sum(axis=1))
        left[rows, item] = False
        weight[rows, item] = 0.0
    return Slates(np.stack(items, axis=1), np.stack(propensity, axis=1))


def logging_policy(context: Context) -> Slates:
    """Return the slates of the shop's own policy."""
    return draw_slates(context, POPULARITY * context.popularity + INTEREST * context.interest, epsilon=EPSILON)


def top_policy(scores: Float64, *, epsilon: float = EPSILON, sharpness: float = 200.0) -> Policy:
    """Return the policy that shows the best items by ``scores`` (n_users, n_items), but for a floor.

    Parameters
    ----------
    sharpness : weights are exp(sharpness x score); scores are chances, so 200 makes half a percent a factor of e
    """

    def policy(context: Context) -> Slates:
        return draw_slates(context, sharpness * scores[context.users], epsilon=epsilon)

    return policy


@dataclass(frozen=True)
class Interest:
    """Looks, clicks and purchases (these twice) of each user in each category, fading by half in 10 rounds."""

    counts: Float64

    def after(self, happened: Happened, goods: Goods) -> "Interest":
        """Return the interest a round later."""
        counts = self.counts.copy()
        row, category = np.nonzero(happened.looked >= 0)
        np.add.at(counts, (happened.visitor[row], category), 1.0)
        row, slot = np.nonzero(happened.clicked)
        np.add.at(counts, (happened.visitor[row], goods.category[happened.items[row, slot]]), 1.0)
        user, _, item = happened.purchases()
        np.add.at(counts, (user, goods.category[item]), _PER_PURCHASE)
        return Interest(_INTEREST_KEEPS * counts)


def check_slates(slates: Slates, context: Context) -> None:
    """Refuse slates that cannot be shown.

    Raises
    ------
    ArraysError
        The shape is wrong, an item is repeated or is no candidate, or a propensity lies outside (0, 1].
    """
    shape = (len(context.users), context.n_slots)
    if slates.items.shape != shape or slates.propensity.shape != shape:
        raise ArraysError.of(
            found=f"slates of shape {slates.items.shape}, propensities of shape {slates.propensity.shape}",
            needed=f"{shape}: a row for every visitor, a column for every slot",
            do="Return one slate for every user of the context",
        )
    placed = np.sort(slates.items, axis=1)
    if (placed[:, 1:] == placed[:, :-1]).any() or not np.isin(placed, np.flatnonzero(context.candidates)).all():
        raise ArraysError.of(
            found="a slate that repeats an item or holds one that is no candidate",
            needed="different candidates in all slots of a slate",
            do="Draw without replacement among context.candidates",
        )
    if not ((slates.propensity > 0) & (slates.propensity <= 1)).all():
        raise ArraysError.of(
            found="a propensity outside (0, 1]",
            needed="the probability of each item in its slot given the context and the earlier slots",
            do="Draw with draw_slates, which gives it",
        )
