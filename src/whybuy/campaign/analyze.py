"""From a log to the answer about one campaign, or about all of them."""

from dataclasses import dataclass, replace
from typing import Any

from whybuy import columns as c
from whybuy.campaign.adjusted import adjusted_result
from whybuy.campaign.assignments import TREATED, Assignments, Design, design_of, read_assignments
from whybuy.campaign.cohort import Cohort, Observed, arms_cohort, targeted_cohort
from whybuy.campaign.history import Window, outcome_sql
from whybuy.campaign.randomized import randomized_result
from whybuy.campaign.result import CampaignResult, nothing_known
from whybuy.campaign.verdict import judged
from whybuy.causal.effects import Estimate
from whybuy.config import Config, duration_ms, duration_text
from whybuy.engine import steady_duckdb
from whybuy.errors import QuestionError, nearest
from whybuy.events.behaviors import Behavior, parse_behavior
from whybuy.events.log import ITEMS, EventLog
from whybuy.progress import Report, quiet

DEFAULT_OUTCOME = "purchase:*"


def analyze_campaigns(log: EventLog, config: Config, *, report: Report = quiet) -> list[CampaignResult]:
    """Return the effect of every campaign of the log, by campaign id, with q-values over all of them.

    A campaign that cannot be judged is answered with ``cannot_tell`` and why. A log without campaigns gives no results.
    """
    assignments = read_assignments(log)
    inquiry = _Inquiry(log, config, Window(parse_behavior(DEFAULT_OUTCOME), duration_ms(config.campaign.horizon)))
    results = []
    for done, campaign in enumerate(assignments.campaigns):
        results.append(_analyze(inquiry, assignments, campaign))
        report("campaigns", done + 1, len(assignments.campaigns), campaign)
    return judged(results, smallest_effect=config.causal.smallest_effect)


def analyze_campaign(
    log: EventLog,
    config: Config,
    campaign_id: str,
    *,
    outcome: str = DEFAULT_OUTCOME,
    horizon: str | None = None,
    report: Report = quiet,
) -> CampaignResult:
    """Return the effect of one campaign.

    Parameters
    ----------
    outcome : what must happen at least once, in the grammar of behaviors
    horizon : within how long after the assignment, the config's where None

    Raises
    ------
    QuestionError
        The campaign or the outcome is not in the log, the log has no times, or the horizon is longer than the log.
    BehaviorError, ConfigError
        The outcome or the horizon cannot be read.
    """
    window = Window(parse_behavior(outcome), duration_ms(horizon or config.campaign.horizon))
    assignments = read_assignments(log)
    _require_campaign(assignments, campaign_id)
    _require_possible(log, window, explicit_horizon=horizon is not None)
    if str(window.outcome) != DEFAULT_OUTCOME:
        _require_outcome(log, window.outcome)
    result = _analyze(_Inquiry(log, config, window, report), assignments, campaign_id)
    return judged([result], smallest_effect=config.causal.smallest_effect)[0]


@dataclass(frozen=True)
class _Inquiry:
    log: EventLog
    config: Config
    window: Window
    report: Report = quiet


def _analyze(inquiry: _Inquiry, assignments: Assignments, campaign: str) -> CampaignResult:
    log, config, window = inquiry.log, inquiry.config, inquiry.window
    design = design_of(assignments.of(campaign), config, campaign)
    observed = Observed.of(log, config, window.horizon_ms)
    if not log.quality.has_times:
        why = "The log has an order of events but no times, and an effect is counted within a horizon."
        return _unanswered(inquiry, design, campaign, why)
    if not design.rows[TREATED].any():
        why = f"Everybody ({len(design.rows):,}) is in a control arm: nobody was sent it."
        return _unanswered(inquiry, design, campaign, why)
    if design.kind == "targeted":
        cohort = targeted_cohort(log, design, observed, campaign)
    else:
        cohort = arms_cohort(design, observed)
    missing = _missing(cohort, design)
    if missing:
        return _unanswered(inquiry, design, campaign, missing, cohort)
    estimate = randomized_result if design.kind == "randomized" else adjusted_result
    result = estimate(log, design, cohort, window, observed, report=inquiry.report)
    redemptions = _redemptions(assignments, campaign, cohort, window)
    checks = {**result.checks, **redemptions, "set_aside": {**design.set_aside, **cohort.set_aside}}
    return replace(result, campaign=campaign, checks=checks, reasons=(*result.reasons, *_said(redemptions, window)))


