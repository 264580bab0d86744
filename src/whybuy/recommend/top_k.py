"""The k largest inner products of every query with every item, exactly: matrix products in blocks, then selection.

Selecting from a row of scores costs more than computing it when done naively. Here items are taken in strides: item j
belongs to lane j mod L. The maximum of each lane is an elementwise maximum of contiguous rows, at the speed of memory;
the k largest of a row lie in the k lanes with the largest maxima, so that only k * (items per lane) scores are looked
at again. Exact for any scores, but which of equal ones is taken is not told. A catalog of millions is for
:mod:`whybuy.recommend.nearest`.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from whybuy.errors import PolicyError

Vectors = npt.NDArray[np.float32]

_BLOCK_SCORES = 16_000_000
"""Scores held at once: 64 MB. Smaller blocks cost more, as the items are packed anew for each."""

_PER_LANE = 64


class TopK(NamedTuple):
    """The best items of each query.

    Attributes
    ----------
    item : (n_queries, k) codes, best first
    score : (n_queries, k) float32 inner products
    """

    item: npt.NDArray[np.int64]
    score: Vectors


def top_k(queries: Vectors, items: Vectors, k: int) -> TopK:
    """Return the ``k`` items with the largest inner product, all of them where there are fewer.

    Parameters
    ----------
    queries : (n_queries, d) float32
    items : (n_items, d) float32

    Raises
    ------
    PolicyError
        The widths differ, a number is not finite, or ``k`` is not positive.
    """
    check_vectors(queries, items.shape[1])
    check_vectors(items, items.shape[1])
    if k < 1:
        raise PolicyError.of(found=f"k = {k}", needed="k of at least 1", do="Ask for more")
    n, k = len(queries), min(k, len(items))
    found = TopK(np.empty((n, k), np.int64), np.empty((n, k), np.float32))
    rows = max(1, _BLOCK_SCORES // max(len(items), 1))
    n_lanes = -(-len(items) // _PER_LANE)
    scores = np.full((min(rows, n), _PER_LANE * n_lanes), -np.inf, np.float32)  # the last lanes' ends stay -inf
    transposed = np.ascontiguousarray(items.T)
    for first in range(0, n, rows):
        block = scores[: min(rows, n - first)]
        np.matmul(queries[first : first + rows], transposed, out=block[:, : len(items)])
        found.item[first : first + rows], found.score[first : first + rows] = _select(block, n_lanes, k)
    return found


def check_vectors(vectors: Vectors, width: int) -> None:
    """Refuse what no inner product with ``width`` numbers can be taken of."""
    if vectors.ndim != 2 or vectors.shape[1] != width or not np.isfinite(vectors).all():
        raise PolicyError.of(
            found=f"Vectors of shape {vectors.shape}, or numbers among them that are not finite",
            needed=f"finite vectors of {width} numbers",
            do="Give states and embeddings of one model",
        )


def _select(scores: Vectors, n_lanes: int, k: int) -> tuple[npt.NDArray[np.int64], Vectors]:
    """Return items and scores of the ``k`` largest of each row."""
    lanes = scores.reshape(len(scores), _PER_LANE, n_lanes)
    best = lanes.max(axis=1)
    kept = np.argpartition(-best, k - 1, axis=1)[:, :k] if k < n_lanes else np.arange(n_lanes)[None, :]
    item = (kept[:, None, :] + np.arange(_PER_LANE)[:, None] * n_lanes).reshape(len(kept), -1)
    item = np.broadcast_to(item, (len(scores), item.shape[1]))
    again = np.take_along_axis(scores, item, axis=1)
    place = np.argpartition(-again, k - 1, axis=1)[:, :k]
    order = np.argsort(-np.take_along_axis(again, place, axis=1), axis=1, kind="stable")
    place = np.take_along_axis(place, order, axis=1)
    return np.take_along_axis(item, place, axis=1), np.take_along_axis(again, place, axis=1)
