"""What strategies over several decision points would change, with bands, and which of them the data cannot answer."""

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from whybuy.causal.effects import Estimate, Verdict
from whybuy.causal.sustained.strategies import Strategy

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyEffect:
    """What one strategy would change.

    Attributes
    ----------
    value : mean outcome under the strategy
    change : that less the mean outcome as it goes
    band_low, band_high : of the change, simultaneous over all answered strategies (95%)
    naive_change : what it would be if the behavior had been done at random, as co-occurrence takes it; None where
        nobody followed the strategy
    chance : (K,) chance of the behavior at every decision, among those who followed the strategy so far
    effective_users : users of equal weight that carry the answer
    reasons : why there is none, in words
    """

    strategy: Strategy
    value: Estimate
    change: Estimate
    band_low: float | None = None
    band_high: float | None = None
    naive_change: float | None = None
    chance: tuple[float, ...] = ()
    effective_users: float = 0.0
    reasons: tuple[str, ...] = ()

    @property
    def is_told(self) -> bool:
        """Whether there is an answer."""
        return self.value.estimate is not None

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {**asdict(self), "label": self.strategy.label}


@dataclass(frozen=True, slots=True, kw_only=True)
class SustainedEffects:
    """What strategies over K decision points would change in an outcome; intervals are 95%, by user.

    Attributes
    ----------
    points : one per strategy: odds in order, then curbs and nudges, then never and always
    n_rows, n_users, n_decisions : rows (a user's starts), users, decision points
    share_treated : (K,) share of rows that did the behavior at each decision
    as_it_goes : mean outcome with nothing changed
    p_flat : p-value of "no odds change anything", simultaneous over them; None where none was answered
    """

    points: tuple[StrategyEffect, ...]
    n_rows: int
    n_users: int
    n_decisions: int
    share_treated: tuple[float, ...]
    as_it_goes: float
    p_flat: float | None
    treatment: str = "A"
    outcome: str = "Y"
    horizon: str | None = None
    every: str | None = None
    verdict: Verdict | None = None
    reasons: tuple[str, ...] = ()
    meaning: str = ""

    def __getitem__(self, label: str) -> StrategyEffect:
        """Return the effect of the strategy with this label, as "odds times 2"; KeyError if it was not asked."""
        for point in self.points:
            if point.strategy.label == label:
                return point
        raise KeyError(label)

    def judged(self, verdict: Verdict, reasons: tuple[str, ...]) -> "SustainedEffects":
        """Return the effects with a verdict and its reasons."""
        return replace(self, verdict=verdict, reasons=reasons)

    def to_frame(self) -> pd.DataFrame:
        """Return one row per strategy, numbers only."""
        rows = [
            {
                "strategy": p.strategy.kind,
                "amount": p.strategy.amount,
                "value": p.value.estimate,
                "change": p.change.estimate,
                "std_error": p.change.std_error,
                "ci_low": p.change.ci_low,
                "ci_high": p.change.ci_high,
                "band_low": p.band_low,
                "band_high": p.band_high,
                "naive_change": p.naive_change,
                "mean_chance": sum(p.chance) / len(p.chance) if p.chance else None,
                "effective_users": p.effective_users,
            }
            for p in self.points
        ]
        return pd.DataFrame(rows)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {**{f: getattr(self, f) for f in self.__slots__}, "points": [p.to_json() for p in self.points]}

    def summary(self) -> str:
        """Return the answers in words."""
        lines = [
            f"{self.treatment} over {self.n_decisions} decision points, mean {self.outcome} as it goes "
            f"{self.as_it_goes:.4g} ({self.n_rows:,} rows of {self.n_users:,} users)"
        ]
        lines += [_line(p) for p in self.points if not p.strategy.changes_nothing]
        if self.verdict is not None:
            lines.append(f"verdict: {self.verdict.replace('_', ' ')}")
        return "\n".join([*lines, *(f"- {reason}" for reason in self.reasons)])

    def plot(self) -> "Figure":
        """Return a Plotly figure: the change over the odds with its interval and band, the naive one beside."""
        import plotly.graph_objects as go

        curve = [p for p in self.points if p.strategy.kind == "odds" and p.is_told]
        odds, change = [p.strategy.amount for p in curve], [p.change.estimate for p in curve]
        # As it goes there is no change and no band around it.
        band = [(0.0, 0.0) if p.band_low is None else (p.band_low, p.band_high) for p in curve]
        figure = go.Figure()
        for name, low, high, color in (
            ("95% band, all at once", [low for low, _ in band], [high for _, high in band], "rgba(31,111,235,.15)"),
            (
                "95% interval",
                [p.change.ci_low for p in curve],
                [p.change.ci_high for p in curve],
                "rgba(31,111,235,.3)",
            ),
        ):
            ends = {"x": [*odds, *odds[::-1]], "y": [*high, *low[::-1]]}
            look = {"mode": "lines", "line": {"width": 0}, "fill": "toself", "fillcolor": color}
            figure.add_scatter(**ends, **look, name=name, hoverinfo="skip")
        figure.add_scatter(x=odds, y=change, mode="lines+markers", name="adjusted", line={"color": "#1f6feb"})
        naive = [p.naive_change for p in curve]
        figure.add_scatter(x=odds, y=naive, mode="lines", name="naive", line={"color": "#8a8f98", "dash": "dot"})
        figure.add_hline(y=0, line_width=1)
        figure.update_layout(
            title=f"{self.treatment} → {self.outcome}, over {self.n_decisions} decision points",
            xaxis={"title": f"odds of {self.treatment} multiplied by", "type": "log", "tickvals": odds},
            yaxis_title=f"change in mean {self.outcome}",
            template="plotly_white",
        )
        return figure


def _line(p: StrategyEffect) -> str:
    e = p.change
    if e.estimate is None:
        return f"{p.strategy.label}: cannot tell. {' '.join(p.reasons)}"
    naive = "" if p.naive_change is None else f", naive {p.naive_change:+.4g}"
    return f"{p.strategy.label}: {e.estimate:+.4g} [{e.ci_low:+.4g}, {e.ci_high:+.4g}]{naive}"
