"""A rule that people can read: the best tree of two questions that ends in an arm, from doubly robust scores.

The search is exact over the cuts that are offered (quantiles of every covariate): for each pair of covariates the sums
of scores by their bins, cumulated, hold the value of every first question with every second one, so one histogram of
the people per pair and arm is all that is counted. Greedy trees (scikit-learn's on the larger of two arms, weighted by
the difference of scores, and EconML's) take as many lines around them and miss what only two questions together show;
the former knows two arms only.

Source: Athey and Wager, Policy learning with observational data (Econometrica, 2021); Zhou, Athey and Wager, Offline
multi-action policy learning (Operations Research, 2023), for the exact search.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from whybuy.campaign.budget.value import PolicyValue, checked_scores, clusters_of, value_of_arms
from whybuy.causal.array_rows import matrix, require_lengths
from whybuy.causal.clusters import Float64, Ints
from whybuy.errors import ArraysError

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_N_CUTS = 31
_ROUNDING = 1e-9
"""Of a sum of scores: a further question has to gain more."""
_MIN_SHARE = 0.01
"""Of the people: a leaf with fewer is no rule but an exception."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Whether covariate ``column`` is at most ``cut``."""

    column: int
    cut: float

    def holds(self, X: Float64) -> npt.NDArray[np.bool_]:
        """Return (n,) the answers."""
        return X[:, self.column] <= self.cut


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Two questions, one after the other, and the arm of each pair of answers.

    Attributes
    ----------
    first : the first question; ``second`` : the next one after yes, and after no; None where none is worth asking
    arm : (yes-yes, yes-no, no-yes, no-no)
    """

    first: Question | None
    second: tuple[Question | None, Question | None]
    arm: tuple[int, int, int, int]

    def leaf(self, X: Float64) -> Ints:
        """Return (n,) the pair of answers of every person, 0 to 3; a question that is not asked counts as yes."""
        no = ~_answers(self.first, X)
        then_no = ~np.where(no, _answers(self.second[1], X), _answers(self.second[0], X))
        return 2 * no.astype(np.int64) + then_no

    @property
    def paths(self) -> list[tuple[int, list[tuple[Question, bool]]]]:
        """The leaves that can be reached, each with its questions and their answers."""
        found = []
        for leaf in range(4):
            asked = [(self.first, leaf < 2), (self.second[leaf // 2], leaf % 2 == 0)]
            if all(question is not None or yes for question, yes in asked):
                found.append((leaf, [(question, yes) for question, yes in asked if question is not None]))
        return found

    def assign(self, X: Float64) -> Ints:
        """Return (n,) the arms."""
        return np.array(self.arm)[self.leaf(X)]


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyTree:
    """A rule of two questions, and what such rules are worth on people they were not learned on.

    Attributes
    ----------
    rule : learned on everybody
    value : of the rules that the other folds taught, each on the people of its own fold
    shares : (4,) of the people by leaf
    covariates, arms : names
    """

    rule: Rule
    value: PolicyValue
    shares: tuple[float, float, float, float]
    covariates: tuple[str, ...]
    arms: tuple[str, ...]

    def assign(self, X: npt.ArrayLike) -> Ints:
        """Return (n,) the arm of every person, from 0."""
        return self.rule.assign(_covariates(X)[0])

    def to_frame(self) -> pd.DataFrame:
        """Return one row per leaf: its conditions as numbers (NaN where not asked), the arm and the share of people."""
        rows = []
        for leaf, asked in self.rule.paths:
            row: dict[str, Any] = {}
            for place, (question, yes) in zip(("first", "second"), asked, strict=False):
                named = {"": self.covariates[question.column], "_cut": question.cut, "_at_most": yes}
                row |= {f"{place}{end}": value for end, value in named.items()}
            rows.append({**row, "arm": self.arms[self.rule.arm[leaf]], "share": self.shares[leaf]})
        return pd.DataFrame(rows)

    def words(self) -> str:
        """Return the rule, one line per leaf."""
        lines = []
        for leaf, asked in self.rule.paths:
            head = " and ".join(self._condition(*pair) for pair in asked)
            gives = f"{self.arms[self.rule.arm[leaf]]} ({100 * self.shares[leaf]:.0f}% of people)."
            lines.append(f"If {head}: {gives}" if asked else f"Everybody: {gives}")
        return "\n".join(lines)

    def _condition(self, question: Question, yes: bool) -> str:
        return f"{self.covariates[question.column]} is {'at most' if yes else 'above'} {question.cut:.6g}"

    def summary(self) -> str:
        """Return the rule, and the value of rules so learned on other people, in words."""
        return f"{self.words()}\nRules learned so on other folds, tried on the people of each:\n{self.value.summary()}"

    def plot(self) -> "Figure":
        """Return a Plotly figure: the share of people and the arm of every leaf."""
        import plotly.graph_objects as go

        paths = self.rule.paths
        figure = go.Figure()
        for arm in sorted({self.rule.arm[leaf] for leaf, _ in paths}):
            own = [(leaf, asked) for leaf, asked in paths if self.rule.arm[leaf] == arm]
            figure.add_bar(
                x=[self.shares[leaf] for leaf, _ in own],
                y=["<br>".join(self._condition(*pair) for pair in asked) or "everybody" for _, asked in own],
                orientation="h",
                name=self.arms[arm],
            )
        order = ["<br>".join(self._condition(*pair) for pair in asked) or "everybody" for _, asked in paths]
        figure.update_yaxes(categoryorder="array", categoryarray=order[::-1])
        figure.update_layout(
            title="Who gets what", xaxis={"title": "share of people", "tickformat": ".0%"}, template="plotly_white",
            showlegend=True,
        )  # fmt: skip
        return figure


def _answers(question: Question | None, X: Float64) -> npt.NDArray[np.bool_]:
    return np.ones(len(X), bool) if question is None else question.holds(X)


def policy_tree(
    X: npt.ArrayLike,
    scores: npt.ArrayLike,
    *,
    cost: npt.ArrayLike | None = None,
    users: npt.ArrayLike | None = None,
    arms: Sequence[str] | None = None,
    folds: int = 5,
) -> PolicyTree:
    """Return the best rule of two questions, and what such rules are worth on people they were not learned on.

    Parameters
    ----------
    X : (n, d) numbers known before the decision; a frame's columns give names
    scores : (n, n_arms) doubly robust scores of the outcome under each arm, the first one being nothing, cross-fitted
    cost : (n_arms,) of giving an arm, in units of the outcome; none where None
    users : (n,) whom folds and errors are by; every row where None
    arms : (n_arms,) names
    folds : of users, in which rules that the others taught are tried

    Raises
    ------
    ArraysError
        As :func:`policy_value`; covariates that are no numbers; fewer users than folds.
    """
    S, names = checked_scores(scores, cost, arms)
    covariates, labels = _covariates(X)
    require_lengths({"X": len(covariates), "scores": len(S)})
    user = clusters_of(users, len(S))
    if user.max() + 1 < folds or folds < 2:
        raise ArraysError.of(
            found=f"{user.max() + 1} users and {folds} folds", needed="at least two folds, each with users", do="Pool"
        )
    fold = np.random.default_rng(0).permutation(int(user.max()) + 1)[user] % folds
    chosen = np.zeros(len(S), np.int64)
    for k in range(folds):
        others, own = fold != k, fold == k
        chosen[own] = best_rule(covariates[others], S[others]).assign(covariates[own])
    rule = best_rule(covariates, S)
    shares = np.bincount(rule.leaf(covariates), minlength=4) / len(S)
    return PolicyTree(
        rule=rule,
        value=value_of_arms(S, chosen, user, names),
        shares=tuple(shares.tolist()),
        covariates=labels,
        arms=names,
    )


def best_rule(X: Float64, S: Float64) -> Rule:
    """Return the rule with the largest sum of scores, of all whose cuts are quantiles and whose leaves are not tiny.

    Parameters
    ----------
    X : (n, d) covariates; ``S`` (n, n_arms) scores
    """
    cuts = [_cuts(column) for column in X.T]
    codes = [np.searchsorted(cut, column, side="left") for cut, column in zip(cuts, X.T, strict=True)]
    counted = np.column_stack([np.ones(len(S)), S])
    value, arm = float(S.sum(axis=0).max()), int(S.sum(axis=0).argmax())
    best = Rule(first=None, second=(None, None), arm=(arm, arm, arm, arm))
    for j in range(X.shape[1]):
        if len(cuts[j]) == 0:
            continue
        sums = [_sums_of(counted, codes[j], codes[k], (len(cuts[j]), len(cuts[k]))) for k in range(X.shape[1])]
        yes, no = _Side.of([s for s, _ in sums], len(S)), _Side.of([s for _, s in sums], len(S))
        total = yes.value + no.value
        a = int(total.argmax())
        if total[a] > value + _ROUNDING * abs(value):
            value = float(total[a])
            best = Rule(
                first=Question(column=j, cut=float(cuts[j][a])),
                second=(_second(yes, a, cuts), _second(no, a, cuts)),
                arm=(*yes.arms[a].tolist(), *no.arms[a].tolist()),
            )
    return best


@dataclass(frozen=True, eq=False)
class _Side:
    """The best second question among the people on one side of every cut of the first one.

    Attributes
    ----------
    value : (n_cuts,) sum of scores, -inf where the side is tiny
    column, cut : (n_cuts,) the covariate and the number of its cut, -1 where a second question gains nothing
    arms : (n_cuts, 2) for those at most at the cut, and above it
    """

    value: Float64
    column: Ints
    cut: Ints
    arms: Ints

    @classmethod
    def of(cls, sums: list[Float64], n: int) -> "_Side":
        """Return it from the sums per covariate: (n_cuts, n_bins, 1 + n_arms) counts and scores, cumulated by bin."""
        everybody = sums[0][:, -1]
        enough = _MIN_SHARE * n
        arm = everybody[:, 1:].argmax(axis=1)
        value = np.where(everybody[:, 0] >= enough, everybody[:, 1:].max(axis=1), -np.inf)
        side = cls(value, np.full(len(value), -1), np.full(len(value), -1), np.stack([arm, arm], axis=1))
        rows = np.arange(len(value))
        for k, cumulated in enumerate(sums):
            below = cumulated[:, :-1]
            if below.shape[1] == 0:
                continue
            above = cumulated[:, -1:] - below
            split = below[..., 1:].max(axis=2) + above[..., 1:].max(axis=2)
            split[(below[..., 0] < enough) | (above[..., 0] < enough)] = -np.inf
            b = split.argmax(axis=1)
            better = split[rows, b] > side.value + _ROUNDING * np.where(
                np.isfinite(side.value), np.abs(side.value), 0.0
            )
            at = rows[better], b[better]
            side.value[better], side.column[better], side.cut[better] = split[at], k, at[1]
            side.arms[better] = np.stack([below[at][:, 1:].argmax(axis=1), above[at][:, 1:].argmax(axis=1)], axis=1)
        return side


def _sums_of(counted: Float64, first: Ints, second: Ints, n_cuts: tuple[int, int]) -> tuple[Float64, Float64]:
    """Return (n_cuts, n_bins, 1 + n_arms) sums of those at most at the first covariate's cuts, and of those above.

    They are cumulated over the bins of the second covariate.
    """
    shape = (n_cuts[0] + 1, n_cuts[1] + 1)
    cell = first * shape[1] + second
    sums = np.stack([np.bincount(cell, column, minlength=shape[0] * shape[1]) for column in counted.T], axis=1)
    cumulated = sums.reshape(*shape, -1).cumsum(axis=1).cumsum(axis=0)
    return cumulated[:-1], cumulated[-1:] - cumulated[:-1]


def _second(side: _Side, a: int, cuts: list[Float64]) -> Question | None:
    column = int(side.column[a])
    return None if column < 0 else Question(column=column, cut=float(cuts[column][side.cut[a]]))


def _cuts(column: Float64) -> Float64:
    """Return ascending cuts, values that occur; those at most at the last one are not everybody."""
    found = np.unique(np.quantile(column, np.linspace(0, 1, _N_CUTS + 2)[1:-1], method="inverted_cdf"))
    return found[found < column.max()]


def _covariates(X: Any) -> tuple[Float64, tuple[str, ...]]:
    """Return (n, d) numbers and their names."""
    frame = X if isinstance(X, pd.DataFrame) else pd.DataFrame(np.asarray(X))
    names = tuple(str(c) if isinstance(X, pd.DataFrame) else f"X[{c}]" for c in frame.columns)
    return matrix(X), names
