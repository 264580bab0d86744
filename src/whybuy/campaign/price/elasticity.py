"""The elasticity of what is bought to its price, by category: what is left of sales on what is left of the price.

With units q and log price p of category c in period t, and X what was known before the price was set::

    E[q | p, X] = exp(theta_c p + alpha_c + delta_t + h(X))

First what X says of both is taken away, h(X) from sales and E[p | X] from the price, each foretold by fits to other
folds of spells (:mod:`.nuisance`). Then what is left of sales is regressed on what is left of the price, with the
effects of category and period, in a Poisson regression. Small errors of either part are so multiplied by what has mean
0 and do not matter at first order. Season and everything else that all categories of a period have in common is in the
period's effect; these effects are fitted on all cells at once, since a period has only as many cells as there are
categories, and foretelling its effect by some of them for the others costs a fifth more error (60 worlds of six
categories: .275 against .347).

A price is set for a category and a spell: errors are by spell, corrected for what each spell adds to its own fit, with
Student's quantiles. No number is given where a category had fewer than 30 spells, where its price hardly changed, or
where it hardly ever changed apart from the calendar and from what was known before.

Source: Robinson (Econometrica, 1988); Chernozhukov et al., Double/debiased machine learning (Econometrics Journal,
2018), section 4.1; Bell and McCaffrey (Survey Methodology, 2002) for the errors (CR2); Chernozhukov, Hausman and Newey,
Demand analysis with many prices (NBER working paper 26424, 2019), for demand.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from whybuy.campaign.price.cells import PriceCells, cells_of_arrays, cells_of_log
from whybuy.campaign.price.nuisance import PoissonFit, effects_of, known_part, poisson, slopes_of
from whybuy.campaign.price.result import CategoryElasticity, PriceElasticity
from whybuy.causal.clusters import Float64, Ints
from whybuy.causal.effects import Estimate
from whybuy.config import Config
from whybuy.errors import ArraysError
from whybuy.events.log import EventLog

N_FOLDS = 10
MIN_SPELLS = 30
MIN_UNITS = 100
MIN_SPREAD = 0.01
"""Standard deviation of the log price within a category below which prices hardly change: 1%."""
MIN_LEFT = 0.05
"""Of the price's variance within its category, so much must be left by calendar and demand."""


def price_elasticity(
    units: npt.ArrayLike,
    price: npt.ArrayLike,
    category: npt.ArrayLike,
    period: npt.ArrayLike,
    X: npt.ArrayLike | None = None,
    *,
    seed: int = 7,
) -> PriceElasticity:
    """Return by how many percent what is bought changes with one percent of price, by category.

    Parameters
    ----------
    units : (n,) sold, one row per category and period; price : (n,) of the category in the period, in any constant unit
    category, period : (n,) of every row
    X : (n, d) what was known of demand before each price was set; where None, prices are taken to follow nothing but
        category and calendar, and the answer says so
    seed : of the folds

    Raises
    ------
    ArraysError
        Arrays of unequal length; prices that are not positive, units below 0; several rows of one category and period;
        a single category, whose price cannot be told from the calendar.
    """
    cells = cells_of_arrays(units, price, category, period, X)
    notes = () if X is not None else ("Nothing of demand was passed: assumed is that prices followed none.",)
    return elasticities_of(cells, notes=notes, seed=seed)


def price_elasticity_of_log(log: EventLog, config: Config, *, period: str = "7d") -> PriceElasticity:
    """Return the elasticities of the categories of a log.

    Parameters
    ----------
    period : within which a price is taken to be one, as in "7d" or "1d"

    Raises
    ------
    QuestionError
        See :func:`whybuy.campaign.price.cells.cells_of_log`.
    """
    cells, notes = cells_of_log(log, period=period)
    return elasticities_of(cells, notes=notes, seed=config.seed, period=period)


def elasticities_of(
    cells: PriceCells, *, notes: tuple[str, ...] = (), seed: int = 7, period: str = "period"
) -> PriceElasticity:
    """Return the elasticities of cells of two or more categories."""
    if len(cells.names) < 2:
        raise ArraysError.of(
            found="1 category",
            needed="two or more: what moves all of a period is told from a price by the others",
            do="Use finer categories",
        )
    left = _left(cells, seed)
    refused = {k: why for k in range(len(cells.names)) if (why := _refusal(cells, left, k)) is not None}
    told = [k for k in range(len(cells.names)) if k not in refused]
    return PriceElasticity(
        categories=tuple(_category(cells, left, k, refused.get(k)) for k in range(len(cells.names))),
        together=left.estimate(np.isin(np.arange(len(cells.names)), told)),
        period=period,
        n_cells=len(cells.units),
        n_spells=int(cells.spell.max()) + 1,
        reasons=notes,
    )


