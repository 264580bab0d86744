"""Shops as chains of events in continuous time: what every world's equations say, and how they are run forward.

A user is a state that fades, a clock and a next event. The equations of a world are an object with five methods: who
the users are, where their state starts, when the next event comes, what it is, and what it changes. All users move at
once: one Python step per event step, never per user. Everything random that an event needs is drawn beforehand
(:class:`Draws`), so that the two arms of an intervention share it.

Times are whole milliseconds, so the state that draws the next event is exactly a function of what is logged. States
and probabilities are float32: an intervention is followed for millions of users.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import ModuleType
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
SHORTEST_GAP_MS: Final = 1_500  # above the second within which equal events count as duplicates

Kind = Literal["cause", "wrong sign", "no cause", "displacement"]
Pairs = Mapping[tuple[str, str], Kind]


@dataclass(frozen=True)
class Users:
    """Who the users are: what is fixed about them before the log starts.

    Attributes
    ----------
    attributes : (n, k) float32, 0 or 1: the columns of the users table
    sent_ms : (n, n_campaigns) when each campaign reaches them
    lot : (n, n_campaigns) uniform: it decides which arm they get
    wish : (n, 2) float32 period in days and phase of what they wish for unlogged; (n, 0) where nothing is hidden
    """

    attributes: Float32
    sent_ms: Ints
    lot: Float64
    wish: Float32

    @classmethod
    def of(cls, attributes: Float32, sent_ms: Ints | None = None, lot: Float64 | None = None) -> "Users":
        """Return users who hide nothing."""
        n = len(attributes)
        return cls(
            attributes,
            np.zeros((n, 0), np.int64) if sent_ms is None else sent_ms,
            np.zeros((n, 0)) if lot is None else lot,
            np.zeros((n, 0), np.float32),
        )

    def __len__(self) -> int:
        """Return the number of users."""
        return len(self.attributes)

    def take(self, rows: Ints | Bools) -> "Users":
        """Return the users at ``rows``."""
        return Users(self.attributes[rows], self.sent_ms[rows], self.lot[rows], self.wish[rows])

    def wishing(self, wish: Float32) -> "Users":
        """Return the same users with an unlogged wish."""
        return replace(self, wish=wish)


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


@dataclass(frozen=True)
class Step:
    """One event of each of some users, and what was true just before it.

    Attributes
    ----------
    user, ts_ms, cell : (n,) who, when, and the column of ``equations.cells``
    P : (n, n_cells) probability of every cell; S : (n, n_states) states before the event
    """

    user: Ints
    ts_ms: Ints
    cell: Ints
    P: Float32
    S: Float32


class Equations(ABC):
    """The equations of one world.

    Attributes
    ----------
    name : of the world
    actions, categories : an event is one of actions x categories; ``purchase`` is among the actions
    pairs : the (treatment, outcome) whose truth is stored, and what kind each is
    constants : the module that holds the numbers; its fingerprint is stored with the truth
    n_users, days : size of a log
    """

    name: str
    actions: tuple[str, ...]
    categories: tuple[str, ...]
    pairs: Pairs
    constants: ModuleType
    n_users: int = 3_200
    days: int = 35

    @abstractmethod
    def users(self, n_users: int, rng: np.random.Generator) -> Users:
        """Draw users at random."""

    @abstractmethod
    def start(self, users: Users) -> Float32:
        """Return (n, n_states): where the log starts."""

    @abstractmethod
    def advance(
        self, S: Float32, ts_ms: Ints, users: Users, draws: Draws, *, away: Bools | None = None
    ) -> tuple[Ints, Float32]:
        """Return the time of the next event and the states there; ``away`` says who is in no session yet."""

    @abstractmethod
    def probabilities(self, S: Float32, ts_ms: Ints, users: Users) -> Float32:
        """Return (n, n_cells): the probability that the event at ``ts_ms`` is each cell."""

    @abstractmethod
    def after(self, S: Float32, cell: Ints) -> Float32:
        """Return the states just after an event of ``cell``."""

    @abstractmethod
    def attribute_columns(self, users: Users) -> dict[str, npt.NDArray[np.object_]]:
        """Return the columns of the users table, ids left out."""

    def exposures(self, users: Users, steps: list[Step], rng: np.random.Generator) -> pd.DataFrame:  # noqa: ARG002 - most worlds send nothing
        """Return the campaign rows of the log: user position, time in milliseconds, campaign, arm, propensity."""
        return pd.DataFrame()

    def discount(self, step: Step) -> Float64:
        """Return (n,) the share off the price of what each event is about."""
        return np.zeros(len(step.cell))

    @cached_property
    def cells(self) -> tuple[str, ...]:
        """What an event can be: all categories of the first action, then of the next."""
        return cell_names(self.actions, self.categories)

    @cached_property
    def outcomes(self) -> tuple[str, ...]:
        """What is followed up: a purchase in each category, and in any."""
        return (*(f"purchase:{category}" for category in self.categories), "purchase:*")

    @cached_property
    def buys(self) -> slice:
        """The columns of ``cells`` that are purchases."""
        first = self.actions.index("purchase") * len(self.categories)
        return slice(first, first + len(self.categories))

    def is_outcome(self, cell: Ints) -> Bools:
        """Return (n, n_outcomes) whether an event of ``cell`` is each outcome."""
        of_category = cell[:, None] == np.arange(self.buys.start, self.buys.stop)
        return np.concatenate([of_category, of_category.any(axis=1, keepdims=True)], axis=1)


def natural_steps(
    equations: Equations, users: Users, rng: np.random.Generator, *, days: int | None = None
) -> Iterator[Step]:
    """Yield the events of all users, the k-th event of everybody who has one in the k-th step."""
    end_ms = (equations.days if days is None else days) * DAY_MS
    S = equations.start(users)
    ts = np.zeros(len(users), np.int64)
    who = np.arange(len(users))
    away = np.ones(len(users), bool)
    while len(who):
        draws = Draws.of(len(who), rng)
        ts, S = equations.advance(S, ts, users, draws, away=away)
        going = ts < end_ms
        S, ts, who, users, away = S[going], ts[going], who[going], users.take(going), np.zeros(going.sum(), bool)
        P = equations.probabilities(S, ts, users)
        cell = choose(P, draws.cell[going])
        yield Step(who, ts, cell, P, S)
        S = equations.after(S, cell)


def joined(steps: list[Step], name: str) -> Ints:
    """Return one column of all steps."""
    found: Ints = np.concatenate([getattr(s, name) for s in steps])
    return found


def choose(weights: npt.NDArray[np.floating], uniform: Float64) -> Ints:
    """Return (n,) a column of each row, drawn in proportion to ``weights``."""
    running = np.cumsum(weights, axis=1)
    below = running < (uniform * running[:, -1])[:, None]
    chosen: Ints = np.minimum(below.sum(axis=1), weights.shape[1] - 1)
    return chosen


@dataclass(frozen=True)
class BusyClock:
    """A clock that runs faster where the shop is busy, and as long as the usual one over its whole period.

    Attributes
    ----------
    busy : (k,) how busy each of k equal parts of the period is, in any unit
    period_ms : a day or a week
    """

    busy: Float64
    period_ms: int = DAY_MS
    _parts: Float64 = field(init=False, repr=False)
    _before: Float64 = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Tabulate the share of a period's busy time before each part, for interpolation both ways."""
        object.__setattr__(self, "_parts", np.arange(len(self.busy) + 1) / len(self.busy))
        object.__setattr__(self, "_before", np.concatenate([[0], np.cumsum(self.busy) / self.busy.sum()]))

    def after(self, ts_ms: Ints, wait: Float64) -> Float64:
        """Return the milliseconds at which a ``wait`` in periods of this clock, begun at ``ts_ms``, is over."""
        busy_time = _on_clock(ts_ms / self.period_ms, self._parts, self._before) + wait
        return _on_clock(busy_time, self._before, self._parts) * self.period_ms


