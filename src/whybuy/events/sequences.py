"""The log as integers: what the model and the trials compute on.

One :class:`Sequences` holds all events of the users of one shard as flat arrays, sorted by user and moment, with
offsets that say where a user starts. Text is replaced by codes of one :class:`Vocabulary` shared by all shards, so that
sums over shards add up. Written once as ``.npy`` files per shard and read back memory-mapped: a pass over the log
costs a shard of memory, and no text is decoded twice.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from whybuy import columns as c
from whybuy.events import encode
from whybuy.events.behaviors import Behavior
from whybuy.events.encode import Bools, Ints, codes_of
from whybuy.events.log import EventLog
from whybuy.events.text import Embedder, TextTable, Vectors, text_table, text_vectors
from whybuy.events.vocabulary import PRICE_BANDS, Vocabulary
from whybuy.progress import Report, quiet

__all__ = [
    "EVENT_FIELDS",
    "PRICE_BANDS",
    "Bools",
    "Ints",
    "SequenceStore",
    "Sequences",
    "Vocabulary",
    "concatenate",
    "encode_log",
    "hits_in",
    "matches",
    "matches_in_shard",
]

_KEYS = (c.USER, c.MOMENT, c.SOURCE, c.ROW)
_TEXTS = (c.QUERY, c.TEXT)
_READ = [
    *_KEYS, c.TIME_MS, c.ACTION, c.ITEM, c.CATEGORY, c.SESSION, c.PRICE, c.QUANTITY, c.RATING, c.SLOT, c.CAMPAIGN,
    c.ARM,
]  # fmt: skip
_NOT_PER_EVENT = ("user_ids", "offsets", "moment_starts", "attributes")
_CODE = "code_of_"


@dataclass(frozen=True)
class Sequences:
    """All events of some users.

    Attributes
    ----------
    user_ids : (n_users,) text
    offsets : (n_users + 1,) where each user's events start
    ts_ms : (n_events,) time of the event's moment, milliseconds UTC
    moment_starts : (n_moments + 1,) first event of each moment, then n_events
    action : (n_events,) index into ``ACTIONS``
    item, category : (n_events,) codes, -1 without
    price_band : (n_events,) from 1; 0 without a price
    price_relative : (n_events,) band of log2(price / median price of the category, of the log where the event has no
        category) from 1 to 9, 5 near the median; 0 without a price of the event's own: that an item is priced at all
        may be known only from later events
    quantity : (n_events,) 1 + floor(log2(quantity)) from 1 to 7; 0 unknown
    rating : (n_events,) 1-5, rounded; 0 none
    slot : (n_events,) 1 + slot, the slot capped at 30; 0 none
    session_start : (n_events,) the first event of one of the user's sessions; a user's first event is
    text : (n_events,) row of the event's query, else of its review, in the log's table of texts; -1 none
    spend : (n_events,) price x quantity of a purchase with a known price, else 0
    exposure : (n_events,) code of a campaign event's campaign and arm, 0 for every other event
    attributes : (n_users, n_attributes) codes, 0 unknown
    """

    user_ids: npt.NDArray[np.object_]
    offsets: Ints
    ts_ms: Ints
    moment_starts: Ints
    action: npt.NDArray[np.int8]
    item: npt.NDArray[np.int32]
    category: npt.NDArray[np.int32]
    price_band: npt.NDArray[np.int8]
    price_relative: npt.NDArray[np.int8]
    quantity: npt.NDArray[np.int8]
    rating: npt.NDArray[np.int8]
    slot: npt.NDArray[np.int8]
    session_start: Bools
    text: npt.NDArray[np.int32]
    spend: npt.NDArray[np.float32]
    exposure: npt.NDArray[np.int16]
    attributes: npt.NDArray[np.int16]

    @property
    def n_users(self) -> int:
        """Number of users."""
        return len(self.offsets) - 1

    @property
    def n_events(self) -> int:
        """Number of events."""
        return len(self.ts_ms)

    @property
    def event_user(self) -> Ints:
        """(n_events,) index of each event's user."""
        return np.repeat(np.arange(self.n_users), np.diff(self.offsets))

    def users(self, keep: Bools) -> "Sequences":
        """Return the sequences of the users with ``keep`` (n_users,) true."""
        lengths = np.diff(self.offsets)
        events = np.repeat(keep, lengths)
        new_index = np.concatenate([[0], np.cumsum(events)])
        starts = self.moment_starts[:-1]
        return Sequences(
            user_ids=self.user_ids[keep],
            offsets=np.concatenate([[0], np.cumsum(lengths[keep])]),
            moment_starts=np.concatenate([new_index[starts[events[starts]]], [events.sum()]]),
            attributes=self.attributes[keep],
            **self._of_events(events),
        )

    def blocks(self, max_events: int) -> Iterator["Sequences"]:
        """Yield ranges of whole users with about ``max_events`` events each, as views.

        The cut depends on this shard's users alone, so that sums over blocks are the same on every engine.
        """
        cuts = np.unique(np.searchsorted(self.offsets, np.arange(0, self.n_events, max_events)))
        for low, high in zip(cuts, [*cuts[1:], self.n_users], strict=True):
            if high > low:
                yield self._user_range(int(low), int(high))

    def _user_range(self, low: int, high: int) -> "Sequences":
        start, stop = int(self.offsets[low]), int(self.offsets[high])
        first, last = np.searchsorted(self.moment_starts, [start, stop])
        return Sequences(
            user_ids=self.user_ids[low:high],
            offsets=np.asarray(self.offsets[low : high + 1]) - start,
            moment_starts=np.asarray(self.moment_starts[first : last + 1]) - start,
            attributes=np.asarray(self.attributes[low:high]),
            **self._of_events(slice(start, stop)),
        )

    def _of_events(self, events: Bools | slice) -> dict[str, Any]:
        """Return what every one of some events has, by name."""
        return {name: np.asarray(getattr(self, name)[events]) for name in EVENT_FIELDS}

    def save(self, folder: Path) -> None:
        """Write one ``.npy`` file per array."""
        folder.mkdir(parents=True)
        for field in fields(self):
            value = getattr(self, field.name)
            np.save(folder / f"{field.name}.npy", value.astype(str) if field.name == "user_ids" else value)

    @classmethod
    def open(cls, folder: Path) -> "Sequences":
        """Read, memory-mapped, what :meth:`save` wrote."""
        arrays: dict[str, Any] = {f.name: np.load(folder / f"{f.name}.npy", mmap_mode="r") for f in fields(cls)}
        arrays["user_ids"] = np.asarray(arrays["user_ids"]).astype(object)
        return cls(**arrays)


