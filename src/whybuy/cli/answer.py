"""``effects`` and ``whatif``: the effects that were found, one question answered now, one person's chances."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from whybuy import columns as c
from whybuy.cli.session import Session, command, require_times
from whybuy.cli.tables import (
    EFFECT_COLUMNS,
    NOTHING,
    STRATEGY_COLUMNS,
    Column,
    effect_row,
    number,
    show_table,
    strategy_row,
)
from whybuy.config import Config, duration_ms
from whybuy.errors import QuestionError, nearest
from whybuy.events.behaviors import parse_behavior
from whybuy.library import all_answered
from whybuy.pipeline import Pipeline

if TYPE_CHECKING:
    from whybuy.behavior.what_if import WhatIf
    from whybuy.causal.dose import Dose
    from whybuy.causal.dose_question import DoseQuestion
    from whybuy.causal.effects import Effect
    from whybuy.causal.question import Question
    from whybuy.causal.sustained import SustainedEffects

N_FUNNEL = 5
_ALSO = {
    "ato_by_user": "every user counted once, however many {unit}",
    "ate": "averaged over all {unit} (ATE)",
    "att": "averaged over the treated {unit} (ATT)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The question of a call, as typed; None where an option was left out."""

    treatment: str | None
    outcome: str | None
    horizon: str | None
    design: str | None
    where: str | None
    reference: str | None
    periods: int | None = None

    @property
    def is_pair(self) -> bool:
        """Whether one treatment and one outcome are named."""
        return self.treatment is not None and self.outcome is not None

    def questions(self, config: Config) -> "list[Question]":
        """Return what is asked: one question, or one for each treatment and horizon.

        Raises
        ------
        QuestionError, BehaviorError
            It is no question.
        """
        from whybuy.causal.several import questions

        if self.periods is not None and self.design not in (None, "calendar"):
            raise QuestionError.of(
                found=f"--periods with --design {self.design}",
                needed="the design calendar, whose periods they are",
                do="Leave --design out, or --periods",
            )
        asked = questions(
            self.treatment or "",
            self.outcome or "",
            horizon=self.horizon or config.horizons[0],
            design=self.design if self.periods is None else "calendar",
            reference=self.reference,
            where=self.where,
        )
        if self.periods is not None and len(asked) > 1:
            raise QuestionError.of(
                found=f"--periods with {len(asked)} questions",
                needed="one treatment and one horizon",
                do="Ask about one at a time",
            )
        return asked

    @property
    def is_dose(self) -> bool:
        """Whether the treatment of a pair is a dose: price:, discount: or number:."""
        from whybuy.causal.dose_question import is_dose

        return self.is_pair and is_dose(self.treatment or "")

    def dose(self, config: Config) -> "DoseQuestion":
        """Return what is asked of a dose.

        Raises
        ------
        QuestionError, BehaviorError
            It is no question.
        """
        from whybuy.causal.dose_question import DoseQuestion

        if self.reference is not None or self.periods is not None:
            raise QuestionError.of(
                found=f"--{'periods' if self.reference is None else 'reference'} with the dose {self.treatment}",
                needed="a dose alone: it is compared with less of it, at one decision or session",
                do="Leave that out",
            )
        return DoseQuestion.of(
            self.treatment or "",
            self.outcome or "",
            horizon=self.horizon or config.horizons[0],
            design=self.design,
            where=self.where,
        )

    def holds(self, effect: "Effect") -> bool:
        """Return whether an effect is about what was asked."""
        from whybuy.events.composites import parse_treatment, split_treatments

        same_treatment = self.treatment is None or effect.treatment in [
            str(parse_treatment(text)) for text in split_treatments(self.treatment)
        ]
        same_outcome = self.outcome is None or str(parse_behavior(self.outcome)) == effect.outcome
        same_horizon = self.horizon is None or duration_ms(effect.horizon) in map(duration_ms, self.horizon.split(","))
        return same_treatment and same_outcome and same_horizon

    def require_askable(self) -> None:
        """Raise where options are given that only make sense for one pair."""
        of_one = (self.where, self.reference, self.periods)
        if self.is_pair or (of_one == (None, None, None) and self.design in (None, "step")):
            return
        raise QuestionError.of(
            found="--where, --reference, --periods or --design was given without a pair",
            needed="They change one question: both --treatment and --outcome are needed",
            do="Name both, as in --treatment view:shoes --outcome purchase:shoes",
        )


