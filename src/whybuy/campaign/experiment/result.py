"""What an experiment found: every metric with its interval, the check of the split, and the decision in words."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from whybuy.campaign.experiment.metrics import Margin

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

Judged = Literal["strong", "none", "held", "broken", "cannot_tell"]

_COLORS = {"strong": "#1f6feb", "none": "#8a8f98", "held": "#2e7d32", "broken": "#b3261e", "cannot_tell": "#8a8f98"}
_NUMBERS = (
    "mean_control", "mean_treated", "plain", "plain_low", "plain_high", "estimate", "std_error", "ci_low", "ci_high",
    "p_value", "p_holm", "variance_removed", "n_treated", "n_control", "fraction",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricAnswer:
    """One metric in one arm against the controls; numbers are None where ``reasons`` say why.

    Attributes
    ----------
    margin : of a guardrail; None where the metric shall move
    estimate, ci_low, ci_high : adjusted difference of means with its 95% interval, one that holds at every look where
        ``fraction`` (units so far over planned) is known
    plain, plain_low, plain_high : without covariates, for one look
    p_value, p_holm : of no difference; corrected over the metrics that shall move, and the arms
    variance_removed : share of the plain variance that covariates took away
    verdict : "strong" (moved), "none" (within plus or minus the smallest effect), "held" or "broken" (guardrails), or
        "cannot_tell"
    """

    metric: str
    arm: str
    control: str
    margin: Margin | None = None
    estimate: float | None = None
    std_error: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    plain: float | None = None
    plain_low: float | None = None
    plain_high: float | None = None
    p_value: float | None = None
    p_holm: float | None = None
    mean_treated: float | None = None
    mean_control: float | None = None
    n_treated: int | None = None
    n_control: int | None = None
    variance_removed: float | None = None
    fraction: float | None = None
    verdict: Judged = "cannot_tell"
    reasons: tuple[str, ...] = ()

    @property
    def role(self) -> str:
        """Whether it shall move or must not be hurt."""
        return "primary" if self.margin is None else "guardrail"

    def to_json(self) -> dict[str, Any]:
        """Return one flat object."""
        names = {"metric": self.metric, "arm": self.arm, "control": self.control, "role": self.role}
        margin = None if self.margin is None else self.margin.margin
        numbers = {name: getattr(self, name) for name in _NUMBERS}
        return {**names, "margin": margin, **numbers, "verdict": self.verdict, "reasons": list(self.reasons)}

    def summary(self) -> str:
        """Return the answer in one sentence."""
        who = f"{self.metric}, {self.arm} against {self.control}"
        if self.estimate is None:
            return f"{who}: cannot tell. {' '.join(self.reasons)}"
        guard = "" if self.margin is None else f", must be {self.margin}"
        words = {
            "strong": "moved",
            "none": "no effect worth acting on",
            "held": "not hurt",
            "broken": "hurt",
            "cannot_tell": "cannot tell",
        }
        return (
            f"{who}: {self.estimate:+.4g} [{self.ci_low:+.4g}, {self.ci_high:+.4g}]{guard} "
            f"(from {self.mean_control:.4g}): {words[self.verdict]}."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentResult:
    """What an experiment found.

    Attributes
    ----------
    shares, counts : intended share and number of units by arm, the controls first
    sample_ratio : the check of the split: ``p_value``, ``expected``, ``passed``
    answers : every metric in every arm but the controls
    peek : whether the intervals hold at every look
    checks : further facts by name
    notes : plain words
    rehearsal : why this is no experiment, where it is none (people were assigned after the outcomes)
    """

    shares: dict[str, float]
    counts: dict[str, int]
    sample_ratio: dict[str, Any]
    answers: tuple[MetricAnswer, ...]
    peek: bool
    unit: str = "units"
    checks: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    rehearsal: str | None = None

    @property
    def stopped(self) -> str | None:
        """Why there is no verdict at all, or None."""
        if self.sample_ratio["passed"] is False:
            found = ", ".join(f"{self.counts[arm]:,} in {arm}" for arm in self.shares)
            wanted = ", ".join(f"{self.sample_ratio['expected'][arm]:,.0f}" for arm in self.shares)
            return (
                f"Sample ratio: {found} instead of {wanted} would happen by chance with p = "
                f"{self.sample_ratio['p_value']:.1g}. {self.unit.capitalize()} were lost on the way into one arm: find "
                "out where before anything else; no number below can be trusted."
            )
        return self.rehearsal

    def decision(self) -> str:
        """Return what to do, arm by arm."""
        if self.stopped:
            return self.stopped
        control = next(iter(self.shares))
        return "\n".join(self._of_arm(arm) for arm in self.shares if arm != control)

    def _of_arm(self, arm: str) -> str:
        mine = [a for a in self.answers if a.arm == arm]
        broken = [a.metric for a in mine if a.verdict == "broken"]
        open_guards = [a.metric for a in mine if a.margin is not None and a.verdict == "cannot_tell"]
        better = [a.metric for a in mine if a.verdict == "strong" and (a.estimate or 0) > 0]
        worse = [a.metric for a in mine if a.verdict == "strong" and (a.estimate or 0) < 0]
        if broken:
            return f"{arm}: do not ship. {', '.join(broken)} is hurt by more than its margin."
        if worse:
            also = f", although {', '.join(better)} rose" if better else ""
            return f"{arm}: do not ship as it is. {', '.join(worse)} fell{also}."
        if better and open_guards:
            return f"{arm}: {', '.join(better)} rose, but nothing shows yet that {', '.join(open_guards)} is not hurt."
        if better:
            return (
                f"{arm}: ship. {', '.join(better)} rose{', and no guardrail is hurt' if self._guarded(mine) else ''}."
            )
        primaries = [a for a in mine if a.margin is None]
        if primaries and all(a.verdict == "none" for a in primaries):
            return f"{arm}: no effect worth acting on."
        return f"{arm}: cannot tell. " + (
            "Go on until the planned end, or plan for more." if self.peek else "Plan a larger experiment if it matters."
        )

    @staticmethod
    def _guarded(answers: list[MetricAnswer]) -> bool:
        return any(a.margin is not None for a in answers)

    def summary(self) -> str:
        """Return the decision, every metric in a sentence, and what else is to be known."""
        ratio = self.sample_ratio
        split = [] if ratio["passed"] is not True else [f"The split is as intended (p = {ratio['p_value']:.2g})."]
        how = ["Intervals hold at every look."] if self.peek else []
        return "\n".join([self.decision(), *(a.summary() for a in self.answers), *split, *how, *self.notes])

    def to_frame(self) -> pd.DataFrame:
        """Return one row per metric and arm: numbers, and the verdict."""
        return pd.DataFrame([a.to_json() for a in self.answers]).drop(columns="reasons")

    def to_json(self) -> dict[str, Any]:
        """Return everything as one JSON object."""
        return {
            "shares": self.shares,
            "counts": self.counts,
            "unit": self.unit,
            "sample_ratio": self.sample_ratio,
            "peek": self.peek,
            "metrics": [a.to_json() for a in self.answers],
            "checks": self.checks,
            "decision": self.decision(),
            "stopped": self.stopped,
            "notes": list(self.notes),
        }

    def plot(self) -> "Figure":
        """Return a Plotly figure: plain and adjusted difference of every metric, in percent of the controls' mean."""
        import plotly.graph_objects as go

        figure = go.Figure()
        for a in self.answers:
            if a.estimate is None or not a.mean_control or a.ci_high is None or a.plain is None or a.plain_high is None:
                continue
            label, scale = f"{a.metric}<br>{a.arm} ({a.role})", 100 / a.mean_control
            rows = (
                ("plain", a.plain, a.plain_high - a.plain, "#8a8f98", "circle-open"),
                ("adjusted", a.estimate, a.ci_high - a.estimate, _COLORS[a.verdict], "circle"),
            )
            for name, value, half, color, symbol in rows:
                figure.add_scatter(
                    x=[value * scale],
                    y=[[label], [name]],
                    error_x={"array": [half * scale]},
                    mode="markers",
                    marker={"color": color, "symbol": symbol, "size": 9},
                    hovertext=f"{name}: {value:+.4g}",
                )
            if a.margin is not None:
                figure.add_scatter(
                    x=[a.margin.margin * scale],
                    y=[[label], ["adjusted"]],
                    mode="markers",
                    marker={"symbol": "line-ns-open", "size": 22, "color": _COLORS["broken"]},
                    hovertext=f"margin {a.margin}",
                )
        figure.add_vline(x=0, line_width=1)
        figure.update_layout(
            title=self.decision().splitlines()[0][:110],
            xaxis_title="difference in % of the controls' mean",
            yaxis={"autorange": "reversed"},
            showlegend=False,
            template="plotly_white",
            height=170 + 90 * len(self.answers),
        )
        return figure
