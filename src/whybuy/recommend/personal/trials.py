"""Trials as arrays: what the lift model learns from, and what it is asked about."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Covariates = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class Trials:
    """Opportunities to show an item to a person.

    Attributes
    ----------
    state : (n_moments, d) the state of a person just before a moment
    features : (n_items, d) what is known of every item
    pair : (n, d) what happened between the person and the item before; last whether the moment is a quiet one
    moment, item, user : (n,) numbers; a moment belongs to one user
    ts : (n,) milliseconds
    shown, outcome : (n,) whether the item was shown, and bought within the horizon
    propensity : (n,) probability that a slate of this moment holds the item; NaN where not shown
    weight : (n,) how many opportunities the row stands for
    horizon_ms : of the outcome
    """

    state: Covariates
    features: Covariates
    pair: Covariates
    moment: Ints
    item: Ints
    user: Ints
    ts: Ints
    shown: Bools
    outcome: Bools
    propensity: Floats
    weight: Floats
    horizon_ms: int

    def __len__(self) -> int:
        """Return the number of trials."""
        return len(self.item)

    @property
    def quiet(self) -> Bools:
        """(n,) whether nothing at all was shown, then and a horizon before and after."""
        return np.asarray(self.pair[:, -1] > 0)

    def rows(self, keep: Bools) -> "Trials":
        """Return the trials ``keep`` (n,)."""
        of_rows = ("pair", "moment", "item", "user", "ts", "shown", "outcome", "propensity", "weight")
        return replace(self, **{name: getattr(self, name)[keep] for name in of_rows})

    @classmethod
    def joined(cls, parts: Sequence["Trials"]) -> "Trials":
        """Return the trials of several shards, whose users are others, as those of one."""
        users = np.cumsum([0, *(int(part.user.max(initial=-1)) + 1 for part in parts)])
        moments = np.cumsum([0, *(len(part.state) for part in parts)])
        same = ("state", "pair", "item", "ts", "shown", "outcome", "propensity", "weight")
        return cls(
            **{name: np.concatenate([getattr(part, name) for part in parts]) for name in same},
            features=parts[0].features,
            user=np.concatenate([first + part.user for first, part in zip(users, parts, strict=False)]),
            moment=np.concatenate([first + part.moment for first, part in zip(moments, parts, strict=False)]),
            horizon_ms=parts[0].horizon_ms,
        )
