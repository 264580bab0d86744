"""Three kinds of campaigns in one shop, with what they do to whom.

``randomized``   a mail with a coupon for coats, sent by a coin whose chance is logged.
``targeted``     the same mail without any effect (``effect`` = 0), sent to the active and interested; only those who
                 were sent it are logged. With ``effect`` > 0 it works as the randomized one does.
``coupons``      two coupons, coats and four days later shoes, each by a coin of its own: the second comes while the
                 first still works. Purchases under a coupon are redeemed with probability ``REDEEMS``.

Sending takes place at night, in a wave of ``WAVE_DAYS``, so that what a user did before it is all known. Targeted are
people with probability::

    sigmoid(TARGETED["constant"] + TARGETED["momentum"] * log(1 + momentum) + TARGETED["interest"] * log(1 + interest:c)
            + TARGETED["club"] * (tier is club))

What a promotion of c does
    With m = momentum when it is sent, ``pull:c`` rises by::

        effect * PULL_TIER[tier] * (1 + PULL_APP * (device is app)) * 2^(-m / PULL_FADES)

    which raises the chance of buying c: it moves new and regular customers whose visits have become few, those who are
    in the shop anyway hardly. ``dread`` rises by::

        effect * DREAD_CLUB * log(1 + m) * (tier is club)

    which keeps the club's busiest members away: sleeping dogs, and the people whom a ranking by P(buy) puts first.
"""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from scipy.special import expit

from whybuy.worlds.chain import Bools, Float64
from whybuy.worlds.promotions.equations import CATEGORIES, DREAD, INTEREST, MOMENTUM, PULL, TIERS, Known, People

Kind = Literal["randomized", "targeted", "coupons"]

HORIZON_DAYS: Final = 7
DAYS: Final = 44
WAVE_DAYS: Final = 0.08
REDEEMS: Final = 0.85
COUPON_OFF: Final = 0.15
COUPON_DAYS: Final = 10.0

PULL_TIER: Final = (4.0, 3.0, 0.0)
PULL_APP, PULL_FADES = 1.0, 1.6
DREAD_CLUB = 0.45
TARGETED: Final = {"constant": -2.6, "momentum": 1.1, "interest": 0.6, "club": 0.5}


@dataclass(frozen=True, kw_only=True)
class Promotion:
    """One promotion.

    Attributes
    ----------
    name : its campaign id; category : what it promotes, by number
    day : in whose night it is sent
    effect : strength; 0 does nothing
    share : chance of being sent it, for everybody; None where the active and interested are picked
    coupon : whether purchases are redeemed
    """

    name: str
    category: int
    day: int
    effect: float = 1.0
    share: float | None = 0.5
    coupon: bool = False

    def chance(self, known: Known, people: People) -> Float64:
        """Return (n,) probabilities of being sent it, from the states when it is sent."""
        if self.share is not None:
            return np.full(len(people), self.share)
        momentum, interest = known.S[:, MOMENTUM], known.S[:, INTEREST][:, self.category]
        log_odds = TARGETED["constant"] + TARGETED["momentum"] * np.log1p(momentum)
        log_odds += TARGETED["interest"] * np.log1p(interest) + TARGETED["club"] * (people.tier == TIERS.index("club"))
        return np.asarray(expit(log_odds), float)

    def sent_to(self, known: Known, people: People, sent: Bools) -> Known:
        """Return the states right after it was sent to ``sent`` (n,)."""
        S, m = known.S.copy(), known.S[:, MOMENTUM]
        strength = np.array(PULL_TIER)[people.tier] * (1 + PULL_APP * people.device) * 2 ** (-m / PULL_FADES)
        S[:, PULL.start + self.category] += sent * self.effect * strength
        S[:, DREAD] += sent * self.effect * DREAD_CLUB * np.log1p(m) * (people.tier == TIERS.index("club"))
        return Known(S, known.at)


def promotions_of(kind: Kind, *, effect: float | None = None) -> tuple[Promotion, ...]:
    """Return the promotions of a kind; ``effect`` is 1, or 0 for the targeted one, where None."""
    if kind == "targeted":
        return (Promotion(name="letter", category=0, day=30, effect=effect or 0.0, share=None),)
    strength = 1.0 if effect is None else effect
    if kind == "randomized":
        return (Promotion(name="letter", category=0, day=30, effect=strength),)
    return tuple(
        Promotion(name=f"coupon-{CATEGORIES[k]}", category=k, day=day, effect=strength, coupon=True)
        for k, day in ((0, 28), (1, 32))
    )
