"""Whether foretold differences are real: the best linear predictor (BLP) of the effect given tau(x).

Source: Chernozhukov, Demirer, Duflo and Fernandez-Val, Fisher-Schultz lecture: Generic machine learning inference on
heterogeneous treatment effects (Econometrica, 2025).
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from whybuy.causal.checks import PairData
from whybuy.causal.clusters import Float64, Ints, clustered_ratio, influence_error
from whybuy.causal.effects import Estimate

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """The best linear predictor of the effect given tau(x), by two slopes that are 1 where tau is right.

    Attributes
    ----------
    mean : slope on the mean of tau: the average effect in units of the foretold one
    difference : slope on tau minus its mean: 0 where the foretold differences are noise
    p_differs : one-sided p-value of "the differences are noise"; None where tau does not differ
    """

    mean: Estimate
    difference: Estimate
    p_differs: float | None

    def to_frame(self) -> pd.DataFrame:
        """Return one row per slope, numbers only."""
        rows = [{"slope": e.estimand, **numbers(e)} for e in (self.mean, self.difference)]
        return pd.DataFrame(rows)

    def summary(self) -> str:
        """Return in words whether effects differ as foretold."""
        slope = self.difference
        if self.mean.estimate is None:
            return "Whether effects differ cannot be told."
        if slope.estimate is None or self.p_differs is None:
            return "No differences between decisions were foretold."
        numbers = f"slope {slope.estimate:.2f} [{slope.ci_low:.2f}, {slope.ci_high:.2f}], p = {self.p_differs:.2g}"
        if self.p_differs < 0.05:
            return f"Effects differ between decisions, in the foretold order ({numbers}; 1 is exactly as foretold)."
        if slope.ci_high is not None and slope.ci_high < 0:
            return f"Effects differ the other way round than foretold ({numbers}; 1 is exactly as foretold)."
        return f"The foretold differences cannot be told from noise ({numbers}; 0 is noise)."

    def plot(self) -> "Figure":
        """Return a Plotly figure: both slopes with their intervals, beside 0 (noise) and 1 (as foretold)."""
        known = [e for e in (self.mean, self.difference) if e.estimate is not None]
        figure = intervals([e.estimand for e in known], known)
        for at, name in ((0, "noise"), (1, "as foretold")):
            figure.add_hline(y=at, line_width=1, annotation_text=name)
        figure.update_layout(title="Best linear predictor of the effect", yaxis_title="slope")
        return figure


UNTOLD = Calibration(mean=Estimate(estimand="blp_mean"), difference=Estimate(estimand="blp_difference"), p_differs=None)


def calibration(data: PairData, tau: Float64, fold: Ints) -> Calibration:
    """Return the best linear predictor of the effect given tau, with errors by user.

    RY = a mean(tau) RT + b (tau - mean(tau)) RT + noise, the means within the fold: they come from other users, so a
    fold that happens to gain much is foretold little, and across folds noise would look like a slope below zero.

    Source: Chernozhukov, Demirer, Duflo and Fernandez-Val (2025), best linear predictor; in this residual form Athey
    and Wager, Estimating treatment effects with causal forests (Observational Studies, 2019).
    """
    weight = data.RT**2
    mean = (np.bincount(fold, weight * tau) / np.maximum(np.bincount(fold, weight), 1e-12))[fold]
    rows = np.stack([mean * data.RT, (tau - mean) * data.RT], axis=1)
    gram = rows.T @ rows
    if gram[1, 1] <= 1e-20 * (weight * tau**2).sum():
        return Calibration(
            mean=_slope("blp_mean", data, rows[:, 0]), difference=Estimate(estimand="blp_difference"), p_differs=None
        )
    slopes = np.linalg.solve(gram, rows.T @ data.RY)
    noise = rows * (data.RY - rows @ slopes)[:, None]
    scores = np.stack([np.bincount(data.user, noise[:, i]) for i in range(2)], axis=1)
    influence = np.linalg.solve(gram, scores.T)
    a, b = (
        Estimate.of(name, float(slope), influence_error(part))
        for name, slope, part in zip(("blp_mean", "blp_difference"), slopes, influence, strict=True)
    )
    return Calibration(mean=a, difference=b, p_differs=_one_sided(b))


def _slope(name: str, data: PairData, regressor: Float64) -> Estimate:
    found = clustered_ratio(regressor * data.RY, regressor**2, data.user)
    return Estimate.of(name, found.value, found.std_error)


def _one_sided(slope: Estimate) -> float | None:
    if slope.estimate is None or slope.std_error is None:
        return None
    return 0.5 * math.erfc(slope.estimate / slope.std_error / math.sqrt(2))


def numbers(e: Estimate) -> dict[str, float | None]:
    """Return an estimate's columns of a frame."""
    return {"estimate": e.estimate, "std_error": e.std_error, "ci_low": e.ci_low, "ci_high": e.ci_high}


def intervals(names: list[str], estimates: list[Estimate]) -> "Figure":
    """Return a figure of named estimates with their 95% intervals."""
    import plotly.graph_objects as go

    bars = {"array": [(e.ci_high or 0) - (e.estimate or 0) for e in estimates]}
    return go.Figure(
        go.Scatter(x=names, y=[e.estimate for e in estimates], error_y=bars, mode="markers", name="effect")
    )
