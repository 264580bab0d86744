"""What a campaign is asked, and of what: one log, one question, the behavior model where there is one."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from whybuy.campaign.cohort import Observed
from whybuy.campaign.history import Window
from whybuy.config import Config
from whybuy.events.log import EventLog
from whybuy.progress import Report, quiet

if TYPE_CHECKING:
    from whybuy.campaign.forecasts import Forecaster, Remembering


@dataclass(frozen=True)
class Inquiry:
    """One question asked of the campaigns of one log.

    Attributes
    ----------
    window : the outcome and within how long it counts
    forecaster : the behavior model; counts alone where None
    """

    log: EventLog
    config: Config
    window: Window
    forecaster: "Forecaster | Remembering | None" = None
    report: Report = quiet

    @cached_property
    def observed(self) -> Observed:
        """The time that the log sees."""
        return Observed.of(self.log, self.config, self.window.horizon_ms)
