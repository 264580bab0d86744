"""What people are best sent at given prices of the limits, in compiled passes over them.

A price is what a unit of a limit is worth: of the budget, or of one message of a channel. At prices p an offer to a
person nets v - p_budget * cost - toll, the toll being the sum of the prices of the limits that the offer counts
against. The best answer is the ``per_person`` largest positive nets, no more of a channel than ``per_channel`` allows,
and nobody's answer depends on anybody else's. Limits of a person's channels and of all their offers lie within each
other, so taking the largest net that still fits is best (a laminar matroid), and the next best answer differs by one
offer that is added, dropped or exchanged.
Passes stream over the values as they are, so that a memmap larger than memory will do.
"""

from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt

from whybuy.campaign.budget.problem import SLACK, Offers, Problem
from whybuy.causal.clusters import Float64, Ints

Chosen = npt.NDArray[np.bool_]
"""(n_people, n_offers) who is sent what."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Response:
    """Everybody's best answer to prices, in sums.

    Attributes
    ----------
    prices : (1 + n_limits,) of the budget, then of the limits of ``at_most``
    value : the sum of the values of what is sent
    used : (1 + n_limits,) what is spent, and what counts against each limit
    spent, sent : (n_offers,) money and number by offer
    """

    prices: Float64
    value: float
    used: Float64
    spent: Float64
    sent: Float64

    @property
    def net(self) -> float:
        """The sum of nets; with prices times limits it is a bound on what any plan can reach."""
        return self.value - float(self.prices @ self.used)


def respond(problem: Problem, prices: Float64) -> Response:
    """Return everybody's best answer to ``prices`` (1 + n_limits,)."""
    offers = problem.offers
    value, spent, sent = _respond(problem.values, offers.costs, prices[0], prices[1:] @ offers.members, _within(offers))
    used = np.concatenate([[spent.sum()], offers.members @ sent])
    return Response(prices=prices, value=value, used=used, spent=spent, sent=sent)


def margins(problem: Problem, prices: Float64) -> npt.NDArray[np.float32]:
    """Return (n_people,) the least that any other answer than the best one would cost each person."""
    offers = problem.offers
    return _margins(problem.values, offers.costs, prices[0], prices[1:] @ offers.members, _within(offers))


def best_nets(nets: Float64, offers: Offers) -> Float64:
    """Return (n, per_person) the nets of the best answers of people with these nets (n, n_offers), 0 where none."""
    return _best_nets(nets, _within(offers))


def _within(offers: Offers) -> tuple[int, Ints, Ints]:
    """Return what one person may get: offers in all, (n_offers,) each offer's channel, (n_channels,) by channel."""
    return offers.per_person, offers.channel, offers.room


def fill(problem: Problem, prices: Float64, limits: Float64, order: Ints) -> Chosen:
    """Return a plan within the limits that follows the prices.

    People whose answer matters most, the last of ``order``, choose first among what still fits; then, from the most
    undecided on, what is left goes to additions and exchanges that gain value.
    """
    offers, chosen, left = problem.offers, np.zeros(problem.values.shape, bool), limits * (1 + SLACK)
    terms = (prices[0], prices[1:] @ offers.members, offers.members, _within(offers))
    _choose(problem.values, offers.costs, terms, order, left, chosen)
    _use_rest(problem.values, offers.costs, terms, order, left, chosen)
    return chosen


@numba.njit(cache=True)
def _nets(values, cost, price, toll, net):  # type: ignore[no-untyped-def] # compiled, as the next ones
    for k in range(len(net)):
        net[k] = values[k] - price * cost[k] - toll[k]


@numba.njit(cache=True)
def _largest(net):  # type: ignore[no-untyped-def]
    best = 0
    for k in range(1, len(net)):
        if net[k] > net[best]:
            best = k
    return best


@numba.njit(cache=True)
def _take_best(net, within, chosen, free):  # type: ignore[no-untyped-def]
    """Mark the best answer to nets, write what is left of the channels, and return how many more offers fit."""
    room, channel, by_channel = within
    for g in range(len(free)):
        free[g] = by_channel[g]
    for k in range(len(net)):
        chosen[k] = False
    while room > 0:
        best = -1
        for k in range(len(net)):
            if net[k] > 0 and not chosen[k] and free[channel[k]] > 0 and (best < 0 or net[k] > net[best]):
                best = k
        if best < 0:
            break
        chosen[best] = True
        free[channel[best]] -= 1
        room -= 1
    return room


@numba.njit(cache=True)
def _respond(values, costs, price, toll, within):  # type: ignore[no-untyped-def]
    n, K = values.shape
    net, value, spent, sent = np.empty(K), 0.0, np.zeros(K), np.zeros(K)
    chosen, free = np.zeros(K, np.bool_), within[2].copy()
    for i in range(n):
        cost = costs[i] if len(costs) > 1 else costs[0]
        _nets(values[i], cost, price, toll, net)
        _take_best(net, within, chosen, free)
        for k in range(K):
            if chosen[k]:
                value += values[i, k]
                spent[k] += cost[k]
                sent[k] += 1
    return value, spent, sent


