"""How good a prediction of yes or no is, beside knowing nothing: accuracy, AUC, log-loss, calibration.

Moments of one user are alike, so every interval draws users again, not moments.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from whybuy.errors import QuestionError
from whybuy.events.sequences import Bools, Ints

Doubles = npt.NDArray[np.float64]

N_RESAMPLES = 300
N_BINS = 10
_LEAST = 1e-7
"""A prediction nearer to 0 or 1 is taken as this, as Keras does: one sure mistake is not an infinite loss."""


@dataclass(frozen=True)
class Measure:
    """A figure with its 95% interval over users."""

    estimate: float
    ci_low: float
    ci_high: float

    def __str__(self) -> str:
        return f"{self.estimate:.4f} [{self.ci_low:.4f}, {self.ci_high:.4f}]"


@dataclass(frozen=True)
class CalibrationBin:
    """A tenth of the moments, by prediction: the mean prediction and the share of yes."""

    n: int
    predicted: float
    observed: Measure


@dataclass(frozen=True)
class Judged:
    """What a prediction is worth on moments that it did not learn from.

    Attributes
    ----------
    base_rate : share of yes where it was learnt: what knowing nothing predicts
    accuracy, auc, log_loss : of the prediction; nats
    base_log_loss : of always predicting the base rate
    gain : base_log_loss - log_loss, nats
    always_accuracy : of always answering what is commoner by the base rate
    over_always : accuracy - always_accuracy
    calibration : tenths of the moments by prediction
    """

    base_rate: float
    accuracy: Measure
    auc: Measure
    log_loss: Measure
    base_log_loss: float
    gain: Measure
    always_accuracy: float
    over_always: Measure
    calibration: tuple[CalibrationBin, ...]

    @property
    def calibration_error(self) -> float:
        """Mean distance of prediction and share of yes over the bins (ECE)."""
        n = sum(one.n for one in self.calibration)
        return sum(one.n * abs(one.predicted - one.observed.estimate) for one in self.calibration) / n

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON; :meth:`from_json` reads it back."""
        bins = [asdict(one) for one in self.calibration]
        return {**asdict(self), "calibration": bins, "calibration_error": self.calibration_error}

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> Self:
        """Return what :meth:`to_json` wrote; other keys are ignored."""
        known = {name: raw[name] for name in cls.__dataclass_fields__}
        for name in ("accuracy", "auc", "log_loss", "gain", "over_always"):
            known[name] = Measure(**known[name])
        bins = ((one["n"], one["predicted"], Measure(**one["observed"])) for one in raw["calibration"])
        return cls(**{**known, "calibration": tuple(CalibrationBin(*one) for one in bins)})

    def to_frame(self) -> pd.DataFrame:
        """Return one row per figure: measure, estimate, ci_low, ci_high, and what knowing nothing gives."""
        rows = [
            ("accuracy", *asdict(self.accuracy).values(), self.always_accuracy),
            ("auc", *asdict(self.auc).values(), 0.5),
            ("log_loss", *asdict(self.log_loss).values(), self.base_log_loss),
        ]
        return pd.DataFrame(rows, columns=["measure", "estimate", "ci_low", "ci_high", "knowing_nothing"])


def judge(happened: Bools, predicted: npt.ArrayLike, user: Ints, *, base_rate: float, seed: int = 0) -> Judged:
    """Return what the predictions are worth.

    Parameters
    ----------
    happened : (n,) what came true; both kinds
    predicted : (n,) probabilities
    user : (n,) number of the user of each moment
    base_rate : share of yes among the moments learnt from, in (0, 1)

    Raises
    ------
    QuestionError
        All moments are alike.
    """
    n_yes = int(happened.sum())
    if n_yes in (0, len(happened)):
        raise QuestionError.of(
            found=f"{n_yes:,} of {len(happened):,} moments to judge by are yes",
            needed="moments of both kinds",
            do="Judge more users, or another horizon",
        )
    p = np.clip(np.asarray(predicted, np.float64), _LEAST, 1 - _LEAST)
    nats = -np.log(np.where(happened, p, 1 - p))
    base_nats = -np.log(np.where(happened, base_rate, 1 - base_rate))
    right = (p > 0.5) == happened
    always = happened == (base_rate > 0.5)
    columns = np.stack([right, nats, base_nats - nats, right * 1.0 - always], axis=1)
    _, level = np.unique(p, return_inverse=True)
    tenth = np.argsort(np.argsort(p, kind="stable"), kind="stable") * min(N_BINS, len(p)) // len(p)

    def figures(weight: Doubles) -> Doubles:
        """Return accuracy, log-loss, gain, accuracy over always, AUC, and the share of yes of every bin."""
        means = weight @ columns / weight.sum()
        size = np.bincount(tenth, weight)
        yes = np.divide(np.bincount(tenth, weight * happened), size, out=np.full(len(size), np.nan), where=size > 0)
        return np.concatenate([means, [_auc(happened, level, weight)], yes])

    estimate = figures(np.ones(len(p)))
    low, high = _interval(figures, user, seed)
    found = [Measure(*map(float, three)) for three in zip(estimate, low, high, strict=True)]
    size, mean = np.bincount(tenth), np.bincount(tenth, p) / np.bincount(tenth)
    return Judged(
        base_rate=base_rate,
        accuracy=found[0],
        auc=found[4],
        log_loss=found[1],
        base_log_loss=float(base_nats.mean()),
        gain=found[2],
        always_accuracy=float(always.mean()),
        over_always=found[3],
        calibration=tuple(
            CalibrationBin(int(n), float(m), one) for n, m, one in zip(size, mean, found[5:], strict=True)
        ),
    )


def _auc(happened: Bools, level: Ints, weight: Doubles) -> float:
    """Return P(a yes is predicted higher than a no), half where equal; NaN without one of the two."""
    yes, no = np.bincount(level, weight * happened), np.bincount(level, weight * ~happened)
    below = np.cumsum(no) - no / 2
    pairs = yes.sum() * no.sum()
    return float((yes * below).sum() / pairs) if pairs > 0 else float("nan")


def _interval(figures: Callable[[Doubles], Doubles], user: Ints, seed: int) -> tuple[Doubles, Doubles]:
    """Return the 2.5% and 97.5% quantiles of the figures when users are drawn again with replacement."""
    _, code = np.unique(user, return_inverse=True)
    n = int(code.max()) + 1
    rng = np.random.default_rng(seed)
    drawn = (np.bincount(rng.integers(0, n, n), minlength=n).astype(float) for _ in range(N_RESAMPLES))
    again = np.stack([figures(times[code]) for times in drawn])
    # A drawing may miss a whole bin, or all yes: it says nothing of that figure.
    low, high = np.nanquantile(again, [0.025, 0.975], axis=0)
    return low, high
