"""Intervals by user: users are drawn anew with replacement, and every ratio of sums is formed again in each draw.

Rewards are rare and weights skewed, so that a value and its error rise together. Resampled is therefore how far a
value is from the estimate in units of its own error (bootstrap-t), either way and on each side, and an end is the
farther of the two: tails of their own follow the skewness of few and large rewards, and chase noise in differences,
where the distance either way holds. docs/experiments.md has the coverage beside that of either alone, of percentiles
and of the normal interval.

A resample is a row of multinomial counts; its value and its clustered error are products of the counts with sums of
users, so that no row of the log is touched again. Many users are first dealt into bags at random, whose sums vary and
lean as much as those of users do: a million users cost what 2,000 cost. Quantities of one call share their resamples:
differences of two policies are paired.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from whybuy.causal.clusters import Float64, Ints
from whybuy.recommend.evaluate.log import LoggedFeedback, sums_by
from whybuy.recommend.evaluate.rounds import Rounds

LEVEL = 0.95
_TAILS = (0.025, 0.975)
MAX_BAGS = 2_000
_CELLS = 1_000_000
"""Counts that are held at once: 8 MiB."""
_ZERO = 1e-12
"""Of the value itself: an error below it is rounding."""


@dataclass(frozen=True, eq=False)
class UserSums:
    """A quantity as signed ratios of sums over users: the sum over j of signs[j] sum N[:, j] / sum D[:, j].

    Attributes
    ----------
    N, D : (n_users, k) numerators and denominators
    signs : (k,) 1, or -1 where a ratio is taken away
    """

    N: Float64
    D: Float64
    signs: Float64

    @classmethod
    def of(cls, log: LoggedFeedback, rounds: Rounds) -> "UserSums":
        """Return the sums of a policy's value."""
        N, D = log.by_user(rounds.numerators), log.by_user(rounds.denominators)
        return cls(N, D, np.ones(N.shape[1]))

    def minus(self, other: "UserSums") -> "UserSums":
        """Return the difference of two quantities on the same users."""
        return UserSums(
            np.hstack([self.N, other.N]), np.hstack([self.D, other.D]), np.concatenate([self.signs, -other.signs])
        )

    def dealt(self, bag: Ints) -> "UserSums":
        """Return the sums of bags of users, ``bag`` (n_users,) being numbered from 0."""
        return UserSums(sums_by(bag, self.N), sums_by(bag, self.D), self.signs)

    @property
    def rounding(self) -> float:
        """An error below it is none."""
        return _ZERO * float(np.abs(self.N.sum(axis=0) / self.D.sum(axis=0)).sum())

    def values(self, counts: Float64) -> tuple[Float64, Float64]:
        """Return the (b,) values and clustered errors of users who were drawn (b, n_users) times each.

        The error is linearized: what a user adds to a ratio is (N - ratio D) / sum D.
        """
        bottom = counts @ self.D
        ratios = (counts @ self.N) / bottom
        influence = (self.signs / bottom) @ self.N.T - (self.signs * ratios / bottom) @ self.D.T
        return ratios @ self.signs, np.sqrt(np.einsum("bu,bu,bu->b", counts, influence, influence))


@dataclass(frozen=True, kw_only=True)
class Interval:
    """An estimate with its 95% interval; an end is infinite where resamples too often have no reward at all."""

    estimate: float
    std_error: float
    low: float
    high: float

    @property
    def is_finite(self) -> bool:
        """Whether it has two ends."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    def minus(self, other: "Interval") -> "Interval":
        """Return the difference from an estimate of *another* log, which shares nobody with this one.

        Source: Zou and Donner, Construction of confidence limits about effect measures (Statistics in Medicine, 2008):
        squared distances to the ends add up.
        """
        middle = self.estimate - other.estimate
        return Interval(
            estimate=middle,
            std_error=math.hypot(self.std_error, other.std_error),
            low=middle - math.hypot(self.estimate - self.low, other.high - other.estimate),
            high=middle + math.hypot(self.high - self.estimate, other.estimate - other.low),
        )


def bootstrap(quantities: Sequence[UserSums], *, n_resamples: int, rng: np.random.Generator) -> list[Interval]:
    """Return the interval of every quantity, all from the same resamples of users.

    Source: Hall, On symmetric bootstrap confidence intervals (JRSS B, 1988), the symmetric and the equal-tailed
    bootstrap-t, of which the outer ends are taken; users as clusters, Cameron, Gelbach and Miller, Bootstrap-based
    improvements for inference with clustered errors (REStat, 2008).
    """
    if not quantities:
        return []
    n_users = len(quantities[0].N)
    found = [_normal(quantity) for quantity in quantities]
    if n_users > MAX_BAGS:
        bag = rng.permutation(n_users) % MAX_BAGS
        quantities, n_users = [quantity.dealt(bag) for quantity in quantities], MAX_BAGS
    distances: list[list[Float64]] = [[] for _ in quantities]
    block = max(1, _CELLS // n_users)
    for start in range(0, n_resamples, block):
        size = min(block, n_resamples - start)
        counts = rng.multinomial(n_users, np.full(n_users, 1 / n_users), size=size).astype(float)
        for quantity, interval, drawn in zip(quantities, found, distances, strict=True):
            if interval.std_error > 0:
                drawn.append(_distance(quantity, counts, interval.estimate))
    pairs = zip(found, distances, strict=True)
    return [_around(interval, np.concatenate(drawn)) if drawn else interval for interval, drawn in pairs]


def _normal(quantity: UserSums) -> Interval:
    """Return the estimate and its error, with no interval around it yet."""
    n_users = len(quantity.N)
    (estimate,), (error,) = quantity.values(np.ones((1, n_users)))
    # What is the same in every user differs by rounding alone, as one policy from itself.
    error = 0.0 if error <= quantity.rounding else float(error) * math.sqrt(n_users / (n_users - 1))
    return Interval(estimate=float(estimate), std_error=error, low=float(estimate), high=float(estimate))


def _distance(quantity: UserSums, counts: Float64, estimate: float) -> Float64:
    """Return (b,) how far each resample's value is above the estimate, in its own errors."""
    values, errors = quantity.values(counts)
    errors[errors <= quantity.rounding] = 0.0  # two policies that differ in a few users alone, none of them drawn
    n = counts.shape[1]
    with np.errstate(divide="ignore", invalid="ignore"):  # a resample without any reward has no error: infinitely far
        t = (values - estimate) / (errors * math.sqrt(n / (n - 1)))
    return np.where(values == estimate, 0.0, t)


def _around(interval: Interval, distances: Float64) -> Interval:
    """Return the interval whose ends are the farther ones of the symmetric and of the equal-tailed bootstrap-t."""
    either = np.quantile(np.abs(distances), LEVEL, method="inverted_cdf")
    below, above = np.quantile(distances, _TAILS, method="inverted_cdf")
    return replace(
        interval,
        low=interval.estimate - float(max(either, above)) * interval.std_error,
        high=interval.estimate + float(max(either, -below)) * interval.std_error,
    )
