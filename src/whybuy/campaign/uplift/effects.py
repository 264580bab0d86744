"""An effect learned from targets that are as noisy as one person: half a line, half trees.

Effects are small beside the noise, and mostly smooth. A ridge regression finds the line in them with few people; small
boosted trees find what bends. Their mean was better than either where both have something to find, and hardly worse
than the better one elsewhere: share of the best possible gain from treating 30%, mean of ten worlds of 4,000 teaching
people (:mod:`whybuy.worlds.promotions`) and of six of 4,000 and of 1,500 (``tests/campaign/uplift/shoppers.py``), seeds
0-9, by the R-learner:

=======================================  =====  =====  =====
trees of 6 leaves alone                   .888   .882   .794
trees of 3 leaves alone                   .901   .919   .846
a line alone                              .902   .961   .925
the mean of a line and trees of 3         .916   .961   .912
trees on what the line leaves             .901   .961   .923
=======================================  =====  =====  =====
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from whybuy.campaign.uplift.boosters import EFFECT, Bins
from whybuy.causal.clusters import Float64
from whybuy.causal.ridge import FoldSums, fit_folds, with_intercept

Bools = npt.NDArray[np.bool_]
EffectModel = Callable[[Float64], Float64]
"""From (n, d) covariates to (n,) effects."""


def learn_effect(
    bins: Bins, target: Float64, *, use: Bools | None = None, weight: Float64 | None = None
) -> EffectModel:
    """Return the mean of a line and of trees that foretell ``target`` (n,).

    Parameters
    ----------
    use : (n,) rows that teach; all where None
    weight : (n,) of the rows; equal where None
    """
    trees = bins.learn(target, EFFECT, use=use, weight=weight)
    line = _line(bins, target, np.ones(len(target)) if weight is None else weight, use)
    # Beyond what was seen a line goes on for ever; trees do not.
    low, high = bins.X.min(axis=0), bins.X.max(axis=0)
    return lambda X: (trees(X) + with_intercept(np.clip(X, low, high)) @ line) / 2


def _line(bins: Bins, target: Float64, weight: Float64, use: Bools | None) -> Float64:
    """Return (d + 1,) coefficients, the mean of the folds' ridge regressions, the intercept first."""
    rows = np.arange(len(target)) if use is None else np.flatnonzero(use)
    root, d = np.sqrt(weight[rows])[:, None], bins.X.shape[1]
    sums = FoldSums.zeros(int(bins.fold.max()) + 1, d, 1, 0, 0)
    nothing_left_out = np.zeros((len(rows), 0), np.uint8)
    sums.add(with_intercept(bins.X[rows]) * root, target[rows, None] * root, bins.fold[rows], nothing_left_out)
    found: Float64 = fit_folds(sums, [np.arange(d)])[:, :, 0].mean(axis=0)
    return found
