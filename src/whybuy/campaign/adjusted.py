"""The effect of a campaign that picked its people: adjusted for what they did before, with every check."""

from collections.abc import Callable
from dataclasses import replace
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd

from whybuy import columns as c
from whybuy.campaign.assignments import Design
from whybuy.campaign.cohort import Cohort, Observed, only_active, sampled
from whybuy.campaign.compare import Comparison
from whybuy.campaign.compared import Compared
from whybuy.campaign.estimate import effect_on_the_treated, overlap_weighted
from whybuy.campaign.exposures import Exposures
from whybuy.campaign.history import Bools, History, Window, history_of
from whybuy.campaign.inquiry import Inquiry
from whybuy.campaign.joint import joint_of
from whybuy.campaign.nuisance import Float64, Nuisances, People, crossfit, fit_nuisances
from whybuy.campaign.randomized import grounds_of, naive_of, placebo_check
from whybuy.campaign.result import CampaignResult
from whybuy.campaign.segments import segment_effects, segment_notes
from whybuy.causal.checks import Balance, LoggedStrength, PairData, overlap, sensitivity, strongest_group
from whybuy.causal.checks.nuisance import TOLERATED
from whybuy.causal.effects import Estimate
from whybuy.causal.grounds import MIN_OUTCOME_USERS
from whybuy.config import duration_text
from whybuy.events.log import EventLog

MIN_ESS = 100.0
"""Effective people in the scarcer arm below which normal intervals are not to be trusted."""
MAX_SMD, LARGEST_SMD_LIMIT = 0.1, 0.25


def adjusted_result(
    inquiry: Inquiry, design: Design, cohort: Cohort, others: Callable[[pd.DataFrame], Exposures]
) -> tuple[CampaignResult, Compared | None]:
    """Return the adjusted effect of a targeted or unknown campaign, not yet judged, and the people it was told from.

    Parameters
    ----------
    others : returns who of the people at the moments of some rows received which other campaigns
    """
    log, window, observed = inquiry.log, inquiry.window, inquiry.observed
    cohort = sampled(cohort)
    history = history_of(log, cohort.rows, window, report=inquiry.report)
    if design.kind == "targeted":
        history, cohort = history.keep(history.active), only_active(cohort, history.active)
    exposures = others(cohort.rows)
    history = _with_exposures(history, exposures)
    treated, outcome = cohort.treated, history.outcome
    shared: dict[str, Any] = {
        "campaign": "",
        "kind": design.kind,
        "naive": naive_of(treated, outcome),
        "outcome": str(window.outcome),
        "horizon": duration_text(window.horizon_ms),
        "n_treated": int(treated.sum()),
        "n_control": int((~treated).sum()),
    }
    checks: dict[str, dict[str, Any]] = {"sample_ratio": design.sample_ratio}
    notes = (*design.notes, *cohort.notes)
    nothing = Estimate(estimand="ato")
    why_not = _nothing_to_adjust(treated, history)
    if why_not:
        return CampaignResult(effect=nothing, checks=checks, reasons=(why_not, *notes), **shared), None
    checks["grounds"] = grounds_of(treated, outcome, 0.0)
    if min((treated & outcome).sum(), (~treated & outcome).sum()) < MIN_OUTCOME_USERS:
        # Too thin for any answer, so that models are not worth their time.
        return CampaignResult(effect=nothing, checks=checks, reasons=notes, **shared), None
    users = cohort.rows[c.USER].to_numpy(object)
    nuisances = fit_nuisances(People.of(history.X, users), treated, outcome, seed=observed.seed)
    alone = _pair_data(cohort.rows[c.USER], treated, outcome, nuisances)
    comparison = Comparison.of(cohort.rows, treated, history.X, nuisances.e)
    joint = joint_of(comparison, exposures)
    if joint.is_material:
        comparison = replace(comparison, others=joint.residuals)
    data = comparison.pair_data(outcome, expected=nuisances.m)
    effect, effective_users = overlap_weighted(data)
    also = effect_on_the_treated(alone, nuisances)
    if joint.is_material:
        # Of those who were sent it too, the effect alone would be that of all their campaigns.
        also = replace(overlap_weighted(alone)[0], estimand="ato_alone")
        effect = effect if joint.can_be_told_apart else nothing
    checks["grounds"] = grounds_of(treated, outcome, effective_users)
    checks |= _checks(alone, history, effect) | {"joint": joint.to_json()}
    checks["placebo"] = _placebo(log, cohort, window, observed)
    segments = segment_effects(
        log,
        cohort.rows[c.USER],
        treated,
        outcome,
        # Of no effect there are no parts.
        lambda rows: nothing if effect.estimate is None else overlap_weighted(data.rows(rows))[0],
        estimand="ato",
    )
    result = CampaignResult(
        effect=effect,
        also=(also,),
        segments=segments,
        reasons=(*notes, *_before_notes(exposures), *joint.notes(), *segment_notes(segments, inquiry.config.protected)),
        checks=checks,
        **shared,
    )
    return result, Compared(comparison, outcome, exposures, joint)


