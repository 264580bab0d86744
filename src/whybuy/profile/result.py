"""One user's profile: facts with their evidence, as numbers, as words and as a figure."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pandas as pd

from whybuy import columns as c
from whybuy.profile.lifecycle import Lifecycle

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


@dataclass(frozen=True, slots=True, kw_only=True)
class Favorite:
    """A category or brand of a user.

    Attributes
    ----------
    n : the user's events with it
    share : their share of the user's events with any category (or brand)
    """

    name: str
    n: int
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What one user did, as of the end of the log. A fact the log cannot give is None.

    Attributes
    ----------
    as_of, first_seen, last_seen : UTC
    n_own : events the user did; impressions and campaigns are not among them
    active_days : days with an own event, in ``timezone``
    gap_days : median days between active days; None below three active days
    silent_days, recency_days : days since the last own event, and since the last order
    frequency : orders; purchase_lines, priced_lines : their lines, and those with a price
    monetary : sum of price times quantity over the priced lines, before returns; None with several currencies
    returns_share : returned lines per purchased line; None where the log has no returns
    recency_score, frequency_score, monetary_score : fifth among buyers, 5 the best
    usual_hour, usual_weekday : the commonest of own events, 0 to 23 and 1 (Monday) to 7, with their counts
    stage : see :class:`whybuy.profile.lifecycle.Lifecycle`
    new_days : how recently "new" users were first seen
    """

    user_id: str
    as_of: datetime | None
    timezone: str
    new_days: float
    stage: str
    n_events: int
    n_own: int
    events: dict[str, int]
    first_seen: datetime | None
    last_seen: datetime | None
    active_days: int | None
    gap_days: float | None
    silent_days: float | None
    recency_days: float | None
    frequency: int
    purchase_lines: int
    priced_lines: int
    monetary: float | None
    currency: str | None
    basket_value: float | None
    basket_pieces: float | None
    n_ratings: int
    mean_rating: float | None
    return_lines: int
    returns_share: float | None
    recency_score: int | None
    frequency_score: int | None
    monetary_score: int | None
    categories: tuple[Favorite, ...]
    brands: tuple[Favorite, ...]
    usual_hour: int | None
    usual_hour_n: int | None
    usual_weekday: int | None
    usual_weekday_n: int | None

    def to_json(self) -> dict[str, Any]:
        """Return the fields as what JSON can hold, with the summary's lines."""
        raw = asdict(self)
        for name in ("as_of", "first_seen", "last_seen"):
            raw[name] = raw[name].isoformat() if raw[name] is not None else None
        raw["categories"], raw["brands"] = list(raw["categories"]), list(raw["brands"])
        return {**raw, "summary": list(self.lines())}

    def to_frame(self) -> pd.DataFrame:
        """Return one row of facts, an ``n_ACTION`` column per action."""
        nested = ("events", "categories", "brands")
        row = {name: value for name, value in asdict(self).items() if name not in nested}
        return pd.DataFrame([{**row, **{f"n_{action}": n for action, n in self.events.items()}}])

    def summary(self) -> str:
        """Return the profile in words, a line each, every line with its evidence."""
        return "\n".join(self.lines())

    def lines(self) -> tuple[str, ...]:
        """Return the lines of :meth:`summary`."""
        if self.n_events == 0:
            return (f"{self.user_id} is in the users table and has no event: nothing more is known.",)
        return tuple(_lines(self))

    def plot(self) -> "Figure":
        """Return a Plotly figure: events by action, and by favorite category."""
        from plotly.subplots import make_subplots

        figure = make_subplots(rows=1, cols=2, subplot_titles=("events by action", "favorite categories"))
        actions, favorites = list(self.events), list(self.categories)
        figure.add_bar(x=[self.events[a] for a in actions], y=actions, orientation="h", row=1, col=1)
        figure.add_bar(x=[f.n for f in favorites], y=[f.name for f in favorites], orientation="h", row=1, col=2)
        figure.update_layout(title=f"{self.user_id} ({self.stage})", showlegend=False)
        return figure


