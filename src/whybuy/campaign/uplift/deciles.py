"""Effects by tenth of a ranking: what a marketer asks first, and what a ranking that is only lucky does not survive."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from whybuy.causal.clusters import Float64, Ints, clustered_ratio, influence_error
from whybuy.causal.effects import Estimate

N_GROUPS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class DecileEffect:
    """The effect in one tenth of the people, ranked by what a ranking says.

    Attributes
    ----------
    decile : from 1, the highest
    foretold : mean of what the ranking says of them, in its own unit
    effect : outcome per person, with its interval by user; None where an arm has nobody
    """

    decile: int
    n_rows: int
    n_treated: int
    n_users: int
    foretold: float
    effect: Estimate


def decile_effects(
    priority: Float64, T: Float64, user: Ints, effect_of: Callable[[Ints], Estimate], *, n_groups: int = N_GROUPS
) -> tuple[DecileEffect, ...]:
    """Return the effect in every tenth of the ranking, the highest first; of equal priorities earlier rows come first.

    Parameters
    ----------
    priority, T, user : (n,) the ranking, the arm and the user of every row
    effect_of : from positions of rows to their effect
    """
    parts = np.array_split(np.argsort(-priority, kind="stable"), n_groups)
    return tuple(
        DecileEffect(
            decile=i + 1,
            n_rows=len(rows),
            n_treated=int(T[rows].sum()),
            n_users=len(np.unique(user[rows])),
            foretold=float(priority[rows].mean()),
            effect=effect_of(rows),
        )
        for i, rows in enumerate(parts)
        if len(rows)
    )


def deciles_frame(deciles: tuple[DecileEffect, ...]) -> pd.DataFrame:
    """Return one row per tenth, numbers only."""
    return pd.DataFrame(
        [
            {
                "decile": d.decile,
                "n_rows": d.n_rows,
                "n_treated": d.n_treated,
                "n_users": d.n_users,
                "foretold": d.foretold,
                "effect": d.effect.estimate,
                "std_error": d.effect.std_error,
                "ci_low": d.effect.ci_low,
                "ci_high": d.effect.ci_high,
            }
            for d in deciles
        ]
    )


def mean_score(scores: Float64, user: Ints, rows: npt.NDArray[np.generic]) -> Estimate:
    """Return the mean effect of ``rows``, as positions or a mask, by their doubly robust scores, clustered by user."""
    if len(scores[rows]) == 0:
        return Estimate(estimand="ate")
    _, mine = np.unique(user[rows], return_inverse=True)
    found = clustered_ratio(scores[rows], 1.0, mine)
    return Estimate.of("ate", found.value, found.std_error)


def difference_of_means(T: Float64, Y: Float64, user: Ints) -> Estimate:
    """Return the mean outcome of the treated less that of the others, clustered by user."""
    n1, n0 = T.sum(), (1 - T).sum()
    if not (n1 and n0):
        return Estimate(estimand="ate")
    mean1, mean0 = T @ Y / n1, (1 - T) @ Y / n0
    _, mine = np.unique(user, return_inverse=True)
    influence = np.bincount(mine, T * (Y - mean1) / n1 - (1 - T) * (Y - mean0) / n0).astype(float)
    return Estimate.of("ate", float(mean1 - mean0), influence_error(influence) if len(influence) > 1 else float("nan"))
