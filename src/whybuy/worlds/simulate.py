"""The equations of the demo shop run forward for many users at once: one Python step per event step, never per user.

Times are whole milliseconds, so the state that draws the next event is exactly a function of what is logged. States and
logits are float32: an intervention is followed for millions of users.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from whybuy.worlds import demo as world

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_JUMPS = world.jump_matrix()
_LOGITS = world.logit_matrix()
_DECAY_PER_MS = (np.log(2) / (world.HALF_LIFE_HOURS * world.HOUR_MS)).astype(np.float32)
_N_STATES = len(world.STATES)
_MOMENTUM = world.STATES.index("momentum")
_SHORTEST_GAP_MS = 1_500  # above the second within which equal events count as duplicates

# The clock of returns: the share of a day's returns that fall before each hour, and its inverse by interpolation.
_HOURS = np.arange(25) / 24
_BUSY = 1 + world.BUSY_SWING * np.cos(2 * np.pi * (np.arange(24) + 0.5 - world.BUSY_HOUR) / 24)
_BUSY_BEFORE = np.concatenate([[0], np.cumsum(_BUSY) / _BUSY.sum()])


@dataclass(frozen=True)
class Users:
    """Who the users are.

    Attributes
    ----------
    attributes : (n, 4) float32, 0 or 1 for each of :data:`whybuy.worlds.demo.ATTRIBUTES`
    spring_ms : (n,) when the spring campaign assigns the user
    treated : (n,) whether into the treated arm
    """

    attributes: Float32
    spring_ms: Ints
    treated: Bools

    @classmethod
    def draw(cls, n_users: int, rng: np.random.Generator) -> "Users":
        """Draw users at random."""
        age = rng.random(n_users)
        parts = (
            rng.random(n_users) < world.SHARE_LOYAL,
            rng.random(n_users) < world.SHARE_F,
            age < world.SHARE_YOUNG,
            age >= 1 - world.SHARE_OLD,
        )
        day = world.SPRING_DAY + world.SPRING_SPREAD_DAYS * rng.random(n_users)
        return cls(
            attributes=np.stack(parts, axis=1).astype(np.float32),
            spring_ms=np.rint(day * world.DAY_MS).astype(np.int64),
            treated=rng.random(n_users) < world.SPRING_SHARE,
        )

    def __len__(self) -> int:
        """Return the number of users."""
        return len(self.spring_ms)

    def take(self, rows: Ints | Bools) -> "Users":
        """Return the users at ``rows``."""
        return Users(self.attributes[rows], self.spring_ms[rows], self.treated[rows])

    @property
    def is_loyal(self) -> Bools:
        """(n,) whether the segment is loyal, not new."""
        loyal: Bools = self.attributes[:, world.ATTRIBUTES.index("loyal")] > 0
        return loyal


@dataclass(frozen=True)
class Step:
    """One event of each of some users, and what was true just before it.

    Attributes
    ----------
    user, ts_ms, cell : (n,) who, when, and the column of :data:`whybuy.worlds.demo.CELLS`
    P : (n, n_cells) probability of every cell; S : (n, n_states) states before the event
    """

    user: Ints
    ts_ms: Ints
    cell: Ints
    P: Float32
    S: Float32


@dataclass(frozen=True)
class Draws:
    """Random numbers of one event step, one column per user: shared by the arms of an intervention.

    Attributes
    ----------
    stay, cell : (n,) uniform; gap : (n,) standard exponential
    """

    stay: Float64
    cell: Float64
    gap: Float64

    @classmethod
    def of(cls, n: int, rng: np.random.Generator) -> "Draws":
        """Draw them."""
        return cls(rng.random(n), rng.random(n), rng.standard_exponential(n))

    def take(self, rows: Ints) -> "Draws":
        """Return the draws of ``rows``."""
        return Draws(self.stay[rows], self.cell[rows], self.gap[rows])


def natural_steps(users: Users, rng: np.random.Generator, *, days: int = world.DAYS) -> Iterator[Step]:
    """Yield the events of all users, the k-th event of everybody who has one in the k-th step."""
    S = np.zeros((len(users), _N_STATES), np.float32)
    ts = np.zeros(len(users), np.int64)
    who = np.arange(len(users))
    away = np.ones(len(users), bool)
    while len(who):
        draws = Draws.of(len(who), rng)
        ts, S = advance(S, ts, users, draws, away=away)
        going = ts < days * world.DAY_MS
        S, ts, who, users, away = S[going], ts[going], who[going], users.take(going), np.zeros(going.sum(), bool)
        P = cell_probabilities(S, ts, users)
        cell = choose(P, draws.cell[going])
        yield Step(who, ts, cell, P, S)
        S = after_event(S, cell)


def advance(S: Float32, ts_ms: Ints, users: Users, draws: Draws, *, away: Bools | None = None) -> tuple[Ints, Float32]:
    """Return the time of the next event and the decayed states there.

    ``away`` says who is in no session yet and can only return.
    """
    stays = draws.stay < world.STAY
    if away is not None:
        stays &= ~away
    short = 2_000 + draws.gap * world.STAY_GAP_S * 1_000
    loyal = users.attributes[:, world.ATTRIBUTES.index("loyal")]
    momentum = np.log1p(S[:, _MOMENTUM])
    wait_days = draws.gap / (
        world.RETURN_PER_DAY * np.exp(world.RETURN_LOYAL * loyal + world.RETURN_MOMENTUM * momentum)
    )
    gap = np.where(stays, short, _return_ms(ts_ms, wait_days) - ts_ms)
    gap_ms = np.maximum(np.rint(gap), _SHORTEST_GAP_MS).astype(np.int64)
    decayed: Float32 = S * np.exp(-gap_ms.astype(np.float32)[:, None] * _DECAY_PER_MS)
    return ts_ms + gap_ms, decayed


def _return_ms(ts_ms: Ints, wait_days: Float64) -> Float64:
    """Return when a wait is over on the clock that runs faster in busy hours (as long as the usual one over a day)."""
    busy_time = _on_clock(ts_ms / world.DAY_MS, _HOURS, _BUSY_BEFORE) + wait_days
    return _on_clock(busy_time, _BUSY_BEFORE, _HOURS) * world.DAY_MS


def _on_clock(days: Float64, known: Float64, wanted: Float64) -> Float64:
    whole = np.floor(days)
    found: Float64 = whole + np.interp(days - whole, known, wanted)
    return found


def cell_probabilities(S: Float32, ts_ms: Ints, users: Users) -> Float32:
    """Return (n, n_cells) float32: the probability that the event at ``ts_ms`` is each cell."""
    X = np.empty((len(S), len(world.FEATURES)), np.float32)
    np.log1p(np.maximum(S, 0), out=X[:, :_N_STATES])
    X[:, _N_STATES:-3] = users.attributes
    hours = (ts_ms % world.DAY_MS) / world.HOUR_MS
    X[:, -3] = np.cos(2 * np.pi * (hours - world.EVENING_HOUR) / 24)
    hours_since = (ts_ms - users.spring_ms) / world.HOUR_MS
    responds = users.treated & ~users.is_loyal & (hours_since > 0)
    X[:, -2] = np.where(responds, np.exp2(-np.maximum(hours_since, 0) / world.SPRING_HALF_LIFE_HOURS), 0)
    X[:, -1] = 1
    P = X @ _LOGITS
    np.exp(P, out=P)
    P /= P.sum(axis=1, keepdims=True)
    return P


def choose(weights: npt.NDArray[np.floating], uniform: Float64) -> Ints:
    """Return (n,) a column of each row, drawn in proportion to ``weights``."""
    running = np.cumsum(weights, axis=1)
    below = running < (uniform * running[:, -1])[:, None]
    chosen: Ints = np.minimum(below.sum(axis=1), weights.shape[1] - 1)
    return chosen


def after_event(S: Float32, cell: Ints) -> Float32:
    """Return the states just after an event of ``cell``."""
    return S + _JUMPS[cell]
