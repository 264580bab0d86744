"""A world with treatment-confounder feedback: what people did before moves what moves them now.

A user has a hidden mood U ~ N(0, 1). At each of K decision points the interest L is seen, then the visit A is made or
not, and after the last one Y is counted:

    L_1     = .6 U + .8 noise
    P(A_t)  = pi(L_t, A_{t-1}) = expit(-.2 + .8 tanh(L_t) + .4 A_{t-1})
    L_{t+1} = .5 L_t + .5 A_t + .6 U + .6 noise
    Y       = L_{K+1} + .5 U + .1 (A_1 + ... + A_K) + .3 max(L_K, 0) A_K + noise

Interest leads to visits and to Y, so those who visit have the larger Y anyway: the naive contrast is too large. A visit
works mostly through later interest, so a regression on all visits and all interests at once cuts off what it is to
find; and because U moves interest and Y (never the visits, given what is seen), it opens a path that was closed.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

Chance = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Visits:
    """(K) interests (n, 1), (n, K) visits, (n,) outcome."""

    L: list[np.ndarray]
    A: np.ndarray
    Y: np.ndarray

    @property
    def H(self) -> list[np.ndarray]:
        """What is known before every decision: all interests so far (past visits are added by the estimator)."""
        return [np.column_stack(self.L[: t + 1]) for t in range(len(self.L))]


def visits(rng: np.random.Generator, n: int, *, K: int = 3, chance: Chance = lambda pi: pi) -> Visits:
    """Return ``n`` users; ``chance`` turns natural chances of a visit into those of a strategy."""
    U = rng.normal(size=n)
    interest = 0.6 * U + 0.8 * rng.normal(size=n)
    L, A, before = [], [], np.zeros(n)
    for _ in range(K):
        L.append(interest)
        before = (rng.random(n) < chance(natural(interest, before))).astype(float)
        A.append(before)
        interest = 0.5 * interest + 0.5 * before + 0.6 * U + 0.6 * rng.normal(size=n)
    done = np.column_stack(A)
    Y = interest + 0.5 * U + 0.1 * done.sum(axis=1) + 0.3 * np.maximum(L[-1], 0) * before + rng.normal(size=n)
    return Visits([column[:, None] for column in L], done, Y)


def natural(interest: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Return the chance of a visit by itself."""
    return expit(-0.2 + 0.8 * np.tanh(interest) + 0.4 * before)


def truth(chance: Chance, *, K: int = 3, n: int = 1_000_000) -> float:
    """Return the mean of Y where the strategy intervenes at every decision."""
    return float(visits(np.random.default_rng(12345), n, K=K, chance=chance).Y.mean())
