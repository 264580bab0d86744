"""Estimators for plain arrays: ``partially_linear`` (slope or ATO) and ``interactive`` (ATE and ATT)."""

from whybuy.causal.arrays import ArrayEffect, ArraysError, Learners, interactive, partially_linear

__all__ = ["ArrayEffect", "ArraysError", "Learners", "interactive", "partially_linear"]
