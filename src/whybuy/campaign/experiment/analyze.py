"""What an experiment found, from plain arrays: is the split sound, what moved, is nothing hurt.

In this order, because each stands on the one before: the sample ratio (a split that chance does not explain stops
every verdict: somebody was lost on the way into one arm), the primary metrics with Holm's correction over metrics and
arms, the guardrails, each a claim of its own that must be shown (non-inferiority, no correction: all of them have to
hold).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from whybuy.campaign.always_valid import FIRST_LOOK, always_valid_factor, always_valid_p
from whybuy.campaign.assignments import sample_ratio
from whybuy.campaign.difference import (
    UNITS_PER_COLUMN,
    AdjustedDifference,
    Bools,
    adjusted_difference,
    require_units,
)
from whybuy.campaign.estimate import holm
from whybuy.campaign.experiment.assign import require_shares
from whybuy.campaign.experiment.metrics import Margin
from whybuy.campaign.experiment.result import ExperimentResult, MetricAnswer
from whybuy.errors import ArraysError

MIN_WITH_OUTCOME = 20
"""People with the outcome that an arm needs before a difference of shares is told, as for campaigns."""
_ALPHA = 0.05


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What was agreed on before the experiment.

    Attributes
    ----------
    shares : arm -> intended share of the units, the controls first
    guardrails : metric -> what it may lose; every other metric is one that shall move
    smallest : metric -> differences within plus or minus this count as none
    planned : units in all arms at the planned end, where one looks before it: intervals then hold at every look
    """

    shares: Mapping[str, float]
    guardrails: Mapping[str, Margin] = field(default_factory=dict)
    smallest: Mapping[str, float] = field(default_factory=dict)
    planned: int | None = None

    def __post_init__(self) -> None:
        require_shares(list(self.shares.values()))
        if self.planned is not None and self.planned < 1:
            raise ArraysError.of(
                found=f"{self.planned} units were planned",
                needed="at least one",
                do="Say how many in all arms together",
            )

    @property
    def control(self) -> str:
        """The arm that the others are compared with."""
        return next(iter(self.shares))


def analyze_experiment(
    arm: npt.ArrayLike,
    outcomes: Mapping[str, npt.ArrayLike],
    rules: Rules,
    *,
    covariates: npt.ArrayLike | Mapping[str, npt.ArrayLike] | None = None,
    strata: npt.ArrayLike | None = None,
    clusters: npt.ArrayLike | None = None,
) -> ExperimentResult:
    """Return what an experiment found.

    Parameters
    ----------
    arm : (n,) names of arms, the same within a cluster
    outcomes : metric -> (n,) numbers; 0 and 1 are shares
    covariates : (n, d) known before the assignment, the outcome's own past first; by metric where they differ
    strata, clusters : as for :func:`~whybuy.campaign.difference.adjusted_difference`

    Raises
    ------
    ArraysError
        No metric, an unknown arm, an arm of fewer than 15 units, a guardrail without a metric, a cluster in two arms,
        or lengths that differ. What is wrong with one metric (a missing outcome, say) is said in its reasons.
    """
    arms = np.asarray(arm, object)
    units = _Units(arms, _objects(strata), _objects(clusters))
    _require_arms(arms, outcomes, rules)
    ratio = sample_ratio(units.counts(rules.shares), rules.shares)
    treated = [name for name in rules.shares if name != rules.control]
    units.require_whole_clusters()
    for name in treated:
        require_units(units.first(np.isin(arms, (name, rules.control))) == name)
    answers = []
    for metric, values in outcomes.items():
        before = covariates.get(metric) if isinstance(covariates, Mapping) else covariates
        answers += [_answer(units, metric, values, before, name, rules) for name in treated]
    return _judged(answers, ratio, rules)


