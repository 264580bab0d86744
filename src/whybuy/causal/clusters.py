"""Ratios of sums over clusters, which every effect of this package is, with errors by cluster.

Decisions of one user are alike, so the user is the unit that is sampled: a cluster adds its sum to the numerator and
to the denominator, and what one cluster more or less would change is the error.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

JACKKNIFE_BELOW = 100.0


@dataclass(frozen=True)
class Ratio:
    """A ratio of sums, its clustered standard error, and how many clusters of equal weight carry it.

    Value and error are NaN where the denominator is not positive or there is but one cluster.
    """

    value: float
    std_error: float
    effective: float


def clustered_ratio(numerator: Float64, denominator: Float64 | float, cluster: Ints) -> Ratio:
    """Return the sum of ``numerator`` over that of ``denominator``, with its error by cluster.

    Below 100 effective clusters the error is the delete-one-cluster jackknife's, else linearized with the
    U / (U - 1) correction.

    Parameters
    ----------
    numerator, denominator : (n,) contributions of every row
    cluster : (n,) cluster of every row, numbered from 0 without gaps

    Source: Cameron and Miller (Journal of Human Resources, 2015), sections II and VI.
    """
    N = np.bincount(cluster, numerator)
    D = np.bincount(cluster, np.broadcast_to(denominator, np.shape(numerator)))
    if D.sum() <= 0 or len(N) < 2:
        return Ratio(float("nan"), float("nan"), 0.0)
    value, U = N.sum() / D.sum(), len(N)
    effective = float(D.sum() ** 2 / (D**2).sum())
    if effective < JACKKNIFE_BELOW:
        rest = D.sum() - D
        if (rest <= 0).any():
            return Ratio(float(value), float("nan"), effective)  # one cluster has all the weight
        without = (N.sum() - N) / rest
        return Ratio(float(value), float(np.sqrt((U - 1) / U * ((without - value) ** 2).sum())), effective)
    return Ratio(float(value), float(influence_error((N - value * D) / D.sum())), effective)


def influence_error(influence: Float64) -> float:
    """Return the standard error of an estimate from the (n_clusters,) influences of its clusters."""
    U = len(influence)
    return float(np.sqrt(U / (U - 1) * (influence**2).sum()))
