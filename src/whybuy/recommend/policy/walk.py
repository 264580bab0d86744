"""A slate is filled slot by slot, and every slot is one draw from probabilities that are known.

Given the earlier slots, the candidates that are still open and their scores are fixed, and so is the probability of
each::

    p = (1 - e) * softmax(score / temperature) + e / (number open)      e = max(epsilon, floor * number open)

with all of the softmax on the best one (the first in order where several are) at temperature 0. Drawing a slate,
judging one that was logged, and adding up inclusion probabilities are the same walk; they differ only in who chooses
the next item. At epsilon 0 the slates have the law of Plackett and Luce.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from whybuy.errors import PolicyError
from whybuy.recommend.policy.inputs import NOBODY, Bools, Candidates, Floats, Ints
from whybuy.recommend.policy.limits import Cap, LeftOut, Reasons, caps_of, reasons_before
from whybuy.recommend.policy.noise import exponentials, user_keys

if TYPE_CHECKING:
    from whybuy.recommend.policy.diversity import Variety
    from whybuy.recommend.policy.policy import Policy

Choose = Callable[[int, Floats], Ints]
"""From a slot and (n_users, n_candidates) probabilities to the (n_users,) column chosen, -1 for none."""


@dataclass(frozen=True)
class Start:
    """A block of users before the first slot.

    Attributes
    ----------
    score : (n_users, n_candidates) with what fairness adds
    reasons : (n_users, n_candidates) why a candidate is out from the beginning, 0 where it is not
    """

    policy: "Policy"
    candidates: Candidates
    score: Floats
    reasons: Reasons
    caps: list[Cap]

    @property
    def open(self) -> Bools:
        """(n_users, n_candidates) who may take a slot."""
        return self.reasons == LeftOut.IN_SLATE


@dataclass(frozen=True)
class Slot:
    """One slot of a block of users.

    Attributes
    ----------
    probability : (n_users, n_candidates) of taking the slot given the earlier ones; 0 in the whole row where nothing
        was open
    column : (n_users,) the candidate that took it, -1 for none
    reasons : (n_users, n_candidates) why a candidate is out by now, caps included
    """

    probability: Floats
    column: Ints
    reasons: Reasons


def start(policy: "Policy", candidates: Candidates) -> Start:
    """Return the block before the first slot.

    Raises
    ------
    PolicyError
        What a limit, diversity or fairness needs is missing, or the floor is more than the candidates can share.
    """
    score = np.asarray(candidates.score, float)
    if policy.fairness is not None:
        score = score + policy.fairness.bonus(candidates)
    begun = Start(
        policy, candidates, score, reasons_before(candidates, policy.limits), caps_of(candidates, policy.limits)
    )
    most = int(begun.open.sum(axis=1).max(initial=0))
    if policy.floor * most > 1:
        raise PolicyError.of(
            found=f"A floor of {policy.floor} for each of {most} candidates",
            needed=f"a floor of at most 1 / {most}",
            do="Lower the floor or weigh fewer candidates",
        )
    return begun


def walk(begun: Start, choose: Choose, n_slots: int) -> Iterator[Slot]:
    """Yield the slots, the first one first, until nobody has anything open."""
    policy, reasons = begun.policy, begun.reasons.copy()
    taken = [np.zeros(reasons.shape, np.int16) for _ in begun.caps]
    variety = _variety(begun, n_slots)
    for slot in range(n_slots):
        open_ = reasons == LeftOut.IN_SLATE
        if not open_.any():
            return
        score = begun.score if variety is None else variety.adjust(begun.score)
        probability = slot_probabilities(score, open_, policy)
        column = choose(slot, probability)
        rows = np.flatnonzero(column >= 0)
        reasons[rows, column[rows]] = LeftOut.NO_ROOM
        for cap, count in zip(begun.caps, taken, strict=True):
            _close(cap, count, reasons, rows, column[rows])
        if variety is not None:
            variety.chose(column)
        yield Slot(probability, column, reasons)


def slot_probabilities(score: Floats, open_: Bools, policy: "Policy") -> Floats:
    """Return (n_users, n_candidates) probabilities of the next slot; 0 where not open.

    Parameters
    ----------
    score : (n_users, n_candidates); what is not open is not read
    open_ : (n_users, n_candidates) bool
    """
    n_open = open_.sum(axis=1, keepdims=True)
    masked = np.where(open_, score, -np.inf)
    best = masked.max(axis=1, keepdims=True)
    if policy.temperature > 0:
        weight = np.exp((masked - np.where(n_open > 0, best, 0.0)) / policy.temperature)
        chosen = weight / np.where(n_open > 0, weight.sum(axis=1, keepdims=True), 1.0)
    else:
        chosen = (np.arange(score.shape[1]) == masked.argmax(axis=1)[:, None]) & open_
    uniform = explored(policy, n_open)
    return (1 - uniform) * chosen + uniform * open_ / np.maximum(n_open, 1)


def explored(policy: "Policy", n_open: Ints) -> Floats:
    """Return the probability that a slot goes to a uniform choice among ``n_open`` candidates."""
    return np.maximum(policy.epsilon, policy.floor * n_open)


@dataclass
class Race:
    """Draw every slot: the candidate with the largest probability / exponential number wins.

    As adding Gumbel numbers to logarithms does (Gumbel top-k; Kool, van Hoof and Welling, ICML 2019), and as arrivals
    after exponential times. Where later slots only renormalize the probabilities of earlier ones (Plackett-Luce: closed
    candidates leave, the rest keep their weights), the first slot's numbers serve them all, because those who have not
    arrived yet are as fresh as at the start; anything else draws anew for every slot.
    """

    begun: Start
    round_number: int
    draw: int = 0

    def __post_init__(self) -> None:
        candidates, policy = self.begun.candidates, self.begun.policy
        self._item_hash = candidates.of_item(candidates.shelf.item_hash, 0).astype(np.uint64)
        self._once = policy.is_plackett_luce
        self._numbers = np.ones((1, 1)) if policy.is_deterministic else self._drawn(0)

    def __call__(self, slot: int, probability: Floats) -> Ints:
        """Return the (n_users,) winners, -1 where nothing is open."""
        if slot > 0 and not (self._once or self.begun.policy.is_deterministic):
            self._numbers = self._drawn(slot)
        column = (probability / self._numbers).argmax(axis=1)
        column[~probability.any(axis=1)] = NOBODY
        return column

    def _drawn(self, slot: int) -> Floats:
        keys = user_keys(
            self.begun.candidates.user_hash,
            seed=self.begun.policy.seed,
            round_number=self.round_number,
            slot=slot,
            draw=self.draw,
        )
        return exponentials(keys, self._item_hash)


@dataclass(frozen=True)
class Logged:
    """Choose what was logged."""

    column: Ints  # (n_users, n_slots), -1 where it is no candidate

    def __call__(self, slot: int, probability: Floats) -> Ints:
        """Return the (n_users,) logged columns of the slot."""
        del probability
        return self.column[:, slot]


def _variety(begun: Start, n_slots: int) -> "Variety | None":
    if begun.policy.diversity is None:
        return None
    directions = begun.candidates.shelf.directions
    if directions is None:
        raise PolicyError.of(
            found="Diversity, and a shelf without embeddings",
            needed="an embedding of every item",
            do="Pass embedding to the shelf or drop diversity",
        )
    vectors = directions[begun.candidates.item]
    vectors[begun.candidates.item == NOBODY] = 0.0
    return begun.policy.diversity.start(vectors, n_slots)


def _close(cap: Cap, count: np.ndarray, reasons: Reasons, rows: Ints, column: Ints) -> None:
    """Count the chosen items in their groups and close the groups that are full."""
    group = cap.group[rows, column][:, None]
    count[rows] += (cap.group[rows] == group) & (group != NOBODY)
    reasons[(reasons == LeftOut.IN_SLATE) & (count >= cap.most)] = cap.reason
