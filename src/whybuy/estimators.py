"""Estimators for plain arrays: effects of a treatment, strategies over several decisions, values of policies, budgets.

``partially_linear`` gives a slope or the ATO, ``interactive`` ATE and ATT, ``sustained`` what doing something more or
less often at several decision points would change, ``off_policy`` what other policies would have earned on a log of
what was shown. ``uplift`` says whom a treatment moves and what treating in that order is worth, ``uplift_curves`` the
latter of any ranking. ``spend`` says who gets which offer under a budget, ``response_curve`` what a budget buys,
``policy_value`` what a rule brings on held-out people, ``policy_tree`` gives a rule that people can read.
``plan_experiment`` says how large an experiment must be, ``assign_units`` who gets which arm, ``analyze_experiment``
what came of it; ``adjusted_difference`` is the difference of two arms with what was known before taken out.
``price_elasticity`` says how much less is bought when a price rises.
"""

from collections.abc import Mapping

import numpy.typing as npt

from whybuy.campaign.budget import (
    BudgetPlan,
    Offers,
    PolicyTree,
    PolicyValue,
    ResponseCurve,
    policy_tree,
    policy_value,
    response_curve,
    spend,
)
from whybuy.campaign.experiment import (
    AdjustedDifference,
    ExperimentPlan,
    ExperimentResult,
    Margin,
    Rules,
    Wanted,
    adjusted_difference,
    analyze_experiment,
    assign_units,
    plan_experiment,
)
from whybuy.campaign.price import CategoryElasticity, PriceElasticity, price_elasticity
from whybuy.campaign.uplift import Uplift, UpliftCurves, uplift, uplift_curves
from whybuy.causal.arrays import ArrayEffect, ArraysError, Learners, interactive, partially_linear
from whybuy.causal.sustained import StrategyEffect, SustainedEffects, sustained
from whybuy.recommend.evaluate import (
    AsLogged,
    LoggedFeedback,
    Policy,
    PolicyComparison,
    Uniform,
    compare,
    cross_fitted_rewards,
)

__all__ = [
    "AdjustedDifference",
    "ArrayEffect",
    "ArraysError",
    "AsLogged",
    "BudgetPlan",
    "ExperimentPlan",
    "ExperimentResult",
    "CategoryElasticity",
    "Learners",
    "LoggedFeedback",
    "Margin",
    "Offers",
    "Policy",
    "PolicyComparison",
    "PolicyTree",
    "PolicyValue",
    "PriceElasticity",
    "ResponseCurve",
    "Rules",
    "StrategyEffect",
    "SustainedEffects",
    "Uniform",
    "Uplift",
    "UpliftCurves",
    "Wanted",
    "adjusted_difference",
    "analyze_experiment",
    "assign_units",
    "cross_fitted_rewards",
    "interactive",
    "off_policy",
    "partially_linear",
    "plan_experiment",
    "policy_tree",
    "policy_value",
    "price_elasticity",
    "response_curve",
    "spend",
    "sustained",
    "uplift",
    "uplift_curves",
]


def off_policy(  # noqa: PLR0913 - the columns of a log and what is asked of it, all but four optional
    action: npt.ArrayLike,
    reward: npt.ArrayLike,
    propensity: npt.ArrayLike,
    policies: Mapping[str, Policy | npt.ArrayLike],
    *,
    users: npt.ArrayLike | None = None,
    slates: npt.ArrayLike | None = None,
    slots: npt.ArrayLike | None = None,
    predicted: npt.ArrayLike | None = None,
    estimator: str | None = None,
    limit: float = 10.0,
    seed: int = 7,
) -> PolicyComparison:
    """Return what policies would have earned on the users of a log, beside what was earned, with intervals by user.

    Parameters
    ----------
    action : (n,) what was shown, numbered from 0; reward : (n,) what came of it
    propensity : (n,) probability with which it was shown; within a slate, given the items in earlier slots
    policies : by name, (n,) probability of the logged action, (n, n_actions[, n_slots]) of every action, or an object
        with ``probabilities(log)`` such as :class:`Uniform`
    users : (n,) whom errors are by; the slate or the row where None
    slates, slots : (n,) the items shown together, and each one's place
    predicted : (n, n_actions[, n_slots]) expected rewards, as from :func:`cross_fitted_rewards`
    estimator : per item shown "ips", "snips", "clipped", "dm", "dr", "sndr" or "switch", per slate "standard",
        "independent" or "cascade"; "dr" with ``predicted``, else "snips", where None
    limit : largest weight that "clipped" uses as it is, and "switch" at all
    seed : of the resamples of users

    Raises
    ------
    ArraysError
        The arrays have a defect (see :meth:`LoggedFeedback.of`), or lack what the estimator needs.

    Notes
    -----
    A policy that fewer than 30 users' worth of the log speaks of, or that shows what was never logged, gets reasons
    instead of a number. The sources of the estimators stand with them in :mod:`whybuy.recommend.evaluate`.
    """
    log = LoggedFeedback.of(action, reward, propensity, users=users, slates=slates, slots=slots, predicted=predicted)
    return compare(log, policies, estimator=estimator, limit=limit, seed=seed)
