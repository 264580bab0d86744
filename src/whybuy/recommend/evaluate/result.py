"""Values of policies on one log, their paired differences, and the winner where there is one."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from whybuy.recommend.evaluate.grounds import Overlap
from whybuy.recommend.evaluate.intervals import Interval

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

AS_LOGGED = "as logged"


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyValue:
    """What a policy would have earned.

    Attributes
    ----------
    value : mean reward per item shown or per slate, with its 95% interval by user; None where it cannot be told
    overlap : how much of the log speaks of the policy
    reasons : why there is no number, in words
    """

    policy: str
    value: Interval | None
    overlap: Overlap
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyDifference:
    """What ``policy`` would have earned more than ``against``, on the same users, with its 95% interval."""

    policy: str
    against: str
    difference: Interval

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of 0."""
        return self.difference.low > 0 or self.difference.high < 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyComparison:
    """Several policies on one log.

    Attributes
    ----------
    values : the log's own policy first, then the others as they were given
    differences : of every two policies that have a number
    estimator : "snips" say; ``unit`` : "reward per item shown" or "reward per slate"
    assumption : what the numbers rest on
    undecided : why no winner is called whatever the intervals say; None where they may decide
    n_rows, n_users : of the log
    """

    values: tuple[PolicyValue, ...]
    differences: tuple[PolicyDifference, ...]
    estimator: str
    unit: str
    assumption: str
    n_rows: int
    n_users: int
    undecided: str | None = None

    def __getitem__(self, policy: str) -> PolicyValue:
        """Return the value of a policy; KeyError if it was not compared."""
        for found in self.values:
            if found.policy == policy:
                return found
        raise KeyError(policy)

    def difference(self, policy: str, against: str = AS_LOGGED) -> Interval | None:
        """Return what ``policy`` would have earned more than ``against``; None where either has no number."""
        for found in self.differences:
            if (found.policy, found.against) == (policy, against):
                return found.difference
            if (found.policy, found.against) == (against, policy):
                d = found.difference
                return Interval(estimate=-d.estimate, std_error=d.std_error, low=-d.high, high=-d.low)
        return None

    @property
    def winner(self) -> str | None:
        """The policy that earns more than each of the others, by intervals that exclude 0; None where there is none."""
        told = [found.policy for found in self.values if found.value is not None]
        if self.undecided is not None or len(told) < 2:
            return None
        for policy in told:
            margins = [self.difference(policy, other) for other in told if other != policy]
            if all(margin is not None and margin.low > 0 for margin in margins):
                return policy
        return None

    def to_frame(self) -> pd.DataFrame:
        """Return one row per policy, numbers only; ``more`` is the difference from the log's own policy."""
        return pd.DataFrame([self._row(found) for found in self.values])

    def _row(self, found: PolicyValue) -> dict[str, Any]:
        overlap, more = found.overlap, self.difference(found.policy)
        return {
            "policy": found.policy,
            **_columns("", found.value),
            **_columns("more_", more),
            "effective_users": overlap.effective_users,
            "rewarded_users": overlap.rewarded_users,
            "mean_weight": overlap.mean_weight,
            "largest_weight": overlap.largest_weight,
            "share_cut": overlap.share_cut,
            "weight_cut": overlap.weight_cut,
            "share_unlogged": overlap.share_unlogged,
        }

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {**asdict(self), "winner": self.winner}

    def summary(self) -> str:
        """Return the values, and who wins, in words."""
        head = f"{self.unit}, by {self.estimator} ({self.n_rows:,} rows of {self.n_users:,} users)"
        lines = [_line(found, self.difference(found.policy)) for found in self.values]
        return "\n".join([head, *lines, self.verdict(), self.assumption])

    def verdict(self) -> str:
        """Return who wins, or why nobody does, in words."""
        told = [found for found in self.values if found.value is not None]
        if len(told) < 2:
            return "No winner: fewer than two policies can be told."
        untold = [found.policy for found in self.values if found.value is None]
        rest = f" Nothing can be told of {', '.join(untold)}." if untold else ""
        if self.winner is not None:
            return f"{self.winner} earns more than each of the others that can be told.{rest}"
        if self.undecided is not None:
            return f"No winner is called. {self.undecided}{rest}"
        best = max(told, key=lambda found: found.value.estimate if found.value else 0.0).policy
        margins = {found.policy: self.difference(best, found.policy) for found in told if found.policy != best}
        rivals = [policy for policy, margin in margins.items() if margin is None or margin.low <= 0]
        return f"No winner: {best} has the highest value, and {', '.join(rivals)} may be as good.{rest}"

    def plot(self, *, per: float = 1.0) -> "Figure":
        """Return a Plotly figure: the value of every policy that has one, with its interval, for ``per`` rounds."""
        import plotly.graph_objects as go

        told = [(found.policy, found.value) for found in self.values if found.value is not None]
        figure = go.Figure(
            go.Scatter(
                x=[per * value.estimate for _, value in told],
                y=[policy for policy, _ in told],
                error_x={
                    "array": [per * (value.high - value.estimate) for _, value in told],
                    "arrayminus": [per * (value.estimate - value.low) for _, value in told],
                },
                mode="markers",
            )
        )
        figure.update_yaxes(autorange="reversed")
        figure.update_layout(
            title=f"Value of policies, by {self.estimator}", xaxis_title=self.unit, template="plotly_white"
        )
        return figure


def _columns(prefix: str, interval: Interval | None) -> dict[str, float | None]:
    names = {"estimate": "value", "std_error": "std_error", "low": "ci_low", "high": "ci_high"}
    return {f"{prefix}{name}": getattr(interval, field, None) for field, name in names.items()}


def _line(found: PolicyValue, more: Interval | None) -> str:
    if found.value is None:
        return f"{found.policy}: cannot tell. {' '.join(found.reasons)}"
    v, o = found.value, found.overlap
    against = f", {more.estimate:+.4g} [{more.low:+.4g}, {more.high:+.4g}] on {AS_LOGGED}" if more else ""
    cut = f", {100 * o.share_cut:.1f}% of weights cut" if o.share_cut else ""
    return (
        f"{found.policy}: {v.estimate:.4g} [{v.low:.4g}, {v.high:.4g}]{against}; {o.effective_users:,.0f} users' "
        f"worth, largest weight {o.largest_weight:.3g}{cut}."
    )