def profile_from_row(row: dict[str, Any], *, as_of_ms: int, new_days: float, timezone: str, has_times: bool) -> Profile:
    """Return the profile of a row of ``profiles.parquet`` and what it is relative to."""
    renamed = ("events", "categories", "brands", "first_seen_ms", "last_seen_ms", c.USER, c.N_EVENTS, c.CURRENCY)
    plain = {name: row[name] for name in Profile.__dataclass_fields__ if name in row and name not in renamed}
    return Profile(
        user_id=row[c.USER],
        n_events=row[c.N_EVENTS],
        currency=row[c.CURRENCY],
        as_of=_utc(as_of_ms) if has_times else None,
        timezone=timezone,
        new_days=new_days,
        events={entry["name"]: entry["n"] for entry in row["events"] or ()},
        first_seen=_utc(row["first_seen_ms"]),
        last_seen=_utc(row["last_seen_ms"]),
        categories=tuple(Favorite(**entry) for entry in row["categories"] or ()),
        brands=tuple(Favorite(**entry) for entry in row["brands"] or ()),
        **plain,
    )


def _utc(ms: int | None) -> datetime | None:
    return None if ms is None else datetime.fromtimestamp(ms / 1000, UTC)


def _lines(p: Profile) -> Iterator[str]:
    as_of = f" as of {p.as_of:%Y-%m-%d}" if p.as_of is not None else ""
    yield f"{p.user_id}{as_of}: {p.stage} ({Lifecycle(p.new_days).words()[p.stage]})."
    yield from _presence(p)
    if p.frequency:
        yield from _buying(p)
    elif p.n_own:
        yield f"Never bought in {p.n_own:,} own events."
    for name, favorites in (("categories", p.categories), ("brands", p.brands)):
        if favorites:
            listed = ", ".join(f"{f.name} (events: {f.n:,}, {f.share:.0%})" for f in favorites)
            yield f"Favorite {name}: {listed}."
    if p.n_ratings and p.mean_rating is not None:
        yield f"Ratings given: {p.n_ratings:,}, {p.mean_rating:.2f} on average."


def _presence(p: Profile) -> Iterator[str]:
    counts = ", ".join(f"{action} {n:,}" for action, n in p.events.items())
    if p.first_seen is None or p.last_seen is None or p.silent_days is None:
        when = " (the log has an order but no times: no dates, gaps or days since)" if p.as_of is None else ""
        yield f"Events: {p.n_events:,}{when}: {counts}."
        return
    yield (
        f"Events: {p.n_events:,} from {p.first_seen:%Y-%m-%d} to {p.last_seen:%Y-%m-%d} UTC (active days: "
        f"{p.active_days:,}): {counts}."
    )
    rhythm = "" if p.gap_days is None else f"; usually {p.gap_days:.3g} days pass between active days"
    yield f"Last seen {p.silent_days:.1f} days before the end of the log{rhythm}."
    usual = list(_usual(p))
    if usual:
        yield f"Usual time: {', '.join(usual)}, {p.timezone} time."


def _usual(p: Profile) -> Iterator[str]:
    """Yield the usual hour and weekday; what happened once is no habit."""
    if p.usual_hour is not None and p.usual_hour_n is not None and p.usual_hour_n > 1:
        hours = f"{p.usual_hour:02d}:00-{(p.usual_hour + 1) % 24:02d}:00"
        yield f"{hours} ({p.usual_hour_n:,} of {p.n_own:,} own events)"
    if p.usual_weekday is not None and p.usual_weekday_n is not None and p.usual_weekday_n > 1:
        yield f"{_WEEKDAYS[p.usual_weekday - 1]} ({p.usual_weekday_n:,} of {p.n_own:,})"


def _buying(p: Profile) -> Iterator[str]:
    recency = "" if p.recency_days is None else f", the last {p.recency_days:.1f} days before the end of the log"
    pieces = "" if p.basket_pieces is None else f", {p.basket_pieces:.3g} pieces each on average"
    yield f"Orders: {p.frequency:,} (lines: {p.purchase_lines:,}){recency}{pieces}."
    if p.monetary is not None and p.basket_value is not None:
        money = f" {p.currency}" if p.currency else " (currency not logged)"
        yield (
            f"Spent: {p.monetary:,.2f}{money} before returns, {p.basket_value:,.2f} an order "
            f"(lines with a price: {p.priced_lines:,} of {p.purchase_lines:,})."
        )
    elif p.priced_lines:
        yield "Spent: in several currencies, so there is no sum."
    else:
        yield "Spent: not known, no purchase has a price."
    scores = [p.recency_score, p.frequency_score, p.monetary_score]
    if any(score is not None for score in scores):
        shown = ", ".join(
            f"{name} {'not known' if score is None else score}"
            for name, score in zip(("recency", "frequency", "monetary"), scores, strict=True)
        )
        yield f"Fifth among buyers (5 is best): {shown}."
    if p.return_lines and p.returns_share is not None:
        yield f"Returns: {p.return_lines:,} beside {p.purchase_lines:,} purchased lines ({p.returns_share:.0%})."
