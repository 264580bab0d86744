"""Packing: many users in one row of fixed length, none of them seeing another.

A user whose stream fits into a row is one window. A longer one is several windows that overlap by half, so that every
moment is read once with at least half a row of context. Windows are put into rows by first fit, and
attention is masked to the window a position belongs to, so that rows are full and nobody's history leaks.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numba
import numpy as np
import numpy.typing as npt

from whybuy.events.moments import Moments
from whybuy.events.sequences import Ints

_LENGTHS = (64, 128, 256, 512, 1024)


def row_length(lengths: Ints, longest: int) -> int:
    """Return how long rows should be for streams of these lengths: the shortest that holds nearly all of them.

    Attention costs the square of a row, so short histories get short rows.
    """
    wanted = float(np.quantile(lengths, 0.98)) + 1 if len(lengths) else 0
    return next((n for n in _LENGTHS if n >= wanted and n <= longest), longest)


@dataclass(frozen=True)
class Windows:
    """Stretches of users' events, each preceded by the user's start token.

    Attributes
    ----------
    user : (n,) index of the user
    start, stop : (n,) range of events
    read_from : (n,) the first event whose moment is the window's own to read
    length : tokens that fit into a row
    first : (n,) the user's first event
    """

    user: Ints
    start: Ints
    stop: Ints
    read_from: Ints
    length: int
    first: Ints

    @classmethod
    def of(cls, offsets: Ints, length: int) -> "Windows":
        """Cut every user into windows of at most ``length`` tokens."""
        offsets = np.asarray(offsets)
        room, half = length - 1, (length - 1) // 2
        events = np.diff(offsets)
        n_windows = 1 + np.maximum(0, -(-(events - room) // half))
        user = np.repeat(np.arange(len(events)), n_windows)
        place = np.arange(len(user)) - np.repeat(np.cumsum(n_windows) - n_windows, n_windows)
        start = offsets[user] + place * half
        stop = np.minimum(start + room, offsets[user + 1])
        # The second half of a full window is where the next one begins to read.
        read_from = np.where(place > 0, start + room - half, start)
        return cls(user, start, stop, read_from, length, offsets[user])

    @classmethod
    def latest(cls, offsets: Ints, length: int) -> "Windows":
        """Return one window a user: the last ``length - 1`` events."""
        offsets = np.asarray(offsets)
        stop = offsets[1:]
        start = np.maximum(offsets[:-1], stop - (length - 1))
        return cls(np.arange(len(stop)), start, stop, start, length, offsets[:-1])

    @property
    def tokens(self) -> Ints:
        """(n,) tokens of every window."""
        return self.stop - self.start + 1

    def n_batches(self, order: Ints, *, rows: int) -> int:
        """Return how many batches :meth:`batches` would yield."""
        batch, _, _ = _first_fit(self.tokens[order], self.length, rows)
        return int(batch[-1]) + 1 if len(batch) else 0

    def batches(self, order: Ints, *, rows: int) -> Iterator["Packed"]:
        """Yield batches of at most ``rows`` rows that hold the windows ``order``, in that order."""
        batch, row, column = _first_fit(self.tokens[order], self.length, rows)
        n_batches = int(batch[-1]) + 1 if len(batch) else 0
        cuts = np.searchsorted(batch, np.arange(n_batches + 1))
        for low, high in pairwise(cuts):
            yield Packed(self, order[low:high], row[low:high], column[low:high])


@numba.njit(cache=True)
def _first_fit(tokens, length, rows):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    """Put every window into the first row of the batch that has room; where none has, the next batch begins."""
    batch = np.empty(len(tokens), np.int64)
    row = np.empty(len(tokens), np.int64)
    column = np.empty(len(tokens), np.int64)
    used = np.zeros(rows, np.int64)
    at = 0
    for i in range(len(tokens)):
        r = 0
        while r < rows and used[r] + tokens[i] > length:
            r += 1
        if r == rows:
            at, r = at + 1, 0
            used[:] = 0
        batch[i], row[i], column[i] = at, r, used[r]
        used[r] += tokens[i]
    return batch, row, column


@dataclass(frozen=True)
class Packed:
    """One batch: which window lies where.

    Attributes
    ----------
    windows : all windows
    chosen : (w,) those of this batch
    row, column : (w,) where their start tokens lie
    """

    windows: Windows
    chosen: Ints
    row: Ints
    column: Ints

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return int(self.row.max()) + 1, int((self.column + self.windows.tokens[self.chosen]).max())

    def share(self, rank: int, world: int) -> "Packed":
        """Return every ``world``-th row from ``rank`` on: one process's part of the batch, perhaps an empty one."""
        mine = self.row % world == rank
        return Packed(self.windows, self.chosen[mine], self.row[mine] // world, self.column[mine])

    def layout(self, n_tokens: int) -> "Layout":
        """Return the padded index arrays; ``n_tokens`` is the stream's padding token."""
        tokens = self.windows.tokens[self.chosen]
        rows, columns = self.shape
        window = np.repeat(np.arange(len(tokens)), tokens)
        order = np.arange(len(window)) - np.repeat(np.cumsum(tokens) - tokens, tokens)
        flat = (self.row * columns + self.column)[window] + order
        user, start = self.windows.user[self.chosen], self.windows.start[self.chosen]
        # Token of event i of user u stands at i + u + 1, the start token right before the user's first.
        event = start[window] + order + user[window]
        first = self.windows.first[self.chosen] + user
        token = np.full(rows * columns, n_tokens)
        token[flat] = np.where(order > 0, event, first[window])
        segment = np.full(rows * columns, -1)
        segment[flat] = window
        place = np.zeros(rows * columns, np.int64)
        place[flat] = order
        shape = (rows, columns)
        return Layout(token.reshape(shape), segment.reshape(shape), place.reshape(shape))

    def readings(self, moments: Moments) -> "Readings":
        """Return where the moments owned by the windows are read."""
        low = np.searchsorted(moments.first, self.windows.read_from[self.chosen])
        high = np.searchsorted(moments.first, self.windows.stop[self.chosen])
        n = high - low
        window = np.repeat(np.arange(len(self.chosen)), n)
        moment = np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n) + np.repeat(low, n)
        base = (self.row * self.shape[1] + self.column)[window] - self.windows.start[self.chosen][window]
        # A moment cut off by the window's end is read after the last of its events that the window holds.
        last = np.minimum(moments.end[moment], self.windows.stop[self.chosen][window])
        return Readings(moment, base + moments.first[moment], base + last)


@dataclass(frozen=True)
class Layout:
    """(rows, columns) each: index into the token stream, window (-1 for padding), order within the window."""

    token: npt.NDArray[np.int64]
    segment: npt.NDArray[np.int64]
    place: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Readings:
    """(n,) moments, and the flat positions of the states right before and right after each."""

    moment: Ints
    before: Ints
    after: Ints
