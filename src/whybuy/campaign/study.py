"""One campaign of one log: how it was assigned, who is compared, and the effect, not yet judged."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from whybuy import columns as c
from whybuy.campaign.adjusted import adjusted_result
from whybuy.campaign.assignments import TREATED, Assignments, Design, design_of
from whybuy.campaign.cohort import Cohort, arms_cohort, targeted_cohort
from whybuy.campaign.compared import Compared
from whybuy.campaign.exposures import exposures_of
from whybuy.campaign.further import further_of
from whybuy.campaign.history import Window
from whybuy.campaign.inquiry import Inquiry
from whybuy.campaign.randomized import randomized_result
from whybuy.campaign.result import CampaignResult, nothing_known
from whybuy.campaign.uplift.rows import MIN_ARM_USERS
from whybuy.campaign.verdict import missing_grounds
from whybuy.causal.effects import Estimate
from whybuy.causal.grounds import MIN_OUTCOME_USERS
from whybuy.config import duration_text

MAX_IN_TWO_ARMS = 0.05
"""Who ends up in two arms is no accident: with more of them, what is left is no draw any more."""


@dataclass(frozen=True, eq=False)
class Study:
    """The answer about a campaign, how it was assigned, and who is compared; no cohort where nobody is."""

    result: CampaignResult
    design: Design
    cohort: Cohort | None = None
    compared: Compared | None = None

    @property
    def thinnest(self) -> int:
        """People of the smaller arm, 0 where either arm has too few with the outcome for a learner."""
        grounds = self.result.checks.get("grounds", {})
        had = min(grounds.get("treated_outcome_users", 0), grounds.get("control_outcome_users", 0))
        n = min(self.result.n_treated, self.result.n_control)
        return n if had >= 2 * MIN_OUTCOME_USERS and n >= MIN_ARM_USERS else 0


def study_of(inquiry: Inquiry, assignments: Assignments, campaign: str) -> Study:
    """Return who of a campaign is compared, and the effect; why there is none where nobody can be."""
    log, config, window = inquiry.log, inquiry.config, inquiry.window
    design = design_of(assignments.of(campaign), config, campaign)
    why = _unusable(design, has_times=log.quality.has_times)
    if why is not None:
        return Study(_unanswered(inquiry, design, campaign, why), design)
    if design.kind == "targeted":
        cohort = targeted_cohort(log, design, inquiry.observed, campaign)
    else:
        cohort = arms_cohort(design, inquiry.observed)
    missing = _missing(cohort, design)
    if missing:
        return Study(_unanswered(inquiry, design, campaign, missing, cohort), design)
    others = partial(exposures_of, assignments, config.campaign.controls, campaign, horizon_ms=window.horizon_ms)
    estimate = randomized_result if design.kind == "randomized" else adjusted_result
    result, compared = estimate(inquiry, design, cohort, others)
    redemptions = _redemptions(assignments, campaign, cohort, window)
    checks = {**result.checks, **redemptions, "set_aside": {**design.set_aside, **cohort.set_aside}}
    reasons = (*result.reasons, *_said(redemptions, window))
    return Study(replace(result, campaign=campaign, checks=checks, reasons=reasons), design, cohort, compared)


def with_further(inquiry: Inquiry, study: Study) -> Study:
    """Return the study with what its people tell beside the effect; as it is where nothing carries an effect."""
    if study.compared is None or study.result.effect.estimate is None or missing_grounds(study.result):
        return study
    further = further_of(inquiry, study.result.campaign, study.design.treated_arms, study.compared)
    reasons = (*study.result.reasons, *further.notes)
    return replace(study, result=replace(study.result, further=further, reasons=reasons))


def _unusable(design: Design, *, has_times: bool) -> str | None:
    """Return why the assignments themselves allow no answer, or None."""
    if not has_times:
        return "The log has an order of events but no times, and an effect is counted within a horizon."
    in_two, n = design.set_aside.get("in_two_arms", 0), len(design.everyone)
    if in_two > MAX_IN_TWO_ARMS * n:
        return (
            f"{in_two:,} of {n:,} people are logged in more than one arm; at most {100 * MAX_IN_TWO_ARMS:.0f}% may be "
            "set aside. Log the arm that people were drawn for, once."
        )
    if not design.rows[TREATED].any():
        return f"Everybody ({len(design.rows):,}) is in a control arm: nobody was sent it."
    return None


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
