"""What the heads are taught: which behaviors a moment is, and which outcomes follow it."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from whybuy.events.features import FeatureSpec
from whybuy.events.moments import BehaviorIndex, Moments, decisions, in_moment, prefix_counts, within
from whybuy.events.sequences import Bools, Sequences

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Heads:
    """Which outputs a model has, in order.

    Attributes
    ----------
    spec : the features of history, and in ``spec.index`` the behaviors whose propensity is modeled
    outcomes : positions in ``index`` of the behaviors that are outcomes
    horizons_ms : horizons of the outcomes, milliseconds
    end_ms : end of the observed window: a horizon that passes it is censored
    """

    spec: FeatureSpec
    outcomes: tuple[int, ...]
    horizons_ms: tuple[int, ...]
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
        """Number of outcome outputs: horizon after horizon, outcome by outcome."""
        return len(self.outcomes) * len(self.horizons_ms)


@dataclass(frozen=True)
class Targets:
    """Labels of every moment.

    Attributes
    ----------
    decided : (n,) the moment is a decision
    behavior : (n, n_behaviors) 1 where the moment is the behavior
    outcome : (n, n_outcomes) 1 where the outcome follows within the horizon
    followed : (n, n_horizons) whether the horizon lies inside the observed window
    """

    decided: Bools
    behavior: Bytes
    outcome: Bytes
    followed: Bools


def targets_of(sequences: Sequences, moments: Moments, heads: Heads) -> Targets:
    """Return the labels of the moments of ``sequences``."""
    prefix = prefix_counts(heads.index.hits(sequences))
    outcome_prefix = np.ascontiguousarray(prefix[:, heads.outcomes])
    after = [within(outcome_prefix, moments, horizon) for horizon in heads.horizons_ms]
    return Targets(
        decided=decisions(sequences, moments),
        behavior=in_moment(prefix, moments),
        outcome=np.concatenate(after, axis=1),
        followed=moments.ts_ms[:, None] + np.array(heads.horizons_ms) <= heads.end_ms,
    )
