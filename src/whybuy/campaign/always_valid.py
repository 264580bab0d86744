"""Intervals that hold at every look: a normal mixture in place of the normal quantile.

Who looks every day at 95% intervals and stops at the first that leaves 0 out, is wrong far more often than in 5%. The
factors here make the intervals of *all* looks hold together with 95%, whenever one stops and why. They are tightest
at the planned end (``fraction`` 1), there 1.5 times as wide as for one look.

Source: Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, Time-uniform central limit theory and asymptotic confidence
sequences (Annals of Statistics, 2024; arXiv 2103.06476), theorem 2.2 and appendix B.2; the mixture: Robbins (Annals
of Mathematical Statistics, 1970), Howard, Ramdas, McAuliffe and Sekhon (Annals of Statistics, 2021), equation 3.7.
"""

import math

from scipy.special import lambertw

FIRST_LOOK = 100
"""Units of every arm before the first look: the intervals are asymptotic, and early means are not normal yet."""


def always_valid_factor(fraction: float, *, level: float = 0.95) -> float:
    """Return how many standard errors the interval reaches to either side.

    Parameters
    ----------
    fraction : units seen so far over units planned, above 0; above 1 after the planned end
    """
    alpha = 1 - level
    v = fraction * _tightest(alpha)
    return math.sqrt(2 * (v + 1) / v * math.log(math.sqrt(v + 1) / alpha))


def always_valid_p(z: float, fraction: float, *, level: float = 0.95) -> float:
    """Return the p-value of no effect that may be looked at any time, of an estimate ``z`` standard errors from 0.

    Parameters
    ----------
    level : of the interval that is to be tightest at the planned end
    """
    v = fraction * _tightest(1 - level)
    return min(1.0, math.sqrt(v + 1) * math.exp(-(z**2) * v / (2 * (v + 1))))


def _tightest(alpha: float) -> float:
    """Return t rho^2 at which the interval is tightest."""
    return -float(lambertw(-(alpha**2) / math.e, -1).real) - 1
