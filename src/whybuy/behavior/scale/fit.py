"""The arrays behind the scaling law: its value, its fit, and fits to data drawn again.

A law is a row (log E, log A, log B, alpha, beta). In logarithms of size, events and loss it is a log-sum-exp of three
lines, and its residuals on the log loss are Huber's, so that a run that went astray counts by its distance and not by
its square. Logarithms of size and events are taken from their means while fitting: a coefficient and its exponent are
then nearly free of each other, which spares the solver a long curved valley.

Source: Hoffmann et al., Training compute-optimal large language models, 2022, equation 2 and appendix D.2 (log-sum-exp,
Huber's delta of 1e-3, a grid of starts). The residuals are summed, not averaged: Besiroglu et al., Chinchilla scaling:
a replication attempt, 2024, found that averaging stopped the solver early.
"""

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import least_squares
from scipy.special import logsumexp, softmax

Floats = npt.NDArray[np.float64]

N_COEFFICIENTS = 5
_DELTA = 1e-3
EXPONENTS = (0.01, 3.0)
"""What exponents are looked for in; one whose interval reaches an end is not told by the runs."""

_START_EXPONENTS = (0.2, 0.6, 1.2)
_START_SHARES = (0.01, 0.1, 0.4)
"""Of the mean loss, that the two terms beside the floor might have together."""


def log_loss(law: Floats, log_n: Floats, log_d: Floats) -> Floats:
    """Return (..., k) logarithms of the loss by laws (..., 5) at (..., k) logarithms of parameters and events."""
    found: Floats = logsumexp(_lines(law, log_n, log_d), axis=0)
    return found


def fitted(log_n: Floats, log_d: Floats, log_l: Floats) -> Floats:
    """Return (5,) the law that runs obey best, from every start of a grid."""
    laws = [_solved(log_n - log_n.mean(), log_d - log_d.mean(), log_l, start) for start in _starts(log_l)]
    best, _ = min(laws, key=lambda found: found[1])
    return _moved(best, log_n.mean(), log_d.mean())


def fitted_again(
    law: Floats, log_n: Floats, log_d: Floats, log_l: Floats, *, n_draws: int, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Return (n_draws, 5) laws of residuals drawn again, and (n_runs,) the residuals they were drawn from.

    The sizes and amounts of a sweep are chosen, not drawn, so the residuals are (Efron and Tibshirani, An introduction
    to the bootstrap, 1993, section 9.4), widened by the degrees of freedom that the fit has used up.
    """
    expected = log_loss(law, log_n, log_d)
    residuals = log_l - expected
    residuals = (residuals - residuals.mean()) * np.sqrt(len(log_l) / (len(log_l) - N_COEFFICIENTS))
    start = _moved(law, -log_n.mean(), -log_d.mean())
    draws = []
    for _ in range(n_draws):
        drawn = expected + rng.choice(residuals, len(residuals))
        found, _ = _solved(log_n - log_n.mean(), log_d - log_d.mean(), drawn, start, precision=1e-5)
        draws.append(_moved(found, log_n.mean(), log_d.mean()))
    return np.array(draws), residuals


def _lines(law: Floats, log_n: Floats, log_d: Floats) -> Floats:
    """(3, ..., k): the logarithms of floor, size term and data term."""
    e, a, b, alpha, beta = (law[..., i, None] for i in range(N_COEFFICIENTS))
    floor, size, data = np.broadcast_arrays(e, a - alpha * log_n, b - beta * log_d)
    return np.stack([floor, size, data])


def _solved(
    log_n: Floats, log_d: Floats, log_l: Floats, start: Floats, *, precision: float = 1e-8
) -> tuple[Floats, float]:
    """The law nearest to ``start`` at which Huber's loss is least, and that loss; logarithms are centered."""
    least, most = log_l.min(), log_l.max()
    low = np.array([least - 12, least - 14, least - 14, EXPONENTS[0], EXPONENTS[0]])
    high = np.array([least, most + 2, most + 2, EXPONENTS[1], EXPONENTS[1]])

    def residuals(law: Floats) -> Floats:
        return log_loss(law, log_n, log_d) - log_l

    def slopes(law: Floats) -> Floats:
        floor, size, data = softmax(_lines(law, log_n, log_d), axis=0)
        return np.stack([floor, size, data, -size * log_n, -data * log_d], axis=1)

    start = np.clip(start, low + 1e-6, high - 1e-6)
    solver: dict[str, Any] = {
        "jac": slopes,
        "bounds": (low, high),
        "x_scale": "jac",
        "max_nfev": 200,
        "ftol": precision,
    }
    found = least_squares(residuals, start, loss="huber", f_scale=_DELTA, **solver)
    return found.x, float(found.cost)


def _starts(log_l: Floats) -> list[Floats]:
    mean, least = log_l.mean(), log_l.min()
    return [
        np.array([least + np.log1p(-share), mean + np.log(share / 2), mean + np.log(share / 2), alpha, beta])
        for share, alpha, beta in itertools.product(_START_SHARES, _START_EXPONENTS, _START_EXPONENTS)
    ]


def _moved(law: Floats, log_n: float, log_d: float) -> Floats:
    """The same law where logarithms are counted from ``log_n`` and ``log_d`` further down."""
    e, a, b, alpha, beta = law
    return np.array([e, a + alpha * log_n, b + beta * log_d, alpha, beta])
