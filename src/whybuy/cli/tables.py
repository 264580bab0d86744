"""Tables and numbers of the answers: nothing is ever cut off.

Rich shortens what does not fit a terminal. Here a table that is too wide has its words folded where the terminal is
one, and is printed at its natural width where nobody looks at its edge (a pipe, a file).
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from whybuy.causal.effects import Effect
    from whybuy.causal.sustained import StrategyEffect

NOTHING = "-"
_FEWEST = 12
"""Names are folded to no fewer characters than this."""

Column = tuple[str, Literal["left", "right"]]
EFFECT_COLUMNS: tuple[Column, ...] = (
    ("treatment", "left"),
    ("outcome", "left"),
    ("naive", "right"),
    ("adjusted", "right"),
    ("low", "right"),
    ("high", "right"),
    ("verdict", "left"),
)
STRATEGY_COLUMNS: tuple[Column, ...] = (
    ("strategy", "left"),
    ("naive", "right"),
    ("change", "right"),
    ("low", "right"),
    ("high", "right"),
    ("all at once", "right"),
    ("users", "right"),
)


def show_table(console: Console, columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> None:
    """Print a table with every character of every cell."""
    rows = [list(row) for row in rows]
    widths = [max(map(cell_len, cells)) for cells in zip([name for name, _ in columns], *rows, strict=True)]
    if console.is_terminal:
        widths = _folded(columns, widths, console.width)
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    for (name, justify), width in zip(columns, widths, strict=True):
        table.add_column(name, justify=justify, overflow="fold", width=width)
    for row in rows:
        table.add_row(*map(Text, row))
    before = console.width
    console.width = max(before, sum(widths) + len(widths) - 1)
    try:
        console.print(table)
    finally:
        console.width = before


def _folded(columns: Sequence[Column], widths: list[int], available: int) -> list[int]:
    """Return widths that fit a terminal: numbers and verdicts stay whole, only names go over several lines.

    The widths as they are where everything fits, or where no sensible ones do.
    """
    names = [i for i, (name, justify) in enumerate(columns) if justify == "left" and name != "verdict"]
    spare = available - (len(columns) - 1) - sum(width for i, width in enumerate(widths) if i not in names)
    found = list(widths)
    for left, i in zip(range(len(names), 0, -1), sorted(names, key=lambda i: widths[i]), strict=True):
        found[i] = min(widths[i], spare // left)
        spare -= found[i]
    sensible = all(found[i] >= min(widths[i], _FEWEST) for i in names)
    return found if sensible else widths


def number(value: float | None, places: int = 4) -> str:
    """Return a signed number without a leading zero, as in +.0712, or a dash where there is none."""
    return NOTHING if value is None else f"{value:+.{places}f}".replace("+0.", "+.").replace("-0.", "-.")


def effect_row(effect: "Effect") -> list[str]:
    """Return the cells of ``EFFECT_COLUMNS``."""
    e = effect.effect
    numbers = (effect.naive.difference, e.estimate, e.ci_low, e.ci_high)
    return [effect.treatment, effect.outcome, *map(number, numbers), effect.verdict]


def strategy_row(point: "StrategyEffect") -> list[str]:
    """Return the cells of ``STRATEGY_COLUMNS``; ``users`` are those of equal weight that carry the answer."""
    e = point.change
    band = NOTHING if point.band_low is None else f"{number(point.band_low)} {number(point.band_high)}"
    numbers = map(number, (point.naive_change, e.estimate, e.ci_low, e.ci_high))
    return [point.strategy.label, *numbers, band, f"{point.effective_users:,.0f}"]