@dataclass(frozen=True)
class _Left:
    """The final regression, seen from the categories' slopes.

    Attributes
    ----------
    theta : (C,) elasticities
    price : (n, C) what is left of the price by everything else in the regression
    weight : (n,) fitted units; spell : (n,)
    influence : (n_spells, C) what every spell adds to the error
    """

    theta: Float64
    price: Float64
    weight: Float64
    spell: Ints
    influence: Float64

    def effective(self, k: int) -> float:
        """Return how many spells of equal weight carry a category's elasticity."""
        held = np.bincount(self.spell, self.weight * self.price[:, k] ** 2)
        total = float((held**2).sum())
        return float(held.sum()) ** 2 / total if total > 0 else 0.0

    def estimate(self, which: npt.NDArray[np.bool_]) -> Estimate:
        """Return the mean elasticity of ``which`` (C,), weighed by one over its variance, with Student's quantiles."""
        variance = (self.influence**2).sum(axis=0)
        which = which & (variance > 0)
        if not which.any():
            return Estimate(estimand="elasticity")
        share = np.where(which, 1 / np.where(which, variance, 1.0), 0.0)
        share = share / share.sum()
        value, error = float(share @ self.theta), float(np.sqrt(((self.influence @ share) ** 2).sum()))
        freedom = sum(map(self.effective, np.flatnonzero(which).tolist())) - 1.0
        if not (np.isfinite(value) and error > 0 and freedom >= 1):
            return Estimate(estimand="elasticity")
        reach = float(stats.t.ppf(0.975, freedom)) * error
        return Estimate(
            estimand="elasticity",
            estimate=value,
            std_error=error,
            ci_low=value - reach,
            ci_high=value + reach,
            p_value=float(2 * stats.t.sf(abs(value) / error, freedom)),
        )


def _left(cells: PriceCells, seed: int) -> _Left:
    """Return what is left of sales on what is left of prices, for all categories at once."""
    known = known_part(cells, _folds(cells.spell, seed))
    A = np.concatenate([slopes_of(cells, cells.log_price - known.log_price), effects_of(cells)], axis=1)
    fit = poisson(A, cells.units, known.log_units)
    C = len(cells.names)
    return _Left(
        fit.beta[:C],
        A @ fit.inverse[:, :C] / np.diag(fit.inverse)[:C],
        fit.mean,
        cells.spell,
        _influences(A, cells.units, fit, cells.spell) @ fit.inverse[:, :C],
    )


def _influences(A: Float64, units: Float64, fit: PoissonFit, spell: Ints) -> Float64:
    """Return (n_spells, d) scores of the spells, whose squares are right on average where spells have one variance.

    Within a spell the residuals are multiplied by (I - H)^(-1/2), H what its own units add to their fit.
    """
    root = np.sqrt(fit.mean)
    Z, residual = A * root[:, None], (units - fit.mean) / np.maximum(root, 1e-12)
    order = np.argsort(spell, kind="stable")
    found = np.empty((int(spell.max()) + 1, A.shape[1]))
    for s, rows in enumerate(np.split(order, np.cumsum(np.bincount(spell))[:-1])):
        size, axes = np.linalg.eigh(np.eye(len(rows)) - Z[rows] @ fit.inverse @ Z[rows].T)
        # A spell that decides its own fit alone has no residual to go by.
        scale = np.where(size > 1e-6, 1 / np.sqrt(np.maximum(size, 1e-6)), 0.0)
        found[s] = Z[rows].T @ (axes @ (scale * (axes.T @ residual[rows])))
    return found


def _folds(spell: Ints, seed: int) -> Ints:
    """Return (n,) folds, dealt at random by spell."""
    dealt = np.random.default_rng(seed).permutation(int(spell.max()) + 1) % N_FOLDS
    return np.asarray(dealt[spell], np.int64)


def _refusal(cells: PriceCells, left: _Left, k: int) -> str | None:
    """Return why nothing can be told of a category, or None."""
    mine = cells.category == k
    spread, spells, units = cells.log_price[mine].std(), len(np.unique(cells.spell[mine])), cells.units[mine].sum()
    if spread < MIN_SPREAD:
        return f"Its price hardly changes: by {100 * spread:.1f}% (standard deviation)."
    if spells < MIN_SPELLS:
        return f"It had {spells} prices one after another; {MIN_SPELLS} are needed."
    if units < MIN_UNITS:
        return f"{units:,.0f} units were sold; {MIN_UNITS} are needed."
    share = _share_left(cells, left, k)
    if share >= MIN_LEFT:
        return None
    return (
        f"Its price hardly ever moves apart from the calendar and from what was known before: {100 * share:.1f}% of "
        f"its variance is left, {100 * MIN_LEFT:.0f}% are needed."
    )


def _share_left(cells: PriceCells, left: _Left, k: int) -> float:
    """Return the share of a price's variance within its category that is left, both weighed by units.

    What is foretold out of fold can be worse than nothing: then all of it is left.
    """
    mine = cells.category == k
    price, weight = cells.log_price[mine], left.weight[mine]
    around = price - np.average(price, weights=weight)
    total = float(weight @ around**2)
    return min(1.0, float(left.weight @ left.price[:, k] ** 2) / total) if total > 0 else 0.0


def _category(cells: PriceCells, left: _Left, k: int, why_not: str | None) -> CategoryElasticity:
    mine = cells.category == k
    nothing = Estimate(estimand="elasticity")
    return CategoryElasticity(
        category=cells.names[k],
        elasticity=nothing if why_not else left.estimate(np.arange(len(cells.names)) == k),
        naive=_naive(cells, mine),
        n_periods=int(mine.sum()),
        n_spells=len(np.unique(cells.spell[mine])),
        effective_spells=0.0 if why_not else left.effective(k),
        units=float(cells.units[mine].sum()),
        price_spread=float(cells.log_price[mine].std()),
        share_left=_share_left(cells, left, k),
        reason=why_not,
    )


def _naive(cells: PriceCells, mine: npt.NDArray[np.bool_]) -> float | None:
    """Return what sales against prices of the category alone would say; None where prices hardly change."""
    p, q = cells.log_price[mine], cells.units[mine]
    if p.std() < MIN_SPREAD or q.sum() == 0:
        return None
    return float(poisson(np.column_stack([p, np.ones(len(p))]), q, np.zeros(len(p))).beta[0])
