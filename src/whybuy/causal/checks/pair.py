"""The trials of one confirmed pair, and its effect among some of them.

Halves of time, seasons, doses and users left out are all the same computation: the score of the whole, summed over
fewer trials. A group that a person chooses by history alone, before the decision, is as good a study as the whole; its
number needs the same grounds, else it is null and says why.
"""

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from whybuy.causal.clusters import ratio_of_sums
from whybuy.causal.effects import Z95, two_sided
from whybuy.causal.grounds import Grounds
from whybuy.causal.residuals import Float64

Bools = npt.NDArray[np.bool_]

CHANCE = 0.01
"""A check that compares numbers fails by chance in one question of a hundred."""


@dataclass(frozen=True)
class PairData:
    """The trials of one confirmed pair.

    Attributes
    ----------
    T : (n,) treated; Y : (n,) outcome
    e, m : (n,) out-of-fold propensity and expected outcome
    user : (n,) ascending user index from 0
    """

    T: Float64
    Y: Float64
    e: Float64
    m: Float64
    user: npt.NDArray[np.int64]

    @cached_property
    def RT(self) -> Float64:
        """Residual treatment."""
        return self.T - self.e

    @cached_property
    def RY(self) -> Float64:
        """Residual outcome."""
        return self.Y - self.m

    def rows(self, keep: Bools) -> "PairData":
        """Return the trials ``keep``, users renumbered."""
        _, user = np.unique(self.user[keep], return_inverse=True)
        return PairData(self.T[keep], self.Y[keep], self.e[keep], self.m[keep], user.astype(np.int64))


@dataclass(frozen=True)
class GroupEffect:
    """The effect among some trials of a pair; null, with the reason, where they are too few.

    Attributes
    ----------
    n_treated : treated decisions of the group
    influence : (n_users,) what every user adds to the estimate's error; its squares sum to the variance
    why : why there is no number
    """

    n_treated: int
    estimate: float | None = None
    std_error: float | None = None
    influence: Float64 = field(default_factory=lambda: np.empty(0), repr=False)
    why: str = ""

    @property
    def p_value(self) -> float | None:
        """Two-sided, normal."""
        return None if self.estimate is None or self.std_error is None else two_sided(self.estimate, self.std_error)

    def contradicts(self, estimate: float) -> bool:
        """Return whether the effect here has the other sign, beyond chance."""
        p = self.p_value
        return self.estimate is not None and p is not None and p < CHANCE and self.estimate * estimate < 0

    def to_json(self) -> dict[str, Any]:
        """Return the numbers of the group, as a check holds them."""
        if self.estimate is None or self.std_error is None:
            return {"estimate": None, "ci_low": None, "ci_high": None, "n_treated": self.n_treated, "why": self.why}
        half = Z95 * self.std_error
        ends = {"ci_low": self.estimate - half, "ci_high": self.estimate + half}
        return {"estimate": self.estimate, **ends, "n_treated": self.n_treated}


def effect_among(data: PairData, rows: Bools) -> GroupEffect:
    """Return the ATO among ``rows`` (n,), see :func:`effects_by_group`."""
    return effects_by_group(data, rows.astype(np.int64), 2)[1]


def effects_by_group(data: PairData, group: npt.NDArray[np.int64], n_groups: int) -> list[GroupEffect]:
    """Return the ATO of every group of decisions, clustered by user: sum RT RY / sum RT^2 over its trials alone.

    Parameters
    ----------
    group : (n,) from 0 to ``n_groups`` - 1
    """
    n_users = int(data.user[-1]) + 1 if len(data.user) else 0
    place, shape = group * n_users + data.user, (n_groups, n_users)

    def per_user(weight: Float64) -> Float64:
        sums: Float64 = np.bincount(place, weight, minlength=n_groups * n_users).astype(float)
        return sums.reshape(shape)

    def users_with(rows: Bools) -> list[int]:
        events = np.bincount(place[rows], minlength=n_groups * n_users).reshape(shape)
        return [int(np.count_nonzero(of_group)) for of_group in events]

    N, D = per_user(data.RT * data.RY), per_user(data.RT**2)
    treated, followed = data.T > 0, data.Y > 0
    n_treated = np.bincount(group[treated], minlength=n_groups).tolist()
    counts = zip(n_treated, users_with(treated & followed), users_with(followed & ~treated), strict=True)
    return [_group_effect(N[g], D[g], counted) for g, counted in enumerate(counts)]


def _group_effect(N: Float64, D: Float64, counts: tuple[int, int, int]) -> GroupEffect:
    """Return the effect of per-user sums; ``counts``: treated decisions, users with each kind of outcome."""
    found = ratio_of_sums(N, D, n_clusters=int(np.count_nonzero(D)))
    missing = Grounds(*counts, found.effective).missing()
    if missing:
        return GroupEffect(n_treated=counts[0], why=missing[0])
    return GroupEffect(n_treated=counts[0], estimate=found.value, std_error=found.std_error, influence=found.influence)


def difference(one: GroupEffect, other: GroupEffect) -> tuple[float, float] | None:
    """Return how much two groups' effects differ and its p-value; None where one of them has no number.

    A user with trials in both groups adds to both effects, so their influences are subtracted user by user.
    """
    if one.estimate is None or other.estimate is None:
        return None
    gap = one.estimate - other.estimate
    std_error = math.sqrt(float(((one.influence - other.influence) ** 2).sum()))
    return (gap, two_sided(gap, std_error)) if std_error > 0 else None


def in_hundred(group: dict[str, Any]) -> str:
    """Return ``+1.20 in 100 [+0.80, +1.60]`` of a group's numbers."""
    return f"{100 * group['estimate']:+.2f} in 100 [{100 * group['ci_low']:+.2f}, {100 * group['ci_high']:+.2f}]"
