"""Who an effect is larger for: group effects (GATES), and whether the foretold differences are real (BLP).

tau(x) of the R-learner only sorts decisions into groups; what is reported is each group's own overlap-weighted effect,
by residual on residual as everywhere, on users whose outcomes did not teach the sorting. An effect of one person is
never identified: a person is told the effect of the group that their decisions fall into, and it is labeled so.

Source: Chernozhukov, Demirer, Duflo and Fernandez-Val, Fisher-Schultz lecture: Generic machine learning inference on
heterogeneous treatment effects (Econometrica, 2025): the best linear predictor (BLP) and sorted groups (GATES).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from whybuy.causal.checks import PairData
from whybuy.causal.clusters import Float64, Ints, clustered_ratio, influence_error
from whybuy.causal.effects import Estimate
from whybuy.causal.grounds import Grounds
from whybuy.causal.linear_predictor import UNTOLD, Calibration, calibration, intervals, numbers
from whybuy.causal.trials import Columns

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

N_QUANTILES = 4
BY_TAU = "foretold effect"


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupEffect:
    """The overlap-weighted effect within one group of decisions.

    Attributes
    ----------
    by, group : what the groups are made by, and which this is
    foretold : mean tau(x) of the group, weighted as the effect is; None for arrays without tau
    reasons : why there is no number, in words
    """

    by: str
    group: str
    n_trials: int
    n_treated: int
    n_users: int
    effect: Estimate
    foretold: float | None = None
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Heterogeneity:
    """How one pair's effect differs between groups of decisions. Intervals are 95%, by user, one group at a time.

    Attributes
    ----------
    tau : (n,) out-of-fold effect of every decision: it sorts, and is no one's effect
    group : (n,) quantile of tau within the fold, from 0 (least)
    user : (n,) user of every decision
    by_tau : the effects of the quantiles; by_attribute : those of users with one value of an attribute
    spread : effect of the highest quantile minus that of the lowest
    reasons : why nothing can be told of the whole, in words
    """

    tau: Float64
    group: Ints
    user: Ints
    calibration: Calibration
    by_tau: tuple[GroupEffect, ...]
    by_attribute: tuple[GroupEffect, ...]
    spread: Estimate
    reasons: tuple[str, ...] = ()

    def to_frame(self) -> pd.DataFrame:
        """Return one row per group, numbers only."""
        rows = [
            {
                "by": g.by,
                "group": g.group,
                "n_trials": g.n_trials,
                "n_treated": g.n_treated,
                "n_users": g.n_users,
                "foretold": g.foretold,
                **numbers(g.effect),
            }
            for g in (*self.by_tau, *self.by_attribute)
        ]
        return pd.DataFrame(rows)

    def of_users(self) -> pd.DataFrame:
        """Return one row per user: the effect of the group that most of their decisions are in, labeled group-level.

        ``level`` is "group" in every row: the interval is that of the group's average, not of this person.
        """
        n_users = int(self.user.max(initial=-1)) + 1
        counts = np.zeros((n_users, len(self.by_tau)))
        np.add.at(counts, (self.user, self.group), 1)
        mine = [self.by_tau[i] for i in counts.argmax(axis=1)]
        effects = pd.DataFrame([numbers(g.effect) for g in mine])
        return pd.DataFrame({"user": range(n_users), "level": "group", "group": [g.group for g in mine]}).join(effects)

    def summary(self) -> str:
        """Return what can be said about who gains, in words."""
        parts = [self.calibration.summary(), *self.reasons]
        if self.spread.estimate is not None:
            s = self.spread
            parts.append(
                f"From the lowest to the highest group the effect rises by {100 * (s.estimate or 0):.1f} in 100 "
                f"decisions [{100 * (s.ci_low or 0):.1f}, {100 * (s.ci_high or 0):.1f}]."
            )
        parts += [
            f"{g.by} {g.group}: {_per_100(g.effect)}." for g in self.by_attribute if g.effect.estimate is not None
        ]
        return " ".join([*parts, "These are effects of groups, not of persons."])

    def plot(self) -> "Figure":
        """Return a Plotly figure: every group's effect with its interval, what was foretold beside it."""
        groups = [g for g in (*self.by_tau, *self.by_attribute) if g.effect.estimate is not None]
        names = [f"{g.by}: {g.group}" for g in groups]
        figure = intervals(names, [g.effect for g in groups])
        foretold = [(name, g.foretold) for name, g in zip(names, groups, strict=True) if g.foretold is not None]
        figure.add_scatter(
            x=[name for name, _ in foretold], y=[value for _, value in foretold], mode="markers", name="foretold"
        )
        figure.add_hline(y=0, line_width=1)
        figure.update_layout(title="Effect by group of decisions", yaxis_title="outcomes per decision")
        return figure