@command
def effects(  # noqa: PLR0913 - one parameter per option
    session: Session,
    *,
    treatment: Annotated[
        str | None, typer.Option(help="As view:shoes, 2*view:shoes@1d or price:shoes; or more, with commas.")
    ] = None,
    outcome: Annotated[str | None, typer.Option(help="A behavior, as in purchase:*.")] = None,
    horizon: Annotated[
        str | None, typer.Option(help="How long after, as in 7d, or more, as in 1d,7d; the config's first.")
    ] = None,
    design: Annotated[
        str | None, typer.Option(help="step, session (session:5: its first 5 decisions), calendar or assignment.")
    ] = None,
    where: Annotated[str | None, typer.Option(help="A SQL condition on the users table.")] = None,
    reference: Annotated[str | None, typer.Option(help="Compare with this behavior alone.")] = None,
    periods: Annotated[int | None, typer.Option(help="What if more or less often, in 2 to 6 periods in a row.")] = None,
    top: Annotated[int, typer.Option(min=1, help="How many are printed.")] = 20,
    all_: Annotated[bool, typer.Option("--all", help="Print every scanned pair.")] = False,
) -> None:
    """Print the effects, strongest first; or answer one question, for --treatment and --outcome."""
    from whybuy.causal.effects import Effects

    asked = Asked(
        treatment=treatment,
        outcome=outcome,
        horizon=horizon,
        design=design,
        where=where,
        reference=reference,
        periods=periods,
    )
    asked.require_askable()
    if asked.is_dose:
        with session.pipeline() as pipeline:
            dose = _dose(pipeline, asked.dose(pipeline.config))
        show_dose(session, dose)
        return
    with session.pipeline() as pipeline:
        # What is no question is said before anything that takes long.
        questions = asked.questions(pipeline.config) if asked.is_pair else []
        pipeline.prepare(questions[0].stage if questions else "confirm", *questions)
        sustained = _sustained(pipeline, questions[0], periods) if questions and periods is not None else None
        answers = all_answered(pipeline, questions) if sustained is None else []
    if sustained is not None:
        show_sustained(session, sustained)
        return
    if len(answers) == 1:
        show_answer(session, answers[0])
        return
    if answers:
        show_answers(session, answers)
        return
    found = Effects.of(effect for effect in pipeline.effects() if asked.holds(effect))
    shown = list(found) if all_ else list(found.headlines)[:top]
    if session.as_json:
        session.emit({"effects": [effect.to_json() for effect in shown]})
        return
    if len(found) == 0 and (asked.treatment, asked.outcome, asked.horizon) != (None, None, None):
        session.say(_nothing_scanned(asked, pipeline))
        return
    show_table(session.out, EFFECT_COLUMNS, map(effect_row, shown))
    funnel = [] if all_ else [e for e in found if e.funnel]
    if funnel:
        session.say()
        shown_of = f"; {N_FUNNEL} of them" if len(funnel) > N_FUNNEL else ""
        session.say(f"{len(funnel)} pairs whose treatment is a stage on the way to the outcome, kept apart{shown_of}:")
        show_table(session.out, EFFECT_COLUMNS, map(effect_row, funnel[:N_FUNNEL]))


def _nothing_scanned(asked: Asked, pipeline: Pipeline) -> str:
    """Return what to say where no scanned pair is about what was asked."""
    scanned = pipeline.effects()
    names = {
        "--treatment": (asked.treatment, sorted({e.treatment for e in scanned})),
        "--outcome": (asked.outcome, sorted({e.outcome for e in scanned})),
    }
    near = [
        f"{option} {close}"
        for option, (text, known) in names.items()
        if text is not None and text not in known and (close := nearest(text, known))
    ]
    horizons = ", ".join(dict.fromkeys(e.horizon for e in scanned))
    do = f"Did you mean {' '.join(near)}?" if near else "Name --treatment and --outcome to have any pair answered now."
    return f"No scanned pair is about that; {len(scanned):,} were scanned, within {horizons or 'no horizon'}. {do}"


def _dose(pipeline: Pipeline, question: "DoseQuestion") -> "Dose":
    from whybuy.causal import dose_question

    pipeline.prepare("confirm", question)
    return dose_question.answer_dose(question, pipeline.study, report=pipeline.report)


def show_dose(session: Session, found: "Dose") -> None:
    """Print a dose's curve and its slope."""
    if session.as_json:
        session.emit({"dose": found.to_json()})
        return
    columns: list[Column] = [("dose", "left"), *((name, "right") for name in ("trials", "effect", "low", "high"))]
    rows = [
        [p.label, f"{p.n_trials:,}", *map(number, (p.effect.estimate, p.effect.ci_low, p.effect.ci_high))]
        for p in found.curve
    ]
    show_table(session.out, columns, rows)
    session.say()
    session.say(found.summary())
    session.say(f"meaning: {found.meaning}")
    for reason in found.reasons:
        session.say(f"- {reason}")


