"""``demo`` and ``init``: a shop whose truth is known, and the config of your own log."""

import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.prompt import Prompt
from rich.text import Text

from whybuy.cli.session import DEFAULT_CONFIG, Session, command
from whybuy.cli.tables import Column, number, show_table
from whybuy.pipeline import TRUTH, Pipeline, StageDone

if TYPE_CHECKING:
    from whybuy.events.propose import Proposal
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
        fresh = session.workspace.is_fresh("demo", {"seed": seed})
        folder = session.workspace.stage("demo", {"seed": seed}, lambda folder: write_demo(draw_demo(seed), folder))
        session.finished(StageDone("demo", None if fresh else time.monotonic() - started))
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
        "naive: P(outcome within 7 days | the behavior) - P(outcome | another decision); adjusted, low, high: the "
        "effect with its 95% interval; truth: the same contrast computed in the equations of the shop"
    )
    session.say(f"report: {pipeline.report_path}")
    config = session.root / "demo" / "whybuy.toml"
    session.say(f"seconds: {seconds:.0f}; next: whybuy effects --all --workspace {session.root} -c {config}")


def compared(pipeline: Pipeline, truths: "Sequence[TrueEffect]") -> list[dict[str, Any]]:
    """Return the naive and the adjusted answer beside every known truth."""
    found = {(e.treatment, e.outcome, e.horizon): e for e in pipeline.effects()}
    rows = []
    for truth in truths:
        effect = found[truth.treatment, truth.outcome, truth.horizon]
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


@command
def init(
    session: Session,
    *,
    events: Annotated[str, typer.Argument(help="A file, a folder, a glob, or file.duckdb::table.")],
    items: Annotated[str | None, typer.Option(help="The items file.")] = None,
    users: Annotated[str | None, typer.Option(help="The users file.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The config to write; whybuy.toml.", dir_okay=False)
    ] = None,
) -> None:
    """Propose how the columns of a log map to those of whybuy, and write the config."""
    from whybuy.events.propose import propose, write_config

    path = output or session.config_path or DEFAULT_CONFIG
    proposal = propose(events, items=items, users=users, into=path.absolute().parent)
    if sys.stdin.isatty() and session.err.is_terminal and not session.as_json:
        proposal = asked(proposal, session.err)
    backup = write_config(proposal, path)
    if session.as_json:
        session.emit(_proposal_json(proposal, path, backup))
        return
    session.say(proposal.summary())
    for note in proposal.notes:
        session.say(f"- {note}")
    for choice in proposal.choices:
        session.say(f"- {choice.question}")
    if backup is not None:
        session.say(f"kept as it was: {backup}")
    options = "" if path == DEFAULT_CONFIG else f" -c {path}"
    session.say(f"written: {path}; next: whybuy check{options}, then whybuy run{options}")


def asked(proposal: "Proposal", console: Console) -> "Proposal":
    """Let the person at the terminal settle what is ambiguous; an empty answer keeps the proposal."""
    for choice in proposal.choices:
        possible = [choice.chosen, *choice.others]
        answer = Prompt.ask(Text(choice.question), choices=possible, default=choice.chosen, console=console)
        if answer != choice.chosen:
            proposal = proposal.choose(choice, answer)
    return proposal


def _proposal_json(proposal: "Proposal", path: Path, backup: Path | None) -> dict[str, Any]:
    return {
        "config": str(path),
        "backup": None if backup is None else str(backup),
        "log": proposal.log,
        "mapping": proposal.to_frame().to_dict("records"),
        "horizon": proposal.horizon,
        "lookback": proposal.lookback,
        "span_days": proposal.span_days,
        "span_reason": proposal.span_reason,
        "choices": [choice.question for choice in proposal.choices],
        "notes": list(proposal.notes),
    }
