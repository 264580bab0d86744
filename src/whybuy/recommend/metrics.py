"""How good rankings are: by what was taken, by what was added, and by what else they do to a shop.

Every metric is told per user, so that a mean carries an interval over users (:func:`mean_over_users`) and two rankers
are compared by the mean of their differences on the same users. Rankings are (n_users, k) item codes, best first, -1
where a slate ended early.

=====================  ==========================================================================================
hit_rate, ndcg         were the items that the user took among the first k (Järvelin and Kekäläinen, TOIS 2002;
                       gain 1 per item taken, so the ideal is min(k, items taken) hits in front)
causal_precision,      what showing adds: the mean effect among the first k, and the sum of effects over the whole
causal_dcg             ranking discounted by rank (CP@k and CDCG of Sato et al., RecSys 2020, after the uplift at k of
                       Sato et al., RecSys 2019)
novelty                mean self-information of the shown items, in bits (Zhou et al., PNAS 2010)
miscalibration         Kullback-Leibler divergence of the slate's category shares from the user's (Steck, RecSys 2018)
coverage               share of the catalog that anybody is shown; a figure of the whole, with no mean over users
=====================  ==========================================================================================
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from whybuy.errors import ArraysError, PolicyError

Floats = npt.NDArray[np.float64]
Items = npt.NDArray[np.integer]

N_RESAMPLES = 1_000
STECK_ALPHA = 0.01
"""Share of the user's own distribution mixed into the slate's, so that a missing category costs a finite amount."""

_RESAMPLED_AT_ONCE = 4_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Average:
    """The mean of a metric over users, with a bootstrap interval over users.

    Attributes
    ----------
    n_users : who have a value
    n_without : users for whom it is not defined (nothing was taken, nothing was shown), left out of the mean
    """

    metric: str
    estimate: float
    low: float
    high: float
    level: float
    n_users: int
    n_without: int

    def to_frame(self) -> pd.DataFrame:
        """Return one row."""
        return pd.DataFrame([{name: getattr(self, name) for name in self.__slots__}])

    def summary(self) -> str:
        """Return the mean in one sentence."""
        left_out = f"; {self.n_without:,} without a value" if self.n_without else ""
        return (
            f"{self.metric}: {self.estimate:.4f} [{self.low:.4f}, {self.high:.4f}] "
            f"({self.level:.0%} interval, {self.n_users:,} users{left_out})."
        )


def mean_over_users(
    values: Floats, *, metric: str, rng: np.random.Generator, level: float = 0.95, n_resamples: int = N_RESAMPLES
) -> Average:
    """Return the mean of (n_users,) ``values``, NaN ones left out and counted, with a percentile interval.

    For two rankers pass the difference of their values: users are then resampled in pairs.

    Raises
    ------
    PolicyError
        Fewer than two users have a value.
    """
    known = values[~np.isnan(values)]
    if len(known) < 2:
        raise PolicyError.of(
            found=f"{len(known)} users with a value of {metric}",
            needed="At least 2 are needed for an interval over users",
            do="Judge more users",
        )
    means = np.concatenate(list(_resampled_means(known, n_resamples, rng)))
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Average(
        metric=metric,
        estimate=float(known.mean()),
        low=float(low),
        high=float(high),
        level=level,
        n_users=len(known),
        n_without=len(values) - len(known),
    )


def hit_rate(ranked: Items, *, row: Items, taken: Items) -> Floats:
    """Return (n_users,) 1.0 where any of the user's taken items is ranked; NaN for users who took nothing.

    Parameters
    ----------
    ranked : (n_users, k) item codes
    row, taken : (n_taken,) the user's row in ``ranked`` and the item's code; repeated pairs count once
    """
    n_taken = _taken_per_user(ranked, row, taken)
    return np.where(n_taken > 0, _hits(ranked, row, taken).any(axis=1), np.nan)


def ndcg(ranked: Items, *, row: Items, taken: Items) -> Floats:
    """Return (n_users,) normalized discounted cumulative gain; NaN for users who took nothing. See :func:`hit_rate`."""
    discount = 1 / np.log2(2 + np.arange(ranked.shape[1]))
    n_taken = _taken_per_user(ranked, row, taken)
    ideal = np.concatenate([[np.nan], discount.cumsum()])[np.minimum(n_taken, ranked.shape[1])]
    return _hits(ranked, row, taken) @ discount / ideal


def causal_precision(effect: Floats) -> Floats:
    """Return (n_users,) mean effect of the ranked items: CP@k.

    Parameters
    ----------
    effect : (n_users, k) what showing the item in each place adds to the user's outcome: known in a simulation, else
        :func:`weighted_effect`; 0 in empty places, which add nothing
    """
    return effect.mean(axis=1)


def causal_dcg(effect: Floats) -> Floats:
    """Return (n_users,) sum of effects / log2(1 + rank): CDCG over the ranks given, all of the catalog in the paper.

    Parameters
    ----------
    effect : (n_users, n_ranked) as in :func:`causal_precision`
    """
    return effect @ (1 / np.log2(2 + np.arange(effect.shape[1])))


@dataclass(frozen=True)
class CausalMetrics:
    """How much a ranking's items cause, mean over users: per item of the first 10 and 100, and discounted over all."""

    cp_10: float
    cp_100: float
    cdcg: float

    def to_frame(self) -> pd.DataFrame:
        """Return one row."""
        return pd.DataFrame({"CP@10": [self.cp_10], "CP@100": [self.cp_100], "CDCG": [self.cdcg]})

    def summary(self) -> str:
        """Return one sentence."""
        return (
            f"recommending the first 10 causes {self.cp_10:.4f} purchases per item (the first 100: {self.cp_100:.4f}); "
            f"discounted by rank, all items cause {self.cdcg:.3f} per user"
        )


