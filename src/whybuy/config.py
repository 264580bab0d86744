"""``whybuy.toml`` as pydantic models: one class per table, every key documented where it is declared.

Unknown keys are refused with the nearest known key. Paths are relative to the file. Durations are written as
``"30m"``, ``"6h"``, ``"7d"`` and kept as integer milliseconds beside the text.
"""

import os
import re
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from whybuy.columns import ACTIONS, CAMPAIGN, ITEM, ITEM_COLUMNS, MAPPABLE_COLUMNS, USER
from whybuy.errors import ConfigError, nearest

_UNITS_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}


def duration_ms(text: str) -> int:
    """Return the milliseconds of a duration such as ``"30m"``, ``"6h"``, ``"7d"``; raise ConfigError otherwise."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhdw])\s*", str(text))
    if match is None or float(match[1]) <= 0:
        message = (
            f"{text!r} is not a duration. Needed: a positive number and one of s, m, h, d, w. "
            'Write for example "30m", "6h" or "7d".'
        )
        raise ConfigError(message)
    return round(float(match[1]) * _UNITS_MS[match[2]])


def duration_text(ms: int) -> str:
    """Return the shortest exact way to write a duration: 604800000 -> ``"7d"``."""
    for unit in ("d", "h", "m", "s"):
        if ms % _UNITS_MS[unit] == 0:
            return f"{ms // _UNITS_MS[unit]}{unit}"
    return f"{ms / 1000}s"


def _checked_duration(text: str) -> str:
    duration_ms(text)
    return text


Duration = Annotated[str, AfterValidator(_checked_duration)]
EngineName = Literal["local", "spark"]
TimeKind = Literal["auto", "s", "ms", "us", "ns", "text", "order"]
By = Literal["purchases", "revenue", "margin"]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class JoinConfig(_Table):
    """A second file joined to an events entry before mapping (a campaign's start date, say)."""

    path: str
    on: list[str]
    """Columns of the same name in both files."""


class EventsConfig(_Table):
    """One source of events and how its columns map to the contract."""

    path: str
    """A file, a folder, a glob, or ``file.duckdb::table``."""
    columns: dict[str, str] = Field(default_factory=dict)
    """Contract column = source column."""
    actions: dict[str, str] = Field(default_factory=dict)
    """Value in the log = action of the contract; values not listed are matched by their own name, else rejected."""
    constants: dict[str, str | int | float] = Field(default_factory=dict)
    """Contract column = one value for every row."""
    time: TimeKind = "auto"
    """How times are written; ``auto`` decides row by row; ``order`` is a position without time (the place in the
    file where no column is mapped to ``ts``)."""
    join: JoinConfig | None = None
    derive: dict[str, str] = Field(default_factory=dict)
    """New source column = SQL expression over the columns of the source (and of the joined file); ``columns`` and
    ``where`` may name it. Columns of CSV and JSON lines are text there, as everywhere in the mapping."""
    where: str | None = None
    """A SQL condition on the source's own and derived columns; rows outside it are not read."""

    @model_validator(mode="after")
    def _known_columns(self) -> "EventsConfig":
        for column in (*self.columns, *self.constants):
            if column not in MAPPABLE_COLUMNS:
                raise ValueError(_unknown("column of the contract", column, MAPPABLE_COLUMNS))
        for action in self.actions.values():
            if action not in ACTIONS:
                raise ValueError(_unknown("action", action, ACTIONS))
        return self


class ItemsConfig(_Table):
    """The items file; its values override those found on the events."""

    path: str
    columns: dict[str, str] = Field(default_factory=dict)
    derive: dict[str, str] = Field(default_factory=dict)
    """New source column = SQL expression over the columns of the file; ``columns`` may name it."""

    @model_validator(mode="after")
    def _known_columns(self) -> "ItemsConfig":
        for column in self.columns:
            if column not in ITEM_COLUMNS:
                raise ValueError(_unknown("column of the items table", column, ITEM_COLUMNS))
        return self


class UsersConfig(_Table):
    """The users file: ``user_id`` and any attributes, kept under their own names."""

    path: str
    columns: dict[str, str] = Field(default_factory=lambda: {USER: USER})
    """Only ``user_id`` and attributes that should be renamed."""
    attributes: list[str] | None = None
    """Source columns to keep as attributes; all of them where absent."""


class CleanConfig(_Table):
    """Cleaning rules, all of them absolute."""

    earliest: str = "1995-01-01"
    """Times before this day are rejected."""
    latest: str | None = None
    """Times after this day are rejected; tomorrow where absent."""
    near_duplicate: Duration = "1s"
    """Same user, action and item within this time are merged."""
    session_gap: Duration = "30m"
    max_query_length: int = 1_000
    """Longer query and review texts are cut to this many characters (10 times as many for reviews)."""
    bots: bool = True
    """Set suspected bots aside."""
    bot_events_per_minute: int = 300
    """A user with more events than this within one clock minute is a suspected bot."""
    bot_events_per_day: int = 5_000
    """A user with more events than this within one UTC day is a suspected bot."""
    test_accounts: str = r"(?i)^(test|qa|dummy|robot|bot|monitor)([_\-.@].*)?$"
    """Users whose id matches this expression are set aside; empty switches it off."""


class BehaviorConfig(_Table):
    """The behavior model."""

    size: Literal["auto", "tiny", "small", "base", "large", "xl"] = "auto"
    epochs: int | None = None
    """Passes over the log; chosen from its size where absent."""
    max_events: int = 600_000
    """At most this many events are trained on (a random sample of users beyond)."""
    text: bool = False
    """Whether queries, reviews and titles are read by the sentence model of the extra ``text``."""
    track: Literal["tensorboard", "mlflow"] | None = None
    """Where the losses of every pass are written too, under ``tracking`` in the workspace (extra ``track``)."""
    accumulate: int = 1
    """Parts that a step is read in one after another, where memory does not hold it at once."""
    strategy: Literal["auto", "ddp", "fsdp"] = "auto"
    """How several processes that ``torchrun`` started share a model: by ``ddp`` (what ``auto`` means) each holds all of
    it, by ``fsdp`` a part, for models that one device cannot hold. Without effect where one process trains."""


class CausalConfig(_Table):
    """Which questions are scanned and confirmed, and the rule of the verdict."""

    treatments: list[str] = Field(
        default_factory=lambda: ["view", "search", "favorite", "cart", "remove", "review", "purchase"]
    )
    outcomes: list[str] = Field(default_factory=lambda: ["purchase"])
    further: list[str] = Field(default_factory=list)
    """Treatments beside those: a category, item or brand that is too rare to be among them, as ``view:brand=acme``."""
    categories: int = 50
    """The commonest categories that get behaviors of their own (items where the log has no categories)."""
    smallest_effect: float = 0.005
    """Effects inside plus or minus this many outcomes per decision count as none."""
    negative_controls: list[str] = Field(default_factory=list)
    """Outcomes that no treatment can change, as ``purchase:gift cards``: an effect on one of them, larger than
    ``smallest_effect`` and beyond chance, refutes the treatment's other answers. Where absent, a rule proposes outcomes
    whose effects are a warning."""
    confirm: list[tuple[str, str]] | None = None
    """(treatment, outcome) pairs always confirmed, beside those the scan picks."""
    confirm_behaviors: int | None = None
    """How many treatments and outcomes together get a flexible nuisance; chosen from the log's size where absent."""
    max_trials: int = 500_000
    """Decisions of at most about this many events are confirmed on (a random sample of users beyond)."""


class CalendarConfig(_Table):
    """The calendar design: landmarks on a grid instead of decisions, for what takes hold slowly."""

    every: Duration = "7d"
    """From one landmark to the next; the behavior is done where it happens at least once before the next one."""
    active: Duration | None = None
    """Only users with an event of their own in this time before a landmark; ``lookback`` where absent."""
    washout: Duration | None = None
    """Only users without the behavior in this time before the first landmark; everybody where absent."""


class RecommendConfig(_Table):
    """Recommendations."""

    k: int = 10
    horizon: Duration = "1d"
    explore: float = Field(default=0.0, ge=0, le=1)
    """Probability that a slot goes to any candidate that is left, all alike; the answer then holds propensities."""
    per_category: int | None = Field(default=None, ge=1)
    """At most so many items of one category in an answer."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Of what is drawn where the answers explore."""
    by: By = "purchases"
    """What a purchase counts when items are ranked by what showing adds: itself, its price, or what is kept of it."""
    margins: dict[str, Annotated[float, Field(gt=0, le=1)]] = Field(default_factory=dict)
    """Share of the price that is kept, by category (and all below it); "*" for the others."""

    @model_validator(mode="after")
    def _margins_known(self) -> "RecommendConfig":
        if self.by == "margin" and not self.margins:
            message = 'by = "margin" needs [recommend.margins], as in "*" = 0.3'
            raise ValueError(message)
        return self


class OfferConfig(_Table):
    """What sending a campaign costs and is worth."""

    cost: Annotated[float, Field(gt=0)] | dict[str, Annotated[float, Field(gt=0)]] | None = None
    """Of sending it to one person; by arm where arms cost differently, as ``{letter = 1.2, mail = 0.02}``."""
    value: float | None = Field(default=None, gt=0)
    """What one more person with the outcome is worth, in the money of the costs."""
    budget: float | None = Field(default=None, ge=0)
    """How much may be spent on it: the report then says on whom."""
    channel: str | None = None
    """How it is sent, as ``mail``."""
    at_most: int | None = Field(default=None, ge=1)
    """To so many people in all; of several arms, each."""


class ChannelConfig(_Table):
    """Limits of a channel, over all campaigns that are sent by it."""

    at_most: int | None = Field(default=None, ge=1)
    """So many messages in all."""
    per_person: int | None = Field(default=None, ge=1)
    """So many messages to one person."""


class CouponsConfig(_Table):
    """Which coupons of which campaign are good for which items."""

    path: str
    columns: dict[str, str] = Field(default_factory=dict)
    """``campaign_id`` and ``item_id`` = source column, where they are named otherwise."""

    @model_validator(mode="after")
    def _known_columns(self) -> "CouponsConfig":
        for column in self.columns:
            if column not in (CAMPAIGN, ITEM):
                raise ValueError(_unknown("column of the table of coupons", column, (CAMPAIGN, ITEM)))
        return self


class CampaignConfig(_Table):
    """Campaigns."""

    controls: list[str] = Field(default_factory=lambda: ["control", "holdout", "none", "0"])
    """Arms that received nothing (compared case-folded)."""
    randomized: list[str] = Field(default_factory=list)
    """Campaigns that were assigned at random."""
    horizon: Duration = "7d"
    margin: float | None = Field(default=None, gt=0, le=1)
    """Share of revenue that is kept; margin is not told where absent."""
    per_person: int = Field(default=1, ge=1)
    """At most so many campaigns for one person, where a budget is planned over several."""
    offers: dict[str, OfferConfig] = Field(default_factory=dict)
    """By campaign; nothing is assumed where absent."""
    channels: dict[str, ChannelConfig] = Field(default_factory=dict)
    """By channel."""
    promoted: dict[str, list[str]] = Field(default_factory=dict)
    """Campaign = the categories that it is for; what it adds there is told from what it takes elsewhere."""
    coupons: CouponsConfig | None = None
    """A table that says what campaigns are for, item by item."""


class PrivacyConfig(_Table):
    """Privacy at ingest."""

    pseudonymize: bool = False
    """Replace user ids by a keyed hash; the key is read from the environment variable below and never stored."""
    key_variable: str = "WHYBUY_KEY"


class Config(_Table):
    """The whole of ``whybuy.toml``."""

    engine: EngineName = "local"
    horizons: list[Duration] = Field(default_factory=lambda: ["7d"], min_length=1)
    lookback: Duration = "7d"
    timezone: str = "UTC"
    """How times without a zone are read."""
    protected: list[str] = Field(default_factory=list)
    """User attributes that are protected."""
    seed: int = 7
    events: list[EventsConfig] = Field(min_length=1)
    items: ItemsConfig | None = None
    users: UsersConfig | None = None
    clean: CleanConfig = CleanConfig()
    behavior: BehaviorConfig = BehaviorConfig()
    causal: CausalConfig = CausalConfig()
    calendar: CalendarConfig = CalendarConfig()
    recommend: RecommendConfig = RecommendConfig()
    campaign: CampaignConfig = CampaignConfig()
    privacy: PrivacyConfig = PrivacyConfig()
    base: Path = Field(default=Path(), exclude=True)
    """The folder that relative paths start from: set by :func:`load_config`, not a key of the file."""

    @model_validator(mode="after")
    def _consistent(self) -> "Config":
        if self.timezone not in available_timezones():
            raise ValueError(_unknown("time zone", self.timezone, available_timezones()))
        if len({event.time == "order" for event in self.events}) > 1:
            message = 'either every [[events]] has time = "order" or none has'
            raise ValueError(message)
        return self

    @property
    def has_times(self) -> bool:
        """Whether events have times, not only an order."""
        return self.events[0].time != "order"

    @property
    def zone(self) -> ZoneInfo:
        """The zone of times written without one."""
        return ZoneInfo(self.timezone)

    def resolve(self, path: str) -> str:
        """Return ``path`` made absolute from the config's folder (URLs are left as they are)."""
        if "://" in path:
            return path
        return os.path.normpath(self.base / path)

    def latest_ms(self) -> int:
        """Return the last plausible time, in milliseconds."""
        if self.clean.latest is None:
            return int((datetime.now(UTC).timestamp() + 86_400) * 1000)
        return int(datetime.fromisoformat(self.clean.latest).replace(tzinfo=UTC).timestamp() * 1000)

    def earliest_ms(self) -> int:
        """Return the first plausible time, in milliseconds."""
        return int(datetime.fromisoformat(self.clean.earliest).replace(tzinfo=UTC).timestamp() * 1000)


def load_config(path: Path) -> Config:
    """Read and check ``whybuy.toml``.

    Raises
    ------
    ConfigError
        The file is missing, is not TOML, or has an unknown key or a wrong value.
    """
    if not path.is_file():
        message = f"{path} was not found. A config file is needed. Run `whybuy init EVENTS` or name one with -c."
        raise ConfigError(message)
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        message = f"{path} is not valid TOML: {error}. Correct that line or run `whybuy init EVENTS` again."
        raise ConfigError(message) from error
    return config_from_dict(raw, base=path.resolve().parent, where=str(path))


def config_from_dict(raw: dict[str, Any], *, base: Path, where: str = "config") -> Config:
    """Return the checked config of a plain dict; every problem in one message."""
    if "base" in raw:
        message = f"{where}: unknown key 'base'. Remove it."
        raise ConfigError(message)
    try:
        return Config.model_validate({**raw, "base": base})
    except ValidationError as error:
        problems = "; ".join(_problem(detail) for detail in error.errors())
        message = f"{where}: {problems}. Correct the file and run again."
        raise ConfigError(message) from error


def _problem(detail: Any) -> str:
    place = [str(part) for part in detail["loc"]]
    if detail["type"] == "extra_forbidden":
        known = _keys_at(place[:-1])
        return _unknown(f"key in [{'.'.join(place[:-1])}]" if place[:-1] else "key", place[-1], known)
    text = detail["msg"].removeprefix("Value error, ")
    where = ".".join(place)
    if detail["type"] == "missing":
        return f"{where} is missing"
    return f"{where}: {text} (found {detail['input']!r:.80})" if where else text


def _keys_at(place: list[str]) -> list[str]:
    model: type[BaseModel] = Config
    for part in place:
        field = model.model_fields.get(part)
        if field is None:  # a place in a list, or a name that the user gave, as that of a campaign
            continue
        candidates = [field.annotation, *get_args(field.annotation)]
        model = next(c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel))
    return [name for name in model.model_fields if name != "base"]


def _unknown(kind: str, found: str, known: Any) -> str:
    near = nearest(found, known)
    hint = f"did you mean {near!r}?" if near else f"known: {', '.join(sorted(known)[:30])}"
    return f"unknown {kind} {found!r}: {hint}"
