"""What a budget buys: the best value as a function of it, what the next unit adds, and what it would be spent on.

Prices of one budget tell much of the next one: the planes that bound the answer hold for all of them
(:mod:`whybuy.campaign.budget.prices`), so that a curve costs little more than its points' own last passes. The value is
that of the linear relaxation, which splits at most as many people as there are limits; its slope is the price of the
budget, and falls as the budget grows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from whybuy.campaign.budget.prices import Dual, Prices
from whybuy.campaign.budget.problem import Offers, Problem
from whybuy.causal.clusters import Float64
from whybuy.errors import ArraysError

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_TOLERANCE = 1e-5
_N_POINTS = 30


@dataclass(frozen=True, kw_only=True, eq=False)
class ResponseCurve:
    """The best value at several budgets.

    Attributes
    ----------
    offers : their names
    budget : (n_budgets,) ascending, above 0
    value, bound : (n_budgets,) what a plan reaches but for splitting people, and what none exceeds
    marginal_return : (n_budgets,) value of the next unit of budget
    spent : (n_budgets, n_offers) money by offer
    needed : the budget beyond which nothing is gained
    """

    offers: tuple[str, ...]
    budget: Float64
    value: Float64
    bound: Float64
    marginal_return: Float64
    spent: Float64
    needed: float

    def value_at(self, budget: float) -> float:
        """Return the value at a budget, between points by a straight line, which is at most the true value."""
        return float(np.interp(budget, np.append(0.0, self.budget), np.append(0.0, self.value)))

    def next_unit(self, budget: float) -> dict[str, float]:
        """Return the money by offer that the next unit of budget changes, from a budget to the next point of the curve.

        It sums to 1 below ``needed``; an offer that gives way to a better one has a negative part.
        """
        step = int(np.searchsorted(self.budget, budget, side="right"))
        if step == len(self.budget) or budget >= self.needed:
            return dict.fromkeys(self.offers, 0.0)
        before = self.spent[step - 1] if step else np.zeros(len(self.offers))
        change = self.spent[step] - before
        return dict(zip(self.offers, (change / change.sum()).tolist(), strict=True))

    def to_frame(self) -> pd.DataFrame:
        """Return one row per budget, numbers only; one column of money per offer."""
        numbers = {
            "budget": self.budget,
            "value": self.value,
            "bound": self.bound,
            "marginal_return": self.marginal_return,
        }
        spent = {f"spent on {offer}": column for offer, column in zip(self.offers, self.spent.T, strict=True)}
        return pd.DataFrame({**numbers, **spent})

    def summary(self) -> str:
        """Return what budgets buy, in words."""
        lines = [f"Beyond a budget of {self.needed:,.2f} nothing is gained; the values promise {self.value[-1]:,.2f}."]
        for share in (0.1, 0.25, 0.5):
            budget = share * self.needed
            if not self.budget[0] <= budget <= self.budget[-1]:
                continue
            value, marginal = self.value_at(budget), float(np.interp(budget, self.budget, self.marginal_return))
            first = max(self.next_unit(budget).items(), key=lambda pair: pair[1])[0]
            lines.append(
                f"A budget of {budget:,.2f} ({100 * share:.0f}% of it) reaches {100 * value / self.value[-1]:.0f}% of "
                f"that; the next unit adds {marginal:.4g} and goes mostly to {first}."
            )
        return "\n".join(lines)

    def plot(self) -> "Figure":
        """Return a Plotly figure: the value, the money by offer below it, and the marginal return, over the budget."""
        from plotly.subplots import make_subplots

        titles = ("Value of the best plan", "Value of one more unit of budget", "Money by offer")
        figure = make_subplots(rows=3, cols=1, shared_xaxes=True, subplot_titles=titles, vertical_spacing=0.08)
        budget = np.append(0.0, self.budget)
        figure.add_scatter(x=budget, y=np.append(0.0, self.value), name="value", row=1, col=1, showlegend=False)
        figure.add_scatter(
            x=self.budget, y=self.marginal_return, name="marginal return", row=2, col=1, showlegend=False
        )
        for offer, spent in zip(self.offers, self.spent.T, strict=True):
            figure.add_scatter(
                x=budget, y=np.append(0.0, spent), name=offer, stackgroup="offers", mode="lines", row=3, col=1
            )
        figure.update_xaxes(title_text="budget", row=3, col=1)
        figure.update_yaxes(rangemode="tozero")
        figure.update_layout(template="plotly_white", height=750)
        return figure


def response_curve(
    values: npt.ArrayLike, offers: Offers, *, budgets: Sequence[float] | npt.ArrayLike | None = None
) -> ResponseCurve:
    """Return the best value as a function of the budget.

    Parameters
    ----------
    values : (n_people, n_offers) what sending each offer adds against sending nothing
    offers : costs, names and limits
    budgets : above 0; where None, 30 up to the one beyond which nothing is gained, denser where it is small

    Raises
    ------
    ArraysError
        As :func:`spend`; a budget that is not positive; no offer that adds anything to anybody.
    """
    problem = Problem.of(values, offers)
    dual = Dual(problem)
    unlimited = dual.unlimited
    if unlimited.value == 0:
        raise ArraysError.of(
            found="No offer adds anything to anybody", needed="values above 0", do="Keep the money; there is no curve"
        )
    most = dual.minimize(problem.limits(2 * unlimited.used[0]), tolerance=_TOLERANCE)
    needed = float(most.spent.sum())
    asked = needed * np.linspace(0, 1, _N_POINTS + 1)[1:] ** 2 if budgets is None else _positive(budgets)
    found = [dual.minimize(problem.limits(float(budget)), tolerance=_TOLERANCE) for budget in asked]
    return _told(problem, asked, found, needed)


def _told(problem: Problem, budget: Float64, found: list[Prices], needed: float) -> ResponseCurve:
    return ResponseCurve(
        offers=problem.offers.labels,
        budget=budget,
        value=np.array([prices.value for prices in found]),
        bound=np.array([prices.bound for prices in found]),
        marginal_return=np.array([prices.prices[0] for prices in found]),
        spent=np.stack([prices.spent for prices in found]),
        needed=needed,
    )


def _positive(budgets: Sequence[float] | npt.ArrayLike) -> Float64:
    asked = np.unique(np.asarray(budgets, float))
    if len(asked) == 0 or not ((asked > 0) & np.isfinite(asked)).all():
        raise ArraysError.of(
            found=f"Budgets {asked.tolist()}", needed="amounts above 0", do="Leave 0 out: it buys nothing"
        )
    return asked
