r"""The lift of showing an item to a person, by doubly robust scores of opportunities.

Two learners forecast the outcome of the shown, mu1, and of the not shown, mu0, from what was known before; users who
are judged taught neither. What they missed shows in the scores

.. math:: r = \frac{T}{e} (Y - \mu_1) - \frac{1 - T}{1 - \hat e} (Y - \mu_0)

whose mean is the error of mu1 - mu0 wherever either the forecasts or the probabilities are right: e is the logger's own
number, the estimated one weighs the control arm alone, near one. So the lift is

.. math:: \tau(x, i) = c \, (\mu_1 - \mu_0)(x) + a_i

with c and a_i fitted to the scores: an effect of every item drawn to zero by how noisy it is. What is left is measured
as well: the products of two scores of the same user and item, a horizon apart, have as their mean the variance of the
error that remains, and so the interval is one for this user and item, not for a group.

Source: Kennedy, Towards optimal doubly robust estimation of heterogeneous causal effects (Electronic Journal of
Statistics, 2023); Morris, Parametric empirical Bayes inference (JASA, 1983).
"""

from dataclasses import dataclass, replace

import lightgbm as lgb
import numpy as np
import numpy.typing as npt

from whybuy.causal.learners import fixed_parameters
from whybuy.recommend.shrink import between_variance

Floats = npt.NDArray[np.float64]
Covariates = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

N_FOLDS = 3
_ROUNDS = 80
_TREES = {
    "objective": "poisson",
    "learning_rate": 0.08,
    "num_leaves": 6,
    "min_data_in_leaf": 1000,
    "feature_fraction": 0.5,
    "lambda_l2": 10.0,
    "max_bin": 63,
}
"""Purchases are rare: small trees on the log of the rate, far from certain anywhere."""
_LEAST, _MOST = np.log(1e-6), np.log(0.9)


@dataclass(frozen=True)
class Trials:
    """Opportunities with covariates, one row each.

    Attributes
    ----------
    X : (n, d) what was known before; NaN where nothing is
    item, user, fold : (n,) numbers; folds are constant within a user
    ts : (n,) milliseconds
    shown, outcome : (n,)
    propensity : (n,) the mean over the slate's slots of the probability of the item in its slot; NaN where not shown
    weight : (n,) how many opportunities the row stands for
    n_items : of the catalog
    horizon_ms : of the outcome
    """

    X: Covariates
    item: Ints
    user: Ints
    fold: Ints
    ts: Ints
    shown: Bools
    outcome: Bools
    propensity: Floats
    weight: Floats
    n_items: int
    horizon_ms: int

    def rows(self, keep: Bools) -> "Trials":
        """Return the trials ``keep`` (n,)."""
        names = ("X", "item", "user", "fold", "ts", "shown", "outcome", "propensity", "weight")
        return replace(self, **{name: getattr(self, name)[keep] for name in names})


@dataclass(frozen=True)
class Lifts:
    """What showing changes, (n,) each: purchases per showing, its standard error, and P(buy) with and without."""

    lift: Floats
    std_error: Floats
    p_shown: Floats
    p_not_shown: Floats


