"""What may not be shown, and why: every candidate that is left out keeps its reason.

Some limits hold before the first slot (stock, what the user has, what was shown too often, too little relevance); caps
on categories and sellers close candidates while the slate fills.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from whybuy.errors import PolicyError
from whybuy.recommend.policy.inputs import NOBODY, Bools, Candidates, Ints

Reasons = npt.NDArray[np.int8]


class LeftOut(IntEnum):
    """Why a candidate is not in the slate."""

    IN_SLATE = 0
    NO_ROOM = 1
    CATEGORY_CAP = 2
    SELLER_CAP = 3
    UNAVAILABLE = 4
    BOUGHT = 5
    SHOWN_OFTEN = 6
    NO_SCORE = 7
    BELOW_MINIMUM = 8
    NO_CANDIDATE = 9


WORDS = {
    LeftOut.IN_SLATE: "in the slate",
    LeftOut.NO_ROOM: "others took the slots",
    LeftOut.CATEGORY_CAP: "enough of its category",
    LeftOut.SELLER_CAP: "enough of its seller",
    LeftOut.UNAVAILABLE: "not available",
    LeftOut.BOUGHT: "bought already",
    LeftOut.SHOWN_OFTEN: "shown often enough lately",
    LeftOut.NO_SCORE: "its effect cannot be told",
    LeftOut.BELOW_MINIMUM: "below the least score",
    LeftOut.NO_CANDIDATE: "no candidate",
}


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a slate must hold to.

    Parameters
    ----------
    per_category, per_seller : at most so many items of one category, of one seller; None for no cap
    shows : an item that was shown so often within the window is not shown again; None for no cap
    min_score : least score; None for no minimum
    bought_again : whether items that the user has bought may be shown
    """

    per_category: int | None = None
    per_seller: int | None = None
    shows: int | None = None
    min_score: float | None = None
    bought_again: bool = False

    def __post_init__(self) -> None:
        for name in ("per_category", "per_seller", "shows"):
            cap = getattr(self, name)
            if cap is not None and cap < 1:
                raise PolicyError.of(
                    found=f"{name} = {cap}", needed="a cap of at least 1, or None", do="Leave such items out instead"
                )


@dataclass(frozen=True)
class Cap:
    """At most ``most`` items of one group."""

    group: Ints  # (n_users, n_candidates), -1 in no group
    most: int
    reason: LeftOut


def reasons_before(candidates: Candidates, limits: Limits) -> Reasons:
    """Return (n_users, n_candidates) why a candidate is out before the first slot; 0 where it is not.

    Where several reasons hold, the first in the order no candidate, not available, bought, shown, no score, below.

    Raises
    ------
    PolicyError
        A frequency cap is set and the candidates do not say what was shown.
    """
    if limits.shows is not None and candidates.shown is None:
        raise PolicyError.of(
            found="A cap on shows, and candidates without what was shown",
            needed="the number of times each candidate was shown in the window",
            do="Count the impressions with count_events and pass them as shown",
        )
    nowhere = np.zeros(candidates.item.shape, bool)
    available = candidates.shelf.available
    hold: dict[LeftOut, Bools] = {
        LeftOut.NO_CANDIDATE: candidates.item == NOBODY,
        LeftOut.UNAVAILABLE: nowhere
        if available is None
        else ~candidates.of_item(np.asarray(available, bool), False).astype(bool),
        LeftOut.BOUGHT: nowhere if candidates.bought is None or limits.bought_again else candidates.bought,
        LeftOut.SHOWN_OFTEN: nowhere
        if limits.shows is None or candidates.shown is None
        else candidates.shown >= limits.shows,
        LeftOut.NO_SCORE: np.isnan(candidates.score),
        LeftOut.BELOW_MINIMUM: nowhere if limits.min_score is None else candidates.score < limits.min_score,
    }
    return np.select(list(hold.values()), [np.int8(reason) for reason in hold], np.int8(LeftOut.IN_SLATE))


def caps_of(candidates: Candidates, limits: Limits) -> list[Cap]:
    """Return the caps that are set.

    Raises
    ------
    PolicyError
        A cap is set on a group that the shelf does not have.
    """
    shelf = candidates.shelf
    wanted = (
        ("category", limits.per_category, shelf.category_codes, LeftOut.CATEGORY_CAP),
        ("seller", limits.per_seller, shelf.seller_codes, LeftOut.SELLER_CAP),
    )
    caps = []
    for name, most, codes, reason in wanted:
        if most is None:
            continue
        if codes is None:
            raise PolicyError.of(
                found=f"A cap per {name}, and a shelf without one",
                needed=f"the {name} of every item",
                do=f"Pass {name} to the shelf or drop per_{name}",
            )
        caps.append(Cap(candidates.of_item(codes, NOBODY).astype(np.int64), most, reason))
    return caps


def may_bind(cap: Cap, open_: Bools) -> Bools:
    """Return the (n_users,) mask of users who have more open candidates of some group than the cap allows."""
    counted = open_ & (cap.group != NOBODY)
    row, column = np.nonzero(counted)
    key = row * (cap.group.max(initial=0) + 1) + cap.group[row, column]
    pairs, times = np.unique(key, return_counts=True)
    bound = np.zeros(len(open_), bool)
    bound[pairs[times > cap.most] // (cap.group.max(initial=0) + 1)] = True
    return bound
