"""What a policy chooses from: the shelf, and for every user some candidates with scores.

Items are codes into the shelf, so that a batch of users is a few rectangular arrays. What an item is stands on the
shelf once; what a user has done with a candidate stands beside the candidate.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from whybuy.errors import PolicyError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

NOBODY = -1
"""Code of no item, no category, no seller."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Shelf:
    """The items that there are.

    Parameters
    ----------
    item_id : (n_items,) text or integers, each once
    category, seller : (n_items,) labels; a missing label (None, NaN) is in no group and no cap counts it
    available : (n_items,) bool; everything is available where absent
    embedding : (n_items, d) finite; items are alike by the cosine. A row of zeros is like nothing

    Raises
    ------
    PolicyError
        There is no item, an array has another length than the ids, an id stands twice, an availability is missing, an
        embedding is not finite.
    """

    item_id: npt.ArrayLike
    category: npt.ArrayLike | None = None
    seller: npt.ArrayLike | None = None
    available: npt.ArrayLike | None = None
    embedding: npt.ArrayLike | None = None

    def __post_init__(self) -> None:
        if not self.n_items:
            raise PolicyError.of(found="An empty shelf", needed="at least one item", do="Read the catalog first")
        for name in ("category", "seller", "available", "embedding"):
            values = getattr(self, name)
            if values is not None and len(np.asarray(values)) != self.n_items:
                raise PolicyError.of(
                    found=f"{len(np.asarray(values))} values of {name} for {self.n_items} items",
                    needed=f"one value of {name} per item is needed",
                    do="Align it with item_id",
                )
        if len(np.unique(self.item_hash)) != self.n_items:
            raise PolicyError.of(
                found="An item stands on the shelf twice",
                needed="every item_id once",
                do="Drop the duplicates, keeping the latest row",
            )
        if self.available is not None and pd.isna(np.asarray(self.available)).any():
            raise PolicyError.of(
                found="Items of which it is not known whether they are available",
                needed="True or False for every item",
                do="Decide what a missing value means in your catalog",
            )
        if self.embedding is not None and not np.isfinite(np.asarray(self.embedding)).all():
            raise PolicyError.of(
                found="Embeddings that are not finite",
                needed="finite embeddings are needed for diversity",
                do="Give items without an embedding a row of zeros",
            )

    @cached_property
    def n_items(self) -> int:
        """Number of items."""
        return len(np.asarray(self.item_id))

    @cached_property
    def item_hash(self) -> npt.NDArray[np.uint64]:
        """(n_items,) what random numbers of an item are keyed by."""
        return hash_ids(self.item_id)

    @cached_property
    def category_codes(self) -> Ints | None:
        """(n_items,) codes, -1 without a category; None where the shelf has no categories."""
        return None if self.category is None else _codes(self.category)[0]

    @cached_property
    def seller_codes(self) -> Ints | None:
        """(n_items,) positions in :attr:`sellers`, -1 without a seller; None where the shelf has no sellers."""
        return None if self.seller is None else _codes(self.seller)[0]

    @cached_property
    def sellers(self) -> npt.NDArray[np.object_]:
        """(n_sellers,) the labels, sorted."""
        return np.empty(0, object) if self.seller is None else _codes(self.seller)[1]

    @cached_property
    def directions(self) -> Floats | None:
        """(n_items, d) embeddings of length one (or zero); None where the shelf has no embeddings."""
        if self.embedding is None:
            return None
        vectors = np.asarray(self.embedding, float)
        length = np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors / np.where(length > 0, length, 1.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Candidates:
    """What may be shown to each user.

    Parameters
    ----------
    user_id : (n_users,) text or integers, each once: a second slate of the same user belongs to another round
    item : (n_users, n_candidates) codes into the shelf, each once in a row; -1 fills rows that have fewer
    score : (n_users, n_candidates) what slates are ranked by, purchases added per showing for instance; NaN where it
        cannot be told, which is left out and said, never taken for 0
    bought : (n_users, n_candidates) bool, the user has it already; nothing is known to be bought where absent
    shown : (n_users, n_candidates) number of times it was shown to the user within the window of the frequency cap

    Raises
    ------
    PolicyError
        Shapes differ, a code is not on the shelf, an item stands twice in a row, a user twice, a score is infinite.
    """

    shelf: Shelf
    user_id: npt.ArrayLike
    item: npt.NDArray[np.integer]
    score: npt.NDArray[np.floating]
    bought: Bools | None = None
    shown: npt.NDArray[np.integer] | None = None

    def __post_init__(self) -> None:
        self._check_shapes()
        if self.item.size and not (self.item.min() >= NOBODY and self.item.max() < self.shelf.n_items):
            raise PolicyError.of(
                found=f"Candidates with codes from {self.item.min()} to {self.item.max()}",
                needed=f"codes from 0 to {self.shelf.n_items - 1}, or -1 for no candidate",
                do="Take the positions of the items on the shelf",
            )
        ordered = np.sort(self.item, axis=1)
        if ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != NOBODY)).any():
            raise PolicyError.of(
                found="An item stands twice among the candidates of one user",
                needed="every item once per user",
                do="Merge the sources of candidates before scoring",
            )
        if len(np.unique(self.user_hash)) != self.n_users:
            raise PolicyError.of(
                found="A user stands twice in one batch",
                needed="one slate per user and round",
                do="Draw a second slate with the next round_number",
            )
        if np.isinf(self.score).any():
            raise PolicyError.of(
                found="Scores that are infinite",
                needed="finite scores, or NaN where a score cannot be told",
                do="Leave such candidates out, or set their score to NaN",
            )

    def _check_shapes(self) -> None:
        wanted = (self.n_users, self.item.shape[1]) if self.item.ndim == 2 else None
        for name in ("item", "score", "bought", "shown"):
            values = getattr(self, name)
            if values is not None and values.shape != wanted:
                raise PolicyError.of(
                    found=f"{name} of shape {values.shape} for {self.n_users} users, items of {self.item.shape}",
                    needed="arrays of shape (n_users, n_candidates)",
                    do="Fill rows that have fewer candidates with item -1",
                )

    @cached_property
    def n_users(self) -> int:
        """Number of users."""
        return len(np.asarray(self.user_id))

    @property
    def n_candidates(self) -> int:
        """Width of the rows."""
        return self.item.shape[1]

    @cached_property
    def user_hash(self) -> npt.NDArray[np.uint64]:
        """(n_users,) what random numbers of a user are keyed by."""
        return hash_ids(self.user_id)

    def of_item(self, values: npt.NDArray[np.generic], absent: object) -> npt.NDArray[np.generic]:
        """Return (n_users, n_candidates) the (n_items,) ``values`` of candidates, ``absent`` where there is none."""
        return np.where(self.item == NOBODY, np.asarray(absent, values.dtype), values[self.item])

    def rows(self, part: slice | Ints) -> "Candidates":
        """Return the users of ``part``."""
        return Candidates(
            shelf=self.shelf,
            user_id=np.asarray(self.user_id)[part],
            item=self.item[part],
            score=self.score[part],
            bought=None if self.bought is None else self.bought[part],
            shown=None if self.shown is None else self.shown[part],
        )


