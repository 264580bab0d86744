"""Behaviors that happen at the same decisions and no other: what one of them does cannot be told from the other's."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from whybuy.events.behaviors import Behavior, contains

SAME = 0.99
"""Two behaviors are one where so many of the decisions with either are decisions with both."""

Bytes = npt.NDArray[np.uint8]


class Together:
    """Counts at how many decisions two behaviors happen together, block by block."""

    def __init__(self, behaviors: Sequence[Behavior]) -> None:
        self.behaviors = list(behaviors)
        self.both = np.zeros((len(self.behaviors), len(self.behaviors)))

    def add(self, is_behavior: Bytes) -> None:
        """Add (n, n_behaviors) decisions; a block has too few for their counts to be rounded in single precision."""
        T = is_behavior.astype(np.float32)
        self.both += T.T @ T

    def same_as(self) -> dict[Behavior, str]:
        """Return the behaviors that are another one by another name, and which.

        ``view:*`` is no other behavior than ``view:shoes`` where all views are of shoes: one is a part of the other.
        Nor is a view of a brand than one of its only category: the same events told by different columns.
        """
        n = np.diag(self.both)
        either = n[:, None] + n - self.both
        found: dict[Behavior, str] = {}
        for i, j in np.argwhere((self.both >= SAME * either) & (either > 0)).tolist():
            one, other = self.behaviors[i], self.behaviors[j]
            if not _one_event(one, other):
                found.setdefault(one, str(other))
        return found


def _one_event(one: Behavior, other: Behavior) -> bool:
    """Return whether one event can be both."""
    return contains(one, other) or contains(other, one) or (one.action == other.action and one.kind != other.kind)
