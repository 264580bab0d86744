"""One question about a dose, answered now: how it is written, which trials it is about, and the verdict.

=========================  ==========================================================================================
``price:shoes``            of decisions that are a view of shoes: the item's price, in tenths of its usual one
``discount:item=7``        the same, counted downward
``number:view:shoes``      of sessions: how many of the first decisions are a view of shoes
=========================  ==========================================================================================

A dose is ``suggestive`` at most: who sets a price watches demand, and a person who looks often may be one who wants.
"""

from dataclasses import dataclass
from typing import Literal, get_args

from whybuy.causal.designs import DEFAULT_FIRST, parse_design
from whybuy.causal.dose import Dose
from whybuy.causal.dose_slope import curve, enough, slope
from whybuy.causal.dose_trials import numbered, priced
from whybuy.causal.effects import Estimate, Verdict
from whybuy.causal.measures import Price
from whybuy.causal.question import Question, source_of
from whybuy.causal.study import Study
from whybuy.causal.verdict import Q_LIMIT
from whybuy.errors import QuestionError
from whybuy.events.behaviors import Behavior, parse_behavior
from whybuy.progress import Report, quiet

Kind = Literal["price", "discount", "number"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_PRICE_EDGES = (-1.5, -0.5, 0.5, 1.5)
_PRICE_LABELS = ("15% or more below", "5 to 15% below", "about the usual", "5 to 15% above", "15% or more above")
_NUMBER_EDGES = (0.5, 1.5, 2.5)
_NUMBER_LABELS = ("none", "one", "two", "three or more")
_CAPS = {
    "price": "Dose: suggestive at most. Who sets prices watches demand, and what they saw may not be logged.",
    "number": "Dose: suggestive at most. What brought a person here today is in no event before the session.",
}


@dataclass(frozen=True)
class DoseQuestion:
    """What is asked; ``behavior`` is what the dose is of, ``first`` how many decisions begin a session."""

    kind: Kind
    behavior: Behavior
    asked: Question

    @classmethod
    def of(
        cls, treatment: str, outcome: str, *, horizon: str, design: str | None = None, where: str | None = None
    ) -> "DoseQuestion":
        """Read a question from text.

        Raises
        ------
        QuestionError, BehaviorError, ConfigError
            The treatment is no dose, the design is not its own, or a behavior or duration is none.
        """
        kind, _, target = treatment.strip().partition(":")
        found = next((k for k in KINDS if k == kind), None)
        if found is None:
            raise QuestionError.of(
                found=f"{treatment} is no dose",
                needed="price:, discount: or number: before what it is of",
                do="Write price:shoes, discount:shoes, or number:view:shoes",
            )
        of_session = found == "number"
        if not of_session and design not in (None, "step"):
            raise QuestionError.of(
                found=f"{treatment} with --design {design}",
                needed="the design step: a price is met at a decision",
                do="Leave --design out",
            )
        first = parse_design(design or "session")[1] if of_session else DEFAULT_FIRST
        of = parse_behavior(target if of_session else f"view:{target}")
        text = f"session:{first}" if of_session else "step"
        return cls(found, of, Question.of(str(of), outcome, horizon=horizon, design=text, where=where))

    def __str__(self) -> str:
        """Return the canonical form."""
        return f"{self.kind}:{self.behavior if self.kind == 'number' else str(self.behavior).partition(':')[2]}"

    @property
    def unit(self) -> str:
        """What one step of the slope is."""
        if self.kind == "number":
            return f"one more {self.behavior} among the first {self.asked.first} decisions of a session"
        return f"a price 10% {'below' if self.kind == 'discount' else 'above'} the usual one"

    @property
    def meaning(self) -> str:
        """What is compared, in words."""
        within = f"{self.asked.outcome} within {self.asked.horizon}"
        if self.kind == "number":
            return f"{self.unit}, instead of other decisions: change in the chance of {within} after them"
        return (
            f"{self.unit}, at decisions that are {self.behavior}, for as long as the price lasts: change in the chance "
            f"of {within}; the usual price of an item is its median"
        )

    def require_possible(self, study: Study) -> None:
        """Raise QuestionError or BehaviorError where the question cannot be asked of the log; no model is needed."""
        self.asked.require_possible(study)
        if self.kind != "number":
            Price.of_log(self.behavior, study.store, study.log)


def is_dose(treatment: str) -> bool:
    """Return whether the text of a treatment writes a dose."""
    return treatment.strip().partition(":")[0] in KINDS


def answer_dose(question: DoseQuestion, study: Study, *, report: Report = quiet) -> Dose:
    """Return the effect of a dose: its slope and its curve.

    Raises
    ------
    QuestionError, BehaviorError
        The question cannot be asked of this log; its prices are unknown or do not vary.
    """
    question.require_possible(study)
    source = source_of(question.asked, study)
    if question.kind == "number":
        trials = numbered(question.asked, source, report=report)
    else:
        prices = Price.of_log(question.behavior, study.store, study.log)
        sign = -1 if question.kind == "discount" else 1
        trials = priced(question.asked, source, prices, sign=sign, seed=study.config.seed, report=report)
    found, effective = slope(trials)
    few = enough(effective, "users" if question.kind == "number" else "users or spells of a price")
    found = Estimate(estimand="slope") if few is not None else found
    verdict, reasons = _verdict(question, found, few, study.config.causal.smallest_effect)
    edges, labels, reference = (
        (_NUMBER_EDGES, _NUMBER_LABELS, 0) if question.kind == "number" else (_PRICE_EDGES, _PRICE_LABELS, 2)
    )
    if question.kind == "discount":
        labels = labels[::-1]
    return Dose(
        treatment=str(question),
        outcome=str(question.asked.outcome),
        horizon=question.asked.horizon,
        unit=question.unit,
        n_trials=len(trials.Y),
        n_users=int(trials.clusters[0].max()) + 1,
        n_clusters=int(trials.clusters[1].max()) + 1 if len(trials.clusters) > 1 else None,
        slope=found,
        naive=trials.naive,
        curve=tuple(curve(trials, edges, labels, reference)),
        verdict=verdict,
        reasons=reasons,
        meaning=question.meaning,
    )


def _verdict(
    question: DoseQuestion, found: Estimate, few: str | None, smallest_effect: float
) -> tuple[Verdict, tuple[str, ...]]:
    """Return the verdict by the rule of effects, at most suggestive, with its reasons."""
    if few is not None or found.p_value is None or found.ci_low is None or found.ci_high is None:
        return "cannot_tell", (few or "No slope could be computed: the dose is perfectly predicted.",)
    told = (
        f"Adjusted slope {100 * (found.estimate or 0):+.2f} in 100 for {question.unit}, 95% interval "
        f"[{100 * found.ci_low:+.2f}, {100 * found.ci_high:+.2f}]."
    )
    if -smallest_effect < found.ci_low and found.ci_high < smallest_effect:
        return "none", (told, f"The interval lies inside plus or minus {100 * smallest_effect:g} in 100.")
    if found.p_value < Q_LIMIT:
        return "suggestive", (told, _CAPS["number" if question.kind == "number" else "price"])
    return "cannot_tell", (told, "The interval is too wide or too near zero to tell an effect from none.")