def _on_clock(periods: Float64, known: Float64, wanted: Float64) -> Float64:
    whole = np.floor(periods)
    found: Float64 = whole + np.interp(periods - whole, known, wanted)
    return found


def daily_clock(hour: float, swing: float) -> BusyClock:
    """Return the clock of a shop that is busiest at ``hour`` and 1 + ``swing`` times as busy there as on average."""
    return BusyClock(1 + swing * np.cos(2 * np.pi * (np.arange(24) + 0.5 - hour) / 24))


def whole_gap(gap_ms: Float64) -> Ints:
    """Return the gap in whole milliseconds, no shorter than what tells two events apart."""
    return np.maximum(np.rint(gap_ms), SHORTEST_GAP_MS).astype(np.int64)


def softmax(logits: Float32) -> Float32:
    """Return (n, n_cells) probabilities of what the next event is, in the place of ``logits``."""
    np.exp(logits, out=logits)
    logits /= logits.sum(axis=1, keepdims=True)
    return logits


def cell_names(actions: tuple[str, ...], categories: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of all events: all categories of the first action, then of the next."""
    return tuple(f"{action}:{category}" for action in actions for category in categories)


def state_names(states: Mapping[str, object], categories: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of all states: ``x:c`` is one per category."""
    return tuple(
        state.replace(":c", f":{category}") if state.endswith(":c") else state
        for state in states
        for category in (categories if state.endswith(":c") else ("",))
    )


def arrow_matrix(arrows: Mapping[tuple[str, str], float], rows: tuple[str, ...], cells: tuple[str, ...]) -> Float32:
    """Return (n_rows, n_cells): the size of the arrow between each row's quantity and each event.

    ``(x:c, action:c)`` stands for every category with itself, ``(x, action:*)`` for all categories.
    """
    matrix = np.zeros((len(rows), len(cells)), np.float32)
    categories = tuple(dict.fromkeys(cell.split(":")[1] for cell in cells))
    for (row, event), size in arrows.items():
        action, category = event.split(":")
        for named in categories if category in ("c", "*") else (category,):
            of_row = f"{row[:-1]}{named}" if row.endswith(":c") else row
            matrix[rows.index(of_row), cells.index(f"{action}:{named}")] += size
    return matrix
