"""True effects of the demo shop, by intervention in its equations.

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

from whybuy.worlds import demo as world
from whybuy.worlds.simulate import (
    Bools,
    Draws,
    Float32,
    Float64,
    Ints,
    Step,
    Users,
    advance,
    after_event,
    cell_probabilities,
    choose,
    natural_steps,
)

HORIZON_MS = 7 * world.DAY_MS
LOOKBACK_MS = 7 * world.DAY_MS
OUTCOMES = (*(f"purchase:{category}" for category in world.CATEGORIES), "purchase:*")
"""What is followed up: a purchase in each category, and in any."""

_BATCH = 4_096  # decisions followed at once: their logits stay in the processor's cache
_N_CATEGORIES = len(world.CATEGORIES)
_BUY = slice(world.CELLS.index("purchase:shoes"), world.CELLS.index("purchase:shoes") + _N_CATEGORIES)


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
    users : all of them
    user, ts_ms, P, S : of every eligible decision; see :class:`whybuy.worlds.simulate.Step`
    cell : (n,) what the event was
    followed : (n, n_outcomes) whether each outcome did follow within the horizon
    """

    users: Users
    user: Ints
    ts_ms: Ints
    cell: Ints
    P: Float32
    S: Float32
    followed: Bools

    @classmethod
    def draw(cls, n_users: int, rng: np.random.Generator) -> "Population":
        """Simulate ``n_users`` over the length of the log."""
        users = Users.draw(n_users, rng)
        steps = list(natural_steps(users, rng))
        user, ts, cell = (_joined(steps, name) for name in ("user", "ts_ms", "cell"))
        eligible = (ts >= LOOKBACK_MS) & (ts + HORIZON_MS <= world.DAYS * world.DAY_MS)
        P = np.concatenate([s.P for s in steps])[eligible]
        S = np.concatenate([s.S for s in steps])[eligible]
        followed = _followed(user, ts, cell)[eligible]
        return cls(users, user[eligible], ts[eligible], cell[eligible], P, S, followed)

    def effects(self, treatment: str, n_draws: int, rng: np.random.Generator) -> RatioSums:
        """Return the sums of the effects of ``treatment`` on every outcome, from ``n_draws`` sampled decisions."""
        b = world.CELLS.index(treatment)
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
        Y = follow(self.S[at], self.ts_ms[at], self.users.take(self.user[at]), arms, rng)
        e_a, is_a = _any_purchase_last(P[:, _BUY]), is_outcome(control)
        own = is_outcome(np.array([b]))[0]
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
        is_b = self.cell == world.CELLS.index(treatment)
        own = is_outcome(np.array([world.CELLS.index(treatment)]))[0]
        in_trial = ~is_outcome(self.cell) | own
        groups = (is_b[:, None] & in_trial, ~is_b[:, None] & in_trial, in_trial)
        return np.array([(g & self.followed).sum(axis=0) / g.sum(axis=0) for g in groups])


def follow(S: Float32, ts_ms: Ints, users: Users, arms: Ints, rng: np.random.Generator) -> Float64:
    """Force the event at ``ts_ms`` to each arm's cell and return what follows within the horizon.

    Parameters
    ----------
    S : (n, n_states) states just before the event
    arms : (n_arms, n) the cell the event is forced to be; all arms share their random numbers

    Returns
    -------
    (n_arms, n, n_outcomes) values whose expectation is the probability that the outcome follows
    """
    n_arms, n = arms.shape
    S = after_event(np.tile(S, (n_arms, 1)), arms.ravel())
    row, draw = np.arange(n_arms * n), np.tile(np.arange(n), n_arms)
    until, ts, users = np.tile(ts_ms + HORIZON_MS, n_arms), np.tile(ts_ms, n_arms), users.take(draw)
    value = np.zeros((n_arms * n, len(OUTCOMES)))
    pending = np.ones((n_arms * n, len(OUTCOMES)), bool)
    while len(row):
        draws = Draws.of(n, rng).take(draw)
        ts, S = advance(S, ts, users, draws)
        going = ts <= until
        S, ts, until, row, draw = S[going], ts[going], until[going], row[going], draw[going]
        users = users.take(going)
        P = cell_probabilities(S, ts, users)
        value[row] += _any_purchase_last(P[:, _BUY]) * pending[row]
        cell = choose(P, draws.cell[going])
        pending[row] &= ~is_outcome(cell)
        S = after_event(S, cell)
    return value.reshape(n_arms, n, len(OUTCOMES))


def spring_effects(n_users: int, rng: np.random.Generator) -> tuple[RatioSums, Bools]:
    """Return the sums of the effect of ``spring`` on any purchase within the horizon, and who is loyal.

    The same users are simulated twice from the log's start with the same random numbers, treated and control; their
    paths are the same until the assignment. A user is one cluster of weight 1.
    """
    users = Users.draw(n_users, rng)
    seed = int(rng.integers(2**63))
    bought = [
        _bought_after(Users(users.attributes, users.spring_ms, np.full(n_users, arm)), np.random.default_rng(seed))
        for arm in (True, False)
    ]
    gain = (bought[0] - bought[1])[:, None]
    return RatioSums(gain, np.ones_like(gain)), users.is_loyal


def _bought_after(users: Users, rng: np.random.Generator) -> Float64:
    """Return (n_users,) the compensator of the first purchase within the horizon after the assignment."""
    value, pending = np.zeros(len(users)), np.ones(len(users), bool)
    days = int(np.ceil(world.SPRING_DAY + world.SPRING_SPREAD_DAYS + HORIZON_MS / world.DAY_MS))
    for step in natural_steps(users, rng, days=days):
        since = step.ts_ms - users.spring_ms[step.user]
        inside = (since > 0) & (since <= HORIZON_MS)
        user, P, cell = step.user[inside], step.P[inside], step.cell[inside]
        value[user] += P[:, _BUY].sum(axis=1) * pending[user]
        pending[user] &= ~is_outcome(cell)[:, -1]
    return value


def is_outcome(cell: Ints) -> Bools:
    """Return (n, n_outcomes) whether an event of ``cell`` is each outcome."""
    of_category = cell[:, None] == np.arange(_BUY.start, _BUY.stop)
    return np.concatenate([of_category, of_category.any(axis=1, keepdims=True)], axis=1)


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


def _joined(steps: list[Step], name: str) -> Ints:
    found: Ints = np.concatenate([getattr(step, name) for step in steps])
    return found


def _followed(user: Ints, ts_ms: Ints, cell: Ints) -> Bools:
    """Return (n, n_outcomes) whether each outcome follows each event within the horizon."""
    order = np.lexsort((ts_ms, user))
    span = (world.DAYS + 8) * world.DAY_MS
    key = user[order] * span + ts_ms[order]
    until = np.searchsorted(key, key + HORIZON_MS, side="right")
    running = np.concatenate([np.zeros((1, len(OUTCOMES)), int), np.cumsum(is_outcome(cell[order]), axis=0)])
    followed = np.empty((len(user), len(OUTCOMES)), bool)
    followed[order] = running[until] > running[np.arange(len(user)) + 1]
    return followed
