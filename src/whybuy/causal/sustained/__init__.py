"""What doing something again and again would change: strategies over several decision points."""

from whybuy.causal.sustained.arrays import MAX_DECISIONS, MIN_EFFECTIVE_USERS, sustained
from whybuy.causal.sustained.result import StrategyEffect, SustainedEffects
from whybuy.causal.sustained.strategies import ODDS, Strategy

__all__ = [
    "MAX_DECISIONS",
    "MIN_EFFECTIVE_USERS",
    "ODDS",
    "Strategy",
    "StrategyEffect",
    "SustainedEffects",
    "sustained",
]
