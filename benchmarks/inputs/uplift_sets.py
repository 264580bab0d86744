"""Campaigns whose effect on every person is known, for comparing learners of uplift. x are columns ~ N(0, 1).

    segments   binary, half sent; 8 columns. Two segments with effects, sleeping dogs among those who buy anyway:
               p0 = expit(-1.2 + 1.2 x0 + .5 x1), tau = .15 [x2 > .4] + .10 [x3 > 0][x1 < 0] - .12 [x0 > .8]
    needles    binary, half sent, few people; 2 columns of 40 matter, the effect is a slope:
               p0 = expit(-1 + .8 x0), tau = .10 + .10 tanh(x1)
    rare       binary, five of six sent, 3% respond; 20 columns:
               p0 = expit(-3.8 + .8 x0 + .5 x1 x2), tau = p0 (expit(2 x3 - x0) * 1.6 - .4)
    spend      money, a third sent; 12 columns, of skewed amounts:
               m0 = exp(2.2 + .6 x0 + .4 |x1|), tau = 8 expit(2 x2 + x3) - 4 [x4 > .9]
    deep       a score, half sent, many people; 10 columns, the effect is made of interactions:
               m0 = 10 sin(pi x0 x1 / 2) + 5 x2^2, tau = 2 sin(2 x3) + 1.5 x4 x5 + [x0 > 0][x6 > 0]
    strata     binary, sent with chances of .2, .5 or .8, the higher the likelier people buy anyway; 12 columns:
               p0 = expit(-1.5 + 1.4 x0), tau = .22 expit(2 x1 - 1.2 x0 - .8) - .12 [x2 > .7] min(1, 2 p0)

An outcome of 0 or 1 is drawn with chance p0 + tau T, kept in [.002, .998]; ``tau`` is the difference of what was kept.
Money is m0 + tau, kept at 1 and above, times a lognormal of mean 1; a score has noise of variance 25.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import expit


@dataclass(frozen=True)
class Drawn:
    """People: covariates, arm, its known chance, outcome, and the true effect on the outcome's mean."""

    X: np.ndarray
    T: np.ndarray
    e: np.ndarray
    Y: np.ndarray
    tau: np.ndarray
    binary: bool


@dataclass(frozen=True)
class World:
    """How many people, columns, what they would do, by how much treating moves them, and who is treated."""

    n_people: int
    n_columns: int
    kind: str
    untreated: Callable[[np.ndarray], np.ndarray]
    effect: Callable[[np.ndarray, np.ndarray], np.ndarray]
    chance: Callable[[np.ndarray], np.ndarray]


def draw(name: str, seed: int, n_people: int | None = None) -> Drawn:
    """People of one set."""
    world, rng = SETS[name], np.random.default_rng([seed, list(SETS).index(name)])
    x = rng.normal(size=(n_people or world.n_people, world.n_columns))
    before = world.untreated(x.T)
    low, high = {"binary": (0.002, 0.998), "money": (1.0, np.inf), "score": (-np.inf, np.inf)}[world.kind]
    m0, m1 = (np.clip(before + arm * world.effect(x.T, before), low, high) for arm in (0, 1))
    e = np.broadcast_to(world.chance(x.T), len(x))
    T = (rng.random(len(x)) < e).astype(float)
    mean = np.where(T > 0, m1, m0)
    if world.kind == "binary":
        Y = (rng.random(len(x)) < mean).astype(float)
    elif world.kind == "money":
        Y = mean * rng.lognormal(-0.32, 0.8, len(x))
    else:
        Y = mean + 5 * rng.normal(size=len(x))
    return Drawn(x, T, np.array(e), Y, m1 - m0, world.kind == "binary")


def _even(_x: np.ndarray) -> np.ndarray:
    return np.array(0.5)


SETS: dict[str, World] = {
    "segments": World(
        16_000, 8, "binary",
        lambda x: expit(-1.2 + 1.2 * x[0] + 0.5 * x[1]),
        lambda x, _: 0.15 * (x[2] > 0.4) + 0.10 * (x[3] > 0) * (x[1] < 0) - 0.12 * (x[0] > 0.8),
        _even,
    ),
    "needles": World(
        6_000, 40, "binary",
        lambda x: expit(-1 + 0.8 * x[0]),
        lambda x, _: 0.10 + 0.10 * np.tanh(x[1]),
        _even,
    ),
    "rare": World(
        60_000, 20, "binary",
        lambda x: expit(-3.8 + 0.8 * x[0] + 0.5 * x[1] * x[2]),
        lambda x, p0: p0 * (1.6 * expit(2 * x[3] - x[0]) - 0.4),
        lambda _: np.array(5 / 6),
    ),
    "spend": World(
        16_000, 12, "money",
        lambda x: np.exp(2.2 + 0.6 * x[0] + 0.4 * np.abs(x[1])),
        lambda x, _: 8 * expit(2 * x[2] + x[3]) - 4 * (x[4] > 0.9),
        lambda _: np.array(1 / 3),
    ),
    "deep": World(
        30_000, 10, "score",
        lambda x: 10 * np.sin(np.pi * x[0] * x[1] / 2) + 5 * x[2] ** 2,
        lambda x, _: 2 * np.sin(2 * x[3]) + 1.5 * x[4] * x[5] + (x[0] > 0) * (x[6] > 0),
        _even,
    ),
    "strata": World(
        20_000, 12, "binary",
        lambda x: expit(-1.5 + 1.4 * x[0]),
        lambda x, p0: 0.22 * expit(2 * x[1] - 1.2 * x[0] - 0.8) - 0.12 * (x[2] > 0.7) * np.minimum(1, 2 * p0),
        lambda x: np.select([x[0] < -0.5, x[0] < 0.5], [0.2, 0.5], 0.8),
    ),
}  # fmt: skip
