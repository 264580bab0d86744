"""Small logs for the tests of reading: written as text, ingested, and read back as plain rows."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from whybuy.config import config_from_dict
from whybuy.events.log import EventLog
from whybuy.events.shards import ingest

HEADER = "user_id,ts,action,item_id"


def ingest_config(folder: Path, raw: dict[str, Any], **options: Any) -> EventLog:
    """Ingest a config whose paths start from ``folder``."""
    out = folder / f"log-{len(list(folder.glob('log-*')))}"
    out.mkdir()
    return ingest(config_from_dict(raw, base=folder), out, **options)


def ingest_csv(folder: Path, text: str, *, entry: dict[str, Any] | None = None, **config: Any) -> EventLog:
    """Ingest the text of a CSV file."""
    (folder / "events.csv").write_text(text, encoding="utf-8")
    return ingest_config(folder, {"events": [{"path": "events.csv", **(entry or {})}], **config})


def ingest_rows(folder: Path, *rows: str, header: str = HEADER, **config: Any) -> EventLog:
    """Ingest lines of CSV under a header."""
    return ingest_csv(folder, "\n".join([header, *rows, ""]), **config)


def events(log: EventLog, *columns: str) -> list[tuple[Any, ...]]:
    """Return columns of all events, in the order of the shards."""
    tables = [pq.read_table(shard, columns=list(columns)) for shard in log.shards]
    return [tuple(row[name] for name in columns) for table in tables for row in table.to_pylist()]


def rejected(log: EventLog, *columns: str) -> list[tuple[Any, ...]]:
    """Return columns of all rejected rows."""
    return [tuple(row[name] for name in columns) for row in pq.read_table(log.rejected_path).to_pylist()]
