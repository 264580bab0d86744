"""The effect of a dose by the partially linear model, and its curve by contrasts of ranges.

Residual outcome on residual dose, both from trees on what was known before. Demand comes and goes with the day, and
who sets prices sees it: what differs between days is taken away first, so that prices are compared within a day. A
price is set for an item and a time, not for a person: rows of one spell of a price share its errors, and a learner that
had seen the spell would know the price. So prices are cross-fitted and clustered by both, users and spells: a row is
predicted by learners that saw neither its user nor its spell, and the errors are those of two crossed kinds of
clusters.

Every range of the curve is compared with the range of reference, among the trials in one of the two (no straight line
is assumed there, and no range borrows from another).

Source: Robinson (Econometrica, 1988), equation 3; Chernozhukov et al., Double/debiased machine learning (Econometrics
Journal, 2018), equation 4.4; Chiang, Kato, Ma and Sasaki, Multiway cluster robust double/debiased machine learning
(Journal of Business and Economic Statistics, 2022), section 2.
"""

from collections.abc import Sequence
from itertools import product

import lightgbm as lgb
import numpy as np
import numpy.typing as npt

from whybuy.causal.array_rows import is_binary
from whybuy.causal.clusters import crossed_ratio
from whybuy.causal.dose import DosePoint
from whybuy.causal.dose_trials import DoseTrials
from whybuy.causal.effects import Estimate
from whybuy.causal.grounds import MIN_EFFECTIVE_USERS, Grounds
from whybuy.errors import QuestionError

Float64 = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_MIN_CASES = 10
_ROUNDS, _PATIENCE = 300, 20
_TREES = {
    "objective": "regression",
    "learning_rate": 0.05,
    "num_leaves": 8,
    "min_data_in_leaf": 100,
    "lambda_l2": 20.0,
    "feature_fraction": 0.7,
    "deterministic": True,
    "force_col_wise": True,
    "feature_pre_filter": False,
    "num_threads": 2,
    "verbosity": -1,
    "seed": 7,
}


def slope(trials: DoseTrials) -> tuple[Estimate, float]:
    """Return the slope of the partially linear model, and how many clusters of equal weight carry it."""
    return _residual_slope(trials, trials.dose)


def curve(trials: DoseTrials, edges: Sequence[float], labels: Sequence[str], reference: int) -> list[DosePoint]:
    """Return the effects of ranges of the dose against one of them.

    Parameters
    ----------
    edges : inner edges of the ranges, ascending; a dose on an edge is in the range above it
    labels : the ranges in words
    reference : which range the others are compared with
    """
    place = np.searchsorted(edges, trials.dose, side="right")
    return [_point(trials, place, k, label, reference) for k, label in enumerate(labels) if (place == k).any()]


def _point(trials: DoseTrials, place: Ints, k: int, label: str, reference: int) -> DosePoint:
    mine = place == k
    effect = Estimate(estimand="ato", estimate=0.0)
    if k != reference:
        two = trials.rows(mine | (place == reference))
        effect = _contrast(two, mine[mine | (place == reference)])
    return DosePoint(label=label, dose=float(trials.dose[mine].mean()), n_trials=int(mine.sum()), effect=effect)


def _contrast(trials: DoseTrials, higher: Bools) -> Estimate:
    """Return the overlap-weighted effect of one range against another; no number without grounds."""
    T = higher.astype(float)
    if min(T.sum(), (1 - T).sum()) < _MIN_CASES:
        return Estimate(estimand="ato")
    found, effective = _residual_slope(trials, T)
    grounds = Grounds.of(T, trials.Y, trials.clusters[0], effective)
    return Estimate(estimand="ato") if grounds.missing() or found.estimate is None else found


def _residual_slope(trials: DoseTrials, dose: Float64) -> tuple[Estimate, float]:
    D, Y = (_within(values, trials.period) for values in (dose, trials.Y))
    RT, RY = (values - out_of_folds(values, trials.X, trials.folds) for values in (D, Y))
    value, std_error, effective = crossed_ratio(RT * RY, RT**2, trials.clusters)
    return Estimate.of("ato" if is_binary(dose) else "slope", value, std_error), effective


def _within(values: Float64, period: Ints) -> Float64:
    """Return ``values`` less the mean of their period."""
    mean = np.bincount(period, values) / np.maximum(np.bincount(period), 1)
    found: Float64 = values - mean[period]
    return found


def out_of_folds(y: Float64, X: Floats, folds: Sequence[Ints]) -> Float64:
    """Return (n,) predictions of ``y``, each by trees that saw none of the row's folds, of either kind.

    Where the others hold hardly a case, their mean is the prediction.
    """
    out = np.empty(len(y))
    for cell in product(*(np.unique(fold) for fold in folds)):
        inside = [fold == k for fold, k in zip(folds, cell, strict=True)]
        judged, taught = np.all(inside, axis=0), ~np.any(inside, axis=0)
        if judged.any():
            out[judged] = _predicted(X[judged], X[taught], y[taught], folds[-1][taught])
    return out


def _predicted(judged: Floats, X: Floats, y: Float64, fold: Ints) -> Float64:
    """Return what trees taught by ``X`` and ``y`` say of the rows ``judged``.

    What a learner makes up of a dose goes into its residual and flattens the slope, and prices are as few as their
    spells, however many rows share one: the number of rounds is what serves spells, or users, that were left out.
    """
    if len(y) == 0:
        raise QuestionError.of(
            found="One user or one spell of a price has all trials",
            needed="others to learn from, which is needed to say what was to be expected",
            do="Ask about a category or about any item",
        )
    parts = [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in np.unique(fold)]
    if np.ptp(y) == 0 or min(len(taught) for taught, _ in parts) < _MIN_CASES:
        return np.full(len(judged), y.mean())
    data = lgb.Dataset(X, label=y, params=_TREES, free_raw_data=False)
    stop = lgb.early_stopping(_PATIENCE, verbose=False)
    losses = np.asarray(lgb.cv(_TREES, data, num_boost_round=_ROUNDS, folds=parts, callbacks=[stop])["valid l2-mean"])
    return np.asarray(lgb.train(_TREES, data, num_boost_round=len(losses)).predict(judged), float)


def enough(effective: float, what: str) -> str | None:
    """Return why a slope has too few clusters under it, in words; None where it has enough."""
    if effective >= MIN_EFFECTIVE_USERS:
        return None
    return f"The slope rests on {effective:.0f} {what} of equal weight; {MIN_EFFECTIVE_USERS:.0f} are needed."
