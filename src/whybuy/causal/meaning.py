"""What the contrast of a question means, in words: who is compared with whom, and what is counted."""

from typing import TYPE_CHECKING

from whybuy.causal.scan import meaning as of_step
from whybuy.events.composites import Composite

if TYPE_CHECKING:
    from whybuy.causal.question import Question


def meaning(question: "Question") -> str:
    """Return the contrast of a question in words."""
    if question.design == "session":
        return _of_session(question)
    if question.design == "calendar":
        b, a = question.pair
        return f"{b} at least once in a period instead of not at all: change in the chance of {a} after it"
    if question.composite is not None:
        return _of_composite(question, question.composite)
    if question.reference is not None:
        return f"{question.treatment} now instead of {question.reference}, everything after as it goes"
    return of_step(*question.pair, question.horizon)


def _of_session(question: "Question") -> str:
    b, a = question.pair
    further, only = ("a further ", "") if a == b else ("", f" without {a}")
    return (
        f"{b} among the first {question.first} decisions of a session, instead of a session that begins without it, "
        f"everything after as it goes: change in the chance of {further}{a} within {question.horizon} after decision "
        f"{question.first}, for sessions that get so far{only}, compared by what came before them"
    )


def _of_composite(question: "Question", composite: Composite) -> str:
    b, a = question.pair
    earlier = ", then ".join(map(str, composite.earlier))
    return (
        f"{b} now, which completes {composite}, instead of {question.reference or 'something else now'}, everything "
        f"after as it goes: change in the chance of {a} within {question.horizon}, among the decisions that had "
        f"{earlier} within {composite.within} before, at which it could be completed"
    )
