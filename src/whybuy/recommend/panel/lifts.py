r"""The lift of every item for every user of a panel, with propensities that nobody logged: a DR-learner.

The covariates x of a row (a user, an item, a round) are the user's history with the item in the other rounds, the
item's rates among other users, and its attributes. Then

1. :math:`e(x)`, the chance of being recommended, and :math:`\mu_t(x)`, the chance of a purchase with (1) and without
   (0), by boosted trees that were grown on other users,
2. the doubly robust pseudo-outcome, whose mean given x is the lift if either of them is right,

   .. math:: \psi = \mu_1(x) - \mu_0(x) + \frac{T - e(x)}{e(x)(1 - e(x))} (Y - \mu_T(x)),

3. its regression on x, weighted by :math:`e(1 - e)`, which is large where its noise is small, for other users again,
4. the lift of a user and an item: that regression at the history of all rounds.

Thin histories are shrunk because many are alike and have one leaf; a further purchase with (without) a recommendation
never lowers (raises) what a model says. What it rests on: among users with the same history
with an item, who is recommended it has no further reason that also moves what they buy.

Rejected: a row's own round in its history (it explains itself); differences of a user's raw shares (the noise of few
rounds picks the top); weights of 1 (a few rows with a small e decide).

Source: Kennedy, Towards optimal doubly robust estimation of heterogeneous causal effects (Electronic Journal of
Statistics, 2023), algorithm 1; Sato, Takemori, Singh and Ohkuma, Unbiased learning for the causal effect of
recommendation (RecSys, 2020), the ranking problem; Nie and Wager, Quasi-oracle estimation of heterogeneous treatment
effects (Biometrika, 2021), the weights.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import lightgbm as lgb
import numpy as np
import numpy.typing as npt
import pandas as pd

from whybuy.errors import ArraysError
from whybuy.recommend.panel.arrays import Floats, History, Ints, Panel, Rows, folds_of, histories, panel_of, rows_of

Target = Literal["lift", "inverse_propensity", "p_buy"]

N_FOLDS: Final = 5
N_SPLITS: Final = 3  # the mean over several divisions into folds, so that the luck of one is in no ranking
PRIOR_ROUNDS: Final = 5.0  # a user's shares are taken over this many rounds more, which have the item's rate
CLIP: Final = 0.01  # estimated propensities are kept this far off 0 and 1
N_TREES: Final = 60
# Of two histories that differ in one purchase with (without) a recommendation, that with it has no smaller (greater)
# lift; in the order of the columns of ``_x``.
_SHAPE: Final = (0, 1, -1, 0, 0, 0, 1, -1)
_TREES: Final = {
    "learning_rate": 0.1,
    "num_leaves": 15,
    "min_sum_hessian_in_leaf": 1e-3,
    "lambda_l2": 1.0,
    "max_bin": 63,
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "verbose": -1,
}


@dataclass(frozen=True)
class PanelLifts:
    """What recommending every item to every user adds, in purchases per recommendation.

    Attributes
    ----------
    lift : (n_users, n_items); NaN for the items of ``untold``
    untold : numbers of the items that were recommended to everybody or to nobody: nothing to compare with
    """

    lift: Floats
    untold: Ints

    def to_frame(self, k: int = 10) -> pd.DataFrame:
        """Return the k best items of every user: user and item by number, rank from 1, lift."""
        k = min(k, self.lift.shape[1] - len(self.untold))
        best = np.argsort(-self.lift, axis=1, kind="stable")[:, :k]
        return pd.DataFrame(
            {
                "user": np.repeat(np.arange(len(best)), k),
                "item": best.ravel(),
                "rank": np.tile(np.arange(1, k + 1), len(best)),
                "lift": np.take_along_axis(self.lift, best, axis=1).ravel(),
            }
        )

    def summary(self) -> str:
        """Return one sentence."""
        told = f"the best items of a user add {self.to_frame()['lift'].mean():.4f} purchases each, by this estimate"
        if len(self.untold) == 0:
            return told
        n_items = self.lift.shape[1]
        return f"{told}; no answer for {len(self.untold)} of {n_items} items, recommended to everybody or to nobody"


def lifts_of_panel(
    treated: npt.ArrayLike,
    outcome: npt.ArrayLike,
    *,
    items: npt.ArrayLike | None = None,
    propensity: npt.ArrayLike | None = None,
    users: npt.ArrayLike | None = None,
    seed: int = 7,
) -> PanelLifts:
    """Return the lift of every item for every user of a panel.

    Parameters
    ----------
    treated, outcome : (n_rounds, n_users, n_items) 0 or 1: who was recommended what, and who bought what, per round
    items : (n_items, d) attributes of the items
    propensity : (n_users, n_items) in (0, 1), where the true one is known; estimated from ``treated`` where None
    users : (n_users,) ids, where several rows may be one person; nobody's data teach what judges that person
    seed : of the folds

    Raises
    ------
    ArraysError
        Shapes that differ, values that are not 0 and 1, a single round, propensities outside (0, 1), fewer persons
        than folds, nothing bought with or without recommendation.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> treated = rng.random((6, 300, 4)) < 0.3
    >>> outcome = rng.random(treated.shape) < 0.1 + 0.3 * treated * [1, 0, 0, 0]   # the first item alone is moved
    >>> found = lifts_of_panel(treated, outcome)
    >>> int(found.lift.mean(axis=0).argmax())
    0
    """
    return scores_of_panel(treated, outcome, items=items, propensity=propensity, users=users, seed=seed)


def scores_of_panel(  # noqa: PLR0913 - the arrays of a panel, of which two must be
    treated: npt.ArrayLike,
    outcome: npt.ArrayLike,
    *,
    target: Target = "lift",
    items: npt.ArrayLike | None = None,
    propensity: npt.ArrayLike | None = None,
    users: npt.ArrayLike | None = None,
    seed: int = 7,
) -> PanelLifts:
    """Return what the same learner says of another target, for comparison; see :func:`lifts_of_panel`.

    Parameters
    ----------
    target : "lift"; "inverse_propensity", the lift by weights alone, which needs ``propensity``; "p_buy", the chance of
        a purchase as recommendations went
    """
    if target == "inverse_propensity" and propensity is None:
        raise ArraysError.of(
            found="no propensities", needed="the true ones, to weigh by them", do="Pass propensity, or ask for the lift"
        )
    panel = panel_of(treated, outcome, items=items, propensity=propensity, users=users)
    splits = [folds_of(panel, N_FOLDS, seed + split) for split in range(N_SPLITS)]
    lift = np.mean([_scores(panel, fold, target) for fold in splits], axis=0)
    lift[:, panel.untold] = np.nan
    return PanelLifts(lift, panel.untold)


def _scores(panel: Panel, fold: Ints, target: Target) -> Floats:
    """Return (n_users, n_items), every user's from what other users taught."""
    rows = [rows_of(panel, fold == f) for f in range(N_FOLDS)]
    rates = [panel.rates(fold != f) for f in range(N_FOLDS)]
    labels = [_label(panel, rows, f, rates[f], target) for f in range(N_FOLDS)]
    shape = {} if target == "p_buy" else {"monotone_constraints": [*_SHAPE, *[0] * panel.items.shape[1]]}
    scores = np.empty(panel.count.shape[2:])
    for f in range(N_FOLDS):
        others = [g for g in range(N_FOLDS) if g != f]
        X = np.concatenate([_x(panel, rows[g].history, rates[f]) for g in others])
        y, weight = (np.concatenate([labels[g][part] for g in others]) for part in (0, 1))
        distinct, which = histories(panel, fold == f)
        scores[fold == f] = _grown(X, y, weight, **shape)(_x(panel, distinct, rates[f]))[which]
    return scores


