"""Checks of one confirmed pair, one file for each: a few numbers, whether it passed, and words where it did not.

Fields are the contract's; further ones stand beside them. What each check can tell, what it cannot, and what failing it
does to the verdict is a table in ``docs/how_it_works.md``. ``pair`` holds the trials that all of them look at;
``trial_checks`` finds what they need in a trial table, and loads the heavy parts that a table is made with.
"""

from whybuy.causal.checks.balance import Balance, CovariateBalance
from whybuy.causal.checks.dose import dose
from whybuy.causal.checks.failures import failures
from whybuy.causal.checks.halves import halves
from whybuy.causal.checks.influence import influence
from whybuy.causal.checks.interference import interference
from whybuy.causal.checks.negative_control import Control, negative_control
from whybuy.causal.checks.nuisance import nuisance
from whybuy.causal.checks.overlap import overlap, supported
from whybuy.causal.checks.pair import PairData, effect_among
from whybuy.causal.checks.past_outcome import past_outcome
from whybuy.causal.checks.placebo import placebo
from whybuy.causal.checks.season import is_weekend, season
from whybuy.causal.checks.sensitivity import (
    GroupStrength,
    LoggedStrength,
    e_value,
    robustness_value,
    sensitivity,
    strongest_group,
)

__all__ = [
    "PairData",
    "effect_among",
    "nuisance",
    "overlap",
    "supported",
    "Balance",
    "CovariateBalance",
    "placebo",
    "GroupStrength",
    "LoggedStrength",
    "strongest_group",
    "e_value",
    "robustness_value",
    "sensitivity",
    "Control",
    "negative_control",
    "past_outcome",
    "halves",
    "season",
    "is_weekend",
    "dose",
    "influence",
    "interference",
    "failures",
]
