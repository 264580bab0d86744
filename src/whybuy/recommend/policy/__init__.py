"""From scores to slates: limits, variety, fairness and exploration, with the probability of everything shown.

::

    shelf = Shelf(item_id=ids, category=categories, available=in_stock)
    candidates = Candidates(shelf=shelf, user_id=users, item=codes, score=lift, bought=bought)
    policy = Policy(k=10, temperature=0.01, limits=Limits(per_category=3), seed=7)
    slates = policy.slates(candidates, round_number=12)
    slates.to_frame()                             # user_id, slot, item_id, score, propensity: what the log needs
    policy.inclusion(candidates).to_frame()       # every candidate's probability to be shown
    policy.propensity_of(candidates, logged)      # what this policy would have done with a logged slate
"""

from whybuy.recommend.policy.diversity import Dpp, Mmr
from whybuy.recommend.policy.fairness import FairExposure
from whybuy.recommend.policy.inclusion import Inclusion
from whybuy.recommend.policy.inputs import Candidates, Shelf, count_events
from whybuy.recommend.policy.limits import LeftOut, Limits
from whybuy.recommend.policy.policy import Policy
from whybuy.recommend.policy.slates import Slates

__all__ = [
    "Shelf", "Candidates", "count_events", "Limits", "Mmr", "Dpp", "FairExposure", "Policy", "Slates", "LeftOut",
    "Inclusion",
]  # fmt: skip
