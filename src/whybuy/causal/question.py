"""One explicit question, answered now: any behavior of the grammar, any horizon, any subset of users.

Refuses with a reason what cannot be asked; what can be asked but not told is an answer with ``cannot_tell``.
"""

from dataclasses import dataclass, replace

import duckdb

from whybuy.behavior.family import too_rare
from whybuy.causal.calendar import DESIGN as CALENDAR
from whybuy.causal.calendar import calendar_effect
from whybuy.causal.checks import PairData
from whybuy.causal.checks.trial_checks import with_controls
from whybuy.causal.confirm import (
    PairJudge,
    TrialTable,
    fit_nuisance,
    gather,
    pair_data,
    restricted,
)
from whybuy.causal.designs import ASSIGNMENT, DEFAULT_FIRST, STEP, Completing, Design, FirstOfSession, parse_design
from whybuy.causal.effects import Effect
from whybuy.causal.heterogeneity import Heterogeneity, attribute_groups, heterogeneity
from whybuy.causal.learners import OUTCOME, PROPENSITY, CrossFitter
from whybuy.causal.meaning import meaning
from whybuy.causal.session import session_trials
from whybuy.causal.study import Study
from whybuy.causal.support import completions, support
from whybuy.causal.trials import TrialSource
from whybuy.causal.verdict import refused
from whybuy.config import duration_ms
from whybuy.errors import BehaviorError, QuestionError, nearest
from whybuy.events.behaviors import Behavior, contains
from whybuy.events.composites import Composite, parse_treatment, split_treatments
from whybuy.events.log import EventLog
from whybuy.events.sequences import Bools, SequenceStore
from whybuy.progress import Report, quiet


@dataclass(frozen=True)
class Question:
    """What is asked.

    Attributes
    ----------
    treatment : the behavior; of a composite its last part, which completes it
    first : of the session design, how many decisions begin a session
    reference : compare with this behavior alone instead of the usual alternatives
    where : a SQL condition on the users table
    composite : what the treatment has to complete; None for a behavior of its own
    """

    treatment: Behavior
    outcome: Behavior
    horizon: str
    design: str = "step"
    first: int = DEFAULT_FIRST
    reference: Behavior | None = None
    where: str | None = None
    composite: Composite | None = None

    @property
    def is_plain(self) -> bool:
        """Whether it is one of those that the scan asks of everybody."""
        return self.design == "step" and self.composite is None and self.reference is None and self.where is None

    @property
    def stage(self) -> str:
        """The stage of the pipeline that has to be there: at landmarks the model is asked, of a campaign the log."""
        return {CALENDAR: "model", ASSIGNMENT: "events"}.get(self.design, "confirm")

    @property
    def pair(self) -> tuple[Behavior, Behavior]:
        """Treatment and outcome."""
        return self.treatment, self.outcome

    @property
    def behaviors(self) -> tuple[Behavior, ...]:
        """Every behavior that is named, once."""
        parts = self.composite.parts if self.composite is not None else ()
        named = (*self.pair, self.reference, *parts)
        return tuple(dict.fromkeys(b for b in named if b is not None))

    @property
    def trials(self) -> Design:
        """What a trial is made of."""
        if self.design == "session":
            return FirstOfSession(self.first)
        return STEP if self.composite is None else Completing(self.composite)

    def require_possible(self, study: Study) -> None:
        """Raise QuestionError or BehaviorError where the question cannot be asked of the log; no model is needed."""
        if not study.log.quality.has_times:
            raise QuestionError.of(
                found="The log has an order of events but no times",
                needed="times, since an effect is counted within a horizon",
                do="Map a time column in whybuy.toml",
            )
        study.protocol(self.horizon).require_possible()
        _require_decision(self.treatment)
        for behavior in self.behaviors:
            _require_in_log(behavior, study.store, study.log)
        b, a = self.pair
        if b != a and contains(a, b):
            raise QuestionError.of(
                found=f"Every {b} is itself a {a}",
                needed="a treatment that can happen without being the outcome (or exactly the outcome: a further one)",
                do=f"Ask for {b} on {b}, or for another outcome",
            )
        users_where(self.where, study.log)

    def named(self, effect: Effect) -> Effect:
        """Return the effect under the names of this question, with what its contrast means."""
        treatment = str(self.composite or self.treatment)
        reference = None if self.reference is None else str(self.reference)
        told = replace(effect, treatment=treatment, design=self.design, reference=reference)
        return replace(told, meaning=meaning(self))

    @classmethod
    def of(
        cls,
        treatment: str,
        outcome: str,
        *,
        horizon: str,
        design: str | None = None,
        reference: str | None = None,
        where: str | None = None,
    ) -> "Question":
        """Read a question from text.

        Raises
        ------
        QuestionError, BehaviorError, ConfigError
            The design is not available, treatment and reference are the same, or a behavior or duration is none.
        """
        duration_ms(horizon)
        _require_one(treatment, outcome)
        name, first = parse_design(design or "step")
        named = parse_treatment(treatment)
        composite, behavior = (named, named.last) if isinstance(named, Composite) else (None, named)
        alternative = _one_behavior(reference, "--reference") if reference else None
        question = cls(
            behavior, _one_behavior(outcome, "--outcome"), horizon, name, first, alternative, where, composite
        )
        _require_steps(question)
        if question.design == ASSIGNMENT:
            _require_assigned(question)
        if question.reference == question.treatment:
            raise QuestionError.of(
                found=f"--reference is the treatment itself ({question.treatment})",
                needed="another behavior to compare with",
                do="Name another --reference or leave it out",
            )
        for one, other in ((question.treatment, alternative), (alternative, question.treatment)):
            if one is not None and other is not None and contains(one, other):
                raise QuestionError.of(
                    found=f"Every {other} is itself a {one}",
                    needed="treatment and --reference of which neither holds the other",
                    do="Name another --reference or leave it out",
                )
        return question