def count_events(item: npt.NDArray[np.integer], *, row: Ints, event_item: Ints) -> Ints:
    """Return (n_users, n_candidates) how many events each user has with each candidate.

    Parameters
    ----------
    item : (n_users, n_candidates) codes of the candidates, -1 for none
    row : (n_events,) the user's row in ``item``
    event_item : (n_events,) code of the event's item
    """
    width = int(max(item.max(initial=NOBODY), event_item.max(initial=NOBODY))) + 2
    pairs, times = np.unique(row.astype(np.int64) * width + event_item, return_counts=True)
    asked = np.arange(len(item))[:, None] * width + item
    at = np.searchsorted(pairs, asked)
    found = np.append(pairs, -1)[at] == asked
    return np.where(found & (item != NOBODY), np.append(times, 0)[at], 0)


def hash_ids(ids: npt.ArrayLike) -> npt.NDArray[np.uint64]:
    """Return (n,) 64-bit hashes of ids that are the same in every batch and every process."""
    values = np.asarray(ids)
    return pd.util.hash_array(values if values.dtype.kind in "iu" else values.astype(object), categorize=False)


def _codes(labels: npt.ArrayLike) -> tuple[Ints, npt.NDArray[np.object_]]:
    codes, names = pd.factorize(np.asarray(labels), sort=True)
    return codes.astype(np.int64), np.asarray(names, object)
