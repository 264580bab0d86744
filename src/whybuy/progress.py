"""Progress of long work: libraries report through a plain callable, the command line draws it with Rich."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class Report(Protocol):
    """Anything that takes ``(task, done, total, note)``; called as often as the work likes."""

    def __call__(self, task: str, done: float, total: float, note: str = "") -> None:
        """Say that ``done`` of ``total`` of ``task`` is finished."""


def quiet(task: str, done: float, total: float, note: str = "") -> None:
    """Report nothing."""


@contextmanager
def live(console: Console) -> Iterator[Report]:
    """Draw every reported task as a bar with elapsed and remaining time on ``console`` (stderr)."""
    columns = (
        TextColumn("[bold]{task.description:<12}"),
        BarColumn(bar_width=28),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("[dim]{task.fields[note]}"),
    )
    tasks: dict[str, TaskID] = {}
    # Standard output carries answers, perhaps into a file: it must not be drawn among the bars on standard error.
    with Progress(*columns, console=console, transient=False, redirect_stdout=False) as bars:

        def report(task: str, done: float, total: float, note: str = "") -> None:
            note = escape(note)
            if task not in tasks:
                tasks[task] = bars.add_task(task, total=total, note=note)
            elif done < bars.tasks[tasks[task]].completed:
                # Begun again, as histories are for every campaign: time left is that of this round.
                bars.reset(tasks[task])
            bars.update(tasks[task], completed=done, total=total, note=note)

        yield report