def _require_one(treatment: str, outcome: str) -> None:
    """Raise QuestionError where several treatments or outcomes are written in the place of one."""
    for what, text in (("treatment", treatment), ("outcome", outcome)):
        named = split_treatments(text)
        if len(named) > 1:
            several = ", or several with `whybuy effects` or `whybuy.effects`" if what == "treatment" else ""
            raise QuestionError.of(
                found=f"{text} names {len(named)} behaviors as the {what}",
                needed=f"one {what} in a question",
                do=f"Ask one at a time{several}; a comma within a name is written %2C",
            )


def _one_behavior(text: str, option: str) -> Behavior:
    """Return the behavior that ``text`` writes; raise QuestionError where it is a composite."""
    named = parse_treatment(text)
    if isinstance(named, Behavior):
        return named
    raise QuestionError.of(
        found=f"{option} {text} is a composite",
        needed="one behavior: only a treatment can be completed",
        do=f"Name one, as in {option} {named.last}",
    )


def _require_steps(question: Question) -> None:
    """Raise QuestionError where another design is asked for what only a single decision can be."""
    if question.design == "step" or (question.composite is None and question.reference is None):
        return
    named, why = (
        ("A composite", "a single decision completes one")
        if question.composite
        else ("A --reference", "a single decision is the treatment or the reference")
    )
    raise QuestionError.of(
        found=f"{named} in the design {question.design}",
        needed=f"the design step: {why}",
        do="Leave out --design and --periods, or ask of a behavior alone",
    )


def _require_assigned(question: Question) -> None:
    """Raise QuestionError where an assignment is asked of what nobody assigns, or of some users alone."""
    treatment = question.treatment
    if treatment.kind != "campaign" or treatment.arm:
        raise QuestionError.of(
            found=f"--design assignment with {treatment}",
            needed="a campaign, all its arms together: campaign:NAME",
            do="Name one, or leave --design out for what people do themselves",
        )
    if question.where is not None:
        raise QuestionError.of(
            found="--where with --design assignment",
            needed="everybody to whom the campaign could have been sent",
            do=f"Leave it out; `whybuy campaign {treatment.target}` tells the effect by user attribute",
        )


def answer(question: Question, study: Study, *, report: Report = quiet) -> Effect:
    """Return the confirmed effect of one question.

    Raises
    ------
    QuestionError, BehaviorError
        The question cannot be asked of this log.
    """
    question.require_possible(study)
    rare = _too_rare(question, study)
    if rare is not None:
        return question.named(refused(*question.pair, question.horizon, rare))
    if question.design == CALENDAR:
        users = users_where(question.where, study.log)
        return _alone(calendar_effect(question.pair, question.horizon, study, users=users, report=report))
    table, keep, data = _asked_trials(question, study, report)
    judge = PairJudge(table, question.horizon, study.config, design=question.design)
    return question.named(_alone(judge(question.pair, keep, data)))


def who_gains(question: Question, study: Study, *, report: Report = quiet) -> Heterogeneity:
    """Return how the effect of one question differs between groups of decisions, by tau(x) and by user attribute.

    Raises
    ------
    QuestionError, BehaviorError
        The question cannot be asked of this log, or one of its behaviors is too rare.
    """
    question.require_possible(study)
    require_common(question, study)
    table, keep, data = _asked_trials(question, study, report)
    tau = table.tau(question.pair, keep, data)
    return heterogeneity(data, tau, table.fold[keep], attribute_groups(table.X[keep], table.columns))


def require_common(question: Question, study: Study) -> None:
    """Raise QuestionError where the treatment or the outcome happens too rarely for any answer."""
    rare = _too_rare(question, study)
    if rare is not None:
        raise QuestionError.of(found=rare, needed="behaviors that are commoner", do="Ask about a category or an action")


