"""The log as integers: what the model and the trials compute on.

One :class:`Sequences` holds all events of the users of one shard as flat arrays, sorted by user and moment, with
offsets that say where a user starts. Text is replaced by codes of one :class:`Vocabulary` shared by all shards, so that
sums over shards add up. Written once as ``.npy`` files per shard and read back memory-mapped: a pass over the log
costs a shard of memory, and no text is decoded twice.
"""

import json
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
from whybuy.events.behaviors import Behavior, category_within
from whybuy.events.log import EventLog
from whybuy.progress import Report, quiet

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

PRICE_BANDS = 12
_MAX_ATTRIBUTE_LEVELS = 24
_MAX_EXPOSURES = 40
_KEYS = (c.USER, c.MOMENT, c.SOURCE, c.ROW)
_READ = [*_KEYS, c.TIME_MS, c.ACTION, c.ITEM, c.CATEGORY, c.PRICE, c.QUANTITY, c.CAMPAIGN, c.ARM]


@dataclass(frozen=True)
class Vocabulary:
    """The codes of a log.

    Attributes
    ----------
    items : (n_items,) item ids, commonest first
    categories : (n_categories,) category paths, sorted
    item_category : (n_items,) code of the item's category, -1 without
    item_brand : (n_items,) brand or empty
    price_edges : inner edges of the price bands, from the log's quantiles
    attributes : user attribute -> its levels (rare ones pooled); code 0 is "unknown"
    exposures : "campaign/arm" of the commonest campaigns' arms, in code order from 1
    """

    items: npt.NDArray[np.object_]
    categories: list[str]
    item_category: npt.NDArray[np.int32]
    item_brand: npt.NDArray[np.object_]
    price_edges: npt.NDArray[np.float64]
    attributes: dict[str, list[str]]
    exposures: list[str]

    @classmethod
    def of_log(cls, log: EventLog) -> "Vocabulary":
        """Return the vocabulary of an ingested log."""
        items = log.items()
        logged = _event_categories(log)
        paths = items[c.CATEGORY].dropna().astype(str)
        categories = sorted(set(paths) | set(logged))
        code = {path: i for i, path in enumerate(categories)}
        prices = items[c.PRICE].dropna().to_numpy(float)
        prices = prices[prices > 0]
        edges = np.unique(np.quantile(prices, np.linspace(0, 1, PRICE_BANDS)[1:-1])) if len(prices) else np.empty(0)
        users = log.users()
        return cls(
            items=items[c.ITEM].to_numpy(object),
            categories=categories,
            item_category=items[c.CATEGORY].map(code).fillna(-1).to_numpy(np.int64).astype(np.int32),
            item_brand=items[c.BRAND].fillna("").astype(str).to_numpy(object),
            price_edges=edges,
            attributes={name: _levels(users[name]) for name in log.quality.attributes},
            exposures=_exposures(log),
        )

    def save(self, folder: Path) -> None:
        """Write the vocabulary into ``folder``."""
        pq.write_table(
            pa.table(
                {
                    c.ITEM: pa.array(self.items, pa.string()),
                    c.CATEGORY: pa.array(self.item_category),
                    c.BRAND: pa.array(self.item_brand, pa.string()),
                }
            ),
            folder / "items.parquet",
        )
        rest = {
            "categories": self.categories,
            "price_edges": self.price_edges.tolist(),
            "attributes": self.attributes,
            "exposures": self.exposures,
        }
        (folder / "vocabulary.json").write_text(json.dumps(rest), encoding="utf-8")

    @classmethod
    def open(cls, folder: Path) -> "Vocabulary":
        """Read a vocabulary that :meth:`save` wrote."""
        table = pq.read_table(folder / "items.parquet")
        rest = json.loads((folder / "vocabulary.json").read_text(encoding="utf-8"))
        return cls(
            items=table[c.ITEM].to_numpy(zero_copy_only=False),
            categories=rest["categories"],
            item_category=table[c.CATEGORY].to_numpy().astype(np.int32),
            item_brand=table[c.BRAND].to_numpy(zero_copy_only=False),
            price_edges=np.asarray(rest["price_edges"], float),
            attributes=rest["attributes"],
            exposures=rest["exposures"],
        )

    def categories_within(self, ancestor: str) -> Bools:
        """Return the (n_categories + 1,) mask of codes within ``ancestor``; the last entry (code -1) is False."""
        inside = [category_within(path, ancestor) for path in self.categories]
        return np.array([*inside, False])


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
            ts_ms=self.ts_ms[events],
            moment_starts=np.concatenate([new_index[starts[events[starts]]], [events.sum()]]),
            action=self.action[events],
            item=self.item[events],
            category=self.category[events],
            price_band=self.price_band[events],
            spend=self.spend[events],
            exposure=self.exposure[events],
            attributes=self.attributes[keep],
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
            ts_ms=np.asarray(self.ts_ms[start:stop]),
            moment_starts=np.asarray(self.moment_starts[first : last + 1]) - start,
            action=np.asarray(self.action[start:stop]),
            item=np.asarray(self.item[start:stop]),
            category=np.asarray(self.category[start:stop]),
            price_band=np.asarray(self.price_band[start:stop]),
            spend=np.asarray(self.spend[start:stop]),
            exposure=np.asarray(self.exposure[start:stop]),
            attributes=np.asarray(self.attributes[low:high]),
        )

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


@dataclass(frozen=True)
class SequenceStore:
    """The sequences of a whole log, a folder per shard, with their vocabulary."""

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


