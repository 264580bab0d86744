"""From sequences to the padded rows that the Transformer reads.

A user of up to ``ROW_EVENTS`` events is one row. A longer one is several rows that overlap by half, so every moment
is read once with at least half a row of context. Rows of like length share a batch, so little is padded.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from whybuy.behavior.transformer import GAP_BINS, EventBatch
from whybuy.events.moments import Moments
from whybuy.events.sequences import PRICE_BANDS, Ints, Sequences, Vocabulary

ROW_EVENTS = 256
OWN_ITEMS = 20_000
OWN_CATEGORIES = 4_000
HASH_BUCKETS = 512
_HOUR_MS = 3_600_000


@dataclass(frozen=True)
class TokenCodes:
    """Embedding rows of items and categories: the commonest have their own, the rest share hashed buckets."""

    item: npt.NDArray[np.int64]
    category: npt.NDArray[np.int64]
    n_items: int
    n_categories: int

    @classmethod
    def of(cls, vocabulary: Vocabulary, item_events: npt.NDArray[np.int64]) -> "TokenCodes":
        """Build the codes; an item of fewer than 5 events does not get a row of its own.

        Items are coded commonest first, so the own ones are a prefix. The last entry of each array is "none".
        """
        n_own = min(int((item_events >= 5).sum()), OWN_ITEMS)
        item, n_items = _bucketed(len(vocabulary.items), n_own)
        category, n_categories = _bucketed(len(vocabulary.categories), min(len(vocabulary.categories), OWN_CATEGORIES))
        return cls(item, category, n_items, n_categories)


def _bucketed(n: int, n_own: int) -> tuple[npt.NDArray[np.int64], int]:
    code = np.arange(n)
    # Knuth's multiplicative hash: spreads consecutive codes over the buckets.
    bucket = (code * 2_654_435_761 % 2**32) * HASH_BUCKETS // 2**32
    rows = np.where(code < n_own, 1 + code, 1 + n_own + bucket)
    return np.append(rows, 0), 1 + n_own + (HASH_BUCKETS if n > n_own else 0)


@dataclass(frozen=True)
class Tokens:
    """The token fields of every event, and of every moment the time it is read at."""

    action: Ints
    item: Ints
    category: Ints
    price: Ints
    gap: Ints
    hour: Ints
    exposure: Ints
    moment_gap: Ints
    moment_hour: Ints

    @classmethod
    def of(cls, sequences: Sequences, moments: Moments, codes: TokenCodes) -> "Tokens":
        """Compute the fields; a user's first event has gap bin 0."""
        ts = np.asarray(sequences.ts_ms)
        gap = _gap_bins(np.diff(ts, prepend=ts[:1]))
        gap[np.asarray(sequences.offsets[:-1])] = 0
        hour = (ts // _HOUR_MS) % 168
        return cls(
            action=np.asarray(sequences.action, np.int64),
            item=codes.item[sequences.item],
            category=codes.category[sequences.category],
            price=np.asarray(sequences.price_band, np.int64),
            gap=gap,
            hour=hour,
            exposure=np.asarray(sequences.exposure, np.int64),
            moment_gap=gap[moments.first],
            moment_hour=hour[moments.first],
        )


def _gap_bins(gap_ms: Ints) -> Ints:
    """Two bins per doubling from one second to about ten months; 0 is kept for "no event before"."""
    seconds = np.maximum(gap_ms, 0) / 1000
    bins = 1 + np.floor(1.25 * np.log2(1 + seconds)).astype(np.int64)
    return np.minimum(bins, GAP_BINS - 1)


@dataclass(frozen=True)
class Rows:
    """Rows of events: half-open ranges, and from which event on a row's moments are its own to read."""

    start: Ints
    stop: Ints
    read_from: Ints
    user: Ints

    @classmethod
    def of(cls, offsets: Ints) -> "Rows":
        """Cut every user into rows."""
        offsets = np.asarray(offsets)
        half = ROW_EVENTS // 2
        lengths = np.diff(offsets)
        n_rows = 1 + np.maximum(0, -(-(lengths - ROW_EVENTS) // half))
        user = np.repeat(np.arange(len(lengths)), n_rows)
        place = np.arange(len(user)) - np.repeat(np.cumsum(n_rows) - n_rows, n_rows)
        start = offsets[user] + place * half
        stop = np.minimum(start + ROW_EVENTS, offsets[user + 1])
        return cls(start, stop, np.where(place > 0, start + half, start), user)

    def batches(self, keep: Ints, *, max_tokens: int) -> Iterator[Ints]:
        """Yield groups of the rows ``keep``, of like length, at most ``max_tokens`` with padding."""
        order = keep[np.argsort((self.stop - self.start)[keep], kind="stable")]
        lengths = (self.stop - self.start)[order]
        at = 0
        while at < len(order):
            n = 1
            while at + n < len(order) and (n + 1) * lengths[at + n] <= max_tokens:
                n += 1
            yield order[at : at + n]
            at += n


def event_batch(rows: Rows, chosen: Ints, tokens: Tokens, attributes: npt.NDArray[np.int16]) -> EventBatch:
    """Return the padded tensors of the chosen rows."""
    length = int((rows.stop - rows.start)[chosen].max())
    at = np.minimum(rows.start[chosen, None] + np.arange(length), rows.stop[chosen, None] - 1)

    def take(values: Ints) -> torch.Tensor:
        return torch.from_numpy(values[at])

    return EventBatch(
        action=take(tokens.action),
        item=take(tokens.item),
        category=take(tokens.category),
        price=take(tokens.price),
        gap=take(tokens.gap),
        hour=take(tokens.hour),
        exposure=take(tokens.exposure),
        attributes=torch.from_numpy(attributes[rows.user[chosen]].astype(np.int64)),
    )


@dataclass(frozen=True)
class Readings:
    """Which state of which row reads which moment.

    ``row`` (index into the chosen rows) and ``at`` (state) point before the moment's first event; ``after`` points
    behind its last.
    """

    moment: Ints
    row: Ints
    at: Ints
    after: Ints


def readings(rows: Rows, chosen: Ints, moments: Moments) -> Readings:
    """Return where the moments owned by the chosen rows are read."""
    low = np.searchsorted(moments.first, rows.read_from[chosen])
    high = np.searchsorted(moments.first, rows.stop[chosen])
    n = high - low
    row = np.repeat(np.arange(len(chosen)), n)
    moment = np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n) + np.repeat(low, n)
    start = rows.start[chosen][row]
    # A moment cut off by the row's end is read after the last of its events that the row holds.
    after = np.minimum(moments.end[moment], rows.stop[chosen][row])
    return Readings(moment, row, moments.first[moment] - start, after - start)


N_PRICES = PRICE_BANDS + 1
