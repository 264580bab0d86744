"""Intervals that hold however often one looks.

A 95% interval holds once. Whoever looks at a running campaign every day and stops when it leaves zero out, finds an
effect of nothing in a third of campaigns and more. A confidence sequence holds at all looks together, and is wider.
"""

import math
from dataclasses import replace

from whybuy.causal.effects import Estimate

ALPHA = 0.05
NARROWEST_AT = 2_000
"""People at whom the sequence is narrowest: fixed beforehand, since a choice by the number at hand would look again."""


def always_valid(effect: Estimate, n: int) -> Estimate:
    """Return the asymptotic confidence sequence at ``n`` people, with its always-valid p-value.

    With t = n people, rho^2 fixed and s = sqrt(n) times the standard error, the interval is the estimate plus or minus
    s sqrt(2 (t rho^2 + 1) / (t^2 rho^2) log(sqrt(t rho^2 + 1) / alpha)). It covers the effect at all times together
    with probability .95 from some hundreds of people on.

    Parameters
    ----------
    effect : an estimate that is asymptotically a mean over people, as a difference of arms is
    n : people behind it

    Source: Waudby-Smith et al., Time-uniform central limit theory and asymptotic confidence sequences (Annals of
    Statistics, 2024; arXiv 2021), theorem 2.2; the choice of rho: appendix B.2.
    """
    estimand = f"{effect.estimand}_always_valid"
    if effect.estimate is None or effect.std_error is None or n < 2:
        return Estimate(estimand=estimand)
    spread = 1 + n * _rho_squared()
    half = effect.std_error * math.sqrt(2 * spread / (spread - 1) * math.log(math.sqrt(spread) / ALPHA))
    z = effect.estimate / effect.std_error
    p = min(1.0, math.sqrt(spread) * math.exp(-0.5 * z**2 * (spread - 1) / spread))
    low, high = effect.estimate - half, effect.estimate + half
    nothing = {"selected_low": None, "selected_high": None, "q_value": None, "q_value_by": None}
    return replace(effect, estimand=estimand, ci_low=low, ci_high=high, p_value=p, **nothing)


def _rho_squared() -> float:
    """Return the parameter of the mixture that makes the sequence narrowest at ``NARROWEST_AT`` people."""
    return (-2 * math.log(ALPHA) + math.log(-2 * math.log(ALPHA) + 1)) / NARROWEST_AT
