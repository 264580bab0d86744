"""What policies would have earned on a log, and all that has to be said beside it."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pandas as pd

from whybuy.recommend.evaluate import PolicyComparison, PolicyValue
from whybuy.recommend.evaluate.intervals import Interval
from whybuy.recommend.evaluate.result import AS_LOGGED

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

PER = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A part of the log: its first and last slate that can be judged, and how many there are."""

    first_ms: int
    last_ms: int
    n_slates: int

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON, times as text."""
        return {"first": time_text(self.first_ms), "last": time_text(self.last_ms), "n_slates": self.n_slates}


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Policies on one log, learned on its earlier part, judged on the later one.

    Attributes
    ----------
    comparison : values and differences, in rewards per item shown
    refused : policy -> why there is no such policy on this log
    reward, horizon : the action that counts, and within how long after showing
    temperature : of the exploration that every policy but the logging one is judged with
    taught, judged : the parts of the log
    left_out : why impressions were left out, in words -> how many
    notes : what else has to be known, in words
    """

    comparison: PolicyComparison
    refused: dict[str, str]
    reward: str
    horizon: str
    temperature: float
    taught: Span
    judged: Span
    left_out: dict[str, int]
    notes: tuple[str, ...]

    @property
    def unit(self) -> str:
        """What a value is in."""
        return f"{self.reward}s of the item within {self.horizon}, per {PER:,} shown"

    def verdict(self) -> str:
        """Return who wins, or why nobody does, in words."""
        return " ".join([self.comparison.verdict(), *(f"No {name}: {why}." for name, why in self.refused.items())])

    def to_frame(self) -> pd.DataFrame:
        """Return one row per policy, numbers only, in :attr:`unit`; ``more`` is the difference from the logging one."""
        frame = self.comparison.to_frame()
        scaled = [f"{more}{name}" for more in ("", "more_") for name in ("value", "std_error", "ci_low", "ci_high")]
        return frame.assign(**{name: frame[name].astype(float) * PER for name in scaled})

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON, in :attr:`unit`."""
        told = [self._policy(found) for found in self.comparison.values]
        return {
            "kind": "policies",
            "unit": self.unit,
            "reward": self.reward,
            "horizon": self.horizon,
            "temperature": self.temperature,
            "taught": self.taught.to_json(),
            "judged": {
                **self.judged.to_json(),
                "n_shown": self.comparison.n_rows,
                "n_users": self.comparison.n_users,
            },
            "policies": [*told, *(_refused(name, why) for name, why in self.refused.items())],
            "winner": self.comparison.winner,
            "verdict": self.verdict(),
            "assumption": self.comparison.assumption,
            "left_out": [{"impressions": n, "reason": why} for why, n in self.left_out.items()],
            "notes": list(self.notes),
        }

    def _policy(self, found: PolicyValue) -> dict[str, Any]:
        overlap = found.overlap
        return {
            "policy": found.policy,
            "value": _interval(found.value),
            "difference": _interval(self.comparison.difference(found.policy)),
            "effective_users": overlap.effective_users,
            "mean_weight": overlap.mean_weight,
            "largest_weight": overlap.largest_weight,
            "reasons": list(found.reasons),
        }

    def summary(self) -> str:
        """Return the values, who wins, and what has to be known, in words."""
        lines = [_line(found, self.comparison.difference(found.policy)) for found in self.comparison.values]
        left_out = [f"Left out: {n:,} impressions {why}." for why, n in self.left_out.items()]
        return "\n".join([self.unit, *lines, self.verdict(), *self.notes, *left_out])

    def plot(self) -> "Figure":
        """Return a Plotly figure: the value of every policy that has one, with its interval."""
        figure = self.comparison.plot(per=PER)
        logged = self.comparison[AS_LOGGED].value
        if logged is not None:
            figure.add_vline(x=PER * logged.estimate, line_dash="dot")
        figure.update_layout(title="What policies would have earned, with 95% intervals by user", xaxis_title=self.unit)
        return figure


def _interval(found: Interval | None) -> dict[str, float] | None:
    if found is None:
        return None
    numbers = {
        "estimate": found.estimate,
        "std_error": found.std_error,
        "ci_low": found.low,
        "ci_high": found.high,
    }
    return {name: PER * number for name, number in numbers.items()}


def _refused(name: str, why: str) -> dict[str, Any]:
    nothing = dict.fromkeys(("value", "difference", "effective_users", "mean_weight", "largest_weight"))
    return {"policy": name, **nothing, "reasons": [f"{why[0].upper()}{why[1:]}."]}


def _line(found: PolicyValue, more: Interval | None) -> str:
    if found.value is None:
        return f"{found.policy}: cannot tell. {' '.join(found.reasons)}"
    against = f", {_numbers(more, '+')} on {AS_LOGGED}" if more else ""
    return f"{found.policy}: {_numbers(found.value)}{against}; {found.overlap.effective_users:,.0f} users' worth."


def _numbers(found: Interval, sign: str = "") -> str:
    estimate, low, high = (f"{PER * number:{sign}.2f}" for number in (found.estimate, found.low, found.high))
    return f"{estimate} [{low}, {high}]"


def time_text(ms: int) -> str:
    """Return a time as text."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="seconds")
