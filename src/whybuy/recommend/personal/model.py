r"""The lift of showing an item to a person.

Networks forecast P(buy) not shown, mu0, and how showing changes it for this person, each taught without the people it
is used on (``network``). What showing does to an *item* is then told apart from all that: of its showings, weighed by
one over their logged probabilities, so many led to a purchase and so many would have; the ratio theta_i has a posterior
under a prior that all items make together (``ratios``). The weights make the ratio right for everybody whom the item
could have been shown to, also where mu0 is a little wrong for those whom the logger chose; they are cut at a bound,
beyond which they add noise only.

.. math:: \tau(u, i) = \theta_i \mu_1(u, i) - \mu_0(u, i)

An interval is about this person and this item. It has in it the posterior of theta_i, how much the networks differ that
were taught by other people (a jackknife over folds), and how far the person's own chance lies from the forecast.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy import stats

from whybuy.recommend.personal.network import ItemParts, Network, Rates, rates_of, taught
from whybuy.recommend.personal.ratios import Ratios, ratios
from whybuy.recommend.personal.trials import Trials

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

N_FOLDS = 3
LEAST_PROPENSITY = 0.02
"""Weights of showings are cut at fifty."""
_LEVELS = (np.arange(20) + 0.5) / 20
"""Quantiles that stand for a distribution."""
LEVEL, Z = 0.90, 1.6448536269514722
UNSEEN = 0.3
"""Variance of a person's own chance around the forecast, as a share of the forecast squared, that products of residuals
do not see because it comes and goes: so large that intervals held 85 to 95% of the lifts of showcases, seed 1."""


@dataclass(frozen=True)
class Lifts:
    """What showing changes, (n,) each: purchases per showing with a 90% interval, and P(buy) with and without."""

    lift: Floats
    low: Floats
    high: Floats
    p_shown: Floats
    p_not_shown: Floats


@dataclass(frozen=True, eq=False)
class Forecast:
    """What every network says of trials of ``item`` (n,)."""

    item: Ints
    by_fold: tuple[Rates, ...]

    def rows(self, at: Ints) -> "Forecast":
        """Return the trials ``at`` (m,)."""
        return Forecast(self.item[at], tuple(Rates(one.not_shown[at], one.shown[at]) for one in self.by_fold))


@dataclass(frozen=True)
class LiftModel:
    """The lifts of items for people.

    Attributes
    ----------
    networks : one for every fold
    ratios : of the items
    spread : variance of a person's own chance around the forecast, as a share of the forecast squared
    n_shown : (n_items,) showings that taught it
    """

    networks: tuple[Network, ...]
    ratios: Ratios
    spread: float
    n_shown: Ints

    @classmethod
    def fit(cls, trials: Trials) -> "LiftModel":
        """Teach the model."""
        fold = trials.user % N_FOLDS
        networks = tuple(taught(trials, np.flatnonzero(fold != k)) for k in range(N_FOLDS))
        not_shown, shown = np.empty(len(trials)), np.empty(len(trials))
        for k, network in enumerate(networks):
            rows = np.flatnonzero(fold == k)
            found = rates_of(network, trials, rows)
            not_shown[rows], shown[rows] = found.not_shown, found.shown
        return cls(
            networks=networks,
            ratios=_ratios_of(trials, shown),
            spread=_spread(trials, not_shown),
            n_shown=np.bincount(trials.item[trials.shown], minlength=len(trials.features)),
        )

    def predict(self, asked: Trials) -> Lifts:
        """Return the lifts of the trials ``asked`` about, (n,) each; what became of them is not looked at."""
        return self.lifts(self.forecast(asked))

    def forecast(self, asked: Trials, parts: Sequence[ItemParts] | None = None) -> Forecast:
        """Return what the networks say of the trials ``asked`` about.

        Parameters
        ----------
        parts : what each network says of all items, where that was computed before
        """
        rows = np.arange(len(asked))
        of_items: Sequence[ItemParts | None] = [None] * len(self.networks) if parts is None else parts
        every = zip(self.networks, of_items, strict=True)
        return Forecast(asked.item, tuple(rates_of(network, asked, rows, part) for network, part in every))

    def lifts(self, found: Forecast, *, intervals: bool = True) -> Lifts:
        """Return the lifts of what was forecast, (n,) each.

        Parameters
        ----------
        intervals : whether their ends are wanted, which take longer than all the rest; NaN where not
        """
        every = found.by_fold
        rates = Rates(*(np.mean([getattr(one, name) for one in every], axis=0) for name in ("not_shown", "shown")))
        theta = self.ratios.mean[found.item]
        lift = theta * rates.shown - rates.not_shown
        low = high = np.full(len(found.item), np.nan)
        if intervals:
            by_fold = np.stack([theta * one.shown - one.not_shown for one in every])
            error = np.sqrt((N_FOLDS - 1) ** 2 / N_FOLDS * by_fold.var(axis=0, ddof=1))
            low, high = self._quantiles(rates, found.item)
            low, high = (lift + side * np.hypot(end - lift, Z * error) for side, end in ((-1, low), (1, high)))
        return Lifts(lift, low, high, np.clip(rates.not_shown + lift, 0, 1), rates.not_shown)

    @cached_property
    def own_chance(self) -> Floats:
        """(n_levels,) quantiles of a person's own chance, as a share of the forecast."""
        spread = self.spread + UNSEEN
        own = stats.gamma.ppf(_LEVELS, 1 / spread) * spread
        return np.asarray(own / own.mean(), float)

    def _quantiles(self, rates: Rates, item: Ints) -> tuple[Floats, Floats]:
        """Return (n,) quantiles of the lift over the item's ratio and the person's own chance, independent."""
        items, place = np.unique(item, return_inverse=True)
        theta = self.ratios.quantiles(_LEVELS, items)[place]
        low, high = np.empty(len(item)), np.empty(len(item))
        for first in range(0, len(item), 20_000):
            at = slice(first, first + 20_000)
            change = theta[at] * rates.shown[at, None] - rates.not_shown[at, None]
            every = (change[:, :, None] * self.own_chance).reshape(len(change), -1)
            low[at], high[at] = np.quantile(every, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=1)
        return low, high


