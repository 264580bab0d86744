"""What a behavior model must beat: recent popularity, item-to-item transitions, and neighbors.

Each has one or a few settings, chosen by NDCG@10 on validation data, then fitted on the task's training data
(``tuned``). All hold a log as sparse counts in memory. What counts cannot tell apart is ordered by
popularity in the training data, never by the item's code, which knows the whole log.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TypeVar

import numba
import numpy as np
import numpy.typing as npt
from scipy import sparse

from whybuy.behavior.baselines.ranking import (
    Ranker,
    RankingTask,
    Scores,
    evaluate,
    last_items,
    own_items,
)
from whybuy.behavior.folds import folds_of_users
from whybuy.config import duration_ms
from whybuy.events.sequences import Bools, Ints, Sequences

Setting = TypeVar("Setting")

HALF_LIVES_MS = (None, *(duration_ms(h) for h in ("90d", "30d", "7d", "2d", "12h")))
SMOOTHING = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)

_TUNING_USERS = 2_000
_MAX_BASKET = 300
"""Items of one user that count as taken together, the latest: pairs grow with the square."""

_NEIGHBORS = 200
_ITEMS_AT_ONCE = 2_048
_TIE_BREAK = 1e-4
"""Weight of popularity beside similarities: too little to turn the order of any two that differ."""


@dataclass(frozen=True)
class Popular:
    """Popularity of items just before the moment asked about.

    Attributes
    ----------
    item, ts_ms : (n,) the training events that count, by time
    half_life_ms : an event's weight halves in this time; None counts every training event alike, whenever it happened
    """

    item: npt.NDArray[np.int32]
    ts_ms: Ints
    n_items: int
    half_life_ms: int | None

    @classmethod
    def fit(cls, train: Sequences, *, n_items: int, half_life_ms: int | None) -> "Popular":
        """Return the popularity in ``train``."""
        own = own_items(train)
        order = np.argsort(np.asarray(train.ts_ms)[own], kind="stable")
        return cls(np.asarray(train.item)[own][order], np.asarray(train.ts_ms)[own][order], n_items, half_life_ms)

    @classmethod
    def tuned(cls, train: Sequences, validation: RankingTask, *, n_items: int, has_times: bool = True) -> "Popular":
        """Return the popularity in ``train`` with the half-life that is best on ``validation``.

        A log without times has positions, which do not compare between users: all events count alike there.
        """
        half_lives = HALF_LIVES_MS if has_times else (None,)
        fitted = (cls.fit(validation.train, n_items=n_items, half_life_ms=h) for h in half_lives)
        return cls.fit(train, n_items=n_items, half_life_ms=_best(half_lives, fitted, validation))

    def score(self, history: Sequences, ts_ms: Ints) -> Scores:
        """Return (n_users, n_items): the share of each item in the decayed events before ``ts_ms``."""
        if self.half_life_ms is None:
            counts = np.bincount(self.item, minlength=self.n_items)
            share = (counts / max(len(self.item), 1)).astype(np.float32)
            return np.broadcast_to(share, (history.n_users, self.n_items))
        order = np.argsort(ts_ms, kind="stable")
        scores = np.empty((len(order), self.n_items), np.float32)
        _decayed(self.item, self.ts_ms, 1.0 / self.half_life_ms, np.asarray(ts_ms)[order], order, scores)
        return scores


@numba.njit(cache=True)
def _decayed(item, ts, rate, at, row, out):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    """Fill ``out[row]`` with the shares of items before each time of the sorted ``at``.

    Weights are held relative to a time ``now``, moved on before they could overflow.
    """
    state = np.zeros(out.shape[1])
    event = 0
    now = at[0] if len(at) else 0
    for q in range(len(at)):
        if (at[q] - now) * rate > 64.0:
            state *= 2.0 ** (-(at[q] - now) * rate)
            now = at[q]
        while event < len(ts) and ts[event] < at[q]:
            state[item[event]] += 2.0 ** ((ts[event] - now) * rate)
            event += 1
        total = max(state.sum(), 1e-300)
        for i in range(len(state)):
            out[row[q], i] = state[i] / total


@dataclass(frozen=True)
class Markov:
    """P(next item | last item) from counts of transitions, smoothed towards popularity.

    Attributes
    ----------
    transitions : (n_items + 1, n_items) counts; the last row, of users without an item, is empty
    popularity : (n_items,) shares of the training events
    smoothing : this many events of ``popularity`` are added to every row
    """

    transitions: sparse.csr_array
    popularity: Scores
    smoothing: float

    @classmethod
    def fit(cls, train: Sequences, *, n_items: int, smoothing: float) -> "Markov":
        """Count the transitions of ``train``: from the last item before a moment to each item of the moment."""
        own, item = own_items(train), np.asarray(train.item)
        before = event_before_moment(train, own)
        to = own & (before >= 0)
        pairs = (item[before[to]], item[to])
        counts = sparse.coo_array((np.ones(len(pairs[0]), np.float32), pairs), shape=(n_items + 1, n_items))
        return cls(counts.tocsr(), _popularity(train, n_items), smoothing)

    @classmethod
    def tuned(cls, train: Sequences, validation: RankingTask, *, n_items: int) -> "Markov":
        """Return the transitions of ``train`` with the smoothing that is best on ``validation``."""
        fitted = (cls.fit(validation.train, n_items=n_items, smoothing=s) for s in SMOOTHING)
        return cls.fit(train, n_items=n_items, smoothing=_best(SMOOTHING, fitted, validation))

    def score(self, history: Sequences, ts_ms: Ints) -> Scores:  # noqa: ARG002 - the role's signature
        """Return (n_users, n_items) probabilities of the next item; the time is not used."""
        rows = self.transitions[last_items(history)]
        total = rows.sum(axis=1) + self.smoothing
        scores: Scores = rows.toarray() + np.float32(self.smoothing) * self.popularity
        return scores / total[:, None].astype(np.float32)


@dataclass(frozen=True)
class KnnSetting:
    """How neighbors are weighed.

    Attributes
    ----------
    shrinkage : added to the denominator of the cosine: rare items have weak neighbors
    n_last : of the user's item events, the latest this many vote
    own : whether an item votes for itself: it does where people come back to the same item
    """

    shrinkage: float
    n_last: int
    own: bool


KNN_SETTINGS = tuple(
    KnnSetting(shrinkage, n_last, own)
    for shrinkage, own, n_last in product((0.0, 10.0, 50.0, 200.0), (False, True), (1, 5, 20))
)


@dataclass(frozen=True)
class ItemKNN:
    """Items that the same people take as the user's last ones: shrunk cosine of item to item.

    Attributes
    ----------
    similar : (n_items, n_items) similarities of the nearest neighbors of every item
    popularity : (n_items,) shares of the training events: orders what no neighbor speaks for
    """

    similar: sparse.csr_array
    popularity: Scores
    setting: KnnSetting

    @classmethod
    def fit(cls, train: Sequences, *, n_items: int, setting: KnnSetting) -> "ItemKNN":
        """Return the neighbors in ``train``; the latest 300 item events of a user count, 200 neighbors are kept."""
        taken = _taken(train, n_items, _MAX_BASKET)
        by_item = taken.T.tocsr()
        size = np.diff(by_item.indptr).astype(np.float32)
        blocks = [
            _nearest(by_item[low : low + _ITEMS_AT_ONCE] @ taken, low, size, setting)
            for low in range(0, n_items, _ITEMS_AT_ONCE)
        ]
        return cls(sparse.vstack(blocks, format="csr"), _popularity(train, n_items), setting)

    @classmethod
    def tuned(cls, train: Sequences, validation: RankingTask, *, n_items: int) -> "ItemKNN":
        """Return the neighbors in ``train`` with the setting that is best on ``validation``."""
        best = _best(KNN_SETTINGS, _neighbors(validation.train, n_items), validation)
        return cls.fit(train, n_items=n_items, setting=best)

    def score(self, history: Sequences, ts_ms: Ints) -> Scores:  # noqa: ARG002 - the role's signature
        """Return (n_users, n_items) sums of similarities to the user's last items; the time is not used."""
        votes = _taken(history, len(self.popularity), self.setting.n_last) @ self.similar
        scores: Scores = votes.toarray() + np.float32(_TIE_BREAK) * self.popularity
        return scores


