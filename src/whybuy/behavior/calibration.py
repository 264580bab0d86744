"""Calibration of probabilities: reliability curves, expected calibration error, and a cross-fitted repair.

Everything is made from sums per bin of the predicted logit, so a log of any length costs a few thousand numbers, and
sums of shards add up.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

Float64 = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_LOWEST, _STEP, N_BINS = -10.0, 0.25, 80
NEEDED_ECE = 0.01
"""A head with a larger error is recalibrated."""


@dataclass(frozen=True)
class BinSums:
    """Predictions n, their sum and that of what happened, (n_folds, N_BINS, n_heads) each."""

    n: Float64
    predicted: Float64
    happened: Float64

    @classmethod
    def zeros(cls, n_folds: int, n_heads: int) -> "BinSums":
        """Return empty sums."""
        shape = (n_folds, N_BINS, n_heads)
        return cls(np.zeros(shape), np.zeros(shape), np.zeros(shape))

    @classmethod
    def of(cls, p: Float64, happened: Float64, keep: npt.NDArray[np.bool_], fold: Ints, n_folds: int) -> "BinSums":
        """Return the sums of one block.

        Parameters
        ----------
        p, happened : (n, n_heads) predictions and 0 or 1
        keep : (n, n_heads) which of them count
        fold : (n,) fold of the user, for the cross-fitted repair
        """
        n_heads = p.shape[1]
        at = np.floor((logit(np.clip(p, 1e-9, 1 - 1e-9)) - _LOWEST) / _STEP).astype(np.int64)
        at = np.clip(at, 0, N_BINS - 1)
        key = (fold[:, None] * N_BINS + at) * n_heads + np.arange(n_heads)

        def total(weight: Float64) -> Float64:
            flat: Float64 = np.bincount(key[keep], weights=weight[keep], minlength=n_folds * N_BINS * n_heads).astype(
                float
            )
            return flat.reshape(n_folds, N_BINS, n_heads)

        return cls(total(np.ones_like(p)), total(p), total(happened))

    def __add__(self, other: "BinSums") -> "BinSums":
        """Return the sums of both."""
        return BinSums(self.n + other.n, self.predicted + other.predicted, self.happened + other.happened)

    def error(self) -> Float64:
        """Return (n_heads,) expected calibration errors: mean |share that happened - mean prediction| over bins.

        Naeini, Cooper and Hauskrecht, 2015, equation 3, on bins of equal width in the logit, which see rare events.
        NaN for a head without predictions.
        """
        n, predicted, happened = self.n.sum(0), self.predicted.sum(0), self.happened.sum(0)
        with np.errstate(invalid="ignore"):
            found: Float64 = np.abs(happened - predicted).sum(0) / n.sum(0)
        return found

    def sampling_error(self) -> Float64:
        """Return (n_heads,) the error that perfect predictions would show on as many decisions, by chance alone.

        In a bin of n predictions of mean p the share that happens misses p by sqrt(2 p (1 - p) / (pi n)) on average
        (the mean of |x| for a normal x) where decisions are independent. Those of one user are not, so this is a lower
        bound.
        """
        n, predicted = self.n.sum(0), self.predicted.sum(0)
        p = np.divide(predicted, n, out=np.zeros_like(n), where=n > 0)
        with np.errstate(invalid="ignore"):
            found: Float64 = np.sqrt(2 / np.pi * n * p * (1 - p)).sum(0) / n.sum(0)
        return found

    def repaired(self) -> "BinSums":
        """Return the sums after isotonic regression, fitted for every fold on the other folds."""
        predicted = self.predicted.copy()
        for head in range(self.n.shape[2]):
            for fold in range(len(self.n)):
                others = np.arange(len(self.n)) != fold
                predicted[fold, :, head] = _isotonic(self._head(head, others), self._head(head, ~others))
        return BinSums(self.n, predicted, self.happened)

    def _head(self, head: int, folds: npt.NDArray[np.bool_]) -> tuple[Float64, Float64, Float64]:
        return tuple(part[folds, :, head].sum(0) for part in (self.n, self.predicted, self.happened))


def _isotonic(fitted: tuple[Float64, Float64, Float64], asked: tuple[Float64, Float64, Float64]) -> Float64:
    """(N_BINS,) sums of ``asked``'s predictions after the curve of ``fitted``; unchanged where nothing was fitted."""
    n, predicted, happened = fitted
    used = n > 0
    if not used.any():
        return asked[1]
    curve = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
    curve.fit(predicted[used] / n[used], happened[used] / n[used], sample_weight=n[used])
    mean = np.divide(asked[1], asked[0], out=np.zeros(N_BINS), where=asked[0] > 0)
    repaired: Float64 = curve.predict(mean) * asked[0]
    return repaired


@dataclass(frozen=True)
class Platt:
    """Recalibration of one head by a line in the logit (Platt, 1999): it takes few people to fit and keeps the order.

    Attributes
    ----------
    slope, intercept : of the recalibrated logit over the head's own
    """

    slope: float
    intercept: float

    @classmethod
    def fit(cls, logits: Float64, happened: npt.NDArray[np.bool_]) -> "Platt":
        """Fit on predictions for people who did not teach the head; unchanged where all or none of it happened."""
        if happened.all() or not happened.any():
            return cls(1.0, 0.0)
        # A little shrinkage towards no relation, so that few and separable outcomes have a finite slope.
        found = LogisticRegression(C=10.0).fit(logits[:, None], happened)
        return cls(float(found.coef_[0, 0]), float(found.intercept_[0]))

    def logit(self, logits: Float64) -> Float64:
        """Return recalibrated logits."""
        return self.slope * logits + self.intercept

    def probability(self, logits: Float64) -> Float64:
        """Return recalibrated probabilities."""
        p: Float64 = expit(self.logit(logits))
        return p


@dataclass(frozen=True)
class Reliability:
    """One head on later data, judged by the twin that was not trained on the user.

    Attributes
    ----------
    name : the behavior
    kind : "e" (propensity) or "m" (outcome within the horizon)
    n : predictions
    ece, ece_repaired : expected calibration error before and after the cross-fitted isotonic repair
    ece_by_chance : what a perfect head would show on so many decisions, at least
    predicted, happened, weight : of every bin that has predictions
    """

    name: str
    kind: str
    n: int
    ece: float
    ece_repaired: float
    ece_by_chance: float
    predicted: tuple[float, ...]
    happened: tuple[float, ...]
    weight: tuple[int, ...]

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> "Reliability":
        """Read what :meth:`to_json` gave."""
        curves: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in raw.items()}
        return cls(**curves)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in self.__dict__.items()}


def reliabilities(sums: BinSums, names: list[str], kind: str) -> list[Reliability]:
    """Return the curves of all heads that have predictions; only those that need it are repaired."""
    error, repaired, by_chance = sums.error(), sums.repaired().error(), sums.sampling_error()
    found = []
    for head, name in enumerate(names):
        n, predicted, happened = (part[:, :, head].sum(0) for part in (sums.n, sums.predicted, sums.happened))
        used = n > 0
        if not used.any():
            continue
        found.append(
            Reliability(
                name=name,
                kind=kind,
                n=int(n.sum()),
                ece=float(error[head]),
                ece_repaired=float(repaired[head] if error[head] > NEEDED_ECE else error[head]),
                ece_by_chance=float(by_chance[head]),
                predicted=tuple((predicted[used] / n[used]).tolist()),
                happened=tuple((happened[used] / n[used]).tolist()),
                weight=tuple(n[used].astype(int).tolist()),
            )
        )
    return found
