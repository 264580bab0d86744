r"""What the acting policy earns above another one, told from its own log alone: one step, ignoring carry-over.

In every round, in the states that the acting policy itself has brought about: the expected purchases of the items of a
slate, under the acting policy less under the other, other things as they are. Later rounds are not in it, nor what
shown items take from others.

The other policy is judged by the acting one's slates. With p_s the logged propensity of the item in slot s given the
earlier slots and l_i the other policy's probability to have item i anywhere in its slate, Des Raj's ordered estimator
(:func:`whybuy.recommend.backtest.softened.drawn_given_slate`) weighs the purchase of a shown item by

.. math:: w_s = l_{i_s} (1 / p_s + k - s) / k,

the acting policy's own slates count as they are. The floor under p keeps w finite. IPS divides by the number of slates,
SNIPS by the sum of weights.

The log is adaptive: what is shown depends on what was bought before, and rounds are not equally noisy. Given the past,
each round's error has mean 0, so rounds may be added with any weights that were known before their rewards. They are
weighed by one over the error that the two policies let expect, the root of the mean of sum_i (l_i - a_i)^2 / a_i over
visitors, a_i being the acting policy's own inclusion: so every round brings the same variance to the studentized sum,
which is what makes it normal. Intervals resample users with all their rounds.

Source: Hadad, Hirshberg, Zhan, Wager and Athey, Confidence intervals for policy evaluation in adaptive experiments
(PNAS, 2021), adaptively weighted estimator with constant-variance weights; Bibaut, Dimakopoulou, Kallus, Chambaz and
van der Laan, Post-contextual-bandit inference (NeurIPS 2021), section 3.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from whybuy.errors import PolicyError
from whybuy.recommend.backtest.softened import drawn_given_slate
from whybuy.recommend.evaluate.intervals import UserSums, bootstrap
from whybuy.recommend.evaluate.log import sums_by
from whybuy.recommend.policy import Candidates, Policy
from whybuy.worlds.chain import Float64, Ints
from whybuy.worlds.showcase import Happened, State, bought_by_chance

LABEL: Final = "one step, ignores carry-over"
ESTIMATORS: Final = ("ips", "snips")
_DRAWS = 4
"""Slates per visitor behind inclusion probabilities and truth. Values are linear in both, so draws add no bias."""

Acting = tuple[Policy, Candidates]


@dataclass(frozen=True, eq=False)
class Shown:
    """One round of the acting policy.

    Attributes
    ----------
    user : (n,) the visitors
    own : (n,) purchases of what was shown; other : (n,) the same, weighed for the other policy
    weight : (n,) mean weight of the slate, expected to be 1
    expected_error : of the round's value, up to a factor that all rounds share; known before the rewards
    truth : the true value in this round's states, which no log shows
    """

    user: Ints
    own: Float64
    other: Float64
    weight: Float64
    expected_error: float
    truth: float


def shown(happened: Happened, state: State, acting: Acting, other: Acting) -> Shown:
    """Return the round, ``state`` being the one that it began in."""
    n, k = happened.items.shape
    included = [policy.inclusion(candidates, n_draws=_DRAWS).probability for policy, candidates in (acting, other)]
    bought = (happened.items[:, :, None] == happened.bought[happened.visitor][:, None, :]).any(axis=2)
    place = np.broadcast_to(np.arange(1.0, k + 1), (n, k))
    drawn = drawn_given_slate(happened.propensity, place, np.full((n, k), float(k)))
    weight = included[1][np.arange(n)[:, None], happened.items] / k / drawn
    return Shown(
        user=happened.visitor,
        own=bought.sum(axis=1).astype(float),
        other=(weight * bought).sum(axis=1),
        weight=weight.sum(axis=1) / k,
        expected_error=_expected_error(*included),
        truth=_value(state, happened, *acting) - _value(state, happened, *other),
    )


def one_step_values(
    rounds: Sequence[Shown], n_users: int, *, every: int, n_resamples: int = 600, rng: np.random.Generator
) -> pd.DataFrame:
    """Return the value above the other policy, purchases of shown items per slate, period by period and together.

    Parameters
    ----------
    n_users : of the shop
    every : rounds of a period, between learning and learning

    Returns
    -------
    DataFrame
        period (from 1; 0 for all together), estimator (ips, snips), truth (the rounds' true values, weighed as the
        estimate weighs them), mean_weight, estimate, std_error, low, high (95%)

    Raises
    ------
    PolicyError
        There is no round, or in one both policies show the same.
    """
    if not rounds or min(one.expected_error for one in rounds) <= 0:
        raise PolicyError.of(
            found="No rounds" if not rounds else "A round in which both policies show the same",
            needed="rounds of a policy that differs from the other",
            do="Leave rounds without a difference out: it is 0 there",
        )
    starts = range(0, len(rounds), every)
    groups = {0: list(rounds), **{n: list(rounds[at : at + every]) for n, at in enumerate(starts, start=1)}}
    quantities = [_sums(of, n_users, estimator) for of in groups.values() for estimator in ESTIMATORS]
    intervals = bootstrap(quantities, n_resamples=n_resamples, rng=rng)
    rows = [
        {"period": period, "estimator": estimator, "truth": _truth(of), "mean_weight": _mean_weight(of)}
        for period, of in groups.items()
        for estimator in ESTIMATORS
    ]
    ends = [{name: getattr(i, name) for name in ("estimate", "std_error", "low", "high")} for i in intervals]
    return pd.concat([pd.DataFrame(rows), pd.DataFrame(ends)], axis=1)


def _expected_error(acting: Float64, other: Float64) -> float:
    """Return the root of the mean over visitors of sum (l - a)^2 / a, from inclusion probabilities (n, n_items)."""
    return float(np.sqrt(((other - acting) ** 2 / acting).sum(axis=1).mean()))


def _value(state: State, happened: Happened, policy: Policy, candidates: Candidates) -> float:
    """Return the expected purchases of a slate's items, exactly but for the slates, which are drawn."""
    values = []
    for draw in range(1, _DRAWS + 1):
        # Rounds that no loop comes to: their random numbers are fresh.
        items = policy.slates(candidates, round_number=draw * 1_000_000 + happened.number).item
        chance = bought_by_chance(state, happened.visitor, items)
        values.append(chance[happened.visitor[:, None], items].sum(axis=1).mean())
    return float(np.mean(values))


