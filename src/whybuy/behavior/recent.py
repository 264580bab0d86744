"""What somebody last had to do with: the latest distinct items and categories before every moment.

People come back to what they just saw. That a next event repeats a recent one need not be learned for every item: the
next event's head may add to exactly these, by how recent they are.
"""

from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt

from whybuy.events.moments import Moments
from whybuy.events.sequences import Sequences

N_RECENT = 8
Codes = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Recent:
    """(n, N_RECENT) codes, the latest first, -1 where there are fewer."""

    item: Codes
    category: Codes

    @classmethod
    def before(cls, sequences: Sequences, moments: Moments) -> "Recent":
        """Return what came before every moment: its own events are not known yet."""
        offsets, first, end = np.asarray(sequences.offsets), moments.first, moments.end
        return cls(*(_before(np.asarray(code), offsets, first, end, N_RECENT) for code in _codes(sequences)))

    @classmethod
    def at_the_end(cls, sequences: Sequences) -> "Recent":
        """Return what every user had to do with last, all events known."""
        offsets = np.asarray(sequences.offsets)
        return cls(*(_at_the_end(np.asarray(code), offsets, N_RECENT) for code in _codes(sequences)))


def _codes(sequences: Sequences) -> tuple[Codes, Codes]:
    return sequences.item, sequences.category


@numba.njit(cache=True)
def _push(recent, code):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    """Put ``code`` in front; it leaves the place where it was."""
    if code < 0:
        return
    last = 0
    while last < len(recent) - 1 and recent[last] != code:
        last += 1
    for k in range(last, 0, -1):
        recent[k] = recent[k - 1]
    recent[0] = code


@numba.njit(cache=True)
def _before(code, offsets, first, end, n):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    out = np.full((len(first), n), -1, np.int32)
    recent = np.full(n, -1, np.int32)
    user = 0
    for moment in range(len(first)):
        while offsets[user + 1] <= first[moment]:
            user += 1
        if first[moment] == offsets[user]:
            recent[:] = -1
        out[moment] = recent
        for event in range(first[moment], end[moment]):
            _push(recent, code[event])
    return out


@numba.njit(cache=True)
def _at_the_end(code, offsets, n):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    out = np.full((len(offsets) - 1, n), -1, np.int32)
    for user in range(len(offsets) - 1):
        for event in range(offsets[user], offsets[user + 1]):
            _push(out[user], code[event])
    return out
