"""The integer program over some people, who are counted where they are alike.

Where values stand for segments, thousands of people have the same ones, and a program with a variable each would try
all ways to tell them apart. Here a kind, people of equal values and costs, is sent an offer a whole number of times: no
more often than it has people, and all offers of a channel, or all together, no more often than one person may get
times that. Any such numbers can be dealt to the people one after another, channel by channel, so that nobody gets an
offer twice or too many of them.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.sparse as sp
from scipy.optimize import Bounds, LinearConstraint, milp

from whybuy.campaign.budget.problem import Problem
from whybuy.campaign.budget.response import Chosen
from whybuy.causal.clusters import Float64, Ints

_SECONDS = 60.0
"""For one program: what is not proven by then is told by the gap."""


def kinds_of(problem: Problem, people: Ints) -> Ints:
    """Return (n,) the kind of people, numbered from 0 as they first appear."""
    values, costs = problem.rows(people)
    told_apart = values if len(problem.offers.costs) == 1 else np.hstack([values, costs])
    frame = pd.DataFrame(told_apart)
    return np.asarray(frame.groupby(list(frame.columns), sort=False).ngroup(), np.int64)


@dataclass(frozen=True, eq=False, kw_only=True)
class Program:
    """What some people can be sent.

    Attributes
    ----------
    values, costs : (n_kinds, n_offers)
    size : (n_kinds,) people of each kind
    is_open : (n_kinds, n_offers) what may be sent at all
    members : (n_limits, n_offers) what counts against which limit
    per_person : offers for one person at most
    channel : (n_offers,) of each offer; by_channel : (n_channels,) offers for one person at most
    """

    values: Float64
    costs: Float64
    size: Ints
    is_open: Chosen
    members: Float64
    per_person: int
    channel: Ints
    by_channel: Ints

    def solve(self, room: Float64, *, gap: float) -> tuple[Ints | None, float]:
        """Return (n_kinds, n_offers) how often each offer is sent to each kind, and a bound on what any can reach.

        None where HiGHS found no answer in its time.

        Parameters
        ----------
        room : (1 + n_limits,) the money and messages that are left for these people
        gap : share of their value that the answer may miss the best by
        """
        kind, offer = np.nonzero(self.is_open)
        if len(kind) == 0:
            return np.zeros(self.values.shape, np.int64), 0.0
        costs, values = self.costs[self.is_open], self.values[self.is_open]
        unit = costs.mean()  # HiGHS' tolerances are absolute: of a typical cost
        people = sp.csr_array((np.ones(len(kind)), (kind, np.arange(len(kind)))), shape=(len(self.size), len(kind)))
        parts = [sp.csr_array(np.vstack([costs / unit, self.members[:, offer]])), people]
        most = [self.per_person * self.size]
        for number in np.flatnonzero(self.by_channel < self.per_person):
            parts.append(people * (self.channel[offer] == number))
            most.append(self.by_channel[number] * self.size)
        uses = sp.vstack(parts, format="csr")
        upper = np.concatenate([[room[0] / unit], room[1:], *most])
        reachable = np.inf
        for tightened in (0.0, 2e-6):  # a limit may be missed by HiGHS' tolerance; then it is asked for a little more
            found = milp(
                -values,
                constraints=LinearConstraint(uses, -np.inf, upper - tightened),
                integrality=np.ones(len(kind)),
                bounds=Bounds(0, self.size[kind]),
                options={"mip_rel_gap": gap, "time_limit": _SECONDS},
            )
            if np.isinf(reachable) and found.mip_dual_bound is not None:
                reachable = -found.mip_dual_bound
            if found.x is None:
                break
            sent = np.rint(found.x)
            if (uses @ sent <= upper).all():
                counts = np.zeros(self.values.shape, np.int64)
                counts[self.is_open] = sent.astype(np.int64)
                return counts, reachable
        return None, reachable


def dealt(counts: Ints, kind: Ints, channel: Ints) -> Chosen:
    """Return (n, n_offers) who of the people with these kinds (n,) is sent what.

    People of a kind stand in a circle, and every offer goes on where the one before it ended, those of one ``channel``
    (n_offers,) after each other: nobody gets more of them than rounds are begun.
    """
    size = np.bincount(kind, minlength=len(counts))
    order = np.argsort(kind, kind="stable")
    place = np.empty(len(kind), np.int64)
    place[order] = np.arange(len(kind)) - np.repeat(np.cumsum(size) - size, size)
    turn = np.argsort(channel, kind="stable")
    begin = np.empty_like(counts)
    begin[:, turn] = np.cumsum(counts[:, turn], axis=1) - counts[:, turn]
    return (place[:, None] - begin[kind]) % size[kind][:, None] < counts[kind]
