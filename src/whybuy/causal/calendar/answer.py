"""The answer of the calendar design: the behavior at least once in the period after a landmark, or not at all.

The same estimand, score and checks as of a decision, on rows of landmarks. The model's logits at the landmark start the
nuisances: they answer a question nearby (the next decision, the horizon from now), and a stack in the logit with trees,
whose weights other users' rows choose, makes of it what is asked (:class:`whybuy.causal.learners.CrossFitter`).
"""

from dataclasses import replace

import numpy as np

from whybuy.causal import checks as check
from whybuy.causal.calendar.grid import Grid
from whybuy.causal.calendar.landmarks import Asked, LandmarkTable, draw
from whybuy.causal.checks.activity import activity
from whybuy.causal.checks.pair import PairData, effect_among
from whybuy.causal.checks.trial_checks import named_controls
from whybuy.causal.confirm import PairJudge, TrialTable, restricted
from whybuy.causal.effects import Effect
from whybuy.causal.grounds import Grounds
from whybuy.causal.learners import BoostingPlan, CrossFitter
from whybuy.causal.study import Study
from whybuy.causal.verdict import judge_confirmed
from whybuy.config import Config, duration_text
from whybuy.events.behaviors import Behavior
from whybuy.events.sequences import Bools
from whybuy.progress import Report, quiet

DESIGN = "calendar"

DONE = BoostingPlan(rounds=50, learning_rate=0.1, leaves=6, min_rows_in_leaf=50, share_of_columns=0.3, l2=20.0)
"""Whether the behavior happens in a period: rows are users times periods, far fewer than decisions."""

FOLLOWED = BoostingPlan(rounds=40, learning_rate=0.1, leaves=4, min_rows_in_leaf=80, share_of_columns=0.3, l2=40.0)
"""Whether the outcome follows."""


def asked_of(pair: tuple[Behavior, Behavior], users: frozenset[str] | None, study: Study) -> Asked:
    """Return what is looked for: the pair, and the controls that the config names."""
    config = study.config.causal
    share = min(1.0, config.max_trials / max(1, study.log.quality.n_moments))
    return Asked((*pair, *named_controls(config)), users, share)


def calendar_effect(
    pair: tuple[Behavior, Behavior],
    horizon: str,
    study: Study,
    *,
    users: frozenset[str] | None = None,
    report: Report = quiet,
) -> Effect:
    """Return the effect of doing a behavior at least once in a period, instead of not at all; suggestive at most.

    Raises
    ------
    QuestionError
        The log is too short, or nobody is eligible.
    """
    config, grid = study.config, Grid.of(study, horizon)
    grid.require_possible()
    landmarks = draw(asked_of(pair, users, study), grid, study, report=report)
    table = _as_trials(landmarks, pair, grid)
    everybody = np.ones(len(table), bool)
    fitter = CrossFitter(table.X, table.fold, seed=config.seed)
    data = _data(table, pair, everybody, fitter)
    effect = PairJudge(table, horizon, config, design=DESIGN)(pair, everybody, data)
    effect = replace(effect, meaning=_meaning(pair, horizon, grid))
    if effect.effect.estimate is None or effect.effect.ci_low is None or effect.effect.ci_high is None:
        return effect
    return _with_activity(effect, _data(table, pair, landmarks.came[:, 0], fitter), landmarks, config)


def _as_trials(landmarks: LandmarkTable, pair: tuple[Behavior, Behavior], grid: Grid) -> TrialTable:
    """Return rows of one period as trials, which the checks take."""
    b, a = pair
    return TrialTable(
        X=landmarks.X[0],
        columns=landmarks.columns,
        user=landmarks.user,
        fold=landmarks.fold,
        is_behavior={**landmarks.during, b: landmarks.done[:, 0]},
        outcome=landmarks.outcome,
        start_e={} if landmarks.start_e is None else {b: landmarks.start_e},
        start_m={} if landmarks.start_m is None else {a: landmarks.start_m},
        start_any={},
        ts_ms=landmarks.ts_ms,
        past=landmarks.past,
        recent=landmarks.recent,
        past_ms=grid.lookback_ms,
        recent_ms=grid.lookback_ms // 7,
    )


def _data(table: TrialTable, pair: tuple[Behavior, Behavior], keep: Bools, fitter: CrossFitter) -> PairData:
    """Return the rows ``keep`` with nuisances that were fitted among them."""
    b, a = pair
    T, Y = table.is_behavior[b], table.outcome[a]
    e = fitter.predict(T, DONE, head=table.start_e.get(b), use=keep)
    m = fitter.predict(Y, FOLLOWED, head=table.start_m.get(a), use=keep)
    return restricted(table, keep, T.astype(float), Y.astype(float), e, m)


def _with_activity(effect: Effect, came: PairData, landmarks: LandmarkTable, config: Config) -> Effect:
    """Return the effect judged again with what is left of it among those who came."""
    controls = landmarks.done[:, 0] == 0
    found = activity(
        effect_among(came, np.ones(len(came.T), bool)),
        whole=(effect.effect.ci_low or 0.0, effect.effect.ci_high or 0.0),
        share_of_controls=float(landmarks.came[controls, 0].mean()),
    )
    effect = replace(effect, checks={**effect.checks, "activity": found})
    grounds = Grounds(n_treated=effect.n_treated, **effect.checks["grounds"])
    return judge_confirmed(effect, grounds, check.failures(effect), config.causal)


def _meaning(pair: tuple[Behavior, Behavior], horizon: str, grid: Grid) -> str:
    """Return what the contrast means, in words."""
    b, a = pair
    further = "a further " if b == a else ""
    washed = f", none in the {duration_text(grid.washout_ms)} before" if grid.washout_ms else ""
    return (
        f"{b} at least once in the {duration_text(grid.every_ms)} after a landmark instead of not at all{washed}: "
        f"change in the chance of {further}{a} within {horizon} after that"
    )
