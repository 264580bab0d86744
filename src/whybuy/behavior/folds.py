"""Folds of users, decided by a hash of the id: the same on every engine, in every shard and for every run."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

N_TWINS = 2


@dataclass(frozen=True)
class UserFolds:
    """Where each user belongs.

    Attributes
    ----------
    twin : (n_users,) 0 or 1: the twin model that was NOT trained on the user, and so judges it
    subfold : (n_users,) fold of the final learners, nested in the twin
    position : (n_users,) uniform in [0, 1): draws samples of users, validation users among them
    """

    twin: npt.NDArray[np.int64]
    subfold: npt.NDArray[np.int64]
    position: npt.NDArray[np.float64]


def folds_of_users(user_ids: npt.NDArray[np.object_], *, n_subfolds: int = 3) -> UserFolds:
    """Return the folds of users by id."""
    hashed = user_keys(user_ids)
    low = hashed & np.uint64(0xFFFFFFFF)
    high = hashed >> np.uint64(32)
    return UserFolds(
        twin=(low % np.uint64(N_TWINS)).astype(np.int64),
        subfold=(low // np.uint64(N_TWINS) % np.uint64(n_subfolds)).astype(np.int64),
        position=high.astype(float) / 2.0**32,
    )


def user_keys(user_ids: npt.NDArray[np.object_]) -> npt.NDArray[np.uint64]:
    """Return (n_users,) the hash of every id that its folds are decided by."""
    return pd.util.hash_array(np.asarray(user_ids, object), categorize=False)
