"""Who shows what in the parallel worlds: policies as scores of every candidate for every visitor.

Slates are drawn from scores by :class:`~whybuy.recommend.policy.Policy`, with exact propensities and random numbers of
user, round and item: the same scores show the same in every world. All but the shop's own policy explore alike, with a
floor under every candidate's probability; their scores are chances, or differences of chances, so that one temperature
means the same for all of them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from whybuy import columns as c
from whybuy.errors import PolicyError
from whybuy.recommend.policy import Candidates, Policy, Shelf
from whybuy.worlds.chain import DAY_MS, Float64
from whybuy.worlds.shop import START, Shop
from whybuy.worlds.showcase import Context, Shopfront, tables, true_lift
from whybuy.worlds.showcase.policy import INTEREST, POPULARITY

LOGGING: Final = "logging policy"
POPULAR: Final = "popular"
BY_P_BUY: Final = "by P(buy | shown)"
BY_LIFT: Final = "by lift"
ALL_KNOWING: Final = "all-knowing"
POLICIES: Final = (LOGGING, POPULAR, BY_P_BUY, BY_LIFT)

Ids = npt.NDArray[np.object_]


@dataclass(frozen=True, eq=False)
class Forecast:
    """What a model expects of every item, each (n_users, n_items), items in the order of the log's items table.

    Attributes
    ----------
    lift : P(buy within a day | shown) - P(buy within a day | not shown)
    p_shown : P(buy within a day | shown)
    """

    lift: Float64
    p_shown: Float64


class Forecaster(Protocol):
    """A model that has learned."""

    def predict(self, log: Shop, user_id: Ids, at: pd.DatetimeIndex) -> Forecast:
        """Return what is expected of users (n,) at their times ``at`` (n,), ``log`` being all that happened before."""


class Learner(Protocol):
    """What learns from a log."""

    def learn(self, log: Shop) -> Forecaster:
        """Return the model of a log: events with impressions, slots and propensities, items, users."""


class Contestant(Protocol):
    """Who shows: scores of every candidate, and how slates are drawn from them."""

    @property
    def explore(self) -> Policy:
        """From scores to slates."""

    def scores(self, front: Shopfront, context: Context) -> Float64:
        """Return (n_visitors, n_items) the scores of the round that ``front`` is about to begin."""


@dataclass(frozen=True)
class AsBefore:
    """The shop's own policy, going on: by popularity and the user's recent interest."""

    explore: Policy

    def scores(self, front: Shopfront, context: Context) -> Float64:
        """Return (n_visitors, n_items)."""
        del front
        return POPULARITY * context.popularity + INTEREST * context.interest


@dataclass(frozen=True)
class Fixed:
    """The same scores ``by_item`` (n_items,) for everybody and for ever."""

    explore: Policy
    by_item: Float64

    def scores(self, front: Shopfront, context: Context) -> Float64:
        """Return (n_visitors, n_items)."""
        del front
        return np.broadcast_to(self.by_item, (len(context.users), len(self.by_item)))


@dataclass(frozen=True)
class Knowing:
    """The true lifts in the state of its own world: what all learning is measured against.

    No upper bound in principle: it takes no thought for tomorrow, nor for what one item of a slate takes from another.
    """

    explore: Policy

    def scores(self, front: Shopfront, context: Context) -> Float64:
        """Return (n_visitors, n_items)."""
        return true_lift(front.state)[context.users]


@dataclass
class Relearned:
    """Scores of a model that learns again every so often from the log that its own slates made.

    Attributes
    ----------
    learner, model : who learns, and what it learned from the log before the first round
    wanted : what of a forecast ranks
    every : rounds between learning; ``first`` : the first round
    """

    explore: Policy
    learner: Learner
    model: Forecaster
    wanted: Callable[[Forecast], Float64]
    every: int
    first: int

    def scores(self, front: Shopfront, context: Context) -> Float64:
        """Return (n_visitors, n_items), learning first where it is time to; a round is scored once."""
        log = tables(front)
        since = context.number - self.first
        if since and since % self.every == 0:
            self.model = self.learner.learn(log)
        users, at = visits(front, context)
        found = self.wanted(self.model.predict(log, users, at))
        require_scores(found, (len(users), len(log.items)))
        return found


def visits(front: Shopfront, context: Context) -> tuple[Ids, pd.DatetimeIndex]:
    """Return id and time of every visit of a round, as the log will have them."""
    users = user_ids(front)[context.users]
    ms = context.number * DAY_MS + front.state.people.minute[context.users] * 60_000
    return users, pd.DatetimeIndex(START + pd.to_timedelta(ms, unit="ms"))


def user_ids(front: Shopfront) -> Ids:
    """Return (n_users,) the ids by which the log names users."""
    return np.array([f"u{k + 1:05d}" for k in range(len(front.state.people))], object)


def candidates_of(front: Shopfront, context: Context, scores: Float64) -> Candidates:
    """Return everything on the shelf, for every visitor."""
    ids = front.state.goods.table[c.ITEM].to_numpy(object)
    return Candidates(
        shelf=Shelf(item_id=ids, available=context.candidates),
        user_id=user_ids(front)[context.users],
        item=np.broadcast_to(np.arange(len(ids)), scores.shape),
        score=scores,
    )


def buyers_per_user(front: Shopfront) -> Float64:
    """Return (n_items,) the share of users who bought each item per round so far: popularity, as a chance."""
    bought = np.zeros(len(front.state.goods))
    for happened in front.history:
        bought += np.bincount(happened.purchases()[2], minlength=len(bought))
    return bought / (len(front.history) * front.size.n_users)


def require_scores(scores: Float64, shape: tuple[int, int]) -> None:
    """Refuse scores of another shape.

    Raises
    ------
    PolicyError
        The learner's forecast does not fit the visitors and the items table.
    """
    if scores.shape != shape:
        raise PolicyError.of(
            found=f"A forecast of shape {scores.shape}",
            needed=f"{shape}: a row for every user asked for, a column for every row of the items table",
            do="Predict for log.items in their order",
        )
