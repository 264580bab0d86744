"""Several questions at once: more than one horizon, or more than one treatment, each against the same alternatives.

With a named reference the treatments are the values of one choice, and each is compared with the reference among the
decisions that are one or the other: a choice of three is two questions, not one coefficient for each in a regression
that mixes them (Goldsmith-Pinkham, Hull and Kolesár, Contamination bias in linear regressions, American Economic
Review, 2024). Whoever asks several things finds something by luck, so q-values are those of all that was asked.
"""

from itertools import permutations

from whybuy.causal.confirm import selection_adjusted
from whybuy.causal.designs import ASSIGNMENT
from whybuy.causal.effects import Effect
from whybuy.causal.question import Question
from whybuy.config import CausalConfig
from whybuy.errors import QuestionError
from whybuy.events.behaviors import contains
from whybuy.events.composites import split_treatments


def questions(
    treatment: str,
    outcome: str,
    *,
    horizon: str,
    design: str | None = None,
    reference: str | None = None,
    where: str | None = None,
) -> list[Question]:
    """Return every question that is asked: for each horizon each treatment, in the order in which they are written.

    Parameters
    ----------
    treatment, horizon : one, or several with commas between them; a comma within a name is written %2C

    Raises
    ------
    QuestionError, BehaviorError, ConfigError
        One of them is no question, something is asked twice, or treatments with a reference are not exclusive.
    """
    asked = [
        Question.of(one, outcome, horizon=within.strip(), design=design, reference=reference, where=where)
        for within in horizon.split(",")
        for one in split_treatments(treatment)
    ]
    if len(set(asked)) < len(asked):
        raise QuestionError.of(
            found=f"The same is asked twice in {treatment} within {horizon}",
            needed="treatments and horizons that differ",
            do="Name each of them once",
        )
    if reference is not None:
        _require_exclusive(asked)
    if len(asked) > 1 and asked[0].design == ASSIGNMENT:
        raise QuestionError.of(
            found="Several questions with --design assignment",
            needed="one campaign within one horizon",
            do="Ask one at a time, or run `whybuy campaign` for all of them with joint q-values",
        )
    return asked


def _require_exclusive(asked: list[Question]) -> None:
    """Raise QuestionError where a decision for one treatment always is one for another, too."""
    for one, other in permutations(dict.fromkeys(q.treatment for q in asked if q.composite is None), 2):
        if contains(one, other):
            raise QuestionError.of(
                found=f"Every {other} is itself a {one}",
                needed="with a --reference, treatments of which none holds another: they are the values of one choice",
                do="Ask about one of them at a time",
            )


def together(effects: list[Effect], config: CausalConfig) -> list[Effect]:
    """Return the answers judged by the q-values of all of them; an answer alone stays as it is."""
    return effects if len(effects) == 1 else selection_adjusted(effects, config)