def _best(settings: Sequence[Setting], fitted: Iterable[Ranker], validation: RankingTask) -> Setting:
    """Return the setting whose ranker has the best NDCG@10 on a sample of users; the first of equals."""
    place = np.argsort(folds_of_users(validation.history.user_ids).position, kind="stable")
    keep = np.zeros(len(place), bool)
    keep[place[:_TUNING_USERS]] = True
    sample = validation.users(keep)
    return settings[int(np.argmax([evaluate(ranker, sample).mean("ndcg@10") for ranker in fitted]))]


def _popularity(train: Sequences, n_items: int) -> Scores:
    counts = np.bincount(np.asarray(train.item)[own_items(train)], minlength=n_items)
    return (counts / max(int(counts.sum()), 1)).astype(np.float32)


def event_before_moment(sequences: Sequences, wanted: Bools) -> Ints:
    """Return (n_events,) the user's last wanted event before the event's moment, -1 without."""
    at = np.maximum.accumulate(np.where(wanted, np.arange(len(wanted)), -1))
    starts = np.asarray(sequences.moment_starts)
    first = np.repeat(starts[:-1], np.diff(starts))
    user_start = np.asarray(sequences.offsets)[sequences.event_user]
    before = at[np.maximum(first - 1, 0)]
    return np.where((first > user_start) & (before >= user_start), before, -1)