def heterogeneity(
    data: PairData, tau: Float64, fold: Ints, attributes: dict[str, npt.NDArray[np.object_]] | None = None
) -> Heterogeneity:
    """Return how the effect differs by tau and by attribute.

    Parameters
    ----------
    tau : (n,) effects by learners that did not see the user, see :func:`whybuy.causal.rlearner.r_learner`
    fold : (n,) fold whose learner was asked: tau is sorted within it, because folds have learners of their own
    attributes : per name (n,) the group of every decision
    """
    group = quantile_groups(tau, fold)
    last = int(group.max(initial=0))
    labels = np.array([f"{i + 1} of {last + 1}" for i in range(last + 1)], object)[group]
    by_tau = tuple(group_effects(data, labels, by=BY_TAU, tau=tau))
    whole = clustered_ratio(data.RT * data.RY, data.RT**2, data.user)
    missing = Grounds.of(data.T, data.Y, data.user, whole.effective).missing()
    told = all(g.effect.estimate is not None for g in (by_tau[0], by_tau[-1]))
    return Heterogeneity(
        tau=tau,
        group=group,
        user=data.user,
        calibration=UNTOLD if missing else calibration(data, tau, fold),
        by_tau=by_tau,
        by_attribute=tuple(
            found
            for name, values in (attributes or {}).items()
            for found in group_effects(data, values, by=name, tau=tau)
        ),
        spread=spread(data, group == last, group == 0) if told else Estimate(estimand="ato_difference"),
        reasons=tuple(missing),
    )


def quantile_groups(tau: Float64, fold: Ints, n_groups: int = N_QUANTILES) -> Ints:
    """Return (n,) which quantile of its fold every tau lies in; one group alone where tau does not differ."""
    group = np.zeros(len(tau), np.int64)
    for k in np.unique(fold):
        mine = fold == k
        cuts = np.quantile(tau[mine], np.arange(1, n_groups) / n_groups)
        group[mine] = np.searchsorted(cuts, tau[mine], side="right")
    _, numbered = np.unique(group, return_inverse=True)
    return numbered.astype(np.int64)


def group_effects(
    data: PairData, group: npt.NDArray[np.object_], *, by: str, tau: Float64 | None = None
) -> Iterator[GroupEffect]:
    """Yield the ATO within every group, by user; without a number, and with reasons, where the grounds do not suffice.

    Source: Chernozhukov, Demirer, Duflo and Fernandez-Val (2025), GATES; weights RT^2 instead of those of a known
    propensity, so that a group's effect is the same estimand as the pair's.
    """
    for name in sorted(set(group.tolist())):
        rows = group == name
        part = data.rows(rows)
        found = clustered_ratio(part.RT * part.RY, part.RT**2, part.user)
        missing = Grounds.of(part.T, part.Y, part.user, found.effective).missing()
        yield GroupEffect(
            by=by,
            group=str(name),
            n_trials=len(part.T),
            n_treated=int(part.T.sum()),
            n_users=int(part.user.max(initial=-1)) + 1,
            effect=Estimate(estimand="ato") if missing else Estimate.of("ato", found.value, found.std_error),
            foretold=None if tau is None else float(np.average(tau[rows], weights=part.RT**2)),
            reasons=tuple(missing),
        )


def spread(data: PairData, high: npt.NDArray[np.bool_], low: npt.NDArray[np.bool_]) -> Estimate:
    """Return the effect among ``high`` minus that among ``low``; a user may have decisions in both."""
    if (high & low).any():
        return Estimate(estimand="ato_difference")
    values, influences = [], []
    for rows in (high, low):
        N = np.bincount(data.user, rows * data.RT * data.RY)
        D = np.bincount(data.user, rows * data.RT**2)
        values.append(N.sum() / D.sum())
        influences.append((N - values[-1] * D) / D.sum())
    return Estimate.of("ato_difference", float(values[0] - values[1]), influence_error(influences[0] - influences[1]))


def attribute_groups(X: npt.NDArray[np.float32], columns: Columns) -> dict[str, npt.NDArray[np.object_]]:
    """Return per user attribute (n,) its value at every decision, read from the one-hot columns ``name = value``."""
    found: dict[str, npt.NDArray[np.object_]] = {}
    for i, (name, kind) in enumerate(zip(columns.names, columns.groups, strict=True)):
        if kind == "attribute":
            attribute, _, value = name.partition(" = ")
            found.setdefault(attribute, np.full(len(X), "other", object))[X[:, i] > 0] = value
    return found


def _per_100(e: Estimate) -> str:
    return f"{100 * (e.estimate or 0):+.1f} in 100 [{100 * (e.ci_low or 0):+.1f}, {100 * (e.ci_high or 0):+.1f}]"
