"""The difference between two arms, plain and sharpened by what was known before the assignment: plain arrays in.

The unit is what was assigned: a person, a region, a period. Rows of one unit are averaged first and the unit weighs
as much as it has rows, so that errors are by unit and the effect is per row. Strata and covariates enter one
regression per arm (Lin's, of which CUPED is the case of one slope for both arms); its errors are corrected for
leverage, and few units get the wider quantiles of Student's t.

Source: Lin, Agnostic notes on regression adjustments (Annals of Applied Statistics, 2013); Deng, Xu, Kohavi and
Walker, Improving the sensitivity of online controlled experiments by utilizing pre-experiment data (WSDM, 2013); for
units that are a sample of many: Negi and Wooldridge (Econometric Reviews, 2021); degrees of freedom: Welch
(Biometrika, 1947).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from whybuy.causal.clusters import Float64, Ints
from whybuy.errors import ArraysError

Bools = npt.NDArray[np.bool_]

MIN_UNITS = 15
"""Units that an arm needs at least: with two arms that makes the 30 clusters below which nothing is told."""
UNITS_PER_COLUMN = 10
"""Units of the smaller arm that every covariate and stratum needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Mean of the treated less mean of the controls, in units of the outcome."""

    estimate: float
    std_error: float
    degrees: float

    @property
    def p_value(self) -> float:
        """Two-sided, of no difference."""
        if self.std_error == 0:
            return 1.0 if self.estimate == 0 else 0.0
        return float(2 * stats.t.sf(abs(self.estimate) / self.std_error, self.degrees))

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return the interval of a level for one look at a time that was fixed beforehand."""
        half = float(stats.t.ppf(0.5 + level / 2, self.degrees)) * self.std_error
        return self.estimate - half, self.estimate + half


@dataclass(frozen=True, slots=True, kw_only=True)
class AdjustedDifference:
    """The difference of two arms.

    Attributes
    ----------
    plain : within strata where there are some, without covariates
    adjusted : with covariates; the same as ``plain`` where there are none
    mean_treated, mean_control : as they are
    n_treated, n_control : units
    """

    plain: Difference
    adjusted: Difference
    mean_treated: float
    mean_control: float
    n_treated: int
    n_control: int

    @property
    def variance_removed(self) -> float:
        """Share of the plain difference's variance that the covariates take away; below 0 where they add some."""
        return 1 - (self.adjusted.std_error / self.plain.std_error) ** 2 if self.plain.std_error > 0 else 0.0

    def to_frame(self) -> pd.DataFrame:
        """Return one row per way, numbers only."""
        rows = []
        for name, found in (("plain", self.plain), ("adjusted", self.adjusted)):
            low, high = found.interval()
            numbers = {"estimate": found.estimate, "std_error": found.std_error, "ci_low": low, "ci_high": high}
            rows.append({"difference": name, **numbers, "p_value": found.p_value})
        return pd.DataFrame(rows).assign(n_treated=self.n_treated, n_control=self.n_control)

    def summary(self) -> str:
        """Return the difference in one sentence."""
        low, high = self.adjusted.interval()
        return (
            f"Difference {self.adjusted.estimate:+.6g}, 95% interval [{low:.6g}, {high:.6g}]; {self.mean_treated:.6g} "
            f"in {self.n_treated:,} treated and {self.mean_control:.6g} in {self.n_control:,} control units. What was "
            f"known before takes away {100 * self.variance_removed:.0f}% of the variance."
        )