def encode_log(log: EventLog, folder: Path, *, report: Report = quiet) -> SequenceStore:
    """Write the sequences of every shard of ``log`` into ``folder``."""
    vocabulary = Vocabulary.of_log(log)
    vocabulary.save(folder)
    users = log.users().set_index(c.USER)
    encoder = _Encoder(vocabulary, users)
    for done, shard in enumerate(log.shards):
        encoder.encode(pq.read_table(shard, columns=_READ)).save(folder / shard.stem)
        report("encode", done + 1, len(log.shards))
    return SequenceStore.open(folder, log)


class _Encoder:
    """Holds the lookup tables of a vocabulary while shards pass by."""

    def __init__(self, vocabulary: Vocabulary, users: pd.DataFrame) -> None:
        self.vocabulary = vocabulary
        self.users = users
        self.item_values = pa.array(vocabulary.items, pa.string())
        self.category_values = pa.array(vocabulary.categories, pa.string())
        self.item_category = np.append(vocabulary.item_category, np.int32(-1))

    def encode(self, table: pa.Table) -> Sequences:
        order = pc.sort_indices(table, sort_keys=[(name, "ascending") for name in _KEYS])
        table = table.take(order)
        ids = table[c.USER].to_numpy(zero_copy_only=False)
        new_user = np.flatnonzero(np.concatenate([[True], ids[1:] != ids[:-1]])) if len(ids) else np.empty(0, int)
        offsets = np.append(new_user, len(ids)).astype(np.int64)
        moment = table[c.MOMENT].to_numpy()
        is_start = np.concatenate([[True], moment[1:] != moment[:-1]]) if len(ids) else np.empty(0, bool)
        is_start[new_user] = True
        starts = np.flatnonzero(is_start)
        moment_starts = np.append(starts, len(ids)).astype(np.int64)
        # An order's lines may carry several times: the moment is dated by its first line.
        ts = table[c.TIME_MS].to_numpy()
        ts = np.repeat(np.minimum.reduceat(ts, starts), np.diff(moment_starts)) if len(ids) else ts
        item = _codes(table[c.ITEM], self.item_values)
        own = _codes(table[c.CATEGORY], self.category_values)
        category = np.where(self.item_category[item] >= 0, self.item_category[item], own)
        action = _codes(table[c.ACTION], pa.array(c.ACTIONS)).astype(np.int8)
        return Sequences(
            user_ids=ids[new_user],
            offsets=offsets,
            ts_ms=ts.astype(np.int64),
            moment_starts=moment_starts,
            action=action,
            item=item,
            category=category.astype(np.int32),
            price_band=self._bands(table[c.PRICE]),
            spend=_spend(action, table),
            exposure=_exposure_codes(table, self.vocabulary.exposures),
            attributes=self._attributes(ids[new_user]),
        )

    def _bands(self, price: pa.ChunkedArray) -> npt.NDArray[np.int8]:
        values = price.to_numpy(zero_copy_only=False).astype(float)
        bands = np.searchsorted(self.vocabulary.price_edges, values) + 1
        return np.where(np.isfinite(values), bands, 0).astype(np.int8)

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


def _codes(column: pa.ChunkedArray, values: pa.Array) -> npt.NDArray[np.int32]:
    """Return the int32 index of every entry in ``values``, -1 where absent."""
    codes = pc.index_in(column.cast(pa.string()), value_set=values)
    found: npt.NDArray[np.int32] = pc.fill_null(codes, -1).to_numpy(zero_copy_only=False).astype(np.int32)
    return np.where(column.is_null().to_numpy(zero_copy_only=False), np.int32(-1), found)


def _spend(action: npt.NDArray[np.int8], table: pa.Table) -> npt.NDArray[np.float32]:
    price = table[c.PRICE].to_numpy(zero_copy_only=False).astype(float)
    quantity = table[c.QUANTITY].to_numpy(zero_copy_only=False).astype(float)
    amount = price * np.where(np.isfinite(quantity), quantity, 1.0)
    counted = (action == c.ACTIONS.index("purchase")) & np.isfinite(amount)
    return np.where(counted, amount, 0.0).astype(np.float32)


def _exposure_names(table: pa.Table) -> pa.ChunkedArray:
    """Return "campaign/arm" of campaign events, null elsewhere; an event without an arm is "campaign/"."""
    arm = pc.fill_null(table[c.ARM].cast(pa.string()), "")
    name = pc.binary_join_element_wise(table[c.CAMPAIGN].cast(pa.string()), arm, "/")
    sent = pc.equal(table[c.ACTION].cast(pa.string()), "campaign")
    return pc.if_else(sent, name, pa.scalar(None, pa.string()))


def _exposures(log: EventLog) -> list[str]:
    counts: dict[str, int] = {}
    for shard in log.shards:
        table = pq.read_table(shard, columns=[c.ACTION, c.CAMPAIGN, c.ARM])
        for entry in pc.value_counts(_exposure_names(table).drop_null()).to_pylist():
            counts[entry["values"]] = counts.get(entry["values"], 0) + entry["counts"]
    return sorted(counts, key=lambda name: (-counts[name], name))[:_MAX_EXPOSURES]


def _exposure_codes(table: pa.Table, exposures: list[str]) -> npt.NDArray[np.int16]:
    return (_codes(_exposure_names(table), pa.array(exposures, pa.string())) + 1).astype(np.int16)


def _levels(values: pd.Series) -> list[str]:
    """Return the commonest levels of an attribute; rarer ones share one level."""
    counts = values.dropna().astype(str).value_counts()
    return sorted(counts.index[:_MAX_ATTRIBUTE_LEVELS])


def _event_categories(log: EventLog) -> list[str]:
    found: set[str] = set()
    for shard in log.shards:
        column = pq.read_table(shard, columns=[c.CATEGORY])[c.CATEGORY]
        found.update(str(v) for v in pc.unique(column.cast(pa.string())).to_pylist() if v is not None)
    return sorted(found)


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
