"""What sampled futures have behind them: the person's latest events, and after them those that were sampled.

The model's heads read counts of history beside the events themselves, so a future that goes on needs its counts anew
before every event.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from whybuy import columns as c
from whybuy.events.features import LONGEST_WINDOW_MS, FeatureSpec, history_features
from whybuy.events.moments import Moments
from whybuy.events.sequences import EVENT_FIELDS, PRICE_BANDS, Ints, Sequences, Vocabulary

_PURCHASE = c.ACTIONS.index("purchase")
_NOTHING = {"quantity": 0, "rating": 0, "slot": 0, "session_start": False, "text": -1, "exposure": 0}
"""What a sampled event says of everything that is not sampled."""


@dataclass(frozen=True)
class Past:
    """The past of n futures of one person, all of equal length.

    Attributes
    ----------
    events : a user per future
    """

    events: Sequences

    @classmethod
    def of(cls, person: Sequences, n: int, *, most: int) -> "Past":
        """Return the ``most`` latest events of one person, ``n`` times."""
        length = min(most, person.n_events)
        latest = {name: np.tile(np.asarray(getattr(person, name))[-length:], n) for name in EVENT_FIELDS}
        attributes = np.repeat(np.asarray(person.attributes), n, axis=0)
        offsets, starts = _rows(n, length)
        user_ids = np.repeat(person.user_ids, n)
        return cls(Sequences(user_ids, offsets, moment_starts=starts, attributes=attributes, **latest))

    @property
    def last_ms(self) -> Ints:
        """(n,) time of the last event."""
        last: Ints = self.events.ts_ms[np.asarray(self.events.offsets[1:]) - 1]
        return last

    def features(self, spec: FeatureSpec, ts_ms: Ints) -> Tensor:
        """Return (n, n_wide) features of history at (n,) times not before the last events."""
        moments = Moments.after(self.events, ts_ms, reach_ms=LONGEST_WINDOW_MS)
        return torch.from_numpy(history_features(self.events, moments, spec).values)

    def plus(
        self, ts_ms: Ints, codes: Mapping[str, npt.NDArray[np.integer]], usual_price: npt.NDArray[np.floating]
    ) -> "Past":
        """Return the past after one more event each.

        Parameters
        ----------
        codes : (n,) "action", "item", "category", "price_band" and "price_relative"
        usual_price : (n_bands + 1,) price of every band: the money of a sampled purchase
        """
        n, length = self.events.n_users, self.events.n_events // self.events.n_users
        bought = codes["action"] == _PURCHASE
        added = {"ts_ms": ts_ms, **codes, "spend": np.where(bought, usual_price[codes["price_band"]], 0.0)}
        grown: dict[str, Any] = {}
        for name in EVENT_FIELDS:
            old = np.asarray(getattr(self.events, name)).reshape(n, length)
            new = np.broadcast_to(np.asarray(added.get(name, _NOTHING.get(name)), old.dtype), n)
            grown[name] = np.concatenate([old, new[:, None]], axis=1).ravel()
        offsets, starts = _rows(n, length + 1)
        return Past(replace(self.events, offsets=offsets, moment_starts=starts, **grown))


def _rows(n: int, length: int) -> tuple[Ints, Ints]:
    """Return offsets of n users of equal length, and moments of one event each."""
    return np.arange(n + 1) * length, np.arange(n * length + 1)


def usual_prices_of_bands(vocabulary: Vocabulary) -> npt.NDArray[np.float64]:
    """Return (n_bands + 1,) a price in the middle of every band, 0 without one; the outermost bands have their edge."""
    edges = np.asarray(vocabulary.price_edges, np.float64)
    if not len(edges):
        return np.zeros(PRICE_BANDS + 1)
    middle = np.concatenate([[0.0, edges[0]], (edges[:-1] + edges[1:]) / 2, [edges[-1]]])
    return np.pad(middle, (0, max(0, PRICE_BANDS + 1 - len(middle))), mode="edge")
