"""What a person asks of the policy, and what is lacking to answer; loads nothing, so that a slip is refused at once."""

from dataclasses import dataclass
from math import inf

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
            if amount is not None and not 0 < amount < inf:
                free = "What costs next to nothing has a small cost" if option == "--cost" else "Leave it away"
                raise QuestionError.of(
                    found=f"{option} {amount:g}", needed="an amount of money above 0", do=f"Bring the true one. {free}"
                )
        if self.budget is not None and not 0 <= self.budget < inf:
            raise QuestionError.of(
                found=f"--budget {self.budget:g}", needed="an amount of money of at least 0", do="Bring the true one"
            )

    @property
    def is_wanted(self) -> bool:
        """Whether anything was asked."""
        return any(amount is not None for amount in (self.budget, self.cost, self.value))


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
