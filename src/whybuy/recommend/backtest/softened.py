"""From a ranking to a policy that explores, so that the log can speak of it.

A deterministic ranking shows ten of a thousand items, and a log seldom has just these: nothing could be said of it. So
every ranking is judged as the Plackett-Luce policy of :mod:`whybuy.recommend.policy` on the scores -log(rank): each
slot is drawn with weights 1 / rank^(1 / temperature) among the items that are left. Weights by rank make rankings
comparable whatever their scores are in, and all policies explore alike: they differ in their order only.
"""

from functools import cache

import numpy as np

from whybuy.causal.clusters import Float64
from whybuy.recommend.policy import Candidates, Policy, Shelf

TEMPERATURE = 1.0


@cache
def shown_by_rank(n_items: int, n_slots: int) -> Float64:
    """Return (n_items,) the probability that a slot of the slate, drawn at random, holds the item of each rank."""
    candidates = Candidates(
        shelf=Shelf(item_id=np.arange(n_items)),
        user_id=np.zeros(1, np.int64),
        item=np.arange(n_items)[None],
        score=-np.log(np.arange(1, n_items + 1))[None],
    )
    policy = Policy(k=n_slots, temperature=TEMPERATURE)
    return policy.inclusion(candidates).probability[0] / n_slots


def drawn_given_slate(propensity: Float64, place: Float64, length: Float64) -> Float64:
    r"""Return (n,) the probability by which rewards of slates without replacement are divided.

    With y the reward of an item times the probability that the new policy shows it, and p_s the probability of the item
    in slot s given the earlier ones, every

    .. math:: t_s = \sum_{j < s} y_j + y_s / p_s

    estimates the sum of y over all items without bias; the mean of the t_s over the slots takes y_j with the weight
    (1 / p_j + length - j) / length. That is one over what is returned, per slot.

    Source: Des Raj, Some estimators in sampling with varying probabilities without replacement (JASA, 1956), the
    ordered estimator.

    Parameters
    ----------
    propensity : (n,) of the item in its slot given the earlier slots
    place : (n,) of the item in its slate, from 1
    length : (n,) items in the slate
    """
    return 1 / (1 / propensity + length - place)
