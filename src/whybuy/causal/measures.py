"""What is measured on events for a dose: how often, or at which price against the usual one.

An item's usual price is the median of its own prices in the log, and a *spell* is a stretch of time in which its price
stays the same: prices are set for items and times, not for people, so a spell is what was assigned.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from whybuy import columns as c
from whybuy.events import encode
from whybuy.events.behaviors import Behavior
from whybuy.events.log import EventLog
from whybuy.events.sequences import Ints, Sequences, SequenceStore, Vocabulary, hits_in

Float64 = npt.NDArray[np.float64]

_KEYS = [c.USER, c.MOMENT, c.SOURCE, c.ROW]


class Measure(Protocol):
    """Anything that gives numbers to the events of a shard."""

    def of(self, sequences: Sequences, shard: Path, /) -> Float64:
        """Return (n_events, n_measures); a trial gets the sum over its events."""


@dataclass(frozen=True)
class Number:
    """How often a behavior was done."""

    behavior: Behavior
    vocabulary: Vocabulary

    def of(self, sequences: Sequences, shard: Path, /) -> Float64:
        """Return (n_events, 1): 1 where the event is the behavior."""
        return hits_in(sequences, shard, self.behavior, self.vocabulary).astype(float)[:, None]


@dataclass(frozen=True)
class Price:
    """The price of the item that a behavior is aimed at, against the item's usual one.

    Attributes
    ----------
    usual : (n_items,) median price of the behavior's events, NaN without any
    spell_starts : sorted (item, time) of every spell's first event, as ``item * span + time``
    """

    behavior: Behavior
    vocabulary: Vocabulary
    usual: Float64
    spell_starts: Ints
    span: int

    @classmethod
    def of_log(cls, behavior: Behavior, store: SequenceStore, log: EventLog) -> "Price":
        """Return the prices of a log; one pass over its shards."""
        parts = []
        for sequences, shard in zip(store, log.shards, strict=True):
            price = prices_in(shard)
            hits = hits_in(sequences, shard, behavior, store.vocabulary)
            at = np.flatnonzero(hits & (price > 0) & (np.asarray(sequences.item) >= 0))
            columns = {
                "item": np.asarray(sequences.item)[at],
                "ts": np.asarray(sequences.ts_ms)[at],
                "price": price[at],
            }
            parts.append(pd.DataFrame(columns))
        priced = pd.concat(parts).sort_values(["item", "ts", "price"], ignore_index=True)
        usual = np.full(len(store.vocabulary.items), np.nan)
        median = priced.groupby("item")["price"].median()
        usual[median.index] = median
        span = int(priced["ts"].max()) + 1 if len(priced) else 1
        item = priced["item"].to_numpy(np.int64)
        begins = (priced["price"].diff() != 0).to_numpy() | (np.diff(item, prepend=-1) != 0)
        starts = (item * span + priced["ts"].to_numpy(np.int64))[begins]
        return cls(behavior, store.vocabulary, usual, np.sort(starts), span)

    def of(self, sequences: Sequences, shard: Path, /) -> Float64:
        """Return (n_events, 4): is the behavior, with a price that is known; price / usual - 1 and spell, else 0."""
        hits = hits_in(sequences, shard, self.behavior, self.vocabulary)
        item, price = np.asarray(sequences.item), prices_in(shard)
        usual = np.where(item >= 0, self.usual[item], np.nan)
        known = hits & (price > 0) & np.isfinite(usual)
        out = np.zeros((len(price), 4))
        out[:, 0], out[:, 1] = hits, known
        out[known, 2] = price[known] / usual[known] - 1
        place = item[known].astype(np.int64) * self.span + np.asarray(sequences.ts_ms)[known]
        out[known, 3] = np.searchsorted(self.spell_starts, place, side="right")
        return out


def prices_in(shard: Path) -> Float64:
    """Return (n_events,) the events' own prices in the order of the shard's sequences, NaN without one."""
    table = pq.read_table(shard, columns=[*_KEYS, c.PRICE])
    table = table.sort_by([(name, "ascending") for name in _KEYS])
    return encode.numbers_of(table[c.PRICE].cast(pa.float64()))
