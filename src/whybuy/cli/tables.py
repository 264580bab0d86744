"""Tables and numbers of the answers: nothing is ever cut off.

Rich shortens what does not fit a terminal. Here a table that is too wide has its words folded where the terminal is
one, and is printed at its natural width where nobody looks at its edge (a pipe, a file).
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from whybuy.causal.effects import Effect

NOTHING = "-"
_MANY = 1_000_000
_ORDER = {"strong": 0, "suggestive": 1, "none": 2, "cannot_tell": 3}

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


def show_table(console: Console, columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> None:
    """Print a table with every character of every cell."""
    rows = [list(row) for row in rows]
    table = _table(columns, rows, fold=False)
    options = console.options.update(width=_MANY, max_width=_MANY)
    width = Measurement.get(console, options, table).maximum
    if width > console.width and console.is_terminal:
        folded = _table(columns, rows, fold=True)
        if Measurement.get(console, console.options, folded).minimum <= console.width:
            console.print(folded)
            return
    console.print(table, width=width, crop=False, no_wrap=True, overflow="ignore")


def _table(columns: Sequence[Column], rows: list[list[str]], *, fold: bool) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    for name, justify in columns:
        # Numbers stay whole; only words may go over several lines.
        words = fold and justify == "left" and name != "verdict"
        table.add_column(
            name, justify=justify, no_wrap=not words, overflow="fold" if words else "ignore", min_width=len(name)
        )
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def number(value: float | None, places: int = 4) -> str:
    """Return a signed number, or a dash where there is none."""
    return NOTHING if value is None else f"{value:+.{places}f}"


def effect_row(effect: "Effect") -> list[str]:
    """Return the cells of ``EFFECT_COLUMNS``."""
    e = effect.effect
    numbers = (effect.naive.difference, e.estimate, e.ci_low, e.ci_high)
    return [effect.treatment, effect.outcome, *map(number, numbers), effect.verdict]


def by_strength(effects: "Iterable[Effect]") -> "list[Effect]":
    """Return the effects, strongest verdict first, then the largest estimate, then by name."""
    return sorted(
        effects,
        key=lambda e: (_ORDER[e.verdict], -abs(e.effect.estimate or 0.0), e.treatment, e.outcome, e.horizon),
    )


def headlines(effects: "Iterable[Effect]") -> "list[Effect]":
    """Return what may stand in a headline, strongest first: no precondition of its outcome, no cell without answer."""
    return by_strength(e for e in effects if not e.funnel)