def causal_metrics(scores: Floats, effect: Floats) -> CausalMetrics:
    r"""Return what a ranking's items cause.

    With the effect :math:`\tau` of the item at each rank r of a user's ranking by falling score (ties by item number),
    mean over users,

    .. math:: CP@k = \frac{1}{k} \sum_{r \le k} \tau_r, \qquad CDCG = \sum_r \frac{\tau_r}{\log_2(1 + r)}.

    Parameters
    ----------
    scores, effect : (n_users, n_items); the effect may be the true one or the realized one

    Raises
    ------
    ArraysError
        The shapes differ, there are fewer than 100 items, or a score is not a number.

    Source: Unbiased learning for the causal effect of recommendation (RecSys, 2020), causal precision and CDCG.
    """
    if scores.shape != effect.shape or scores.shape[1] < 100 or np.isnan(scores).any():
        raise ArraysError.of(
            found=f"scores of shape {scores.shape} with {np.isnan(scores).sum()} that are no number, effects of shape "
            f"{effect.shape}",
            needed="a score for every user and item, and at least 100 items",
            do="Score what cannot be told lowest, on purpose",
        )
    ranked = np.take_along_axis(effect, (-scores).argsort(axis=1, kind="stable"), axis=1)
    found = causal_precision(ranked[:, :10]), causal_precision(ranked[:, :100]), causal_dcg(ranked)
    return CausalMetrics(*(float(values.mean()) for values in found))


def weighted_effect(outcome: Floats, shown: npt.NDArray[np.bool_], propensity: Floats) -> Floats:
    """Return effects of single user-item pairs that are unbiased and very noisy: Z Y / p - (1 - Z) Y / (1 - p).

    Parameters
    ----------
    outcome, shown, propensity : of one shape; the propensity is that of being shown

    Raises
    ------
    PolicyError
        A propensity is not strictly between 0 and 1: what was always or never shown has no effect to tell.

    Source: Sato et al., Unbiased learning for the causal effect of recommendation (RecSys 2020).
    """
    if not ((propensity > 0) & (propensity < 1)).all():
        raise PolicyError.of(
            found=f"Propensities from {propensity.min()} to {propensity.max()}",
            needed="propensities strictly between 0 and 1",
            do="Leave out what was always or never shown",
        )
    return np.where(shown, outcome / propensity, -outcome / (1 - propensity))