EVENT_FIELDS = tuple(field.name for field in fields(Sequences) if field.name not in _NOT_PER_EVENT)
"""What every event has."""


@dataclass(frozen=True)
class SequenceStore:
    """The sequences of a whole log, a folder per shard, with their vocabulary and texts."""

    folder: Path
    vocabulary: Vocabulary
    shards: tuple[Path, ...]
    log_shards: tuple[Path, ...]

    @classmethod
    def open(cls, folder: Path, log: EventLog) -> "SequenceStore":
        """Open the store that :func:`encode_log` wrote for ``log``."""
        return cls(folder, Vocabulary.open(folder), tuple(folder / shard.stem for shard in log.shards), log.shards)

    def __iter__(self) -> Iterator[Sequences]:
        """Yield the sequences shard by shard."""
        return (Sequences.open(shard) for shard in self.shards)

    def user(self, user_id: str) -> Sequences | None:
        """Return the events of one user, None where the log does not have it."""
        for sequences in self:
            keep = sequences.user_ids == user_id
            if keep.any():
                return sequences.users(keep)
        return None

    def text_vectors(self) -> Vectors | None:
        """Return the (n_texts, 384) float16 vectors of the log's texts, memory-mapped; None where none were made."""
        return text_vectors(self.folder)


def encode_log(
    log: EventLog,
    folder: Path,
    *,
    embedder: Embedder | None = None,
    text_cache: Path | None = None,
    report: Report = quiet,
) -> SequenceStore:
    """Write the sequences of every shard of ``log`` into ``folder``.

    Parameters
    ----------
    embedder, text_cache : what makes vectors of the log's texts and where they are kept between runs, see
        :func:`whybuy.events.text.text_table`
    """
    texts = text_table(log, folder, embedder=embedder, cache=text_cache, report=report)
    vocabulary = Vocabulary.of_log(log, texts)
    vocabulary.save(folder)
    encoder = _Encoder(vocabulary, texts, log.users().set_index(c.USER))
    columns = [*_READ, *(name for name in _TEXTS if name in log.quality.columns_present)]
    for done, shard in enumerate(log.shards):
        encoder.encode(pq.read_table(shard, columns=columns)).save(folder / shard.stem)
        report("encode", done + 1, len(log.shards))
    return SequenceStore.open(folder, log)


