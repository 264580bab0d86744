"""The stage of a user's life with the shop, by one rule that is stated beside every answer.

Silence is judged against the user's own rhythm: the median gap between their active days. A user with fewer than three
active days has no rhythm yet and is judged by the median of the others'; where nobody has one, nothing is said.
"""

from dataclasses import dataclass
from typing import Final

NEW_DAYS: Final = 30.0
ACTIVE_GAPS: Final = 3.0
LAPSED_GAPS: Final = 6.0
_SHARE_OF_SPAN: Final = 0.25

STAGES: Final = ("new", "active", "at risk", "lapsed", "one-time", "browser", "no events", "unknown")


@dataclass(frozen=True)
class Lifecycle:
    """The rule for one log.

    Attributes
    ----------
    new_days : a user first seen within this many days before the end of the log is new
    """

    new_days: float

    @classmethod
    def of_span(cls, span_days: float) -> "Lifecycle":
        """Return the rule for a log of ``span_days``: on a short log not everybody can be new."""
        return cls(min(NEW_DAYS, _SHARE_OF_SPAN * span_days))

    def sql(self) -> str:
        """Return the stage in SQL, of ``n_own``, ``age_days``, ``silent_days``, ``frequency`` and ``rhythm_days``."""
        return f"""CASE
            WHEN n_own = 0 THEN 'no events'
            WHEN age_days IS NULL THEN 'unknown'
            WHEN age_days <= {self.new_days!r} THEN 'new'
            WHEN frequency = 0 THEN 'browser'
            WHEN frequency = 1 THEN 'one-time'
            WHEN rhythm_days IS NULL THEN 'unknown'
            WHEN silent_days <= {ACTIVE_GAPS} * rhythm_days THEN 'active'
            WHEN silent_days <= {LAPSED_GAPS} * rhythm_days THEN 'at risk'
            ELSE 'lapsed' END"""

    def words(self) -> dict[str, str]:
        """Return stage -> what it means, in the order in which the rule asks."""
        return {
            "no events": "is known to the shop but did nothing in the log",
            "new": f"first seen within {self.new_days:.3g} days of the log's end",
            "browser": "never bought",
            "one-time": "bought exactly once",
            "active": f"bought repeatedly, and silent for at most {ACTIVE_GAPS:g} usual gaps between active days",
            "at risk": f"bought repeatedly, and silent for {ACTIVE_GAPS:g} to {LAPSED_GAPS:g} usual gaps",
            "lapsed": f"bought repeatedly, and silent for more than {LAPSED_GAPS:g} usual gaps",
            "unknown": "the log has no times, or nobody in it was active on three days",
        }
