"""Experiments: how large, who gets what, what came of it.

::

    plan = plan_experiment(outcome, Wanted(effect=.01), covariates=before)
    plan.summary(), plan.n_units
    assigned = assign_units(users, {"control": .5, "mail": .5}, strata=segment, seed=7)
    found = analyze_experiment(arm, {"bought": y, "returned": r}, rules)
    found.decision()

``plan_log``, ``assign_log`` and ``analyze_log`` ask the same of a log, see :mod:`whybuy.campaign.experiment.ask`.
"""

from whybuy.campaign.always_valid import always_valid_factor, always_valid_p
from whybuy.campaign.difference import AdjustedDifference, Difference, adjusted_difference
from whybuy.campaign.experiment.analyze import Rules, analyze_experiment
from whybuy.campaign.experiment.assign import assign_units
from whybuy.campaign.experiment.metrics import Margin
from whybuy.campaign.experiment.plan import Wanted, plan_experiment
from whybuy.campaign.experiment.plan_result import ExperimentPlan
from whybuy.campaign.experiment.result import ExperimentResult, MetricAnswer

__all__ = [
    "AdjustedDifference",
    "Difference",
    "adjusted_difference",
    "always_valid_factor",
    "always_valid_p",
    "ExperimentPlan",
    "Wanted",
    "plan_experiment",
    "assign_units",
    "ExperimentResult",
    "MetricAnswer",
    "Margin",
    "Rules",
    "analyze_experiment",
]
