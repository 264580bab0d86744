"""What one set of answers rests on: the basis of the lifts, the windows, and what the log cannot tell.

The basis is one for the whole log, because lifts of two kinds cannot be ranked against each other: ``impression``
where impressions carry their probability of being shown, else ``view``, where looking at an item stands in for being
shown it.
"""

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

import duckdb

from whybuy import columns as c
from whybuy.config import By, Config, duration_ms, duration_text
from whybuy.events.log import EventLog
from whybuy.events.quality import impossible
from whybuy.recommend.store import parquet_list, write_text

Basis = Literal["impression", "view"]
Showing = Literal["logged", "estimated", "unknown"]
STATES = ("none", "viewed", "carted", "bought")
"""The states of a user on an item, by the strongest thing done before: carted or marked, and viewed, within the
lookback."""
EXPOSED_ACTIONS = ("view",)
VIEW_ACTIONS = ("view", "click")
CART_ACTIONS = ("cart", "favorite")
HAD_ACTIONS = ("review", "rating")
"""Actions of someone who has the item already."""
TOUCH_ACTIONS = ("view", "click", "favorite", "cart", "purchase", "review", "rating")
"""Actions of the user on an item that say interest; exposures, removals and returns do not."""


@dataclass(frozen=True)
class Terms:
    """The terms of all answers from one build.

    Attributes
    ----------
    horizon_ms : a purchase of the item within this time after showing it counts
    lookback_ms : "recently" means within this time
    start_ms, end_ms : the observed window; ``end_ms`` is the "now" of every answer
    why_no_lift : why no lift can be told for any item, None where lifts exist
    goal : what counts as taking an item in the transitions: "purchase", or "touch" in a log without purchases
    notes : plain words on what was left out
    by, margins : of ``[recommend]``: what a purchase counts when items are ranked by what showing adds
    explore, per_category, seed : of ``[recommend]`` in the config: how answers are drawn from the line of candidates
    showing : how likely it was to show what was shown: "logged", "estimated", or "unknown"
    n_bought : (user, item) pairs bought within the horizon after showing, in any state; None where no lift was computed
    """

    basis: Basis
    horizon_ms: int
    lookback_ms: int
    start_ms: int
    end_ms: int
    has_times: bool
    why_no_lift: str | None
    goal: Literal["purchase", "touch"]
    notes: tuple[str, ...] = ()
    showing: Showing = "unknown"
    n_bought: int | None = None
    by: By = "purchases"
    margins: dict[str, float] = field(default_factory=dict)
    explore: float = 0.0
    per_category: int | None = None
    seed: int = 0

    @property
    def horizon(self) -> str:
        """The horizon as a duration."""
        return duration_text(self.horizon_ms)

    @property
    def lookback(self) -> str:
        """The lookback as a duration."""
        return duration_text(self.lookback_ms)

    @property
    def windows_ms(self) -> tuple[int, ...]:
        """Within which spans the past of a person is counted, the shortest first."""
        return tuple(sorted({self.horizon_ms, self.lookback_ms}))

    def without_lift(self, why: str) -> "Terms":
        """Return the terms of a log whose lifts turned out not to be tellable."""
        return replace(self, why_no_lift=why)

    def save(self, folder: Path) -> None:
        """Write ``terms.json``."""
        write_text(json.dumps(asdict(self), indent=1), folder / "terms.json")

    @classmethod
    def open(cls, folder: Path) -> "Terms":
        """Read what :meth:`save` wrote."""
        raw = json.loads((folder / "terms.json").read_text(encoding="utf-8"))
        return cls(**{**raw, "notes": tuple(raw["notes"])})


