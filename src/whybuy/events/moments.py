"""Moments: the decisions of users, and the windows of time around them.

Events of one user with the same time or the same order are one moment. Everything asked about a moment is asked of two
index ranges of the event array: the events strictly before it inside a window, and the events strictly after it inside
a horizon. Both come from one sorted key, so a window costs one ``searchsorted`` and no loop over users.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from whybuy import columns as c
from whybuy.events.behaviors import Behavior
from whybuy.events.sequences import Bools, Ints, Sequences, Vocabulary, matches


@dataclass(frozen=True)
class Moments:
    """The moments of one :class:`Sequences`, in its order.

    Attributes
    ----------
    user : (n,) index of the user
    ts_ms : (n,) time
    first, end : (n,) event range of the moment itself, half open
    key : (n_events,) sorted key of (user, time)
    span : length of one user's stretch of the key
    """

    user: Ints
    ts_ms: Ints
    first: Ints
    end: Ints
    key: Ints
    span: int
    origin: int

    @classmethod
    def of(cls, sequences: Sequences, *, reach_ms: int) -> "Moments":
        """Return the moments; ``reach_ms`` is the longest window or horizon that will be asked."""
        first = np.asarray(sequences.moment_starts[:-1])
        ts = np.asarray(sequences.ts_ms)
        event_user = sequences.event_user
        origin = int(ts.min()) if len(ts) else 0
        span = (int(ts.max()) - origin if len(ts) else 0) + reach_ms + 1
        return cls(
            user=event_user[first],
            ts_ms=ts[first],
            first=first,
            end=np.asarray(sequences.moment_starts[1:]),
            key=event_user * span + (ts - origin),
            span=span,
            origin=origin,
        )

    @classmethod
    def after(cls, sequences: Sequences, ts_ms: Ints, *, reach_ms: int) -> "Moments":
        """Return one moment a user that has not happened yet: at ``ts_ms`` (n_users,), after all of its events."""
        ts, end = np.asarray(sequences.ts_ms), np.asarray(sequences.offsets[1:])
        origin = int(min(ts.min(), ts_ms.min()))
        span = int(max(ts.max(), ts_ms.max())) - origin + reach_ms + 1
        key = sequences.event_user * span + (ts - origin)
        return cls(np.arange(sequences.n_users), ts_ms, end, end, key, span, origin)

    @classmethod
    def at(cls, sequences: Sequences, user: Ints, ts_ms: Ints, *, reach_ms: int) -> "Moments":
        """Return moments that are no events: the users' (n,) at the times (n,), before whatever happens at them.

        Parameters
        ----------
        user, ts_ms : sorted by user, then by time
        """
        ts = np.asarray(sequences.ts_ms)
        times = np.concatenate([ts, ts_ms])
        origin = int(times.min())
        span = int(times.max()) - origin + reach_ms + 1
        key = sequences.event_user * span + (ts - origin)
        first = np.searchsorted(key, user * span + (ts_ms - origin), side="left")
        return cls(user, ts_ms, first, first, key, span, origin)

    def __len__(self) -> int:
        """Return the number of moments."""
        return len(self.first)

    def since(self, window_ms: int) -> Ints:
        """Return (n,) the first event of the user at or after ``window_ms`` before the moment."""
        key = self.user * self.span + (self.ts_ms - self.origin) - window_ms
        return np.minimum(np.searchsorted(self.key, key, side="left"), self.first)

    def until(self, horizon_ms: int) -> Ints:
        """Return (n,) one past the last event of the user at most ``horizon_ms`` after the moment."""
        key = self.user * self.span + (self.ts_ms - self.origin) + horizon_ms
        return np.maximum(np.searchsorted(self.key, key, side="right"), self.end)


@dataclass(frozen=True)
class BehaviorIndex:
    """Finds all behaviors of a list in one gather over events.

    Attributes
    ----------
    behaviors : what is looked for, in column order
    """

    behaviors: tuple[Behavior, ...]
    vocabulary: Vocabulary
    table: npt.NDArray[np.uint8]
    """(n_actions, n_categories + 1, n_behaviors): which behaviors an event of that action and category is."""

    @classmethod
    def of(cls, behaviors: tuple[Behavior, ...], vocabulary: Vocabulary) -> "BehaviorIndex":
        """Build the lookup table."""
        table = np.zeros((len(c.ACTIONS), len(vocabulary.categories) + 1, len(behaviors)), np.uint8)
        for column, behavior in enumerate(behaviors):
            action = c.ACTIONS.index(behavior.action)
            if behavior.kind == "any":
                table[action, :, column] = 1
            elif behavior.kind == "category":
                table[action, :, column] = vocabulary.categories_within(behavior.target)
        return cls(behaviors, vocabulary, table)

    def hits(self, sequences: Sequences) -> npt.NDArray[np.uint8]:
        """Return (n_events, n_behaviors): 1 where the event is the behavior."""
        found: npt.NDArray[np.uint8] = self.table[sequences.action, sequences.category]
        for column, behavior in enumerate(self.behaviors):
            if behavior.kind in ("item", "brand"):
                found[:, column] = matches(behavior, sequences, self.vocabulary)
        return found


def ranges(n: Ints, first: Ints | int = 0) -> tuple[Ints, Ints]:
    """Return ranges of indices, written out one after another.

    Parameters
    ----------
    n : (r,) length of every range; an empty one leaves nothing
    first : (r,) where every range starts, or where all of them do

    Returns
    -------
    owner : (n.sum(),) the range that an index is of
    index : (n.sum(),) ``first``, ``first + 1``, ... of every range
    """
    owner = np.repeat(np.arange(len(n)), n)
    # Within a range, an index and its place in what is returned differ by one and the same number.
    differ = first - (np.cumsum(n) - n)
    return owner, np.arange(len(owner)) + differ[owner]


def prefix_counts(hits: npt.NDArray[np.uint8]) -> npt.NDArray[np.int32]:
    """Return (n_events + 1, n_behaviors): how many hits lie before each event; ranges are differences of two rows."""
    counts = np.zeros((len(hits) + 1, hits.shape[1]), np.int32)
    np.cumsum(hits, axis=0, out=counts[1:], dtype=np.int32)
    return counts


def in_moment(prefix: npt.NDArray[np.int32], moments: Moments) -> npt.NDArray[np.uint8]:
    """Return (n_moments, n_behaviors): 1 where the moment holds the behavior."""
    return (prefix[moments.end] > prefix[moments.first]).astype(np.uint8)


def within(prefix: npt.NDArray[np.int32], moments: Moments, horizon_ms: int) -> npt.NDArray[np.uint8]:
    """Return (n_moments, n_behaviors): 1 where the behavior follows the moment in (ts, ts + horizon]."""
    return (prefix[moments.until(horizon_ms)] > prefix[moments.end]).astype(np.uint8)


def decisions(sequences: Sequences, moments: Moments) -> Bools:
    """Return (n_moments,) whether the moment is a decision of the user: not only impressions and campaigns."""
    exposure = np.isin(sequences.action, [c.ACTIONS.index("impression"), c.ACTIONS.index("campaign")])
    own = np.concatenate([[0], np.cumsum(~exposure)])
    decided: Bools = own[moments.end] > own[moments.first]
    return decided
