"""What sending costs and is worth, and how much may be spent: asked for or written in the config, never invented."""

from dataclasses import dataclass

import numpy as np

from whybuy.campaign.asked import Asked
from whybuy.campaign.budget import Offers
from whybuy.causal.clusters import Float64
from whybuy.config import CampaignConfig, OfferConfig
from whybuy.errors import QuestionError


@dataclass(frozen=True, kw_only=True)
class Terms:
    """All that a plan needs.

    Attributes
    ----------
    arms : names of what can be sent; costs : (K,) of sending each to one person
    budget : in the money of the costs; value : of one more person with the outcome, None where it is not said
    at_most : people who can be sent it in all; of several arms, each
    """

    arms: tuple[str, ...]
    costs: Float64
    budget: float
    value: float | None
    at_most: int | None = None

    def offers(self, scale: float = 1.0) -> Offers:
        """Return what :func:`whybuy.campaign.budget.spend` reads, for ``scale`` times as many people."""
        limits = {} if self.at_most is None else dict.fromkeys(self.arms, max(1, round(scale * self.at_most)))
        return Offers(cost=self.costs, names=self.arms, at_most=limits)


def terms_of(asked: Asked, config: CampaignConfig, campaign: str, arms: tuple[str, ...]) -> Terms:
    """Return the terms of a plan; nothing is lacking (:func:`whybuy.campaign.asked.missing_terms`).

    Raises
    ------
    QuestionError
        The config has no cost for an arm.
    """
    offer = config.offers.get(campaign, OfferConfig())
    return Terms(
        arms=arms,
        costs=_costs(asked.cost if asked.cost is not None else offer.cost, campaign, arms),
        budget=float(asked.budget if asked.budget is not None else offer.budget or 0.0),
        value=asked.value if asked.value is not None else offer.value,
        at_most=offer.at_most,
    )


def _costs(cost: float | dict[str, float] | None, campaign: str, arms: tuple[str, ...]) -> Float64:
    if not isinstance(cost, dict):
        return np.full(len(arms), float(cost or 0.0))
    lacking = [arm for arm in arms if arm not in cost]
    if lacking:
        raise QuestionError.of(
            found=f"[campaign.offers.{campaign}] has no cost for {', '.join(lacking)}",
            needed="a cost for every arm that was sent something",
            do="Add it, or write one number for all of them",
        )
    return np.array([cost[arm] for arm in arms], float)
