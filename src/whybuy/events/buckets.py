"""Rows divided by users into files, a bucket each, so that the second pass over a log works on a shard's worth of rows.

A bucket holds all rows of some users. Buckets are Arrow files of a temporary folder; rows that are rejected for what
they are go to a bucket of their own, with the columns that tell how they were found. The division is done on Arrow
batches as they pass: writing Parquet partitioned by DuckDB costs twice the time, most of it for an encoding that is
undone a moment later, and sorting a table by bucket as much.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from whybuy import columns as c
from whybuy.events.map import FOUND_ACTION, FOUND_TIME, RAW

BUCKET = "bucket"
"""Column of the rows to divide: the number of their bucket; the last, beyond all users, is for rejects."""

_TOLD = (FOUND_TIME, FOUND_ACTION, RAW)


class Buckets:
    """Files of rows divided by bucket, open for writing until :meth:`close`.

    Parameters
    ----------
    folder : does not exist yet
    n_buckets : how many, beside the one for rejects
    """

    def __init__(self, folder: Path, n_buckets: int) -> None:
        folder.mkdir()
        self.n_buckets = n_buckets
        self._folder = folder
        self._writers: dict[int, Any] = {}
        self._schema: pa.Schema | None = None

    def write(self, rows: pa.RecordBatchReader) -> tuple[int, int]:
        """Append a stream of rows; return how many there were and how many of them are rejected.

        Rows without :data:`whybuy.columns.ROW` are numbered as they come.
        """
        n_rows = n_rejected = 0
        for batch in rows:
            numbered = _numbered(batch, n_rows)
            bucket = numbered.column(BUCKET).to_numpy()
            is_bad = bucket == self.n_buckets
            if is_bad.any():
                self._append(self.n_buckets, numbered.drop_columns([BUCKET]).filter(pa.array(is_bad)))
            self._divide(numbered.drop_columns([BUCKET, *_TOLD]), bucket)
            n_rows += len(batch)
            n_rejected += int(is_bad.sum())
        return n_rows, n_rejected

    def _divide(self, rows: pa.RecordBatch, bucket: npt.NDArray[np.int32]) -> None:
        order = np.argsort(bucket, kind="stable")
        ends = np.searchsorted(bucket[order], np.arange(self.n_buckets + 1))
        divided = rows.take(pa.array(order[: ends[-1]]))
        self._schema = divided.schema
        for number in np.flatnonzero(np.diff(ends)):
            self._append(int(number), divided.slice(ends[number], ends[number + 1] - ends[number]))

    def close(self) -> None:
        """Finish the files."""
        for writer in self._writers.values():
            writer.close()

    def schema(self) -> pa.Schema:
        """Return the columns of the rows of a bucket."""
        if self._schema is None:
            message = "nothing was written yet"
            raise RuntimeError(message)
        return self._schema

    def read(self, number: int) -> pa.Table | None:
        """Return the rows of a bucket, mapped into memory, or None where it has none."""
        path = self._path(number)
        return pa.ipc.open_file(pa.memory_map(str(path))).read_all() if path.exists() else None

    def rejects(self) -> pa.Table | None:
        """Return the rows that are rejected for what they are, or None."""
        return self.read(self.n_buckets)

    def remove(self, number: int) -> None:
        """Remove the file of a bucket."""
        self._path(number).unlink()

    def _path(self, number: int) -> Path:
        return self._folder / f"bucket-{number:05d}.arrow"

    def _append(self, number: int, rows: pa.RecordBatch) -> None:
        if number not in self._writers:
            self._writers[number] = pa.ipc.new_file(str(self._path(number)), rows.schema)
        self._writers[number].write_batch(rows)


def _numbered(batch: pa.RecordBatch, first: int) -> pa.RecordBatch:
    """Return the batch with the rows' places as its last column, so that batches of all sources are alike."""
    places = pa.array(np.arange(first, first + len(batch), dtype=np.int64))
    if c.ROW in batch.schema.names:
        places = batch.column(c.ROW)
        batch = batch.drop_columns([c.ROW])
    return batch.append_column(c.ROW, places)
