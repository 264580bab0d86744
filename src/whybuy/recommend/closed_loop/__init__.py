"""A policy that learns from what it showed, week after week, in a shop whose other lives can be looked at.

An off-line value speaks of one showing. Whether ranking by lift pays in the end (people who remember, wardrobes that
fill, items that take purchases from each other, a model that only sees what it chose to show) shows in a closed loop
alone: a shop of :mod:`whybuy.worlds.showcase` is run by its own policy for weeks, then goes on in parallel worlds with
the same people and the same luck, each under a policy of its own. What differs is what the policy did.

``contestants`` says who shows and how they learn, ``run`` lets the worlds go on, ``one_step`` tells from the log alone,
with its propensities, what a policy earns above another, ``result`` puts seeds together.
"""

from whybuy.recommend.closed_loop.contestants import (
    ALL_KNOWING,
    BY_LIFT,
    BY_P_BUY,
    LOGGING,
    POLICIES,
    POPULAR,
    Forecast,
    Forecaster,
    Learner,
)
from whybuy.recommend.closed_loop.one_step import one_step_values
from whybuy.recommend.closed_loop.result import ClosedLoop
from whybuy.recommend.closed_loop.run import LoopRun, Plan, run_loop

__all__ = [
    "LOGGING", "POPULAR", "BY_P_BUY", "BY_LIFT", "ALL_KNOWING", "POLICIES", "Forecast", "Forecaster", "Learner", "Plan",
    "run_loop", "LoopRun", "one_step_values", "ClosedLoop",
]  # fmt: skip
