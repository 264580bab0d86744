"""Several policies on one log: who would have earned more than whom, and whether that can be told."""

from collections.abc import Mapping
from itertools import combinations

import numpy as np
import numpy.typing as npt

from whybuy.errors import ArraysError, nearest
from whybuy.recommend.evaluate.estimators import DEFAULT_LIMIT, ESTIMATORS, Estimator, as_logged
from whybuy.recommend.evaluate.grounds import Overlap, missing, overlap, undecided
from whybuy.recommend.evaluate.intervals import Interval, UserSums, bootstrap
from whybuy.recommend.evaluate.log import LoggedFeedback
from whybuy.recommend.evaluate.policies import AsLogged, Policy, Target
from whybuy.recommend.evaluate.result import AS_LOGGED, PolicyComparison, PolicyDifference, PolicyValue
from whybuy.recommend.evaluate.rounds import Rounds

N_RESAMPLES = 2_000


def compare(
    log: LoggedFeedback,
    policies: Mapping[str, Policy | npt.ArrayLike],
    *,
    estimator: str | None = None,
    limit: float = DEFAULT_LIMIT,
    n_resamples: int = N_RESAMPLES,
    seed: int = 7,
) -> PolicyComparison:
    """Return what policies would have earned on the users of a log, beside what was earned.

    Parameters
    ----------
    policies : by name, an object with ``probabilities(log)``, or an array: (n,) probability of the logged action, or
        (n, n_actions[, n_slots]) of every action
    estimator : a name of :data:`ESTIMATORS`; "dr" where the log has expected rewards, else "snips", where None
    limit : largest weight that "clipped" uses as it is, and "switch" at all
    n_resamples : resamples of users that intervals come from
    seed : of the resamples

    Raises
    ------
    ArraysError
        No policy, or one named "as logged"; an unknown estimator or one that the log or a policy
        lacks a part for; probabilities that are none (see :meth:`Target.of`).

    Notes
    -----
    A policy without enough overlap gets reasons instead of a number (:mod:`whybuy.recommend.evaluate.grounds`). A
    winner must earn more than each of the others, by a 95% interval of the paired difference; of k equal policies one
    is so called in less than 5% of logs, whatever k.
    """
    name = estimator if estimator is not None else ("snips" if log.predicted is None else "dr")
    chosen = _chosen(name)
    _require(policies, limit)
    rounds, overlaps = _rounds(log, policies, chosen, limit)
    reasons = {label: missing(found, models_rewards=chosen.models_rewards) for label, found in overlaps.items()}
    told = {label: UserSums.of(log, rounds[label]) for label in rounds if not reasons[label]}
    intervals = _intervals(told, n_resamples=n_resamples, rng=np.random.default_rng(seed))
    for label in told:
        reasons[label] = _no_interval(intervals[label, None])
    decided = [overlaps[label] for label in told if not reasons[label]]
    return PolicyComparison(
        values=tuple(_value(label, intervals.get((label, None)), overlaps[label], reasons[label]) for label in rounds),
        differences=tuple(
            PolicyDifference(policy=policy, against=against, difference=interval)
            for (policy, against), interval in intervals.items()
            if against is not None and not reasons[policy] and not reasons[against] and interval.is_finite
        ),
        estimator=name,
        unit="reward per slate" if chosen.per_slate else "reward per item shown",
        assumption=chosen.assumption,
        undecided=undecided(decided, weighs=chosen.weighs),
        n_rows=log.n_rows,
        n_users=log.n_users,
    )


def _rounds(
    log: LoggedFeedback, policies: Mapping[str, Policy | npt.ArrayLike], chosen: Estimator, limit: float
) -> tuple[dict[str, Rounds], dict[str, Overlap]]:
    """Return what the rows contribute under every policy, the log's own first, and how much of the log speaks of it."""
    own = as_logged(log, per_slate=chosen.per_slate)
    rounds, overlaps = {AS_LOGGED: own}, {AS_LOGGED: overlap(Target.of(log, AsLogged()), own)}
    for label, policy in policies.items():
        target = Target.of(log, policy, name=label)
        rounds[label] = chosen.rounds(target, limit)
        overlaps[label] = overlap(target, rounds[label])
    return rounds, overlaps


def _intervals(
    told: dict[str, UserSums], *, n_resamples: int, rng: np.random.Generator
) -> dict[tuple[str, str | None], Interval]:
    """Return the interval of every value (label, None) and of every difference (label, against), all paired."""
    quantities: dict[tuple[str, str | None], UserSums] = {(label, None): sums for label, sums in told.items()}
    for against, policy in combinations(told, 2):
        quantities[policy, against] = told[policy].minus(told[against])
    found = bootstrap(list(quantities.values()), n_resamples=n_resamples, rng=rng)
    return dict(zip(quantities, found, strict=True))


def _no_interval(value: Interval) -> list[str]:
    """Return why a value has no interval, in words; empty where it has one."""
    if value.std_error == 0:
        return [f"It is {value.estimate:.4g} for every user: there is nothing that an error could be taken from."]
    if not value.is_finite:
        return ["Rewards are so rare that many resamples of users have none, and the interval has no end."]
    return []


def _value(label: str, interval: Interval | None, found: Overlap, reasons: list[str]) -> PolicyValue:
    return PolicyValue(policy=label, value=None if reasons else interval, overlap=found, reasons=tuple(reasons))


def _chosen(name: str) -> Estimator:
    if name not in ESTIMATORS:
        near = nearest(name, ESTIMATORS)
        raise ArraysError.of(
            found=f"estimator={name!r}",
            needed=f"one of {', '.join(ESTIMATORS)}",
            do=f"Use {near!r}" if near else "Use 'snips', or 'dr' with predicted rewards",
        )
    return ESTIMATORS[name]


def _require(policies: Mapping[str, Policy | npt.ArrayLike], limit: float) -> None:
    if not policies or AS_LOGGED in policies:
        raise ArraysError.of(
            found=f"A policy named {AS_LOGGED!r}" if policies else "No policy",
            needed=f"at least one, by a name of its own; {AS_LOGGED!r} is the log's own policy and always there",
            do="Pass {name: probabilities}",
        )
    if not limit > 0:
        raise ArraysError.of(found=f"limit={limit:g}", needed="a positive weight", do="Use 10, or leave it away")
