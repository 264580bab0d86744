"""People whose answer to a treatment is known.

A person of group g (one of ``n_groups``, 0.3 times a normal of its own) has a habit h ~ N(0, 1), what was bought before
b = h + N(0, 1), and

    share:   P(Y = 1) = expit(-1 + h + group) + effect T, kept in [0, 1]
    amount:  Y = (1 + effect T) exp(N(h / 2, 1)) with probability 1/2, else 0

The mean of an amount without treatment is exp(5/8) / 2, so its average effect is ``effect`` times that.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

AMOUNT_MEAN = float(np.exp(5 / 8) / 2)


@dataclass(frozen=True)
class People:
    Y: np.ndarray
    T: np.ndarray
    Z: np.ndarray
    group: np.ndarray
    stratum: np.ndarray


def draw(
    seed: int, *, n: int = 600, effect: float = 0.0, kind: str = "share", n_groups: int = 0, share: float = 0.5
) -> People:
    """Return people, assigned one by one, or by group where there are groups."""
    rng = np.random.default_rng(seed)
    h = rng.normal(size=n)
    Z = np.column_stack([h + rng.normal(size=n), rng.normal(size=n)])
    if n_groups:
        group = rng.integers(0, n_groups, n)
        shift = 0.3 * rng.normal(size=n_groups)[group]
        T = (rng.permutation(n_groups) < share * n_groups)[group].astype(float)
    else:
        group, shift = np.arange(n), np.zeros(n)
        T = (rng.permutation(n) < share * n).astype(float)
    if kind == "share":
        Y = (rng.random(n) < np.clip(expit(-1 + h + shift) + effect * T, 0, 1)).astype(float)
    else:
        Y = (rng.random(n) < 0.5) * np.exp(rng.normal(h / 2, 1)) * (1 + effect * T)
    return People(Y, T, Z, group, (Z[:, 0] > 0).astype(int))


def covered(found, truth: float) -> bool:
    low, high = found.interval()
    return low <= truth <= high


def band(p: float, n: int) -> tuple[float, float]:
    """Return p plus or minus three Monte Carlo standard errors."""
    half = 3 * np.sqrt(p * (1 - p) / n)
    return p - half, p + half
