"""What would another policy have earned on the people whom this log was drawn from, before anybody sees it.

A log holds what was shown, with which probability, and what came of it. Reweighting by how much more likely another
policy shows the same (or forecasting the rewards, or both) gives that policy's value; how many users' worth of the log
speaks of it decides whether there is an answer at all.

``log`` checks the arrays, ``policies`` says what is judged, ``estimators`` and ``slates`` turn both into sums,
``grounds`` asks whether they may be read, ``intervals`` resamples users, ``compare`` puts policies side by side.
"""

from whybuy.recommend.evaluate.compare import compare
from whybuy.recommend.evaluate.estimators import ESTIMATORS
from whybuy.recommend.evaluate.log import LoggedFeedback
from whybuy.recommend.evaluate.policies import AsLogged, Policy, Target, Uniform
from whybuy.recommend.evaluate.result import PolicyComparison, PolicyDifference, PolicyValue
from whybuy.recommend.evaluate.reward_model import cross_fitted_rewards

__all__ = [
    "AsLogged",
    "ESTIMATORS",
    "LoggedFeedback",
    "Policy",
    "PolicyComparison",
    "PolicyDifference",
    "PolicyValue",
    "Target",
    "Uniform",
    "compare",
    "cross_fitted_rewards",
]
