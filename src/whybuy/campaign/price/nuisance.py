"""What a category would have sold at its usual price in a period, and which price was to be expected.

Both are regressions on effects of the category and of the period and on what was known before: units by a Poisson
regression in which the price has a slope of its own in every category (so that a zero is a number like any other),
prices by least squares. A row is foretold by fits to other folds of spells. A period's effect has no penalty: shrunk, it
would leave a part of the calendar in both, and that part would pass for an elasticity.

Source: Santos Silva and Tenreyro, The log of gravity (Review of Economics and Statistics, 2006), on Poisson regression
for what is multiplicative.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from whybuy.campaign.price.cells import PriceCells
from whybuy.causal.clusters import Float64, Ints

Bools = npt.NDArray[np.bool_]

_ROUNDS, _SETTLED = 50, 1e-8
_LARGEST_STEP = 2.0
_LITTLE = 1e-6
"""Of ridge, so that effects which nothing tells of are 0."""


@dataclass(frozen=True)
class Expected:
    """Out of fold: (n,) units at a log price of 0, and (n,) log price."""

    units: Float64
    log_price: Float64


def expected(cells: PriceCells, fold: Ints) -> Expected:
    """Return what was to be expected of every cell by the other folds (n,)."""
    known, price = design(cells), by_category(cells)
    g, e = np.empty(len(fold)), np.empty(len(fold))
    for k in range(int(fold.max()) + 1):
        taught, mine = fold != k, fold == k
        both = np.concatenate([price, known], axis=1)[taught]
        beta = poisson(both, cells.units[taught])[price.shape[1] :]
        g[mine] = np.exp(np.clip(known[mine] @ beta, -30, 30))
        weight = np.maximum(np.exp(np.clip(known[taught] @ beta, -30, 30)), _LITTLE)
        e[mine] = known[mine] @ _least_squares(known[taught], cells.log_price[taught], weight)
    return Expected(g, e)


def poisson(A: Float64, y: Float64) -> Float64:
    """Return the coefficients of a Poisson regression with a log link, by Newton's steps.

    Parameters
    ----------
    A : (n, d) columns, one or a combination of which is constant; y : (n,) counts
    """
    eta = np.log(y + 0.5)
    beta = _least_squares(A, eta, np.exp(eta))
    for _ in range(_ROUNDS):
        mean = np.exp(np.clip(A @ beta, -30, 30))
        step = _solve(A, mean, A.T @ (y - mean))
        step *= min(1.0, _LARGEST_STEP / max(float(np.abs(step).max()), _LITTLE))
        beta = beta + step
        if float(np.abs(step).max()) < _SETTLED:
            break
    return beta


def design(cells: PriceCells) -> Float64:
    """Return (n, d): a column per category and per period, and X in standard deviations."""
    dummies = [np.eye(int(group.max()) + 1)[group] for group in (cells.category, cells.period)]
    scale = cells.X.std(axis=0)
    X = (cells.X - cells.X.mean(axis=0))[:, scale > 0] / scale[scale > 0]
    return np.concatenate([*dummies, X], axis=1)


def by_category(cells: PriceCells) -> Float64:
    """Return (n, C): the log price in the column of its category."""
    return np.eye(len(cells.names))[cells.category] * cells.log_price[:, None]


def _least_squares(A: Float64, y: Float64, weight: Float64) -> Float64:
    return _solve(A, weight, A.T @ (weight * y))


def _solve(A: Float64, weight: Float64, right: Float64) -> Float64:
    G = A.T @ (weight[:, None] * A)
    G[np.diag_indices_from(G)] += _LITTLE * (1 + float(np.trace(G)) / len(G))
    found: Float64 = np.linalg.solve(G, right)
    return found
