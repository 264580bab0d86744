"""Estimators for plain arrays: one treatment (``partially_linear``, ``interactive``), or a strategy over several.

``partially_linear`` gives a slope or the ATO, ``interactive`` ATE and ATT, ``sustained`` what doing something more or
less often at several decision points would change.
"""

from whybuy.causal.arrays import ArrayEffect, ArraysError, Learners, interactive, partially_linear
from whybuy.causal.sustained import StrategyEffect, SustainedEffects, sustained

__all__ = [
    "ArrayEffect",
    "ArraysError",
    "Learners",
    "StrategyEffect",
    "SustainedEffects",
    "interactive",
    "partially_linear",
    "sustained",
]
