"""An integer program over the people whom the prices leave undecided, and the proof that the others are settled.

At prices p nobody can be given another answer than the best one without losing at least their margin from the bound
``D = p @ limits + sum of nets``. So a plan that answers anybody with a margin above D - (value of a plan at hand)
otherwise is worse than that plan, and only the rest, the core, needs a program. With fewer in it, the answer is still
within the smaller of two bounds: the program's own if all others are answered best, D less the smallest margin among
the others if not. The core grows until the bounds meet; its size is counted in kinds of people
(:mod:`whybuy.campaign.budget.program`), because people who are alike are undecided together.

Source: Balas and Zemel, An algorithm for large zero-one knapsack problems (Operations Research, 1980), for the core;
Pisinger, A minimal algorithm for the multiple-choice knapsack problem (EJOR, 1995), for its growth and the proof.
"""

from dataclasses import dataclass

import numpy as np

from whybuy.campaign.budget.prices import Prices
from whybuy.campaign.budget.problem import SLACK, Problem
from whybuy.campaign.budget.program import Program, dealt, kinds_of
from whybuy.campaign.budget.response import Chosen, best_nets, fill, margins
from whybuy.causal.clusters import Float64, Ints

EVERYBODY = 100_000
"""Up to so many people the core may grow to all of them."""
TOLERANCE = 5e-7
"""Share of the value by which a plan may miss the bound: closer, and the program is not asked further."""
_SIZES = (1_000, 5_000)
_PER_KIND = 10
"""People per kind that are looked at first; where more are alike, all so many times more."""
_DEARER = 1e-6


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
    value = value_of(problem, chosen)
    plan = Plan(chosen=chosen, value=value, bound=max(found.bound, value))
    for size in (*_SIZES, *((n,) if n <= EVERYBODY else ())):
        if plan.is_settled:
            break
        undecided = order[: np.searchsorted(margin[order], found.bound - plan.value, side="right")]
        looked_at, kind = _nearest(problem, undecided, size)
        others = np.append(looked_at[kind >= size], order[len(looked_at) :][:1])
        least = float(margin[others].min(initial=np.inf))
        core = looked_at[kind < size], kind[kind < size]
        plan = _improved(problem, plan, found, limits, core=core, least=least)
        if len(core[0]) == len(undecided):
            break
    return plan


def _nearest(problem: Problem, undecided: Ints, size: int) -> tuple[Ints, Ints]:
    """Return so many of the first undecided that they are of ``size`` kinds or all, and their kinds."""
    n = _PER_KIND * size
    while True:
        kind = kinds_of(problem, undecided[:n])
        if n >= len(undecided) or kind.max() >= size:
            return undecided[:n], kind
        n *= _PER_KIND


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


def _improved(
    problem: Problem, plan: Plan, found: Prices, limits: Float64, *, core: tuple[Ints, Ints], least: float
) -> Plan:
    """Return the plan with the core's answers from the program, if they are better, and the bound that it proves.

    Parameters
    ----------
    core : positions of people, and their kinds; ``least`` : smallest margin of the others
    """
    people, kind = core
    size, now, members = np.bincount(kind), plan.chosen[people], problem.offers.members
    values, costs = problem.rows(people[np.unique(kind, return_index=True)[1]])
    sent = np.stack([np.bincount(kind, column, minlength=len(size)) for column in now.T], axis=1)
    nets = values - found.prices[0] * costs - found.prices[1:] @ members
    best = best_nets(nets, problem.offers)
    # A better plan loses less than this against everybody's best answer, so each of its answers does.
    to_lose = found.bound - plan.value
    used = used_of(problem, plan.chosen)
    lost = to_lose - float(found.prices @ (limits - used))
    lost_by_others = lost - float(size @ best.sum(axis=1) - (nets * sent).sum())
    value_of_others = plan.value - float((values * sent).sum())
    program = Program(
        values=values,
        costs=costs,
        size=size,
        is_open=(values > 0) & ((best[:, -1:] - nets <= to_lose) | (sent > 0)),
        members=members,
        per_person=problem.offers.per_person,
        channel=problem.offers.channel,
        by_channel=problem.offers.room,
    )
    room = limits * (1 + SLACK) - used + np.concatenate([[(costs * sent).sum()], members @ sent.sum(axis=0)])
    gap = TOLERANCE * plan.value / (plan.bound - value_of_others)  # HiGHS' is a share of what the core has
    counts, reachable = program.solve(room, gap=gap)
    bound, value = plan.bound, plan.value
    if lost_by_others < least * (1 - 1e-6):  # so all the others have their best answer
        bound = min(bound, max(value_of_others + reachable, found.bound - least))
    if counts is not None and value_of_others + float((values * counts).sum()) > value:
        plan.chosen[people] = dealt(counts, kind, problem.offers.channel)
        value = value_of(problem, plan.chosen)
    return Plan(chosen=plan.chosen, value=value, bound=max(bound, value))
