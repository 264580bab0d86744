"""The policy: settings, and from candidates to slates whose probabilities are known."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from whybuy.errors import PolicyError
from whybuy.recommend.policy.diversity import Dpp, Mmr
from whybuy.recommend.policy.fairness import FairExposure
from whybuy.recommend.policy.inclusion import Inclusion, inclusion_of
from whybuy.recommend.policy.inputs import NOBODY, Candidates, Floats, Ints
from whybuy.recommend.policy.limits import LeftOut, Limits
from whybuy.recommend.policy.slates import Slates
from whybuy.recommend.policy.walk import Logged, Race, start, walk

_CELLS_AT_ONCE = 4_000_000
"""Numbers held at once for a block of users: 32 MB, some of them several times."""

_WORD = 2**32


@dataclass(frozen=True, kw_only=True, eq=False)
class Policy:
    """From scores to slates.

    Parameters
    ----------
    k : slots
    temperature : of Plackett-Luce, in units of the score; 0 takes the best
    epsilon : probability that a slot goes to a uniform choice among what is open
    floor : least propensity of everything open, in every slot; raises epsilon where many candidates are open
    limits : stock, caps, what was bought or shown
    diversity : Mmr or Dpp; needs embeddings
    fairness : exposure of sellers so far and what they deserve
    seed : of the random numbers; the same seed, user and round draw the same slate in any batch

    Raises
    ------
    PolicyError
        A setting is out of its range.
    """

    k: int = 10
    temperature: float = 0.0
    epsilon: float = 0.0
    floor: float = 0.0
    limits: Limits = field(default_factory=Limits)
    diversity: Mmr | Dpp | None = None
    fairness: FairExposure | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        ranges = (
            ("k", self.k, self.k >= 1, "at least 1"),
            ("temperature", self.temperature, 0 <= self.temperature < np.inf, "at least 0 and finite"),
            ("epsilon", self.epsilon, 0 <= self.epsilon <= 1, "from 0 to 1"),
            ("floor", self.floor, 0 <= self.floor <= 1, "from 0 to 1"),
            ("seed", self.seed, 0 <= self.seed < _WORD, "from 0 to 2**32 - 1"),
        )
        for name, value, fits, needed in ranges:
            if not fits:
                raise PolicyError.of(found=f"{name} = {value}", needed=f"a value {needed}", do=f"Set another {name}")

    @property
    def is_deterministic(self) -> bool:
        """Whether nothing is drawn."""
        return self.temperature == self.epsilon == self.floor == 0

    @property
    def is_plackett_luce(self) -> bool:
        """Whether an item's weight is the same in every slot it is open for."""
        return self.temperature > 0 and self.epsilon == self.floor == 0 and self.diversity is None

    def slates(self, candidates: Candidates, *, round_number: int = 0) -> Slates:
        """Return a slate per user; shorter, with a note, where fewer items may be shown.

        Parameters
        ----------
        round_number : from 0 to 2**32 - 1; a user's slates of different rounds are independent

        Raises
        ------
        PolicyError
            What a limit, diversity or fairness needs is missing, or the floor is more than the candidates can share.
        """
        _check_round(round_number)
        item = np.full((candidates.n_users, self.k), NOBODY, np.int64)
        score, propensity = np.full(item.shape, np.nan), np.full(item.shape, np.nan)
        left_out = np.empty(candidates.item.shape, np.int8)
        for at, block in self._blocks(candidates):
            begun = start(self, block)
            out, rows = begun.reasons, np.arange(block.n_users)
            columns = np.full((block.n_users, self.k), NOBODY, np.int64)
            for n, slot in enumerate(walk(begun, Race(begun, round_number), self.k)):
                columns[:, n], out = slot.column, slot.reasons
                propensity[at, n] = np.where(slot.column >= 0, slot.probability[rows, slot.column], np.nan)
            row, filled = np.nonzero(columns >= 0)
            column = columns[row, filled]
            item[at.start + row, filled] = block.item[row, column]
            score[at.start + row, filled] = block.score[row, column]
            left_out[at] = _final(out, row, column)
        return Slates(
            candidates=candidates,
            round_number=round_number,
            item=item,
            score=score,
            propensity=propensity,
            left_out=left_out,
        )

    def propensity_of(self, candidates: Candidates, item: npt.NDArray[np.integer]) -> Floats:
        """Return (n_users, n_slots) the probability under this policy of each logged item in its slot.

        Given the earlier slots as logged. 0 for an item that this policy could not show there, and from there on, as
        this policy never gets to the later slots; 0 in slots after the k-th; NaN where nothing was logged.

        Parameters
        ----------
        candidates : what the policy would choose from, as known at the time of the log
        item : (n_users, n_slots) codes into the shelf, the first slot first, -1 where a slate ended

        Raises
        ------
        PolicyError
            There is not one row per user, or an item comes after a slot in which nothing was logged.
        """
        if item.ndim != 2 or len(item) != candidates.n_users or (np.diff((item != NOBODY).astype(int)) > 0).any():
            raise PolicyError.of(
                found=f"Logged slates of shape {item.shape} for {candidates.n_users} users, or gaps between slots",
                needed="one row of items per user, -1 only at the end",
                do="Order the logged items by slot; a slate logged without slots has no propensities",
            )
        found = np.where(item == NOBODY, np.nan, 0.0)
        for at, block in self._blocks(candidates):
            rows = np.arange(block.n_users)
            column = np.stack([_column_of(block, logged) for logged in item[at].T], axis=1, dtype=np.int64)
            alive = np.ones(block.n_users, bool)
            for n, slot in enumerate(walk(start(self, block), Logged(column), min(self.k, item.shape[1]))):
                p = np.where(slot.column >= 0, slot.probability[rows, slot.column], 0.0)
                alive &= p > 0
                found[at, n] = np.where(item[at, n] == NOBODY, np.nan, p * alive)
        return found

    def inclusion(self, candidates: Candidates, *, n_draws: int = 64) -> Inclusion:
        """Return the probability of every candidate to be somewhere in the slate; see :class:`Inclusion`.

        Parameters
        ----------
        n_draws : slates drawn per user where it cannot be computed
        """
        probability, std_error = np.empty(candidates.item.shape), np.empty(candidates.item.shape)
        computed = np.empty(candidates.n_users, bool)
        for at, block in self._blocks(candidates):
            part = inclusion_of(start(self, block), n_draws)
            probability[at], std_error[at], computed[at] = part.probability, part.std_error, part.computed
        return Inclusion(candidates=candidates, probability=probability, std_error=std_error, computed=computed)

    def _blocks(self, candidates: Candidates) -> Iterator[tuple[slice, Candidates]]:
        directions = candidates.shelf.directions if self.diversity is not None else None
        width = 8 if directions is None else 8 + directions.shape[1] + self.k
        size = max(1, _CELLS_AT_ONCE // (max(candidates.n_candidates, 1) * width))
        for first in range(0, candidates.n_users, size):
            at = slice(first, min(first + size, candidates.n_users))
            yield at, candidates.rows(at)


def _column_of(block: Candidates, logged: npt.NDArray[np.integer]) -> Ints:
    """Return the (n_users,) column of each user's logged item, -1 where it is no candidate or nothing was logged."""
    here = (block.item == logged[:, None]) & (logged != NOBODY)[:, None]
    return np.where(here.any(axis=1), here.argmax(axis=1), NOBODY)


def _final(reasons: npt.NDArray[np.int8], row: Ints, column: Ints) -> npt.NDArray[np.int8]:
    """Return the reasons when the slate is done: what is open still found no room, what was chosen is in it."""
    final = np.where(reasons == LeftOut.IN_SLATE, np.int8(LeftOut.NO_ROOM), reasons)
    final[row, column] = LeftOut.IN_SLATE
    return final


def _check_round(round_number: int) -> None:
    if not 0 <= round_number < _WORD:
        raise PolicyError.of(
            found=f"round_number = {round_number}",
            needed="a round from 0 to 2**32 - 1",
            do="Count the rounds from the first",
        )