@dataclass(frozen=True)
class _Units:
    """Rows with their arm, stratum and unit."""

    arm: npt.NDArray[np.object_]
    strata: npt.NDArray[np.object_] | None
    clusters: npt.NDArray[np.object_] | None

    def first(self, rows: Bools) -> npt.NDArray[np.object_]:
        """Return the arm of every unit among ``rows``."""
        if self.clusters is None:
            return self.arm[rows]
        return self.arm[rows][np.unique(pd.factorize(self.clusters[rows])[0], return_index=True)[1]]

    def counts(self, shares: Mapping[str, float]) -> dict[str, int]:
        """Return how many units each arm has."""
        found = pd.Series(self.first(np.ones(len(self.arm), bool))).value_counts()
        return {name: int(found.get(name, 0)) for name in shares}

    def require_whole_clusters(self) -> None:
        """Refuse clusters in two arms."""
        if self.clusters is None:
            return
        n_arms = pd.Series(self.arm).groupby(self.clusters).nunique()
        if (n_arms > 1).any():
            raise ArraysError.of(
                found=f"{int((n_arms > 1).sum())} of {len(n_arms)} units are in two arms",
                needed="one arm for every unit",
                do="Find out how; leave them out of all arms if they are few",
            )


def _require_arms(arms: npt.NDArray[np.object_], outcomes: Mapping[str, npt.ArrayLike], rules: Rules) -> None:
    if not outcomes:
        raise ArraysError.of(found="No metric was given", needed="at least one outcome", do="Pass one per metric")
    for metric, values in outcomes.items():
        if np.shape(values) != arms.shape:
            raise ArraysError.of(
                found=f"{len(arms)} arms and outcomes {metric} of shape {np.shape(values)}",
                needed="one outcome per row",
                do="Pass arrays of one length",
            )
    lone = sorted(set(rules.guardrails) - set(outcomes))
    if lone:
        raise ArraysError.of(
            found=f"The guardrail {lone[0]} has no outcomes",
            needed=f"one of {', '.join(outcomes)}",
            do="Pass its outcomes, too",
        )
    unknown = sorted(set(map(str, pd.unique(arms))) - set(rules.shares))
    if unknown:
        raise ArraysError.of(
            found=f"Units are in the arm {unknown[0]}, and the shares are of {', '.join(rules.shares)}",
            needed="a share for every arm",
            do="Name all arms with their shares, or leave these units out",
        )


def _answer(
    units: _Units, metric: str, values: npt.ArrayLike, before: npt.ArrayLike | None, arm: str, rules: Rules
) -> MetricAnswer:
    """Return the difference of one arm from the controls, not yet judged; without numbers where there is none."""
    rows = np.isin(units.arm, (arm, rules.control))
    y, treated = np.asarray(values)[rows], units.arm[rows] == arm
    nothing = MetricAnswer(metric=metric, arm=arm, control=rules.control, margin=rules.guardrails.get(metric))
    smaller = int(min(pd.Series(units.first(rows)).value_counts()))
    Z, note = _affordable(before, rows, smaller)
    try:
        found = adjusted_difference(
            y,
            treated,
            covariates=Z,
            strata=None if units.strata is None else units.strata[rows],
            clusters=None if units.clusters is None else units.clusters[rows],
        )
    except ArraysError as error:
        return replace(nothing, reasons=(str(error),))
    lacking = _lacking(np.asarray(y, float), treated, arm, rules.control)
    if lacking or found.plain.std_error == 0:
        return replace(nothing, reasons=(lacking or f"{metric} never varies within an arm.",))
    return _with_interval(replace(nothing, reasons=note), found, rules, smaller)


