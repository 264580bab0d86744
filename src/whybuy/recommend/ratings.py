r"""Ratings of what people did not choose to rate, learned from what they did.

People rate what they like, so a model of the ratings at hand speaks of items that were chosen. Wanted is the rating of
every item by every user. With :math:`e_{ui}`, the chance that the user chose the item, :math:`m_{ui}`, the rating that
attributes promise, and O = 1 where there is a rating r, the answer is :math:`m + f` with

.. math:: f = \arg\min \sum_{ui} \frac{O_{ui}}{e_{ui}} (r_{ui} - m_{ui} - f_{ui})^2 + \lambda |f|^2

over factorizations f. It is doubly robust: where m is right, residuals have mean zero however they are weighed; where e
is right, the weighted sum stands for all users and items, whatever m is. Both are linear in the attributes of user and
item and their products (logistic for e, with how often other users chose the item), and nobody's choices or ratings
teach his own. Rank and penalty are chosen by ratings that were left out, with the same weights.

What it rests on: among users and items with the same attributes, liking an item is no further reason to choose it. What
remains of that is not taken away.

Rejected: the doubly robust rating :math:`m + O (r - m) / e` of every cell, factorized over all cells (the same
expectation, but a single rating of a cell that is chosen once in fifty counts fifty times its residual: far too noisy
for 24 ratings a user); boosted trees for e (who chooses what lies in products of attributes, such as men and men's
coats, whose parts by themselves say nothing, so that no first split is found).

Source: Schnabel, Swaminathan, Singh, Chandak and Joachims, Recommendations as treatments (ICML, 2016), equation 10, for
the weights; Robins, Sued, Lei-Gomez and Rotnitzky, Comment: performance of double-robust estimators when inverse
probability weights are highly variable (Statistical Science, 2007), for double robustness of a weighted regression.
"""

from dataclasses import dataclass
from itertools import product
from typing import Final

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression, RidgeCV

from whybuy.errors import ArraysError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

N_FOLDS: Final = 5
N_SWEEPS: Final = 15
CLIP: Final = 0.01  # chances of being chosen are taken as no smaller
RANKS: Final = (0, 2, 4, 8)
PENALTIES: Final = (1.0, 3.0, 10.0, 30.0)  # of factors and offsets, in ratings
_LOGISTIC: Final = {"C": 0.03, "max_iter": 200, "tol": 1e-3}
_RIDGE: Final = (10.0, 30.0, 100.0, 300.0, 1000.0)


@dataclass(frozen=True)
class Factors:
    """A factorization's capacity.

    Attributes
    ----------
    rank : of the product; 0 leaves the offsets of users and items
    penalty : lambda of :func:`factorize`, in ratings
    """

    rank: int
    penalty: float


@dataclass(frozen=True)
class DebiasedRatings:
    """Every user's rating of every item, with what it was made of, each (n_users, n_items).

    Attributes
    ----------
    rating : what the user would give the item, on the scale of the ratings
    chosen : chance that the user chose the item
    promised : rating that attributes alone promise
    factors : the capacity that left-out ratings chose
    """

    rating: Floats
    chosen: Floats
    promised: Floats
    factors: Factors


def debiased_ratings(
    rating: npt.ArrayLike, *, users: npt.ArrayLike, items: npt.ArrayLike, seed: int = 7
) -> DebiasedRatings:
    """Return what every user would rate every item, from ratings of items that users chose.

    Parameters
    ----------
    rating : (n_users, n_items), NaN where the user chose not to rate
    users : (n_users, d) attributes; items : (n_items, k) attributes
    seed : of the folds

    Raises
    ------
    ArraysError
        Attributes that do not fit the ratings or are no numbers, infinite ratings, fewer than 5 users, fewer than 50
        ratings, or no cell without one: then nothing was chosen.
    """
    R, U, Z = _checked(rating, users, items)
    chosen, promised = _nuisances(R, _crossed(U, Z), np.random.default_rng(seed).permutation(len(R)) % N_FOLDS)
    weight = np.where(np.isnan(R), 0.0, 1 / chosen)
    factors = chosen_factors(R - promised, weight, seed=seed)
    return DebiasedRatings(promised + factorize(R - promised, weight, factors), chosen, promised, factors)


def _nuisances(R: Floats, X: Floats, fold: Ints) -> tuple[Floats, Floats]:
    """Return the chance of being chosen and the promised rating, (n_users, n_items), of every user by the others."""
    rated = ~np.isnan(R)
    chosen, promised = np.empty(R.shape), np.empty(R.shape)
    for f in range(N_FOLDS):
        judged, others = fold == f, fold != f
        ratings = RidgeCV(_RIDGE).fit(X[others][rated[others]], R[others][rated[others]])
        promised[judged] = ratings.predict(X[judged].reshape(-1, X.shape[2])).reshape(judged.sum(), -1)
        popular = _log_share(rated[others])
        choices = LogisticRegression(**_LOGISTIC).fit(_with(X[others], popular), rated[others].ravel())
        chosen[judged] = choices.predict_proba(_with(X[judged], popular))[:, 1].reshape(judged.sum(), -1)
    return chosen.clip(CLIP, 1.0), promised