def adjusted_difference(
    outcome: npt.ArrayLike,
    treated: npt.ArrayLike,
    *,
    covariates: npt.ArrayLike | None = None,
    strata: npt.ArrayLike | None = None,
    clusters: npt.ArrayLike | None = None,
) -> AdjustedDifference:
    """Return the effect of a randomized treatment, with errors by what was assigned.

    Parameters
    ----------
    outcome : (n,) any numbers
    treated : (n,) 0 or 1, the same within a cluster
    covariates : (n, d) known before the assignment, the outcome's own past first
    strata : (n,) within which the arms were drawn, the same within a cluster
    clusters : (n,) what was assigned as one; every row where None

    Raises
    ------
    ArraysError
        Lengths differ, an outcome or a covariate is missing or not finite, only one arm, an arm of fewer than 15 units,
        a cluster in two arms, or fewer than ten units of the smaller arm per covariate.
    """
    y, T = _numbers(outcome, "outcome"), _binary(treated)
    Z = np.empty((len(y), 0)) if covariates is None else _numbers(covariates, "covariates")
    Z = Z[:, None] if Z.ndim == 1 else Z
    _require_lengths({"treated": T, "covariates": Z}, len(y))
    _require_present(y, T, "outcome")
    _require_present(Z, T, "covariates")
    code = None if strata is None else _codes(strata, "strata", len(y))
    weight = np.ones(len(y))
    if clusters is not None:
        y, T, Z, code, weight = _by_cluster(y, T, Z, code, _codes(clusters, "clusters", len(y)))
    require_units(T)
    columns = np.empty((len(y), 0)) if code is None else _strata_columns(code, T)
    plain = lin_difference(y, T, columns, weight)
    smaller = int(min(T.sum(), (~T).sum()))
    if Z.shape[1] and smaller < UNITS_PER_COLUMN * Z.shape[1]:
        raise ArraysError.of(
            found=f"{Z.shape[1]} covariates for {smaller} units in the smaller arm",
            needed=f"at least {UNITS_PER_COLUMN} units for each covariate",
            do="Pass fewer covariates, the outcome's own past first",
        )
    adjusted = lin_difference(y, T, np.hstack([columns, Z]), weight) if Z.shape[1] else plain
    return AdjustedDifference(
        plain=plain,
        adjusted=adjusted,
        mean_treated=float(np.average(y[T], weights=weight[T])),
        mean_control=float(np.average(y[~T], weights=weight[~T])),
        n_treated=int(T.sum()),
        n_control=int((~T).sum()),
    )


def lin_difference(y: Float64, T: Bools, Z: Float64, weight: Float64) -> Difference:
    """Return the difference of two regressions' values at the mean of (n, d) ``Z``, HC2 errors, for checked arrays."""
    centered = Z - np.average(Z, axis=0, weights=weight)
    A = np.column_stack([np.ones(len(y)), centered])
    (b1, v1, df1), (b0, v0, df0) = (_fit(A[arm], y[arm], weight[arm]) for arm in (T, ~T))
    moved = weight / weight.sum() * (centered @ (b1 - b0)[1:])
    sampling = float((moved**2).sum()) * len(y) / (len(y) - 1)
    variance = v1 + v0 + sampling
    spread = v1**2 / df1 + v0**2 / df0 + sampling**2 / (len(y) - 1)
    degrees = variance**2 / spread if spread > 0 else float(len(y) - 2)
    return Difference(estimate=float(b1[0] - b0[0]), std_error=float(np.sqrt(variance)), degrees=degrees)


def require_units(T: Bools) -> None:
    """Refuse arms that are empty or too small to compare."""
    n1, n0 = int(T.sum()), int((~T).sum())
    if min(n1, n0) == 0:
        raise ArraysError.of(
            found=f"Everybody ({n1 + n0:,} units) is {'treated' if n1 else 'a control'}",
            needed="units in two arms",
            do="Hold some out at random next time: without them nothing tells what would have happened anyway",
        )
    if min(n1, n0) < MIN_UNITS:
        raise ArraysError.of(
            found=f"One arm has {min(n1, n0)} units",
            needed=f"at least {MIN_UNITS} units in every arm",
            do="Run it on more units, or on smaller ones",
        )


def _fit(A: Float64, y: Float64, weight: Float64) -> tuple[Float64, float, float]:
    """Return coefficients, the HC2 variance of the intercept, and what is left of the units."""
    root = np.sqrt(weight)[:, None]
    B = A * root
    inverse = np.linalg.pinv(B.T @ B, hermitian=True)
    beta = inverse @ (B.T @ (y * root[:, 0]))
    leverage = np.minimum(np.einsum("ij,jk,ik->i", B, inverse, B), 1 - 1e-6)
    direction = (B @ inverse[0]) * root[:, 0]
    variance = float((direction**2 * (y - A @ beta) ** 2 / (1 - leverage)).sum())
    return beta, variance, max(1.0, len(y) - float(leverage.sum()))


