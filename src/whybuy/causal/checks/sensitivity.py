"""Sensitivity: how strong a hidden confounder would have to be, compared with what was logged.

The robustness value of the effect is held against the strongest logged behavior: a hidden confounder as strong as that
one must not be able to explain the effect away.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from whybuy.causal.checks.pair import PairData
from whybuy.causal.effects import Z95
from whybuy.causal.residuals import Float64


def e_value(risk_treated: float, risk_control: float) -> float | None:
    """Return the E-value of a risk ratio; None where a risk is not positive.

    Source: VanderWeele and Ding (Annals of Internal Medicine, 2017): RR + sqrt(RR (RR - 1)).
    """
    if risk_treated <= 0 or risk_control <= 0:
        return None
    ratio = max(risk_treated / risk_control, risk_control / risk_treated)
    return ratio + math.sqrt(ratio * (ratio - 1))


def robustness_value(f: float) -> float:
    """Return the share of residual variance of both T and Y that a confounder must explain to bring f to zero.

    Source: Cinelli and Hazlett (JRSS B, 2020), equation 15: RV = (sqrt(f^4 + 4 f^2) - f^2) / 2.
    """
    return 0.5 * (math.sqrt(f**4 + 4 * f**2) - f**2) if f > 0 else 0.0


def sensitivity(data: PairData, estimate: float, std_error: float, strongest: "GroupStrength") -> dict[str, object]:
    """Return E-value, robustness value of the interval's nearer end, and the strongest logged group's strength.

    The effect's size in units of residuals is f = |theta| sd(RT) / sd(RY - theta RT), with theta moved 1.96 clustered
    standard errors towards zero. A confounder with partial R2 of r_T and r_Y can move it by sqrt(r_Y r_T / (1 - r_T)).
    """
    RT, RY = data.RT, data.RY
    scale = math.sqrt(float((RT**2).sum()) / float(((RY - estimate * RT) ** 2).sum()))
    f = max(abs(estimate) - Z95 * std_error, 0) * scale
    pull = math.sqrt(strongest.r2_outcome * strongest.r2_treatment / max(1 - strongest.r2_treatment, 1e-12))
    base = float((data.e * (1 - data.e) * data.Y)[data.T == 0].sum() / (data.e * (1 - data.e))[data.T == 0].sum())
    return {
        "e_value": e_value(base + estimate, base),
        "robustness_value": robustness_value(f),
        "strongest_group": strongest.name,
        "strongest_r2_treatment": strongest.r2_treatment,
        "strongest_r2_outcome": strongest.r2_outcome,
        "strongest_as_robustness_value": robustness_value(pull),
        "passed": bool(f > pull),
    }


@dataclass(frozen=True)
class GroupStrength:
    """A group of logged covariates and what it adds to the others: partial R2 with treatment and outcome."""

    name: str
    r2_treatment: float
    r2_outcome: float


class LoggedStrength:
    """Partial R2 of every group of logged covariates, for any target, from one Gram matrix.

    The drop in explained variance when a group leaves is its coefficients' quadratic form in the inverse of its block
    of the inverse Gram matrix (a Wald statistic without the scale).
    """

    def __init__(self, X: npt.NDArray[np.float32], groups: dict[str, list[int]]) -> None:
        mean, sd = X.mean(axis=0, dtype=np.float64), X.std(axis=0, dtype=np.float64)
        keep = np.flatnonzero(sd > 1e-4)
        self.Z = ((X[:, keep] - mean[keep].astype(np.float32)) / sd[keep].astype(np.float32)).astype(np.float32)
        gram = np.zeros((len(keep), len(keep)))
        for part in np.array_split(self.Z, max(1, len(self.Z) // 50_000)):
            gram += part.T.astype(np.float64) @ part
        # A small penalty keeps collinear counts from blowing up; it can only weaken a group's partial R2 a little.
        self.inverse = np.linalg.inv(gram + 1e-4 * len(X) * np.eye(len(keep)))
        at = {column: i for i, column in enumerate(keep.tolist())}
        self.groups = {
            name: np.array([at[c] for c in columns if c in at])
            for name, columns in groups.items()
            if any(c in at for c in columns)
        }

    def partial_r2(self, y: Float64) -> dict[str, float]:
        """Return every group's partial R2 with ``y`` (n,)."""
        y = y - y.mean()
        beta = self.inverse @ (self.Z.T @ y.astype(np.float32)).astype(np.float64)
        residual = float(((y - self.Z @ beta) ** 2).sum())
        found = {}
        for name, columns in self.groups.items():
            b = beta[columns]
            gain = float(b @ np.linalg.solve(self.inverse[np.ix_(columns, columns)], b))
            found[name] = gain / (gain + residual) if gain + residual > 0 else 0.0
        return found


def strongest_group(treatment: dict[str, float], outcome: dict[str, float]) -> GroupStrength:
    """Return the group that could pull an effect furthest."""
    name = max(treatment, key=lambda g: treatment[g] * outcome[g] / max(1 - treatment[g], 1e-12))
    return GroupStrength(name, treatment[name], outcome[name])


def sensitivity_failures(found: dict[str, Any]) -> list[str]:
    """Return what is wrong, in words."""
    if found["passed"]:
        return []
    return [
        "Sensitivity: a hidden confounder as strong as the strongest logged group "
        f"({found['strongest_group']}) could explain the effect."
    ]
