"""Strategies: what a shop could bring about at several decision points, as functions of what people do anyway.

A strategy replaces the chance pi(h) that a person with history h does the behavior by q(h) = g(pi(h)). One function and
its slope are all that an estimator has to know of it, because a strategy that leans on pi pays for not knowing pi:

=============  =========================================  ==============================================
strategy       g(pi)                                      slope dg / dpi
=============  =========================================  ==============================================
odds times d   d pi / (d pi + 1 - pi)                     d / (d pi + 1 - pi)^2
nudge by s     pi + s (1 - pi)                            1 - s
curb by s      pi - s pi                                  1 - s
always, never  1, 0                                       0
=============  =========================================  ==============================================

Odds never ask anything impossible of anybody: who would never do it is left alone. A nudge and a curb are modified
treatment policies: of those who would not have done it, the share s does; of those who would have, the share s does
not.

Source: Kennedy, Nonparametric causal effects based on incremental propensity score interventions (JASA, 2019),
equation 1; Diaz, Williams, Hoffman and Schenck, Nonparametric causal effects based on longitudinal modified treatment
policies (JASA, 2023).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from whybuy.causal.clusters import Float64
from whybuy.errors import ArraysError

Kind = Literal["odds", "nudge", "curb", "always", "never"]
_SHARES = (0.0, 1.0)


@dataclass(frozen=True, slots=True)
class Strategy:
    """One strategy.

    Attributes
    ----------
    amount : what odds are multiplied by (positive), or the share of a nudge or a curb (between 0 and 1)
    """

    kind: Kind
    amount: float = 1.0

    def __post_init__(self) -> None:
        """Refuse amounts that mean nothing."""
        low, high = (0.0, float("inf")) if self.kind == "odds" else _SHARES
        if self.kind in ("odds", "nudge", "curb") and not low < self.amount < high:
            raise ArraysError.of(
                found=f"{self.kind} of {self.amount:g}",
                needed="a positive factor for odds, a share between 0 and 1 for nudge and curb",
                do="Write for example odds=(0.5, 1, 2)",
            )

    @property
    def is_static(self) -> bool:
        """Whether everybody gets the same, whatever they would do."""
        return self.kind in ("always", "never")

    @property
    def changes_nothing(self) -> bool:
        """Whether everything goes as it does."""
        return self.kind == "odds" and self.amount == 1

    @property
    def label(self) -> str:
        """What it is, in words."""
        if self.is_static:
            return f"{self.kind} do it"
        if self.kind == "odds":
            return "as it goes" if self.changes_nothing else f"odds times {self.amount:g}"
        return f"{self.kind} {self.amount:.0%}"

    def chance(self, pi: Float64) -> Float64:
        """Return q = g(pi), the chance under the strategy of who has the chance ``pi`` by themselves."""
        if self.is_static:
            return np.full(len(pi), float(self.kind == "always"))
        if self.kind == "odds":
            return self.amount * pi / (self.amount * pi + 1 - pi)
        return pi + self.amount * (1 - pi) if self.kind == "nudge" else (1 - self.amount) * pi

    def slope(self, pi: Float64) -> Float64:
        """Return dg / dpi."""
        if self.is_static:
            return np.zeros(len(pi))
        if self.kind == "odds":
            return self.amount / (self.amount * pi + 1 - pi) ** 2
        return np.full(len(pi), 1 - self.amount)


ODDS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 4.0)
"""What odds are multiplied by where nobody says otherwise."""


def strategies(odds: tuple[float, ...] = ODDS, shares: tuple[float, ...] = (0.25,)) -> tuple[Strategy, ...]:
    """Return the strategies of a question: odds in order, a curb and a nudge of every share, never and always."""
    shifted = tuple(Strategy("odds", d) for d in sorted({*odds, 1.0}))
    moved = tuple(Strategy(kind, s) for s in sorted(set(shares)) for kind in ("curb", "nudge"))
    return (*shifted, *moved, Strategy("never"), Strategy("always"))
