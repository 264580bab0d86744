"""Random judges Thompson sampling and the other way round, on the Open Bandit sample, beside obp on the same arrays.

    .venv/bin/python benchmarks/off_policy.py --json

Each of two policies showed 10,000 items in two campaigns. What one of them earned is estimated from the log of the
other and compared with what it did earn: ``directions`` holds the interval of (off-policy - on-policy), the noise of
both in it, for every estimator, or why there is none. ``agree`` is the largest difference between our values and obp's
in standard errors. Timed are the intervals of IPS from 2,000 resamples of the rows of one log, on one thread; seconds
are of processor time.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from benchmarks.inputs.ingested import DATA
from benchmarks.inputs.open_bandit import N_ACTIONS, in_every_row, open_bandit, shown, uniform
from benchmarks.inputs.peers_of_ope import peers
from threadpoolctl import threadpool_limits

from whybuy.recommend.evaluate import (
    ESTIMATORS,
    LoggedFeedback,
    PolicyComparison,
    Target,
    compare,
    cross_fitted_rewards,
)

LIMIT, N_RESAMPLES = 10.0, 2_000
PEERS = peers(LIMIT)


def logged(policy: str, campaign: str) -> tuple[LoggedFeedback, np.ndarray]:
    """The log of one policy, with cross-fitted rewards; and the other policy in every one of its rows."""
    raw, bts = open_bandit(DATA, policy, campaign), open_bandit(DATA, "bts", campaign)
    arrays = {"action": raw.action, "reward": raw.reward, "propensity": raw.propensity, "slots": raw.slot}
    rewards = cross_fitted_rewards(
        LoggedFeedback.of(**arrays), raw.X, Z=raw.Z, n_actions=N_ACTIONS[campaign], learner="linear"
    )
    other = uniform(campaign) if policy == "bts" else shown(bts, campaign)
    return LoggedFeedback.of(**arrays, predicted=rewards), in_every_row(other, len(raw.action))


def direction(found: PolicyComparison, on_policy: PolicyComparison) -> dict[str, Any]:
    """(off-policy - on-policy) with its interval, or why it cannot be told."""
    off, on = found["other"], on_policy["as logged"].value
    if off.value is None or on is None:
        return {"reasons": list(off.reasons)}
    miss = off.value.minus(on)
    return {
        "off_policy": off.value.estimate,
        "on_policy": on.estimate,
        "difference": miss.estimate,
        "ci_low": miss.low,
        "ci_high": miss.high,
        "contains_0": bool(miss.low <= 0 <= miss.high),
        "effective_rows": off.overlap.effective_users,
        "weight_cut": off.overlap.weight_cut,
    }


def peer_inputs(log: LoggedFeedback, other: np.ndarray) -> dict[str, Any]:
    return {
        "reward": log.reward,
        "action": log.action,
        "position": log.slot,
        "pscore": log.propensity,
        "action_dist": np.array(other),
        "estimated_rewards_by_reg_model": np.repeat(log.predicted[:, :, None], other.shape[2], axis=2),
    }


def difference_from_peer(log: LoggedFeedback, other: np.ndarray) -> float:
    """The largest difference between our values and obp's, in standard errors of the log's own mean."""
    target, theirs = Target.of(log, other), peer_inputs(log, other)
    error = log.reward.std() / np.sqrt(log.n_rows)
    return max(
        abs(ESTIMATORS[name].rounds(target, LIMIT).estimate - peer.estimate_policy_value(**theirs)) / error
        for name, peer in PEERS.items()
    )


def seconds_of(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    names = ("ips", "snips", "clipped", "dm", "dr", "sndr", "switch")
    directions: dict[str, Any] = {}
    agree = []
    with threadpool_limits(1):
        logs = {(policy, campaign): logged(policy, campaign) for campaign in N_ACTIONS for policy in ("random", "bts")}
        for (policy, campaign), (log, other) in logs.items():
            true = "bts" if policy == "random" else "random"
            on = compare(logs[true, campaign][0], {"other": logs[true, campaign][1]}, estimator="ips")
            found = {name: compare(log, {"other": other}, estimator=name, limit=LIMIT) for name in names}
            directions[f"{policy} to {true}, {campaign}"] = {name: direction(c, on) for name, c in found.items()}
            agree.append(difference_from_peer(log, other))
        log, other = logs["random", "men"]
        theirs = peer_inputs(log, other)
        ours = seconds_of(lambda: compare(log, {"other": other}, estimator="ips", n_resamples=N_RESAMPLES))
        peer = seconds_of(lambda: PEERS["ips"].estimate_interval(**theirs, n_bootstrap_samples=N_RESAMPLES))
    result = {
        "name": "off_policy",
        "ours": ours,
        "peer": peer,
        "ratio": peer / ours,
        "unit": "seconds of processor time for the intervals of one policy, the log's own and their difference",
        "agree": max(agree),
        "directions": directions,
    }
    print(json.dumps(result) if args.json else json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
