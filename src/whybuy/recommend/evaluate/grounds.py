"""How much of a log speaks of a policy, and the reasons for which it gets no number.

Weights average 1 wherever logged propensities are right and everything that the policy shows could have been shown, so
a mean off from 1 tells of what no interval can: wrong propensities, or actions that the log never takes.

Rare rewards on items of large weight are another thing that no interval sees before they happen. So those are counted
that are to be expected, the users' worth of a policy times the share of users with a reward, and not those that
happened; amounts that differ count as fewer of equal size. docs/experiments.md has the coverage by that number.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from whybuy.causal.clusters import Float64, clustered_ratio
from whybuy.causal.grounds import MIN_EFFECTIVE_USERS, MIN_OUTCOME_USERS
from whybuy.recommend.evaluate.log import LoggedFeedback
from whybuy.recommend.evaluate.policies import Target
from whybuy.recommend.evaluate.rounds import Rounds

MAX_UNLOGGED = 0.01
"""Of a policy's probability: what may go to an action that was never logged, to all of them where a model judges."""
MAX_CUT = 0.01
"""Of the sum of weights: where more was cut, the bias may be what decides between two policies."""
_Z = 3.290526731491896
"""99.9%: a mean weight farther from 1 is no chance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """How much of the log speaks of a policy.

    Attributes
    ----------
    effective_users : users of equal weight that carry the estimate, (sum W)^2 / sum W^2 over users
    mean_weight, mean_weight_error : average importance weight, expected to be 1, and its error by user, None where one
        user has all of it
    rewarded_users : of the effective users, how many are to be expected with a reward, all rewards of equal size
    largest_weight : the largest single one, before any clipping
    share_cut, weight_cut : share of weights that were clipped or left to the reward model, and of their sum what was
        taken away by that
    share_unlogged : share of the policy's probability that goes to actions that the log never has; None where it says
        the probability of the logged action alone
    largest_unlogged : the largest such share of a single action, and which
    """

    effective_users: float
    mean_weight: float
    mean_weight_error: float | None
    rewarded_users: float
    largest_weight: float
    share_cut: float
    weight_cut: float
    share_unlogged: float | None = None
    largest_unlogged: tuple[int, float] | None = None


def overlap(target: Target, rounds: Rounds) -> Overlap:
    """Return how much of the log speaks of a policy, with the weights of one estimator."""
    log, counts = target.log, rounds.counts.astype(float)
    W, total = log.by_user(rounds.used * counts), float((rounds.weight * counts).sum())
    square = float((W**2).sum())
    error = clustered_ratio(rounds.weight * counts, counts, log.user).std_error
    effective = float(W.sum()) ** 2 / square if square > 0 else 0.0
    found = Overlap(
        effective_users=effective,
        rewarded_users=effective * _rewarded(log),
        mean_weight=total / float(counts.sum()),
        mean_weight_error=error if math.isfinite(error) else None,
        largest_weight=float(rounds.weight.max()),
        share_cut=float((rounds.used != rounds.weight)[rounds.counts].mean()),
        weight_cut=1 - float((rounds.used * counts).sum()) / total if total > 0 else 0.0,
    )
    if target.every is None:
        return found
    unlogged = _unlogged(target, target.every)
    worst = int(unlogged.argmax())
    return replace(found, share_unlogged=float(unlogged.sum()), largest_unlogged=(worst, float(unlogged[worst])))


def _rewarded(log: LoggedFeedback) -> float:
    """Return the share of users with a reward, smaller where a few large rewards make most of the sum."""
    size = np.abs(log.reward[log.reward != 0])
    if not len(size):
        return 0.0
    alike = float(size.sum()) ** 2 / (len(size) * float((size**2).sum()))
    return alike * float((log.by_user(np.abs(log.reward)) > 0).mean())


def _unlogged(target: Target, every: Float64) -> Float64:
    """Return (n_actions,) the policy's mean probability of each action that was never logged; 0 for the others."""
    logged = np.bincount(target.log.action, minlength=every.shape[1]) > 0
    return np.where(logged, 0.0, every.mean(axis=0))


def missing(found: Overlap, *, models_rewards: bool) -> list[str]:
    """Return why the policy gets no number, in words; empty where the log speaks of it.

    A model is asked about every action, so that for it all unlogged ones count together; weights find out by their mean
    what is missing, but for a single action that chance alone may have hidden.
    """
    reasons = []
    action, share = found.largest_unlogged or (0, 0.0)
    if share > MAX_UNLOGGED:
        reasons.append(
            f"The policy gives {100 * share:.1f}% of its probability to action {action}, which was never logged."
        )
    elif models_rewards and (found.share_unlogged or 0.0) > MAX_UNLOGGED:
        reasons.append(
            f"The policy gives {100 * (found.share_unlogged or 0.0):.1f}% of its probability to actions that were "
            "never logged, of which a reward model knows nothing."
        )
    if found.effective_users < MIN_EFFECTIVE_USERS:
        reasons.append(
            f"The log holds {found.effective_users:.0f} users' worth of what the policy would do; "
            f"{MIN_EFFECTIVE_USERS:.0f} are needed."
        )
    elif found.rewarded_users < MIN_OUTCOME_USERS:
        reasons.append(
            f"The log holds {found.effective_users:,.0f} users' worth of what the policy would do, of whom "
            f"{found.rewarded_users:.0f} are expected to bring a reward (fewer where amounts differ); "
            f"{MIN_OUTCOME_USERS} are needed."
        )
    elif not reasons and abs(found.mean_weight - 1) > _Z * (found.mean_weight_error or 0.0) + MAX_UNLOGGED:
        reasons.append(
            f"Weights average {found.mean_weight:.2f} where 1 is expected: logged propensities are not those that were "
            "used, or the policy shows what could not have been logged."
        )
    return reasons


def undecided(overlaps: Iterable[Overlap], *, weighs: bool) -> str | None:
    """Return why no winner is called whatever the intervals say, in words; None where they may decide.

    Parameters
    ----------
    overlaps : of the policies that have a number
    weighs : whether logged rewards are weighted at all
    """
    if not weighs:
        return "The reward model's own error is in no interval, so that these do not decide."
    worst = max((found.weight_cut for found in overlaps), default=0.0)
    if worst > MAX_CUT:
        return f"Up to {100 * worst:.0f}% of a policy's weight was cut, and the bias of that is in no interval."
    return None
