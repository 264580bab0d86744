"""Sustained strategies of a log: periods in a row, from landmarks of the calendar design.

Before every period stand windowed and decayed counts, recency, attributes, what was done in the periods before, and
what the behavior model says at the landmark, by the twin that was not trained on the user: its logits of the behavior
and of the outcome are the initial fit. Trees turn them into E[what follows | history, done] of every period, out of
fold by user, and the recursion corrects that by what really followed, period by period: a wrong model costs width, and
no more where the chance of the behavior is right.
"""

from dataclasses import replace

import lightgbm as lgb
import numpy as np

from whybuy.causal.array_learners import STEADY, Learners
from whybuy.causal.calendar import Grid, LandmarkTable, asked_of, draw
from whybuy.causal.checks.failures import CAPS
from whybuy.causal.grounds import MIN_OUTCOME_USERS
from whybuy.causal.question import Question, require_common, users_where
from whybuy.causal.study import Study
from whybuy.causal.sustained.arrays import MAX_DECISIONS, MIN_EFFECTIVE_USERS, sustained, untold
from whybuy.causal.sustained.result import SustainedEffects
from whybuy.causal.sustained.strategies import ODDS, strategies
from whybuy.causal.verdict import Q_LIMIT
from whybuy.config import duration_text
from whybuy.errors import QuestionError
from whybuy.events.behaviors import Behavior
from whybuy.progress import Report, quiet

SHARES = (0.25,)
"""Of a curb and a nudge."""


def sustained_effects(
    question: Question, study: Study, *, n_periods: int, odds: tuple[float, ...] = ODDS, report: Report = quiet
) -> SustainedEffects:
    """Return what doing a behavior more or less often in several periods would change.

    Parameters
    ----------
    n_periods : from 2 to 6, each as long as ``every`` in ``[calendar]``
    odds : factors that the odds of the behavior, at least once in a period, are multiplied by

    Raises
    ------
    QuestionError, BehaviorError
        The question cannot be asked of this log: a number of periods that is not available, a log that is too short,
        a behavior that is too rare, nobody who is eligible.
    """
    if not 2 <= n_periods <= MAX_DECISIONS:
        raise QuestionError.of(
            found=f"{n_periods} periods",
            needed=f"from 2 to {MAX_DECISIONS}: weights multiply from period to period",
            do="Ask for fewer and longer ones: `every` in [calendar] of whybuy.toml; one is --design calendar alone",
        )
    pair, grid = question.pair, Grid.of(study, question.horizon, n_periods=n_periods)
    question.require_possible(study)
    grid.require_possible()
    require_common(question, study)
    users = users_where(question.where, study.log)
    table = draw(asked_of(pair, users, study), grid, study, report=report)
    found = judged(_followed(table, pair[1], odds, study.config.seed), study.config.causal.smallest_effect)
    return replace(
        found,
        treatment=str(pair[0]),
        outcome=str(pair[1]),
        horizon=question.horizon,
        every=duration_text(grid.every_ms),
        meaning=_meaning(question, grid),
    )


def _followed(table: LandmarkTable, outcome: Behavior, odds: tuple[float, ...], seed: int) -> SustainedEffects:
    """Return the effects of the rows, or why there are none."""
    Y = table.outcome[outcome].astype(float)
    missing = _missing(table)
    if missing:
        return SustainedEffects(
            points=tuple(untold(strategy, missing) for strategy in strategies(odds, SHARES)),
            n_rows=len(table),
            n_users=table.n_users,
            n_decisions=len(table.X),
            share_treated=tuple(table.done.mean(axis=0).tolist()),
            as_it_goes=float(Y.mean()),
            p_flat=None,
        )
    return sustained(
        table.X,
        table.done,
        Y,
        groups=table.user,
        folds=table.fold,
        learner=_learners(),
        odds=odds,
        shares=SHARES,
        seed=seed,
    )


def _missing(table: LandmarkTable) -> list[str]:
    """Return, in words, why no strategy can be answered for; empty where there are grounds."""
    if table.n_users < MIN_EFFECTIVE_USERS:
        return [f"{table.n_users} users are eligible; {MIN_EFFECTIVE_USERS:.0f} are needed."]
    for k, done in enumerate(table.done.T):
        for arm, name in ((1, "with"), (0, "without")):
            n = len(np.unique(table.user[done == arm]))
            if n < MIN_OUTCOME_USERS:
                return [f"Only {n} users are {name} the behavior in period {k + 1}; {MIN_OUTCOME_USERS} are needed."]
    return []


def _learners() -> Learners:
    """Return boosted trees for many covariates and rows by the thousand."""
    fixed = {
        **STEADY,
        "random_state": 7,
        "n_estimators": 100,
        "learning_rate": 0.06,
        "min_child_samples": 40,
        "colsample_bytree": 0.4,
        "reg_lambda": 10.0,
    }
    return Learners(
        treatment=lgb.LGBMClassifier(num_leaves=6, **fixed), outcome=lgb.LGBMRegressor(num_leaves=4, **fixed)
    )


def judged(found: SustainedEffects, smallest: float) -> SustainedEffects:
    """Return the effects with a verdict by rule: suggestive at most."""
    curve = [p for p in found.points if p.strategy.kind == "odds" and p.band_low is not None]
    if not curve:
        return found.judged("cannot_tell", found.points[0].reasons)
    if all(-smallest < (p.band_low or 0) and (p.band_high or 0) < smallest for p in curve):
        return found.judged("none", (f"No odds change the outcome by more than {100 * smallest:g} in 100 rows.",))
    if found.p_flat is not None and found.p_flat < Q_LIMIT:
        return found.judged("suggestive", (CAPS["calendar"],))
    return found.judged("cannot_tell", ("The curve cannot be told from a flat one.",))


def _meaning(question: Question, grid: Grid) -> str:
    """Return what is changed, in words."""
    return (
        f"in each of {grid.n_periods} periods of {duration_text(grid.every_ms)}, the odds of {question.treatment} at "
        "least once are multiplied, or a share of people is moved, everything else as it goes; change in the chance "
        f"of {question.outcome} within {question.horizon} after the last period"
    )
