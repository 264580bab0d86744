"""How numbers and names are written in the report: percentage points with their interval, dates, durations, behaviors.

Differences of probabilities are written in percentage points with a sign (``+2.1 pp``) and as many decimals as the
interval can carry. A number that could not be computed is a dash, never a zero.
"""

import math
from datetime import UTC, datetime
from urllib.parse import unquote

from whybuy.config import duration_ms
from whybuy.errors import ConfigError
from whybuy.report.payload import Interval

DASH = "–"
_UNITS = {"s": "second", "m": "minute", "h": "hour", "d": "day", "w": "week"}
_VERDICT_WORDS = {"cannot_tell": "cannot tell"}


def decimals(low: float | None, high: float | None) -> int:
    """Return the decimals of percentage points that an interval can carry: 1 for one of +-0.7 pp, 2 for +-0.07 pp."""
    if low is None or high is None or high <= low:
        return 1
    return min(3, max(1, math.ceil(-math.log10(50 * (high - low)))))


def points(value: float | None, places: int = 1) -> str:
    """Return a difference of probabilities in percentage points: 0.021 -> ``+2.1``."""
    if value is None:
        return DASH
    text = f"{100 * value:+.{places}f}"
    if float(text) == 0:
        text = text.lstrip("+-")
    return text.replace("-", "−")


def points_interval(interval: Interval) -> str:
    """Return ``+2.1 pp [1.4, 2.8]``."""
    places = decimals(interval.low, interval.high)
    if interval.estimate is None:
        return DASH
    return f"{points(interval.estimate, places)} pp {bracket(interval.low, interval.high)}".rstrip()


def bracket(low: float | None, high: float | None) -> str:
    """Return ``[1.4, 2.8]`` in percentage points, a plus sign left out."""
    if low is None or high is None:
        return ""
    places = decimals(low, high)
    return f"[{points(low, places)}, {points(high, places)}]".replace("+", "")


def percent(value: float | None, places: int = 1) -> str:
    """Return a probability: 0.1505 -> ``15.1%``; small ones get more decimals."""
    if value is None:
        return DASH
    if 0 < value < 0.001:
        places = 3
    return f"{100 * value:.{places}f}%"


def count(value: float | None) -> str:
    """Return a count with thousands apart."""
    return DASH if value is None else f"{value:,.0f}"


def plain(value: object) -> str:
    """Return any value of a check as a person writes it."""
    if value is None:
        return DASH
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        whole = abs(value) >= 1000 or value.is_integer()
        return count(value) if whole and abs(value) < 1e15 else f"{value:.3g}".replace("-", "−")
    if isinstance(value, int):
        return count(value)
    return str(value)


def day(ms: int | None) -> str:
    """Return the UTC day of a time."""
    return DASH if ms is None else datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d")


def span(ms: int | None) -> str:
    """Return a length of time in its largest sensible unit: ``92 days``, ``5.5 hours``."""
    if ms is None:
        return DASH
    for unit_ms, unit in ((86_400_000, "day"), (3_600_000, "hour"), (60_000, "minute"), (1000, "second")):
        if ms >= unit_ms:
            n = ms / unit_ms
            text = f"{n:,.0f}" if n >= 10 or n.is_integer() else f"{n:.1f}"
            return f"{text} {unit}{'' if text == '1' else 's'}"
    return f"{ms} milliseconds"


def window(horizon: str) -> str:
    """Return a horizon in words: ``7d`` -> ``7 days``; as written where it is no duration."""
    try:
        duration_ms(horizon)
    except ConfigError:
        return horizon
    number, unit = horizon.strip()[:-1].strip(), _UNITS[horizon.strip()[-1]]
    return f"{number} {unit}{'' if number == '1' else 's'}"


def behavior(canonical: str) -> str:
    """Return a behavior as people read it: the canonical form without percent-encoding."""
    return unquote(canonical)


def shortened(text: str, limit: int) -> str:
    """Return the text with its middle left out where it is longer than ``limit``."""
    if len(text) <= limit:
        return text
    head = limit // 2
    return f"{text[:head]}…{text[len(text) - (limit - head - 1) :]}"


def verdict(word: str) -> str:
    """Return a verdict as it is read."""
    return _VERDICT_WORDS.get(word, word)
