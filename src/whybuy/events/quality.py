"""What a log is worth: its rows accounted for, its facts, and what each later part can and cannot do with it."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from whybuy import columns as c
from whybuy.config import Config, duration_ms, duration_text

if TYPE_CHECKING:
    import pandas as pd

MIN_CLUSTERS = 30
"""Below this many users no causal answer is given."""

_FEW_PURCHASES = 100


def impossible(column: str) -> str:
    """Return the reason of rows that are rejected for a number that cannot be."""
    return f"impossible {column}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """The facts of an ingested log; times are milliseconds since 1970 UTC, or positions where ``has_times`` is false.

    Attributes
    ----------
    rows_read, rows_kept, duplicates_merged : rows; read = kept + merged + all of ``rejected``
    rejected : reason -> rows, those set aside as bots or test accounts included
    actions : action -> events, commonest first
    n_categories : categories of items and of events without an item
    n_moments : moments over all users
    start_ms, end_ms : the 0.1% and 99.9% quantile of time: the observed window
    q01_ms, q99_ms : the 1% and 99% quantile of time
    longest_gap_ms : the longest time without any event, None without times; gaps within a clock minute are not seen
    attributes : attributes of users
    columns_present : columns of the contract that at least one event fills
    notes : what was decided while reading, in words
    """

    rows_read: int
    rows_kept: int
    duplicates_merged: int
    rejected: dict[str, int]
    actions: dict[str, int]
    n_users: int
    n_items: int
    n_categories: int
    n_sessions: int
    n_moments: int
    first_ms: int
    last_ms: int
    start_ms: int
    end_ms: int
    q01_ms: int
    q99_ms: int
    has_times: bool
    longest_gap_ms: int | None
    attributes: list[str] = field(default_factory=list)
    campaigns: list[str] = field(default_factory=list)
    columns_present: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return the fields as what JSON can hold."""
        return asdict(self)

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> "Quality":
        """Return the quality that :meth:`to_json` gave."""
        return cls(**{f.name: raw[f.name] for f in fields(cls)})

    @property
    def rows_rejected(self) -> int:
        """Rows rejected or set aside, for all reasons."""
        return sum(self.rejected.values())

    def to_frame(self) -> "pd.DataFrame":
        """Return where the rows went: one line for those kept, those merged, and each reason."""
        import pandas as pd

        lines = [("kept", "", self.rows_kept), ("merged", "duplicate", self.duplicates_merged)]
        lines += [("rejected", reason, n) for reason, n in self.rejected.items()]
        return pd.DataFrame(lines, columns=["fate", "reason", "rows"])

    def summary(self) -> str:
        """Return the facts in words, a line each."""
        return "\n".join(_summary(self))


def _summary(quality: Quality) -> Iterator[str]:
    yield (
        f"rows: {quality.rows_read:,} read = {quality.rows_kept:,} kept + {quality.duplicates_merged:,} duplicates "
        f"merged + {quality.rows_rejected:,} rejected"
    )
    for reason, n in quality.rejected.items():
        yield f"  rejected: {n:,} {reason}"
    yield "actions: " + ", ".join(f"{action} {n:,}" for action, n in quality.actions.items())
    yield (
        f"users {quality.n_users:,}, items {quality.n_items:,}, categories {quality.n_categories:,}, "
        f"sessions {quality.n_sessions:,}, moments {quality.n_moments:,}"
    )
    if quality.has_times:
        yield f"times: {_day(quality.first_ms)} to {_day(quality.last_ms)} UTC"
        yield (
            f"observed window: {_day(quality.start_ms)} to {_day(quality.end_ms)} UTC "
            f"({_days(quality.end_ms - quality.start_ms)})"
        )
        if quality.longest_gap_ms:
            yield f"longest time without an event: {_days(quality.longest_gap_ms)}"
    else:
        yield "times: none, an order only"
    if quality.campaigns:
        yield f"campaigns: {_listed(quality.campaigns)}"
    if quality.attributes:
        yield f"user attributes: {_listed(quality.attributes)}"
    for note in quality.notes:
        yield f"note: {note}"


