"""How much of something does how much: the answer to a question about a dose, a slope and a curve.

``price:shoes`` asks of the decisions that are a view of shoes what a price above the item's usual one changes,
``discount:shoes`` what a price below it does, and ``number:view:shoes`` what one more view among the first decisions of
a session does. How it is computed stands in :mod:`whybuy.causal.dose_slope`.
"""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from whybuy.causal.effects import Estimate, Verdict

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


@dataclass(frozen=True, slots=True, kw_only=True)
class DosePoint:
    """The effect of one range of doses against the range of reference.

    Attributes
    ----------
    label : the range, in words; dose : the mean dose in it
    effect : outcomes per trial; 0 without an error in the range of reference, None where there are no grounds
    """

    label: str
    dose: float
    n_trials: int
    effect: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Dose:
    """The effect of more of a treatment on an outcome.

    Attributes
    ----------
    unit : what one step of the slope is, in words, as "10% above the usual price"
    n_trials, n_users, n_clusters : trials, users, and what errors are by besides users (spells of a price); None if not
    slope : outcomes per trial and unit, everything else equal (partially linear); naive : the plain regression's
    curve : effects by ranges of the dose, in order
    """

    treatment: str
    outcome: str
    horizon: str
    unit: str
    n_trials: int
    n_users: int
    n_clusters: int | None
    slope: Estimate
    naive: float | None
    curve: tuple[DosePoint, ...]
    verdict: Verdict
    reasons: tuple[str, ...]
    meaning: str

    def to_json(self) -> dict[str, Any]:
        """Return all of it as a JSON object."""
        return {**asdict(self), "reasons": list(self.reasons), "curve": [asdict(point) for point in self.curve]}

    def to_frame(self) -> pd.DataFrame:
        """Return one row per range of the dose, numbers only."""
        rows = [
            {
                "range": point.label,
                "dose": point.dose,
                "n_trials": point.n_trials,
                "estimate": point.effect.estimate,
                "std_error": point.effect.std_error,
                "ci_low": point.effect.ci_low,
                "ci_high": point.effect.ci_high,
            }
            for point in self.curve
        ]
        return pd.DataFrame(rows)

    def summary(self) -> str:
        """Return one sentence a marketer can repeat."""
        e = self.slope
        if e.estimate is None:
            return f"{self.treatment} -> {self.outcome}: cannot tell. {' '.join(self.reasons)}"
        naive = "" if self.naive is None else f" (co-occurrence says {100 * self.naive:+.2f})"
        return (
            f"{self.treatment}: {self.unit} changes {self.outcome} within {self.horizon} by {100 * e.estimate:+.2f} in "
            f"100 [{100 * (e.ci_low or 0):+.2f}, {100 * (e.ci_high or 0):+.2f}]{naive}: "
            f"{self.verdict.replace('_', ' ')}."
        )

    def plot(self) -> "Figure":
        """Return a Plotly figure: the effect of every range of the dose with its 95% interval."""
        import plotly.graph_objects as go

        known = [point for point in self.curve if point.effect.estimate is not None]
        half = [(point.effect.ci_high or 0) - (point.effect.estimate or 0) for point in known]
        figure = go.Figure()
        figure.add_scatter(
            x=[point.dose for point in known],
            y=[point.effect.estimate for point in known],
            error_y={"array": half},
            text=[f"{point.label}, {point.n_trials:,} trials" for point in known],
            mode="markers+lines",
            name="against the usual",
        )
        figure.add_hline(y=0, line_width=1)
        figure.update_layout(
            title=f"{self.treatment} → {self.outcome} ({self.verdict.replace('_', ' ')})",
            xaxis_title="dose",
            yaxis_title=f"difference in P({self.outcome} within {self.horizon})",
            template="plotly_white",
        )
        return figure
