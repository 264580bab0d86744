"""Power by formula: what an experiment of a given size can see, and the size that sees a given effect.

An experiment sees an effect where its estimate lies ``factor`` standard errors from 0. The estimate has a
(noncentral) t distribution around the effect, so that few regions or periods are not promised what only many people
would give. Treated units vary more or less than controls, because an effect moves the variance too.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import optimize, stats

from whybuy.campaign.always_valid import always_valid_factor
from whybuy.causal.clusters import Float64

_NORMAL_ABOVE = 500
"""Degrees of freedom beyond which t and normal differ by less than a thousandth."""
_CERTAIN, _ONE_SIDED = 8.0, 4.0
"""Standard errors beyond the factor where power is 1, and from which on the wrong side adds nothing: the noncentral t
is not computed there."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is known of an outcome before the experiment.

    Attributes
    ----------
    mean, variance : of units without the treatment
    moved_by : what an effect does: "share", more units are 1 instead of 0; "factor", every amount grows by one factor;
        "shift", every mean of a group grows by the same
    """

    mean: float
    variance: float
    moved_by: Literal["share", "factor", "shift"]

    @property
    def most(self) -> float:
        """The largest possible rise."""
        return math.inf if self.moved_by == "factor" else 1 - self.mean

    def with_effect(self, effect: float) -> float:
        """Return the variance of treated units over that of controls."""
        if self.moved_by == "share":
            p = min(max(self.mean + effect, 0.0), 1.0)
            return p * (1 - p) / (self.mean * (1 - self.mean))
        return (1 + effect / self.mean) ** 2 if self.moved_by == "factor" else 1.0


@dataclass(frozen=True, slots=True)
class Comparison:
    """What is asked of the estimate.

    Attributes
    ----------
    share_treated, share_control : of the units, those of the smallest treated arm and of the controls
    level : of the interval that must leave 0 out; 1 - .05 / k with k treated arms
    peek : whether the interval holds at every look
    """

    share_treated: float
    share_control: float
    level: float = 0.95
    peek: bool = False

    def factor(self, degrees: float) -> float:
        """Return how many standard errors from 0 an estimate must lie at the planned end."""
        if self.peek:
            return always_valid_factor(1.0, level=self.level)
        return float(stats.t.ppf(0.5 + self.level / 2, degrees))

    def degrees(self, n_units: float) -> float:
        """Return the degrees of freedom of two arms."""
        return max(1.0, n_units * (self.share_treated + self.share_control) - 2)

    def std_error(self, outcome: Outcome, n_units: float, *, effect: float = 0.0, left: float = 1.0) -> float:
        """Return the standard error, where covariates leave the share ``left`` of the variance."""
        by_arm = outcome.with_effect(effect) / self.share_treated + 1 / self.share_control
        return math.sqrt(left * outcome.variance * by_arm / n_units)


def power_of(test: Comparison, outcome: Outcome, n_units: float, effect: float, *, left: float = 1.0) -> float:
    """Return the probability that ``effect`` is seen with ``n_units`` units in all arms together.

    Source: Cohen, Statistical power analysis for the behavioral sciences (1988), section 2.
    """
    degrees = test.degrees(n_units)
    shift = abs(effect) / test.std_error(outcome, n_units, effect=effect, left=left)
    factor = test.factor(degrees)
    if shift > factor + _CERTAIN:
        return 1.0
    if degrees > _NORMAL_ABOVE:
        return float(stats.norm.sf(factor - shift) + stats.norm.cdf(-factor - shift))
    other_side = stats.nct.cdf(-factor, degrees, shift) if shift < _ONE_SIDED else 0.0
    return float(stats.nct.sf(factor, degrees, shift) + other_side)


def smallest_effect(
    test: Comparison, outcome: Outcome, n_units: float, *, power: float, left: float = 1.0
) -> float | None:
    """Return the smallest rise that is seen with probability ``power``; None where no possible one is."""
    most = min(outcome.most * (1 - 1e-6), 50 * test.std_error(outcome, n_units, left=left))
    if power_of(test, outcome, n_units, most, left=left) < power:
        return None
    least = most * 1e-9
    return float(optimize.brentq(lambda d: power_of(test, outcome, n_units, d, left=left) - power, least, most))


def units_needed(test: Comparison, outcome: Outcome, effect: float, *, power: float, left: float = 1.0) -> int:
    """Return how many units all arms together need so that ``effect`` is seen with probability ``power``."""
    low, high = 4.0, 8.0
    while power_of(test, outcome, high, effect, left=left) < power:
        low, high = high, 2 * high
    found = optimize.brentq(lambda n: power_of(test, outcome, n, effect, left=left) - power, low, high, xtol=0.01)
    return math.ceil(found - 0.01)


def planted(y: Float64, effect: float, outcome: Outcome, rng: np.random.Generator) -> Float64:
    """Return (n,) outcomes of treated units with a mean effect: more units with it, or every amount multiplied."""
    if outcome.moved_by == "factor":
        return y * (1 + effect / outcome.mean)
    if outcome.moved_by == "shift":
        return y + effect
    if effect >= 0:
        return np.where(rng.random(len(y)) < effect / (1 - outcome.mean), 1.0, y)
    return np.where(rng.random(len(y)) < -effect / outcome.mean, 0.0, y)
