"""The answer to one question, with everything needed to judge it; its JSON is the contract's."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

import pandas as pd

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

Verdict = Literal["strong", "suggestive", "none", "cannot_tell"]
Method = Literal["scan", "confirmed"]
Z95 = 1.959963984540054
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
"""The strongest first."""
_MAX_DRAWN = 20
_UNITS = {"session": "sessions", "calendar": "landmarks", "assignment": "people"}
_WHEN = {
    "session": "at the beginning of a session instead of",
    "calendar": "in a period instead of",
    "assignment": "instead of",
}
_INSTEAD = {"session": "a session that begins without it", "calendar": "none", "assignment": "nothing"}


def two_sided(estimate: float, std_error: float) -> float:
    """Return the normal p-value of no effect."""
    return math.erfc(abs(estimate) / std_error / math.sqrt(2))


@dataclass(frozen=True, slots=True, kw_only=True)
class Naive:
    """What co-occurrence says, per decision: probabilities, Bayes' reversal, lift and difference; None if undefined."""

    p_outcome: float | None
    p_treatment: float | None
    p_joint: float | None
    p_outcome_given_treatment: float | None
    p_treatment_given_outcome: float | None
    lift: float | None
    difference: float | None

    @classmethod
    def of_counts(cls, *, n: int, treated: int, outcome: int, joint: int) -> "Naive":
        """Return the naive evidence of a two by two table of decisions.

        P(B|A) is Bayes' P(A|B) P(B) / P(A); the difference is P(A|B) - P(A|not B).
        """

        def ratio(top: float, bottom: float) -> float | None:
            return top / bottom if bottom > 0 else None

        p_a, p_b, p_ab = ratio(outcome, n), ratio(treated, n), ratio(joint, n)
        given = ratio(joint, treated)
        control = ratio(outcome - joint, n - treated)
        reverse = given * p_b / p_a if given is not None and p_a and p_b is not None else None
        return cls(
            p_outcome=p_a,
            p_treatment=p_b,
            p_joint=p_ab,
            p_outcome_given_treatment=given,
            p_treatment_given_outcome=reverse,
            lift=given / p_a if given is not None and p_a else None,
            difference=given - control if given is not None and control is not None else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """One number with its 95% interval: outcomes per decision over the horizon; None where it cannot be computed.

    ``selected_low`` and ``selected_high`` hold the interval adjusted for having been picked among many (FCR).
    """

    estimand: str
    estimate: float | None = None
    std_error: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    selected_low: float | None = None
    selected_high: float | None = None
    p_value: float | None = None
    q_value: float | None = None
    q_value_by: float | None = None

    @classmethod
    def of(cls, estimand: str, estimate: float, std_error: float) -> "Estimate":
        """Return the normal-theory estimate; not computed where either number is not finite."""
        if not (math.isfinite(estimate) and math.isfinite(std_error) and std_error > 0):
            return cls(estimand=estimand)
        return cls(
            estimand=estimand,
            estimate=estimate,
            std_error=std_error,
            ci_low=estimate - Z95 * std_error,
            ci_high=estimate + Z95 * std_error,
            p_value=two_sided(estimate, std_error),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the contract's fields; ``q_value_by`` (Benjamini-Yekutieli) stands beside ``q_value``."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """The effect of one behavior on one outcome.

    Attributes
    ----------
    treatment, outcome : behaviors in canonical form
    horizon : how long after the decision the outcome counts, for example "7d"
    n_trials, n_treated, n_users : decisions (sessions, landmarks or people in their designs), treated ones, users with
        any
    method : "scan" (linear nuisance) or "confirmed" (flexible nuisance)
    also : other estimands of the same question
    reasons : plain words
    reference : the behavior that it is compared with alone, None for the usual alternatives
    """

    treatment: str
    outcome: str
    horizon: str
    design: str
    n_trials: int
    n_treated: int
    n_users: int
    method: Method
    naive: Naive
    effect: Estimate
    also: tuple[Estimate, ...] = ()
    verdict: Verdict = "cannot_tell"
    reasons: tuple[str, ...] = ()
    checks: dict[str, dict[str, Any]] = field(default_factory=dict)
    funnel: bool = False
    meaning: str = ""
    reference: str | None = None

    @property
    def unit(self) -> str:
        """What a trial is, in the plural."""
        return _UNITS.get(self.design, "decisions")

    def to_json(self) -> dict[str, Any]:
        """Return the contract's JSON object."""
        out = asdict(self)
        out["also"] = [e.to_json() for e in self.also]
        out["reasons"] = list(self.reasons)
        return out

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> "Effect":
        """Read what :meth:`to_json` wrote."""
        return cls(
            **{
                **raw,
                "naive": Naive(**raw["naive"]),
                "effect": Estimate(**raw["effect"]),
                "also": tuple(Estimate(**e) for e in raw["also"]),
                "reasons": tuple(raw["reasons"]),
            }
        )

    def to_frame(self) -> pd.DataFrame:
        """Return one row of numbers."""
        return effects_frame([self])

    def summary(self) -> str:
        """Return one sentence a marketer can repeat."""
        e = self.effect
        if e.estimate is None:
            return f"{self.treatment} -> {self.outcome}: cannot tell. {' '.join(self.reasons)}"
        naive = "" if self.naive.difference is None else f" (co-occurrence says {100 * self.naive.difference:+.1f})"
        # An @ is the time of a composite: in a behavior's own name it is percent-encoded.
        now = "completed now instead of" if "@" in self.treatment else "now instead of"
        when = _WHEN.get(self.design, now)
        instead = self.reference or _INSTEAD.get(self.design, "the usual alternatives")
        return (
            f"{self.treatment} {when} {instead} changes {self.outcome} within {self.horizon} by "
            f"{100 * e.estimate:+.1f} in 100 {self.unit} [{100 * (e.ci_low or 0):+.1f}, {100 * (e.ci_high or 0):+.1f}]"
            f"{naive}: {self.verdict.replace('_', ' ')}."
        )

    def plot(self) -> "Figure":
        """Return a Plotly figure: the naive difference beside the adjusted estimate with its interval."""
        import plotly.graph_objects as go

        e = self.effect
        figure = go.Figure()
        if self.naive.difference is not None:
            figure.add_scatter(x=[self.naive.difference], y=["naive"], mode="markers", name="naive")
        if e.estimate is not None and e.ci_low is not None and e.ci_high is not None:
            bars = {"array": [e.ci_high - e.estimate], "arrayminus": [e.estimate - e.ci_low]}
            figure.add_scatter(x=[e.estimate], y=["adjusted"], error_x=bars, mode="markers", name="adjusted")
        figure.add_vline(x=0, line_width=1)
        figure.update_layout(
            title=f"{self.treatment} → {self.outcome} ({self.verdict})",
            xaxis_title=f"difference in P({self.outcome} within {self.horizon})",
        )
        return figure


@dataclass(frozen=True, slots=True)
class Effects:
    """The effects of a whole family of questions, strongest first.

    Attributes
    ----------
    effects : every asked pair, funnel pairs and those without an answer too
    """

    effects: tuple[Effect, ...]

    @classmethod
    def of(cls, effects: Iterable[Effect]) -> "Effects":
        """Put effects in order: by verdict, then by the size of the estimate, then by name."""
        return cls(tuple(by_strength(effects)))

    def __len__(self) -> int:
        """Return the number of asked pairs."""
        return len(self.effects)

    def __iter__(self) -> Iterator[Effect]:
        """Yield the effects, strongest first."""
        return iter(self.effects)

    def __getitem__(self, pair: tuple[str, str]) -> Effect:
        """Return the effect of (treatment, outcome), at the horizon where it is clearest; KeyError if not asked."""
        for effect in self.effects:
            if (effect.treatment, effect.outcome) == pair:
                return effect
        raise KeyError(pair)

    @property
    def headlines(self) -> "Effects":
        """The effects whose treatment is no mere stage on the way to the outcome."""
        return Effects(tuple(e for e in self.effects if not e.funnel))

    def to_frame(self) -> pd.DataFrame:
        """Return one row of numbers per effect."""
        return effects_frame(list(self.effects))

    def summary(self) -> str:
        """Return how many verdicts of each kind there are, and the headlines that say something, one a line."""
        told = [e for e in self.headlines if e.verdict in ("strong", "suggestive")]
        counts = {v: sum(e.verdict == v for e in self.effects) for v in VERDICTS}
        head = ", ".join(f"{n} {verdict.replace('_', ' ')}" for verdict, n in counts.items())
        return "\n".join([f"{len(self)} pairs: {head}.", *(e.summary() for e in told[:_MAX_DRAWN])])

    def plot(self) -> "Figure":
        """Return a Plotly figure: of the strongest headlines, the naive difference beside the adjusted interval."""
        import plotly.graph_objects as go

        drawn = [e for e in self.headlines if e.effect.estimate is not None][:_MAX_DRAWN][::-1]
        names = [f"{e.treatment} → {e.outcome} ({e.horizon})" for e in drawn]
        estimates = [e.effect.estimate for e in drawn]
        half = [Z95 * (e.effect.std_error or 0) for e in drawn]
        figure = go.Figure()
        figure.add_scatter(
            x=[e.naive.difference for e in drawn],
            y=names,
            mode="markers",
            name="naive",
            marker={"symbol": "circle-open", "size": 9, "color": "#8a8f98"},
        )
        figure.add_scatter(
            x=estimates,
            y=names,
            error_x={"array": half},
            mode="markers",
            name="adjusted, 95%",
            marker={"size": 9, "color": "#1f6feb"},
        )
        figure.add_vline(x=0, line_width=1)
        figure.update_layout(
            title="What co-occurrence says and what is left of it",
            xaxis_title="difference in the chance of the outcome",
            height=160 + 26 * len(drawn),
            template="plotly_white",
        )
        return figure


def by_strength(effects: Iterable[Effect]) -> list[Effect]:
    """Return the effects, strongest verdict first, then the largest estimate, then by name."""
    return sorted(
        effects,
        key=lambda e: (VERDICTS.index(e.verdict), -abs(e.effect.estimate or 0.0), e.treatment, e.outcome, e.horizon),
    )


def effects_frame(effects: list[Effect]) -> pd.DataFrame:
    """Return one row per effect: names and numbers, nothing worded."""
    rows = [
        {
            "treatment": e.treatment,
            "outcome": e.outcome,
            "horizon": e.horizon,
            "method": e.method,
            "n_trials": e.n_trials,
            "n_treated": e.n_treated,
            "n_users": e.n_users,
            "naive": e.naive.difference,
            "estimate": e.effect.estimate,
            "std_error": e.effect.std_error,
            "ci_low": e.effect.ci_low,
            "ci_high": e.effect.ci_high,
            "selected_low": e.effect.selected_low,
            "selected_high": e.effect.selected_high,
            "q_value": e.effect.q_value,
            "verdict": e.verdict,
            "funnel": e.funnel,
        }
        for e in effects
    ]
    return pd.DataFrame(rows)


def with_reasons(effect: Effect, verdict: Verdict, reasons: list[str]) -> Effect:
    """Return the effect with its verdict and reasons."""
    return replace(effect, verdict=verdict, reasons=tuple(reasons))
