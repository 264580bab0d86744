"""The elasticity of what is bought to its price, by category: what is left of sales on what is left of the price.

With units q, log price p, what was known X, category and period effects in g and e, the elasticity theta solves::

    sum of g (p - e) (q exp(-theta p) / g - 1) = 0,    g = E[q exp(-theta p) | known],  e = E[p | known]

over the category's cells: the score of the partially log-linear model E[q | p, known] = exp(theta p) g. Small errors of
g and of e each are multiplied by what has mean 0, so they do not matter at first order; both are foretold by fits to other
folds of spells. Season and everything else that is common to all categories of a period is in the period's effect, what
the shop saw of demand in X.

A price is set for a category and a spell: errors are by spell, by the delete-one-spell jackknife where they are few,
with Student's quantiles. No number is given where a category had fewer than 30 spells, where its price hardly changed, or where
it hardly ever changed apart from the calendar and from what was known before.

Source: Chernozhukov et al., Double/debiased machine learning (Econometrics Journal, 2018), section 2; Robinson
(Econometrica, 1988); Chernozhukov, Hausman and Newey, Demand analysis with many prices (NBER 26424, 2019).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from whybuy.campaign.price.cells import PriceCells, cells_of_arrays, cells_of_log
from whybuy.campaign.price.nuisance import Expected, expected, poisson
from whybuy.campaign.price.result import CategoryElasticity, PriceElasticity
from whybuy.causal.clusters import Float64, Ints, Ratio, clustered_ratio
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
_ROUNDS, _SETTLED = 30, 1e-8


@dataclass(frozen=True)
class _Left:
    """What is left of prices: (n,) residual, and the weight of every cell."""

    price: Float64
    weight: Float64


def price_elasticity(  # noqa: PLR0913 - the columns, and the seed of the folds
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
    ArraysError
        The log has a single category.
    """
    cells, notes = cells_of_log(log, period=period)
    return elasticities_of(cells, notes=notes, seed=config.seed, period=period)


def elasticities_of(
    cells: PriceCells, *, notes: tuple[str, ...] = (), seed: int = 7, period: str = "period"
) -> PriceElasticity:
    """Return the elasticities of cells."""
    if len(cells.names) < 2:
        raise ArraysError.of(
            found=f"{len(cells.names)} category",
            needed="two or more: what moves all of a period is told from its price by the others",
            do="Use finer categories",
        )
    refused = {k: why for k in range(len(cells.names)) if (why := _too_little(cells, k)) is not None}
    found = expected(cells, _folds(cells.spell, seed))
    left = _Left(cells.log_price - found.log_price, found.units)
    refused |= {
        k: why for k in range(len(cells.names)) if k not in refused and (why := _not_apart(cells, left, k)) is not None
    }
    ratios = {k: _solved(cells, found, left, k) for k in range(len(cells.names)) if k not in refused}
    return PriceElasticity(
        categories=tuple(_category(cells, left, k, ratios.get(k), refused.get(k)) for k in range(len(cells.names))),
        together=_together(cells, found, left, {k: ratio.value for k, ratio in ratios.items()}),
        period=period,
        n_cells=len(cells.units),
        n_spells=int(cells.spell.max()) + 1,
        reasons=notes,
    )


def _folds(spell: Ints, seed: int) -> Ints:
    """Return (n,) folds, dealt at random by spell."""
    dealt = np.random.default_rng(seed).permutation(int(spell.max()) + 1) % N_FOLDS
    return np.asarray(dealt[spell], np.int64)


def _too_little(cells: PriceCells, k: int) -> str | None:
    """Return why nothing can be told of a category, by its prices and units alone."""
    mine = cells.category == k
    spells = len(np.unique(cells.spell[mine]))
    if cells.log_price[mine].std() < MIN_SPREAD:
        return f"Its price hardly changes: by {100 * cells.log_price[mine].std():.1f}% (standard deviation)."
    if spells < MIN_SPELLS:
        return f"It had {spells} prices one after another; {MIN_SPELLS} are needed."
    if cells.units[mine].sum() < MIN_UNITS:
        return f"{cells.units[mine].sum():,.0f} units were sold; {MIN_UNITS} are needed."
    return None


