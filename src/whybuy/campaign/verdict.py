"""The rule that turns a campaign's numbers into one of four words, with reasons.

- **strong**: q < .05 and randomized with no check failed, or adjusted with every check passed;
- **suggestive**: q < .05 with a check short of passing, or arms without a ground for randomness;
- **none**: the 95% interval lies inside plus or minus ``smallest_effect``;
- **cannot_tell**: everything else: too few people with the outcome, weak overlap, a split that is off.

A re-timed past outcome (``placebo``) only warns: a campaign that picks people by their last days fails it by design.
"""

from dataclasses import replace
from statistics import NormalDist

import numpy as np

from whybuy.campaign.result import CampaignResult
from whybuy.causal.effects import Estimate, Verdict
from whybuy.causal.grounds import MIN_EFFECTIVE_USERS, MIN_OUTCOME_USERS
from whybuy.causal.verdict import Q_LIMIT, q_values


def judged(results: list[CampaignResult], *, smallest_effect: float) -> list[CampaignResult]:
    """Return the results with q-values over all of them, intervals adjusted for selection, verdicts and reasons."""
    grounded = [_grounded(result) for result in results]
    p = np.array([np.nan if r.effect.p_value is None else r.effect.p_value for r in grounded], float)
    bh, by = q_values(p)
    n_family, n_selected = int((~np.isnan(p)).sum()), int((bh < Q_LIMIT).sum())
    out = []
    for result, q, q_by in zip(grounded, bh, by, strict=True):
        if result.effect.p_value is not None:
            selected = (n_selected, n_family) if q < Q_LIMIT else None
            result = replace(result, effect=_adjusted_for_choice(result.effect, float(q), float(q_by), selected))
        verdict, reasons = _verdict(result, smallest_effect)
        out.append(replace(result, verdict=verdict, reasons=(*reasons, *result.reasons)))
    return out


def judged_alone(result: CampaignResult, n_campaigns: int, *, smallest_effect: float) -> CampaignResult:
    """Return the result judged by itself, and why a list of all ``n_campaigns`` of the log may say less of it."""
    alone = judged([result], smallest_effect=smallest_effect)[0]
    # A q-value is at most the p-value times the number of campaigns: below the limit no list can say less.
    may_be_chance = (alone.effect.p_value or 0) * n_campaigns >= Q_LIMIT
    if not may_be_chance or alone.verdict not in ("strong", "suggestive"):
        return alone
    said = (
        f"Judged by itself: the list of all {n_campaigns} campaigns goes by q-values over all of them, since of many "
        "some look good by chance, and may say cannot_tell."
    )
    return replace(alone, reasons=(*alone.reasons, said))


def _adjusted_for_choice(e: Estimate, q: float, q_by: float, selected: tuple[int, int] | None) -> Estimate:
    """Return the estimate with q-values, and for the selected R of m the interval at level 1 - .05 R / m.

    Source: Benjamini and Yekutieli, False discovery rate-adjusted multiple confidence intervals (JASA, 2005).
    """
    e = replace(e, q_value=q, q_value_by=q_by)
    if selected is None or e.estimate is None or e.std_error is None:
        return e
    z = NormalDist().inv_cdf(1 - 0.025 * selected[0] / selected[1])
    return replace(e, selected_low=e.estimate - z * e.std_error, selected_high=e.estimate + z * e.std_error)


def _grounded(result: CampaignResult) -> CampaignResult:
    """Return the result, its estimates taken away where nothing carries them."""
    missing = missing_grounds(result)
    if not missing:
        return result
    nothing = tuple(Estimate(estimand=e.estimand) for e in result.also)
    return replace(
        result, effect=Estimate(estimand=result.effect.estimand), also=nothing, reasons=(*missing, *result.reasons)
    )


