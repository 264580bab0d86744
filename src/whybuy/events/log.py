"""An ingested log: its user shards, its items and users, and what is known of its quality."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from whybuy.errors import WorkspaceError
from whybuy.events.quality import Quality

if TYPE_CHECKING:
    import pandas as pd

SHARDS = "shards"
ITEMS = "items.parquet"
USERS = "users.parquet"
REJECTED = "rejected.parquet"
QUALITY = "quality.json"


@dataclass(frozen=True, slots=True)
class EventLog:
    """A log as :func:`whybuy.events.shards.ingest` wrote it.

    Attributes
    ----------
    folder : where it stands
    shards : Parquet files of the columns ``SHARD_COLUMNS``; all events of a user are in one, sorted by user and time
    quality : the facts of the log
    """

    folder: Path
    shards: tuple[Path, ...]
    quality: Quality

    @classmethod
    def open(cls, folder: Path) -> "EventLog":
        """Open the log in ``folder``.

        Raises
        ------
        WorkspaceError
            There is no ingested log.
        """
        path = folder / QUALITY
        if not path.is_file():
            raise WorkspaceError.of(
                found=f"{folder} holds no ingested log", needed=f"{QUALITY} is needed", do="Run `whybuy run`"
            )
        quality = Quality.from_json(json.loads(path.read_text(encoding="utf-8")))
        return cls(folder, tuple(sorted((folder / SHARDS).glob("shard-*.parquet"))), quality)

    def items(self) -> "pd.DataFrame":
        """Return the items, commonest first: ``ITEM_COLUMNS`` and ``n_events``."""
        return _table(self.folder / ITEMS)

    def users(self) -> "pd.DataFrame":
        """Return the users with their attributes, ``n_events``, ``first_ms`` and ``last_ms`` (null without events)."""
        return _table(self.folder / USERS)

    @property
    def rejected_path(self) -> Path:
        """The rows that were rejected or set aside, with their reasons."""
        return self.folder / REJECTED


def _table(path: Path) -> "pd.DataFrame":
    import pyarrow.parquet as pq

    return pq.read_table(path).to_pandas()