def _sums(rounds: Sequence[Shown], n_users: int, estimator: str) -> UserSums:
    """Return acting less other, as ratios of sums over users."""
    scale = np.concatenate([np.full(len(one.user), 1 / one.expected_error) for one in rounds])
    user = np.concatenate([one.user for one in rounds])
    own, other, weight = (
        scale * np.concatenate([getattr(one, name) for one in rounds]) for name in ("own", "other", "weight")
    )
    N = _by_user(user, np.stack([own, other], axis=1), n_users)
    D = _by_user(user, np.stack([scale, weight if estimator == "snips" else scale], axis=1), n_users)
    return UserSums(N, D, np.array([1.0, -1.0]))


def _by_user(user: Ints, values: Float64, n_users: int) -> Float64:
    """Return (n_users, k) the sums of (n, k) by user; users who never came have 0."""
    everybody = np.concatenate([user, np.arange(n_users)])
    return sums_by(everybody, np.concatenate([values, np.zeros((n_users, values.shape[1]))]))


def _truth(rounds: Sequence[Shown]) -> float:
    weight = np.array([len(one.user) / one.expected_error for one in rounds])
    return float(weight @ [one.truth for one in rounds] / weight.sum())


def _mean_weight(rounds: Sequence[Shown]) -> float:
    return float(np.concatenate([one.weight for one in rounds]).mean())
