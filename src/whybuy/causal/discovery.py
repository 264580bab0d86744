"""A second opinion: what two methods with other assumptions make of the same behaviors.

The PC algorithm (:mod:`whybuy.causal.pc`) looks at one window per user, a Granger view (:mod:`whybuy.causal.granger`)
at the rates of a point process. Neither adjusts for the logged history as the trials do, and neither moves a verdict:
where they differ from it, the assumptions say why, and a reader can look there. Behaviors that contain another one
(``purchase:*`` beside ``purchase:shoes``) are left out, since their counts are sums of each other's. The commonest
other behaviors of the log are held fixed beside those that are compared.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from whybuy.causal import missing_for_discovery
from whybuy.causal.effects import VERDICTS, Effect, Estimate
from whybuy.causal.granger import Influence, granger
from whybuy.causal.histories import Histories, histories_of
from whybuy.causal.opinions import Opinions, SecondOpinion, Sign, why_granger_differs, why_pc_differs
from whybuy.causal.pc import MIN_ROWS, Arrow, pc_arrows, window_counts
from whybuy.causal.verdict import Q_LIMIT, q_values
from whybuy.config import Config, duration_ms
from whybuy.errors import MissingExtraError, QuestionError
from whybuy.events.behaviors import contains, parse_behavior
from whybuy.events.log import EventLog
from whybuy.events.sequences import SequenceStore
from whybuy.progress import Report, quiet

MAX_COMPARED, MAX_BEHAVIORS = 12, 16


def second_opinion(
    effects: Iterable[Effect],
    store: SequenceStore,
    log: EventLog,
    config: Config,
    *,
    horizon: str,
    report: Report = quiet,
) -> SecondOpinion:
    """Return what PC and a Granger view say of the confirmed pairs of ``horizon``; seconds, on a sample of users.

    Raises
    ------
    MissingExtraError
        The extra ``discovery`` is not installed.
    QuestionError
        Fewer than two behaviors can be compared, or fewer than 300 users have a whole horizon before and after.
    """
    package = missing_for_discovery()
    if package is not None:
        raise MissingExtraError.of_extra(package, "discovery")
    here = [e for e in effects if e.horizon == horizon]
    behaviors = tuple(parse_behavior(name) for name in comparable(here))
    histories = histories_of(store, log, behaviors, report=report)
    confirmed = [e for e in here if e.method == "confirmed"]
    return compare(confirmed, histories, lookback_ms=duration_ms(config.lookback), seed=config.seed, report=report)


def comparable(effects: Sequence[Effect]) -> tuple[str, ...]:
    """Return behaviors of which none contains another: of the clearest confirmed answers, then the commonest others.

    The others are there to be held fixed: a behavior that both methods do not see is a hidden common cause to them.

    Raises
    ------
    QuestionError
        There are fewer than two of confirmed answers.
    """
    confirmed = [e for e in effects if e.method == "confirmed"]
    clearest = sorted(confirmed, key=lambda e: (VERDICTS.index(e.verdict), e.treatment == e.outcome))
    asked = dict.fromkeys(name for e in clearest for name in (e.treatment, e.outcome))
    parsed = {name: parse_behavior(name) for name in [*asked, *(e.treatment for e in effects)]}
    fine = [n for n in asked if not any(m != n and contains(parsed[n], parsed[m]) for m in asked)][:MAX_COMPARED]
    if len(fine) < 2:
        raise QuestionError.of(
            found=f"{len(fine)} behaviors of the confirmed pairs can be compared",
            needed="two of which none contains the other",
            do="Widen `confirm` in [causal] of whybuy.toml",
        )
    n_treated = {e.treatment: e.n_treated for e in effects if e.n_treated > 0}
    for name in sorted(n_treated, key=lambda n: (-n_treated[n], n)):
        apart = not any(contains(parsed[name], parsed[m]) or contains(parsed[m], parsed[name]) for m in fine)
        if apart and len(fine) < MAX_BEHAVIORS:
            fine.append(name)
    return tuple(fine)


def compare(
    effects: Sequence[Effect], histories: Histories, *, lookback_ms: int, seed: int, report: Report = quiet
) -> SecondOpinion:
    """Return the three answers on every pair of confirmed ``effects`` whose behaviors the histories have.

    Raises
    ------
    QuestionError
        Fewer than 300 users have a whole horizon before and after a moment.
    """
    known = [e for e in effects if {e.treatment, e.outcome} <= set(histories.names) and e.treatment != e.outcome]
    horizon = effects[0].horizon
    rng = np.random.default_rng(seed)
    rows = window_counts(histories, horizon_ms=duration_ms(horizon), rng=rng)
    if len(rows) < MIN_ROWS:
        raise QuestionError.of(
            found=f"{len(rows)} users have a moment with {horizon} before and after it",
            needed=f"{MIN_ROWS}, since a user is one row of the PC algorithm",
            do="Bring more users, a longer log, or a shorter horizon",
        )
    arrows = pc_arrows(rows, histories.names)
    outcomes = tuple(dict.fromkeys(e.outcome for e in known))
    influences = granger(
        histories, outcomes, horizon_ms=duration_ms(horizon), lookback_ms=lookback_ms, rng=rng, report=report
    )
    judged = _with_q_values(influences)
    pairs = [_opinions(e, arrows.get((e.treatment, e.outcome)), judged.get((e.treatment, e.outcome))) for e in known]
    return SecondOpinion(
        horizon=horizon,
        pairs=tuple(sorted(pairs, key=lambda p: (VERDICTS.index(p.verdict), -abs(p.effect.estimate or 0)))),
        behaviors=histories.names,
        left_out=tuple(sorted({n for e in effects for n in (e.treatment, e.outcome)} - set(histories.names))),
        n_users=histories.n_users,
        n_moments=len(histories.ts_ms),
        n_rows=len(rows),
    )


def _with_q_values(influences: list[Influence]) -> dict[tuple[str, str], Estimate]:
    """Return the influences as estimates; their q-values are over all pairs that were asked."""
    found = [Estimate.of("change of log rate", i.change, i.std_error) for i in influences]
    q, _ = q_values(np.array([np.nan if e.p_value is None else e.p_value for e in found]))
    return {
        (i.treatment, i.outcome): replace(e, q_value=float(value))
        for i, e, value in zip(influences, found, q, strict=True)
        if e.estimate is not None
    }


def _opinions(effect: Effect, arrow: Arrow | None, influence: Estimate | None) -> Opinions:
    size = effect.effect.estimate or 0.0
    ours: Sign | None = None
    if effect.verdict != "cannot_tell":
        ours = "0" if effect.verdict == "none" else "+" if size > 0 else "-"
    sign: Sign | None = None
    if influence is not None and influence.estimate is not None and influence.q_value is not None:
        sign = "0" if influence.q_value >= Q_LIMIT else "+" if influence.estimate > 0 else "-"
    pc_agrees = None if ours is None or arrow is None else (ours != "0") == (arrow in ("->", "--"))
    granger_agrees = None if ours is None or sign is None else ours == sign
    why = []
    if pc_agrees is False and ours is not None and arrow is not None:
        why.append(why_pc_differs(ours, arrow))
    if granger_agrees is False and ours is not None and sign is not None:
        why.append(why_granger_differs(ours, sign))
    return Opinions(
        treatment=effect.treatment,
        outcome=effect.outcome,
        verdict=effect.verdict,
        effect=effect.effect,
        arrow=arrow,
        influence=influence,
        sign=sign,
        pc_agrees=pc_agrees,
        granger_agrees=granger_agrees,
        why=tuple(why),
    )
