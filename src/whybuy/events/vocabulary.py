"""The codes of a log, shared by all its shards: items, categories and nodes of their paths, brands, and the rest."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from whybuy import columns as c
from whybuy.events.behaviors import category_within
from whybuy.events.encode import Bools, Floats, Int32s, exposure_names
from whybuy.events.log import ITEMS, EventLog
from whybuy.events.text import TextTable

PRICE_BANDS = 12
MAX_DEPTH = 6
_MAX_ATTRIBUTE_LEVELS = 24
_MAX_EXPOSURES = 40
_ITEM_COLUMNS = [c.ITEM, c.CATEGORY, c.BRAND, c.PRICE, c.TITLE, c.N_EVENTS]
_BRAND_CODE, _ITEM_TEXT = "brand_code", "text"
_BINS_PER_DOUBLING = 64
_SMALLEST_LOG2, _N_BINS = -32, 72 * _BINS_PER_DOUBLING


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
    brands : (n_brands,) brands, those with the most events first
    item_brand_code : (n_items,) code of the item's brand, -1 without
    item_text : (n_items,) row of the item's title in the log's table of texts, -1 without
    category_path : (n_categories, depth) nodes on the path of every category, the root first, -1 after its end. A
        node is a distinct beginning of a path ("a", "a/b", "a/b/c"); those with the most events have the lowest codes.
        The first six of a longer path are taken
    category_price : (n_categories + 1,) median price of the category's items, of all items where none of them has a
        price, and of all items in the last place (code -1); NaN where no price is known. Empty says the same
    """

    items: npt.NDArray[np.object_]
    categories: list[str]
    item_category: Int32s
    item_brand: npt.NDArray[np.object_]
    price_edges: Floats
    attributes: dict[str, list[str]]
    exposures: list[str]
    brands: list[str]
    item_brand_code: Int32s
    item_text: Int32s
    category_path: Int32s
    category_price: Floats = field(default_factory=lambda: np.empty(0))

    @classmethod
    def of_log(cls, log: EventLog, texts: TextTable) -> "Vocabulary":
        """Return the vocabulary of an ingested log and of its table of texts."""
        table = pq.read_table(log.folder / ITEMS, columns=_ITEM_COLUMNS)
        item_text = texts.codes(table[c.TITLE])
        items = table.drop_columns([c.TITLE]).to_pandas()
        paths = items[c.CATEGORY].dropna().astype(str)
        categories = sorted(set(paths) | set(_event_categories(log)))
        code = {path: i for i, path in enumerate(categories)}
        item_category = items[c.CATEGORY].map(code).fillna(-1).to_numpy(np.int64).astype(np.int32)
        n_events = items[c.N_EVENTS].to_numpy(np.int64)
        brand = items[c.BRAND].fillna("").astype(str)
        brands, item_brand_code = brand_codes(brand, n_events)
        prices = items[c.PRICE].to_numpy(float)
        users = log.users()
        return cls(
            items=items[c.ITEM].to_numpy(object),
            categories=categories,
            item_category=item_category,
            item_brand=brand.to_numpy(object),
            price_edges=_price_edges(prices),
            attributes={name: _levels(users[name]) for name in log.quality.attributes},
            exposures=_exposures(log),
            brands=brands,
            item_brand_code=item_brand_code,
            item_text=item_text,
            category_path=category_paths(categories, _sums(item_category, n_events, len(categories))),
            category_price=_median_prices(prices, item_category, len(categories), log),
        )

    @property
    def n_category_nodes(self) -> int:
        """Number of nodes of the category paths."""
        return int(self.category_path.max(initial=-1)) + 1

    def median_prices(self, category: Int32s) -> Floats:
        """Return the median price that belongs to category codes (-1 for none), NaN where it is unknown."""
        return self.category_price[category] if len(self.category_price) else np.full(len(category), np.nan)

    def save(self, folder: Path) -> None:
        """Write the vocabulary into ``folder``."""
        pq.write_table(
            pa.table(
                {
                    c.ITEM: pa.array(self.items, pa.string()),
                    c.CATEGORY: pa.array(self.item_category),
                    c.BRAND: pa.array(self.item_brand, pa.string()),
                    _BRAND_CODE: pa.array(self.item_brand_code),
                    _ITEM_TEXT: pa.array(self.item_text),
                }
            ),
            folder / "items.parquet",
        )
        np.save(folder / "category_path.npy", self.category_path)
        np.save(folder / "category_price.npy", self.category_price)
        rest = {
            "categories": self.categories,
            "price_edges": self.price_edges.tolist(),
            "attributes": self.attributes,
            "exposures": self.exposures,
            "brands": self.brands,
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
            brands=rest["brands"],
            item_brand_code=table[_BRAND_CODE].to_numpy().astype(np.int32),
            item_text=table[_ITEM_TEXT].to_numpy().astype(np.int32),
            category_path=np.load(folder / "category_path.npy"),
            category_price=np.load(folder / "category_price.npy"),
        )

    def categories_within(self, ancestor: str) -> Bools:
        """Return the (n_categories + 1,) mask of codes within ``ancestor``; the last entry (code -1) is False."""
        inside = [category_within(path, ancestor) for path in self.categories]
        return np.array([*inside, False])


