"""From outcomes of two groups of people to estimates: plain arrays in, :class:`Estimate` out.

Randomized: the difference of proportions, and the same sharpened by what people did before (interacted regression).
Otherwise: the overlap-weighted effect by residual on residual (with errors by user, since one person can be a control
before being sent it), and the effect on the people sent it by augmented inverse probability weights.
"""

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from whybuy.campaign.difference import UNITS_PER_COLUMN, lin_difference
from whybuy.campaign.history import Bools, Floats
from whybuy.campaign.nuisance import Nuisances
from whybuy.causal.checks import PairData
from whybuy.causal.effects import Estimate
from whybuy.causal.residuals import plain_pair_sums

Float64 = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

MAX_E = 0.99
SHARE_BELOW_MAX_E = 0.95


def difference(treated: Bools, outcome: Bools | Float64, *, estimand: str = "ate") -> Estimate:
    """Return the difference of two proportions or means, variances not pooled.

    The interval is Wald's: p1 - p0 plus or minus 1.96 sqrt(p1 (1 - p1) / n1 + p0 (1 - p0) / n0). It is asked only where
    both arms have at least 20 people with the outcome, where Wald's interval holds its level.
    """
    means, variances = [], []
    for arm in (treated, ~treated):
        n = int(arm.sum())
        if n == 0:
            return Estimate(estimand=estimand)
        of_arm = outcome[arm].astype(float)
        means.append(float(of_arm.mean()))
        variances.append(float(of_arm.var()) / n)
    return Estimate.of(estimand, means[0] - means[1], math.sqrt(sum(variances)))


def regression_adjusted(
    treated: Bools, outcome: Bools | Float64, Z: Floats | Float64, *, estimand: str = "ate_regression_adjusted"
) -> Estimate:
    """Return the difference of arm-wise regressions at the common mean of pre-period covariates.

    Not computed with fewer than 10 people per covariate in an arm; see :mod:`whybuy.campaign.difference`.
    """
    if Z.shape[1] == 0 or min(treated.sum(), (~treated).sum()) < UNITS_PER_COLUMN * Z.shape[1]:
        return Estimate(estimand=estimand)
    found = lin_difference(outcome.astype(float), treated, Z.astype(float), np.ones(len(Z)))
    return Estimate.of(estimand, found.estimate, found.std_error)


def overlap_weighted(data: PairData) -> tuple[Estimate, float]:
    """Return the ATO and the effective number of users behind it."""
    if len(data.T) == 0:
        return Estimate(estimand="ato"), 0.0
    sums = plain_pair_sums(data.RT[:, None], data.RY[:, None], data.user)
    if not sums.D[0, 0] > 0:
        return Estimate(estimand="ato"), 0.0
    estimate = Estimate.of("ato", float(sums.estimate[0, 0]), float(sums.std_error[0, 0]))
    return estimate, float(sums.effective_users[0, 0])


def effect_on_the_treated(data: PairData, nuisances: Nuisances) -> Estimate:
    """Return the ATT by augmented inverse probability weighting, clustered by user.

    Refused where fewer than 95% of the people have a propensity of at most .99: their controls would weigh over 99
    people each. The few beyond weigh as much as .99 allows.

    Source: Chernozhukov et al., Double/debiased machine learning (Econometrics Journal, 2018), the score of the ATTE.
    """
    if (nuisances.e <= MAX_E).mean() < SHARE_BELOW_MAX_E:
        return Estimate(estimand="att")
    e = np.minimum(nuisances.e, MAX_E)
    residual = data.Y - nuisances.m_control
    n_treated = data.T.sum()
    part = (data.T - (1 - data.T) * e / (1 - e)) * residual
    estimate = float(part.sum() / n_treated)
    by_user = np.bincount(data.user, part - data.T * estimate)
    correction = len(by_user) / (len(by_user) - 1)
    return Estimate.of("att", estimate, math.sqrt(correction * float((by_user**2).sum())) / float(n_treated))


def holm(p_values: list[float | None]) -> list[float | None]:
    """Return Holm-adjusted p-values; None stays None and is not in the family.

    Source: Holm, A simple sequentially rejective multiple test procedure (Scandinavian Journal of Statistics, 1979).
    """
    known = [(p, i) for i, p in enumerate(p_values) if p is not None]
    adjusted: list[float | None] = [None] * len(p_values)
    for i, value in _step_down(sorted(known)):
        adjusted[i] = value
    return adjusted


def _step_down(ordered: list[tuple[float, int]]) -> Iterator[tuple[int, float]]:
    highest = 0.0
    for rank, (p, i) in enumerate(ordered):
        highest = max(highest, min(1.0, p * (len(ordered) - rank)))
        yield i, highest
