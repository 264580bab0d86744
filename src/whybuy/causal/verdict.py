"""The rule that turns numbers into one of four words, with reasons.

- **strong**: confirmed, q < .05, every check passed;
- **suggestive**: q < .05, but only scanned or a check short of passing;
- **none**: the 95% interval lies inside plus or minus ``smallest_effect``;
- **cannot_tell**: everything else. "Not significant" is not "none".

Grounds come first: at least 20 users each with treated and with control outcomes, and at least 30 users' worth of
information, else no verdict but ``cannot_tell``, whatever the numbers say.
"""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from whybuy.causal.average import scope
from whybuy.causal.effects import Effect, Estimate, Naive, Verdict
from whybuy.causal.grounds import Grounds
from whybuy.config import CausalConfig
from whybuy.events.behaviors import Behavior, is_funnel

Float64 = npt.NDArray[np.float64]

Q_LIMIT = 0.05


def q_values(p: Float64) -> tuple[Float64, Float64]:
    """Return Benjamini-Hochberg and Benjamini-Yekutieli q-values; NaN stays NaN and is not in the family.

    Source: Benjamini and Hochberg (JRSS B, 1995); Benjamini and Yekutieli (Annals of Statistics, 2001), theorem 1.3.
    """
    bh, by = np.full(len(p), np.nan), np.full(len(p), np.nan)
    known = np.flatnonzero(~np.isnan(p))
    n = len(known)
    if n == 0:
        return bh, by
    order = known[np.argsort(p[known], kind="stable")]
    scaled = p[order] * n / np.arange(1, n + 1)
    monotone = np.minimum.accumulate(scaled[::-1])[::-1]
    bh[order] = np.minimum(monotone, 1)
    by[order] = np.minimum(monotone * (1 / np.arange(1, n + 1)).sum(), 1)
    return bh, by


def judge_scan(effect: Effect, grounds: Grounds | None, config: CausalConfig) -> Effect:
    """Return the scanned effect with its verdict; without ``grounds`` those of an earlier call are kept."""
    if grounds is None:
        held = effect.checks["grounds"]
        grounds = Grounds(n_treated=effect.n_treated, **held)
    effect = replace(effect, checks={**effect.checks, "grounds": grounds.to_json()})
    missing = _ungrounded(effect, grounds)
    if missing:
        return replace(effect, effect=Estimate(estimand="ato"), verdict="cannot_tell", reasons=tuple(missing))
    verdict, reasons = _by_interval(effect, config)
    if verdict == "strong":
        verdict = "suggestive"
        reasons.append("Only scanned with linear nuisances: a scan alone is never strong.")
    return replace(effect, verdict=verdict, reasons=tuple(reasons))


def judge_confirmed(effect: Effect, grounds: Grounds, failed: list[str], config: CausalConfig) -> Effect:
    """Return the confirmed effect with its verdict.

    Parameters
    ----------
    failed : the checks that did not pass, and warnings, in words
    """
    effect = replace(effect, checks={**effect.checks, "grounds": grounds.to_json()})
    missing = _ungrounded(effect, grounds)
    if missing:
        also = tuple(Estimate(estimand=e.estimand) for e in effect.also)
        refusal = replace(effect, effect=Estimate(estimand="ato"), also=also)
        return replace(refusal, verdict="cannot_tell", reasons=tuple(missing))
    verdict, reasons = _by_interval(effect, config)
    reasons += scope(effect)
    fatal = [text for text in failed if text.startswith(FATAL)]
    if fatal:
        return replace(effect, verdict="cannot_tell", reasons=(*reasons, *failed))
    weak = [text for text in failed if not text.startswith(WARNING)]
    if verdict == "strong" and weak:
        verdict = "suggestive"
    if not weak:
        reasons.append("Every check passed." if not failed else "Every check passed, with a warning.")
    return replace(effect, verdict=verdict, reasons=(*reasons, *failed))


FATAL = ("Overlap", "Placebo", "Negative control", "Activity")
"""How the words of checks begin whose failure leaves no answer; the others weaken it."""

WARNING = "Warning"
"""How words begin that leave the verdict alone."""


def refused(treatment: Behavior, outcome: Behavior, horizon: str, why: str) -> Effect:
    """Return the answer to a pair that has no estimate, with the reason."""
    nothing = Naive(
        p_outcome=None,
        p_treatment=None,
        p_joint=None,
        p_outcome_given_treatment=None,
        p_treatment_given_outcome=None,
        lift=None,
        difference=None,
    )
    return Effect(
        treatment=str(treatment),
        outcome=str(outcome),
        horizon=horizon,
        design="step",
        n_trials=0,
        n_treated=0,
        n_users=0,
        method="scan",
        naive=nothing,
        effect=Estimate(estimand="ato"),
        verdict="cannot_tell",
        reasons=(why,),
        checks={"grounds": {"treated_outcome_users": 0, "control_outcome_users": 0, "effective_users": 0.0}},
        funnel=is_funnel(treatment, outcome),
    )


def _ungrounded(effect: Effect, grounds: Grounds) -> list[str]:
    missing = grounds.missing()
    if not missing and effect.effect.estimate is None:
        missing = ["The residual treatment does not vary: the behavior is perfectly predicted or never free."]
    return missing


def _by_interval(effect: Effect, config: CausalConfig) -> tuple[Verdict, list[str]]:
    e = effect.effect
    if e.estimate is None or e.ci_low is None or e.ci_high is None:
        return "cannot_tell", ["No estimate could be computed."]
    small = config.smallest_effect
    reasons = [
        f"Adjusted effect {100 * e.estimate:+.2f} in 100 {effect.unit}, 95% interval "
        f"[{100 * e.ci_low:+.2f}, {100 * e.ci_high:+.2f}]."
    ]
    if effect.funnel:
        reasons.append("The behavior is a stage on the way to this outcome (funnel): kept out of headlines.")
    if -small < e.ci_low and e.ci_high < small:
        reasons.append(f"The interval lies inside plus or minus {100 * small:g} in 100: no effect worth acting on.")
        return "none", reasons
    q = e.q_value if e.q_value is not None else e.p_value
    if q is not None and q < Q_LIMIT:
        if effect.naive.difference is not None and effect.naive.difference * e.estimate < 0:
            reasons.append("Co-occurrence has the wrong sign.")
        return "strong", reasons
    reasons.append("The interval is too wide or too near zero to tell an effect from none.")
    return "cannot_tell", reasons
