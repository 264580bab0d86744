"""What was known before a price was set says something about sales and about the price: that part, out of fold.

Both are regressions on what was known and on effects of the category and of the period: sales by a Poisson regression
(a zero is a number like any other) in which the price has a slope of its own in every category, prices by least squares
with the same weights. Only the part that belongs to what was known is taken over to the fold left out; the effects are
fitted where both are compared (:mod:`.elasticity`).

Source: Santos Silva and Tenreyro, The log of gravity (Review of Economics and Statistics, 2006), on Poisson regression
for what is multiplicative.
"""

from dataclasses import dataclass

import numpy as np

from whybuy.campaign.price.cells import PriceCells
from whybuy.causal.clusters import Float64, Ints

_ROUNDS, _SETTLED = 50, 1e-8
_LARGEST_STEP = 2.0
_LITTLE = 1e-6
"""Of ridge, so that effects which nothing tells of are 0."""


@dataclass(frozen=True)
class Known:
    """What the known part says: (n,) added to the log of units at the expected price, and (n,) to the log price."""

    log_units: Float64
    log_price: Float64


@dataclass(frozen=True)
class PoissonFit:
    """A Poisson regression.

    Attributes
    ----------
    beta : (d,) coefficients; mean : (n,) fitted units
    inverse : (d, d) of the information
    """

    beta: Float64
    mean: Float64
    inverse: Float64


def known_part(cells: PriceCells, fold: Ints) -> Known:
    """Return what was known of every cell, by fits to the other folds (n,)."""
    effects, slopes, X = effects_of(cells), slopes_of(cells), _in_deviations(cells.X)
    units, price = np.zeros(len(fold)), np.zeros(len(fold))
    if X.shape[1] == 0:
        return Known(units, price)
    A = np.concatenate([slopes, effects, X], axis=1)
    for k in range(int(fold.max()) + 1):
        taught, mine = fold != k, fold == k
        fit = poisson(A[taught], cells.units[taught], np.zeros(int(taught.sum())))
        of_price = _least_squares(A[taught, slopes.shape[1] :], cells.log_price[taught], fit.mean)
        price[mine] = X[mine] @ of_price[effects.shape[1] :]
        units[mine] = X[mine] @ fit.beta[-X.shape[1] :] + fit.beta[cells.category[mine]] * price[mine]
    return Known(units, price)


def poisson(A: Float64, y: Float64, offset: Float64) -> PoissonFit:
    """Return the Poisson regression of ``y`` (n,) on ``A`` (n, d) with a log link, by Newton's steps."""
    start = np.log(y + 0.5)
    beta = _least_squares(A, start - offset, np.exp(start))
    for _ in range(_ROUNDS):
        mean = _means(A @ beta + offset)
        step = np.linalg.solve(_information(A, mean), A.T @ (y - mean))
        step *= min(1.0, _LARGEST_STEP / max(float(np.abs(step).max()), _LITTLE))
        beta = beta + step
        if float(np.abs(step).max()) < _SETTLED:
            break
    mean = _means(A @ beta + offset)
    return PoissonFit(beta, mean, np.asarray(np.linalg.inv(_information(A, mean)), float))


def effects_of(cells: PriceCells) -> Float64:
    """Return (n, C + P): a column per category and per period."""
    return np.concatenate([np.eye(int(group.max()) + 1)[group] for group in (cells.category, cells.period)], axis=1)


def slopes_of(cells: PriceCells, log_price: Float64 | None = None) -> Float64:
    """Return (n, C): the log price, the cells' own where None, in the column of its category."""
    price = cells.log_price if log_price is None else log_price
    return np.eye(len(cells.names))[cells.category] * price[:, None]


def _in_deviations(X: Float64) -> Float64:
    """Return the columns that vary, in standard deviations."""
    scale = X.std(axis=0)
    return (X - X.mean(axis=0))[:, scale > 0] / scale[scale > 0]


def _means(log: Float64) -> Float64:
    found: Float64 = np.exp(np.clip(log, -30, 30))
    return found


def _least_squares(A: Float64, y: Float64, weight: Float64) -> Float64:
    return np.asarray(np.linalg.solve(_information(A, weight), A.T @ (weight * y)), float)


def _information(A: Float64, weight: Float64) -> Float64:
    G: Float64 = A.T @ (weight[:, None] * A)
    G[np.diag_indices_from(G)] += _LITTLE * (1 + float(np.trace(G)) / len(G))
    return G
