"""What a trial is made of: one decision, one at which a composite could be completed, or the beginning of a session.

A trial runs from its first decision to its last: covariates lie strictly before the first, the treatment is whether any
of them is the behavior, the outcome follows the last.

- **step**: every decision is a trial of its own. A *composite* restricts these to decisions at which one event would
  complete it. That is decided by history, so the contrast is "complete it now" against "something else now", and the
  propensity of a step stays what it is.
- **calendar** has landmarks in place of decisions, and a room of its own (:mod:`whybuy.causal.calendar`).
- **assignment** is for what is done to people: a trial is a person at the time at which a campaign could have been
  sent. It is answered where campaigns are (:mod:`whybuy.campaign`).
- **session**: the first k decisions of a session, for what works over several events. A session is the log's own where
  it names one, else what lies between two pauses (``session_gap``). Shorter ones are no trials. Whether a session gets
  as far as k may itself depend on what is done in it, and what brought a person here today is in no event before; so
  this design says ``suggestive`` at most.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from whybuy.errors import QuestionError, nearest
from whybuy.events.behaviors import Behavior
from whybuy.events.composites import Composite
from whybuy.events.moments import Moments, decisions
from whybuy.events.sequences import Bools, Ints, Sequences

DEFAULT_FIRST = 3
"""Decisions that begin a session: enough to differ in, and most sessions of a shop have as many."""

_MAX_FIRST = 50
ASSIGNMENT = "assignment"
_NAMES = ("step", "calendar", ASSIGNMENT, "session")
_WRITTEN = re.compile(r"step|calendar|assignment|session(:(?P<first>\d+))?")

Holds = Callable[[Behavior], Bools]
"""Tells (n_moments,) which moments hold a behavior."""


@dataclass(frozen=True)
class Units:
    """Trials of some users.

    Attributes
    ----------
    first, last : (n,) moments of the first and of the last decision, in order
    """

    first: Ints
    last: Ints

    def rows(self, keep: Bools) -> "Units":
        """Return the trials ``keep``."""
        return Units(self.first[keep], self.last[keep])


class Design(Protocol):
    """Anything that says which decisions make a trial."""

    def units(self, sequences: Sequences, moments: Moments, holds: Holds, /) -> Units:
        """Return all trials of the users, eligible or not."""


@dataclass(frozen=True)
class EveryDecision:
    """The step design."""

    def units(self, sequences: Sequences, moments: Moments, _holds: Holds, /) -> Units:
        """Return every decision."""
        at = np.flatnonzero(decisions(sequences, moments))
        return Units(at, at)


STEP = EveryDecision()


@dataclass(frozen=True)
class Completing:
    """The step design, at decisions where one event would complete a composite."""

    composite: Composite

    def units(self, sequences: Sequences, moments: Moments, holds: Holds, /) -> Units:
        """Return the decisions before which the earlier parts came."""
        earlier = np.stack([holds(part) for part in self.composite.earlier], axis=1)
        at = np.flatnonzero(decisions(sequences, moments) & self.composite.completable(earlier, moments))
        return Units(at, at)


@dataclass(frozen=True)
class Holding:
    """The step design, at decisions that are one behavior: what differs between them is how, not whether."""

    behavior: Behavior

    def units(self, sequences: Sequences, moments: Moments, holds: Holds, /) -> Units:
        """Return the decisions that hold the behavior."""
        at = np.flatnonzero(decisions(sequences, moments) & holds(self.behavior))
        return Units(at, at)


@dataclass(frozen=True)
class FirstOfSession:
    """The session design: the first ``k`` decisions of every session that has as many."""

    k: int

    def units(self, sequences: Sequences, moments: Moments, _holds: Holds, /) -> Units:
        """Return the first and the k-th decision of every session."""
        begun = np.concatenate([[0], np.cumsum(sequences.session_start)])
        at = np.flatnonzero(decisions(sequences, moments))
        session = begun[moments.end[at]]
        start = np.flatnonzero(np.diff(session, prepend=-1))
        long_enough = np.diff(start, append=len(at)) >= self.k
        return Units(at[start[long_enough]], at[start[long_enough] + self.k - 1])


def parse_design(text: str) -> tuple[str, int]:
    """Return the name of the design that ``text`` writes, and how many decisions begin a session in it.

    Raises
    ------
    QuestionError
        There is no such design, or no such beginning.
    """
    found = _WRITTEN.fullmatch(text)
    first = int(found["first"] or DEFAULT_FIRST) if found else DEFAULT_FIRST
    if found is None or not 1 <= first <= _MAX_FIRST:
        near = nearest(text.partition(":")[0], _NAMES)
        raise QuestionError.of(
            found=f"--design {text}",
            needed="a design that is available: step, calendar, assignment (of a campaign), session, or session:K for "
            f"the first K decisions of one, K from 1 to {_MAX_FIRST}",
            do=f"Did you mean {near}?" if near and found is None else "Ask with one of them",
        )
    return text.partition(":")[0], first
