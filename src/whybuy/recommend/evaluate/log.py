"""The log that policies are judged on, as plain arrays, checked once."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from whybuy.causal.array_rows import require_lengths, vector
from whybuy.causal.clusters import Float64, Ints
from whybuy.errors import ArraysError


@dataclass(frozen=True, eq=False, kw_only=True)
class LoggedFeedback:
    """What was shown, how likely that was, and what came of it; one row per item shown.

    Attributes
    ----------
    action : (n,) what was shown, numbered from 0
    reward : (n,) what came of it: a click, a purchase, money
    propensity : (n,) probability in (0, 1] with which the logging policy showed it
    user : (n,) whom errors are by, numbered from 0; the slate, or else the row itself, where no users were given
    slate : (n,) the round, whose items were shown together, numbered from 0; None where rows stand alone
    slot : (n,) place in the slate, numbered from 0 in ascending order; None where it was not logged
    predicted : (n, n_actions) expected reward of every action in the row's slot; None without a reward model
    """

    action: Ints
    reward: Float64
    propensity: Float64
    user: Ints
    slate: Ints | None = None
    slot: Ints | None = None
    predicted: Float64 | None = None

    @classmethod
    def of(  # noqa: PLR0913 - the columns of a log, all but three optional
        cls,
        action: npt.ArrayLike,
        reward: npt.ArrayLike,
        propensity: npt.ArrayLike,
        *,
        users: npt.ArrayLike | None = None,
        slates: npt.ArrayLike | None = None,
        slots: npt.ArrayLike | None = None,
        predicted: npt.ArrayLike | None = None,
    ) -> "LoggedFeedback":
        """Return the arrays as a log.

        Parameters
        ----------
        action : (n,) whole numbers from 0
        reward, propensity : (n,)
        users, slates, slots : (n,) ids of any kind; slots of a kind that sorts
        predicted : (n, n_actions), or (n, n_actions, n_slots), of which the row's slot is taken

        Raises
        ------
        ArraysError
            Arrays of unequal length; actions that are not numbered; a propensity that is missing, 0 or above 1; rewards
            that are no numbers; rows without a user, slate or slot where others have one; a slate of two users; the
            same slot of a slate twice.
        """
        shown, rewards, propensities = _actions(action), vector(reward, "reward"), _propensities(propensity)
        require_lengths({"action": len(shown), "reward": len(rewards), "propensity": len(propensities)})
        slate, slot = _codes(slates, "slate", len(shown)), _codes(slots, "slot", len(shown))
        user = _codes(users, "user", len(shown))
        if slate is not None:
            _require_one_user(slate, user)
            _require_no_duplicates(slate, slot)
        alone = np.arange(len(shown)) if slate is None else slate
        log = cls(
            action=shown,
            reward=rewards,
            propensity=propensities,
            user=alone if user is None else user,
            slate=slate,
            slot=slot,
        )
        return log if predicted is None else replace(log, predicted=log.of_every_action(predicted, "predicted"))

    @property
    def n_rows(self) -> int:
        """The number of items shown."""
        return len(self.action)

    @property
    def n_users(self) -> int:
        """The number of users."""
        return int(self.user.max()) + 1

    def by_user(self, values: Float64) -> Float64:
        """Return (n_users, k) or (n_users,) the sums of (n, k) or (n,) values."""
        return sums_by(self.user, values)

    def of_every_action(self, values: npt.ArrayLike, name: str) -> Float64:
        """Return (n, n_actions) finite numbers, those of the row's slot where ``values`` has one per slot.

        Raises
        ------
        ArraysError
            Another shape, fewer actions than were logged, other slots than were logged, values that are no numbers.
        """
        given = np.asarray(values, float)
        if given.ndim == 3 and len(given) == self.n_rows:
            n_slots = 0 if self.slot is None else int(self.slot.max()) + 1
            if self.slot is None or given.shape[2] != n_slots:
                raise ArraysError.of(
                    found=f"{name} is for {given.shape[2]} slots, the log has {n_slots or 'none'}",
                    needed="one per slot of the log, in ascending order",
                    do="Pass slots=..., or one value per action",
                )
            given = given[np.arange(self.n_rows), :, self.slot]
        n_actions = int(self.action.max()) + 1
        if given.ndim != 2 or len(given) != self.n_rows or given.shape[1] < n_actions:
            raise ArraysError.of(
                found=f"{name} has the shape {np.shape(values)}",
                needed=f"a value for every action in every row: ({self.n_rows}, {n_actions} or more)",
                do="Align it with the log; numpy.broadcast_to repeats one row",
            )
        if not np.isfinite(given).all():
            raise ArraysError.of(
                found=f"NaN or infinite values in {name}", needed="finite numbers", do="Predict for every action"
            )
        return given


def sums_by(group: Ints, values: Float64) -> Float64:
    """Return (n_groups, k) or (n_groups,) the sums of (n, k) or (n,) values by group, numbered from 0."""
    columns = [np.bincount(group, column) for column in values.reshape(len(group), -1).T]
    return np.stack(columns, axis=1).reshape(-1, *values.shape[1:]).astype(float)


def _actions(action: npt.ArrayLike) -> Ints:
    values = vector(action, "action")
    if (values < 0).any() or (values != np.floor(values)).any():
        raise ArraysError.of(
            found=f"action has the value {values[(values < 0) | (values != np.floor(values))][0]:g}",
            needed="whole numbers from 0",
            do="Number the actions, as in pandas.factorize(action, sort=True)[0]",
        )
    return values.astype(np.int64)


def _propensities(propensity: Any) -> Float64:
    given = pd.Series(np.asarray(propensity).ravel())
    if given.isna().any():
        raise ArraysError.of(
            found=f"{int(given.isna().sum())} of {len(given)} rows have no propensity",
            needed="the probability with which each row's item was shown",
            do="Log it in every row, or leave these rows out of reward and action too, if they are missing at random",
        )
    values = vector(propensity, "propensity")
    wrong = values[(values <= 0) | (values > 1)]
    if len(wrong):
        raise ArraysError.of(
            found=f"{len(wrong)} of {len(values)} rows have a propensity such as {wrong[0]:g}",
            needed="a probability above 0, and at most 1: what was shown cannot have been impossible",
            do="Log the probability that the policy really used",
        )
    return values


def _codes(ids: npt.ArrayLike | None, name: str, n: int) -> Ints | None:
    """Return (n,) the number of every row's id, in ascending order of the ids."""
    if ids is None:
        return None
    given = pd.Series(np.asarray(ids).ravel())
    require_lengths({"action": n, f"{name}s": len(given)})
    if given.isna().any():
        raise ArraysError.of(
            found=f"{int(given.isna().sum())} of {n} rows have no {name}",
            needed=f"a {name} in every row or in none",
            do=f"Leave {name}s away, or bring all of them",
        )
    return np.asarray(pd.factorize(given, sort=True)[0], np.int64)


def _require_one_user(slate: Ints, user: Ints | None) -> None:
    if user is None:
        return
    of_slate = np.empty(int(slate.max()) + 1, np.int64)
    of_slate[slate] = user
    if (of_slate[slate] != user).any():
        raise ArraysError.of(
            found=f"{len(np.unique(slate[of_slate[slate] != user]))} slates were shown to more than one user",
            needed="one user per slate",
            do="Number slates across users",
        )


def _require_no_duplicates(slate: Ints, slot: Ints | None) -> None:
    if slot is None:
        return
    twice = int(pd.DataFrame({"slate": slate, "slot": slot}).duplicated().sum())
    if twice:
        raise ArraysError.of(
            found=f"{twice} rows repeat the slot of a slate",
            needed="one row per slot of a slate",
            do="Drop the duplicate impressions, or number slates anew for every request",
        )