@dataclass(frozen=True)
class Arm:
    """The forecast of one arm: every item's own rate, and trees on top of it; one booster for each fold.

    Attributes
    ----------
    rates : (n_folds, n_items) log of the items' rates among the rows that taught the booster
    """

    boosters: tuple[lgb.Booster, ...]
    rates: Floats

    @classmethod
    def taught(cls, trials: Trials, arm: Bools) -> "Arm":
        """Teach a booster for every fold, on the rows ``arm`` of all other folds."""
        boosters, rates = [], []
        for k in range(N_FOLDS):
            rows = np.flatnonzero(arm & (trials.fold != k))
            # A row's own outcome must not be in the rate that it starts from: that comes from yet another fold.
            own, inner = np.empty(len(rows)), trials.fold[rows]
            for j in np.unique(inner):
                own[inner == j] = item_rates(trials, rows[inner != j])[trials.item[rows[inner == j]]]
            # A row informs like one, however many it stands for.
            weight = trials.weight[rows] / trials.weight[rows].mean()
            X, y = _with_rate(trials.X[rows], own), trials.outcome[rows].astype(float)
            bins = lgb.Dataset(X, y, weight=weight, init_score=own)
            boosters.append(lgb.train({**fixed_parameters(threads=1, seed=7), **_TREES}, bins, _ROUNDS))
            rates.append(item_rates(trials, rows))
        return cls(tuple(boosters), np.stack(rates))

    def of_fold(self, k: int, X: Covariates, item: Ints) -> Floats:
        """Return (n,) probabilities by the booster that fold ``k`` did not teach."""
        rate = self.rates[k][item]
        raw = rate + np.asarray(self.boosters[k].predict(_with_rate(X, rate), raw_score=True), float)
        return np.exp(np.clip(raw, _LEAST, _MOST))

    def out_of_fold(self, trials: Trials) -> Floats:
        """Return (n,) probabilities, each row by the booster that did not see its user."""
        found = np.empty(len(trials.item))
        for k in range(N_FOLDS):
            rows = trials.fold == k
            found[rows] = self.of_fold(k, trials.X[rows], trials.item[rows])
        return found

    def predict(self, X: Covariates, item: Ints) -> Floats:
        """Return (n,) probabilities by all boosters together."""
        return np.mean([self.of_fold(k, X, item) for k in range(N_FOLDS)], axis=0)


def _with_rate(X: Covariates, rate: Floats) -> Covariates:
    return np.concatenate([X, rate[:, None].astype(np.float32)], axis=1)


def item_rates(trials: Trials, rows: Ints) -> Floats:
    """Return (n_items,) log of the outcome's rate among ``rows``, each item's drawn to that of all.

    By how much is told by how much rates differ beyond chance: a gamma distribution of rates fitted by its moments
    (Clayton and Kaldor, Biometrics, 1987, empirical Bayes estimates of relative risks).
    """
    item, y = trials.item[rows], trials.outcome[rows].astype(float)
    weight = trials.weight[rows] / trials.weight[rows].mean()
    n, bought = np.bincount(item, weight, trials.n_items), np.bincount(item, weight * y, trials.n_items)
    mean = (bought.sum() + 0.5) / (n.sum() + 1)
    rate = bought / np.where(n > 0, n, 1)
    beyond = np.average((rate - mean) ** 2, weights=n) - mean * (n > 0).sum() / n.sum()
    shape = mean**2 / max(beyond, 1e-4 * mean**2)
    return np.asarray(np.log((bought + shape) / (n + shape / mean)), float)


@dataclass(frozen=True)
class LiftModel:
    """The lifts of items for people.

    Attributes
    ----------
    shown, not_shown : forecasts of the two arms
    slope : of the difference of forecasts in the scores, and its standard error
    item_effect, item_error : (n_items,) what the difference misses for an item, and its posterior standard deviation
    unexplained : remaining variance of the lift, as a share of P(buy | shown)^2
    n_shown : (n_items,) showings that taught it
    """

    shown: Arm
    not_shown: Arm
    slope: float
    slope_error: float
    item_effect: Floats
    item_error: Floats
    unexplained: float
    n_shown: Ints

    @classmethod
    def fit(cls, trials: Trials) -> "LiftModel":
        """Teach the model."""
        shown, not_shown = Arm.taught(trials, trials.shown), Arm.taught(trials, ~trials.shown)
        mu1, mu0 = shown.out_of_fold(trials), not_shown.out_of_fold(trials)
        e = _chance_of_showing(trials)
        missed = scores(trials, mu1, mu0, e)
        # The scores are as noisy as 1 / e: weighing by the chance of being shown evens that out.
        h = trials.weight * e
        slope, slope_error = _slope(missed, mu1 - mu0, h, trials.user)
        left = missed - (slope - 1) * (mu1 - mu0)
        effect, error = _item_effects(left, h, trials)
        unexplained = _unexplained(left - effect[trials.item], mu1, h, trials)
        n_shown = np.bincount(trials.item[trials.shown], minlength=trials.n_items)
        return cls(shown, not_shown, slope, slope_error, effect, error, unexplained, n_shown)

    def predict(self, X: Covariates, item: Ints) -> Lifts:
        """Return the lift of showing ``item`` (n,) to people with covariates ``X`` (n, d)."""
        p1, p0 = self.shown.predict(X, item), self.not_shown.predict(X, item)
        of_model = (self.slope_error * (p1 - p0)) ** 2 + self.item_error[item] ** 2
        variance = of_model + self.unexplained * np.maximum(p1, p0) ** 2
        lift = self.slope * (p1 - p0) + self.item_effect[item]
        return Lifts(lift, np.sqrt(variance), np.clip(p0 + lift, 0, 1), p0)


