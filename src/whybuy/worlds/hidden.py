"""A wish that no log shows: a hidden confounder that any world can be given.

Every user wishes for something, more in some weeks and less in others::

    w(t) = sqrt(2) * cos(2 pi (t / period + phase)),    period uniform in 13 to 23 days, phase uniform

Its mean square is 1. It multiplies the probability of one treatment, and of one purchase that the treatment does not
cause, by exp(``strength * w(t)``), so that the two rise and fall together for no logged reason. What they gain, events
that are no purchases lose; every other purchase keeps its probability. Nothing else reads the wish and no event changes
it: forcing the treatment leaves it as it was, so the treatment still causes nothing, while every answer that knows only
the log is drawn to one side. With a trace, the wish drives one more purchase that the treatment cannot cause, and a
negative control with that outcome can see it. Without, nothing in the log can.

A strength of 0 is the world itself, to the last draw.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from whybuy.worlds.chain import DAY_MS, Bools, Draws, Equations, Float32, Ints, Step, Users

SHORTEST_DAYS, LONGEST_DAYS = 13.0, 23.0


@dataclass(frozen=True)
class Wish:
    """What a hidden wish drives.

    Attributes
    ----------
    treatment, outcome : a pair without cause, of the world's stored pairs
    trace : a purchase that the treatment cannot cause either, where the wish shows itself
    """

    treatment: str
    outcome: str
    trace: str


class WithWish(Equations):
    """The equations of a world whose users hide a wish.

    Attributes
    ----------
    base : the world without it: what the log can tell
    """

    def __init__(self, base: Equations, driven: tuple[str, ...], strength: float) -> None:
        """Let the wish drive the events ``driven`` with ``strength`` > 0, in log odds per standard deviation."""
        self.base = base
        self.name, self.actions, self.categories = base.name, base.actions, base.categories
        self.pairs, self.constants, self.n_users, self.days = base.pairs, base.constants, base.n_users, base.days
        is_driven = np.isin(base.cells, driven)
        self._pull = np.float32(strength) * is_driven.astype(np.float32)
        self._gives = is_driven | ~base.is_outcome(np.arange(len(base.cells)))[:, -1]

    def users(self, n_users: int, rng: np.random.Generator) -> Users:
        """Draw the users of the base world, and their wishes from a stream of their own."""
        wishes = rng.spawn(1)[0]
        users = self.base.users(n_users, rng)
        days = SHORTEST_DAYS + (LONGEST_DAYS - SHORTEST_DAYS) * wishes.random(n_users)
        return users.wishing(np.stack([days, wishes.random(n_users)], axis=1).astype(np.float32))

    def start(self, users: Users) -> Float32:
        """Return the base world's start."""
        return self.base.start(users)

    def advance(
        self, S: Float32, ts_ms: Ints, users: Users, draws: Draws, *, away: Bools | None = None
    ) -> tuple[Ints, Float32]:
        """Return when the base world's next event comes."""
        return self.base.advance(S, ts_ms, users, draws, away=away)

    def probabilities(self, S: Float32, ts_ms: Ints, users: Users) -> Float32:
        """Return the base world's probabilities, tilted towards what is wished for."""
        P = self.base.probabilities(S, ts_ms, users)
        before = P @ self._gives
        P *= np.exp(wished(users, ts_ms)[:, None] * self._pull)
        P[:, self._gives] *= (before / (P @ self._gives))[:, None]
        return P

    def after(self, S: Float32, cell: Ints) -> Float32:
        """Return the base world's states after the event."""
        return self.base.after(S, cell)

    def attribute_columns(self, users: Users) -> dict[str, npt.NDArray[np.object_]]:
        """Return the base world's users table: the wish is not in it."""
        return self.base.attribute_columns(users)

    def exposures(self, users: Users, steps: list[Step], rng: np.random.Generator) -> pd.DataFrame:
        """Return the base world's campaigns."""
        return self.base.exposures(users, steps, rng)


def wished(users: Users, ts_ms: Ints) -> Float32:
    """Return (n,) how strongly each user wishes at ``ts_ms``, in standard deviations."""
    period_days, phase = users.wish.T
    turn = ts_ms / (period_days * DAY_MS) + phase
    found: Float32 = (np.sqrt(2) * np.cos(2 * np.pi * turn)).astype(np.float32)
    return found
