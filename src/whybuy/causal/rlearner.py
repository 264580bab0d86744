"""How effects differ between decisions: tau(x) by the R-learner, cheap enough for every confirmed pair.

Residual outcome on residual treatment, with a slope that depends on a handful of covariates: how likely the treatment
and the outcome were, the user's own history with both, and the user's attributes. A ridge whose penalty is chosen on
users left out keeps the slope near constant unless unseen users agree that it is not. LightGBM, and a ridge on all
covariates, had larger R-losses at 20 and more times the price (``docs/experiments.md``).

Source: Nie and Wager, Quasi-oracle estimation of heterogeneous treatment effects (Biometrika, 2021), equation 4.
"""

import numpy as np
import numpy.typing as npt
from scipy.special import logit

from whybuy.causal.checks import PairData
from whybuy.causal.ridge import FoldSums, fit_folds, with_intercept
from whybuy.causal.trials import Columns
from whybuy.events.behaviors import Behavior

Float64 = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


def r_learner(Z: npt.NDArray[np.floating], RT: Float64, RY: Float64, fold: Ints) -> Float64:
    """Return (n,) effects tau(z) = b0 + z'b that minimize sum (RY - tau RT)^2, each by users of other folds.

    Minimizing it is a ridge regression of RY / RT on z with weights RT^2, so its sums are those of rows (1, z) RT and
    targets RY. The constant is not penalized.

    Parameters
    ----------
    Z : (n, k) what effects may differ by, known before the decision
    RT, RY : (n,) out-of-fold residuals
    fold : (n,) fold of each row, from 0 without gaps, constant within a user
    """
    A = with_intercept(Z)
    weighted = A * RT[:, None]
    sums = FoldSums.zeros(int(fold.max()) + 1, Z.shape[1], 1, 0, 0)
    sums.add(weighted, RY[:, None], fold, np.zeros((len(Z), 0), np.uint8))
    beta = fit_folds(sums, [np.arange(Z.shape[1])])[:, :, 0]
    return np.einsum("nk,nk->n", A, beta[fold])


def modifiers(
    X: Floats, columns: Columns, pair: tuple[Behavior, Behavior], data: PairData, keep: npt.NDArray[np.bool_]
) -> Floats:
    """Return (n, k) what the effect of ``pair`` may differ by, for the trials ``keep`` of X.

    The logits of e and m, attributes, and the counts of the treatment and of the outcome.
    """
    about = {f"{behavior} in" for behavior in pair}
    few = [
        i
        for i, (name, group) in enumerate(zip(columns.names, columns.groups, strict=True))
        if group == "attribute" or (columns.logged[i] and any(name.startswith(start) for start in about))
    ]
    chances = np.clip(np.stack([data.e, data.m], axis=1), 1e-3, 1 - 1e-3)
    return np.concatenate([logit(chances), X[:, few][keep]], axis=1).astype(np.float32)
