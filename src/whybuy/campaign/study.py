"""One campaign of one log: how it was assigned, who is compared, and the effect, not yet judged."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from whybuy import columns as c
from whybuy.campaign.adjusted import adjusted_result
from whybuy.campaign.assignments import TREATED, Assignments, Design, design_of
from whybuy.campaign.cohort import Cohort, Observed, arms_cohort, targeted_cohort
from whybuy.campaign.history import Window
from whybuy.campaign.randomized import randomized_result
from whybuy.campaign.result import CampaignResult, nothing_known
from whybuy.campaign.uplift.rows import MIN_ARM_USERS
from whybuy.causal.effects import Estimate
from whybuy.causal.grounds import MIN_OUTCOME_USERS
from whybuy.config import Config, duration_text
from whybuy.events.log import EventLog
from whybuy.progress import Report, quiet

if TYPE_CHECKING:
    from whybuy.campaign.forecasts import Forecaster


@dataclass(frozen=True)
class Inquiry:
    """What is asked of which log, and with what.

    Attributes
    ----------
    forecaster : the behavior model, None where it is not asked
    """

    log: EventLog
    config: Config
    window: Window
    report: Report = quiet
    forecaster: "Forecaster | None" = None

    @property
    def observed(self) -> Observed:
        """The time in which the log sees everything."""
        return Observed.of(self.log, self.config, self.window.horizon_ms)


@dataclass(frozen=True, eq=False)
class Study:
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


def study_of(inquiry: Inquiry, assignments: Assignments, campaign: str) -> Study:
    """Return who of a campaign is compared, and the effect; why there is none where nobody can be."""
    log, config, window = inquiry.log, inquiry.config, inquiry.window
    design = design_of(assignments.of(campaign), config, campaign)
    observed = inquiry.observed
    if not log.quality.has_times:
        why = "The log has an order of events but no times, and an effect is counted within a horizon."
        return Study(_unanswered(inquiry, design, campaign, why), design)
    if not design.rows[TREATED].any():
        why = f"Everybody ({len(design.rows):,}) is in a control arm: nobody was sent it."
        return Study(_unanswered(inquiry, design, campaign, why), design)
    if design.kind == "targeted":
        cohort = targeted_cohort(log, design, observed, campaign)
    else:
        cohort = arms_cohort(design, observed)
    missing = _missing(cohort, design)
    if missing:
        return Study(_unanswered(inquiry, design, campaign, missing, cohort), design)
    estimate = randomized_result if design.kind == "randomized" else adjusted_result
    result = estimate(log, design, cohort, window, observed, report=inquiry.report)
    redemptions = _redemptions(assignments, campaign, cohort, window)
    checks = {**result.checks, **redemptions, "set_aside": {**design.set_aside, **cohort.set_aside}}
    reasons = (*result.reasons, *_said(redemptions, window))
    return Study(replace(result, campaign=campaign, checks=checks, reasons=reasons), design, cohort)


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
