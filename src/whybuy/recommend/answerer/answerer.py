"""Answers for one user at a time, from what was read once."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from whybuy.recommend.answer import Recommendation, Recommendations
from whybuy.recommend.answerer.line import Line, Own, candidates_of, line_of, moves_of, taken
from whybuy.recommend.answerer.people import People, Person
from whybuy.recommend.answerer.shop import Effect, Shop
from whybuy.recommend.explored import drawn_slates, explores
from whybuy.recommend.personal import store
from whybuy.recommend.personal.asked import EVERY_ITEM, NEAREST_ITEMS
from whybuy.recommend.personal.learn import Known
from whybuy.recommend.personal.model import Forecast
from whybuy.recommend.personal.states import tastes
from whybuy.recommend.policy.inputs import NOBODY
from whybuy.recommend.reasons import ranked_by, reason
from whybuy.recommend.tables import check_built, check_k, notes_of
from whybuy.recommend.terms import Terms
from whybuy.recommend.wording import Row, Sentence, spoken

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Answerer:
    """Answers with the items of one user, the same as ``recommend_all`` writes for everybody.

    Nothing of it changes, so that threads may share one.

    Attributes
    ----------
    shop : the catalog, in memory
    people : what is known of users, mapped
    lifts : the lift model by person; None where lifts are by item and state
    """

    terms: Terms
    shop: Shop
    people: People
    lifts: store.Opened | None
    reason: Sentence
    ranked_by: Sentence

    @classmethod
    def open(cls, folder: Path) -> "Answerer":
        """Read what the recommend stage left in ``folder``.

        Raises
        ------
        WorkspaceError
            ``folder`` holds no recommendations.
        ModelError
            A file of the lift model is damaged.
        """
        check_built(folder)
        terms = Terms.open(folder)
        lifts = store.load(folder) if store.is_saved(folder) else None
        return cls(terms, Shop.open(folder), People.open(folder), lifts, reason(terms), ranked_by(terms))

    def answer(self, user_id: str, k: int) -> Recommendations:
        """Return the ``k`` items for a user; who has no event gets the answer for anyone unknown, which says so.

        Raises
        ------
        QuestionError
            ``k`` is not positive.
        """
        check_k(k)
        person = self.people.person(user_id)
        moves = moves_of(self.shop, person)
        asker = None if self.lifts is None else _Asker.of(self.lifts, person, self.terms.end_ms)
        more = np.empty(0, np.int64) if asker is None else asker.more_candidates(self.shop)
        found = candidates_of(self.shop, person, moves, self.terms, k=k, more=more)
        forecast = None if asker is None else asker.forecast(self.shop, found.item)
        own = None if asker is None or forecast is None else asker.own(forecast, found.item)
        line = line_of(self.shop, person, moves, self.terms, found=found, own=own)
        rows, propensity = self._chosen(user_id, line, k)
        chosen = taken(line, rows)
        if asker is not None and forecast is not None:
            asker.set_intervals(forecast, chosen)
        return Recommendations(
            user_id=user_id,
            horizon=self.terms.horizon,
            items=tuple(self._told(chosen, n, person, moves, float(p)) for n, p in enumerate(propensity)),
            notes=notes_of(self.terms, n_on_sale=len(self.shop.by_place), n_items=self.shop.n_items, k=k),
        )

    def _chosen(self, user_id: str, line: Line, k: int) -> tuple[Ints, Floats]:
        """Return the rows of the line that are served, in order, and their propensities."""
        if not explores(self.terms):
            n = min(k, len(line.item))
            return np.arange(n), np.ones(n)
        offered = np.flatnonzero(~line.last | (np.arange(len(line.item)) < k))
        slates = drawn_slates(
            self.shop.shelf, np.array([user_id], object), line.item[offered][None, :], self.terms, k=k
        )
        filled = slates.item[0] != NOBODY
        by_item = np.argsort(line.item)
        rows = by_item[np.searchsorted(line.item[by_item], slates.item[0, filled])]
        return rows, slates.propensity[0, filled]

    def _told(self, line: Line, n: int, person: Person, moves: Sequence[Effect], propensity: float) -> Recommendation:
        row = self._row(line, n, person, moves)
        return Recommendation(
            item_id=self.shop.item_id[line.item[n]].as_py(),
            rank=n + 1,
            lift=row["lift"],
            lift_low=row["lift_low"],
            lift_high=row["lift_high"],
            p_buy=row["p_buy"],
            basis=self.terms.basis,
            ranked_by=spoken(self.ranked_by, row),
            reason=spoken(self.reason, row).rstrip(" "),
            propensity=propensity,
        )

    def _row(self, line: Line, n: int, person: Person, moves: Sequence[Effect]) -> Row:
        """Return what a reason may speak of: ``reasons.REASON_COLUMNS``."""
        shop, item = self.shop, int(line.item[n])
        move = moves[line.move[n]] if line.move[n] != NOBODY else None
        n_users = _number(line.n_users[n])
        return {
            "is_known": person.is_known,
            "last": bool(line.last[n]),
            "state": int(line.state[n]),
            "lift": _number(line.lift[n]),
            "lift_low": _number(line.lift_low[n]),
            "lift_high": _number(line.lift_high[n]),
            "p_buy": _number(line.p_buy[n]),
            "alone": _number(line.alone[n]),
            "n_users": None if n_users is None else int(n_users),
            "own": _number(line.own[n]),
            "pool": int(shop.pool[item]),
            "shown": _number(shop.shown[item]),
            "not_shown": _number(shop.not_shown[item]),
            "strength": float(line.strength[n]),
            "followed_name": None if line.followed[n] == NOBODY else shop.name[line.followed[n]].as_py(),
            "again": line.followed[n] == item,
            "near": bool(line.near[n]),
            "adds": float(line.adds[n]),
            "buyers": int(shop.buyers[item]),
            "touchers": int(shop.touchers[item]),
            "said": None if move is None else move.said,
            "share": _number(line.share[n]),
            "share_place": int(line.share_place[n]),
        }


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


@dataclass(frozen=True, eq=False)
class _Asker:
    """Asks the lift model about one person; what ``personal.asked`` does for many."""

    opened: store.Opened
    known: Known
    now_ms: int

    @classmethod
    def of(cls, opened: store.Opened, person: Person, now_ms: int) -> "_Asker":
        assert person.acts is not None
        return cls(opened, opened.lifts.known(person.acts), now_ms)

    def more_candidates(self, shop: Shop) -> Ints:
        """Return every item of a small catalog, or those nearest to what the person did."""
        if len(shop.by_place) <= EVERY_ITEM:
            return shop.by_place
        taste = tastes(self.known.past, self.opened.lifts.vectors, np.zeros(1, np.int64), np.array([self.now_ms]))
        if not taste.any():
            return np.empty(0, np.int64)
        found = self.opened.nearest.search(taste, NEAREST_ITEMS, threads=1).item[0]
        return found[found >= 0]

    def forecast(self, shop: Shop, item: Ints) -> Forecast:
        """Return what the networks say of those items, sorted, that were both shown and not shown."""
        item = item[shop.not_shown[item] > 0]
        return self.opened.lifts.forecast(self.known, np.zeros_like(item), item, np.full_like(item, self.now_ms))

    def own(self, found: Forecast, item: Ints) -> Own:
        """Return the lifts that were forecast, at their places among all candidates."""
        rows = np.searchsorted(item, found.item)
        lift, p_buy, alone = (np.full(len(item), np.nan) for _ in range(3))
        told = self.opened.lifts.model.lifts(found, intervals=False)
        lift[rows], p_buy[rows], alone[rows] = told.lift, told.p_shown, told.p_not_shown
        return Own(lift, p_buy, alone)

    def set_intervals(self, found: Forecast, line: Line) -> None:
        """Put the intervals into the rows of ``line`` that have a lift of their own."""
        rows = np.flatnonzero(~np.isnan(line.alone))
        chosen = found.rows(np.searchsorted(found.item, line.item[rows]))
        told = self.opened.lifts.model.lifts(chosen)
        line.lift_low[rows], line.lift_high[rows] = told.low, told.high