def _share_left(cells: PriceCells, left: _Left, k: int) -> float:
    mine = cells.category == k
    return float((left.price[mine] ** 2).mean() / cells.log_price[mine].var())


def _not_apart(cells: PriceCells, left: _Left, k: int) -> str | None:
    share = _share_left(cells, left, k)
    if share >= MIN_LEFT:
        return None
    return (
        f"Its price hardly ever moves apart from the calendar and from what was known before: {100 * share:.1f}% of its "
        f"variance is left, {100 * MIN_LEFT:.0f}% are needed."
    )


def _solved(cells: PriceCells, found: Expected, left: _Left, k: int) -> Ratio:
    """Return the elasticity of a category with its influences by spell."""
    mine = cells.category == k
    spell = np.unique(cells.spell[mine], return_inverse=True)[1]
    theta = 0.0
    for _ in range(_ROUNDS):
        N, D = _score(cells, found, left, mine, theta)
        step = float(np.clip(N.sum() / D.sum(), -1.0, 1.0))
        theta += step
        if abs(step) < _SETTLED:
            break
    N, D = _score(cells, found, left, mine, theta)
    return clustered_ratio(N + theta * D, D, spell)


def _score(
    cells: PriceCells, found: Expected, left: _Left, rows: npt.NDArray[np.bool_], theta: float | Float64
) -> tuple[Float64, Float64]:
    """Return every row's part of the score, and of its slope."""
    at_usual = cells.units[rows] * np.exp(-theta * cells.log_price[rows]) / found.units[rows]
    weight, price = left.weight[rows], left.price[rows]
    return weight * price * (at_usual - 1), weight * price**2


def _together(cells: PriceCells, found: Expected, left: _Left, theta: dict[int, float]) -> Estimate:
    """Return the mean of the categories' elasticities, weighed by what is known of each."""
    if not theta:
        return Estimate(estimand="elasticity")
    rows = np.isin(cells.category, list(theta))
    own = np.array([theta.get(k, 0.0) for k in range(len(cells.names))])[cells.category[rows]]
    N, D = _score(cells, found, left, rows, own)
    return _student(clustered_ratio(N + own * D, D, np.unique(cells.spell[rows], return_inverse=True)[1]))


def _category(
    cells: PriceCells, left: _Left, k: int, ratio: Ratio | None, why_not: str | None
) -> CategoryElasticity:
    mine = cells.category == k
    return CategoryElasticity(
        category=cells.names[k],
        elasticity=Estimate(estimand="elasticity") if ratio is None else _student(ratio),
        naive=_naive(cells, mine),
        n_periods=int(mine.sum()),
        n_spells=len(np.unique(cells.spell[mine])),
        effective_spells=0.0 if ratio is None else ratio.effective,
        units=float(cells.units[mine].sum()),
        price_spread=float(cells.log_price[mine].std()),
        share_left=_share_left(cells, left, k) if np.ptp(cells.log_price[mine]) > 0 else 0.0,
        reason=why_not,
    )


def _naive(cells: PriceCells, mine: npt.NDArray[np.bool_]) -> float | None:
    """Return what sales against prices of the category alone would say; None where prices do not change."""
    p, q = cells.log_price[mine], cells.units[mine]
    if np.ptp(p) < MIN_SPREAD or q.sum() == 0:
        return None
    return float(poisson(np.column_stack([p, np.ones(len(p))]), q)[0])


def _student(ratio: Ratio) -> Estimate:
    """Return the estimate with Student's quantiles: as many degrees of freedom as effective spells, less one."""
    value, error, freedom = ratio.value, ratio.std_error, ratio.effective - 1
    if not (np.isfinite(value) and np.isfinite(error) and error > 0 and freedom >= 1):
        return Estimate(estimand="elasticity")
    reach = float(stats.t.ppf(0.975, freedom)) * error
    p_value = float(2 * stats.t.sf(abs(value) / error, freedom))
    return Estimate(
        estimand="elasticity",
        estimate=value,
        std_error=error,
        ci_low=value - reach,
        ci_high=value + reach,
        p_value=p_value,
    )
