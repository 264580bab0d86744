"""Sustained strategies of plain arrays: the decision points checked, the strategies followed, the curve with its band.

What was done earlier changes what moves people later, so neither leaving the later covariates out nor adjusting for all
of them at once gives the effect of doing something again and again; see :mod:`whybuy.causal.sustained.targeting` for
what does.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from whybuy.causal.array_learners import Learners
from whybuy.causal.array_rows import Rows, is_binary
from whybuy.causal.clusters import Float64, Ints, Ratio, clustered_ratio
from whybuy.causal.effects import Z95, Estimate
from whybuy.causal.grounds import MIN_OUTCOME_USERS
from whybuy.causal.sustained.result import StrategyEffect, SustainedEffects
from whybuy.causal.sustained.strategies import ODDS, Strategy, strategies
from whybuy.causal.sustained.targeting import Followed, Sequential, default_learners, path_weight
from whybuy.errors import ArraysError

MAX_DECISIONS = 6
MIN_EFFECTIVE_USERS = 200.0
"""Users of equal weight that must carry a strategy's answer: below, weights of a few decide."""
MIN_SHIFTABLE = 0.01
"""Of the behavior's variance, so much must be left by what predicts it, all decisions together."""
_N_MULTIPLIERS = 2_000
_LEVEL = 0.95


def sustained(  # noqa: PLR0913 - the words of the question, all but three with a default
    H: Sequence[Any],
    A: npt.ArrayLike,
    Y: npt.ArrayLike,
    *,
    groups: npt.ArrayLike | None = None,
    folds: int | npt.ArrayLike = 5,
    learner: Learners | None = None,
    odds: Sequence[float] = ODDS,
    shares: Sequence[float] = (0.25,),
    seed: int = 7,
) -> SustainedEffects:
    """Return what strategies over K decision points would change in the mean of ``Y``.

    Parameters
    ----------
    H : K matrices or frames (n, d_k): all that is known right before decision k and that moves it and the outcome; the
        earlier columns of ``A`` are added here
    A : (n, K) 0 or 1: whether the behavior was done at each decision, K from 1 to 6
    Y : (n,) outcome after the last decision
    groups : (n,) the user of every row, whose rows are alike; every row its own where None
    folds : how many, or (n,) fold of every row, constant within a user
    learner : a classifier of the treatment and a regressor of the outcome; small boosted trees where None
    odds : factors that the odds of the behavior are multiplied by
    shares : of a curb and a nudge
    seed : of the multipliers of the simultaneous band

    Raises
    ------
    ArraysError
        More than 6 decisions; arrays of unequal length; values that are no numbers; a treatment that is not 0 or 1, or
        that everybody or nobody does at some decision; a treatment that is perfectly predicted; fewer than 30 users.

    Notes
    -----
    A strategy whose effective sample under the cumulative weights, (sum W)^2 / sum W^2 over users, is below 200 has no
    number, and says why. Assumes that nothing outside H moves both the behavior and the outcome at any decision.

    Source: Kennedy (JASA, 2019), theorem 2; Diaz, Williams, Hoffman and Schenck (JASA, 2023).
    """
    decisions = checked(H, A, Y, groups=groups, folds=folds)
    asked = strategies(tuple(odds), tuple(shares))
    missing = _missing(decisions)
    if missing:
        return _result(decisions, [untold(s, missing) for s in asked], None)
    sequential = Sequential(decisions, learner or default_learners())
    _require_shiftable(decisions, sequential.pi)
    points, influences = [], []
    for strategy in asked:
        point, influence = _judged(strategy, sequential.follow(strategy), decisions)
        points.append(point)
        influences.append(influence)
    return _with_band(decisions, points, influences, np.random.default_rng(seed))


def checked(H: Sequence[Any], A: npt.ArrayLike, Y: npt.ArrayLike, *, groups: Any, folds: Any) -> list[Rows]:
    """Return the decisions as checked rows; the covariates of each end with what was done before."""
    done = np.asarray(A, dtype=float)
    K = done.shape[1] if done.ndim == 2 else 0
    if not 1 <= K <= MAX_DECISIONS or len(H) != K:
        raise ArraysError.of(
            found=f"A has the shape {done.shape} and H holds {len(H)} decisions",
            needed=f"(n, K) treatments at 1 to {MAX_DECISIONS} decision points, and covariates before each",
            do="Take fewer, longer periods: weights multiply from decision to decision",
        )
    if not is_binary(done):
        raise ArraysError.of(
            found="A holds values other than 0 and 1", needed="done or not done", do="Cut it at a threshold"
        )
    for k, share in enumerate(done.mean(axis=0).tolist()):
        if share in (0.0, 1.0):
            raise ArraysError.of(
                found=f"At decision {k + 1} {'everybody' if share else 'nobody'} is treated",
                needed="a behavior that some do and some do not, at every decision",
                do="Leave the decision out, or take longer periods",
            )
    return [Rows.of(_before(H[k], done[:, :k]), done[:, k], Y, groups, folds) for k in range(K)]


def _before(known: Any, done: Float64) -> Any:
    """Return covariates with earlier treatments beside them; those of a wrong shape as they are, for the check."""
    if np.ndim(known) != 2 or len(known) != len(done):
        return known
    frame = known if isinstance(known, pd.DataFrame) else pd.DataFrame(np.asarray(known))
    return frame.assign(**{f"decision {k + 1}": done[:, k] for k in range(done.shape[1])})


