"""From a log to the answer about one campaign, or about all of them."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from whybuy import columns as c
from whybuy.campaign.adjusted import adjusted_result
from whybuy.campaign.assignments import TREATED, Assignments, Design, design_of, read_assignments
from whybuy.campaign.cohort import Cohort, Observed, arms_cohort, targeted_cohort
from whybuy.campaign.by_person import ByPerson, effects_by_person
from whybuy.campaign.history import Window, outcome_sql
from whybuy.campaign.people import People, Reader
from whybuy.campaign.policy import Policy, policy_of
from whybuy.campaign.randomized import randomized_result
from whybuy.campaign.result import CampaignResult, nothing_known
from whybuy.campaign.terms import Asked, missing_terms
from whybuy.campaign.uplift.rows import MIN_ARM_USERS
from whybuy.campaign.verdict import judged
from whybuy.causal.effects import Estimate
from whybuy.causal.grounds import MIN_OUTCOME_USERS
from whybuy.config import Config, duration_ms, duration_text
from whybuy.engine import steady_duckdb
from whybuy.errors import QuestionError, nearest
from whybuy.events.behaviors import Behavior, parse_behavior
from whybuy.events.log import ITEMS, EventLog
from whybuy.progress import Report, quiet

if TYPE_CHECKING:
    from whybuy.campaign.forecasts import Forecaster

DEFAULT_OUTCOME = "purchase:*"
N_IN_RUN = 3
"""Campaigns that a run tells whom they move of: each takes seconds for the counts, the forecasts and the learners."""


def analyze_campaigns(
    log: EventLog, config: Config, *, forecaster: "Forecaster | None" = None, report: Report = quiet
) -> list[CampaignResult]:
    """Return the effect of every campaign of the log, by campaign id, with q-values over all of them.

    A campaign that cannot be judged is answered with ``cannot_tell`` and why. A log without campaigns gives no results.
    Whom they move is told of the three that the most people can speak for, so that a run stays short; the others say so.
    """
    assignments = read_assignments(log)
    window = Window(parse_behavior(DEFAULT_OUTCOME), duration_ms(config.campaign.horizon))
    inquiry = Inquiry(log, config, window, report=report, forecaster=forecaster)
    studied = []
    for done, campaign in enumerate(assignments.campaigns):
        studied.append(_study(inquiry, assignments, campaign))
        report("campaigns", done + 1, len(assignments.campaigns), campaign)
    results = judged([study.result for study in studied], smallest_effect=config.causal.smallest_effect)
    studied = [replace(study, result=result) for study, result in zip(studied, results, strict=True)]
    chosen = _thickest(studied)
    return [
        replace(
            study.result,
            by_person=_by_person(inquiry, study)[0] if study in chosen else _left_out(study),
            policy=Policy(needed=missing_terms(Asked(), config.campaign, study.result.campaign)),
        )
        for study in studied
    ]


def analyze_campaign(  # noqa: PLR0913 - the options of the question
    log: EventLog,
    config: Config,
    campaign_id: str,
    *,
    outcome: str = DEFAULT_OUTCOME,
    horizon: str | None = None,
    by_person: bool = False,
    asked: Asked | None = None,
    forecaster: "Forecaster | None" = None,
    report: Report = quiet,
) -> CampaignResult:
    """Return the effect of one campaign.

    Parameters
    ----------
    outcome : what must happen at least once, in the grammar of behaviors
    horizon : within how long after the assignment, the config's where None
    by_person : whether to tell whom it moves, too
    asked : what may be spent and what it costs and brings; whom to send to is then told, too
    forecaster : the behavior model, whose forecasts join the counts that people are told apart by

    Raises
    ------
    QuestionError
        The campaign or the outcome is not in the log, the log has no times, the horizon is longer than the log, or the
        config has no cost for an arm.
    BehaviorError, ConfigError
        The outcome or the horizon cannot be read.
    """
    window, assignments = require_question(log, config, campaign_id, outcome=outcome, horizon=horizon)
    inquiry = Inquiry(log, config, window, report=report, forecaster=forecaster, is_for_sending=asked is not None)
    study = _study(inquiry, assignments, campaign_id)
    result = judged([study.result], smallest_effect=config.causal.smallest_effect)[0]
    if not by_person and asked is None:
        return result
    found, people = _by_person(inquiry, replace(study, result=result))
    asked = asked or Asked()
    if people is None:
        lacking = missing_terms(asked, config.campaign, campaign_id)
        policy = Policy(needed=lacking) if lacking else Policy(refused=found.refused)
    else:
        policy = policy_of(campaign_id, people, found, result.kind, asked, config)
    return replace(result, by_person=found, policy=policy)


def require_question(
    log: EventLog, config: Config, campaign_id: str, *, outcome: str, horizon: str | None
) -> tuple[Window, Assignments]:
    """Return what is asked, once it is clear that it can be asked of this log; see :func:`analyze_campaign`."""
    window = Window(parse_behavior(outcome), duration_ms(horizon or config.campaign.horizon))
    assignments = read_assignments(log)
    _require_campaign(assignments, campaign_id)
    _require_possible(log, window, explicit_horizon=horizon is not None)
    if str(window.outcome) != DEFAULT_OUTCOME:
        _require_outcome(log, window.outcome)
    return window, assignments


@dataclass(frozen=True)
class Inquiry:
    """What is asked of which log, and with what.

    Attributes
    ----------
    forecaster : the behavior model, None where it is not asked
    is_for_sending : whether people are read as they are now, too
    """

    log: EventLog
    config: Config
    window: Window
    report: Report = quiet
    forecaster: "Forecaster | None" = None
    is_for_sending: bool = False

    @property
    def observed(self) -> Observed:
        """The time in which the log sees everything."""
        return Observed.of(self.log, self.config, self.window.horizon_ms)


@dataclass(frozen=True, eq=False)
class _Study:
    """The answer about a campaign, how it was assigned, and who is compared; no cohort where nobody is."""

    result: CampaignResult
    design: Design
    cohort: Cohort | None = None

    @property
    def thinnest(self) -> int:
        """People of the smaller arm, 0 where either arm has too few with the outcome for a learner."""
        grounds = self.result.checks.get("grounds", {})
        had = min(grounds.get("treated_outcome_users", 0), grounds.get("control_outcome_users", 0))
        n = min(self.result.n_treated, self.result.n_control)
        return n if had >= 2 * MIN_OUTCOME_USERS and n >= MIN_ARM_USERS else 0


def _thickest(studied: list[_Study]) -> list[_Study]:
    """Return the studies that whom they move is told of within a run."""
    able = [study for study in studied if study.thinnest and study.design.sample_ratio["passed"] is not False]
    return sorted(able, key=lambda study: (-study.thinnest, study.result.campaign))[:N_IN_RUN]


def _left_out(study: _Study) -> ByPerson:
    """Return why a run does not tell whom a campaign moves."""
    why = _why_not_by_person(study)
    if why is not None:
        return ByPerson(refused=why)
    ask = f"Ask with `whybuy campaign {study.result.campaign}`."
    return ByPerson(
        refused=f"A run tells it of the {N_IN_RUN} campaigns that the most people speak for. {ask}", is_left_out=True
    )


def _why_not_by_person(study: _Study) -> str | None:
    """Return what stands in the way of effects by person, in words."""
    if study.design.sample_ratio["passed"] is False:
        return "The split of the arms is off (sample-ratio alarm): people were lost on the way into one of them."
    if study.cohort is None:
        return "Nobody can be compared."
    if not study.thinnest:
        n = min(study.result.n_treated, study.result.n_control)
        if n < MIN_ARM_USERS:
            return f"The smaller arm has {n} people; at least {MIN_ARM_USERS} are needed in each."
        held = study.result.checks.get("grounds", {"treated_outcome_users": 0, "control_outcome_users": 0})
        return (
            f"{held['treated_outcome_users']} of those sent it and {held['control_outcome_users']} of the others had "
            f"the outcome; {2 * MIN_OUTCOME_USERS} are needed in each arm: half of them teach, half judge. See whether "
            "the outcome was logged for both."
        )
    return None


def _by_person(inquiry: Inquiry, study: _Study) -> tuple[ByPerson, People | None]:
    """Return whom a campaign moves, and its people; why it is not told, and None, where it cannot be asked."""
    why = _why_not_by_person(study)
    if why is not None or study.cohort is None:
        return ByPerson(refused=why), None
    reader = Reader(
        inquiry.log,
        inquiry.window,
        inquiry.observed,
        forecaster=inquiry.forecaster,
        is_for_sending=inquiry.is_for_sending,
        report=inquiry.report,
    )
    people = reader.people(study.design, study.cohort)
    config = inquiry.config
    return effects_by_person(people, study.design.kind, margin=config.campaign.margin, seed=config.seed), people


def _study(inquiry: Inquiry, assignments: Assignments, campaign: str) -> _Study:
    log, config, window = inquiry.log, inquiry.config, inquiry.window
    design = design_of(assignments.of(campaign), config, campaign)
    observed = inquiry.observed
    if not log.quality.has_times:
        why = "The log has an order of events but no times, and an effect is counted within a horizon."
        return _Study(_unanswered(inquiry, design, campaign, why), design)
    if not design.rows[TREATED].any():
        why = f"Everybody ({len(design.rows):,}) is in a control arm: nobody was sent it."
        return _Study(_unanswered(inquiry, design, campaign, why), design)
    if design.kind == "targeted":
        cohort = targeted_cohort(log, design, observed, campaign)
    else:
        cohort = arms_cohort(design, observed)
    missing = _missing(cohort, design)
    if missing:
        return _Study(_unanswered(inquiry, design, campaign, missing, cohort), design)
    estimate = randomized_result if design.kind == "randomized" else adjusted_result
    result = estimate(log, design, cohort, window, observed, report=inquiry.report)
    redemptions = _redemptions(assignments, campaign, cohort, window)
    checks = {**result.checks, **redemptions, "set_aside": {**design.set_aside, **cohort.set_aside}}
    reasons = (*result.reasons, *_said(redemptions, window))
    return _Study(replace(result, campaign=campaign, checks=checks, reasons=reasons), design, cohort)


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
    inquiry: Inquiry, design: Design, campaign: str, why: str, cohort: Cohort | None = None
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
