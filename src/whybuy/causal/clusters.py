"""Ratios of sums over clusters, which every effect of this package is, with errors by cluster.

Decisions of one user are alike, so the user is the unit that is sampled: a cluster adds its sum to the numerator and
to the denominator, and what one cluster more or less would change is the error.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

JACKKNIFE_BELOW = 100.0


@dataclass(frozen=True)
class Ratio:
    """A ratio of sums, and how many clusters of equal weight carry it.

    Attributes
    ----------
    value : NaN where the denominator is not positive
    influence : (n_clusters,) what every cluster adds to the error; NaN where none can be computed
    """

    value: float
    influence: Float64
    effective: float

    @property
    def std_error(self) -> float:
        """Its clustered standard error: the squares of the influences sum to the variance."""
        return float(np.sqrt((self.influence**2).sum()))


def clustered_ratio(numerator: Float64, denominator: Float64 | float, cluster: Ints) -> Ratio:
    """Return the sum of ``numerator`` over that of ``denominator``, with its error by cluster.

    Parameters
    ----------
    numerator, denominator : (n,) contributions of every row
    cluster : (n,) cluster of every row, numbered from 0 without gaps
    """
    N = np.bincount(cluster, numerator).astype(float)
    D = np.bincount(cluster, np.broadcast_to(denominator, np.shape(numerator))).astype(float)
    return ratio_of_sums(N, D, n_clusters=len(N))


def ratio_of_sums(N: Float64, D: Float64, *, n_clusters: int) -> Ratio:
    """Return the ratio of the sums of what clusters contribute.

    Below 100 effective clusters the error is the delete-one-cluster jackknife's, else linearized with the
    U / (U - 1) correction.

    Parameters
    ----------
    N, D : per-cluster numerators and denominators
    n_clusters : those that take part, of which others may stand among them with zeros

    Source: Cameron and Miller (Journal of Human Resources, 2015), sections II and VI.
    """
    total = float(D.sum())
    if total <= 0 or n_clusters < 2:
        return Ratio(float("nan"), np.full(len(N), np.nan), 0.0)
    value = float(N.sum()) / total
    effective = total**2 / float((D**2).sum())
    if effective >= JACKKNIFE_BELOW:
        return Ratio(value, np.sqrt(n_clusters / (n_clusters - 1)) * (N - value * D) / total, effective)
    rest = total - D
    if (rest <= 0).any():  # one cluster has all the weight
        return Ratio(value, np.full(len(N), np.nan), effective)
    # The ratio, less that without a cluster.
    return Ratio(value, np.sqrt((n_clusters - 1) / n_clusters) * (N - value * D) / rest, effective)


def crossed_ratio(numerator: Float64, denominator: Float64, clusters: Sequence[Ints]) -> tuple[float, float, float]:
    """Return a ratio of sums, its standard error by one or two crossed kinds of clusters, and the effective clusters.

    With two kinds, say users and items, the variance is that by the one plus that by the other less that by both at
    once; it is taken to be no less than either. The effective number is that of the kind with fewer.

    Parameters
    ----------
    numerator, denominator : (n,) contributions of every row
    clusters : one or two times (n,), each numbered from 0 without gaps

    Source: Cameron, Gelbach and Miller (Journal of Business and Economic Statistics, 2011), equation 2.11.
    """
    each = [clustered_ratio(numerator, denominator, cluster) for cluster in clusters]
    variances = [ratio.std_error**2 for ratio in each]
    variance = max(variances)
    if len(clusters) > 1:
        _, both = np.unique(np.stack(clusters, axis=1), axis=0, return_inverse=True)
        common = clustered_ratio(numerator, denominator, both.ravel()).std_error ** 2
        variance = max(variance, sum(variances) - common)
    return each[0].value, float(np.sqrt(variance)), min(ratio.effective for ratio in each)


def influence_error(influence: Float64) -> float:
    """Return the standard error of an estimate from the (n_clusters,) influences of its clusters."""
    U = len(influence)
    return float(np.sqrt(U / (U - 1) * (influence**2).sum()))