def _strata_columns(code: Ints, T: Bools) -> Float64:
    """Return (n, k - 1) indicators of the strata; those with too few units in an arm are one."""
    n1, n0 = (np.bincount(code[arm], minlength=code.max() + 1) for arm in (T, ~T))
    large = np.flatnonzero(np.minimum(n1, n0) >= UNITS_PER_COLUMN)
    small = len(large) < len(n1)
    kept = large if small and _enough(~np.isin(code, large), T) else large[1:]
    return (code[:, None] == kept).astype(float)


def _enough(rows: Bools, T: Bools) -> bool:
    """Return whether the strata that are left over can be a stratum of their own; else they go with the first."""
    return min((rows & T).sum(), (rows & ~T).sum()) >= UNITS_PER_COLUMN


def _by_cluster(
    y: Float64, T: Bools, Z: Float64, code: Ints | None, cluster: Ints
) -> tuple[Float64, Bools, Float64, Ints | None, Float64]:
    """Return one row per cluster: means, and how many rows they are of."""
    means, n = cluster_means(np.column_stack([y, T, Z]), cluster)
    share = means[:, 1]
    mixed = int(((share > 0) & (share < 1)).sum())
    if mixed:
        raise ArraysError.of(
            found=f"{mixed} of {len(n)} clusters are in two arms",
            needed="one arm for all rows of a cluster",
            do="Leave these clusters out, or name the unit that was assigned",
        )
    if code is not None:
        first = np.unique(cluster, return_index=True)[1]
        if (code != code[first][cluster]).any():
            raise ArraysError.of(
                found="A cluster lies in two strata",
                needed="one stratum for all rows of a cluster",
                do="Pass the strata that the clusters were drawn in",
            )
        code = code[first]
    return means[:, 0], share > 0, means[:, 2:], code, n


def cluster_means(values: Float64, clusters: npt.ArrayLike) -> tuple[Float64, Float64]:
    """Return (n_clusters, k) means of (n, k) ``values`` by cluster, and (n_clusters,) the rows that they are of."""
    cluster = _codes(clusters, "clusters", len(values))
    n = np.bincount(cluster).astype(float)
    return np.column_stack([np.bincount(cluster, column) for column in values.T]) / n[:, None], n


def _numbers(values: npt.ArrayLike, name: str) -> Float64:
    try:
        return np.asarray(values, float)
    except (TypeError, ValueError) as error:
        raise ArraysError.of(
            found=f"{name} holds something that is no number", needed="numbers", do="Encode it first"
        ) from error


def _binary(treated: npt.ArrayLike) -> Bools:
    T = _numbers(treated, "treated")
    if T.ndim != 1 or not np.isin(T, (0.0, 1.0)).all():
        raise ArraysError.of(
            found="treated has values other than 0 and 1", needed="(n,) of 0 and 1", do="Compare two arms at a time"
        )
    return T > 0


def _codes(values: npt.ArrayLike, name: str, n: int) -> Ints:
    """Return labels numbered from 0 without gaps."""
    found = np.asarray(values)
    _require_lengths({name: found}, n)
    if pd.isna(found).any():
        raise ArraysError.of(
            found=f"{name} is missing for {int(pd.isna(found).sum())} rows",
            needed=f"a label in {name} for every row",
            do="Give the unknown a label of their own, or leave them out of both arms",
        )
    return pd.factorize(found)[0].astype(np.int64)


def _require_lengths(arrays: dict[str, npt.NDArray[np.generic]], n: int) -> None:
    for name, array in arrays.items():
        if len(array) != n:
            raise ArraysError.of(
                found=f"{n} outcomes and {len(array)} of {name}", needed="one per row", do="Pass arrays of one length"
            )


def _require_present(values: Float64, T: Bools, name: str) -> None:
    """Refuse what is missing, saying for how many of each arm: what differs by arm is a loss on the way."""
    missing = ~np.isfinite(values) if values.ndim == 1 else ~np.isfinite(values).all(axis=1)
    if missing.any():
        lost = [f"{int((missing & arm).sum())} of {int(arm.sum())}" for arm in (T, ~T)]
        raise ArraysError.of(
            found=f"{name} missing or not finite for {lost[0]} treated and {lost[1]} controls",
            needed="a value for everybody who was assigned",
            do="Find out where they were lost; leaving them out is safe only where both arms lose the same kind",
        )
