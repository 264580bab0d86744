"""Plain arrays, checked once: what cannot be estimated from is refused here, each defect with one message."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from whybuy.causal.clusters import Float64, Ints
from whybuy.causal.grounds import MIN_TREATMENT_LEFT
from whybuy.errors import ArraysError

MIN_GROUPS = 30
"""Errors by cluster are not to be trusted with fewer."""


@dataclass(frozen=True)
class Rows:
    """Checked rows.

    Attributes
    ----------
    X : (n, d) covariates; T, Y : (n,) treatment and outcome
    group : (n,) cluster, numbered from 0; names : the clusters as they were given
    fold : (n,) numbered from 0, constant within a cluster
    """

    X: Float64
    T: Float64
    Y: Float64
    group: Ints
    names: npt.NDArray[np.object_]
    fold: Ints

    @classmethod
    def of(cls, X: Any, T: Any, Y: Any, groups: Any, folds: Any) -> "Rows":
        """Return the arrays as rows.

        Raises
        ------
        ArraysError
            Arrays of unequal length or wrong shape; values that are no finite numbers; a treatment or outcome that does
            not vary; a treatment that is a linear combination of the covariates; fewer than 30 groups; groups without a
            name; folds that split a group, or fewer than two.
        """
        covariates, treatment, outcome = matrix(X), vector(T, "T"), vector(Y, "Y")
        n = len(covariates)
        require_lengths({"X": n, "T": len(treatment), "Y": len(outcome)})
        group, names = _groups(groups, n)
        for name, values in (("T", treatment), ("Y", outcome)):
            if np.ptp(values) == 0:
                raise ArraysError.of(
                    found=f"{name} is {values[0]:g} in every row",
                    needed="a treatment and an outcome that vary",
                    do="Ask about another treatment or outcome, or bring rows in which it differs",
                )
        _require_no_combination(covariates, treatment)
        return cls(covariates, treatment, outcome, group, names, folds_by_group(folds, group, names))

    @property
    def n_folds(self) -> int:
        """The number of folds."""
        return int(self.fold.max()) + 1

    @property
    def is_binary(self) -> bool:
        """Whether the treatment is 0 or 1."""
        return is_binary(self.T)

    def require_free(self, e: Float64) -> None:
        """Raise ArraysError where ``e`` (n,) out-of-fold predictions leave nothing of the treatment."""
        left = float(((self.T - e) ** 2).mean() / self.T.var())
        if left < MIN_TREATMENT_LEFT:
            raise _predicted(found=f"T is predicted out of fold with R² = {1 - left:.3f}")


def is_binary(values: Float64) -> bool:
    """Return whether there are only zeros and ones."""
    return bool(np.isin(values, (0, 1)).all())


def matrix(X: Any) -> Float64:
    """Return (n, d) finite numbers; ArraysError where X is anything else."""
    frame = X if isinstance(X, pd.DataFrame) else pd.DataFrame(np.asarray(X))
    if np.ndim(X) != 2 or frame.shape[1] == 0:
        raise ArraysError.of(
            found=f"X has the shape {np.shape(X)}", needed="(n, d) covariates", do="Reshape it, as in X.reshape(-1, 1)"
        )
    words = [str(c) for c, dtype in frame.dtypes.items() if not pd.api.types.is_numeric_dtype(dtype)]
    if words:
        raise ArraysError.of(
            found=f"X has columns that are no numbers: {', '.join(words[:5])}",
            needed="numbers",
            do="Encode them, as in pandas.get_dummies(X)",
        )
    values = frame.to_numpy(dtype=float, na_value=np.nan)
    broken = [str(c) for c, finite in zip(frame.columns, np.isfinite(values).all(axis=0), strict=True) if not finite]
    if broken:
        raise _not_finite(where=f"X, in the columns {', '.join(broken[:5])}")
    return values


def vector(values: Any, name: str) -> Float64:
    """Return (n,) finite numbers; ArraysError, which calls them ``name``, where they are none."""
    given = np.asarray(values)
    # Text that reads like numbers is text still: "0" and "1" may be codes.
    if given.dtype.kind in "USM" or any(isinstance(v, str) for v in given.ravel() if given.dtype.kind == "O"):
        raise _no_numbers(name)
    try:
        found = given.astype(float)
    except (TypeError, ValueError) as error:
        raise _no_numbers(name) from error
    if found.ndim == 2 and found.shape[1] == 1:
        found = found[:, 0]
    if found.ndim != 1:
        raise ArraysError.of(
            found=f"{name} has the shape {found.shape}", needed="one value per row", do="Ask about one column at a time"
        )
    if not np.isfinite(found).all():
        raise _not_finite(where=name)
    return found


def _no_numbers(name: str) -> ArraysError:
    return ArraysError.of(found=f"{name} holds what is no number", needed="numbers", do="Encode it")


def _not_finite(*, where: str) -> ArraysError:
    return ArraysError.of(
        found=f"NaN or infinite values in {where}",
        needed="finite numbers",
        do="Drop these rows, or fill the values and say so in a column of its own",
    )


def require_lengths(lengths: dict[str, int]) -> None:
    """Raise ArraysError where arrays, by their names, have unequal numbers of rows, or none."""
    if len(set(lengths.values())) > 1 or min(lengths.values()) == 0:
        found = ", ".join(f"{name} has {n}" for name, n in lengths.items())
        raise ArraysError.of(found=f"Rows: {found}", needed="as many rows in each, and at least one", do="Align them")


def _groups(groups: Any, n: int) -> tuple[Ints, npt.NDArray[np.object_]]:
    """Return the number of every row's group, and the groups; every row is its own where None."""
    if groups is None:
        group, names = np.arange(n), np.arange(n, dtype=object)
    else:
        given = pd.Series(np.asarray(groups))
        require_lengths({"X": n, "groups": len(given)})
        if given.isna().any():
            raise ArraysError.of(
                found=f"{int(given.isna().sum())} rows have no group", needed="a group in every row", do="Drop them"
            )
        group, found = pd.factorize(given, sort=False)
        names = np.asarray(found, object)
    if len(names) < MIN_GROUPS:
        raise ArraysError.of(
            found=f"{len(names)} groups",
            needed=f"At least {MIN_GROUPS} groups are needed: errors are by group",
            do="Bring more of them; rows of one group are no substitute",
        )
    return np.asarray(group, np.int64), names


