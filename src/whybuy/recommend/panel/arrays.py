"""A panel of recommendations and purchases, checked, and its rows: one per user, item and round, merged where alike.

The covariates of a row are the user's history with the item in the *other* rounds. It has four possible values per user
and item (the round's own arm and outcome are taken out of the counts of all rounds), and users share them: merging rows
that agree in item, history, arm and outcome loses nothing and makes millions of rows some ten thousand.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from whybuy.errors import ArraysError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_ARMS_AND_OUTCOMES = ((0, 0), (0, 1), (1, 0), (1, 1))


@dataclass(frozen=True)
class Panel:
    """A checked panel, summed over rounds.

    Attributes
    ----------
    n_rounds : rounds that were summed
    count : (2, 2, n_users, n_items) rounds by arm and outcome
    items : (n_items, d) attributes of the items; d may be 0
    propensity : (n_users, n_items) where it is known
    person : (n_users,) whose the row is, numbered from 0
    """

    n_rounds: int
    count: Ints
    items: Floats
    propensity: Floats | None
    person: Ints

    @property
    def untold(self) -> Ints:
        """Numbers of the items that were recommended to everybody or to nobody, whenever."""
        in_arm = self.count.sum(axis=(1, 2))
        return np.flatnonzero((in_arm == 0).any(axis=0))

    def rates(self, users: Bools) -> Floats:
        """Return (n_items, 3) of these users: P(bought | not recommended), P(bought | recommended), P(recommended).

        Half a purchase in one round more keeps an item apart from zero that was never tried.
        """
        by = self.count[:, :, users].sum(axis=2).astype(np.float64)
        n = by.sum(axis=1)
        bought = (by[:, 1] + by[:, 1].sum(axis=1, keepdims=True) / n.sum(axis=1, keepdims=True)) / (n + 1)
        return np.column_stack([bought[0], bought[1], n[1] / n.sum(axis=0)])


@dataclass(frozen=True)
class History:
    """How a user and an item met in the other rounds, (n,) each: rounds recommended, purchases with and without."""

    item: Ints
    recommended: Ints
    bought_with: Ints
    bought_without: Ints


@dataclass(frozen=True)
class Rows:
    """Merged rows.

    Attributes
    ----------
    history : of each
    treated, outcome : (n,) 0 or 1
    n : (n,) how many were merged
    known : (n,) each, sums over these of the probability of the other arm, and of e (1 - e); None where propensities
        are not known
    """

    history: History
    treated: Ints
    outcome: Ints
    n: Floats
    known: tuple[Floats, Floats] | None


def histories(panel: Panel, users: Bools) -> tuple[History, Ints]:
    """Return the distinct histories of all rounds, and (n_users, n_items) which of them every user and item has."""
    count = panel.count[:, :, users]
    item = np.broadcast_to(np.arange(count.shape[3]), count.shape[2:])
    code = _encode(panel, History(item, count[1].sum(axis=0), count[1, 1], count[0, 1]))
    distinct, which = np.unique(code, return_inverse=True)
    return _decode(panel, distinct), which.reshape(code.shape)


def rows_of(panel: Panel, users: Bools) -> Rows:
    """Return the merged rows of these users."""
    parts = [_rows_with(panel, users, treated, outcome) for treated, outcome in _ARMS_AND_OUTCOMES]
    code = np.concatenate([part[0] for part in parts])
    distinct, which = np.unique(code, return_inverse=True)
    n, other_arm, overlap = (
        np.bincount(which, np.concatenate(values)).astype(np.float64)
        for values in zip(*(part[1:] for part in parts), strict=True)
    )
    return Rows(
        history=_decode(panel, distinct // 4),
        treated=distinct // 2 % 2,
        outcome=distinct % 2,
        n=n,
        known=None if panel.propensity is None else (other_arm, overlap),
    )


def _rows_with(panel: Panel, users: Bools, treated: int, outcome: int) -> tuple[Ints, Floats, Floats, Floats]:
    """Return codes of the rows of one arm and outcome, their numbers, and the parts of ``known``."""
    count = panel.count[:, :, users]
    user, item = np.nonzero(count[treated, outcome])
    own = History(
        item,
        count[1].sum(axis=0)[user, item] - treated,
        count[1, 1, user, item] - treated * outcome,
        count[0, 1, user, item] - (1 - treated) * outcome,
    )
    e = np.full(len(user), np.nan) if panel.propensity is None else panel.propensity[users][user, item]
    code = _encode(panel, own) * 4 + treated * 2 + outcome
    n = count[treated, outcome, user, item].astype(np.float64)
    return code, n, n * (1 - e if treated else e), n * e * (1 - e)


def _encode(panel: Panel, history: History) -> Ints:
    base = panel.n_rounds + 1
    return ((history.item * base + history.recommended) * base + history.bought_with) * base + history.bought_without


def _decode(panel: Panel, code: Ints) -> History:
    base = panel.n_rounds + 1
    return History(code // base**3, code // base**2 % base, code // base % base, code % base)


def panel_of(
    treated: npt.ArrayLike,
    outcome: npt.ArrayLike,
    *,
    items: npt.ArrayLike | None,
    propensity: npt.ArrayLike | None,
    users: npt.ArrayLike | None,
) -> Panel:
    """Return the checked panel; ``Raises`` of :func:`whybuy.recommend.panel.lifts_of_panel` says what is refused."""
    T, Y = _zeros_and_ones("treated", treated), _zeros_and_ones("outcome", outcome)
    if T.ndim != 3 or T.shape != Y.shape or len(T) < 2:
        raise ArraysError.of(
            found=f"treated of shape {T.shape} and outcome of shape {Y.shape}",
            needed="(n_rounds, n_users, n_items) for both, and two rounds: one is judged by the others",
            do="Stack the rounds",
        )
    shape = T.shape[1:]
    count = np.stack([[(a & b).sum(axis=0) for b in (~Y, Y)] for a in (~T, T)]).astype(np.int64)
    return Panel(
        n_rounds=len(T),
        count=count,
        items=_finite("items", np.empty((shape[1], 0)) if items is None else items, shape[1]),
        propensity=None if propensity is None else _propensity(propensity, shape),
        person=np.arange(shape[0]) if users is None else _persons(users, shape[0]),
    )


def folds_of(panel: Panel, n_folds: int, seed: int) -> Ints:
    """Return (n_users,) the fold of every row, by person at random."""
    n_persons = int(panel.person.max(initial=-1)) + 1
    if n_persons < n_folds:
        raise ArraysError.of(
            found=f"{n_persons} persons",
            needed=f"at least {n_folds}, to judge some by others",
            do="Pass more people, or leave users away where every row is a person",
        )
    fold = np.random.default_rng(seed).permutation(n_persons)[panel.person] % n_folds
    for f in range(n_folds):
        _require_both_arms(panel, fold != f)
    return fold


def _zeros_and_ones(name: str, values: npt.ArrayLike) -> Bools:
    array = np.asarray(values)
    if array.dtype != bool and not (np.issubdtype(array.dtype, np.number) and np.isin(array, (0, 1)).all()):
        raise ArraysError.of(
            found=f"{name} with other values than 0 and 1",
            needed="1 where a user was recommended (or bought) the item in the round, else 0",
            do="Turn counts into whether, and leave out rounds in which it is not known",
        )
    return array.astype(bool)


def _finite(name: str, values: npt.ArrayLike, n_rows: int) -> Floats:
    array = np.asarray(values, np.float64)
    if array.ndim != 2 or len(array) != n_rows or not np.isfinite(array).all():
        raise ArraysError.of(
            found=f"{name} of shape {array.shape} with {(~np.isfinite(array)).sum()} values that are no number",
            needed=f"({n_rows}, d) numbers",
            do="One row per item; code what is missing as a column of its own",
        )
    return array


def _propensity(values: npt.ArrayLike, shape: tuple[int, ...]) -> Floats:
    array = np.asarray(values, np.float64)
    outside = ~((array > 0) & (array < 1))
    if array.shape != shape or outside.any():
        raise ArraysError.of(
            found=f"propensities of shape {array.shape}, {outside.sum()} of them not inside (0, 1)",
            needed=f"{shape}, each above 0 and below 1: who is sure to be shown an item, or not to be, tells nothing",
            do="Leave propensities away to have them estimated",
        )
    return array


def _persons(users: npt.ArrayLike, n_users: int) -> Ints:
    ids = np.asarray(users)
    if ids.shape != (n_users,):
        raise ArraysError.of(
            found=f"users of shape {ids.shape}", needed=f"({n_users},), an id for each row", do="Pass one id per row"
        )
    return np.unique(ids, return_inverse=True)[1].astype(np.int64)


def _require_both_arms(panel: Panel, users: Bools) -> None:
    by = panel.count[:, :, users].sum(axis=(2, 3))
    if (by == 0).any():
        raise ArraysError.of(
            found=f"{by[1].sum()} recommendations with {by[1, 1]} purchases, and {by[0].sum()} rows without "
            f"recommendation with {by[0, 1]} purchases, among the users who judge others",
            needed="purchases, and none, with and without recommendation",
            do="Add rounds or users",
        )
