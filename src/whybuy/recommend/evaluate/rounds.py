"""What every estimator is made of: sums over rows, whose ratios add up to the value of a policy.

IPS is sum wR / n, SNIPS sum wR / sum w, self-normalized DR the sum of one such ratio of either kind. Kept apart, the
sums of users can be resampled and every ratio formed anew in each resample, as its error demands.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from whybuy.causal.clusters import Float64


@dataclass(frozen=True, eq=False, kw_only=True)
class Rounds:
    """A policy's value on a log: the sum over j of sum numerators[:, j] / sum denominators[:, j].

    Attributes
    ----------
    numerators, denominators : (n, k) what every row contributes
    weight : (n,) importance weights as they are, expected to average 1
    used : (n,) those that the estimate rests on, after clipping or switching
    counts : (n,) rows whose weight counts: all, or one per slate where its rows share a weight
    """

    numerators: Float64
    denominators: Float64
    weight: Float64
    used: Float64
    counts: npt.NDArray[np.bool_]

    @classmethod
    def of(
        cls,
        *ratios: tuple[Float64, Float64],
        weight: Float64,
        used: Float64 | None = None,
        counts: npt.NDArray[np.bool_] | None = None,
    ) -> "Rounds":
        """Return the rounds of (numerator, denominator) pairs, each (n,)."""
        return cls(
            numerators=np.stack([numerator for numerator, _ in ratios], axis=1),
            denominators=np.stack([denominator for _, denominator in ratios], axis=1),
            weight=weight,
            used=weight if used is None else used,
            counts=np.ones(len(weight), bool) if counts is None else counts,
        )

    @property
    def estimate(self) -> float:
        """The policy's value, in units of the reward; NaN where nothing carries it."""
        totals = self.denominators.sum(axis=0)
        if (totals <= 0).any():
            return float("nan")
        return float((self.numerators.sum(axis=0) / totals).sum())
