"""Composite behaviors: several behaviors of one user in order, all within a time.

============================  =========================================================
``2*view:shoes@1d``           a second view of shoes within a day of the first
``search:shoes+view:bags@1d`` a search for shoes, then a view of bags within a day
============================  =========================================================

``+`` reads "then" and ``@`` "within"; ``2*b`` is short for ``b+b``, which is the canonical form. The last event
completes a composite, and only if the others came before it, in order, the first of them no longer ago than the time
allowed. A shell takes the form as it takes ``view:*``, and no part of it needs escaping in TOML; inside a target ``+``,
``*`` and ``@`` are percent-encoded like every special character.
"""

import re
from dataclasses import dataclass

import numpy as np

from whybuy.columns import ACTIONS
from whybuy.config import duration_ms, duration_text
from whybuy.errors import BehaviorError, ConfigError
from whybuy.events.behaviors import Behavior, parse_behavior
from whybuy.events.moments import Moments
from whybuy.events.sequences import Bools, Ints

_MAX_PARTS = 9
_WITHIN = re.compile(r"(?P<body>.+)@\s*(?P<time>\d+(\.\d+)?\s*[smhdw])\s*")
_TIMES = re.compile(r"(?P<n>\d+)\s*\*\s*(?P<part>.+)")
_ACTION = "|".join(ACTIONS)
_THEN = re.compile(rf"\+(?=\s*(?:{_ACTION})\s*:)")
_THEN_ANYTHING = re.compile(r"\+(?=\s*\w+\s*:)")
"""With a time at the end a composite is meant: what is no action is then said of the part that it stands in."""
_NEXT_TREATMENT = re.compile(rf",(?=\s*(?:\d+\s*\*\s*)?(?:{_ACTION})\s*:)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Composite:
    """Behaviors in order within a time.

    Attributes
    ----------
    parts : two or more, the last one completes it
    within_ms : from the first part to the last, milliseconds
    """

    parts: tuple[Behavior, ...]
    within_ms: int

    def __str__(self) -> str:
        """Return the canonical form."""
        return f"{'+'.join(map(str, self.parts))}@{self.within}"

    @property
    def within(self) -> str:
        """The time allowed, as text."""
        return duration_text(self.within_ms)

    @property
    def last(self) -> Behavior:
        """The behavior that completes it."""
        return self.parts[-1]

    @property
    def earlier(self) -> tuple[Behavior, ...]:
        """The behaviors that must have come before."""
        return self.parts[:-1]

    def completable(self, earlier: Bools, moments: Moments) -> Bools:
        """Return (n_moments,) whether an event of the last part, at this moment, would complete it.

        Parameters
        ----------
        earlier : (n_moments, n_parts - 1) whether the moment holds each earlier part

        Notes
        -----
        Of the ways in which the earlier parts came one after another, the one that began last counts. Where it began is
        a running maximum of moments, part after part, so no loop runs over users or events.
        """
        first_of_user = np.searchsorted(moments.user, moments.user, side="left")
        began = np.arange(len(moments))
        for part in earlier.T:
            began = _latest_before(np.where(part, began, -1), first_of_user)
        gap = moments.ts_ms - moments.ts_ms[began]
        possible: Bools = (began >= 0) & (gap <= self.within_ms)
        return possible


def _latest_before(began: Ints, first_of_user: Ints) -> Ints:
    """Return (n_moments,) the latest beginning at any earlier moment of the same user, -1 where there is none."""
    latest = np.maximum.accumulate(np.append(-1, began))[:-1]
    return np.where(latest >= first_of_user, latest, -1)


def parse_treatment(text: str) -> Behavior | Composite:
    """Return the behavior or composite that ``text`` writes.

    Raises
    ------
    BehaviorError
        A part is no behavior; there is one part alone, or more than nine; a number of times or parts without a time.
    """
    found = _WITHIN.fullmatch(text.strip())
    body = text if found is None else found["body"]
    times = _TIMES.fullmatch(body.strip())
    then = _THEN if found is None else _THEN_ANYTHING
    written = [times["part"]] * _count(times["n"], text) if times else then.split(body)
    if found is None:
        if times is None and len(written) == 1:
            return parse_behavior(text)
        time = text.rpartition("@")[2] if "@" in text else None
        none = "no time that they lie within" if time is None else f"the time {time!r}, which is no duration"
        raise _unclear(text, f"has several parts and {none}")
    parts = tuple(parse_behavior(part) for part in written)
    if not 1 < len(parts) <= _MAX_PARTS:
        raise _unclear(text, f"has {len(parts)} part{'s' * (len(parts) != 1)} within a time")
    try:
        return Composite(parts, duration_ms(found["time"]))
    except ConfigError as error:
        raise _unclear(text, "has a time of no length") from error


def split_treatments(text: str) -> list[str]:
    """Return the treatments of a text that has commas between them."""
    return _NEXT_TREATMENT.split(text)


def _count(n: str, text: str) -> int:
    if 1 < int(n) <= _MAX_PARTS:
        return int(n)
    raise _unclear(text, f"asks for {n} times")


def _unclear(text: str, what: str) -> BehaviorError:
    return BehaviorError.of(
        found=f"{text!r} {what}",
        needed=f"2 to {_MAX_PARTS} behaviors, then @ and a time, are needed",
        do="Write 2*view:shoes@1d for twice within a day, search:shoes+view:shoes@1d for one after the other; "
        "inside a name write @ as %40, + as %2B, * as %2A",
    )
