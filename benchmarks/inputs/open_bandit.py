"""The Open Bandit sample as arrays: four logs of 10,000 items shown, by two policies, of two campaigns.

The sample names no users: every row is its own. Thompson sampling went on learning during the week (its logged
propensity of one item in one slot runs from .01 to .7), so the policy that is judged on the other log is how often it
showed each item in each slot.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

N_ACTIONS = {"men": 34, "women": 46}
N_SLOTS = 3


@dataclass(frozen=True)
class OpenBandit:
    """One log: item, click, propensity and slot (n,), user features (n, d), past clicks of user and item (n, A, 1)."""

    action: Ints
    reward: Floats
    propensity: Floats
    slot: Ints
    X: Floats
    Z: Floats


def open_bandit(data: Path, policy: str, campaign: str) -> OpenBandit:
    """The log of ``policy`` ("random" or "bts") in ``campaign`` ("men" or "women")."""
    whole = pd.read_parquet(data / "open_bandit_sample" / "log.parquet")
    rows = whole[(whole["behavior_policy"] == policy) & (whole["campaign"] == campaign)]
    features = pd.get_dummies(rows[[f"user_feature_{i}" for i in range(4)]], dtype=float)
    clicks = rows[[f"user-item_affinity_{i}" for i in range(N_ACTIONS[campaign])]]
    return OpenBandit(
        action=rows["item_id"].to_numpy(np.int64),
        reward=rows["click"].to_numpy(float),
        propensity=rows["propensity_score"].to_numpy(float),
        slot=rows["position"].to_numpy(np.int64) - 1,
        X=features.to_numpy(),
        Z=clicks.to_numpy(float)[:, :, None],
    )


def shown(log: OpenBandit, campaign: str) -> Floats:
    """(n_actions, n_slots) how often each item was shown in each slot."""
    counts = np.zeros((N_ACTIONS[campaign], N_SLOTS))
    np.add.at(counts, (log.action, log.slot), 1)
    return counts / counts.sum(axis=0)


def uniform(campaign: str) -> Floats:
    """(n_actions, n_slots) every item as often as any other."""
    return np.full((N_ACTIONS[campaign], N_SLOTS), 1 / N_ACTIONS[campaign])


def in_every_row(policy: Floats, n: int) -> Floats:
    """(n, n_actions, n_slots) a policy that looks at nothing."""
    return np.broadcast_to(policy, (n, *policy.shape))
