"""Who else was active where: how many of the people around a user had done a behavior the day before.

A user's neighbors on a day are the others who were active in the same category (the same item where a log has no
categories). They meet the same shelves, prices and reviews, so what they do may reach the user through stock, ratings
or fashion. A decision's place is that of the user's last event before it, and its day the one before: nothing that
the decision could have caused is looked at.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from whybuy.events.moments import Moments
from whybuy.events.sequences import Ints, Sequences, Vocabulary

Bytes = npt.NDArray[np.uint8]
Float32 = npt.NDArray[np.float32]

DAY_MS = 86_400_000
MIN_NEIGHBORS = 10
MAX_ITEMS = 1_000
"""Where a log has no categories, its commonest items are places: around the others hardly anybody is."""


@dataclass(frozen=True)
class Neighbors:
    """Users active at every place on every day, and those of them who did each behavior that day.

    Attributes
    ----------
    columns : which columns of the hits the behaviors are
    field : "category" or "item", what a place is
    first_day : days since 1970 of day 0
    users : (n_places, n_days); treated : (n_places, n_days, n_behaviors)
    """

    columns: tuple[int, ...]
    field: str
    first_day: int
    users: npt.NDArray[np.int32]
    treated: npt.NDArray[np.int32]

    @classmethod
    def of(
        cls,
        blocks: Iterable[tuple[Sequences, Bytes]],
        columns: tuple[int, ...],
        vocabulary: Vocabulary,
        span_ms: tuple[int, int],
    ) -> "Neighbors":
        """Count the users of a whole log; ``blocks`` are whole users and the hits of every behavior on their events."""
        field = "category" if vocabulary.categories else "item"
        n_places = len(vocabulary.categories) or min(len(vocabulary.items), MAX_ITEMS)
        first_day, n_days = span_ms[0] // DAY_MS, span_ms[1] // DAY_MS - span_ms[0] // DAY_MS + 1
        shape = (n_places, n_days)
        found = cls(columns, field, first_day, np.zeros(shape, np.int32), np.zeros((*shape, len(columns)), np.int32))
        for sequences, hits in blocks:
            active = found._active(sequences, hits)
            code = active.place * n_days + active.day
            found.users[...] += np.bincount(code, minlength=n_places * n_days).reshape(shape)
            for column in range(len(columns)):
                did = code[active.did[:, column] > 0]
                found.treated[:, :, column] += np.bincount(did, minlength=n_places * n_days).reshape(shape)
        return found

    def excess(self, sequences: Sequences, moments: Moments, where: Ints, hits: Bytes) -> Float32:
        """Return (n, n_behaviors): the share of the neighbors who did it the day before, less the place's usual share.

        NaN where the user had no event before, or fewer than 10 neighbors.

        Parameters
        ----------
        where : (n,) which moments; hits : (n_events, n_all) as for :meth:`of`
        """
        n_places, n_days = self.users.shape
        last, user = moments.first[where] - 1, moments.user[where]
        day = moments.ts_ms[where] // DAY_MS - self.first_day - 1
        known = (last >= np.asarray(sequences.offsets)[user]) & (day >= 0)
        place = np.where(known, np.asarray(getattr(sequences, self.field))[np.maximum(last, 0)], -1)
        known &= (place >= 0) & (place < n_places)
        place, day = np.where(known, place, 0), np.where(known, day, 0)
        active = self._active(sequences, hits)
        key = (user * n_days + day) * n_places + place
        at = np.minimum(np.searchsorted(active.key, key), max(len(active.key) - 1, 0))
        here = (active.key[at] == key) if len(active.key) else np.zeros(len(key), bool)
        own = here[:, None] & (active.did[at] > 0) if len(active.key) else np.zeros((len(key), len(self.columns)))
        others = self.users[place, day] - here
        known &= others >= MIN_NEIGHBORS
        share = (self.treated[place, day] - own) / np.maximum(others, 1)[:, None]
        usual = self.treated.sum(axis=1) / np.maximum(self.users.sum(axis=1), 1)[:, None]
        return np.where(known[:, None], share - usual[place], np.nan).astype(np.float32)

    def _active(self, sequences: Sequences, hits: Bytes) -> "_Active":
        """Return where the users of a block were active on which days, and what they did on them."""
        n_places, n_days = self.users.shape
        day = np.asarray(sequences.ts_ms) // DAY_MS - self.first_day
        of_day = sequences.event_user * n_days + day  # ascending: events are sorted by user and time
        first = np.flatnonzero(np.diff(of_day, prepend=-1))
        did = np.maximum.reduceat(hits[:, self.columns], first, axis=0) if len(first) else hits[:0, self.columns]
        place = np.asarray(getattr(sequences, self.field)).astype(np.int64)
        counts = (place >= 0) & (place < n_places)
        key = np.unique(of_day[counts] * n_places + place[counts])
        days = np.searchsorted(of_day[first], key // n_places)
        return _Active(key, key % n_places, key // n_places % n_days, did[days])


@dataclass(frozen=True)
class _Active:
    """Users of a block, days and places where they were active.

    Attributes
    ----------
    key : (n,) ascending, of user, day and place; did : (n, n_behaviors) what the user did anywhere on that day
    """

    key: Ints
    place: Ints
    day: Ints
    did: Bytes
