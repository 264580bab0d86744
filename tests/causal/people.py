"""People whose effects differ, with every truth known: what the tests of average, group and array estimators share.

A user has a taste u ~ N(0, 1) and is new or not (half are). At each of their decisions x = .8 u + .6 noise and

    P(T = 1)     = e  = .05 + .9 expit(1.5 x - 1)
    effect       = tau = .02 + .2 expit(2 x) + .1 new
    P(Y = 1 | T) = p0 + T tau,  p0 = .1 + .4 expit(x)

x raises treatment, outcome and effect, so the naive difference is too large and ATE < ATO < ATT. Of a user's draws of T
half are one and the same, and so are half of the draws of Y: decisions of a user are alike, whatever is known of them.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from whybuy.causal.checks import PairData

N_FOLDS = 3


@dataclass(frozen=True)
class People:
    x: np.ndarray
    new: np.ndarray
    tau: np.ndarray
    data: PairData
    fold: np.ndarray

    @property
    def Z(self) -> np.ndarray:
        """What effects may differ by."""
        return np.stack([self.x, self.new], axis=1).astype(np.float32)

    @property
    def naive(self) -> float:
        T, Y = self.data.T, self.data.Y
        return Y[T > 0].mean() - Y[T == 0].mean()


def draw(seed: int, *, n_users: int = 300, each: int = 20, differ: bool = True) -> People:
    """Return people with their true nuisances; one effect of .15 for all where they do not ``differ``."""
    rng = np.random.default_rng(seed)
    user = np.repeat(np.arange(n_users), each)
    x = 0.8 * rng.normal(size=n_users)[user] + 0.6 * rng.normal(size=len(user))
    new = (np.arange(n_users) % 2)[user].astype(float)
    e, p0, tau = _chances(x, new)
    tau = tau if differ else np.full(len(x), 0.15)

    def alike() -> np.ndarray:
        return np.where(rng.random(len(x)) < 0.5, rng.random(n_users)[user], rng.random(len(x)))

    T = (alike() < e).astype(float)
    Y = (alike() < p0 + T * tau).astype(float)
    return People(x, new, tau, PairData(T, Y, e, p0 + e * tau, user), (user // 2) % N_FOLDS)


def _chances(x: np.ndarray, new: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return 0.05 + 0.9 * expit(1.5 * x - 1), 0.1 + 0.4 * expit(x), 0.02 + 0.2 * expit(2 * x) + 0.1 * new


def truths() -> dict[str, float]:
    """Return ATO, ATE and ATT by Gauss-Hermite quadrature over x, half of the people being new."""
    x, weight = np.polynomial.hermite_e.hermegauss(80)
    e, _, tau = _chances(x, np.full(len(x), 0.5))
    weights = {"ato": e * (1 - e), "ate": np.ones(len(x)), "att": e}
    return {name: float(np.average(tau, weights=weight * w)) for name, w in weights.items()}


TRUTHS = truths()