def _missing(cohort: Cohort, design: Design) -> str | None:
    """Return why nobody can be compared, or None."""
    treated = cohort.treated
    if not treated.any():
        return "Nobody who was sent it has both the history and the complete follow-up that an answer needs."
    if treated.all():
        return (
            "Everybody was sent it: nobody is left to compare with. Hold some people out at random next time."
            if design.kind == "targeted"
            else "Nobody in a control arm has complete follow-up."
        )
    return None


def _unanswered(
    inquiry: _Inquiry, design: Design, campaign: str, why: str, cohort: Cohort | None = None
) -> CampaignResult:
    notes = cohort.notes if cohort is not None else ()
    set_aside = {**design.set_aside, **(cohort.set_aside if cohort is not None else {})}
    return CampaignResult(
        campaign=campaign,
        kind=design.kind,
        effect=Estimate(estimand="ate" if design.kind == "randomized" else "ato"),
        naive=nothing_known(),
        outcome=str(inquiry.window.outcome),
        horizon=duration_text(inquiry.window.horizon_ms),
        reasons=(why, *design.notes, *notes),
        checks={"sample_ratio": design.sample_ratio, "set_aside": set_aside},
    )


def _redemptions(
    assignments: Assignments, campaign: str, cohort: Cohort, window: Window
) -> dict[str, dict[str, float | int]]:
    """Return how many of the people sent it redeemed it within the horizon; nothing where none is logged."""
    redeemed = assignments.redeemed_of(campaign)
    if redeemed.empty:
        return {}
    sent = cohort.keep(cohort.treated)[[c.USER, c.TIME_MS]].rename(columns={c.TIME_MS: "sent_ms"})
    both = redeemed.merge(sent, on=c.USER)
    after = both[c.TIME_MS] - both["sent_ms"]
    n = int(both.loc[(after >= 0) & (after <= window.horizon_ms), c.USER].nunique())
    return {"redemptions": {"people": n, "share_of_sent": n / len(sent), "events": len(redeemed)}}


def _said(redemptions: dict[str, dict[str, Any]], window: Window) -> list[str]:
    if not redemptions:
        return []
    found = redemptions["redemptions"]
    share = f"{found['people']:,} of those sent it ({100 * found['share_of_sent']:.1f}%)"
    return [f"{share} redeemed it within {duration_text(window.horizon_ms)}."]


def _require_campaign(assignments: Assignments, campaign: str) -> None:
    known = assignments.campaigns
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
        found=f"Campaign {campaign!r} is not in the log, which has {', '.join(known[:20])}",
        needed="the id of one of its campaigns",
        do=f"Did you mean {near!r}?" if near else "Name one of these",
    )


def _require_possible(log: EventLog, window: Window, *, explicit_horizon: bool) -> None:
    if not log.quality.has_times:
        raise QuestionError.of(
            found="The log has an order of events but no times",
            needed="times, since an effect is counted within a horizon",
            do="Map a time column in whybuy.toml",
        )
    span_ms = log.quality.end_ms - log.quality.start_ms
    if explicit_horizon and window.horizon_ms >= span_ms:
        raise QuestionError.of(
            found=f"The log spans {span_ms / 86_400_000:.1f} days",
            needed=f"more than the horizon of {duration_text(window.horizon_ms)}",
            do="Ask with a shorter --horizon or bring a longer log",
        )


def _require_outcome(log: EventLog, outcome: Behavior) -> None:
    condition, parameters = outcome_sql(outcome)
    sql = f"""
        SELECT count(*) FROM (
            SELECT e.* EXCLUDE ({c.CATEGORY}), coalesce(i.{c.CATEGORY}, e.{c.CATEGORY}) AS {c.CATEGORY}, i.{c.BRAND}
            FROM read_parquet($shards) e LEFT JOIN read_parquet($items) i USING ({c.ITEM})
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
