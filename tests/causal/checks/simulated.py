"""Trials whose nuisances are known, with everything that a check could object to as an option.

User u has a hidden taste U = +1 or -1; x is logged, anew for every decision.

    P(T | x, U) = 1 / (1 + exp(1 - x - wish_treatment U))
    P(Y | x, U, T) = .15 + .2 / (1 + exp(-x)) + .05 wish_outcome U + effect T
    a control outcome: .2 + .2 / (1 + exp(-x)) + .05 wish_control U, whatever T; 0 after a decision that is itself

The analyst knows e(x) and m(x), the averages over U, and not U.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from whybuy.causal.checks import Control, PairData, effect_among

P_OWN = 0.15
"""Chance that a decision that is not the treatment is the control outcome itself."""


@dataclass(frozen=True)
class World:
    """How strong what is not logged is, and how large the effect: a number or (n,) per decision."""

    wish_treatment: float = 0.0
    wish_outcome: float = 0.0
    wish_control: float = 0.0
    effect: float | np.ndarray = 0.08


def trials(seed: int, world: World, *, n_users: int = 400, each: int = 30):
    """Return (data, control): the pair's trials and one control outcome on them."""
    rng = np.random.default_rng(seed)
    n, user = n_users * each, np.repeat(np.arange(n_users), each)
    x, U = rng.normal(size=n), rng.choice([-1.0, 1.0], n_users)[user]
    base = 0.15 + 0.2 * expit(x)
    by_taste = [expit(-1 + x + world.wish_treatment * u) for u in (-1, 1)]
    e = np.mean(by_taste, axis=0)
    T = (rng.random(n) < np.where(U > 0, by_taste[1], by_taste[0])).astype(float)
    Y = (rng.random(n) < base + 0.05 * world.wish_outcome * U + world.effect * T).astype(float)
    own = (rng.random(n) < P_OWN) & (T == 0)
    followed = (rng.random(n) < 0.05 + base + 0.05 * world.wish_control * U) & ~own
    data = PairData(T=T, Y=Y, e=e, m=base + world.effect * e, user=user)
    return data, Control("purchase:tea", own, P_OWN * (1 - e), followed, 0.05 + base)


def whole(data: PairData):
    """Return the effect of all trials."""
    return effect_among(data, np.ones(len(data.T), bool))
