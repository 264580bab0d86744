"""Whom a treatment moves: uplift by person, chosen honestly, and the curves that say what its order is worth.

``rows`` checks the arrays; ``boosters`` and ``learners`` foretell effects, ``choice`` asks which learner the log bears;
``judge`` says on other people what they are worth, by ``rate`` (doubly robust), ``curves`` and ``counts`` (counted) and
``deciles``; ``resample`` gives the errors.
"""

from whybuy.campaign.uplift.analyze import uplift
from whybuy.campaign.uplift.choice import Candidate
from whybuy.campaign.uplift.curves import UpliftCurves, uplift_curves
from whybuy.campaign.uplift.deciles import DecileEffect
from whybuy.campaign.uplift.judge import Judgment, SleepingDogs
from whybuy.campaign.uplift.rate import RankedEffects, doubly_robust_scores, ranked_effects
from whybuy.campaign.uplift.result import Uplift

__all__ = [
    "Candidate",
    "DecileEffect",
    "Judgment",
    "RankedEffects",
    "SleepingDogs",
    "Uplift",
    "UpliftCurves",
    "doubly_robust_scores",
    "ranked_effects",
    "uplift",
    "uplift_curves",
]
