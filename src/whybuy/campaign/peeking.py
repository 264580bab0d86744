"""Intervals that hold however often one looks.

A 95% interval holds once. Whoever looks at a running campaign every day and stops when it leaves zero out, finds an
effect of nothing in a third of campaigns and more. A confidence sequence holds at all looks together, and is wider.
"""

from dataclasses import replace

from whybuy.campaign.always_valid import always_valid_factor, always_valid_p
from whybuy.causal.effects import Estimate

NARROWEST_AT = 2_000
"""People at whom the sequence is narrowest."""


def always_valid(effect: Estimate, n: int) -> Estimate:
    """Return the asymptotic confidence sequence at ``n`` people, with its always-valid p-value.

    That of :mod:`whybuy.campaign.always_valid`, planned for ``NARROWEST_AT`` people: a logged campaign has
    no plan, and a choice by the number at hand would be another look. It covers the effect at all times together with
    probability .95 from some hundreds of people on.

    Parameters
    ----------
    effect : an estimate that is asymptotically a mean over people, as a difference of arms is
    n : people behind it
    """
    estimand = f"{effect.estimand}_always_valid"
    if effect.estimate is None or effect.std_error is None or n < 2:
        return Estimate(estimand=estimand)
    fraction = n / NARROWEST_AT
    half = effect.std_error * always_valid_factor(fraction)
    p = always_valid_p(effect.estimate / effect.std_error, fraction)
    low, high = effect.estimate - half, effect.estimate + half
    nothing = {"selected_low": None, "selected_high": None, "q_value": None, "q_value_by": None}
    return replace(effect, estimand=estimand, ci_low=low, ci_high=high, p_value=p, **nothing)