class _Encoder:
    """Holds the lookup tables of a vocabulary while shards pass by."""

    def __init__(self, vocabulary: Vocabulary, texts: TextTable, users: pd.DataFrame) -> None:
        self.vocabulary = vocabulary
        self.texts = texts
        self.users = users
        self.item_values = pa.array(vocabulary.items, pa.string())
        self.category_values = pa.array(vocabulary.categories, pa.string())
        self.item_category = np.append(vocabulary.item_category, np.int32(-1))

    def encode(self, table: pa.Table) -> Sequences:
        table = self._sorted(table)
        ids = table[c.USER].to_numpy(zero_copy_only=False)
        is_new_user = encode.run_starts(ids)
        new_user = np.flatnonzero(is_new_user)
        offsets = np.append(new_user, len(ids)).astype(np.int64)
        starts = np.flatnonzero(is_new_user | encode.run_starts(table[c.MOMENT].to_numpy()))
        moment_starts = np.append(starts, len(ids)).astype(np.int64)
        # An order's lines may carry several times: the moment is dated by its first line.
        ts = table[c.TIME_MS].to_numpy()
        ts = np.repeat(np.minimum.reduceat(ts, starts), np.diff(moment_starts)) if len(ids) else ts
        item = codes_of(table[c.ITEM], self.item_values)
        own = codes_of(table[c.CATEGORY], self.category_values)
        category = np.where(self.item_category[item] >= 0, self.item_category[item], own)
        action = codes_of(table[c.ACTION], pa.array(c.ACTIONS)).astype(np.int8)
        price, quantity = encode.numbers_of(table[c.PRICE]), encode.numbers_of(table[c.QUANTITY])
        return Sequences(
            user_ids=ids[new_user],
            offsets=offsets,
            ts_ms=ts.astype(np.int64),
            moment_starts=moment_starts,
            action=action,
            item=item,
            category=category,
            price_band=encode.price_bands(price, self.vocabulary.price_edges),
            price_relative=encode.relative_bands(price, self.vocabulary.median_prices(category)),
            quantity=encode.quantity_bands(quantity),
            rating=encode.rating_levels(encode.numbers_of(table[c.RATING])),
            slot=encode.slot_levels(encode.numbers_of(table[c.SLOT])),
            session_start=encode.session_starts(table[_CODE + c.SESSION].to_numpy(), offsets),
            text=table[_CODE + c.TEXT].to_numpy(),
            spend=encode.spend_of(action, price, quantity),
            exposure=encode.exposure_codes(table, self.vocabulary.exposures),
            attributes=self._attributes(ids[new_user]),
        )

    def _sorted(self, table: pa.Table) -> pa.Table:
        """Return the rows in the order of the sequences; sessions and texts as codes, which are cheaper to sort."""
        absent = pa.chunked_array([pa.nulls(len(table), pa.string())])
        query, text = (table[name] if name in table.column_names else absent for name in _TEXTS)
        codes = {c.SESSION: encode.session_codes(table[c.SESSION]), c.TEXT: self.texts.of_events(query, text)}
        table = table.select([name for name in table.column_names if name not in (c.SESSION, *_TEXTS)])
        for name, code in codes.items():
            table = table.append_column(_CODE + name, pa.array(code))
        return table.take(pc.sort_indices(table, sort_keys=[(name, "ascending") for name in _KEYS]))

    def _attributes(self, user_ids: npt.NDArray[np.object_]) -> npt.NDArray[np.int16]:
        found = self.users.reindex(user_ids)
        codes = np.zeros((len(user_ids), len(self.vocabulary.attributes)), np.int16)
        for j, (name, levels) in enumerate(self.vocabulary.attributes.items()):
            code = {level: i + 1 for i, level in enumerate(levels)}
            codes[:, j] = found[name].map(code).fillna(0).to_numpy(np.int16)
        return codes


