"""A question about campaigns, checked before anything that takes long; the parts that read events load when needed."""

from dataclasses import replace
from typing import TYPE_CHECKING

from whybuy import columns as c
from whybuy.config import Config, duration_ms, duration_text
from whybuy.engine import steady_duckdb
from whybuy.errors import QuestionError, nearest
from whybuy.events.behaviors import Behavior, parse_behavior
from whybuy.events.log import ITEMS, EventLog

if TYPE_CHECKING:
    from whybuy.campaign.assignments import Assignments
    from whybuy.campaign.history import Window

DEFAULT_OUTCOME = "purchase:*"


def require_words(outcome: str | None, horizon: str | None) -> None:
    """Raise BehaviorError or ConfigError where an outcome or a horizon cannot be read, whatever the log."""
    if outcome is not None:
        parse_behavior(outcome)
    if horizon is not None:
        duration_ms(horizon)


def require_question(
    log: EventLog, config: Config, campaign_id: str, *, outcome: str | None, horizon: str | None
) -> "tuple[Window, Assignments]":
    """Return what is asked, once it is clear that it can be asked of this log; see :func:`analyze_campaign`."""
    behavior, horizon_ms = parse_behavior(outcome or DEFAULT_OUTCOME), duration_ms(horizon or config.campaign.horizon)
    _require_campaign(log.quality.campaigns, campaign_id)
    _require_possible(log, horizon_ms, explicit_horizon=horizon is not None)
    from whybuy.campaign.assignments import read_assignments
    from whybuy.campaign.history import Window

    assignments = read_assignments(log)
    # An id of events that assign nobody, such as redemptions alone, is among the log's and is no campaign.
    _require_campaign(assignments.campaigns, campaign_id)
    if str(behavior) != DEFAULT_OUTCOME:
        _require_outcome(log, behavior)
    return Window(behavior, horizon_ms), assignments


def require_offers(log: EventLog, config: Config) -> None:
    """Raise QuestionError where no campaign of the log has a cost in the config, or the log has no times."""
    known = log.quality.campaigns
    if not known or not log.quality.has_times:
        raise QuestionError.of(
            found="The log has no campaign" if not known else "The log has an order of events but no times",
            needed="campaigns with their times",
            do="Add their assignments as another [[events]] entry of whybuy.toml",
        )
    if not any(campaign in known and offer.cost is not None for campaign, offer in config.campaign.offers.items()):
        raise QuestionError.of(
            found="No campaign of the log has a cost in whybuy.toml",
            needed="what sending each costs, to spend a budget over several",
            do=f"Write [campaign.offers.{known[0]}] with cost = ..., or name one campaign and its --cost",
        )


def _require_campaign(known: list[str], campaign: str) -> None:
    if campaign in known:
        return
    if not known:
        raise QuestionError.of(
            found="The log has no campaign: no event with the action campaign names a campaign_id",
            needed="the assignments of a campaign as events",
            do="Add them as another [[events]] entry of whybuy.toml and run `whybuy run` again",
        )
    near = nearest(campaign, known)
    raise QuestionError.of(
        found=f"Campaign {campaign!r} is not in the log, which has {_listed(known)}",
        needed="the id of one of its campaigns",
        do=f"Did you mean {near!r}?" if near else "Name one of these",
    )


def _listed(names: list[str], most: int = 30) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _require_possible(log: EventLog, horizon_ms: int, *, explicit_horizon: bool) -> None:
    if not log.quality.has_times:
        raise QuestionError.of(
            found="The log has an order of events but no times",
            needed="times, since an effect is counted within a horizon",
            do="Map a time column in whybuy.toml",
        )
    span_ms = log.quality.end_ms - log.quality.start_ms
    if explicit_horizon and horizon_ms >= span_ms:
        raise QuestionError.of(
            found=f"The log spans {span_ms / 86_400_000:.1f} days",
            needed=f"more than the horizon of {duration_text(horizon_ms)}",
            do="Ask with a shorter --horizon or bring a longer log",
        )


def _require_outcome(log: EventLog, outcome: Behavior) -> None:
    from whybuy.campaign.history import WITH_ITEMS, outcome_sql

    condition, parameters = outcome_sql(outcome)
    sql = f"""
        SELECT count(*) FROM (
            SELECT {WITH_ITEMS} FROM read_parquet($shards) e LEFT JOIN read_parquet($items) i USING ({c.ITEM})
        ) WHERE {condition}
    """
    files = {"shards": [str(shard) for shard in log.shards], "items": str(log.folder / ITEMS)}
    with steady_duckdb() as connection:
        row = connection.execute(sql, {**parameters, **files}).fetchone()
    if row is not None and row[0] > 0:
        return
    items = log.items()
    known = {"category": c.CATEGORY, "brand": c.BRAND, "item": c.ITEM}.get(outcome.kind)
    names = [str(name) for name in items[known].dropna().unique()[:20_000]] if known else []
    near = nearest(outcome.target, [name for name in names if name != outcome.target])
    actions = ", ".join(f"{action} ({n:,})" for action, n in log.quality.actions.items())
    raise QuestionError.of(
        found=f"{outcome} never happens in the log, which has the actions {actions}",
        needed="an outcome that the log holds",
        do=f"Did you mean {replace(outcome, target=near)}?" if near else "Ask for another --outcome",
    )
