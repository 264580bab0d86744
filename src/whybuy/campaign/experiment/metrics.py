"""What an experiment is judged by: metrics that shall move, and guardrails that must not be hurt.

A metric is a behavior, of which the share of units that do it is counted, or ``revenue``, which is summed. A
guardrail is written as the claim that must be shown: ``revenue>-0.5`` (revenue per unit falls by less than .5),
``return:*<0.01`` (at most one in 100 more sends something back).
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from whybuy.errors import QuestionError
from whybuy.events.behaviors import Behavior, parse_behavior

REVENUE = "revenue"


@dataclass(frozen=True, slots=True)
class Metric:
    """What is counted; ``behavior`` is None for revenue."""

    name: str
    behavior: Behavior | None


@dataclass(frozen=True, slots=True)
class Margin:
    """By how much a guardrail may be worse.

    Attributes
    ----------
    margin : the difference that must be left out, negative where more is better
    more_is_better : whether the difference must lie above the margin, else below
    """

    margin: float
    more_is_better: bool

    def held(self, low: float, high: float) -> bool:
        """Return whether an interval shows that the guardrail is not hurt by more than the margin."""
        return low > self.margin if self.more_is_better else high < self.margin

    def broken(self, low: float, high: float) -> bool:
        """Return whether an interval shows that it is hurt by more than the margin."""
        return high < self.margin if self.more_is_better else low > self.margin

    def __str__(self) -> str:
        return f"{'>' if self.more_is_better else '<'}{self.margin:g}"


def parse_metric(text: str) -> Metric:
    """Return the metric that ``text`` writes.

    Raises
    ------
    BehaviorError
        It is neither ``revenue`` nor a behavior.
    """
    if text.strip().casefold() == REVENUE:
        return Metric(REVENUE, None)
    behavior = parse_behavior(text)
    return Metric(str(behavior), behavior)


def parse_guardrail(text: str) -> tuple[Metric, Margin]:
    """Return metric and margin of a claim such as ``revenue>-0.5`` or ``return:*<0.01``.

    Raises
    ------
    QuestionError
        There is no ``>`` or ``<``, no number behind it, or the margin allows nothing.
    BehaviorError
        The metric cannot be read.
    """
    match = re.fullmatch(r"\s*(.+?)\s*([<>])\s*([-+]?[\d.]+(?:[eE][-+]?\d+)?)\s*", text)
    if match is None or not math.isfinite(_number(match[3])):
        raise QuestionError.of(
            found=f"The guardrail {text!r} is no claim",
            needed="a metric, > or <, and a margin",
            do="Write revenue>-0.5 where more is better, return:*<0.01 where less is",
        )
    margin = Margin(_number(match[3]), match[2] == ">")
    if margin.margin == 0 or (margin.margin > 0) == margin.more_is_better:
        raise QuestionError.of(
            found=f"The guardrail {text!r} asks for an improvement, or allows no loss at all",
            needed="a margin that may be lost: below 0 after >, above 0 after <",
            do="Say how much worse is still bearable, or make it a metric that shall move",
        )
    return parse_metric(match[1]), margin


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def require_distinct(metrics: Sequence[Metric], guardrails: Sequence[Metric]) -> None:
    """Refuse a metric that is named twice."""
    names = [metric.name for metric in (*metrics, *guardrails)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise QuestionError.of(
            found=f"{', '.join(twice)} is asked for twice",
            needed="every metric once, to be moved or to be guarded",
            do="Leave one of them out",
        )
