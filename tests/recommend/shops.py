"""Tiny shops, written as the shards that an ingest leaves."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from whybuy import columns as c
from whybuy.config import config_from_dict
from whybuy.recommend.answer import Recommendations
from whybuy.recommend.answerer import Answerer

HOUR = 3_600_000
DAY = 24 * HOUR
_TEXT = (c.USER, c.ACTION, c.ITEM, c.CATEGORY, c.SESSION, c.ORDER, c.QUERY, c.TEXT, c.CURRENCY, c.CAMPAIGN, c.ARM)
_WHOLE = {c.TIME_MS: pa.int64(), c.MOMENT: pa.int32(), c.SLOT: pa.int32(), c.SOURCE: pa.int16(), c.ROW: pa.int64()}


@dataclass(frozen=True)
class Log:
    """What an opened event log offers."""

    folder: Path
    shards: tuple[Path, ...]
    quality: SimpleNamespace

    def items(self) -> pd.DataFrame:
        return pd.read_parquet(self.folder / "items.parquet")

    def users(self) -> pd.DataFrame:
        return pd.read_parquet(self.folder / "users.parquet")


def _type(name: str) -> pa.DataType:
    if name in _TEXT:
        return pa.string()
    return _WHOLE.get(name, pa.float64())


def write_log(
    folder: Path,
    events: pd.DataFrame,
    items: dict[str, str | None],
    *,
    shards: int = 1,
    window: tuple[int, int] | None = None,
    out_of_stock: Sequence[str] = (),
    titles: dict[str, str] | None = None,
    prices: dict[str, float] | None = None,
    idle_users: Sequence[str] = (),
    has_times: bool = True,
) -> Log:
    """Write ``events`` (user_id, ts_ms, action, item_id and any shard columns) and ``items`` (id: category)."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "shards").mkdir()
    events = events.sort_values([c.USER, c.TIME_MS], kind="stable").reset_index(drop=True)
    events[c.MOMENT] = events.groupby(c.USER)[c.TIME_MS].rank(method="dense").astype(int) - 1
    events[c.SOURCE], events[c.ROW] = 0, range(len(events))
    names = sorted(events[c.USER].unique())
    paths = []
    for number in range(shards):
        part = events[events[c.USER].isin(names[number::shards])]
        columns = {
            name: pa.array(part[name] if name in part else [None] * len(part), _type(name), from_pandas=True)
            for name in c.SHARD_COLUMNS
        }
        columns[c.ACTION] = columns[c.ACTION].dictionary_encode()
        paths.append(folder / "shards" / f"shard-{number:05d}.parquet")
        pq.write_table(pa.table(columns), paths[-1])
    _write_items(folder, events, items, out_of_stock, titles or {}, prices or {})
    per_user = events.groupby(c.USER)[c.TIME_MS].agg(["size", "min", "max"]).reset_index()
    per_user.columns = [c.USER, c.N_EVENTS, "first_ms", "last_ms"]
    idle = pd.DataFrame({c.USER: list(idle_users), c.N_EVENTS: 0})
    users = pd.concat([per_user, idle]) if len(idle) else per_user
    users.astype({"first_ms": "Int64", "last_ms": "Int64"}).to_parquet(folder / "users.parquet")
    low, high = window or (int(events[c.TIME_MS].min()), int(events[c.TIME_MS].max()))
    quality = SimpleNamespace(
        actions=events[c.ACTION].value_counts().to_dict(),
        start_ms=low,
        end_ms=high,
        has_times=has_times,
        rejected={},
    )
    return Log(folder, tuple(paths), quality)


def _write_items(
    folder: Path, events: pd.DataFrame, items: dict, out_of_stock: Sequence[str], titles: dict, prices: dict
) -> None:
    counts = events[c.ITEM].value_counts()
    frame = pd.DataFrame(
        {
            c.ITEM: list(items),
            c.CATEGORY: pd.Series(list(items.values()), dtype="str"),
            c.BRAND: pd.Series([None] * len(items), dtype="str"),
            c.PRICE: [float(prices.get(item, "nan")) for item in items],
            c.TITLE: pd.Series([titles.get(item) for item in items], dtype="str"),
            c.DESCRIPTION: pd.Series([None] * len(items), dtype="str"),
            c.AVAILABLE: [item not in out_of_stock for item in items],
            c.N_EVENTS: [int(counts.get(item, 0)) for item in items],
        }
    )
    frame.sort_values([c.N_EVENTS, c.ITEM], ascending=[False, True]).to_parquet(folder / "items.parquet", index=False)


def events_of(rows: Sequence[tuple[Any, ...]], *more: str) -> pd.DataFrame:
    """Return events from (user, hours, action, item, ...) with the names of further columns."""
    frame = pd.DataFrame(rows, columns=[c.USER, "hours", c.ACTION, c.ITEM, *more])
    frame[c.TIME_MS] = (frame.pop("hours") * HOUR).astype("int64")
    return frame


CONFIG = config_from_dict({"events": [{"path": "x.csv"}], "lookback": "1d"}, base=Path())
"""The defaults with a lookback of one day."""


def write_effects(path: Path, *rows: tuple[str, str, float, float], **changes: Any) -> Path:
    """Write an effects file of (treatment, outcome, estimate, std_error) rows, all confirmed and strong."""
    found = [
        {
            "treatment": treatment,
            "outcome": outcome,
            "horizon": "7d",
            "method": "confirmed",
            "verdict": "strong",
            "effect": {"estimate": estimate, "std_error": error},
            **changes,
        }
        for treatment, outcome, estimate, error in rows
    ]
    path.write_text(json.dumps({"effects": found}))
    return path


def recommend_user(folder: Path, user_id: str, k: int) -> Recommendations:
    """Return the answer for one user of what was built in ``folder``."""
    return Answerer.open(folder).answer(user_id, k)
