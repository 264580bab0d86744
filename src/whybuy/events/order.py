"""The order in which people list ids: 2 before 10."""

import re

_DIGITS = re.compile(r"(\d+)")


def natural(name: str) -> tuple[tuple[str | tuple[int, str], ...], str]:
    """Return what to sort an id by: its numbers by their size, the text between them as it is.

    Numbers are compared by length, then digit by digit, so that any number of digits will do.
    """
    parts = _DIGITS.split(name)
    return tuple(_size(part) if place % 2 else part for place, part in enumerate(parts)), name


def _size(digits: str) -> tuple[int, str]:
    significant = digits.lstrip("0")
    return len(significant), significant
