"""Events as tokens: which embedding rows every position of a user's stream adds up.

A user's stream is one start token, which carries the user's attributes, and then one token per event. A token is the
sum of three things: its *small fields* (action, price band, gap, hour, ...: one embedding row per level), its *entity*
(the item: a row of its own where it is common, else a hashed one, plus its category path and brand; an event without
an item has its category's path), and, where the log was embedded, its text. A value never seen has a row all the
same: the bucket of its hash, its category, its brand, its text. There is no row for a user.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from whybuy.columns import ACTIONS
from whybuy.events.moments import Moments
from whybuy.events.sequences import PRICE_BANDS, Ints, Sequences, Vocabulary

Int32s = npt.NDArray[np.int32]

GAP_BINS = 32
HOURS_OF_WEEK = 168
OWN_ITEMS = 50_000
OWN_NODES = 8_000
OWN_BRANDS = 4_000
HASH_BUCKETS = 512
TEXT_BUCKETS = 2_048
_OWN_EVENTS = 5
_HOUR_MS = 3_600_000

FIELD_LEVELS = {
    "action": len(ACTIONS),
    "price": PRICE_BANDS,
    "price_relative": 9,
    "quantity": 7,
    "rating": 5,
    "gap": GAP_BINS - 1,
    "hour": HOURS_OF_WEEK,
    "slot": 31,
    "session_start": 1,
    "text": TEXT_BUCKETS,
}
"""Levels of every small field beside "none", which adds nothing."""


@dataclass(frozen=True)
class SmallFields:
    """Embedding rows of the small fields: row 0 adds nothing; then field by field, exposures and attributes last.

    Attributes
    ----------
    first : field -> its first row less one, so that level 1 of a field is row ``first + 1``
    n_rows : rows in all, the start token's included
    """

    first: dict[str, int]
    attribute_first: tuple[int, ...]
    n_rows: int

    @classmethod
    def of(cls, vocabulary: Vocabulary) -> "SmallFields":
        """Lay out the rows for a log."""
        levels = {**FIELD_LEVELS, "exposure": len(vocabulary.exposures)}
        ends = np.cumsum([0, *levels.values()])
        attributes = np.cumsum([ends[-1] + 1, *(len(values) for values in vocabulary.attributes.values())])
        first = dict(zip(levels, ends[:-1].tolist(), strict=True))
        return cls(first, tuple(attributes[:-1].tolist()), int(attributes[-1]) + 1)

    @property
    def start(self) -> int:
        """The row that says "nothing has happened yet"."""
        return self.n_rows - 1

    def rows(self, field: str, level: npt.NDArray[np.integer]) -> Int32s:
        """Return the rows of levels (0 for none) of one field."""
        return np.where(level > 0, np.asarray(level, np.int32) + self.first[field], 0).astype(np.int32)


@dataclass(frozen=True)
class Entities:
    """What items and categories are made of.

    Items come first (commonest first), then categories, then "none": :attr:`none`.

    Attributes
    ----------
    parts : (n_items + n_categories + 1, k) embedding rows that an entity adds up, 0 for nothing
    text : (n_items + n_categories + 1,) row of the text table, -1 without
    item_category : (n_items + 1,) category code of every item, ``n_categories`` for none
    n_rows : embedding rows in all
    """

    parts: Int32s
    text: Int32s
    item_category: Int32s
    n_items: int
    n_categories: int
    n_rows: int

    @property
    def none(self) -> int:
        """The entity of an event without item and category."""
        return self.n_items + self.n_categories

    @classmethod
    def of(cls, vocabulary: Vocabulary, *, n_own: int) -> "Entities":
        """Return the entities; the ``n_own`` commonest items have a row of their own, the rest share buckets."""
        n_items, n_categories = len(vocabulary.items), len(vocabulary.categories)
        item_category = np.asarray(vocabulary.item_category)
        own, n_item_rows = _bucketed(np.arange(n_items), min(n_own, OWN_ITEMS), n_items)
        nodes, n_node_rows = _bucketed(
            np.asarray(vocabulary.category_path), OWN_NODES, max(vocabulary.n_category_nodes, 1)
        )
        brand, n_brand_rows = _bucketed(
            np.asarray(vocabulary.item_brand_code), OWN_BRANDS, max(len(vocabulary.brands), 1)
        )
        nodes = np.where(nodes > 0, nodes + n_item_rows, 0)
        brand = np.where(brand > 0, brand + n_item_rows + n_node_rows, 0)
        path = np.vstack([nodes, np.zeros((1, nodes.shape[1]), nodes.dtype)])
        item_parts = np.column_stack([own, brand, path[item_category]])
        category_parts = np.column_stack([np.zeros((n_categories + 1, 2), path.dtype), path])
        text = np.concatenate([vocabulary.item_text, np.full(n_categories + 1, -1)])
        return cls(
            parts=np.vstack([item_parts, category_parts]).astype(np.int32),
            text=text.astype(np.int32),
            item_category=np.append(np.where(item_category >= 0, item_category, n_categories), n_categories).astype(
                np.int32
            ),
            n_items=n_items,
            n_categories=n_categories,
            n_rows=1 + n_item_rows + n_node_rows + n_brand_rows,
        )


def own_items(item_events: npt.NDArray[np.int64]) -> int:
    """Return how many items get an embedding row of their own, from their events (commonest first)."""
    return min(int((item_events >= _OWN_EVENTS).sum()), OWN_ITEMS)


def _bucketed(code: npt.NDArray[np.integer], n_own: int, n: int) -> tuple[npt.NDArray[np.int64], int]:
    """Return rows from 1 on: codes below ``n_own`` their own, others by hash, negative ones 0; and how many rows."""
    code = np.asarray(code, np.int64)
    # Knuth's multiplicative hash: spreads consecutive codes over the buckets.
    bucket = (code * 2_654_435_761 % 2**32) * HASH_BUCKETS // 2**32
    rows = np.where(code < n_own, 1 + code, 1 + n_own + bucket)
    return np.where(code < 0, 0, rows), n_own + (HASH_BUCKETS if n > n_own else 0)


@dataclass(frozen=True)
class Tokens:
    """The token stream of some users: of each user a start token, then the events.

    Attributes
    ----------
    small : (n_tokens + 1, f) rows of the small fields; the last token is padding
    entity : (n_tokens + 1,) entities
    text : (n_tokens + 1,) row of the text table, the event's own or its item's; -1 without
    ts_ms : (n_tokens + 1,) time; a start token has that of the first event
    moment_gap : (n_moments,) gap bin at which a moment is read, 0 for a user's first
    moment_hour : (n_moments,) hour of week, from 1
    """

    small: Int32s
    entity: Int32s
    text: Int32s
    ts_ms: Ints
    moment_gap: Ints
    moment_hour: Ints

    @classmethod
    def of(cls, sequences: Sequences, moments: Moments, fields: SmallFields, entities: Entities) -> "Tokens":
        """Compute the stream."""
        ts = np.asarray(sequences.ts_ms)
        gap = gap_bins(np.diff(ts, prepend=ts[:1]))
        gap[np.asarray(sequences.offsets[:-1])] = 0
        hour = 1 + (ts // _HOUR_MS) % HOURS_OF_WEEK
        levels: dict[str, npt.NDArray[np.integer]] = {
            "action": np.asarray(sequences.action, np.int64) + 1,
            "price": np.asarray(sequences.price_band),
            "price_relative": np.asarray(sequences.price_relative),
            "quantity": np.asarray(sequences.quantity),
            "rating": np.asarray(sequences.rating),
            "gap": gap,
            "hour": hour,
            "slot": np.asarray(sequences.slot),
            "session_start": np.asarray(sequences.session_start, np.int64),
            "text": _text_level(np.asarray(sequences.text)),
            "exposure": np.asarray(sequences.exposure),
        }
        item, category = np.asarray(sequences.item, np.int64), np.asarray(sequences.category, np.int64)
        entity = np.where(item >= 0, item, np.where(category >= 0, entities.n_items + category, entities.none))
        of_events = np.column_stack([fields.rows(name, level) for name, level in levels.items()])
        attributes = np.asarray(sequences.attributes, np.int64)
        of_users = np.where(attributes > 0, attributes + np.asarray(fields.attribute_first, np.int64) - 1, 0)
        of_users = np.column_stack([np.full(sequences.n_users, fields.start), of_users])
        place = token_places(sequences)
        n, width = sequences.n_events + sequences.n_users, max(of_events.shape[1], of_users.shape[1])
        small = np.zeros((n + 1, width), np.int32)
        small[place, : of_events.shape[1]] = of_events
        starts = np.asarray(sequences.offsets[:-1]) + np.arange(sequences.n_users)
        small[starts, : of_users.shape[1]] = of_users
        text = np.where(sequences.text >= 0, sequences.text, entities.text[entity])
        return cls(
            small=small,
            entity=_spread(entity, place, n, fill=entities.none),
            text=_spread(text, place, n, fill=-1),
            ts_ms=_times(ts, place, starts, n),
            moment_gap=gap[moments.first],
            moment_hour=hour[moments.first],
        )


def token_places(sequences: Sequences) -> Ints:
    """Return (n_events,) where each event stands in the stream."""
    return np.arange(sequences.n_events) + sequences.event_user + 1


def gap_bins(gap_ms: Ints) -> Ints:
    """Two bins per doubling from one second to about ten months; 0 is kept for "no event before"."""
    seconds = np.maximum(gap_ms, 0) / 1000
    bins = 1 + np.floor(1.25 * np.log2(1 + seconds)).astype(np.int64)
    return np.minimum(bins, GAP_BINS - 1)


def gap_ms(gap: Ints, within: npt.NDArray[np.floating]) -> Ints:
    """Return a time of gap bins from 1 on, at the share ``within`` [0, 1) of their logarithmic width."""
    seconds = 2.0 ** ((gap - 1 + within) / 1.25) - 1
    return np.maximum(np.round(1000 * seconds), 1).astype(np.int64)


def usual_prices(parts: Iterable[Sequences], n_items: int) -> npt.NDArray[np.int8]:
    """Return (n_items + 1, 2): price level and relative price level of each item's latest priced event, 0 without."""
    found, at_ms = np.zeros((n_items + 1, 2), np.int8), np.full(n_items + 1, np.iinfo(np.int64).min)
    for sequences in parts:
        priced = np.flatnonzero((np.asarray(sequences.item) >= 0) & (np.asarray(sequences.price_band) > 0))
        ts = np.asarray(sequences.ts_ms)[priced]
        order = np.argsort(ts, kind="stable")
        priced, ts = priced[order], ts[order]
        item = np.asarray(sequences.item)[priced]
        newer = ts >= at_ms[item]
        item, priced, ts = item[newer], priced[newer], ts[newer]
        at_ms[item] = ts  # of several the last is kept
        found[item, 0] = np.asarray(sequences.price_band)[priced]
        found[item, 1] = np.asarray(sequences.price_relative)[priced]
    return found


def _text_level(text: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
    """The commonest texts have a level of their own, the rest share the later half by hash."""
    half = TEXT_BUCKETS // 2
    code = np.asarray(text, np.int64)
    bucket = half + (code * 2_654_435_761 % 2**32) * half // 2**32
    return np.where(code < 0, 0, 1 + np.where(code < half, code, bucket))


def _spread(values: npt.NDArray[np.integer], place: Ints, n: int, *, fill: int) -> Int32s:
    out = np.full(n + 1, fill, np.int32)
    out[place] = values
    return out


def _times(ts: Ints, place: Ints, starts: Ints, n: int) -> Ints:
    out = np.zeros(n + 1, np.int64)
    out[place] = ts
    out[starts] = out[np.minimum(starts + 1, n)]
    return out