@numba.njit(cache=True)
def _best_nets(nets, within):  # type: ignore[no-untyped-def]
    n, K = nets.shape
    out, chosen, free = np.zeros((n, within[0])), np.zeros(K, np.bool_), within[2].copy()
    for i in range(n):
        _take_best(nets[i], within, chosen, free)
        for taken, k in enumerate(np.flatnonzero(chosen)):
            at = taken
            while at > 0 and out[i, at - 1] < nets[i, k]:
                out[i, at] = out[i, at - 1]
                at -= 1
            out[i, at] = nets[i, k]
    return out


@numba.njit(cache=True)
def _margins(values, costs, price, toll, within):  # type: ignore[no-untyped-def]
    n, K = values.shape
    net, out, chosen = np.empty(K), np.empty(n, np.float32), np.zeros(K, np.bool_)
    channel, free = within[1], within[2].copy()
    for i in range(n):
        _nets(values[i], costs[i] if len(costs) > 1 else costs[0], price, toll, net)
        room = _take_best(net, within, chosen, free)
        least = np.inf
        for k in range(K):
            if chosen[k]:
                instead = 0.0
                for j in range(K):
                    if not chosen[j] and (free[channel[j]] > 0 or channel[j] == channel[k]):
                        instead = max(instead, net[j])
                least = min(least, net[k] - instead)
            elif room > 0 and free[channel[k]] > 0:
                least = min(least, -net[k])
        out[i] = least
    return out


@numba.njit(cache=True)
def _fits(add, drop, cost, members, left):  # type: ignore[no-untyped-def]
    """Whether ``add`` can be sent in place of ``drop``, or beside everything else where ``drop`` is -1."""
    fits = cost[add] - (cost[drop] if drop >= 0 else 0.0) <= left[0]
    for g in range(len(members)):
        fits &= members[g, add] - (members[g, drop] if drop >= 0 else 0.0) <= left[1 + g]
    return fits


@numba.njit(cache=True)
def _take(k, sign, cost, members, left):  # type: ignore[no-untyped-def]
    """Take what one more message of ``k`` uses from what is left, or give it back where ``sign`` is -1."""
    left[0] -= sign * cost[k]
    for g in range(len(members)):
        left[1 + g] -= sign * members[g, k]


@numba.njit(cache=True)
def _choose(values, costs, terms, order, left, chosen):  # type: ignore[no-untyped-def]
    price, toll, members, (most, channel, by_channel) = terms
    net = np.empty(values.shape[1])
    for i in order[::-1]:
        cost = costs[i] if len(costs) > 1 else costs[0]
        _nets(values[i], cost, price, toll, net)
        room, free = most, by_channel.copy()
        while room > 0:
            k = _largest(net)
            if net[k] <= 0:
                break
            net[k] = -np.inf
            if free[channel[k]] > 0 and _fits(k, -1, cost, members, left):
                chosen[i, k] = True
                _take(k, 1, cost, members, left)
                free[channel[k]] -= 1
                room -= 1


@numba.njit(cache=True)
def _to_drop(k, net, chosen, within):  # type: ignore[no-untyped-def]
    """The offer that has to go for ``k``, -1 where there is room for one more."""
    most, channel, by_channel = within
    n_chosen = n_alike = 0
    drop = alike = -1
    for j in range(len(net)):
        if chosen[j]:
            n_chosen += 1
            if drop < 0 or net[j] < net[drop]:
                drop = j
            if channel[j] == channel[k]:
                n_alike += 1
                if alike < 0 or net[j] < net[alike]:
                    alike = j
    if n_alike == by_channel[channel[k]]:
        return alike
    return drop if n_chosen == most else -1


@numba.njit(cache=True)
def _use_rest(values, costs, terms, order, left, chosen):  # type: ignore[no-untyped-def]
    price, toll, members, within = terms
    net = np.empty(values.shape[1])
    for i in order:
        cost = costs[i] if len(costs) > 1 else costs[0]
        _nets(values[i], cost, price, toll, net)
        add, gone, gained = -1, -1, 0.0
        for k in range(len(net)):
            if chosen[i, k]:
                continue
            drop = _to_drop(k, net, chosen[i], within)
            gain = net[k] - (net[drop] if drop >= 0 else 0.0)
            worth = values[i, drop] if drop >= 0 else 0.0
            if values[i, k] > worth and (add < 0 or gain > gained) and _fits(k, drop, cost, members, left):
                add, gone, gained = k, drop, gain
        if add >= 0:
            chosen[i, add] = True
            _take(add, 1, cost, members, left)
            if gone >= 0:
                chosen[i, gone] = False
                _take(gone, -1, cost, members, left)
