"""An integer program over the people whom the prices leave undecided, and the proof that the others are settled.

At prices p nobody can be given another answer than the best one without losing at least their margin from the bound
``D = p @ limits + sum of nets``. So a plan that answers anybody with a margin above D - (value of a plan at hand)
otherwise is worse than that plan, and only the rest, the core, needs a program. With fewer in it, the answer is still
within the smaller of two bounds: the program's own if all others are answered best, D less the smallest margin among
the others if not. HiGHS solves the core; it grows until the bounds meet.

Source: Balas and Zemel, An algorithm for large zero-one knapsack problems (Operations Research, 1980), for the core;
Pisinger, A minimal algorithm for the multiple-choice knapsack problem (EJOR, 1995), for its growth and the proof.
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.optimize import Bounds, LinearConstraint, milp

from whybuy.campaign.budget.prices import Prices
from whybuy.campaign.budget.problem import SLACK, Problem
from whybuy.campaign.budget.response import Chosen, fill, margins
from whybuy.causal.clusters import Float64, Ints

EVERYBODY = 100_000
"""Up to so many people the core may grow to all of them."""
TOLERANCE = 5e-7
"""Share of the value by which a plan may miss the bound: closer, and the program is not asked further."""
_SIZES = (1_000, 5_000)
_DEARER = 1e-6
_SECONDS = 60.0
"""For one program: what is not proven by then is told by the gap."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Plan:
    """Who is sent what, and how good that is.

    Attributes
    ----------
    chosen : (n_people, n_offers)
    value : the sum of values
    bound : no plan within the limits has more
    """

    chosen: Chosen
    value: float
    bound: float

    @property
    def is_settled(self) -> bool:
        """Whether the value is the best possible one, but for rounding."""
        return self.bound - self.value <= TOLERANCE * self.bound


def whole_plan(problem: Problem, found: Prices, limits: Float64) -> Plan:
    """Return a plan without split people from the prices of ``limits`` (1 + n_limits,)."""
    margin, n = margins(problem, found.prices), problem.n_people
    order = np.argsort(margin, kind="stable")
    # Prices a millionth higher: whoever is undecided takes what uses less, and what is left goes to exchanges.
    chosen = fill(problem, found.prices * (1 + _DEARER), limits, order)
    plan = Plan(chosen=chosen, value=value_of(problem, chosen), bound=found.bound)
    ranked = margin[order]
    for size in (*_SIZES, *((n,) if n <= EVERYBODY else ())):
        if plan.is_settled:
            break
        undecided = int(np.searchsorted(ranked, found.bound - plan.value, side="right"))
        core = np.sort(order[: min(size, undecided)])
        least = float(ranked[len(core)]) if len(core) < n else np.inf
        plan = _improved(problem, plan, found, limits, core=core, least=least)
        if len(core) == undecided:
            break
    return plan


def value_of(problem: Problem, chosen: Chosen) -> float:
    """Return the sum of the values of what is sent."""
    return float(np.einsum("ik,ik->", problem.values, chosen, dtype=float))


def spent_of(problem: Problem, chosen: Chosen) -> Float64:
    """Return (n_offers,) what is spent by offer."""
    costs = problem.offers.costs
    return costs[0] * chosen.sum(axis=0) if len(costs) == 1 else np.einsum("ik,ik->k", costs, chosen)


def used_of(problem: Problem, chosen: Chosen) -> Float64:
    """Return (1 + n_limits,) what is spent, and what counts against each limit."""
    return np.concatenate([[spent_of(problem, chosen).sum()], problem.offers.members @ chosen.sum(axis=0)])


def _improved(problem: Problem, plan: Plan, found: Prices, limits: Float64, *, core: Ints, least: float) -> Plan:
    """Return the plan with the core's answers from the program, if they are better, and the bound that it proves.

    Parameters
    ----------
    core : positions of people; ``least`` : smallest margin of the others
    """
    values, costs = problem.rows(core)
    now, members = plan.chosen[core], problem.offers.members
    nets = values - found.prices[0] * costs - found.prices[1:] @ members
    best = np.maximum(-np.sort(-nets, axis=1)[:, : problem.offers.per_person], 0.0)
    # A better plan loses less than this against everybody's best answer, so each of its answers does.
    to_lose = found.bound - plan.value
    is_open = (values > 0) & ((best[:, -1:] - nets <= to_lose) | now)
    used = used_of(problem, plan.chosen)
    lost = to_lose - float(found.prices @ (limits - used))
    lost_by_others = lost - float(best.sum() - nets[now].sum())
    of_core = np.concatenate([[costs[now].sum()], members @ now.sum(axis=0)])
    room = limits * (1 + SLACK) - used + of_core
    value_of_others = plan.value - float(values[now].sum())
    gap = TOLERANCE * plan.value / (plan.bound - value_of_others)  # HiGHS' is a share of what the core has
    chosen, reachable = _answers(values, (costs, members, problem.offers.per_person), is_open, room, gap)
    bound = plan.bound
    if lost_by_others < least * (1 - 1e-6):  # so all the others have their best answer
        bound = min(bound, max(value_of_others + reachable, found.bound - least))
    value = plan.value
    if chosen is not None and value_of_others + float(values[chosen].sum()) > value:
        plan.chosen[core] = chosen
        value = value_of(problem, plan.chosen)
    return Plan(chosen=plan.chosen, value=value, bound=max(bound, value))


def _answers(
    values: Float64, terms: tuple[Float64, Float64, int], is_open: Chosen, room: Float64, gap: float
) -> tuple[Chosen | None, float]:
    """Return (n, n_offers) the best answers of the core within ``room``, and a bound on what any can reach.

    None where HiGHS found no answer in its nodes.

    Parameters
    ----------
    terms : (n, n_offers) costs, (n_limits, n_offers) what counts against which limit, offers per person
    is_open : (n, n_offers) the answers that may be given
    gap : share of their value that the answers may miss the best by
    """
    costs, members, most = terms
    row, offer = np.nonzero(is_open)
    unit = costs[is_open].mean() if len(row) else 1.0  # HiGHS' tolerances are absolute: of a typical cost
    people = sp.csr_array((np.ones(len(row)), (row, np.arange(len(row)))), shape=(len(values), len(row)))
    uses = sp.vstack([sp.csr_array(np.vstack([costs[is_open] / unit, members[:, offer]])), people], format="csr")
    upper = np.concatenate([[room[0] / unit], room[1:], np.full(len(values), most)])
    reachable = np.inf
    for tightened in (0.0, 2e-6):  # a limit may be missed by HiGHS' tolerance; then it is asked for a little more
        limits = LinearConstraint(uses, -np.inf, upper - tightened)
        found = milp(
            -values[is_open],
            constraints=limits,
            integrality=np.ones(len(row)),
            bounds=Bounds(0, 1),
            options={"mip_rel_gap": gap, "time_limit": _SECONDS},
        )
        if np.isinf(reachable) and found.mip_dual_bound is not None:
            reachable = -found.mip_dual_bound
        if found.x is None:
            break
        taken = found.x > 0.5
        if (uses @ taken <= upper).all():
            chosen = np.zeros(is_open.shape, bool)
            chosen[row[taken], offer[taken]] = True
            return chosen, reachable
    return None, reachable
