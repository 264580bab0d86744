"""What the heads are taught: which behaviors a moment is, which outcomes follow it, and how much of them."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from whybuy import columns as c
from whybuy.config import duration_ms
from whybuy.events.features import FeatureSpec
from whybuy.events.moments import BehaviorIndex, Moments, decisions, in_moment, prefix_counts, within
from whybuy.events.sequences import Bools, Sequences

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

FORECAST_HORIZONS_MS = tuple(duration_ms(h) for h in ("1d", "7d", "30d"))
_PURCHASE = c.ACTIONS.index("purchase")


@dataclass(frozen=True)
class Heads:
    """Which outputs a model has, in order.

    Attributes
    ----------
    spec : the features of history, and in ``spec.index`` the behaviors whose propensity is modeled
    outcomes : positions in ``index`` of the behaviors that are outcomes
    horizons_ms : horizons of the nuisance outcomes, milliseconds
    forecasts_ms : horizons of the forecasts
    end_ms : end of the observed window: a horizon that passes it is censored
    """

    spec: FeatureSpec
    outcomes: tuple[int, ...]
    horizons_ms: tuple[int, ...]
    forecasts_ms: tuple[int, ...]
    end_ms: int

    @property
    def index(self) -> BehaviorIndex:
        """The behaviors whose propensity is modeled."""
        return self.spec.index

    @property
    def n_behaviors(self) -> int:
        """Number of propensities."""
        return len(self.index.behaviors)

    @property
    def n_outcomes(self) -> int:
        """Number of nuisance outcomes: horizon after horizon, outcome by outcome."""
        return len(self.outcomes) * len(self.horizons_ms)

    @property
    def n_forecasts(self) -> int:
        """Number of forecast outcomes: horizon after horizon, outcome by outcome."""
        return len(self.outcomes) * len(self.forecasts_ms)


def forecast_horizons(horizons_ms: tuple[int, ...], span_ms: int) -> tuple[int, ...]:
    """Return 1, 7 and 30 days and the config's horizons, as far as a log of ``span_ms`` can teach them.

    A horizon of more than half of the log has hardly any moment with full follow-up.
    """
    found = sorted({*FORECAST_HORIZONS_MS, *horizons_ms})
    return tuple(h for h in found if 2 * h <= span_ms or h in horizons_ms)


@dataclass(frozen=True)
class Targets:
    """Labels of every moment.

    Attributes
    ----------
    decided : (n,) the moment is a decision
    behavior : (n, n_behaviors) 1 where the moment is the behavior
    outcome : (n, n_outcomes) 1 where the outcome follows within the horizon
    followed : (n, n_horizons) whether the horizon lies inside the observed window
    count : (n, n_forecasts) how often the outcome follows within a forecast horizon, at most 255
    spend : (n, n_forecast_horizons) money of the purchases that follow
    forecast_followed : (n, n_forecast_horizons) whether the forecast horizon lies inside the observed window
    """

    decided: Bools
    behavior: Bytes
    outcome: Bytes
    followed: Bools
    count: Bytes
    spend: Floats
    forecast_followed: Bools


def targets_of(sequences: Sequences, moments: Moments, heads: Heads) -> Targets:
    """Return the labels of the moments of ``sequences``."""
    prefix = prefix_counts(heads.index.hits(sequences))
    outcome_prefix = np.ascontiguousarray(prefix[:, heads.outcomes])
    none = np.empty((len(moments), 0), np.uint8)
    after = [within(outcome_prefix, moments, horizon) for horizon in heads.horizons_ms]
    count = [_count(outcome_prefix, moments, horizon) for horizon in heads.forecasts_ms]
    spent = np.zeros(sequences.n_events + 1)
    np.cumsum(np.where(np.asarray(sequences.action) == _PURCHASE, sequences.spend, 0), out=spent[1:])
    # A difference of running sums can fall below zero by rounding.
    spend = [np.maximum(spent[moments.until(h)] - spent[moments.end], 0) for h in heads.forecasts_ms]
    return Targets(
        decided=decisions(sequences, moments),
        behavior=in_moment(prefix, moments),
        outcome=np.concatenate([none, *after], axis=1),
        followed=moments.ts_ms[:, None] + np.array(heads.horizons_ms, np.int64) <= heads.end_ms,
        count=np.concatenate([none, *count], axis=1),
        spend=np.stack(spend, axis=1).astype(np.float32) if spend else np.empty((len(moments), 0), np.float32),
        forecast_followed=moments.ts_ms[:, None] + np.array(heads.forecasts_ms, np.int64) <= heads.end_ms,
    )


def _count(prefix: npt.NDArray[np.int32], moments: Moments, horizon_ms: int) -> Bytes:
    n = prefix[moments.until(horizon_ms)] - prefix[moments.end]
    return np.minimum(n, 255).astype(np.uint8)
