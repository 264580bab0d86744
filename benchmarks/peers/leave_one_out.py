"""Ranks of one held-out item a user over a full catalog, in one way for every model that is compared."""

from collections.abc import Callable

import numpy as np
import pandas as pd

K = 10
ROWS = 512  # users scored at once

Scores = Callable[[np.ndarray], np.ndarray]


def ranks(scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Rank of every row's target, 0 the best, in a stable sort: of equal scores the lower index stands before."""
    if np.isnan(scores.min()):
        raise ValueError("Scores are NaN: the training diverged. Lower the learning rate.")
    own = np.take_along_axis(scores, targets[:, None], axis=1)
    rank = np.count_nonzero(scores > own, axis=1)
    tied = np.flatnonzero(np.count_nonzero(scores == own, axis=1) > 1)
    before = np.arange(scores.shape[1]) < targets[tied, None]
    rank[tied] += np.count_nonzero((scores[tied] == own[tied]) & before, axis=1)
    return rank


def metrics(found: np.ndarray) -> dict[str, float]:
    """Hit rate and NDCG at K of targets at these ranks."""
    hit = found < K
    return {f"hr@{K}": float(hit.mean()), f"ndcg@{K}": float((hit / np.log2(found + 2.0)).mean())}


class Question:
    """Histories and one target each, over a sorted catalog whose order breaks ties."""

    def __init__(self, events: pd.DataFrame, targets: pd.DataFrame, catalog: pd.Index):
        """Take events (user, item) sorted by user and time, and targets (user, item)."""
        users = pd.Index(targets["user"])
        kept = events[events["user"].isin(users)]
        self.row = users.get_indexer(kept["user"])
        self.item = catalog.get_indexer(kept["item"])
        self.target = catalog.get_indexer(targets["item"])
        self.popularity = np.bincount(catalog.get_indexer(events["item"]), minlength=len(catalog)).astype(np.float32)

    def inputs(self, token: np.ndarray, length: int) -> np.ndarray:
        """The last ``length`` known items of every user, padding (0) on the left; ``token`` numbers the catalog."""
        value = token[self.item]
        row, value = self.row[value > 0], value[value > 0]
        from_end = pd.Series(row).groupby(row).cumcount(ascending=False).to_numpy()
        recent = from_end < length
        x = np.zeros((len(self.target), length), dtype=np.int64)
        x[row[recent], length - 1 - from_end[recent]] = value[recent]
        return x

    def ranks(self, x: np.ndarray, score: Scores, filter_seen: bool) -> np.ndarray:
        """Ranks of the targets of the first ``len(x)`` users by ``score``, from histories to the catalog's scores.

        A user whose history is empty is ranked by popularity.
        """
        found = []
        for start in range(0, len(x), ROWS):
            batch = x[start : start + ROWS]
            scores = score(batch)
            scores[(batch == 0).all(axis=1)] = self.popularity
            if filter_seen:
                inside = (self.row >= start) & (self.row < start + len(batch))
                scores[self.row[inside] - start, self.item[inside]] = -np.inf
            found.append(ranks(scores, self.target[start : start + len(batch)]))
        return np.concatenate(found)
