r"""By how much showing multiplies an item's chance: one ratio for every item, told from what all items do.

Of the showings of item i, O_i led to a purchase and E_i would have without the effect of showing: O_i is about Poisson
with mean theta_i E_i. Catalogs hold items that showing does nothing for, items it makes, and items it hurts, and no
bell curve has three humps. So the distribution of ratios is left free, the one under which all the counts together are
most likely, and an item's ratio is its posterior mean: two purchases where a tenth was due tell a discovery if there
are discoveries, and chance if there are none.

Left quite free that distribution collapses into a few points, and posteriors become surer than the data are. So every
step of the EM algorithm that finds it is followed by a little smoothing.

Source: Kiefer and Wolfowitz, Consistency of the maximum likelihood estimator in the presence of infinitely many
incidental parameters (Annals of Mathematical Statistics, 1956); Silverman, Jones, Wilson and Nychka, A smoothed EM
approach to indirect estimation problems (JRSS B, 1990).
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

LOG_GRID = np.linspace(-4.0, 6.0, 201)
_STEPS = 200
_SMOOTH = 0.15
"""Standard deviation of the smoothing, in logs of the ratio."""


@dataclass(frozen=True)
class Ratios:
    """Posteriors of the items' ratios.

    Attributes
    ----------
    prior : (n_grid,) the distribution over ``LOG_GRID`` that all items together tell
    posterior : (n_items, n_grid)
    """

    prior: Floats
    posterior: Floats

    @cached_property
    def mean(self) -> Floats:
        """(n_items,) posterior mean of the ratio."""
        return np.asarray(self.posterior @ np.exp(LOG_GRID), float)

    def quantiles(self, levels: Floats, item: Ints | None = None) -> Floats:
        """Return (n, n_levels) posterior quantiles of ``item`` (n,), of all items where None."""
        posterior = self.posterior if item is None else self.posterior[item]
        cumulated = posterior.cumsum(axis=1) / posterior.sum(axis=1, keepdims=True)
        place = [(cumulated < level - 1e-12).sum(axis=1) for level in levels]
        return np.exp(LOG_GRID[np.minimum(np.stack(place, axis=1), len(LOG_GRID) - 1)])


def ratios(observed: Floats, expected: Floats) -> Ratios:
    """Return the ratios of items from counts (n_items,); what was never shown has ``expected`` 0, and the prior."""
    known = expected > 0
    log_likelihood = np.where(
        known[:, None],
        observed[:, None] * LOG_GRID - expected[:, None] * np.exp(LOG_GRID),
        0.0,
    )
    likelihood = np.exp(log_likelihood - log_likelihood.max(axis=1, keepdims=True))
    width = _SMOOTH / (LOG_GRID[1] - LOG_GRID[0])
    prior = np.full(len(LOG_GRID), 1 / len(LOG_GRID))
    for _ in range(_STEPS if known.any() else 0):
        joint = likelihood[known] * prior
        prior = gaussian_filter1d((joint / joint.sum(axis=1, keepdims=True)).mean(axis=0), width, mode="nearest")
        prior = prior / prior.sum()
    joint = likelihood * prior
    return Ratios(prior, joint / joint.sum(axis=1, keepdims=True))
