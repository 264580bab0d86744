"""The answer about one campaign, with everything needed to judge it; its JSON is the contract's."""

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pandas as pd

from whybuy.campaign.assignments import Kind
from whybuy.campaign.by_person import NOT_ASKED, ByPerson
from whybuy.campaign.further import Further
from whybuy.campaign.policy import NO_POLICY, Policy
from whybuy.causal.effects import Effect, Estimate, Naive, Verdict

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_KINDS = {
    "randomized": "assigned at random",
    "targeted": "targeted, so adjusted for what people did before",
    "unknown": "with arms, but no ground to call them random, so adjusted for what people did before",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentEffect:
    """The effect on the people with one value of a user attribute.

    Attributes
    ----------
    n, n_treated : people with the value, and those of them who were sent the campaign
    effect : same estimand as the campaign's; not computed where the segment is too thin
    p_holm : p-value adjusted for all segments of the campaign
    """

    attribute: str
    value: str
    n: int
    n_treated: int
    effect: Estimate
    p_holm: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return one flat object of numbers."""
        e = self.effect
        return {
            "attribute": self.attribute,
            "value": self.value,
            "n": self.n,
            "n_treated": self.n_treated,
            "estimand": e.estimand,
            "estimate": e.estimate,
            "std_error": e.std_error,
            "ci_low": e.ci_low,
            "ci_high": e.ci_high,
            "p_value": e.p_value,
            "p_holm": self.p_holm,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignResult:
    """What a campaign did to an outcome within a horizon after being assigned.

    Attributes
    ----------
    kind : "randomized", "targeted" (only the sent are logged) or "unknown" (arms without a ground for randomness)
    effect : change in the share of people with the outcome
    also : other estimands of the same question
    naive : what comparing the sent with the others as they are would say
    checks : numbers of every check, each with ``passed`` where it can fail
    segments : the effect by user attribute
    n_treated, n_control : people who are compared
    outcome, horizon : what is counted, for example "purchase:*" within "7d"
    by_person : whom it moves; policy : whom to send it to
    further : arms, time, other campaigns, redeeming, and what it takes from elsewhere
    """

    campaign: str
    kind: Kind
    effect: Estimate
    naive: Naive
    outcome: str
    horizon: str
    n_treated: int = 0
    n_control: int = 0
    also: tuple[Estimate, ...] = ()
    verdict: Verdict = "cannot_tell"
    reasons: tuple[str, ...] = ()
    checks: dict[str, dict[str, Any]] = field(default_factory=dict)
    segments: tuple[SegmentEffect, ...] = ()
    by_person: ByPerson = NOT_ASKED
    policy: Policy = NO_POLICY
    further: Further = field(default_factory=Further)

    def to_json(self) -> dict[str, Any]:
        """Return the contract's JSON object; ``uplift`` and ``policy`` say why they are empty where they are."""
        return {
            "campaign": self.campaign,
            "kind": self.kind,
            "effect": self.effect.to_json(),
            "also": [estimate.to_json() for estimate in self.also],
            "naive": asdict(self.naive),
            "verdict": self.verdict,
            "reasons": [*self.reasons, *self.by_person.reasons],
            "checks": self.checks,
            "segments": [segment.to_json() for segment in self.segments],
            "uplift": self.by_person.to_json(),
            "policy": self.policy.to_json(),
            "n_treated": self.n_treated,
            "n_control": self.n_control,
            "outcome": self.outcome,
            "horizon": self.horizon,
            **self.further.to_json(),
        }

    def to_effect(self) -> Effect:
        """Return the answer in the form of every other effect: a trial is a person at the time of the assignment.

        Assigned at random, everybody has the same chance of being sent it, so that the overlap-weighted effect is the
        average one.
        """
        return Effect(
            treatment=f"campaign:{quote(self.campaign, safe='')}",
            outcome=self.outcome,
            horizon=self.horizon,
            design="assignment",
            n_trials=self.n_treated + self.n_control,
            n_treated=self.n_treated,
            n_users=self.n_treated + self.n_control,
            method="confirmed",
            naive=self.naive,
            effect=replace(self.effect, estimand="ato"),
            also=tuple(e for e in (self.effect, *self.also) if e.estimand != "ato"),
            verdict=self.verdict,
            reasons=(f"The campaign was {_KINDS[self.kind]}.", *self.reasons),
            checks=self.checks,
            meaning=f"{self.campaign} sent instead of not, to those who could have been sent it: change in the share "
            f"of people with {self.outcome} within {self.horizon}",
        )

    def to_frame(self) -> pd.DataFrame:
        """Return numbers only: one row for everybody, then one per segment."""
        whole = {"attribute": None, "value": None, "n": self.n_treated + self.n_control, "n_treated": self.n_treated}
        rows = [{**whole, **_numbers(self.effect), "p_holm": None, "naive": self.naive.difference}]
        rows += [{**s.to_json(), "naive": None} for s in self.segments]
        frame = pd.DataFrame(rows)
        frame.insert(0, "campaign", self.campaign)
        return frame

    def summary(self) -> str:
        """Return one sentence a marketer can repeat."""
        e, who = self.effect, f"Campaign {self.campaign} ({_KINDS[self.kind]})"
        if e.estimate is None or e.ci_low is None or e.ci_high is None:
            return f"{who}: cannot tell. {' '.join(self.reasons)}".rstrip()
        naive = (
            "" if self.naive.difference is None else f"; the plain comparison says {_per_100(self.naive.difference)}"
        )
        return (
            f"{who}: being sent it changes {self.outcome} within {self.horizon} by {_per_100(e.estimate)} "
            f"in 100 people [{_per_100(e.ci_low)}, {_per_100(e.ci_high)}], judged on {self.n_treated:,} sent and "
            f"{self.n_control:,} others{naive}. Verdict: {self.verdict.replace('_', ' ')}."
        )

    def plot(self) -> "Figure":
        """Return a Plotly figure: naive beside adjusted with their intervals, segments below."""
        import plotly.graph_objects as go

        figure = go.Figure()
        if self.naive.difference is not None:
            figure.add_scatter(x=[self.naive.difference], y=["naive"], mode="markers", name="naive")
        label = "difference" if self.kind == "randomized" else "adjusted"
        intervals = [(label, self.effect), *((f"{s.attribute} = {s.value}", s.effect) for s in self.segments)]
        for name, e in intervals:
            if e.estimate is not None and e.ci_low is not None and e.ci_high is not None:
                bars = {"array": [e.ci_high - e.estimate], "arrayminus": [e.estimate - e.ci_low]}
                figure.add_scatter(x=[e.estimate], y=[name], error_x=bars, mode="markers", name=name)
        figure.add_vline(x=0, line_width=1)
        figure.update_layout(
            title=f"{self.campaign} ({self.verdict.replace('_', ' ')})",
            xaxis_title=f"difference in P({self.outcome} within {self.horizon})",
            yaxis={"autorange": "reversed"},
            showlegend=False,
        )
        return figure


def nothing_known() -> Naive:
    """Return the naive evidence where there is nobody to compare."""
    return Naive.of_counts(n=0, treated=0, outcome=0, joint=0)


def campaigns_frame(results: list[CampaignResult]) -> pd.DataFrame:
    """Return one row of numbers per campaign."""
    rows = [
        {
            "campaign": r.campaign,
            "kind": r.kind,
            "outcome": r.outcome,
            "horizon": r.horizon,
            "n_treated": r.n_treated,
            "n_control": r.n_control,
            "naive": r.naive.difference,
            **_numbers(r.effect),
            "q_value": r.effect.q_value,
            "verdict": r.verdict,
        }
        for r in results
    ]
    return pd.DataFrame(rows)


def campaigns_summary(results: list[CampaignResult]) -> str:
    """Return the campaigns in words, one sentence each."""
    if not results:
        return "The log has no campaign: no event with the action campaign names a campaign_id."
    return "\n".join(result.summary() for result in results)


def _numbers(e: Estimate) -> dict[str, Any]:
    names = ("estimand", "estimate", "std_error", "ci_low", "ci_high", "p_value")
    return {name: getattr(e, name) for name in names}


def _per_100(share: float) -> str:
    return f"{100 * share:+.2f}"
