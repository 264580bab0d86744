"""The effect of a campaign that was assigned at random: two proportions, sharpened by what people did before.

The covariate is one number per person: what counts before the assignment and the behavior model's forecast at it let
expect, learned from other users. Where nothing is known before, the effect is the plain difference, which stands in
``also`` in any case; beside it the interval that holds however often one looks.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from whybuy import columns as c
from whybuy.campaign.assignments import MIN_RATIO_P, Design
from whybuy.campaign.cohort import Cohort, Observed
from whybuy.campaign.compare import Comparison
from whybuy.campaign.compared import Compared
from whybuy.campaign.estimate import difference
from whybuy.campaign.exposures import Exposures
from whybuy.campaign.history import Bools, Floats, History, history_of
from whybuy.campaign.inquiry import Inquiry
from whybuy.campaign.joint import Joint, joint_of
from whybuy.campaign.peeking import always_valid
from whybuy.campaign.result import CampaignResult
from whybuy.campaign.segments import segment_effects, segment_notes
from whybuy.causal.checks import Balance, PairData
from whybuy.causal.effects import Estimate, Naive
from whybuy.config import duration_text

_NOT_NEEDED = {"passed": None, "note": "not needed where people were assigned at random"}


def randomized_result(
    inquiry: Inquiry, design: Design, cohort: Cohort, others: Callable[[pd.DataFrame], Exposures]
) -> tuple[CampaignResult, Compared]:
    """Return the effect of a randomized campaign, not yet judged, and the people it was told from.

    Parameters
    ----------
    others : returns who of the people at the moments of some rows received which other campaigns
    """
    log, window = inquiry.log, inquiry.window
    history = history_of(log, cohort.rows, window, detailed=False, report=inquiry.report)
    treated, outcome = cohort.treated, history.outcome
    foretold = foretold_at(inquiry, cohort.rows)
    comparison = Comparison.of(cohort.rows, treated, np.hstack([history.X, foretold]), None)
    expected = comparison.foretold(outcome)
    plain = difference(treated, outcome, estimand="ate_difference")
    sharper = comparison.effect(outcome, expected=expected)
    exposures = others(cohort.rows)
    joint = joint_of(comparison, exposures)
    segments = segment_effects(
        log,
        cohort.rows[c.USER],
        treated,
        outcome,
        lambda rows: comparison.keep(rows).effect(outcome[rows], expected=expected[rows]),
        estimand="ate",
    )
    result = CampaignResult(
        campaign="",
        kind=design.kind,
        effect=sharper,
        also=(plain, always_valid(sharper, len(treated))),
        naive=naive_of(treated, outcome),
        outcome=str(window.outcome),
        horizon=duration_text(window.horizon_ms),
        n_treated=int(treated.sum()),
        n_control=int((~treated).sum()),
        segments=segments,
        reasons=(
            *design.notes,
            *cohort.notes,
            *_with_others(joint),
            *segment_notes(segments, inquiry.config.protected),
        ),
        checks={
            "grounds": grounds_of(treated, outcome, float(len(outcome))),
            "sample_ratio": design.sample_ratio,
            "overlap": _overlap(treated),
            "balance": _balance(treated, history),
            "precision": precision(plain, sharper, history.names, foretold.shape[1]),
            "joint": {**joint.to_json(), **_NOT_NEEDED},
            "nuisance": dict(_NOT_NEEDED),
            "placebo": _placebo(cohort.rows, history, treated, inquiry.observed),
            "sensitivity": {"e_value": None, "robustness_value": None, **_NOT_NEEDED},
        },
    )
    return result, Compared(comparison, outcome, exposures, joint)


def _with_others(joint: Joint) -> list[str]:
    """Return what other campaigns of the window mean for a drawn one, in words."""
    if not joint.is_material:
        return []
    share = 100 * max(joint.shares)
    return [
        f"Up to {share:.0f}% of an arm received other campaigns within the window: drawn at random, the effect is that "
        "of this one among people who were mailed as they were."
    ]


def foretold_at(inquiry: Inquiry, rows: pd.DataFrame) -> Floats:
    """Return (n, k) what the behavior model foretells at the assignments; no columns without a model."""
    if inquiry.forecaster is None:
        return np.empty((len(rows), 0), np.float32)
    return inquiry.forecaster.at(rows, inquiry.window.horizon_ms, report=inquiry.report)


def precision(plain: Estimate, sharper: Estimate, names: list[str], n_forecasts: int) -> dict[str, Any]:
    """Return how much of the variance of the plain difference what people did before takes away."""
    facts: dict[str, Any] = {"n_covariates": len(names), "n_forecasts": n_forecasts, "variance_reduction": None}
    if plain.std_error is None or sharper.std_error is None:
        return facts
    return {**facts, "variance_reduction": 1 - (sharper.std_error / plain.std_error) ** 2}


def naive_of(treated: Bools, outcome: Bools) -> Naive:
    """Return the plain comparison of the sent with the others."""
    return Naive.of_counts(
        n=len(treated), treated=int(treated.sum()), outcome=int(outcome.sum()), joint=int((treated & outcome).sum())
    )


def grounds_of(treated: Bools, outcome: Bools, effective_users: float) -> dict[str, float | int]:
    """Return what an estimate stands on."""
    return {
        "treated_outcome_users": int((treated & outcome).sum()),
        "control_outcome_users": int((~treated & outcome).sum()),
        "effective_users": effective_users,
    }


def _overlap(treated: Bools) -> dict[str, float | bool]:
    share = float(treated.mean())
    smaller = float(min(treated.sum(), (~treated).sum()))
    return {"ess": smaller, "min_e": share, "max_e": share, "passed": True}


def _balance(treated: Bools, history: History) -> dict[str, float | bool | None]:
    """Return the largest difference in what people did before, and whether all of them together are chance."""
    share = np.full(len(treated), treated.mean())
    T, Y = treated.astype(float), history.outcome.astype(float)
    data = PairData(T, Y, share, share, np.arange(len(T)))
    p = _omnibus_p(treated, history.X)
    return {**Balance(history.X)(data), "p_value": p, "passed": None if p is None else bool(p >= MIN_RATIO_P)}


def _omnibus_p(treated: Bools, X: Floats) -> float | None:
    """Return the p-value of "what people did before says nothing about their arm": n R2 is chi-square."""
    if X.shape[1] == 0 or len(X) <= 10 * X.shape[1]:
        return None
    centered = X.astype(float) - X.mean(axis=0, dtype=float)
    y = treated - treated.mean()
    beta, _, rank, _ = np.linalg.lstsq(centered, y, rcond=None)
    r2 = 1 - float(((y - centered @ beta) ** 2).sum() / (y**2).sum())
    return float(stats.chi2.sf(len(X) * r2, rank))


def _placebo(
    rows: pd.DataFrame, history: History, treated: Bools, observed: Observed
) -> dict[str, float | bool | str | None]:
    """Return the difference in the outcome one horizon before the assignment."""
    seen = (rows[c.TIME_MS] - observed.horizon_ms >= observed.start_ms).to_numpy(bool)
    return placebo_check(difference(treated[seen], history.outcome_before[seen], estimand="placebo"))


def placebo_check(estimate: Estimate) -> dict[str, float | bool | str | None]:
    """Return the check of an outcome from before the assignment, which no campaign can have changed."""
    low, high = estimate.ci_low, estimate.ci_high
    passed = None if low is None or high is None else bool(low <= 0 <= high)
    return {"estimate": estimate.estimate, "ci_low": low, "ci_high": high, "passed": passed, "kind": "past outcome"}