def _log_share(rated: Bools) -> Floats:
    """Return (n_items,) the log of the share of users who chose each, over one user more who chose as all do."""
    return np.log((rated.sum(axis=0) + rated.mean()) / (len(rated) + 1))


def _with(X: Floats, of_items: Floats) -> Floats:
    """Return (n_users * n_items, d + 1) the covariates with one more of the items."""
    column = np.broadcast_to(of_items[None, :, None], (*X.shape[:2], 1))
    return np.concatenate([X, column], axis=2).reshape(-1, X.shape[2] + 1)


def _crossed(U: Floats, Z: Floats) -> Floats:
    """Return (n_users, n_items, d + k + d k) attributes of users, of items, and their products."""
    shape = (len(U), len(Z))
    both = (U[:, None, :, None] * Z[None, :, None, :]).reshape(*shape, -1)
    return np.concatenate(
        [np.broadcast_to(U[:, None], (*shape, U.shape[1])), np.broadcast_to(Z, (*shape, Z.shape[1])), both], axis=2
    )


def chosen_factors(rating: Floats, weight: Floats, *, seed: int) -> Factors:
    """Return the rank of ``RANKS`` and penalty of ``PENALTIES`` with the least weighted error on left-out ratings.

    Parameters
    ----------
    rating, weight : (n_users, n_items), the weight 0 where there is no rating
    seed : of the division of ratings into folds
    """
    fold = np.random.default_rng(seed).integers(N_FOLDS, size=rating.shape)

    def error(factors: Factors) -> float:
        total = 0.0
        for f in range(N_FOLDS):
            left_out = np.where(fold == f, weight, 0.0)
            miss = np.nan_to_num(rating) - factorize(rating, weight - left_out, factors)
            total += float((left_out * miss**2).sum())
        return total

    return min((Factors(rank, penalty) for rank, penalty in product(RANKS, PENALTIES)), key=error)


def factorize(rating: Floats, weight: Floats, factors: Factors) -> Floats:
    r"""Return (n_users, n_items) the weighted factorization with offsets of users and items.

    Minimizes, by alternating ridge regressions, with weights scaled to a mean of 1 over ratings,

    .. math:: \sum_{ui} w_{ui} (r_{ui} - c - b_u - b_i - p_u \cdot q_i)^2 + \lambda (|b|^2 + |p|^2 + |q|^2).

    Parameters
    ----------
    rating : (n_users, n_items), read where ``weight`` is positive
    weight : (n_users, n_items), 0 where there is no rating
    """
    rated = weight > 0
    weight = weight * rated.sum() / weight.sum()
    center = float((weight[rated] * rating[rated]).sum() / weight.sum())
    target = np.where(rated, rating, center) - center
    rng = np.random.default_rng(0)  # where the search for factors starts
    user, item = (np.column_stack([rng.normal(0, 0.1, (n, factors.rank)), np.zeros(n)]) for n in rating.shape)
    for _ in range(N_SWEEPS):
        user = _ridge(target, weight, item, factors.penalty)
        item = _ridge(target.T, weight.T, user, factors.penalty)
    return center + user[:, :-1] @ item[:, :-1].T + user[:, -1:] + item[:, -1]


def _ridge(target: Floats, weight: Floats, other: Floats, penalty: float) -> Floats:
    """Return the factors of every row and, in the last column, its offset, given those of the columns."""
    Z = np.column_stack([other[:, :-1], np.ones(len(other))])
    n, d = len(target), Z.shape[1]
    gram = (weight @ (Z[:, :, None] * Z[:, None, :]).reshape(len(Z), -1)).reshape(n, d, d) + penalty * np.eye(d)
    moment = (weight * (target - other[:, -1])) @ Z
    return np.linalg.solve(gram, moment[:, :, None])[:, :, 0]


def _checked(rating: npt.ArrayLike, users: npt.ArrayLike, items: npt.ArrayLike) -> tuple[Floats, Floats, Floats]:
    R, U, Z = (np.asarray(values, np.float64) for values in (rating, users, items))
    if (
        any(a.ndim != 2 for a in (R, U, Z))
        or R.shape != (len(U), len(Z))
        or not (np.isfinite(U).all() and np.isfinite(Z).all())
    ):
        raise ArraysError.of(
            found=f"ratings of shape {R.shape}, attributes of users {U.shape} and of items {Z.shape}",
            needed="(n_users, n_items), (n_users, d) and (n_items, k), attributes without a gap",
            do="One row of attributes per user and per item; code what is missing as a column of its own",
        )
    n_rated = int(np.isfinite(R).sum())
    if np.isinf(R).any() or n_rated < 50 or n_rated == R.size or len(R) < N_FOLDS:
        raise ArraysError.of(
            found=f"{n_rated} ratings in {R.size} cells of {len(R)} users, {np.isinf(R).sum()} infinite",
            needed=f"at least 50 of at least {N_FOLDS} users, cells without one (NaN), and nothing infinite",
            do="Where everything was rated, or items were assigned at random, nothing needs to be debiased",
        )
    return R, U, Z