def _with_exposures(history: History, exposures: Exposures) -> History:
    """Return the history with other campaigns received before among the covariates."""
    block, names = exposures.covariates()
    varies = np.flatnonzero(np.ptp(block, axis=0) > 0) if len(block) else np.arange(0)
    return replace(
        history,
        X=np.hstack([history.X, block[:, varies]]),
        names=[*history.names, *(names[i] for i in varies)],
        groups=[*history.groups, *["other campaigns"] * len(varies)],
    )


def _before_notes(exposures: Exposures) -> list[str]:
    if not exposures.n_before.any():
        return []
    share = 100 * float((exposures.n_before > 0).mean())
    return [f"Other campaigns received before ({share:.0f}% of the people had received one) are covariates."]


def _nothing_to_adjust(treated: Bools, history: History) -> str | None:
    """Return why nobody can be adjusted, or None."""
    if treated.all() or not treated.any():
        who = "others were" if treated.all() else "of the people sent it was"
        return f"None {who} active before: there is nobody to compare with."
    if history.X.shape[1] == 0:
        return "Nothing is known of these people before: there is nothing to adjust for."
    return None


def _pair_data(user_ids: pd.Series, treated: Bools, outcome: Bools, nuisances: Nuisances) -> PairData:
    user = user_ids.ne(user_ids.shift()).cumsum().to_numpy(np.int64) - 1
    return PairData(treated.astype(float), outcome.astype(float), nuisances.e, nuisances.m, user)


def _checks(data: PairData, history: History, effect: Estimate) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    over = overlap(data)
    found["overlap"] = {**over, "passed": bool(over["ess"] >= MIN_ESS)}
    after = Balance(history.X)(data)
    limit = smd_limit(over["ess"], history.X.shape[1])
    found["balance"] = {**after, "limit": limit, "passed": bool(after["max_smd_after"] <= limit)}
    found["nuisance"] = _nuisance_losses(data)
    found["sensitivity"] = _sensitivity(data, history, effect)
    return found


def smd_limit(ess: float, n_covariates: int) -> float:
    """Return the largest standardized difference that passes: .1, or what chance makes of many, at most .25."""
    if ess <= 0:
        return MAX_SMD
    by_chance = NormalDist().inv_cdf(1 - 0.025 / max(n_covariates, 1)) * float(np.sqrt(2 / ess))
    return float(np.clip(by_chance, MAX_SMD, LARGEST_SMD_LIMIT))


def _nuisance_losses(data: PairData) -> dict[str, float | bool]:
    out: dict[str, float | bool] = {}
    passed = True
    for kind, y, p in (("e", data.T, data.e), ("m", data.Y, data.m)):
        rate = float(y.mean())
        loss, base = _log_loss(y, p), _log_loss(y, np.full(len(y), rate))
        out |= {f"{kind}_base_rate": rate, f"{kind}_log_loss": loss, f"{kind}_log_loss_base": base}
        passed &= loss <= TOLERATED * base
    return {**out, "passed": passed}


def _log_loss(y: Float64, p: Float64) -> float:
    p = np.clip(p, 1e-12, 1 - 1e-12)
    return float(-(y * np.log(p) + (1 - y) * np.log1p(-p)).mean())


def _sensitivity(data: PairData, history: History, effect: Estimate) -> dict[str, Any]:
    nothing = {"e_value": None, "robustness_value": None, "passed": None}
    if effect.estimate is None or effect.std_error is None:
        return nothing
    strength = LoggedStrength(history.X, history.by_group())
    if not strength.groups:
        return nothing
    strongest = strongest_group(strength.partial_r2(data.T), strength.partial_r2(data.Y))
    return dict(sensitivity(data, effect.estimate, effect.std_error, strongest))


def _placebo(log: EventLog, cohort: Cohort, window: Window, observed: Observed) -> dict[str, Any]:
    """Return the effect on the outcome one horizon *before*, adjusted for what came before that.

    A campaign that picks people by what they did in the last days fails this with no confounding left: it only warns.
    """
    earlier = cohort.rows.assign(**{c.TIME_MS: cohort.rows[c.TIME_MS] - observed.horizon_ms})
    seen = observed.has_history(earlier[c.TIME_MS]).to_numpy(bool)
    shifted = Cohort(earlier).keep(seen)
    estimate = Estimate(estimand="placebo")
    if len(shifted):
        history = history_of(log, shifted, window)
        rows = Cohort(Cohort(shifted).keep(history.active))
        estimate = _placebo_effect(rows, history.keep(history.active), observed.seed)
    return placebo_check(estimate)


def _placebo_effect(cohort: Cohort, history: History, seed: int) -> Estimate:
    treated, outcome = cohort.treated, history.outcome
    if min(treated.sum(), (~treated).sum()) < MIN_ESS or history.X.shape[1] == 0:
        return Estimate(estimand="placebo")
    people = People.of(history.X, cohort.rows[c.USER].to_numpy(object))
    everybody = np.ones(len(treated), bool)
    e, m = (crossfit(people, y, everybody, seed=seed, boost=False) for y in (treated, outcome))
    return overlap_weighted(_pair_data(cohort.rows[c.USER], treated, outcome, Nuisances(e, m, m)))[0]
