"""Half-samples of users: how far a ranking's numbers would move among other users, without a formula for each.

A statistic of half of the users, drawn without replacement, varies around the whole's as much as the whole's does
around the truth: half as many users double the variance, and that they are drawn from the same ones halves it.

Source: Yadlowsky, Fleming, Shah, Brunskill and Wager, Evaluating treatment prioritization rules via rank-weighted
average treatment effects (JASA, 2025), section 3.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from whybuy.causal.clusters import Float64, Ints

N_RESAMPLES = 400


def half_sample_errors(
    statistic: Callable[[npt.NDArray[np.bool_]], Float64],
    user: Ints,
    *,
    rng: np.random.Generator,
    n_resamples: int = N_RESAMPLES,
) -> Float64:
    """Return the (k,) standard errors of (k,) numbers that ``statistic`` finds among (n,) chosen rows.

    Parameters
    ----------
    user : (n,) user of every row, numbered from 0 without gaps: all rows of a user are chosen, or none
    """
    n_users = int(user.max()) + 1
    drawn = []
    for _ in range(n_resamples):
        chosen = np.zeros(n_users, bool)
        chosen[rng.permutation(n_users)[: n_users // 2]] = True
        drawn.append(statistic(chosen[user]))
    # With an odd number the half is a little smaller than a half: (n - m) / m is 1 at m = n / 2.
    half = n_users // 2
    return np.std(drawn, axis=0, ddof=1) * np.sqrt(half / (n_users - half))