def terms_of(con: duckdb.DuckDBPyConnection, log: EventLog, config: Config) -> Terms:
    """Return the terms that this log allows."""
    quality = log.quality
    found = _impressions(con, log)
    terms = Terms(
        basis="impression" if found.usable else "view",
        showing="logged" if found.usable else "unknown",
        horizon_ms=duration_ms(config.recommend.horizon),
        lookback_ms=duration_ms(config.lookback),
        start_ms=quality.start_ms,
        end_ms=quality.end_ms,
        has_times=quality.has_times,
        why_no_lift=None,
        by=config.recommend.by,
        margins=config.recommend.margins,
        explore=config.recommend.explore,
        per_category=config.recommend.per_category,
        seed=config.recommend.seed,
        goal="purchase" if quality.actions.get("purchase") else "touch",
        notes=(*found.notes, *rejected_propensities(log), *_ranked_by(config.recommend.by)),
    )
    return replace(terms, why_no_lift=_why_no_lift(terms, quality.actions))


def with_estimated_showing(terms: Terms, log: EventLog, note: str) -> Terms:
    """Return the terms of a log whose impressions have estimated probabilities, which ``note`` says."""
    others = tuple(found for found in terms.notes if _UNUSABLE not in found)
    terms = replace(terms, basis="impression", showing="estimated", notes=(*others, note))
    return replace(terms, why_no_lift=_why_no_lift(terms, log.quality.actions))


def _ranked_by(by: By) -> tuple[str, ...]:
    if by == "purchases":
        return ()
    worth = "its price" if by == "revenue" else "its price and margin"
    return (f"Ranked by the {by} that showing adds: the lift of an item times {worth}; where that is unknown, later",)


def rejected_propensities(log: EventLog) -> tuple[str, ...]:
    """Return what has to be said of rows that were rejected for their propensity; empty where none was."""
    n = log.quality.rejected.get(impossible(c.PROPENSITY), 0)
    if not n:
        return ()
    return (
        f"{n:,} rows whose propensity is no probability in (0, 1] were rejected when read (`whybuy check` counts "
        "them): what they showed counts as not shown",
    )


_UNUSABLE = "impressions have no probability of being shown in (0, 1]"


@dataclass(frozen=True)
class _Impressions:
    """Impressions of items: with a probability in (0, 1], without one, and those of slates that lack slots."""

    usable: int = 0
    unusable: int = 0
    slotless: int = 0

    @property
    def notes(self) -> tuple[str, ...]:
        """What has to be said of them, in words."""
        notes = []
        if self.unusable:
            notes.append(
                f"{self.unusable:,} {_UNUSABLE}; they are neither shown nor not shown, and left out of the lifts"
            )
        if self.usable and self.slotless:
            notes.append(
                f"{self.slotless:,} impressions are of slates of several items without slots; "
                "their probability is taken as that of the item in its slot given the earlier ones"
            )
        return tuple(notes)


def _impressions(con: duckdb.DuckDBPyConnection, log: EventLog) -> _Impressions:
    """Return how many impressions can be used, and how many not or only as they are."""
    if not log.quality.actions.get("impression"):
        return _Impressions()
    found = con.execute(
        f"""
        SELECT coalesce(sum(usable), 0), coalesce(sum(n - usable), 0),
               coalesce(sum(n) FILTER (n > 1 AND slots < n), 0)
        FROM (
            SELECT count(*) AS n, count({c.SLOT}) AS slots,
                   count(*) FILTER ({c.PROPENSITY} > 0 AND {c.PROPENSITY} <= 1) AS usable
            FROM read_parquet({parquet_list(log.shards)}) WHERE {c.ACTION} = 'impression' AND {c.ITEM} IS NOT NULL
            GROUP BY {c.USER}, {c.MOMENT}
        )
        """
    ).fetchall()[0]
    return _Impressions(*map(int, found))


def _why_no_lift(terms: Terms, actions: dict[str, int]) -> str | None:
    day = 86_400_000
    if not terms.has_times:
        return f"the log has an order but no times, so purchases within {terms.horizon} cannot be told"
    if not actions.get("purchase"):
        return "the log has no purchases"
    if terms.basis == "view" and not actions.get("view"):
        return "the log has neither views nor impressions with their probability of being shown"
    if terms.end_ms - terms.start_ms <= terms.lookback_ms + terms.horizon_ms:
        return (
            f"the log spans {(terms.end_ms - terms.start_ms) / day:.1f} days, and a lift needs more than "
            f"{terms.lookback} of history and {terms.horizon} of follow-up"
        )
    return None
