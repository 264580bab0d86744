"""From a log to the answer about one campaign, or about all of them."""

from dataclasses import replace
from typing import TYPE_CHECKING

from whybuy.campaign.asked import Asked, missing_terms
from whybuy.campaign.assignments import read_assignments
from whybuy.campaign.by_person import ByPerson, effects_by_person
from whybuy.campaign.history import Window
from whybuy.campaign.inquiry import Inquiry
from whybuy.campaign.people import People, Reader, everybody_now
from whybuy.campaign.policy import Policy, policy_of
from whybuy.campaign.question import DEFAULT_OUTCOME, require_question
from whybuy.campaign.result import CampaignResult
from whybuy.campaign.study import Study, study_of, with_further
from whybuy.campaign.uplift.rows import MIN_ARM_USERS
from whybuy.campaign.verdict import judged, judged_alone
from whybuy.causal.grounds import MIN_OUTCOME_USERS
from whybuy.config import Config, duration_ms
from whybuy.events.behaviors import parse_behavior
from whybuy.events.log import EventLog
from whybuy.progress import Report, quiet

if TYPE_CHECKING:
    from whybuy.campaign.forecasts import Forecaster

N_IN_RUN = 3
"""Campaigns that a run tells whom they move of: each takes seconds for the counts, the forecasts and the learners."""

_STEPS = _EFFECT, _BESIDE, _MOVED, _SENDING = (
    "the effect",
    "arms, time, other campaigns, redeeming",
    "whom it moves",
    "whom to send it to",
)
"""Of one campaign, as its progress shows them."""


def analyze_campaigns(
    log: EventLog, config: Config, *, forecaster: "Forecaster | None" = None, report: Report = quiet
) -> list[CampaignResult]:
    """Return the effect of every campaign of the log, by campaign id, with q-values over all of them.

    A campaign that cannot be judged is answered with ``cannot_tell`` and why. A log without campaigns gives no results.
    Whom they move is told of the three that the most people speak for, so that a run stays short; the others say so.
    """
    assignments = read_assignments(log)
    window = Window(parse_behavior(DEFAULT_OUTCOME), duration_ms(config.campaign.horizon))
    inquiry = Inquiry(log, config, window, report=report, forecaster=forecaster)
    studied = []
    for done, campaign in enumerate(assignments.campaigns):
        report("campaigns", done, len(assignments.campaigns), campaign)
        studied.append(with_further(inquiry, study_of(inquiry, assignments, campaign)))
    report("campaigns", len(studied), len(studied))
    results = judged([study.result for study in studied], smallest_effect=config.causal.smallest_effect)
    studied = [replace(study, result=result) for study, result in zip(studied, results, strict=True)]
    chosen = _thickest(studied)
    return [
        _with_people(inquiry, study, Asked())
        if study in chosen
        else replace(study.result, by_person=_left_out(study), policy=_no_policy(inquiry, study, Asked()))
        for study in studied
    ]


def analyze_campaign(  # noqa: PLR0913 - the options of the question
    log: EventLog,
    config: Config,
    campaign_id: str,
    *,
    outcome: str | None = None,
    horizon: str | None = None,
    by_person: bool = False,
    asked: Asked | None = None,
    forecaster: "Forecaster | None" = None,
    report: Report = quiet,
) -> CampaignResult:
    """Return the effect of one campaign.

    Parameters
    ----------
    outcome : what must happen at least once, in the grammar of behaviors; any purchase where None
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
    inquiry = Inquiry(log, config, window, report=report, forecaster=forecaster)
    if asked is not None and missing_terms(asked, config.campaign, campaign_id) is None:
        inquiry = foretelling_everybody(inquiry)
    _begin(inquiry, _EFFECT)
    study = study_of(inquiry, assignments, campaign_id)
    _begin(inquiry, _BESIDE)
    study = with_further(inquiry, study)
    result = judged_alone(study.result, len(assignments.campaigns), smallest_effect=config.causal.smallest_effect)
    if not by_person and asked is None:
        return result
    found = _with_people(inquiry, replace(study, result=result), asked or Asked())
    report("campaign", len(_STEPS), len(_STEPS))
    return found


def _thickest(studied: list[Study]) -> list[Study]:
    """Return the studies that whom they move is told of within a run."""
    able = [study for study in studied if study.thinnest and study.design.sample_ratio["passed"] is not False]
    return sorted(able, key=lambda study: (-study.thinnest, study.result.campaign))[:N_IN_RUN]


def _left_out(study: Study) -> ByPerson:
    """Return why a run does not tell whom a campaign moves."""
    why = _why_not_by_person(study)
    if why is not None:
        return ByPerson(refused=why)
    ask = f"Ask with `whybuy campaign {study.result.campaign}`."
    return ByPerson(
        refused=f"A run tells it of the {N_IN_RUN} campaigns that the most people speak for. {ask}", is_left_out=True
    )


def _why_not_by_person(study: Study) -> str | None:
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


def _begin(inquiry: Inquiry, step: str) -> None:
    inquiry.report("campaign", _STEPS.index(step), len(_STEPS), step)


def _with_people(inquiry: Inquiry, study: Study, asked: Asked) -> CampaignResult:
    """Return the answer with whom the campaign moves and, where nothing is lacking for it, whom to send it to."""
    _begin(inquiry, _MOVED)
    lacking = missing_terms(asked, inquiry.config.campaign, study.result.campaign)
    found, people = by_person_of(inquiry, study, is_for_sending=lacking is None)
    if people is None or lacking is not None:
        return replace(study.result, by_person=found, policy=Policy(needed=lacking, refused=found.refused))
    _begin(inquiry, _SENDING)
    policy = policy_of(study.result.campaign, people, found, study.result.kind, asked, inquiry)
    return replace(study.result, by_person=found, policy=policy)


def _no_policy(inquiry: Inquiry, study: Study, asked: Asked) -> Policy:
    lacking = missing_terms(asked, inquiry.config.campaign, study.result.campaign)
    return Policy(needed=lacking, refused=None if lacking else _left_out(study).refused)


def foretelling_everybody(inquiry: Inquiry) -> Inquiry:
    """Return the inquiry of a plan: its first forecast is of everybody now as well, so that the log is read once."""
    if inquiry.forecaster is None:
        return inquiry
    from whybuy.campaign.forecasts import Forecaster, Remembering

    assert isinstance(inquiry.forecaster, Forecaster), "asked once"
    later = everybody_now(inquiry.log, inquiry.observed)
    return replace(inquiry, forecaster=Remembering(inquiry.forecaster, later))


def by_person_of(inquiry: Inquiry, study: Study, *, is_for_sending: bool) -> tuple[ByPerson, People | None]:
    """Return whom a campaign moves, and its people; why it is not told, and None, where it cannot be asked."""
    why = _why_not_by_person(study)
    if why is not None or study.cohort is None:
        return ByPerson(refused=why), None
    reader = Reader(
        inquiry.log,
        inquiry.window,
        inquiry.observed,
        forecaster=inquiry.forecaster,
        is_for_sending=is_for_sending,
        report=inquiry.report,
    )
    people = reader.people(study.design, study.cohort)
    config = inquiry.config
    found = effects_by_person(
        people, study.design.kind, margin=config.campaign.margin, seed=config.seed, report=inquiry.report
    )
    return found, people
