"""The prices at which everybody's own best answer uses up the limits: the Lagrangian dual, by cutting planes.

For any prices p >= 0, what any plan can reach is at most ``p @ limits + sum over people of their best net``, and the
least such bound is the value of the linear relaxation. The sum is convex in p and every answer to prices is a plane
below it, whatever the limits: value - p @ used. The master program, whose optimum lies at the lowest point above the
planes, is in its primal form a mixture of the answers so far that keeps the limits on average, so its value can be
reached (but for splitting people) and the two close in on each other from both sides. The planes hold for every budget:
one set of them serves a whole response curve.

The next prices are sought between the best so far and the master's (in-out separation), which saves the swings of plain
cutting planes.

Source: Kelley, The cutting-plane method for solving convex programs (J. SIAM, 1960); Ben-Ameur and Neto, Acceleration
of cutting-plane and column generation algorithms (Networks, 2007).
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog

from whybuy.campaign.budget.problem import Problem
from whybuy.campaign.budget.response import Response, respond
from whybuy.causal.clusters import Float64

MAX_PASSES = 300
_STEP = 0.5
"""Of the way from the best prices to the master's."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Prices:
    """The best prices found for some limits.

    Attributes
    ----------
    prices : (1 + n_limits,)
    bound : no plan within the limits has more value
    value : what the mixture of answers has, which splits people
    spent, sent : (n_offers,) money and number by offer in the mixture
    """

    prices: Float64
    bound: float
    value: float
    spent: Float64
    sent: Float64


class Dual:
    """Answers of everybody to the prices that were tried, and what follows from them for any limits."""

    def __init__(self, problem: Problem) -> None:
        n_limits, K = 1 + len(problem.offers.members), problem.offers.n_offers
        zero = np.zeros(n_limits)
        nothing = Response(prices=zero, value=0.0, used=zero, spent=np.zeros(K), sent=np.zeros(K))
        self._problem = problem
        self._tried = [nothing, respond(problem, zero)]

    @property
    def unlimited(self) -> Response:
        """What people are sent where nothing is limited."""
        return self._tried[1]

    @property
    def n_passes(self) -> int:
        """How often everybody was asked."""
        return len(self._tried) - 1

    def minimize(self, limits: Float64, *, tolerance: float) -> Prices:
        """Return prices for these limits.

        Parameters
        ----------
        limits : (1 + n_limits,) a budget above 0, then those of ``at_most``
        tolerance : largest difference of bound and value that ends the search, as a share of the bound; after 300
            passes it ends with what there is
        """
        best, step = self._best_tried(limits), 1.0
        asked = np.full(len(limits), np.nan)
        for _ in range(MAX_PASSES):
            master, value, mixture = self._master(limits)
            stalled = step == 1.0 and np.allclose(master, asked, rtol=1e-9, atol=0)  # by the precision of HiGHS
            if stalled or _bound(best, limits) - value <= tolerance * _bound(best, limits):
                break
            tried = respond(self._problem, best.prices + step * (master - best.prices))
            self._tried.append(tried)
            improved = _bound(tried, limits) < _bound(best, limits)
            asked = tried.prices
            best, step = (tried, _STEP) if improved else (best, 1.0)
        master, value, mixture = self._master(limits)
        return Prices(
            prices=best.prices,
            bound=_bound(best, limits),
            value=value,
            spent=mixture @ np.stack([r.spent for r in self._tried]),
            sent=mixture @ np.stack([r.sent for r in self._tried]),
        )

    def _best_tried(self, limits: Float64) -> Response:
        return min(self._tried[1:], key=lambda r: _bound(r, limits))

    def _master(self, limits: Float64) -> tuple[Float64, float, Float64]:
        """Return the prices of the best mixture of answers within the limits, its value, and the shares."""
        values, used = np.array([r.value for r in self._tried]), np.stack([r.used for r in self._tried], axis=1)
        scale = float(values.max()) or 1.0
        within, shares = used / limits[:, None], np.ones((1, len(values)))
        found = linprog(-values / scale, A_ub=within, b_ub=np.ones(len(limits)), A_eq=shares, b_eq=[1.0])
        return -found.ineqlin.marginals * scale / limits, -found.fun * scale, found.x


def _bound(response: Response, limits: Float64) -> float:
    return float(response.prices @ limits) + response.net