def missing_grounds(result: CampaignResult) -> list[str]:
    """Return what an answer lacks, in words; empty where the grounds suffice or an earlier reason says it all."""
    held = result.checks.get("grounds")
    if held is None:
        return []
    found = []
    sides = (("treated_outcome_users", "people sent it"), ("control_outcome_users", "controls"))
    for key, who in sides:
        if held[key] < MIN_OUTCOME_USERS:
            found.append(f"Only {held[key]} of the {who} had the outcome; {MIN_OUTCOME_USERS} are needed.")
    if not found and held["effective_users"] < MIN_EFFECTIVE_USERS:
        found.append(
            f"The estimate rests on {held['effective_users']:.0f} people's worth of information; "
            f"{MIN_EFFECTIVE_USERS:.0f} are needed."
        )
    return found


def _verdict(result: CampaignResult, smallest: float) -> tuple[Verdict, list[str]]:
    e = result.effect
    if e.estimate is None or e.ci_low is None or e.ci_high is None:
        return "cannot_tell", [] if result.reasons else ["No estimate could be computed."]
    reasons = [
        f"Being sent it changes {result.outcome} within {result.horizon} by {100 * e.estimate:+.2f} in 100 people, "
        f"95% interval [{100 * e.ci_low:+.2f}, {100 * e.ci_high:+.2f}]."
    ]
    fatal, weak, warnings = _failures(result)
    reasons += [*fatal, *weak, *warnings]
    if fatal:
        return "cannot_tell", reasons
    if -smallest < e.ci_low and e.ci_high < smallest:
        reasons.append(f"The interval lies inside plus or minus {100 * smallest:g} in 100: no effect worth acting on.")
        return "none", reasons
    q = e.q_value if e.q_value is not None else e.p_value
    if q is None or q >= Q_LIMIT:
        reasons.append(
            f"The interval leaves zero out, but among all campaigns judged that happens by chance (q = {q:.2g})."
            if q is not None and e.ci_low * e.ci_high > 0
            else "The interval is too wide or too near zero to tell an effect from none."
        )
        return "cannot_tell", reasons
    if weak or result.kind == "unknown":
        return "suggestive", reasons
    return "strong", [*reasons, "Every check passed."]


def _failures(result: CampaignResult) -> tuple[list[str], list[str], list[str]]:
    """Return the checks that did not pass, in words: those that leave no answer, that weaken it, that only warn."""
    checks = result.checks

    def failed(name: str) -> bool:
        return checks.get(name, {}).get("passed") is False

    fatal, weak, warnings = [], [], []
    if failed("sample_ratio"):
        fatal.append(
            f"Sample ratio: {_split(checks['sample_ratio'])} would happen by chance with p = "
            f"{checks['sample_ratio']['p_value']:.1g}. People were lost on the way into one arm: find out where first."
        )
    if failed("overlap"):
        fatal.append(f"Overlap is weak: {checks['overlap']['ess']:.0f} effective people in one arm, too few alike.")
    if failed("balance"):
        balance = checks["balance"]
        weak.append(
            "Balance: what people did before predicts their arm, which a random draw does not do."
            if result.kind == "randomized"
            else f"Balance: a covariate still differs by {balance['max_smd_after']:.2f} standard deviations."
        )
    if failed("nuisance"):
        weak.append("Nuisance: who was sent it, or who buys, is predicted worse than by the base rate.")
    # Where the interval holds zero there is no effect to explain away.
    if failed("sensitivity") and (result.effect.p_value or 0) < Q_LIMIT:
        group = checks["sensitivity"]["strongest_group"]
        weak.append(f"Sensitivity: a hidden reason as strong as {group} could explain the effect.")
    if failed("joint"):
        weak.append("Other campaigns were received within the window: a joint effect is linear, at most suggestive.")
    if failed("placebo"):
        warnings.append(
            "Warning: the outcome differed already in the time before (picking people by their last days does that)."
        )
    return fatal, weak, warnings


def _split(check: dict[str, dict[str, float]]) -> str:
    found = ", ".join(f"{n:,} in {arm}" for arm, n in check["observed"].items())
    wanted = ", ".join(f"{check['expected'].get(arm, 0):,.0f}" for arm in check["observed"])
    return f"{found} instead of {wanted}"
