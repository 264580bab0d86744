"""Who gets which offer, so that the sum of the values is as large as the budget and the limits allow.

Everybody gets at most ``per_person`` of several offers: a multiple-choice knapsack, with a row more for every limit on
an offer or a channel. Its linear relaxation splits at most as many people as there are limits, so it is above the
best plan by no more than those people's values; prices find it (:mod:`whybuy.campaign.budget.prices`), a filling pass
follows them (:func:`whybuy.campaign.budget.response.fill`), and an integer program over the undecided closes what is
left (:mod:`whybuy.campaign.budget.core`), for any number of people up to a gap that is told.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from whybuy.campaign.budget.core import Plan, spent_of, whole_plan
from whybuy.campaign.budget.prices import Dual
from whybuy.campaign.budget.problem import Offers, Problem
from whybuy.campaign.budget.response import Chosen
from whybuy.causal.clusters import Float64
from whybuy.errors import ArraysError

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_TOLERANCE = 1e-8


@dataclass(frozen=True, kw_only=True, eq=False)
class BudgetPlan:
    """Who is sent what.

    Attributes
    ----------
    offers : their names, in the order of the columns
    chosen : (n_people, n_offers) bool
    sent, spent, values : (n_offers,) messages, money, and what the given values promise of them
    budget : what could be spent
    bound : no plan within the limits has values that sum to more
    marginal_return : value of one more unit of budget, 0 where it is larger than needed; None where
        it pays for nothing
    limit_prices : value of one more message, by the limits of ``at_most``
    """

    offers: tuple[str, ...]
    chosen: Chosen
    sent: npt.NDArray[np.int64]
    spent: Float64
    values: Float64
    budget: float
    bound: float
    marginal_return: float | None
    limit_prices: dict[str, float]

    @property
    def value(self) -> float:
        """What the given values promise in all; what it is worth is for held-out people to say."""
        return float(self.values.sum())

    @property
    def gap(self) -> float:
        """How far the value is from the best possible one at most, as a share of the bound."""
        return (self.bound - self.value) / abs(self.bound) if self.bound else 0.0

    @property
    def left_over(self) -> float:
        """The part of the budget that is not spent."""
        return self.budget - float(self.spent.sum())

    @property
    def arm(self) -> npt.NDArray[np.int64]:
        """(n_people,) 0 for nothing, else the number of the offer from 1, as :func:`policy_value` takes it.

        Raises
        ------
        ArraysError
            Somebody gets several.
        """
        if (self.chosen.sum(axis=1) > 1).any():
            raise ArraysError.of(
                found="People who get several offers", needed="one arm per person", do="Use chosen, or per_person=1"
            )
        return np.where(self.chosen.any(axis=1), 1 + self.chosen.argmax(axis=1), 0)

    @property
    def flags(self) -> tuple[str, ...]:
        """What to know of the budget, in words."""
        if self.budget == 0:
            return ("The budget is 0, so nobody is sent anything.",)
        if not self.sent.any():
            is_short = self.marginal_return is None or self.bound > 0
            worthless = "no offer is foretold to add more than it costs to anybody"
            lacking = "the budget pays for no offer" if is_short else worthless
            return (f"Nobody is sent anything: {lacking}.",)
        if self.marginal_return == 0 and self.left_over > 0:
            return (
                f"The budget is larger than needed: {self.left_over:,.2f} are left over, and no further message within "
                "the limits adds anything.",
            )
        return ()

    def to_frame(self) -> pd.DataFrame:
        """Return one row per offer, numbers only."""
        return pd.DataFrame({"offer": self.offers, "sent": self.sent, "spent": self.spent, "value": self.values})

    def summary(self) -> str:
        """Return who gets what and what it promises, in words."""
        if self.flags and not self.sent.any():
            return self.flags[0]
        parts = ", ".join(f"{offer} to {n:,}" for offer, n in zip(self.offers, self.sent, strict=True) if n)
        lines = [
            f"{parts}; {len(self.chosen) - int(self.chosen.any(axis=1).sum()):,} of {len(self.chosen):,} people get "
            f"nothing. That spends {self.spent.sum():,.2f} of {self.budget:,.2f} and adds {self.value:,.2f} if the "
            f"values hold, at most {100 * self.gap:.2g}% below the best possible plan.",
            f"One more unit of budget would add {self.marginal_return:.4g}.",
        ]
        lines += [f"One more message of {n} would add {p:.4g}." for n, p in self.limit_prices.items() if p > 0]
        return "\n".join([*lines, *self.flags])

    def plot(self) -> "Figure":
        """Return a Plotly figure: what is spent on every offer, and on how many people."""
        import plotly.graph_objects as go

        figure = go.Figure(
            go.Bar(
                x=self.spent,
                y=self.offers,
                orientation="h",
                text=[f"{n:,} sent, adds {v:,.0f}" for n, v in zip(self.sent, self.values, strict=True)],
            )
        )
        title = f"{self.spent.sum():,.0f} of a budget of {self.budget:,.0f} spent"
        figure.update_layout(title=title, xaxis_title="spent", template="plotly_white")
        figure.update_yaxes(autorange="reversed")
        return figure


def spend(values: npt.ArrayLike, offers: Offers, budget: float) -> BudgetPlan:
    """Return who is sent what, so that the values sum to the most that the budget and the limits allow.

    Parameters
    ----------
    values : (n_people, n_offers) what sending each offer adds against sending nothing, in expectation; float32 stays
        float32, a memmap stays on disk
    offers : costs, names and limits
    budget : in the unit of the costs

    Raises
    ------
    ArraysError
        Nobody, values that are no numbers or of another shape, a budget that is negative or no number (costs and
        limits: see :class:`Offers`).

    Notes
    -----
    Values that were learned from the people's own outcomes are highest where luck was best, and promise too much: let
    them come from other folds, and judge the plan by :func:`policy_value` on held-out people.

    Source: multiple-choice knapsack, Kellerer, Pferschy and Pisinger, Knapsack Problems (2004), chapter 11.
    """
    problem = Problem.of(values, offers)
    limits = problem.limits(budget)
    limits[0] = problem.spendable(budget)
    if limits[0] == 0:
        nobody = np.zeros(problem.values.shape, bool)
        return _told(problem, Plan(chosen=nobody, value=0.0, bound=0.0), budget, None)
    found = Dual(problem).minimize(limits, tolerance=_TOLERANCE)
    negligible = found.prices * limits <= _TOLERANCE * found.bound
    return _told(problem, whole_plan(problem, found, limits), budget, np.where(negligible, 0.0, found.prices))


def _told(problem: Problem, plan: Plan, budget: float, prices: Float64 | None) -> BudgetPlan:
    limited = problem.offers.at_most
    return BudgetPlan(
        offers=problem.offers.labels,
        chosen=plan.chosen,
        sent=plan.chosen.sum(axis=0),
        spent=spent_of(problem, plan.chosen),
        values=np.einsum("ik,ik->k", problem.values, plan.chosen, dtype=float),
        budget=budget,
        bound=plan.bound,
        marginal_return=None if prices is None else float(prices[0]),
        limit_prices={} if prices is None else dict(zip(limited, prices[1:].tolist(), strict=True)),
    )