def novelty(ranked: Items, *, n_takers: Items, n_users: int) -> Floats:
    """Return (n_users,) mean of -log2(share of users who took the item) over what is shown; NaN for empty slates.

    One further user who took everything is added, so that a new item's self-information is finite.

    Parameters
    ----------
    ranked : (n_users, k) item codes
    n_takers : (n_items,) users who took each item
    n_users : in the log that was counted
    """
    bits = np.append(np.log2(n_users + 1) - np.log2(1 + n_takers), np.nan)
    return _row_means(bits[ranked])


def miscalibration(shares: Floats, shown_shares: Floats) -> Floats:
    """Return (n_users,) Kullback-Leibler divergence, in nats, of the slate from the user's shares; 0 is calibrated.

    Parameters
    ----------
    shares : (n_users, n_categories) of the user's history; a row without history is NaN and so is its value
    shown_shares : (n_users, n_categories) of the slate, of :func:`category_shares`
    """
    mixed = (1 - STECK_ALPHA) * shown_shares + STECK_ALPHA * shares
    ratio = np.divide(shares, mixed, out=np.ones_like(shares), where=shares > 0)
    return (shares * np.log(ratio)).sum(axis=1)


def category_shares(ranked: Items, *, category: Items, n_categories: int) -> Floats:
    """Return (n_users, n_categories) shares of the shown items; NaN where nothing with a category is shown.

    Parameters
    ----------
    ranked : (n_users, k) item codes; a user's history can be given in the same shape
    category : (n_items,) codes, -1 without
    """
    code = np.append(category, -1)[ranked]
    row, place = np.nonzero(code >= 0)
    cells = row * n_categories + code[row, place]
    counts = np.bincount(cells, minlength=len(ranked) * n_categories).reshape(len(ranked), n_categories).astype(float)
    total = counts.sum(axis=1, keepdims=True)
    return np.divide(counts, total, out=np.full_like(counts, np.nan), where=total > 0)


def coverage(ranked: Items, *, n_items: int) -> float:
    """Return the share of the catalog that is shown to anybody."""
    return len(np.unique(ranked[ranked >= 0])) / n_items


def _hits(ranked: Items, row: Items, taken: Items) -> npt.NDArray[np.bool_]:
    """Return (n_users, k) whether the ranked item was taken by the user."""
    width = max(int(ranked.max(initial=-1)), int(taken.max(initial=-1))) + 2
    asked = np.arange(len(ranked))[:, None] * width + ranked
    return np.isin(asked, row.astype(np.int64) * width + taken) & (ranked >= 0)


def _taken_per_user(ranked: Items, row: Items, taken: Items) -> Items:
    if len(row) and not (row.min() >= 0 and row.max() < len(ranked) and taken.min() >= 0):
        raise PolicyError.of(
            found=f"Rows from {row.min()} to {row.max()} for {len(ranked)} users, or items below 0",
            needed="the user's row in the rankings and the item's code",
            do="Keep the taken items of the ranked users only",
        )
    pairs = np.unique(np.stack([row, taken]), axis=1)
    return np.bincount(pairs[0], minlength=len(ranked))


def _row_means(values: Floats) -> Floats:
    known = ~np.isnan(values)
    total = np.where(known, values, 0.0).sum(axis=1)
    return np.divide(total, known.sum(axis=1), out=np.full(len(values), np.nan), where=known.any(axis=1))


def _resampled_means(values: Floats, n_resamples: int, rng: np.random.Generator) -> Iterator[Floats]:
    block = max(1, _RESAMPLED_AT_ONCE // len(values))
    for first in range(0, n_resamples, block):
        picks = rng.integers(0, len(values), (min(block, n_resamples - first), len(values)))
        yield values[picks].mean(axis=1)
