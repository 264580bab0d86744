"""What sending by a rule is worth, on people whose outcomes had no part in the rule.

Doubly robust scores say for every person what each arm would have brought, without bias if the propensities or the
outcome model are right, so the mean score of the arms that a rule chooses is its value. The rule has to come from other
people (other folds): the scores that made an arm look best are too high where it was chosen for them, the winner's
curse.

Source: Dudik, Erhan, Langford and Li, Doubly robust policy evaluation and optimization (Statistical Science, 2014);
Athey and Wager, Policy learning with observational data (Econometrica, 2021).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from whybuy.causal.array_rows import require_lengths, vector
from whybuy.causal.clusters import Float64, Ints, clustered_ratio
from whybuy.causal.effects import Estimate
from whybuy.causal.grounds import MIN_EFFECTIVE_USERS
from whybuy.errors import ArraysError

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

NOBODY = "nobody treated"


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyValue:
    """The value of sending by a rule, per person.

    Attributes
    ----------
    value : mean outcome under the rule, less costs, with its 95% interval by user
    gains : by what is done instead ("nobody treated", "all: <arm>"), how much more the rule brings
    sent : (n_arms,) share of the people that the rule gives each arm
    arms : their names, the first one being nothing
    reasons : why there is no number, in words
    """

    value: Estimate
    gains: dict[str, Estimate]
    sent: tuple[float, ...]
    arms: tuple[str, ...]
    n_people: int
    n_users: int
    reasons: tuple[str, ...] = ()

    def to_frame(self) -> pd.DataFrame:
        """Return one row for the value, then one per gain, numbers only."""
        rows = {"value": self.value, **{f"gain over {name}": gain for name, gain in self.gains.items()}}
        names = ("estimate", "std_error", "ci_low", "ci_high", "p_value")
        return pd.DataFrame([{"quantity": q, **{n: getattr(e, n) for n in names}} for q, e in rows.items()])

    def summary(self) -> str:
        """Return the value and the gains with their intervals, in words."""
        if self.value.estimate is None:
            return f"Cannot tell. {' '.join(self.reasons)}"
        given = ", ".join(f"{100 * s:.1f}% {arm}" for arm, s in zip(self.arms, self.sent, strict=True))
        lines = [f"The rule gives {given}. It brings {_words(self.value)} per person, costs taken off."]
        lines += [f"Against {name}: {_words(gain)}." for name, gain in self.gains.items()]
        lines.append(f"{self.n_people:,} people, {self.n_users:,} users; true if the rule was learned on others.")
        return "\n".join(lines)

    def plot(self) -> "Figure":
        """Return a Plotly figure: the gain over each alternative with its 95% interval."""
        import plotly.graph_objects as go

        told = [(name, e) for name, e in self.gains.items() if e.estimate is not None]
        bars = {"array": [(e.ci_high or 0) - (e.estimate or 0) for _, e in told]}
        figure = go.Figure(
            go.Scatter(x=[e.estimate for _, e in told], y=[n for n, _ in told], error_x=bars, mode="markers")
        )
        figure.add_vline(x=0, line_width=1)
        figure.update_yaxes(autorange="reversed")
        figure.update_layout(title="What the rule brings more", xaxis_title="per person", template="plotly_white")
        return figure


def policy_value(
    scores: npt.ArrayLike,
    arm: npt.ArrayLike,
    *,
    cost: npt.ArrayLike | None = None,
    users: npt.ArrayLike | None = None,
    arms: Sequence[str] | None = None,
) -> PolicyValue:
    """Return what giving people these arms is worth, and how much more than treating nobody, or everybody.

    Parameters
    ----------
    scores : (n, n_arms) doubly robust scores of the outcome under each arm, the first one being nothing, cross-fitted
    arm : (n,) the arm that the rule gives, from 0; learned without the outcomes of these people
    cost : (n_arms,) of giving an arm, in units of the outcome; none where None
    users : (n,) whom errors are by; every row where None
    arms : (n_arms,) names

    Raises
    ------
    ArraysError
        Scores that are no numbers, arms that do not exist, arrays of unequal length.
    """
    S, names = checked_scores(scores, cost, arms)
    chosen = _arms_of(arm, S.shape[1])
    require_lengths({"scores": len(S), "arm": len(chosen)})
    user = clusters_of(users, len(S))
    return value_of_arms(S, chosen, user, names)


def value_of_arms(S: Float64, chosen: Ints, user: Ints, names: tuple[str, ...]) -> PolicyValue:
    """Return the value of checked arrays; ``S`` (n, n_arms) has costs taken off, ``user`` is numbered from 0."""
    earned = S[np.arange(len(S)), chosen]
    against = {NOBODY: S[:, 0], **{f"all: {name}": S[:, k] for k, name in enumerate(names) if k}}
    n_users = int(user.max()) + 1
    rows = {"value": earned, **{name: earned - other for name, other in against.items()}}
    reasons = [
        f"{n_users} users; {MIN_EFFECTIVE_USERS:.0f} are needed for an interval."
        for _ in range(n_users < MIN_EFFECTIVE_USERS)
    ]
    told = {name: _mean(name, values, user, tell=not reasons) for name, values in rows.items()}
    return PolicyValue(
        value=told.pop("value"),
        gains=told,
        sent=tuple((np.bincount(chosen, minlength=S.shape[1]) / len(S)).tolist()),
        arms=names,
        n_people=len(S),
        n_users=n_users,
        reasons=tuple(reasons),
    )


def checked_scores(
    scores: npt.ArrayLike, cost: npt.ArrayLike | None, arms: Sequence[str] | None
) -> tuple[Float64, tuple[str, ...]]:
    """Return (n, n_arms) scores less (n_arms,) costs, and the arms' names.

    Raises
    ------
    ArraysError
        Scores that are no numbers or of fewer than two arms; costs that are negative, or not one per arm.
    """
    S = np.asarray(scores, float)
    if S.ndim != 2 or S.shape[1] < 2 or len(S) == 0:
        raise ArraysError.of(
            found=f"scores has the shape {S.shape}",
            needed="people, and at least two arms, the first being nothing: (n, n_arms)",
            do="Put the scores of sending nothing in column 0",
        )
    if not np.isfinite(S).all():
        raise ArraysError.of(
            found="NaN or infinite scores", needed="finite numbers", do="Leave out people whose propensity is 0 or 1"
        )
    costs = np.zeros(S.shape[1]) if cost is None else vector(cost, "cost")
    names = tuple(arms) if arms is not None else ("nothing", *(f"offer {k}" for k in range(1, S.shape[1])))
    if not len(costs) == len(names) == S.shape[1] or (costs < 0).any():
        raise ArraysError.of(
            found=f"{len(costs)} costs (the least is {costs.min():g}) and {len(names)} names of {S.shape[1]} arms",
            needed="one per arm, no cost below 0",
            do="Give sending nothing the cost 0",
        )
    return S - costs, names


def clusters_of(users: npt.ArrayLike | None, n: int) -> Ints:
    """Return (n,) the users, numbered from 0; every row where None."""
    if users is None:
        return np.arange(n)
    given = pd.Series(np.asarray(users).ravel())
    require_lengths({"scores": n, "users": len(given)})
    if given.isna().any():
        raise ArraysError.of(found="Rows without a user", needed="one in every row", do="Leave users away")
    return np.asarray(pd.factorize(given, sort=True)[0], np.int64)


def _arms_of(arm: npt.ArrayLike, n_arms: int) -> Ints:
    given = vector(arm, "arm")
    if ((given < 0) | (given >= n_arms) | (given != np.floor(given))).any():
        raise ArraysError.of(
            found=f"arms from {given.min():g} to {given.max():g}",
            needed=f"whole numbers from 0 to {n_arms - 1}, one per column of scores",
            do="Number the arms, 0 being nothing",
        )
    return given.astype(np.int64)


def _mean(name: str, values: Float64, user: Ints, *, tell: bool) -> Estimate:
    if not tell:
        return Estimate(estimand=name)
    found = clustered_ratio(values, 1.0, user)
    if found.std_error == 0:  # the rule is the alternative itself
        return Estimate(estimand=name, estimate=found.value, std_error=0.0, ci_low=found.value, ci_high=found.value)
    return Estimate.of(name, found.value, found.std_error)


def _words(e: Estimate) -> str:
    return f"{e.estimate:+.4g} [{e.ci_low:+.4g}, {e.ci_high:+.4g}]"
