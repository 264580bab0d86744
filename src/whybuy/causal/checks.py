"""Checks of one confirmed pair, each a few numbers and whether it passed, in words where it did not.

Overlap, balance, placebo, nuisance and sensitivity; fields as in the contract. The placebo draws fake treatments from
the estimated propensity: it tests standard errors, not confounding. Sensitivity compares the robustness value with
the strongest logged behavior: a hidden confounder as strong as that one must not be able to explain the effect away.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from whybuy.causal.effects import Z95, Effect
from whybuy.causal.residuals import Float64

MAX_SMD = 0.1
MIN_ESS = 200.0
N_PLACEBOS = 20
COMMON_SUPPORT = (0.01, 0.99)
"""Propensities of decisions that could have gone either way."""
_PLACEBO_Z = 3.290526731491926
"""Two-sided 99.9%: the mean of 20 placebo draws lies outside once in a thousand questions."""


@dataclass(frozen=True)
class PairData:
    """The trials of one confirmed pair.

    Attributes
    ----------
    T : (n,) treated; Y : (n,) outcome
    e, m : (n,) out-of-fold propensity and expected outcome
    user : (n,) ascending user index from 0
    """

    T: Float64
    Y: Float64
    e: Float64
    m: Float64
    user: npt.NDArray[np.int64]

    @property
    def RT(self) -> Float64:
        """Residual treatment."""
        return self.T - self.e

    @property
    def RY(self) -> Float64:
        """Residual outcome."""
        return self.Y - self.m

    def rows(self, keep: npt.NDArray[np.bool_]) -> "PairData":
        """Return the trials ``keep``, users renumbered."""
        _, user = np.unique(self.user[keep], return_inverse=True)
        return PairData(self.T[keep], self.Y[keep], self.e[keep], self.m[keep], user.astype(np.int64))


def supported(e: Float64) -> npt.NDArray[np.bool_]:
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


class Balance:
    """Standardized mean differences of logged covariates, for any pair of one trial table.

    Parameters
    ----------
    X : (n, d) logged covariates of all trials
    """

    def __init__(self, X: npt.NDArray[np.float32]) -> None:
        self.X = X
        mean = X.mean(axis=0, dtype=np.float64)
        squares = np.einsum("nd,nd->d", X, X, dtype=np.float64) / max(len(X), 1)
        sd = np.sqrt(np.maximum(squares - mean**2, 0))
        self.usable = sd > 1e-4
        self.sd = np.where(self.usable, sd, 1.0)

    def __call__(self, data: PairData, keep: npt.NDArray[np.bool_] | None = None) -> dict[str, float]:
        """Return the largest difference in standard deviations, raw and under overlap weights.

        ``keep`` marks the rows of X that ``data`` is of; all where None.

        Source: Li, Morgan and Zaslavsky (JASA, 2018), section 3: overlap weights are 1 - e for treated, e for controls.
        """
        arms = [data.T, 1 - data.T, data.T * (1 - data.e), (1 - data.T) * data.e]
        weights = np.zeros((4, len(self.X)), np.float32)
        weights[:, slice(None) if keep is None else keep] = np.stack([w / w.sum() for w in arms])
        means = (weights @ self.X).astype(float)
        before, after = np.abs(means[0] - means[1]) / self.sd, np.abs(means[2] - means[3]) / self.sd
        return {
            "max_smd_before": float(before[self.usable].max(initial=0.0)),
            "max_smd_after": float(after[self.usable].max(initial=0.0)),
        }


def placebo(data: PairData, std_error: float, rng: np.random.Generator) -> dict[str, float | bool]:
    """Return the mean effect of fake treatments drawn from Bernoulli(e), with its 95% interval."""
    total, spread = np.zeros(N_PLACEBOS), np.zeros(N_PLACEBOS)
    for draw in range(N_PLACEBOS):
        fake = (rng.random(len(data.e), np.float32) < data.e).astype(float) - data.e
        scores, weight = np.bincount(data.user, fake * data.RY), (fake**2).sum()
        total[draw] = scores.sum() / weight
        spread[draw] = math.sqrt(((scores - total[draw] * np.bincount(data.user, fake**2)) ** 2).sum()) / weight
    # Given the log the draws are independent, so their mean is sharper by the root of their number.
    estimate, se = float(total.mean()), float(spread.mean()) / math.sqrt(N_PLACEBOS)
    return {
        "estimate": estimate,
        "ci_low": estimate - Z95 * se,
        "ci_high": estimate + Z95 * se,
        "std_error_ratio": float(spread.mean() / std_error) if std_error > 0 else math.nan,
        "passed": bool(abs(estimate) <= _PLACEBO_Z * se),
    }


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


def failures(effect: Effect) -> list[str]:
    """Return the checks of a confirmed effect that did not pass, in words."""
    checks, found = effect.checks, []
    over = checks["overlap"]
    if over["ess"] < MIN_ESS:
        found.append(f"Overlap is weak: {over['ess']:.0f} effective trials in one arm, {MIN_ESS:.0f} are needed.")
    if not checks["placebo"]["passed"]:
        found.append("Placebo treatments drawn from the propensity have an effect: the errors cannot be trusted.")
    if checks["balance"]["max_smd_after"] > MAX_SMD:
        found.append(
            f"Balance: a covariate still differs by {checks['balance']['max_smd_after']:.2f} standard deviations."
        )
    nuisance = checks["nuisance"]
    for kind, what in (("e", "propensity"), ("m", "outcome")):
        if nuisance[f"{kind}_log_loss"] > nuisance[f"{kind}_log_loss_base"]:
            found.append(f"Nuisance: the {what} model predicts worse than its base rate.")
    if not checks["sensitivity"]["passed"]:
        found.append(
            "Sensitivity: a hidden confounder as strong as the strongest logged group "
            f"({checks['sensitivity']['strongest_group']}) could explain the effect."
        )
    return found