def _day(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")


def _days(ms: int) -> str:
    days = ms / 86_400_000
    if days >= 1:
        return f"{days:.1f} days"
    return f"{days * 24:.1f} hours" if days * 24 >= 1 else f"{ms / 60_000:.1f} minutes"


def _listed(names: list[str], limit: int = 12) -> str:
    more = f" and {len(names) - limit:,} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


@dataclass(frozen=True, slots=True, kw_only=True)
class Capability:
    """Whether a later part can work with a log.

    Attributes
    ----------
    part : the part, as "causal effects"
    can : whether it can
    why : what is there or missing, in words
    """

    part: str
    can: bool
    why: str

    def to_json(self) -> dict[str, Any]:
        """Return the fields as what JSON can hold."""
        return asdict(self)

    def summary(self) -> str:
        """Return one line."""
        return f"{'can' if self.can else 'cannot'}: {self.part}: {self.why}"


def capabilities(quality: Quality, config: Config) -> list[Capability]:
    """Return what each later part can and cannot do with the log."""
    return [
        _causal(quality, config),
        _campaigns(quality),
        _recommendations(quality),
        _off_policy(quality),
        _sessions(quality, config),
        _search(quality),
        _categories(quality),
        _prices(quality),
        _reviews(quality),
        _protected(quality, config),
    ]


def _causal(quality: Quality, config: Config) -> Capability:
    part = "causal effects"
    shortest = min(config.horizons, key=duration_ms)
    needed = duration_ms(config.lookback) + duration_ms(shortest)
    span = quality.end_ms - quality.start_ms
    purchases = quality.actions.get("purchase", 0)
    if not quality.has_times:
        why = "the log has an order but no times, so every causal question is refused"
    elif purchases == 0:
        why = "no purchases, so there is no outcome to cause"
    elif span < needed:
        why = (
            f"the observed window is {_days(span)}, shorter than lookback {config.lookback} plus horizon {shortest} "
            f"({_days(needed)}): shorten them in whybuy.toml"
        )
    elif quality.n_users < MIN_CLUSTERS:
        why = f"{quality.n_users} users, at least {MIN_CLUSTERS} are needed for a standard error"
    else:
        return Capability(part=part, can=True, why=_causal_reach(quality, config, span))
    return Capability(part=part, can=False, why=why)


def _causal_reach(quality: Quality, config: Config, span: int) -> str:
    purchases = quality.actions["purchase"]
    why = f"{purchases:,} purchases of {quality.n_users:,} users in {_days(span)}"
    if not set(quality.actions) - {"purchase", "impression", "campaign"}:
        why += "; nothing but purchases to cause them: a further purchase can be asked about"
    too_long = [h for h in config.horizons if duration_ms(config.lookback) + duration_ms(h) > span]
    if too_long:
        why += f"; not within {', '.join(too_long)}, which is longer than the log allows"
    if purchases < _FEW_PURCHASES:
        why += "; so few purchases that most answers will be cannot_tell"
    return why


def _campaigns(quality: Quality) -> Capability:
    if not quality.campaigns:
        why, can = "no event names a campaign", False
    elif not quality.has_times:
        why, can = "campaigns without times have no before and after", False
    elif not quality.actions.get("campaign"):
        why, can = f"{len(quality.campaigns):,} campaigns are named, but no event says who was sent one", False
    else:
        arms = "with arms" if c.ARM in quality.columns_present else "without arms: others at comparable moments compare"
        why, can = f"{len(quality.campaigns):,} campaigns, {arms}", True
    return Capability(part="campaigns", can=can, why=why)


def _recommendations(quality: Quality) -> Capability:
    if quality.n_items == 0:
        why = "no event names an item"
    elif quality.actions.get("impression"):
        why = f"lift by impression of {quality.n_items:,} items"
    elif quality.actions.get("view"):
        why = f"no impressions: lift of {quality.n_items:,} items is by view, at most suggestive"
    else:
        why = f"neither impressions nor views: {quality.n_items:,} items are ranked by what is bought, without a lift"
    return Capability(part="recommendations", can=quality.n_items > 0, why=why)


def _off_policy(quality: Quality) -> Capability:
    has_impressions = bool(quality.actions.get("impression"))
    can = has_impressions and c.PROPENSITY in quality.columns_present
    why = "impressions with the probability they were shown with" if can else "no impressions with propensities"
    return Capability(part="off-policy evaluation", can=can, why=why)


def _sessions(quality: Quality, config: Config) -> Capability:
    if c.SESSION in quality.columns_present:
        why = f"{quality.n_sessions:,} sessions, as logged"
    elif quality.has_times:
        gap = duration_text(duration_ms(config.clean.session_gap))
        why = f"{quality.n_sessions:,} sessions, cut at gaps of {gap}: the log names none"
    else:
        return Capability(part="sessions", can=False, why="neither times nor session ids: a user is one session")
    return Capability(part="sessions", can=True, why=why)


def _search(quality: Quality) -> Capability:
    n = quality.actions.get("search", 0)
    has_queries = c.QUERY in quality.columns_present
    if n and has_queries:
        why = f"{n:,} searches with their queries"
    elif n:
        why = f"{n:,} searches without queries: search:* only"
    else:
        why = "no searches"
    return Capability(part="search", can=n > 0, why=why)


def _categories(quality: Quality) -> Capability:
    if quality.n_categories:
        return Capability(part="categories", can=True, why=f"{quality.n_categories:,} categories")
    return Capability(part="categories", can=False, why="no categories: behaviors are about single items")


def _prices(quality: Quality) -> Capability:
    if c.PRICE not in quality.columns_present:
        return Capability(part="prices", can=False, why="no prices: nothing can be said of revenue or customer value")
    units = "with quantities" if c.QUANTITY in quality.columns_present else "without quantities: a purchase is one unit"
    return Capability(part="prices", can=True, why=f"prices {units}")


def _reviews(quality: Quality) -> Capability:
    n = quality.actions.get("review", 0) + quality.actions.get("rating", 0)
    texts = "with texts" if c.TEXT in quality.columns_present else "without texts"
    return Capability(part="reviews", can=n > 0, why=f"{n:,} reviews and ratings, {texts}" if n else "no reviews")


def _protected(quality: Quality, config: Config) -> Capability:
    if config.protected:
        why, can = f"fairness is audited by {', '.join(config.protected)}", True
    elif quality.attributes:
        why, can = f"name one of {_listed(quality.attributes)} under protected in whybuy.toml", False
    else:
        why, can = "the log has no user attributes", False
    return Capability(part="protected attributes", can=can, why=why)