def _label(panel: Panel, rows: list[Rows], fold: int, rates: Floats, target: Target) -> tuple[Floats, Floats]:
    """Return what is regressed for the rows of a fold, and its weight."""
    judged = rows[fold]
    T, Y = judged.treated, judged.outcome.astype(np.float64)
    if target == "p_buy":
        return Y, judged.n
    sign = 2.0 * T - 1
    # Of a merged row: the mean of 1 / P(own arm) = P(other arm) / (e (1 - e)), weighted by e (1 - e), is the ratio.
    if target == "inverse_propensity" and judged.known is not None:
        other_arm, overlap = judged.known
        return sign * Y * other_arm / overlap, overlap
    e, mu_0, mu_1 = _nuisances(panel, rows, fold, rates)
    estimated = judged.n * np.where(T == 1, 1 - e, e), judged.n * e * (1 - e)
    other_arm, overlap = estimated if judged.known is None else judged.known
    return mu_1 - mu_0 + sign * (Y - np.where(T == 1, mu_1, mu_0)) * other_arm / overlap, overlap


def _nuisances(panel: Panel, rows: list[Rows], fold: int, rates: Floats) -> tuple[Floats, Floats, Floats]:
    """Return e, mu_0 and mu_1 of the rows of a fold, by trees grown on the other folds."""
    others = [part for g, part in enumerate(rows) if g != fold]
    X = np.concatenate([_x(panel, part.history, rates) for part in others])
    T, Y, n = (np.concatenate(column) for column in zip(*((p.treated, p.outcome, p.n) for p in others), strict=True))
    judged = _x(panel, rows[fold].history, rates)
    mu_0, mu_1 = (_grown(X[t == T], Y[t == T], n[t == T], objective="binary")(judged) for t in (0, 1))
    return _grown(X, T, n, objective="binary")(judged).clip(CLIP, 1 - CLIP), mu_0, mu_1


def _x(panel: Panel, history: History, rates: Floats) -> Floats:
    """Return (n, 8 + d) covariates of histories and of the items' rates among the users that teach."""
    without, with_, recommended = rates[history.item].T
    n_with = history.recommended
    n_without = panel.n_rounds - history.recommended
    return np.column_stack(
        [
            history.recommended,
            history.bought_with,
            history.bought_without,
            without,
            with_,
            recommended,
            (history.bought_with + PRIOR_ROUNDS * with_) / (n_with + PRIOR_ROUNDS),
            (history.bought_without + PRIOR_ROUNDS * without) / (n_without + PRIOR_ROUNDS),
            panel.items[history.item],
        ]
    )


def _grown(X: Floats, y: npt.NDArray[np.generic], weight: Floats, **settings: object) -> Callable[[Floats], Floats]:
    """Return what boosted trees say of covariates."""
    trees = lgb.train({**_TREES, **settings}, lgb.Dataset(X, y, weight=weight), N_TREES)
    return lambda X: np.asarray(trees.predict(X), np.float64)