def scores(trials: Trials, mu1: Floats, mu0: Floats, e: Floats) -> Floats:
    """Return (n,) what the forecasts missed of the lift, doubly robust."""
    y = trials.outcome.astype(float)
    logged = np.where(trials.shown, trials.propensity, 1.0)
    return np.where(trials.shown, (y - mu1) / logged, -(y - mu0) / (1 - e))


def _chance_of_showing(trials: Trials) -> Floats:
    """Return (n,) the estimated chance that a slate holds the item, out of fold."""
    showing = replace(trials, outcome=trials.shown)
    # Trees are taught on rows as they stand, where the shown are many: what was drawn is put right by its odds.
    raw = Arm.taught(replace(showing, weight=np.ones(len(trials.item))), np.ones(len(trials.item), bool))
    p = np.minimum(raw.out_of_fold(showing), 0.9)
    odds = p / (1 - p) / trials.weight[~trials.shown].mean()
    return np.asarray(odds / (1 + odds), float)


def _slope(missed: Floats, b: Floats, h: Floats, user: Ints) -> tuple[float, float]:
    """Return by what the difference of forecasts is to be multiplied, and its error, clustered by user."""
    N, D = np.bincount(user, h * b * missed), np.bincount(user, h * b * b)
    beyond = N.sum() / D.sum()
    return 1 + float(beyond), float(np.sqrt(((N - beyond * D) ** 2).sum()) / D.sum())


def _item_effects(left: Floats, h: Floats, trials: Trials) -> tuple[Floats, Floats]:
    """Return (n_items,) the items' own effects, drawn to zero, and their posterior standard deviations."""
    item, n = trials.item, trials.n_items
    H = np.bincount(item, h, n)
    seen = H > 0
    mean = np.bincount(item, h * left, n) / np.where(seen, H, 1)
    pair, where = np.unique(trials.user * n + item, return_inverse=True)
    by_pair = np.bincount(where, h * (left - mean[item]))
    variance = np.bincount(pair % n, by_pair**2, n) / np.where(seen, H, 1) ** 2
    # An item that nobody bought looks certain: none is surer than all items together are at its weight.
    floor = (variance[seen] * H[seen]).mean() / np.where(seen, H, 1)
    variance = np.maximum(variance, floor / 2)
    between = between_variance(mean[seen], variance[seen], np.zeros(int(seen.sum()), np.int64))
    own = np.where(seen, between / (variance + between), 0.0) if between > 0 else np.zeros(n)
    error = np.where(seen, np.sqrt(own * variance), np.sqrt(between))
    return own * mean, error


def _unexplained(left: Floats, mu1: Floats, h: Floats, trials: Trials) -> float:
    """Return the remaining variance of the lift, as a share of P(buy | shown)^2; at least zero.

    Scores of one user and item that lie a horizon apart share no purchase, so their product has the product of what
    both missed as its mean. Products of all pairs of times are sums over the pair, less those that lie too near.
    """
    order = np.lexsort([trials.ts, trials.item, trials.user])
    pair = (trials.user * trials.n_items + trials.item)[order]
    ts, a, b = trials.ts[order], (h * left)[order], (h * mu1)[order]
    numerator = denominator = 0.0
    # Within a pair the k-th next trial, for k = 1, 2, ...: pairs are short, so the loop is over lags, not over users.
    for lag in range(1, int(np.bincount(np.unique(pair, return_inverse=True)[1]).max(initial=1))):
        together = (pair[lag:] == pair[:-lag]) & (ts[lag:] - ts[:-lag] > trials.horizon_ms)
        if not (pair[lag:] == pair[:-lag]).any():
            break
        numerator += float((a[lag:] * a[:-lag])[together].sum())
        denominator += float((b[lag:] * b[:-lag])[together].sum())
    return max(0.0, numerator / denominator) if denominator > 0 else 0.0
