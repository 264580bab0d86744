"""The effect of a campaign that was assigned at random: two proportions, and checks of the assignment."""

import numpy as np
import pandas as pd
from scipy import stats

from whybuy import columns as c
from whybuy.campaign.assignments import MIN_RATIO_P, Design
from whybuy.campaign.cohort import Cohort, Observed
from whybuy.campaign.estimate import difference, regression_adjusted
from whybuy.campaign.history import Bools, Floats, History, Window, history_of
from whybuy.campaign.result import CampaignResult
from whybuy.campaign.segments import segment_effects, segment_notes
from whybuy.causal.checks import Balance, PairData
from whybuy.causal.effects import Estimate, Naive
from whybuy.config import duration_text
from whybuy.events.log import EventLog
from whybuy.progress import Report, quiet

_NOT_NEEDED = {"passed": None, "note": "not needed where people were assigned at random"}


def randomized_result(
    log: EventLog, design: Design, cohort: Cohort, window: Window, observed: Observed, *, report: Report = quiet
) -> CampaignResult:
    """Return the effect of a randomized campaign, not yet judged."""
    history = history_of(log, cohort.rows, window, detailed=False, report=report)
    treated, outcome = cohort.treated, history.outcome
    segments = segment_effects(
        log,
        cohort.rows[c.USER],
        treated,
        outcome,
        lambda rows: difference(treated[rows], outcome[rows]),
        estimand="ate",
    )
    return CampaignResult(
        campaign="",
        kind=design.kind,
        effect=difference(treated, outcome),
        also=(regression_adjusted(treated, outcome, history.X), *_by_arm(design, cohort, outcome)),
        naive=naive_of(treated, outcome),
        outcome=str(window.outcome),
        horizon=duration_text(window.horizon_ms),
        n_treated=int(treated.sum()),
        n_control=int((~treated).sum()),
        segments=segments,
        reasons=(*design.notes, *cohort.notes, *segment_notes(segments)),
        checks={
            "grounds": grounds_of(treated, outcome, float(len(outcome))),
            "sample_ratio": design.sample_ratio,
            "overlap": _overlap(treated),
            "balance": _balance(treated, history),
            "nuisance": dict(_NOT_NEEDED),
            "placebo": _placebo(cohort.rows, history, treated, observed),
            "sensitivity": {"e_value": None, "robustness_value": None, **_NOT_NEEDED},
        },
    )


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


def _by_arm(design: Design, cohort: Cohort, outcome: Bools) -> list[Estimate]:
    """Return each arm against the controls, where several arms were sent something."""
    arms = design.treated_arms
    if len(arms) == 1:
        return []
    of_arm = cohort.rows[c.ARM].to_numpy(object)
    found = []
    for arm in arms:
        rows = (of_arm == arm) | ~cohort.treated
        found.append(difference(cohort.treated[rows], outcome[rows], estimand=f"ate of arm {arm}"))
    return found


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
