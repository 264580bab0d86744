"""A person's state: sums of the vectors of the items of the past.

Items that the same people look at, click and buy get near vectors: the leading singular vectors of the positive
pointwise mutual information of "both by one person" (Levy and Goldberg, Neural word embedding as implicit matrix
factorization, NeurIPS 2014, equation 7). The counts are sums over people, so shards add up. A state is the sum of the
vectors of what was done before, over the root of its length, so that it grows with evidence; and as nothing but the
past is in it, whoever is new has one as soon as there is an event.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.decomposition import TruncatedSVD

from whybuy.recommend.personal.acts import Acts
from whybuy.recommend.terms import CART_ACTIONS, TOUCH_ACTIONS, VIEW_ACTIONS

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Covariates = npt.NDArray[np.float32]

KINDS = (VIEW_ACTIONS, CART_ACTIONS, ("purchase",), TOUCH_ACTIONS)
"""States are taken of each of these, the last of all."""
N_DIMENSIONS = 16
_PRIOR_EVENTS = 3.0
"""A state's length is taken over this many events more: one look is not a taste."""


@dataclass(frozen=True)
class Past:
    """What people did with items, in the order of user and time, (n,) each.

    Attributes
    ----------
    user, item, ts : numbers from 0, milliseconds
    of_kind : for every one of ``KINDS``, (n,) bool
    """

    user: Ints
    item: Ints
    ts: Ints
    of_kind: tuple[npt.NDArray[np.bool_], ...]

    @classmethod
    def of(cls, acts: Acts) -> "Past":
        """Return what is of any kind."""
        at = np.flatnonzero(acts.is_of(KINDS[-1]))
        return cls(acts.user[at], acts.item[at], acts.ts[at], tuple(acts.is_of(kind)[at] for kind in KINDS))

    def together(self, n_items: int) -> sparse.csr_matrix:
        """Return (n_items, n_items) how much pairs of items were met by the same people; shards add up."""
        n_users = int(self.user.max(initial=-1)) + 1
        met = sparse.csr_matrix((np.ones(len(self.user)), (self.user, self.item)), shape=(n_users, n_items))
        met.data = np.log1p(met.data)
        return (met.T @ met).tocsr()


def item_vectors(counts: Sequence[sparse.csr_matrix], *, seed: int = 7) -> Covariates:
    """Return (n_items, d) vectors of length one, of none for items that nobody met, from the counts of all shards."""
    total = sum(counts[1:], start=counts[0]).tocoo()
    n_items = total.shape[0]
    often = np.asarray(total.sum(axis=1)).ravel()
    information = np.log(total.data * often.sum() / (often[total.row] * often[total.col]))
    positive = sparse.csr_matrix((np.maximum(information, 0), (total.row, total.col)), shape=total.shape)
    positive.eliminate_zeros()
    raw = np.zeros((n_items, N_DIMENSIONS))
    n_found = min(N_DIMENSIONS, n_items - 1)
    if n_found > 0 and positive.nnz:
        svd = TruncatedSVD(n_found, random_state=seed).fit(positive)
        raw[:, :n_found] = svd.components_.T * np.sqrt(svd.singular_values_)
    length = np.linalg.norm(raw, axis=1, keepdims=True)
    return np.where(length > 0, raw / np.where(length > 0, length, 1), 0.0).astype(np.float32)


def states(past: Past, vectors: Covariates, user: Ints, ts: Ints) -> Covariates:
    """Return (n, d) the states of users just before ``ts``: by kind the vector, and the log of how many events."""
    parts = [_of_some(past, some, vectors, user, ts) for some in past.of_kind]
    return np.concatenate(parts, axis=1).astype(np.float32)


def tastes(past: Past, vectors: Covariates, user: Ints, ts: Ints) -> Covariates:
    """Return (n, d) the vectors of everything that users did just before ``ts``; zeros where they did nothing."""
    return np.ascontiguousarray(_of_some(past, past.of_kind[-1], vectors, user, ts)[:, :-1], np.float32)


def _of_some(past: Past, some: npt.NDArray[np.bool_], vectors: Covariates, user: Ints, ts: Ints) -> Floats:
    start, end = int(past.ts.min(initial=0)), int(past.ts.max(initial=0))
    span = end - start + 2
    key = past.user[some] * span + (past.ts[some] - start)
    sums = np.vstack([np.zeros(vectors.shape[1]), vectors[past.item[some]].cumsum(axis=0, dtype=np.float64)])
    since = np.searchsorted(key, user * span)
    until = np.searchsorted(key, user * span + np.clip(ts - start, 0, span - 1))
    n = (until - since)[:, None]
    return np.concatenate([(sums[until] - sums[since]) / np.sqrt(n + _PRIOR_EVENTS), np.log1p(n)], axis=1)