def brand_codes(brand: pd.Series, n_events: npt.NDArray[np.int64]) -> tuple[list[str], Int32s]:
    """Return the brands, those with the most events first, and the code of every item's; empty text is no brand."""
    named = (brand != "").to_numpy()
    sums = pd.Series(n_events[named]).groupby(brand[named].to_numpy()).sum()
    brands = list(sums.sort_index().sort_values(ascending=False, kind="stable").index)
    code = {name: i for i, name in enumerate(brands)}
    return brands, brand.map(code).fillna(-1).to_numpy(np.int64).astype(np.int32)


def category_paths(categories: list[str], n_events: npt.NDArray[np.int64] | None = None) -> Int32s:
    """Return the (n_categories, depth) codes of the nodes on every category's path, at least one column of them.

    Parameters
    ----------
    n_events : (n_categories,) how often a category was met; nodes met most often have the lowest codes, else by name
    """
    steps = [[step for step in path.split("/") if step][:MAX_DEPTH] for path in categories]
    depth = max((len(path) for path in steps), default=1) or 1
    names = [["/".join(path[: k + 1]) for k in range(len(path))] for path in steps]
    nodes = sorted({name for path in names for name in path})
    code = {name: i for i, name in enumerate(nodes)}
    paths = np.array([[*map(code.__getitem__, path), *[-1] * (depth - len(path))] for path in names], np.int32)
    paths = paths.reshape(len(categories), depth)
    if n_events is None or not nodes:
        return paths
    met = _sums(paths.ravel(), np.repeat(n_events, depth), len(nodes))
    rank = np.empty(len(nodes) + 1, np.int32)
    rank[np.argsort(-met, kind="stable")] = np.arange(len(nodes))
    rank[-1] = -1
    return rank[paths]


def _sums(code: Int32s, values: npt.NDArray[np.int64], n: int) -> npt.NDArray[np.int64]:
    """Return the (n,) sums of values by code, those of code -1 left out."""
    out = np.zeros(n + 1, np.int64)
    np.add.at(out, code, values)
    return out[:n]


def _price_edges(prices: Floats) -> Floats:
    prices = prices[prices > 0]
    return np.unique(np.quantile(prices, np.linspace(0, 1, PRICE_BANDS)[1:-1])) if len(prices) else np.empty(0)


def _median_prices(prices: Floats, item_category: Int32s, n_categories: int, log: EventLog) -> Floats:
    """Return the (n_categories + 1,) medians; those of events stand in where no item has a price."""
    priced = prices > 0
    of_log = float(np.median(prices[priced])) if priced.any() else _median_event_price(log)
    medians = np.full(n_categories + 1, of_log)
    found = pd.Series(prices[priced]).groupby(item_category[priced]).median().drop(-1, errors="ignore")
    medians[found.index.to_numpy(np.int64)] = found.to_numpy()
    return medians


def _median_event_price(log: EventLog) -> float:
    """Return the median price of all events to about 1%, from counts in narrow bins; NaN where none has a price."""
    if c.PRICE not in log.quality.columns_present:
        return float("nan")
    counts = np.zeros(_N_BINS, np.int64)
    for shard in log.shards:
        prices = pq.read_table(shard, columns=[c.PRICE])[c.PRICE].drop_null().to_numpy()
        place = (np.log2(prices[prices > 0]) - _SMALLEST_LOG2) * _BINS_PER_DOUBLING
        counts += np.bincount(np.clip(place, 0, _N_BINS - 1).astype(np.int64), minlength=_N_BINS)
    if not counts.any():
        return float("nan")
    middle = int(np.searchsorted(np.cumsum(counts), counts.sum() / 2))
    return float(2.0 ** ((middle + 0.5) / _BINS_PER_DOUBLING + _SMALLEST_LOG2))


def _exposures(log: EventLog) -> list[str]:
    counts: dict[str, int] = {}
    for shard in log.shards:
        table = pq.read_table(shard, columns=[c.ACTION, c.CAMPAIGN, c.ARM])
        for entry in pc.value_counts(exposure_names(table).drop_null()).to_pylist():
            counts[entry["values"]] = counts.get(entry["values"], 0) + entry["counts"]
    return sorted(counts, key=lambda name: (-counts[name], name))[:_MAX_EXPOSURES]


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
