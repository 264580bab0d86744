"""Values of policies from rows that stand alone, and every estimator by its name.

Below, w = pi(a | x) / p is how much likelier than the logging policy the new one shows the logged action, r the reward,
q(x, a) the reward that a model expects of an action, and q(x, pi) its mean over the new policy. Means are over rows.
Equations stand in the docstrings, in these letters; the papers use others.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from whybuy.causal.clusters import Float64
from whybuy.errors import ArraysError
from whybuy.recommend.evaluate.log import LoggedFeedback
from whybuy.recommend.evaluate.policies import Target
from whybuy.recommend.evaluate.rounds import Rounds
from whybuy.recommend.evaluate.slates import cascade, independent, standard

DEFAULT_LIMIT = 10.0


def ips(target: Target) -> Rounds:
    """Inverse propensity score, mean(w r): unbiased where propensities are right, noisy where weights are large.

    Source: Horvitz and Thompson (JASA, 1952); for policies Strehl, Langford, Li and Kakade, Learning from logged
    implicit exploration data (NeurIPS 2010).
    """
    w = target.weight
    return Rounds.of((w * target.log.reward, np.ones_like(w)), weight=w)


def snips(target: Target) -> Rounds:
    """Self-normalized IPS, sum(w r) / sum(w): slightly biased, bounded by the rewards, the same if rewards shift.

    Source: Swaminathan and Joachims, The self-normalized estimator for counterfactual learning (NeurIPS
    2015).
    """
    w = target.weight
    return Rounds.of((w * target.log.reward, w), weight=w)


def clipped_ips(target: Target, limit: float = DEFAULT_LIMIT) -> Rounds:
    """IPS whose weights are at most ``limit``, mean(min(w, limit) r): biased toward 0, with less noise.

    Source: Ionides, Truncated importance sampling (JCGS, 2008); Bottou et al., Counterfactual reasoning and
    learning systems (JMLR, 2013).
    """
    w = target.weight
    used = np.minimum(w, limit)
    return Rounds.of((used * target.log.reward, np.ones_like(w)), weight=w, used=used)


def direct_method(target: Target) -> Rounds:
    """Direct method, mean(q(x, pi)): no weights, and as wrong as the reward model.

    Source: Dudík, Langford and Li, Doubly robust policy evaluation and learning (ICML 2011).
    """
    under_policy, _ = _expected(target)
    return Rounds.of((under_policy, np.ones_like(under_policy)), weight=target.weight)


def doubly_robust(target: Target) -> Rounds:
    """Doubly robust, mean(q(x, pi) + w (r - q(x, a))): right where either the propensities or the model are.

    Source: Dudík, Langford and Li, Doubly robust policy evaluation and learning (ICML 2011).
    """
    under_policy, residual = _expected(target)
    w = target.weight
    return Rounds.of((under_policy + w * residual, np.ones_like(w)), weight=w)


def self_normalized_dr(target: Target) -> Rounds:
    """Self-normalized doubly robust, mean(q(x, pi)) + sum(w (r - q(x, a))) / sum(w).

    Source: Thomas and Brunskill, Data-efficient off-policy policy evaluation for reinforcement learning (ICML 2016),
    weighted doubly robust, for one step.
    """
    under_policy, residual = _expected(target)
    w = target.weight
    return Rounds.of((under_policy, np.ones_like(w)), (w * residual, w), weight=w)


def switch_dr(target: Target, limit: float = DEFAULT_LIMIT) -> Rounds:
    """Doubly robust where w is at most ``limit``, the model alone elsewhere.

    The mean of q(x, pi) + w (r - q(x, a)) over rows with w <= limit, of q(x, pi) over the others.

    Source: Wang, Agarwal and Dudík, Optimal and adaptive off-policy evaluation in contextual bandits (ICML 2017),
    in its doubly robust form.
    """
    under_policy, residual = _expected(target)
    w = target.weight
    used = np.where(w <= limit, w, 0.0)
    return Rounds.of((under_policy + used * residual, np.ones_like(w)), weight=w, used=used)


def _expected(target: Target) -> tuple[Float64, Float64]:
    """Return (n,) q(x, pi), and (n,) r - q(x, a).

    Raises
    ------
    ArraysError
        No reward model, a policy that says the probability of the logged action alone, or of other actions.
    """
    log, every = target.log, target.every
    if log.predicted is None:
        raise ArraysError.of(
            found="No expected rewards beside the log",
            needed="the expected reward of every action, for any estimator with a model in it",
            do="Pass predicted=..., from cross_fitted_rewards say, or use 'snips'",
        )
    if every is None:
        raise ArraysError.of(
            found="The policy says how likely the logged action is, and no other",
            needed="its probability of every action, for any estimator with a model in it",
            do="Pass (n, n_actions) probabilities, or use 'snips'",
        )
    if every.shape[1] != log.predicted.shape[1]:
        raise ArraysError.of(
            found=f"Rewards of {log.predicted.shape[1]} actions, and a policy over {every.shape[1]}",
            needed="the same actions in both",
            do="Align their columns",
        )
    residual = log.reward - log.predicted[np.arange(log.n_rows), log.action]
    return np.einsum("na,na->n", every, log.predicted), residual


@dataclass(frozen=True)
class Estimator:
    """An estimator by its name.

    Attributes
    ----------
    rounds : what every row contributes under a target, given the limit of weights
    assumption : what the answer rests on, in words
    models_rewards : whether a reward model has a part in it
    per_slate : whether the value is per slate; else per item shown
    weighs : whether logged rewards are weighted at all
    """

    rounds: Callable[[Target, float], Rounds]
    assumption: str
    models_rewards: bool = False
    per_slate: bool = False
    weighs: bool = True


_LOGGED = "Logged propensities are the ones that were used, and showing one item changes no other row's reward."
_MODEL = "Its interval leaves out the reward model's own error."


def _plain(rounds: Callable[[Target], Rounds]) -> Callable[[Target, float], Rounds]:
    return lambda target, _: rounds(target)


ESTIMATORS: dict[str, Estimator] = {
    "ips": Estimator(_plain(ips), _LOGGED),
    "snips": Estimator(_plain(snips), _LOGGED),
    "clipped": Estimator(clipped_ips, f"{_LOGGED} Large weights are cut, which takes from the value."),
    "dm": Estimator(_plain(direct_method), f"The reward model is right for every action. {_MODEL}", True, weighs=False),
    "dr": Estimator(_plain(doubly_robust), _LOGGED, True),
    "sndr": Estimator(_plain(self_normalized_dr), _LOGGED, True),
    "switch": Estimator(switch_dr, f"{_LOGGED} Where weights are large, the reward model is right. {_MODEL}", True),
    "standard": Estimator(_plain(standard), "Propensities are given the earlier slots; nothing else.", per_slate=True),
    "independent": Estimator(
        _plain(independent),
        "An item's reward depends on itself and its slot alone, and propensities are of the item in the slot whatever "
        "the other slots hold.",
        per_slate=True,
    ),
    "cascade": Estimator(
        _plain(cascade), "A reward depends on the item and those in earlier slots, on no later one.", per_slate=True
    ),
}
"""Every estimator by the name that it is asked for."""


def as_logged(log: LoggedFeedback, *, per_slate: bool) -> Rounds:
    """Return the log's own mean reward per item shown, or per slate."""
    mean = independent if per_slate else ips
    return mean(Target(log, log.propensity, None))
