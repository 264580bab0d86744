"""What is assigned, from when on, and who takes part: the choices that plan, assignment and analysis share.

A **person** enters at the ``start`` with everybody else (a mailing), or at the first visit after it (a change of the
shop): the first moment at which the arms can differ. An **attribute** (region, store) is assigned as one, its people
enter in the same way. A **period** (switchback) is assigned for everybody at once, so its outcomes are totals.
"""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from whybuy import columns as c
from whybuy.config import duration_ms, duration_text
from whybuy.errors import QuestionError, nearest
from whybuy.events.log import EventLog

UNIT_USER, UNIT_PERIOD = "user", "period"
DAY_MS = 86_400_000
WEEK_MS = 7 * DAY_MS
Entry = Literal["visit", "start"]
_OWN = (c.USER, c.N_EVENTS, "first_ms", "last_ms")


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """How an experiment is assigned.

    Attributes
    ----------
    unit : "user", "period", or the user attribute that is assigned as one
    entry : when a person's outcome begins to count: at the first "visit" after the start, or at the "start"
    active_ms : only people with an event of their own in this time before the start
    where : a SQL condition on the users table
    period_ms, washout_ms : of a switchback: length, and how much of each is left out at its beginning
    shares : arm -> share, the controls first
    start_ms : when the experiment begins
    known_until_ms : up to when the log reached when the assignment was drawn
    stratify : what the strata are made of
    seed : of the draw
    """

    unit: str = UNIT_USER
    entry: Entry = "visit"
    active_ms: int | None = None
    where: str | None = None
    period_ms: int | None = None
    washout_ms: int = 0
    shares: dict[str, float] = field(default_factory=lambda: {"control": 0.5, "treated": 0.5})
    start_ms: int = 0
    known_until_ms: int = 0
    stratify: tuple[str, ...] = ()
    seed: int = 7

    @property
    def is_period(self) -> bool:
        """Whether periods are assigned."""
        return self.unit == UNIT_PERIOD

    @property
    def is_attribute(self) -> bool:
        """Whether the values of an attribute are assigned."""
        return self.unit not in (UNIT_USER, UNIT_PERIOD)

    @property
    def units_word(self) -> str:
        """What is assigned, in the plural."""
        if self.period_ms is not None:
            return f"periods of {duration_text(self.period_ms)}"
        return f"values of {self.unit}" if self.is_attribute else "people"

    def to_json(self) -> dict[str, Any]:
        """Return the fields as what JSON can hold."""
        return {**asdict(self), "stratify": list(self.stratify)}

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> "Design":
        """Return the design that :meth:`to_json` gave."""
        return cls(**{**raw, "stratify": tuple(raw["stratify"])})


def parse_unit(text: str, log: EventLog, *, washout: str | None = None) -> dict[str, Any]:
    """Return the fields of :class:`Design` for ``user``, ``period=6h`` or an attribute of the users.

    Raises
    ------
    QuestionError
        The log has no such attribute, or a washout does not fit.
    ConfigError
        The length of the period cannot be read.
    """
    name, _, length = text.partition("=")
    if name.strip() == UNIT_PERIOD:
        if not length:
            raise QuestionError.of(
                found="--unit period has no length", needed="how long a period is", do="Write --unit period=1d"
            )
        period_ms, washout_ms = duration_ms(length), duration_ms(washout) if washout else 0
        if 2 * washout_ms > period_ms:
            raise QuestionError.of(
                found=f"A washout of {washout} in periods of {length}",
                needed="at least half of every period that counts",
                do="Take longer periods",
            )
        return {"unit": UNIT_PERIOD, "period_ms": period_ms, "washout_ms": washout_ms}
    if washout:
        raise QuestionError.of(
            found="--washout was given for units that are no periods",
            needed="periods, at whose beginning what came before fades",
            do="Leave it out, or assign --unit period=1d",
        )
    if text != UNIT_USER:
        require_attribute(text, log)
    return {"unit": text}


def require_attribute(name: str, log: EventLog) -> None:
    """Refuse an attribute that the users of the log do not have."""
    known = [a for a in log.quality.attributes if a not in _OWN]
    if name not in known:
        near = nearest(name, known)
        raise QuestionError.of(
            found=f"The users have no attribute {name!r}; they have {', '.join(known) or 'none'}",
            needed="one of these, or a users file that has it",
            do=f"Did you mean {near!r}?" if near else "Name one of these under [users] in whybuy.toml",
        )


def require_times(log: EventLog) -> None:
    """Refuse a log that has an order but no times."""
    if not log.quality.has_times:
        raise QuestionError.of(
            found="The log has an order of events but no times",
            needed="times, since outcomes count within a horizon",
            do="Map a time column in whybuy.toml",
        )
