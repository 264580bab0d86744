"""True effects of a world, by intervention in its equations.

The question is that of a step trial. At a decision with history h the event is *forced* to be behavior b, or *forced*
to be neither b nor an event of outcome a, drawn from what this user would else have done; everything after goes its
natural way for seven days. Both arms are given the same random numbers.

Over whom
    All events after the first 7 days and before the last 7 days, of users simulated naturally, campaigns included: the
    decisions that whybuy calls eligible. With e_x(h) the true probability that the event is x, the decisions that are
    not a have density proportional to 1 - e_a, there e = e_b / (1 - e_a), and the overlap weight e (1 - e) gives each h
    the weight e_b (1 - e_a - e_b) / (1 - e_a). Where b is a, nothing is left out: e_a is 0 in these formulas.

How cheaply
    Decisions are sampled in proportion to e_b (1 - e_b), near the weight itself. One control event drawn from "not b"
    serves every outcome: draws that are a count nothing, the others (1 - e_b) / (1 - e_a - e_b). And an outcome is not
    counted when it happens but when it could: P(a happens within the horizon) is the expectation of the sum, over the
    events until the first a, of the probability that the event is a (the compensator). It has the same mean as the
    indicator and about a tenth of its variance.

Errors are clustered by user, for the ratio of sums.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from whybuy.worlds.chain import (
    DAY_MS,
    Bools,
    Draws,
    Equations,
    Float32,
    Float64,
    Ints,
    Users,
    choose,
    joined,
    natural_steps,
)

HORIZON_MS = 7 * DAY_MS
LOOKBACK_MS = 7 * DAY_MS

_BATCH = 4_096  # decisions followed at once: their logits stay in the processor's cache


@dataclass(frozen=True)
class RatioSums:
    """Per-user sums whose ratio is an effect for each outcome.

    Attributes
    ----------
    weighted : (n_users, n_outcomes) sum of weight x (outcome if forced to b - outcome if forced not to)
    weight : (n_users, n_outcomes) sum of weights
    """

    weighted: Float64
    weight: Float64

    @property
    def effect(self) -> Float64:
        """(n_outcomes,) the effects."""
        found: Float64 = self.weighted.sum(axis=0) / self.weight.sum(axis=0)
        return found

    @property
    def std_error(self) -> Float64:
        """(n_outcomes,) Monte Carlo standard errors, clustered by user."""
        spread = self.weighted - self.effect * self.weight
        found: Float64 = np.sqrt((spread**2).sum(axis=0)) / self.weight.sum(axis=0)
        return found

    @classmethod
    def together(cls, parts: "list[RatioSums]") -> "RatioSums":
        """Return the sums of all users of the parts."""
        return cls(np.concatenate([p.weighted for p in parts]), np.concatenate([p.weight for p in parts]))


@dataclass(frozen=True)
class Population:
    """Users simulated naturally, and their eligible decisions.

    Attributes
    ----------
    equations : of their world
    users : all of them
    user, ts_ms, P, S : of every eligible decision; see :class:`whybuy.worlds.chain.Step`
    cell : (n,) what the event was
    followed : (n, n_outcomes) whether each outcome did follow within the horizon
    """

    equations: Equations
    users: Users
    user: Ints
    ts_ms: Ints
    cell: Ints
    P: Float32
    S: Float32
    followed: Bools

    @classmethod
    def draw(cls, equations: Equations, n_users: int, rng: np.random.Generator) -> "Population":
        """Simulate ``n_users`` over the length of the log."""
        users = equations.users(n_users, rng)
        steps = list(natural_steps(equations, users, rng))
        user, ts, cell = (joined(steps, name) for name in ("user", "ts_ms", "cell"))
        eligible = (ts >= LOOKBACK_MS) & (ts + HORIZON_MS <= equations.days * DAY_MS)
        P = np.concatenate([s.P for s in steps])[eligible]
        S = np.concatenate([s.S for s in steps])[eligible]
        followed = _followed(user, ts, equations.is_outcome(cell))[eligible]
        return cls(equations, users, user[eligible], ts[eligible], cell[eligible], P, S, followed)

    def effects(self, treatment: str, n_draws: int, rng: np.random.Generator) -> RatioSums:
        """Return the sums of the effects of ``treatment`` on every outcome, from ``n_draws`` sampled decisions."""
        b = self.equations.cells.index(treatment)
        e_all = self.P[:, b].astype(float)
        share = e_all * (1 - e_all)
        at = _sample(share, n_draws, rng)
        sums = [self._forced(b, at[k : k + _BATCH], share, rng) for k in range(0, len(at), _BATCH)]
        return RatioSums(np.sum([s.weighted for s in sums], axis=0), np.sum([s.weight for s in sums], axis=0))

    def _forced(self, b: int, at: Ints, share: Float64, rng: np.random.Generator) -> RatioSums:
        P = self.P[at].astype(float)
        e_b = P[:, [b]]
        not_b = P.copy()
        not_b[:, b] = 0
        control = choose(not_b, rng.random(len(at)))
        arms = np.stack([np.full(len(at), b), control])
        start = Start(self.S[at], self.ts_ms[at], self.users.take(self.user[at]))
        Y = follow(self.equations, start, arms, rng)
        e_a, is_a = _any_purchase_last(P[:, self.equations.buys]), self.equations.is_outcome(control)
        own = self.equations.is_outcome(np.array([b]))[0]
        e_a, is_a = np.where(own, 0, e_a), is_a & ~own
        weight = e_b * (1 - e_a - e_b) / (1 - e_a) / share[at, None]
        counted = ~is_a * (1 - e_b) / (1 - e_a - e_b)
        user = self.user[at]
        return RatioSums(
            weighted=_by_user(user, weight * (Y[0] - counted * Y[1]), len(self.users)),
            weight=_by_user(user, weight, len(self.users)),
        )

    def naive(self, treatment: str) -> Float64:
        """Return (3, n_outcomes): the rates of which naive difference and lift are made.

        P(a follows | b), P(a follows | neither b nor a) and P(a follows | not a), over the decisions of the population.
        """
        b = self.equations.cells.index(treatment)
        is_b = self.cell == b
        own = self.equations.is_outcome(np.array([b]))[0]
        in_trial = ~self.equations.is_outcome(self.cell) | own
        groups = (is_b[:, None] & in_trial, ~is_b[:, None] & in_trial, in_trial)
        return np.array([(g & self.followed).sum(axis=0) / g.sum(axis=0) for g in groups])


@dataclass(frozen=True)
class Start:
    """Where an intervention starts: (n, n_states) states just before the event, its time, and whose it is."""

    S: Float32
    ts_ms: Ints
    users: Users


def follow(equations: Equations, start: Start, arms: Ints, rng: np.random.Generator) -> Float64:
    """Force the event at ``start`` to each arm's cell and return what follows within the horizon.

    Parameters
    ----------
    arms : (n_arms, n) the cell the event is forced to be; all arms share their random numbers

    Returns
    -------
    (n_arms, n, n_outcomes) values whose expectation is the probability that the outcome follows
    """
    n_arms, n = arms.shape
    n_outcomes = len(equations.outcomes)
    S = equations.after(np.tile(start.S, (n_arms, 1)), arms.ravel())
    row, draw = np.arange(n_arms * n), np.tile(np.arange(n), n_arms)
    ts, users = np.tile(start.ts_ms, n_arms), start.users.take(draw)
    until = ts + HORIZON_MS
    value = np.zeros((n_arms * n, n_outcomes))
    pending = np.ones((n_arms * n, n_outcomes), bool)
    while len(row):
        draws = Draws.of(n, rng).take(draw)
        ts, S = equations.advance(S, ts, users, draws)
        going = ts <= until
        S, ts, until, row, draw = S[going], ts[going], until[going], row[going], draw[going]
        users = users.take(going)
        P = equations.probabilities(S, ts, users)
        value[row] += _any_purchase_last(P[:, equations.buys]) * pending[row]
        cell = choose(P, draws.cell[going])
        pending[row] &= ~equations.is_outcome(cell)
        S = equations.after(S, cell)
    return value.reshape(n_arms, n, n_outcomes)


def _any_purchase_last(buy: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    return np.concatenate([buy, buy.sum(axis=1, keepdims=True)], axis=1)


def _sample(share: Float64, n_draws: int, rng: np.random.Generator) -> Ints:
    """Return ``n_draws`` indices in proportion to ``share``: one random start, equal steps."""
    running = np.cumsum(share)
    at = (rng.random() + np.arange(n_draws)) / n_draws * running[-1]
    chosen: Ints = np.minimum(np.searchsorted(running, at), len(share) - 1)
    return chosen


def _by_user(user: Ints, values: Float64, n_users: int) -> Float64:
    return np.stack([np.bincount(user, column, minlength=n_users) for column in values.T], axis=1)


def _followed(user: Ints, ts_ms: Ints, is_outcome: Bools) -> Bools:
    """Return (n, n_outcomes) whether each outcome follows each event within the horizon."""
    order = np.lexsort((ts_ms, user))
    span = int(ts_ms.max(initial=0)) + HORIZON_MS + DAY_MS
    key = user[order] * span + ts_ms[order]
    until = np.searchsorted(key, key + HORIZON_MS, side="right")
    running = np.concatenate([np.zeros((1, is_outcome.shape[1]), int), np.cumsum(is_outcome[order], axis=0)])
    followed = np.empty(is_outcome.shape, bool)
    followed[order] = running[until] > running[np.arange(len(user)) + 1]
    return followed
