"""``demo`` and ``init``: a shop whose truth is known, and the config of your own log."""

import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from whybuy.cli.session import Session, command
from whybuy.cli.tables import Column, number, show_table
from whybuy.pipeline import TRUTH, Pipeline

if TYPE_CHECKING:
    from whybuy.worlds import TrueEffect

DEMO_COLUMNS: tuple[Column, ...] = (
    ("treatment", "left"),
    ("outcome", "left"),
    ("naive", "right"),
    ("adjusted", "right"),
    ("low", "right"),
    ("high", "right"),
    ("truth", "right"),
    ("verdict", "left"),
)


@command
def demo(
    session: Session,
    *,
    seed: Annotated[int, typer.Option(min=0, help="Another seed draws another log of the same shop.")] = 7,
) -> None:
    """Draw a shop whose true effects are known, run everything on it, and compare."""
    from whybuy.worlds import demo_truth, draw_demo, write_demo

    started = time.monotonic()
    truths = demo_truth()
    with session.workspace.lock():
        folder = session.workspace.stage(
            "demo", {"seed": seed}, lambda folder: write_demo(draw_demo(seed), folder)
        )
        session.workspace.write_json(TRUTH, [asdict(effect) for effect in truths])
        with session.pipeline(folder / "whybuy.toml") as pipeline:
            pipeline.run()
    rows = compared(pipeline, truths)
    seconds = time.monotonic() - started
    if session.as_json:
        session.emit({"pairs": rows, "report": str(pipeline.report_path), "seconds": round(seconds, 1)})
        return
    show_table(session.out, DEMO_COLUMNS, [_cells(row) for row in rows])
    session.say()
    session.say(
        "naive: P(outcome within 7 days | the behavior) - P(outcome | another decision); adjusted, low, high: the effect "
        "with its 95% interval; truth: the same contrast computed in the equations of the shop"
    )
    session.say(f"report: {pipeline.report_path}")
    session.say(f"{seconds:.0f} s; next: whybuy effects --workspace {session.root} --all")


def compared(pipeline: Pipeline, truths: "list[TrueEffect]") -> list[dict[str, Any]]:
    """Return the naive and the adjusted answer beside every known truth."""
    horizon = pipeline.config.horizons[0]
    found = {(e.treatment, e.outcome): e for e in pipeline.effects() if e.horizon == horizon}
    rows = []
    for truth in truths:
        effect = found[truth.treatment, truth.outcome]
        rows.append(
            {
                "treatment": truth.treatment,
                "outcome": truth.outcome,
                "naive": effect.naive.difference,
                "adjusted": effect.effect.estimate,
                "low": effect.effect.ci_low,
                "high": effect.effect.ci_high,
                "truth": truth.truth,
                "verdict": effect.verdict,
            }
        )
    return rows


def _cells(row: dict[str, Any]) -> list[str]:
    return [value if isinstance(value, str) else number(value) for value in row.values()]
