"""What a walk takes and gives: a log moment by moment, the rules of its markers, marks and donors.

Named tuples of arrays, since that is what compiled code takes.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]

N_CHANNELS = 4
"""Behaviors that a marker remembers; beside them it remembers its own marks."""
N_INGREDIENTS = 4
"""Of its chance: what it makes of the behaviors, and how long ago the last outcome was."""
MOST_WAITING = 32
"""Donors of one user that wait at once; a further one is not sent."""
NEVER = -(2**62)


class Past(NamedTuple):
    """A log, moment by moment.

    Attributes
    ----------
    offsets : (n_users + 1,) where a user's moments start; key : (n_users,) uint64 hash of the user
    ts_ms : (n,) time; decided : (n,) whether the moment is a decision
    counts : (n, n_behaviors) events of every behavior that a marker may remember
    bought : (n, n_outcomes) 1 where the moment is the outcome
    """

    offsets: Ints
    key: npt.NDArray[np.uint64]
    ts_ms: Ints
    decided: npt.NDArray[np.bool_]
    counts: Bytes
    bought: Bytes


class Rules(NamedTuple):
    """What K markers do.

    Attributes
    ----------
    channel : (K, 4) columns of ``Past.counts``
    rate : (K, 5) ln 2 / half-life in milliseconds of what is remembered of them, and of the marker's own marks
    rest : (K,) 1 / milliseconds: how soon a purchase is long ago
    weight : (K, 5) of the four ingredients and of own marks; intercept : (K,)
    gift : (K,) the largest chance that a mark sends a donor; 0 for a marker that does nothing
    wait_ms, horizon_ms : mean time until a donor joins, and the time after which it does not
    pool_counts, pool_bought : (n_donors, ...) what every donor is
    """

    channel: Ints
    rate: Float64
    rest: Float64
    weight: Float64
    intercept: Float64
    gift: Float64
    wait_ms: float
    horizon_ms: int
    pool_counts: Bytes
    pool_bought: Bytes

    def first(self, n: int) -> "Rules":
        """Return the first ``n`` markers: their draws stay the same."""
        return self._replace(**{name: getattr(self, name)[:n] for name in _PER_MARKER})


_PER_MARKER = ("channel", "rate", "rest", "weight", "intercept", "gift")


class Walked(NamedTuple):
    """What a walk did.

    Attributes
    ----------
    mark : (n, K) 1 where the moment was marked; chance : (n, K) pi(h), 0 where the moment is no decision
    donor : (n,) which donor joined, -1 for none
    bought : (n, n_outcomes) outcomes, donors among them
    """

    mark: Bytes
    chance: Float64
    donor: Ints
    bought: Bytes


class State(NamedTuple):
    """What is known of a user so far: memory (K, 5), donors waiting (due, deadline, which), and a clock.

    The clock: time of the memory, time of the last outcome, number of donors waiting.
    """

    memory: Float64
    waiting: Ints
    clock: Ints