def _too_rare(question: Question, study: Study) -> str | None:
    for behavior in question.pair:
        rare = too_rare(behavior, *support(behavior, study.store, study.log))
        if rare is not None:
            return rare
    if question.composite is not None:
        return too_rare(question.composite, *completions(question.composite, study.store, study.log))
    return None


def _asked_trials(question: Question, study: Study, report: Report) -> tuple[TrialTable, Bools, PairData]:
    """Return the trials in memory, which of them the question is about, and those with their nuisances."""
    config, pair, asked = study.config, question.pair, list(question.behaviors)
    source = source_of(question, study)
    source, controls = with_controls(source, config.causal)
    table = gather(source, asked, [question.outcome], controls=controls, report=report)
    if question.design == "session":
        return session_trials(table, pair, seed=config.seed)
    if question.reference is not None:
        return table, *_against_reference(table, question, config.seed)
    nuisance = fit_nuisance(table, [pair], seed=config.seed, report=report)
    return table, *pair_data(table, nuisance, pair)


def source_of(question: Question, study: Study) -> TrialSource:
    """Return the trials that a question is about: what the model has no head for is counted besides."""
    twins, config = study.twins(), study.config
    known = [b for b in question.behaviors if b in twins.heads.index.behaviors]
    if question.outcome not in [twins.heads.index.behaviors[i] for i in twins.heads.outcomes]:
        known = [b for b in known if b != question.outcome]
    return replace(
        study.trials(twins, question.horizon),
        extra=tuple(b for b in question.behaviors if b not in known),
        position_below=min(1.0, config.causal.max_trials / max(1, study.log.quality.n_moments)),
        users=users_where(question.where, study.log),
        design=question.trials,
    )


def _alone(effect: Effect) -> Effect:
    """Give the answer to a question asked alone its q-values: in a family of one they are the p-value."""
    p = effect.effect.p_value
    return replace(effect, effect=replace(effect.effect, q_value=p, q_value_by=p))


def _against_reference(table: TrialTable, question: Question, seed: int) -> tuple[Bools, PairData]:
    """Return mask and data of the decisions that are the treatment or the reference alone, nuisances fitted on them."""
    T, R = table.is_behavior[question.treatment], table.is_behavior[question.reference]  # type: ignore[index]
    own, Y = table.is_behavior[question.outcome], table.outcome[question.outcome]
    keep = ((T > 0) != (R > 0)) & ((own == 0) | (question.treatment == question.outcome))
    fitter = CrossFitter(table.X, table.fold, seed=seed)
    e = fitter.predict(T, PROPENSITY, head=None, use=keep)
    m = fitter.predict(Y, OUTCOME, head=table.start_m.get(question.outcome), use=keep)
    return keep, restricted(table, keep, T.astype(float), Y.astype(float), e, m)


def _require_decision(treatment: Behavior) -> None:
    """Raise QuestionError where the treatment is done to people, not by them."""
    if treatment.action not in ("campaign", "impression"):
        return
    campaign = "" if treatment.kind == "any" else f" {treatment.target}"
    raise QuestionError.of(
        found=f"{treatment} is done to people, and a step is a decision of theirs",
        needed="a treatment that people do, as view:* or search:*",
        do=f"Ask with --design assignment, or run `whybuy campaign{campaign}`"
        if treatment.action == "campaign"
        else "Ask for what follows it: view:*",
    )


def _require_in_log(behavior: Behavior, store: SequenceStore, log: EventLog) -> None:
    if support(behavior, store, log)[0] > 0:
        return
    known: list[str] = {
        "category": store.vocabulary.categories,
        "item": [str(i) for i in store.vocabulary.items[:20_000]],
        "brand": sorted({str(b) for b in store.vocabulary.item_brand}),
        "campaign": log.quality.campaigns,
    }.get(behavior.kind, [])
    near = nearest(behavior.target, known) if behavior.target not in known else None
    actions = ", ".join(f"{a} ({n})" for a, n in log.quality.actions.items())
    raise BehaviorError.of(
        found=f"{behavior} never happens in this log, which has the actions {actions}",
        needed="a behavior that the log holds",
        do=f"Did you mean {replace(behavior, target=near)}?" if near else "Run `whybuy effects --all` to see them",
    )


def users_where(where: str | None, log: EventLog) -> frozenset[str] | None:
    """Return the users that a SQL condition on the users table holds for; None where there is no condition."""
    if where is None:
        return None
    users = log.users()
    try:
        found = duckdb.query_df(users, "users", f"SELECT user_id FROM users WHERE {where}").fetchall()
    except duckdb.Error as error:
        raise QuestionError.of(
            found=f"--where {where!r} is no condition on the users table ({str(error).splitlines()[0]})",
            needed=f"a SQL condition on {', '.join(users.columns)}",
            do="Correct it, for example --where \"segment = 'new'\"",
        ) from error
    if not found:
        raise QuestionError.of(
            found=f"--where {where!r} matches no user", needed="at least 30 users", do="Widen the condition"
        )
    return frozenset(row[0] for row in found)
