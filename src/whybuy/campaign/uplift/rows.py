"""People, their arm and what they did afterwards, checked once: each defect is refused with one message."""

from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from whybuy.campaign.assignments import MIN_RATIO_P
from whybuy.causal.array_rows import Rows, folds_by_group, require_lengths, vector
from whybuy.causal.clusters import Float64, Ints, clustered_ratio
from whybuy.errors import ArraysError

Bools = npt.NDArray[np.bool_]

MIN_ARM_USERS = 100
"""In each arm. Half of them teach, half of them judge, in folds."""
_ARMS = ("control", "treated")
_RANDOMIZE = "Hold some people out at random next time, or pass the rows of both arms"


@dataclass(frozen=True)
class UpliftRows:
    """Checked rows.

    Attributes
    ----------
    X : (n, d) what was known before the assignment
    T, Y : (n,) 1 where treated, and the outcome
    e : (n,) known probability of being treated; None where people were not assigned at random
    user : (n,) numbered from 0 without gaps; names : (n_users,) users as they were given
    """

    X: Float64
    T: Float64
    Y: Float64
    e: Float64 | None
    user: Ints
    names: npt.NDArray[np.object_]

    @classmethod
    def of(cls, X: Any, treatment: Any, outcome: Any, propensity: Any, users: Any) -> "UpliftRows":
        """Return the arrays as rows.

        Raises
        ------
        ArraysError
            Everybody or nobody is treated; an arm of fewer than 100 users; outcomes missing in an arm; propensities
            outside (0, 1), or that the shares of the arms contradict; and the defects of
            :meth:`whybuy.causal.array_rows.Rows.of`.
        """
        T = arms(treatment)
        require_outcomes(outcome, T)
        rows = Rows.of(X, T, outcome, users, folds=2)
        _require_users(rows.T, rows.group)
        found = cls(rows.X, rows.T, rows.Y, None, rows.group, rows.names)
        return found if propensity is None else replace(found, e=_propensity(propensity, rows.T, rows.group))

    @property
    def n_users(self) -> int:
        """The number of users."""
        return len(self.names)

    @property
    def equal_chance(self) -> bool:
        """Whether all were treated with one known probability, so that raw counts compare like with like."""
        return self.e is not None and bool(np.ptp(self.e) < 1e-9)

    def keep(self, rows: Bools) -> "UpliftRows":
        """Return the rows ``rows``, users renumbered."""
        left, user = np.unique(self.user[rows], return_inverse=True)
        e = None if self.e is None else self.e[rows]
        return UpliftRows(self.X[rows], self.T[rows], self.Y[rows], e, user.astype(np.int64), self.names[left])

    def folds(self, n_folds: int) -> Ints:
        """Return (n,) folds, a user's rows in one, whatever the order of rows."""
        return folds_by_group(n_folds, self.user, self.names)


def arms(treatment: Any) -> Float64:
    """Return (n,) 1 where treated, else 0; ArraysError where it is anything else, or one arm is empty."""
    T = vector(treatment, "treatment")
    if not np.isin(T, (0, 1)).all():
        raise ArraysError.of(
            found="treatment takes values other than 0 and 1",
            needed="two arms",
            do="Ask about two arms at a time: the rows of one against those of the control arm",
        )
    if len(T) and np.ptp(T) == 0:
        who = "Everybody is treated" if T[0] > 0 else "Nobody is treated"
        raise ArraysError.of(found=f"{who}: there is one arm only", needed="two arms to compare", do=_RANDOMIZE)
    return T


def require_outcomes(outcome: Any, T: Float64) -> None:
    """Raise ArraysError where the outcome is missing for some, naming the arms: who is seen differs between them."""
    values = pd.Series(np.asarray(outcome).ravel())
    require_lengths({"treatment": len(T), "outcome": len(values)})
    missing = values.isna().to_numpy()
    if not missing.any():
        return
    parts = [
        f"{int(missing[mine].sum()):,} of {int(mine.sum()):,} {name}"
        for name, mine in (("treated", T > 0), ("controls", T < 1))
    ]
    raise ArraysError.of(
        found=f"The outcome is missing for {' and '.join(parts)}",
        needed="an outcome for everybody who was assigned",
        do="Count who did nothing as 0 if the log would have shown it; else find out why it is missing: "
        "comparing only those seen compares different people",
    )


def _require_users(T: Float64, user: Ints) -> None:
    for arm in (1, 0):
        n = len(np.unique(user[arm == T]))
        if n < MIN_ARM_USERS:
            raise ArraysError.of(
                found=f"The {_ARMS[arm]} arm has {n} {'person' if n == 1 else 'people'}",
                needed=f"at least {MIN_ARM_USERS} in each arm: half of them teach, the other half judges",
                do="Let the campaign run longer, or ask for the average effect with whybuy.estimators.interactive",
            )


def _propensity(propensity: Any, T: Float64, user: Ints) -> Float64:
    if np.ndim(propensity) == 0:
        propensity = np.full(len(T), float(propensity))
    e = vector(propensity, "propensity")
    require_lengths({"treatment": len(T), "propensity": len(e)})
    certain = (e <= 0) | (e >= 1)
    if certain.any():
        raise ArraysError.of(
            found=f"{int(certain.sum()):,} propensities are 0, 1 or beyond, the first {e[certain][0]:g}",
            needed="probabilities of being treated strictly between 0 and 1",
            do="Leave out those who could only be in one arm: nobody says what they would do in the other",
        )
    _require_ratio(T, e, user)
    return e


def _require_ratio(T: Float64, e: Float64, user: Ints) -> None:
    """Raise ArraysError where more or fewer are treated than the propensities allow (a sample-ratio mismatch)."""
    off = clustered_ratio(T - e, 1.0, user)
    if off.value == 0 or 2 * NormalDist().cdf(-abs(off.value) / off.std_error) >= MIN_RATIO_P:
        return
    raise ArraysError.of(
        found=f"{100 * T.mean():.1f}% are treated, and the propensities say {100 * e.mean():.1f}%",
        needed="a split as it was drawn: one that is off means that people were lost from an arm, or the wrong numbers",
        do="Find out who is missing, or pass the propensities that people were assigned with",
    )