def _neighbors(train: Sequences, n_items: int) -> Iterator[ItemKNN]:
    """Yield what every one of ``KNN_SETTINGS`` makes of ``train``; the number of votes needs no other neighbors."""
    model: ItemKNN | None = None
    for setting in KNN_SETTINGS:
        if model is None or (model.setting.shrinkage, model.setting.own) != (setting.shrinkage, setting.own):
            model = ItemKNN.fit(train, n_items=n_items, setting=setting)
        model = replace(model, setting=setting)
        yield model


def _taken(sequences: Sequences, n_items: int, n_last: int) -> sparse.csr_array:
    """Return (n_users, n_items) of 1 where the item is among the user's last ``n_last`` item events."""
    own = own_items(sequences)
    user = sequences.event_user
    seen = np.concatenate([[0], np.cumsum(own)])
    left = seen[np.asarray(sequences.offsets)[user + 1]] - seen[:-1]
    kept = own & (left <= n_last)
    pairs = (user[kept], np.asarray(sequences.item)[kept])
    shape = (sequences.n_users, n_items)
    taken = sparse.coo_array((np.ones(len(pairs[0]), np.float32), pairs), shape=shape).tocsr()
    taken.data[:] = 1.0
    return taken


def _nearest(together: sparse.csr_array, first: int, size: Scores, setting: KnnSetting) -> sparse.csr_array:
    """Return the similarities of a block of items, ``together`` counts of common users, cut to the nearest ones."""
    found = together.tocoo()
    row, column = found.coords
    cosine = found.data / (np.sqrt(size[row + first] * size[column]) + np.float32(setting.shrinkage))
    if not setting.own:
        other = row + first != column
        row, column, cosine = row[other], column[other], cosine[other]
    order = np.lexsort((column, -cosine, row))
    row, column, cosine = row[order], column[order], cosine[order]
    place = np.arange(len(row)) - np.searchsorted(row, row)
    near = place < _NEIGHBORS
    return sparse.coo_array((cosine[near], (row[near], column[near])), shape=together.shape).tocsr()
