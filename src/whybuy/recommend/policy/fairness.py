"""Exposure in proportion to merit, over rounds: sellers who got too little move up until they have had it.

The controller of Morik, Singh, Hong and Joachims (Controlling fairness and bias in dynamic learning-to-rank, SIGIR
2020): an item's score grows by strength * (the largest exposure per merit of any seller - that of its own). It looks at
past rounds only, so a slate depends on nobody else of its batch and its propensities stay exact; what is owed adds up
until it is paid.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from whybuy.errors import PolicyError
from whybuy.recommend.policy.inputs import NOBODY, Candidates, Floats

if TYPE_CHECKING:
    from whybuy.recommend.policy.slates import Slates


@dataclass(frozen=True, kw_only=True, eq=False)
class FairExposure:
    """What every seller got and deserves.

    Parameters
    ----------
    merit : (n_sellers,) positive, in the order of ``Shelf.sellers``: what exposure is to be proportional to; it is
        taken as shares
    exposure : (n_sellers,) exposure per user so far, summed over rounds; nothing at the start
    strength : score given per unit of exposure that is owed

    Raises
    ------
    PolicyError
        A merit is not positive, or the lengths differ.
    """

    merit: Floats
    exposure: Floats
    strength: float

    def __post_init__(self) -> None:
        if self.merit.shape != self.exposure.shape or not (np.isfinite(self.merit) & (self.merit > 0)).all():
            raise PolicyError.of(
                found=f"Merits of shape {self.merit.shape}, exposures of shape {self.exposure.shape}",
                needed="one positive merit and one exposure per seller",
                do="Leave sellers without merit off the shelf",
            )

    @property
    def owed(self) -> Floats:
        """(n_sellers,) exposure per unit of merit that each seller is behind the best served one."""
        served = self.exposure / (self.merit / self.merit.sum())
        return served.max() - served

    def bonus(self, candidates: Candidates) -> Floats:
        """Return (n_users, n_candidates) what is added to the scores; 0 without a seller.

        Raises
        ------
        PolicyError
            The shelf has no sellers, or other ones.
        """
        codes = candidates.shelf.seller_codes
        if codes is None or len(candidates.shelf.sellers) != len(self.merit):
            raise PolicyError.of(
                found=f"Merits of {len(self.merit)} sellers and a shelf with {len(candidates.shelf.sellers)}",
                needed="one merit per seller of the shelf",
                do="Order merits as Shelf.sellers",
            )
        owed = np.append(self.strength * self.owed, 0.0)
        return owed[candidates.of_item(codes, NOBODY).astype(np.int64)]

    def after(self, slates: "Slates") -> "FairExposure":
        """Return the state for the next round, with the exposure of these slates added."""
        return replace(self, exposure=self.exposure + slates.exposure())