def matches(behavior: Behavior, sequences: Sequences, vocabulary: Vocabulary) -> Bools:
    """Return the (n_events,) mask of events that are ``behavior``, for the kinds that the codes can tell.

    ``query`` and ``campaign`` behaviors live in the shards' text: see :func:`matches_in_shard`.
    """
    hit = sequences.action == c.ACTIONS.index(behavior.action)
    if behavior.kind == "category":
        hit &= vocabulary.categories_within(behavior.target)[sequences.category]
    elif behavior.kind == "item":
        hit &= np.isin(sequences.item, np.flatnonzero(vocabulary.items == behavior.target))
    elif behavior.kind == "brand":
        hit &= np.isin(sequences.item, np.flatnonzero(vocabulary.item_brand == behavior.target))
    return hit


def hits_in(sequences: Sequences, shard: Path, behavior: Behavior, vocabulary: Vocabulary) -> Bools:
    """Return the (n_events,) mask of events that are ``behavior``, of whatever kind; ``shard`` is of ``sequences``."""
    if behavior.kind in ("query", "campaign"):
        return matches_in_shard(behavior, shard)
    return matches(behavior, sequences, vocabulary)


def matches_in_shard(behavior: Behavior, shard: Path) -> Bools:
    """Return the mask of a ``query`` or ``campaign`` behavior in the event order of the shard's sequences."""
    table = pq.read_table(shard, columns=[*_KEYS, c.ACTION, c.QUERY, c.CAMPAIGN, c.ARM])
    order = pc.sort_indices(table, sort_keys=[(n, "ascending") for n in _KEYS])
    table = table.take(order)
    hit = pc.equal(table[c.ACTION].cast(pa.string()), behavior.action)
    column = c.QUERY if behavior.kind == "query" else c.CAMPAIGN
    hit = pc.and_(hit, pc.equal(table[column], behavior.target))
    if behavior.arm:
        hit = pc.and_(hit, pc.equal(table[c.ARM], behavior.arm))
    found: Bools = pc.fill_null(hit, fill_value=False).to_numpy(zero_copy_only=False)
    return found


def concatenate(parts: list[Sequences]) -> Sequences:
    """Return the users of several sequences one after another."""
    if len(parts) == 1:
        return parts[0]

    def join(name: str) -> npt.NDArray[Any]:
        return np.concatenate([np.asarray(getattr(part, name)) for part in parts])

    def shifted(name: str) -> Ints:
        ends = np.cumsum([0, *(part.n_events for part in parts)])
        pieces = [np.asarray(getattr(p, name))[:-1] + end for p, end in zip(parts, ends[:-1], strict=True)]
        return np.concatenate([*pieces, ends[-1:]])

    plain = {f.name: join(f.name) for f in fields(Sequences) if f.name not in ("offsets", "moment_starts")}
    return Sequences(offsets=shifted("offsets"), moment_starts=shifted("moment_starts"), **plain)
