"""What sending costs and is worth, and how much may be spent: asked for or written in the config, never invented."""

from dataclasses import dataclass

import numpy as np

from whybuy.campaign.budget import Offers
from whybuy.causal.clusters import Float64
from whybuy.config import CampaignConfig, OfferConfig
from whybuy.errors import QuestionError


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a person asked of the policy; None where they said nothing.

    Attributes
    ----------
    budget : how much may be spent; cost : of sending to one person; value : of one more person with the outcome

    Raises
    ------
    QuestionError
        A cost or a value that is not above 0, or a budget below 0.
    """

    budget: float | None = None
    cost: float | None = None
    value: float | None = None

    def __post_init__(self) -> None:
        for option, amount in (("--cost", self.cost), ("--value", self.value)):
            if amount is not None and not 0 < amount < np.inf:
                free = "What costs next to nothing has a small cost" if option == "--cost" else "Leave it away"
                raise QuestionError.of(
                    found=f"{option} {amount:g}", needed="an amount of money above 0", do=f"Bring the true one. {free}"
                )
        if self.budget is not None and not 0 <= self.budget < np.inf:
            raise QuestionError.of(
                found=f"--budget {self.budget:g}", needed="an amount of money of at least 0", do="Bring the true one"
            )

    @property
    def is_wanted(self) -> bool:
        """Whether anything was asked."""
        return any(amount is not None for amount in (self.budget, self.cost, self.value))


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


def missing_terms(asked: Asked, config: CampaignConfig, campaign: str) -> str | None:
    """Return what is lacking for a plan, in words; None where all is there."""
    offer = config.offers.get(campaign, OfferConfig())
    lacking = []
    if asked.budget is None and offer.budget is None:
        lacking.append("how much may be spent (--budget N)")
    if asked.cost is None and offer.cost is None:
        lacking.append(
            f"what sending it to one person costs (--cost C, or cost in [campaign.offers.{campaign}] of whybuy.toml)"
        )
    return f"To say whom to send it to, it takes {' and '.join(lacking)}." if lacking else None


def terms_of(asked: Asked, config: CampaignConfig, campaign: str, arms: tuple[str, ...]) -> Terms:
    """Return the terms of a plan; nothing is lacking (:func:`missing_terms`).

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
