"""People drawn by equations with a known effect, as the arrays that comparisons are made of."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from whybuy import columns as c
from whybuy.campaign.compare import Comparison
from whybuy.campaign.compared import Compared
from whybuy.campaign.exposures import Exposures
from whybuy.campaign.joint import joint_of
from whybuy.campaign.nuisance import crossfit


def logistic(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


@dataclass(frozen=True)
class Crowd:
    """``heat`` is how keen people are; it is logged, up to a second covariate that says nothing."""

    rng: np.random.Generator
    heat: np.ndarray
    X: np.ndarray

    @classmethod
    def of(cls, seed: int, n: int) -> "Crowd":
        rng = np.random.default_rng(seed)
        heat = rng.normal(size=n)
        return cls(rng, heat, np.column_stack([heat, rng.normal(size=n)]).astype(np.float32))

    def coin(self, p) -> np.ndarray:
        return self.rng.random(len(self.heat)) < p

    def buys(self, lift) -> np.ndarray:
        """Whether people buy: P = .1 + .4 logistic(2 heat) + lift."""
        return self.coin(0.1 + 0.4 * logistic(2 * self.heat) + lift)

    def rows(self, treated: np.ndarray, arm: np.ndarray | None = None) -> pd.DataFrame:
        users = [f"u{i:06d}" for i in range(len(treated))]
        return pd.DataFrame({c.USER: users, c.TIME_MS: 0, "treated": treated, c.ARM: arm})

    def drawn(self, treated: np.ndarray, arm: np.ndarray | None = None) -> Comparison:
        """The comparison where people were assigned at random."""
        return Comparison.of(self.rows(treated, arm), treated, self.X, None)

    def picked(self, treated: np.ndarray) -> Comparison:
        """The comparison where they were picked, propensities learned."""
        plain = Comparison.of(self.rows(treated), treated, self.X, None)
        e = crossfit(plain.people, treated, np.ones(len(treated), bool), seed=0, boost=False)
        return Comparison.of(self.rows(treated), treated, self.X, e)


def alone(n: int) -> Exposures:
    return Exposures({}, {}, np.zeros(n, int))


def compared(comparison: Comparison, outcome: np.ndarray, exposures: Exposures | None = None) -> Compared:
    exposures = exposures or alone(len(outcome))
    return Compared(comparison, outcome, exposures, joint_of(comparison, exposures))


def covers(effect, truth: float) -> bool:
    return effect.ci_low <= truth <= effect.ci_high
