"""How near an item is to what a person did before: items as vectors, people as sums of the vectors of their past.

Items that the same people look at, click and buy get near vectors: the leading singular vectors of the positive
pointwise mutual information of "both by one person" (Levy and Goldberg, Neural word embedding as implicit matrix factorization,
NeurIPS 2014, equation 7). The counts are sums over people, so shards add up. A person's state is the sum of the vectors
of what was done before, over the root of its length, so that it grows with evidence.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.decomposition import TruncatedSVD

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Covariates = npt.NDArray[np.float32]

N_DIMENSIONS = 16
_PRIOR_EVENTS = 3.0
"""A state's length is taken over this many events more: one look is not a taste."""
_CHUNK = 500_000


@dataclass(frozen=True)
class Past:
    """What people did, in the order of user and time, (n,) each.

    Attributes
    ----------
    user, item, ts : numbers from 0, milliseconds
    kind : index into the kinds of actions that states are taken of
    """

    user: Ints
    item: Ints
    ts: Ints
    kind: Ints


def together(past: Past, n_items: int) -> sparse.csr_matrix:
    """Return (n_items, n_items) how much pairs of items were met by the same people; shards add up."""
    n_users = int(past.user.max(initial=-1)) + 1
    met = sparse.csr_matrix((np.ones(len(past.user)), (past.user, past.item)), shape=(n_users, n_items))
    met.data = np.log1p(met.data)
    return (met.T @ met).tocsr()


@dataclass(frozen=True)
class ItemVectors:
    """Vectors of length one, or of none for an item that nobody met: (n_items, d)."""

    vectors: Floats

    @classmethod
    def of(cls, counts: Iterable[sparse.csr_matrix], *, seed: int = 7) -> "ItemVectors":
        """Return the vectors from the counts of all shards."""
        total = sum(counts).tocoo()
        often = np.asarray(total.sum(axis=1)).ravel()
        information = np.log(total.data * often.sum() / (often[total.row] * often[total.col]))
        positive = sparse.csr_matrix((np.maximum(information, 0), (total.row, total.col)), shape=total.shape)
        svd = TruncatedSVD(min(N_DIMENSIONS, total.shape[0] - 1), random_state=seed).fit(positive)
        raw = svd.components_.T * np.sqrt(svd.singular_values_)
        length = np.linalg.norm(raw, axis=1, keepdims=True)
        return cls(np.where(length > 0, raw / np.where(length > 0, length, 1), 0.0))

    def affinity(self, past: Past, user: Ints, item: Ints, ts: Ints, n_kinds: int) -> Covariates:
        """Return (n, n_kinds + 1) the product of the item's vector and the person's state before, by kind and of all.

        Parameters
        ----------
        user, item, ts : (n,) of whom, of what, and when
        """
        parts = [self._of_some(past, past.kind == kind, user, item, ts) for kind in range(n_kinds)]
        parts.append(self._of_some(past, np.ones(len(past.user), bool), user, item, ts))
        return np.stack(parts, axis=1).astype(np.float32)

    def _of_some(self, past: Past, some: npt.NDArray[np.bool_], user: Ints, item: Ints, ts: Ints) -> Floats:
        start, end = int(past.ts.min(initial=0)), int(past.ts.max(initial=0))
        span = end - start + 2
        key = past.user[some] * span + (past.ts[some] - start)
        sums = np.vstack([np.zeros(self.vectors.shape[1]), self.vectors[past.item[some]].cumsum(axis=0)])
        since = np.searchsorted(key, user * span)
        until = np.searchsorted(key, user * span + np.clip(ts - start, 0, span - 1))
        out = np.empty(len(user))
        for first in range(0, len(user), _CHUNK):
            at = slice(first, first + _CHUNK)
            state = sums[until[at]] - sums[since[at]]
            out[at] = (state * self.vectors[item[at]]).sum(axis=1) / np.sqrt(until[at] - since[at] + _PRIOR_EVENTS)
        return out
