"""Nearest items to a state in a catalog of a million: a graph that is searched instead of everything (usearch, HNSW).

The graph is one of inner products as they are, which are no distance, yet such a graph is searched well (Morozov and
Babenko, Non-metric similarity graphs for maximum inner product search, NeurIPS 2018). Making all items of one length by
a further number (Bachrach et al., RecSys 2014), so that the order is that of the cosine, was tried: where lengths vary
it found .54 to .73 of what the plain graph found, as queries then lie far from every item. Recall is what is given up
for speed: a test holds it against the exact search of :mod:`whybuy.recommend.top_k`, which is the better choice up to
some 100,000 items.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from whybuy.errors import ModelError, PolicyError
from whybuy.recommend.top_k import TopK, Vectors, check_vectors

if TYPE_CHECKING:
    from usearch.index import Index

_CONNECTIONS = 32
_ADDING, _SEARCHING = 128, 256
"""How many neighbors are weighed while the graph grows and while it is searched; a file keeps the first only."""


@dataclass(frozen=True, eq=False)
class NearestItems:
    """A searchable catalog."""

    index: "Index"

    @classmethod
    def build(cls, embedding: Vectors, *, threads: int = 0) -> "NearestItems":
        """Return the graph of (n_items, d) float32 embeddings; an item's code is its row.

        Parameters
        ----------
        threads : 0 for all cores; with more than one, two builds may differ a little

        Raises
        ------
        PolicyError
            There is no item, or a number is not finite.
        """
        from usearch.index import Index

        check_vectors(embedding, embedding.shape[-1])
        if not len(embedding):
            raise PolicyError.of(found="No items", needed="at least one embedding", do="Build after reading the items")
        index = Index(
            ndim=embedding.shape[1],
            metric="ip",
            dtype="f32",
            connectivity=_CONNECTIONS,
            expansion_add=_ADDING,
            expansion_search=_SEARCHING,
        )
        index.add(np.arange(len(embedding)), embedding, threads=threads)
        return cls(index)

    @property
    def n_items(self) -> int:
        """Size of the catalog."""
        return len(self.index)

    def search(self, queries: Vectors, k: int, *, threads: int = 0) -> TopK:
        """Return nearly the ``k`` items with the largest inner product, all of them where there are fewer.

        Item -1 with score -inf where the graph leads to fewer, which a k near the size of the catalog may bring.

        Parameters
        ----------
        queries : (n_queries, d) float32; a query of zeros finds any items

        Raises
        ------
        PolicyError
            The width differs, or a number is not finite.
        """
        check_vectors(queries, self.index.ndim)
        k = min(k, self.n_items)
        found: Any = self.index.search(queries, k, threads=threads)
        counts = [len(found)] if len(queries) == 1 else found.counts
        filled = np.arange(k) < np.asarray(counts)[:, None]
        item, score = np.full(filled.shape, -1), np.full(filled.shape, -np.inf, np.float32)
        width = np.atleast_2d(found.keys).shape[1]
        item[filled] = np.atleast_2d(found.keys)[filled[:, :width]]
        score[filled] = 1 - np.atleast_2d(found.distances)[filled[:, :width]]
        return TopK(item, score)

    def save(self, path: Path) -> None:
        """Write the graph; an interrupted save leaves the earlier one as it was."""
        temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            self.index.save(str(temporary))
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: Path) -> "NearestItems":
        """Return the catalog that :meth:`save` wrote.

        Raises
        ------
        ModelError
            The file is missing, damaged, or not a graph of inner products.
        """
        from usearch.compiled import MetricKind
        from usearch.index import Index

        try:
            index = Index.restore(str(path), expansion_search=_SEARCHING)
        except (OSError, ValueError, RuntimeError):
            index = None
        if index is None or index.metric_kind != MetricKind.IP:
            raise ModelError.of(
                found=f"{path} is missing, damaged or no graph of inner products",
                needed="what NearestItems.save wrote",
                do="Build the nearest items again",
            )
        return cls(index)
