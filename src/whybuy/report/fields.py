"""Fields of JSON as the payload wants them: texts cut to what a person reads, numbers finite or absent."""

import math
from collections.abc import Iterable
from typing import Any

from whybuy.report.payload import Interval

MAX_TEXT = 160
MAX_LINES = 12


def clip(text: object, limit: int = MAX_TEXT) -> str:
    """Return the text, cut to ``limit`` characters with an ellipsis where it is longer."""
    words = str(text)
    return words if len(words) <= limit else words[: limit - 1] + "…"


def lines(texts: Iterable[object]) -> tuple[str, ...]:
    """Return the first texts, each cut to what a person reads."""
    return tuple(clip(text, 2 * MAX_TEXT) for text in list(texts)[:MAX_LINES])


def number(value: Any) -> float | None:
    """Return a finite number, or None."""
    if value is None or isinstance(value, bool):
        return None
    found = float(value)
    return found if math.isfinite(found) else None


def interval(raw: dict[str, Any], estimate: str = "estimate", low: str = "ci_low", high: str = "ci_high") -> Interval:
    """Return the estimate of an object with its interval, by the names of its fields."""
    return Interval(estimate=number(raw.get(estimate)), low=number(raw.get(low)), high=number(raw.get(high)))