def _missing(decisions: list[Rows]) -> list[str]:
    """Return, in words, what no strategy can be answered for; empty where there are grounds."""
    rows = decisions[0]
    n_users = len(rows.names)
    if n_users < MIN_EFFECTIVE_USERS:
        return [f"There are {n_users} users; {MIN_EFFECTIVE_USERS:.0f} are needed."]
    if is_binary(rows.Y):
        for had, name in ((rows.Y > 0, "with"), (rows.Y < 1, "without")):
            n = len(np.unique(rows.group[had]))
            if n < MIN_OUTCOME_USERS:
                return [f"Only {n} users are {name} the outcome; {MIN_OUTCOME_USERS} are needed."]
    return []


def _require_shiftable(decisions: list[Rows], pi: list[Float64]) -> None:
    """Raise ArraysError where the behavior is perfectly predicted at every decision."""
    left = sum(float(((rows.T - p) ** 2).mean()) for rows, p in zip(decisions, pi, strict=True))
    whole = sum(float(rows.T.var()) for rows in decisions)
    if left < MIN_SHIFTABLE * whole:
        raise ArraysError.of(
            found=f"The treatment is predicted out of fold with R² = {1 - left / whole:.3f}",
            needed=f"{100 * MIN_SHIFTABLE:.0f}% of its variance must be left, which is needed to compare",
            do="Leave out of H what is the treatment by another name, or follows from it",
        )


def _judged(strategy: Strategy, followed: Followed, decisions: list[Rows]) -> tuple[StrategyEffect, Float64]:
    """Return the effect of one strategy, and (n_users,) the influences of its change."""
    rows = decisions[0]
    effective = effective_users(followed.weight, rows.group)
    point = replace(
        untold(strategy, []),
        naive_change=_naive(strategy, decisions),
        chance=tuple(followed.chance.tolist()),
        effective_users=effective,
    )
    value = clustered_ratio(followed.score, 1.0, rows.group)
    change: Ratio = clustered_ratio(followed.score - rows.Y, 1.0, rows.group)
    if effective < MIN_EFFECTIVE_USERS:
        why = (
            f"Its weights rest on {effective:.0f} users' worth of followed paths; {MIN_EFFECTIVE_USERS:.0f} are needed."
        )
        return replace(point, reasons=(why,)), change.influence
    return replace(
        point,
        value=Estimate.of("mean", value.value, value.std_error),
        change=_change_of(strategy, change),
    ), change.influence


def _change_of(strategy: Strategy, change: Ratio) -> Estimate:
    """Return the change as an estimate; nothing changed is exactly zero, which has no error."""
    if strategy.changes_nothing:
        return Estimate(estimand="change", estimate=0.0, std_error=0.0, ci_low=0.0, ci_high=0.0)
    return Estimate.of("change", change.value, change.std_error)


def effective_users(weight: Float64, group: Ints) -> float:
    """Return how many users of equal weight carry rows of these weights: Kish's (sum W)^2 / sum W^2 over users."""
    W = np.bincount(group, weight)
    square = float((W**2).sum())
    return float(W.sum()) ** 2 / square if square > 0 else 0.0


def _naive(strategy: Strategy, decisions: list[Rows]) -> float | None:
    """Return the change if everybody had the same chance at every decision: nothing adjusted for."""
    weight = np.ones(len(decisions[0].Y))
    for rows in decisions:
        weight = weight * path_weight(rows.T, np.full(len(rows.T), rows.T.mean()), strategy)
    Y = decisions[0].Y
    return float(np.average(Y, weights=weight) - Y.mean()) if weight.any() else None


def untold(strategy: Strategy, reasons: list[str]) -> StrategyEffect:
    """Return the answer to a strategy that has none."""
    return StrategyEffect(
        strategy=strategy, value=Estimate(estimand="mean"), change=Estimate(estimand="change"), reasons=tuple(reasons)
    )


def _with_band(
    decisions: list[Rows], points: list[StrategyEffect], influences: list[Float64], rng: np.random.Generator
) -> SustainedEffects:
    """Return the result with the band that holds for all answered strategies at once.

    Source: Kennedy (JASA, 2019), theorem 4: the multiplier bootstrap with Rademacher signs, here one per user.
    """
    told = [i for i, p in enumerate(points) if p.change.std_error]
    if not told:
        return _result(decisions, points, None)
    errors = np.array([points[i].change.std_error for i in told])
    signs = rng.integers(0, 2, (_N_MULTIPLIERS, len(influences[0]))) * 2.0 - 1
    t = np.abs(signs @ np.stack([influences[i] for i in told], axis=1)) / errors
    critical = max(Z95, float(np.quantile(t.max(axis=1), _LEVEL)))
    for i in told:
        middle, half = points[i].change.estimate or 0.0, critical * (points[i].change.std_error or 0.0)
        points[i] = replace(points[i], band_low=middle - half, band_high=middle + half)
    curve = [at for at, i in enumerate(told) if points[i].strategy.kind == "odds"]
    return _result(decisions, points, _p_flat([points[told[at]] for at in curve], t[:, curve]))


def _p_flat(curve: list[StrategyEffect], t: Float64) -> float | None:
    """Return how often the largest |change / error| of the multipliers is as large as that of the curve."""
    if not curve:
        return None
    largest = max(abs((p.change.estimate or 0.0) / (p.change.std_error or 1.0)) for p in curve)
    return float((1 + np.count_nonzero(t.max(axis=1) >= largest)) / (1 + len(t)))


def _result(decisions: list[Rows], points: list[StrategyEffect], p_flat: float | None) -> SustainedEffects:
    rows = decisions[0]
    return SustainedEffects(
        points=tuple(points),
        n_rows=len(rows.Y),
        n_users=len(rows.names),
        n_decisions=len(decisions),
        share_treated=tuple(float(d.T.mean()) for d in decisions),
        as_it_goes=float(rows.Y.mean()),
        p_flat=p_flat,
    )