def show_answers(session: Session, effects: "list[Effect]") -> None:
    """Print the answers to several questions, a line and a sentence each."""
    if session.as_json:
        session.emit({"effects": [effect.to_json() for effect in effects]})
        return
    columns: list[Column] = [*EFFECT_COLUMNS[:2], ("horizon", "left"), *EFFECT_COLUMNS[2:], ("q", "right")]
    rows = []
    for effect in effects:
        cells, q = effect_row(effect), effect.effect.q_value
        rows.append([*cells[:2], effect.horizon, *cells[2:], NOTHING if q is None else f"{q:.2g}"])
    show_table(session.out, columns, rows)
    session.say()
    for effect in effects:
        session.say(f"- {effect.summary()}")
    session.say(f"q-values are those of the {len(effects)} questions together.")


def _sustained(pipeline: Pipeline, question: "Question", periods: int) -> "SustainedEffects":
    from whybuy.causal.sustained.log import sustained_effects

    return sustained_effects(question, pipeline.study, n_periods=periods, report=pipeline.report)


def show_sustained(session: Session, found: "SustainedEffects") -> None:
    """Print what strategies over several periods would change, with the reasons."""
    if session.as_json:
        session.emit({"sustained": found.to_json()})
        return
    show_table(session.out, STRATEGY_COLUMNS, map(strategy_row, found.points))
    session.say()
    session.say(f"meaning: {found.meaning}")
    starts = f"{found.n_rows:,} starts of {found.n_users:,} users"
    session.say(f"as it goes, the chance of the outcome: {number(found.as_it_goes)} ({starts})")
    if found.verdict is not None:
        session.say(f"verdict: {found.verdict.replace('_', ' ')}")
    untold = [f"{p.strategy.label}: {why}" for p in found.points for why in p.reasons if why not in found.reasons]
    for reason in (*found.reasons, *untold):
        session.say(f"- {reason}")


def show_answer(session: Session, effect: "Effect") -> None:
    """Print one effect with its reasons."""
    if session.as_json:
        session.emit({"effects": [effect.to_json()]})
        return
    show_table(session.out, EFFECT_COLUMNS, [effect_row(effect)])
    session.say()
    session.say(effect.summary())
    if effect.meaning:
        session.say(f"meaning: {effect.meaning}")
    session.say(f"{effect.unit}: {effect.n_trials:,}, treated: {effect.n_treated:,}, users: {effect.n_users:,}")
    for other in effect.also:
        if other.estimate is not None:
            low, high = (number(end) for end in (other.ci_low, other.ci_high))
            what = _ALSO.get(other.estimand, other.estimand).format(unit=effect.unit)
            session.say(f"{what}: {number(other.estimate)} [{low}, {high}]")
    for reason in effect.reasons:
        session.say(f"- {reason}")


@command
def whatif(
    session: Session,
    *,
    user: Annotated[str, typer.Option(help="Whose chance.")],
    do: Annotated[str, typer.Option(help="A behavior done now, as in view:shoes.")],
    outcome: Annotated[str, typer.Option(help="A behavior, as in purchase:*.")],
    horizon: Annotated[str | None, typer.Option(help="How long after, as in 7d; the config's first.")] = None,
) -> None:
    """Say what the model expects of one person with and without a behavior now."""
    from whybuy.cli.act import id_in_log

    with session.pipeline() as pipeline:
        require_times(pipeline.config)
        pipeline.run("model")
        found = _what_if(pipeline, id_in_log(pipeline, user), do, outcome, horizon)
    if session.as_json:
        session.emit(found.to_json())
    else:
        session.say(found.summary())


def _what_if(pipeline: Pipeline, user: str, do: str, outcome: str, horizon: str | None) -> "WhatIf":
    from whybuy.behavior.twins import TwinModels
    from whybuy.behavior.what_if import Intervention, what_if

    history = pipeline.store.user(user)
    if history is None:
        users = pipeline.log.users()
        example = users.loc[users[c.N_EVENTS] > 0, c.USER].iloc[0]
        raise QuestionError.of(
            found=f"The log has no kept event of user {user!r}",
            needed=f"a user of the log, as {example}",
            do="Look at user_id in events/users.parquet of the workspace",
        )
    asked = Intervention(
        do=parse_behavior(do),
        outcome=parse_behavior(outcome),
        horizon_ms=duration_ms(horizon or pipeline.config.horizons[0]),
        # The observed window ends before the last thousandth of events: a user may be among them.
        now_ms=max(pipeline.log.quality.end_ms, int(history.ts_ms[-1]) + 1),
    )
    twins = TwinModels.open(pipeline.folder("model"), pipeline.store)
    return what_if(twins, history, asked, seed=pipeline.config.seed)
