"""Overlap: whether both arms hold comparable decisions at all."""

from typing import Any

from whybuy.causal.checks.pair import Bools, PairData
from whybuy.causal.residuals import Float64

MIN_ESS = 200.0
COMMON_SUPPORT = (0.01, 0.99)
"""Propensities of decisions that could have gone either way."""


def supported(e: Float64) -> Bools:
    """Return (n,) which propensities lie within [.01, .99]."""
    return (e >= COMMON_SUPPORT[0]) & (e <= COMMON_SUPPORT[1])


def overlap(data: PairData) -> dict[str, float]:
    """Return the effective number of trials of the scarcer arm under overlap weights, and the range of e."""
    treated = data.T > 0
    weights = [(1 - data.e)[treated], data.e[~treated]]
    ess = min(float(w.sum() ** 2 / (w**2).sum()) if len(w) and (w**2).sum() > 0 else 0.0 for w in weights)
    return {
        "ess": ess,
        "min_e": float(data.e.min()),
        "max_e": float(data.e.max()),
        "share_within_01_99": float(supported(data.e).mean()),
    }


def overlap_failures(found: dict[str, Any]) -> list[str]:
    """Return what is wrong, in words."""
    if found["ess"] >= MIN_ESS:
        return []
    return [f"Overlap is weak: {found['ess']:.0f} effective trials in one arm, {MIN_ESS:.0f} are needed."]