def _ratios_of(trials: Trials, shown_rate: Floats) -> Ratios:
    """Return the items' ratios, from showings weighed by one over their probabilities.

    A weighed count is not Poisson; times E / E2, E2 being the expectation of the squared weights, its variance is its
    mean.
    """
    n_items = len(trials.features)
    rows = np.flatnonzero(trials.shown)
    item, weight = trials.item[rows], 1 / np.maximum(trials.propensity[rows], LEAST_PROPENSITY)
    expected, squares, observed = (
        np.bincount(item, x, n_items)
        for x in (weight * shown_rate[rows], weight**2 * shown_rate[rows], weight * trials.outcome[rows])
    )
    scale = expected / np.where(expected > 0, squares, 1)
    return ratios(observed * scale, expected * scale)


def _spread(trials: Trials, mu0: Floats) -> float:
    """Return the variance of a person's own chance of an item around the forecast, as a share of the forecast squared.

    Of rows not shown, which are most. Products of residuals of the same person and item at two times that lie more than
    a horizon apart; the loop is over how many rows of the pair lie between, not over users.
    """
    rows = np.flatnonzero(~trials.shown)
    n_items = len(trials.features)
    rows = rows[np.lexsort([trials.ts[rows], trials.item[rows], trials.user[rows]])]
    pair, ts = trials.user[rows] * n_items + trials.item[rows], trials.ts[rows]
    missed = trials.weight[rows] * (trials.outcome[rows] - mu0[rows])
    expected = trials.weight[rows] * mu0[rows]
    numerator = denominator = 0.0
    for lag in range(1, len(rows)):
        same = pair[lag:] == pair[:-lag]
        if not same.any():
            break
        apart = same & (ts[lag:] - ts[:-lag] > trials.horizon_ms)
        numerator += float((missed[lag:] * missed[:-lag])[apart].sum())
        denominator += float((expected[lag:] * expected[:-lag])[apart].sum())
    return max(0.0, numerator / denominator) if denominator > 0 else 0.0
