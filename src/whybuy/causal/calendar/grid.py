"""Landmarks: times on a grid, chosen by the calendar and not by anybody, at which everybody is asked.

    | lookback | landmark, period 1 | landmark, period 2 | ... | horizon |
                A_1 in [g_1, g_2)    A_2 in [g_2, g_3)          Y in [end of the last period, + horizon)

Landmarks lie at midnight where the shop is: nobody chose them. With one period this is the calendar design: done at
least once in the period, or not. With several it is what sustained strategies are asked of. Starts of several periods
do not overlap, so that each row is periods of its own.
"""

from dataclasses import dataclass
from datetime import UTC
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from whybuy.causal.study import Study
from whybuy.config import duration_ms, duration_text
from whybuy.errors import QuestionError
from whybuy.events.features import LONGEST_WINDOW_MS
from whybuy.events.sequences import Ints

_DAY_MS = 86_400_000


@dataclass(frozen=True)
class Grid:
    """Where landmarks lie, and what is asked before and after them; milliseconds.

    Attributes
    ----------
    start_ms, end_ms : the observed window
    first_ms : the first landmark
    lookback_ms : observed before every landmark: the config's, and no shorter than what is asked before it
    every_ms : length of a period
    active_ms : an own event in this time before the first landmark makes a user eligible
    washout_ms : none of the treatment in this time before the first landmark; 0 where not asked
    n_periods : treatment periods in a row, before the horizon begins
    """

    start_ms: int
    end_ms: int
    first_ms: int
    lookback_ms: int
    every_ms: int
    horizon_ms: int
    active_ms: int
    washout_ms: int
    n_periods: int = 1

    @classmethod
    def of(cls, study: Study, horizon: str, *, n_periods: int = 1) -> "Grid":
        """Return the grid of a horizon on this log, as the config's ``[calendar]`` says."""
        quality, config = study.log.quality, study.config
        lookback = duration_ms(config.lookback)
        active = duration_ms(config.calendar.active) if config.calendar.active else lookback
        washout = duration_ms(config.calendar.washout) if config.calendar.washout else 0
        lookback = max(lookback, active, washout)
        return cls(
            start_ms=quality.start_ms,
            end_ms=quality.end_ms,
            first_ms=next_midnight(quality.start_ms + lookback, config.zone),
            lookback_ms=lookback,
            every_ms=duration_ms(config.calendar.every),
            horizon_ms=duration_ms(horizon),
            active_ms=active,
            washout_ms=washout,
            n_periods=n_periods,
        )

    @property
    def n_starts(self) -> int:
        """How often periods and horizon fit behind the first landmark, one start after another."""
        room = self.end_ms - self.first_ms - self.horizon_ms - self.n_periods * self.every_ms
        return 0 if room < 0 else 1 + room // (self.n_periods * self.every_ms)

    @property
    def times(self) -> Ints:
        """(n_starts x n_periods + 1,) every landmark, and the end of the last period."""
        return self.first_ms + self.every_ms * np.arange(self.n_starts * self.n_periods + 1)

    @property
    def reach_ms(self) -> int:
        """The longest window or horizon that is asked about."""
        return max(LONGEST_WINDOW_MS, self.horizon_ms, self.active_ms, self.washout_ms, self.lookback_ms)

    def require_possible(self) -> None:
        """Raise QuestionError where not one start has history and follow-up."""
        if self.n_starts > 0:
            return
        n, day = self.n_periods, duration_text(self.every_ms)
        needed = self.first_ms - self.start_ms + n * self.every_ms + self.horizon_ms
        periods = f"a period of {day}" if n == 1 else f"{n} periods of {day}"
        raise QuestionError.of(
            found=f"The log spans {(self.end_ms - self.start_ms) / _DAY_MS:.2f} days",
            needed=f"lookback up to a midnight, {periods} and the horizon: {needed / _DAY_MS:.2f} days",
            do=f"Ask with a shorter --horizon{'' if n == 1 else ' or fewer --periods'}, or shorten `every` in "
            "[calendar] of whybuy.toml",
        )


def next_midnight(ts_ms: int, zone: ZoneInfo) -> int:
    """Return the first midnight of a zone at or after a time."""
    at = pd.Timestamp(ts_ms, unit="ms", tz=UTC).tz_convert(zone)
    return int(at.ceil("D", ambiguous=True, nonexistent="shift_forward").timestamp() * 1000)