def _require_no_combination(X: Float64, T: Float64) -> None:
    """Raise ArraysError where a line through the covariates gives the treatment."""
    A = X - X.mean(axis=0)
    scale = A.std(axis=0)
    A = A[:, scale > 0] / scale[scale > 0]
    t = T - T.mean()
    left = t - A @ np.linalg.lstsq(A, t, rcond=None)[0]
    if A.shape[1] < len(T) - 1 and float((left**2).sum()) < 1e-10 * float((t**2).sum()):
        raise _predicted(found="T is a linear combination of the columns of X")


def _predicted(*, found: str) -> ArraysError:
    return ArraysError.of(
        found=f"{found}: it is perfectly predicted, and nobody could have been treated otherwise",
        needed=f"{100 * MIN_TREATMENT_LEFT:.0f}% of its variance must be left, which is needed to compare",
        do="Leave out of X what is the treatment by another name, or follows from it",
    )


def folds_by_group(folds: Any, group: Ints, names: npt.NDArray[np.object_]) -> Ints:
    """Return the fold of every row; a number of folds is dealt by a hash of the group, whatever the order of rows."""
    if np.ndim(folds) == 0:
        k = int(folds)
        if not 2 <= k <= len(names):
            raise ArraysError.of(found=f"{k} folds", needed="from 2 to as many as there are groups", do="Use folds=5")
        hashed = pd.util.hash_array(names.astype(str).astype(object), categorize=False)
        place = np.empty(len(names), np.int64)
        place[np.argsort(hashed, kind="stable")] = np.arange(len(names))
        return (place % k)[group]
    found, values = pd.factorize(pd.Series(np.asarray(folds)), sort=True)
    require_lengths({"X": len(group), "folds": len(found)})
    first = np.full(len(names), -1)
    first[group[::-1]] = found[::-1]
    if len(values) < 2 or (found < 0).any() or (first[group] != found).any():
        raise ArraysError.of(
            found="folds with missing values, fewer than two, or with a group in two of them",
            needed="two folds or more, each group in one",
            do="Number the groups and take the remainder, or pass a number of folds",
        )
    return np.asarray(found, np.int64)
