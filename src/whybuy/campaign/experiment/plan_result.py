"""The plan of an experiment: how many, how long, what can be seen, in words, in tables and as a picture."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from whybuy.causal.clusters import Float64

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_LITTLE = 0.01
"""Share of the variance below which adjusting is not worth a word."""
_BLUE, _GRAY, _RED = "#1f6feb", "#8a8f98", "#b3261e"


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulated:
    """Experiments drawn from the log with a planted effect.

    Attributes
    ----------
    seen : experiments whose interval leaves 0 out
    held : those whose interval holds the planted effect
    n : experiments
    """

    effect: float
    seen: int
    held: int
    n: int

    @property
    def power(self) -> float:
        """Share of experiments that see an effect; with a planted 0, that call nothing something."""
        return self.seen / self.n

    @property
    def error(self) -> float:
        """Monte Carlo standard error of the power; of (k + 2) / (n + 4), which is above 0 at the ends too."""
        p = (self.seen + 2) / (self.n + 4)
        return math.sqrt(p * (1 - p) / (self.n + 4))

    @property
    def coverage(self) -> float:
        """Share of intervals that hold the planted effect."""
        return self.held / self.n


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """What could be seen with the units that have entered by the end of a day (counted from 1)."""

    day: int
    n_units: int
    smallest_plain: float | None
    smallest: float | None
    power_plain: float
    power: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentPlan:
    """Size, power and smallest visible effect of an experiment; effects are changes of the outcome's mean.

    Attributes
    ----------
    n_log : units of the log that this is read off
    baseline, std_dev : mean of the outcome and its standard deviation between units
    moved_by : how an effect was planted: more units with the outcome ("share"), every amount by a "factor", every
        group's mean alike ("shift")
    design_effect : variance by unit of assignment over that of independent rows; None where rows are the units
    variance_removed : what covariates from before take away (CUPED), on units left out; None without covariates
    effect, effect_given : the effect planned for; the smallest visible one where none was given
    n_units : planned, in all arms; n_needed, n_needed_plain : that the effect needs, with and without covariates
    n_available : that will have entered by the last day
    smallest, smallest_plain : smallest rise that ``n_units`` see with the wanted power
    curve, curve_plain : (k,) power at the ``curve_effects``
    simulated : the same, counted on the log
    days : by day of entering
    name, unit, horizon : of the outcome, in words
    notes : plain words
    """

    n_log: int
    baseline: float
    std_dev: float
    moved_by: str
    design_effect: float | None
    variance_removed: float | None
    shares: tuple[float, ...]
    power: float
    peek: bool
    effect: float
    effect_given: bool
    n_units: int
    n_needed: int | None
    n_needed_plain: int
    n_available: int
    smallest: float | None
    smallest_plain: float | None
    curve_effects: Float64
    curve: Float64
    curve_plain: Float64
    simulated: tuple[Simulated, ...]
    days: tuple[Day, ...] = ()
    name: str = "the outcome"
    unit: str = "units"
    horizon: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def days_needed(self) -> int | None:
        """Days of entering until ``n_units`` are in; None where the log's arrivals do not reach that."""
        reached = [day.day for day in self.days if day.n_units >= self.n_units]
        return min(reached, default=None)

    @property
    def power_simulated(self) -> Simulated | None:
        """The simulation at the planned effect."""
        return next((s for s in self.simulated if s.effect == self.effect), None)

    def to_frame(self) -> pd.DataFrame:
        """Return one row per planted effect: power by formula and counted, with its Monte Carlo error."""
        rows = []
        for s in self.simulated:
            known = s.effect != 0 and len(self.curve_effects) > 0
            rows.append(
                {
                    "effect": s.effect,
                    "n_units": self.n_units,
                    "power_plain": float(np.interp(s.effect, *self._ordered(self.curve_plain))) if known else np.nan,
                    "power": float(np.interp(s.effect, *self._ordered(self.curve))) if known else np.nan,
                    "power_simulated": s.power,
                    "monte_carlo_error": s.error,
                    "coverage_simulated": s.coverage,
                    "simulations": s.n,
                }
            )
        return pd.DataFrame(rows)

    def days_frame(self) -> pd.DataFrame:
        """Return one row per day: units that have entered, smallest visible effect and power, plain and adjusted."""
        rows = [{name: getattr(day, name) for name in Day.__dataclass_fields__} for day in self.days]
        return pd.DataFrame(rows, columns=list(Day.__dataclass_fields__))

    def _ordered(self, power: Float64) -> tuple[Float64, Float64]:
        order = np.argsort(self.curve_effects)
        return self.curve_effects[order], power[order]

    def decision(self) -> str:
        """Return what to do, in a sentence or two."""
        what = f"{self.name}" + (f" within {self.horizon}" if self.horizon else "")
        relative = f" ({100 * self.effect / self.baseline:+.1f}% of {self.baseline:.4g})" if self.baseline else ""
        effect = f"a change of {self.effect:+.4g} in {what}{relative}"
        if self.n_units > self.n_available:
            return (
                f"Not as it is: {effect} needs {self.n_units:,} {self.unit}, and the log has {self.n_available:,}. "
                "Look for a larger effect, a commoner outcome, or more people."
            )
        days = f" (there by day {self.days_needed})" if self.days_needed and len(self.days) > 1 else ""
        until = f"; then wait {self.horizon} for the last outcomes" if self.horizon and days else ""
        if not self.effect_given:
            return (
                f"With {self.n_units:,} {self.unit}{days}{until}, {effect} is the smallest that is seen with a power "
                f"of {self.power:g}."
            )
        counted = self.power_simulated
        seen = f" (counted on the log: {counted.power:.2f} ± {counted.error:.2f})" if counted else ""
        reached = power_word(self)
        return (
            f"Run it with {self.n_units:,} {self.unit}{days}{until}: {effect} is seen with a power of {reached}{seen}."
        )

    def summary(self) -> str:
        """Return the plan in words."""
        lines = [self.decision()]
        lines.append(
            f"Read off {self.n_log:,} {self.unit} of the log: mean {self.baseline:.4g}, standard deviation "
            f"{self.std_dev:.4g}."
        )
        if self.variance_removed is not None and self.variance_removed < _LITTLE:
            lines.append("What was known before says next to nothing of the outcome: adjusting (CUPED) does not help.")
        elif self.variance_removed is not None:
            r = math.sqrt(self.variance_removed)
            lines.append(
                f"What was known before correlates {r:.2f} with the outcome: adjusting (CUPED) takes "
                f"away {100 * self.variance_removed:.0f}% of the variance; {self.n_needed_plain:,} {self.unit} would "
                "be needed without."
            )
        if self.design_effect is not None:
            lines.append(
                f"Assigned in groups, it needs {self.design_effect:.1f} times the rows that independent ones would."
            )
        if self.peek:
            lines.append(
                "Intervals that hold at every look are 1.5 times as wide at the end; what is seen early is the gain."
            )
        null = next((s for s in self.simulated if s.effect == 0), None)
        if null is not None:
            lines.append(f"With no effect, {100 * null.power:.1f}% of {null.n} drawn experiments saw one.")
        return "\n".join([*lines, *self.notes])

    def to_json(self) -> dict[str, Any]:
        """Return everything but the curves' points as one JSON object."""
        left_out = {"curve_effects", "curve", "curve_plain", "simulated", "days", "notes", "shares"}
        numbers = {name: getattr(self, name) for name in self.__dataclass_fields__ if name not in left_out}
        frame = self.to_frame()
        return {
            **numbers,
            "shares": list(self.shares),
            "days_needed": self.days_needed,
            "decision": self.decision(),
            "simulated": frame.astype(object).where(frame.notna(), None).to_dict("records"),
            "days": self.days_frame().astype(object).where(self.days_frame().notna(), None).to_dict("records"),
            "notes": list(self.notes),
        }

    def plot(self) -> "Figure":
        """Return a Plotly figure: power over the effect, formula and counted; the smallest visible effect over days."""
        from plotly.subplots import make_subplots

        titles = (f"Power with {self.n_units:,} {self.unit}", "Smallest effect seen, by days of entering")
        n_rows = 2 if self.days else 1
        figure = make_subplots(rows=n_rows, cols=1, subplot_titles=titles[:n_rows], vertical_spacing=0.18)
        figure.add_scatter(
            x=self.curve_effects, y=self.curve_plain, name="plain difference", line={"color": _GRAY, "dash": "dot"}
        )
        figure.add_scatter(x=self.curve_effects, y=self.curve, name="adjusted (CUPED)", line={"color": _BLUE})
        figure.add_scatter(
            x=[s.effect for s in self.simulated],
            y=[s.power for s in self.simulated],
            error_y={"array": [1.96 * s.error for s in self.simulated]},
            mode="markers",
            name=f"counted on the log, {self.simulated[0].n} experiments each" if self.simulated else "counted",
            marker={"color": _RED, "size": 9},
        )
        figure.add_hline(y=self.power, line_width=1, line_dash="dash", row=1, col=1)
        figure.update_xaxes(title_text=f"effect on {self.name}", row=1, col=1)
        figure.update_yaxes(title_text="power", range=[0, 1.03], row=1, col=1)
        if self.days:
            x = [day.day for day in self.days]
            for name, values, color in (
                ("plain", [day.smallest_plain for day in self.days], _GRAY),
                ("adjusted", [day.smallest for day in self.days], _BLUE),
            ):
                text = [f"{day.n_units:,} {self.unit}" for day in self.days]
                figure.add_scatter(
                    x=x, y=values, text=text, name=name, line={"color": color}, showlegend=False, row=2, col=1
                )
            figure.update_xaxes(title_text="days", row=2, col=1)
            figure.update_yaxes(title_text=f"effect on {self.name}", rangemode="tozero", row=2, col=1)
        figure.update_layout(template="plotly_white", height=420 * n_rows, legend={"orientation": "h", "y": 1.12})
        return figure


def power_word(plan: ExperimentPlan) -> str:
    """Return the formula's power at the planned effect."""
    return f"{float(np.interp(plan.effect, *plan._ordered(plan.curve))):.2f}"