def _with_interval(answer: MetricAnswer, found: AdjustedDifference, rules: Rules, smaller: int) -> MetricAnswer:
    adjusted, plain = found.adjusted, found.plain
    low, high = adjusted.interval()
    p, fraction = adjusted.p_value, None
    if rules.planned is not None:
        if smaller < FIRST_LOOK:
            early = f"{smaller} units in the smaller arm; the first look needs {FIRST_LOOK}."
            return replace(answer, reasons=(early,))
        fraction = (found.n_treated + found.n_control) / (
            rules.planned * (rules.shares[answer.arm] + rules.shares[answer.control])
        )
        half = always_valid_factor(fraction) * adjusted.std_error
        low, high = adjusted.estimate - half, adjusted.estimate + half
        p = always_valid_p(adjusted.estimate / adjusted.std_error, fraction)
    return replace(
        answer,
        estimate=adjusted.estimate,
        std_error=adjusted.std_error,
        ci_low=low,
        ci_high=high,
        p_value=p,
        plain=plain.estimate,
        plain_low=plain.interval()[0],
        plain_high=plain.interval()[1],
        mean_treated=found.mean_treated,
        mean_control=found.mean_control,
        n_treated=found.n_treated,
        n_control=found.n_control,
        variance_removed=found.variance_removed,
        fraction=fraction,
    )


def _affordable(
    before: npt.ArrayLike | None, rows: Bools, smaller: int
) -> tuple[npt.NDArray[np.float64] | None, tuple[str, ...]]:
    """Return as many of the first covariates as the smaller arm carries, and what was left out."""
    if before is None:
        return None, ()
    Z = np.asarray(before, float)
    Z = Z[rows].reshape(int(rows.sum()), -1)
    most = smaller // UNITS_PER_COLUMN
    if Z.shape[1] <= most:
        return Z, ()
    note = f"Adjusted for {most} of {Z.shape[1]} covariates: the smaller arm has {smaller} units."
    return Z[:, :most] if most else None, (note,)


def _lacking(y: npt.NDArray[np.float64], treated: Bools, arm: str, control: str) -> str | None:
    """Return why a difference of shares has no ground, or None."""
    if not np.isin(y, (0.0, 1.0)).all():
        return None
    for name, who, other in ((arm, treated, ~treated), (control, ~treated, treated)):
        n = int(y[who].sum())
        if n == 0 and y[other].sum() >= MIN_WITH_OUTCOME:
            return (
                f"Nobody in {name} has the outcome, {int(y[other].sum())} in the other arm do: is it logged in {name}?"
            )
        if n < MIN_WITH_OUTCOME:
            return f"Only {n} in {name} have the outcome; {MIN_WITH_OUTCOME} are needed."
    return None


def _judged(answers: Sequence[MetricAnswer], ratio: dict[str, Any], rules: Rules) -> ExperimentResult:
    """Return the answers with Holm's correction over the primaries, and verdicts."""
    primaries = [i for i, a in enumerate(answers) if a.margin is None]
    adjusted = dict(zip(primaries, holm([answers[i].p_value for i in primaries]), strict=True))
    stopped = ratio["passed"] is False
    judged = [_verdict(replace(a, p_holm=adjusted.get(i)), rules, stopped=stopped) for i, a in enumerate(answers)]
    return ExperimentResult(
        shares=dict(rules.shares),
        counts=ratio["observed"],
        sample_ratio=ratio,
        answers=tuple(judged),
        peek=rules.planned is not None,
    )


def _verdict(answer: MetricAnswer, rules: Rules, *, stopped: bool) -> MetricAnswer:
    low, high, p = answer.ci_low, answer.ci_high, answer.p_holm
    if stopped or low is None or high is None:
        return answer
    if answer.margin is not None:
        if answer.margin.held(low, high):
            return replace(answer, verdict="held")
        return replace(answer, verdict="broken" if answer.margin.broken(low, high) else "cannot_tell")
    smallest = rules.smallest.get(answer.metric)
    if smallest is not None and -smallest < low and high < smallest:
        return replace(answer, verdict="none")
    return replace(answer, verdict="strong" if p is not None and p < _ALPHA else "cannot_tell")


def _objects(values: npt.ArrayLike | None) -> npt.NDArray[np.object_] | None:
    return None if values is None else np.asarray(values, object)
