"""``recommend --evaluate``: what policies would have earned on the log, kept in the workspace as a stage of its own."""

import json
import time
from pathlib import Path
from typing import Any

from whybuy.cli.session import Session
from whybuy.cli.tables import NOTHING, Column, show_table
from whybuy.pipeline import Pipeline, StageDone

EVALUATION = "evaluation"
FIGURE, NUMBERS = "evaluation.html", "evaluation.json"
POLICY_COLUMNS: tuple[Column, ...] = (
    ("policy", "left"),
    ("value", "right"),
    ("low", "right"),
    ("high", "right"),
    ("on as logged", "right"),
    ("low", "right"),
    ("high", "right"),
    ("users' worth", "right"),
)


def show_evaluation(session: Session) -> None:
    """Compare the policies on the log and print what was found."""
    with session.pipeline() as pipeline:
        found = _evaluated(pipeline)
    if session.as_json:
        session.emit(found)
        return
    session.say(found["unit"])
    show_table(session.out, POLICY_COLUMNS, map(_row, found["policies"]))
    session.say()
    for policy in found["policies"]:
        if policy["reasons"]:
            session.say(f"{policy['policy']}: cannot tell. {' '.join(policy['reasons'])}")
    session.say(found["verdict"])
    judged = found["judged"]
    session.say(
        f"judged on {judged['n_shown']:,} items shown in {judged['n_slates']:,} slates to {judged['n_users']:,} users, "
        f"from {judged['first']} to {judged['last']}; learned on {found['taught']['n_slates']:,} slates before"
    )
    for note in (found["assumption"], *found["notes"]):
        session.say(f"- {note}")
    for row in found["left_out"]:
        session.say(f"- Left out: {row['impressions']:,} impressions {row['reason']}.")
    session.say(f"figure: {found['figure']}")


def _evaluated(pipeline: Pipeline) -> dict[str, Any]:
    """Return the numbers, made anew where the log, the settings or the code changed."""
    pipeline.run("events")
    config, workspace = pipeline.config, pipeline.workspace
    inputs = {
        "events": pipeline.made_from("events"),
        "settings": config.model_dump(mode="json", include={"recommend", "lookback", "seed"}),
    }
    fresh, started = workspace.is_fresh(EVALUATION, inputs), time.monotonic()
    folder = workspace.stage(EVALUATION, inputs, lambda folder: _build(pipeline, folder))
    pipeline.finished(StageDone(EVALUATION, None if fresh else time.monotonic() - started))
    numbers: dict[str, Any] = json.loads((folder / NUMBERS).read_text(encoding="utf-8"))
    return {**numbers, "figure": str(folder / FIGURE)}


def _build(pipeline: Pipeline, folder: Path) -> None:
    from whybuy.recommend.backtest import evaluate_log

    config = pipeline.config
    found = evaluate_log(pipeline.log, config, scratch_in=folder, seed=config.seed, report=pipeline.report)
    (folder / NUMBERS).write_text(json.dumps(found.to_json(), indent=1, allow_nan=False), encoding="utf-8")
    (folder / FIGURE).write_text(found.plot().to_html(include_plotlyjs=True), encoding="utf-8")


def _row(found: dict[str, Any]) -> list[str]:
    worth = found["effective_users"]
    return [
        found["policy"],
        *_interval(found["value"], ""),
        *_interval(found["difference"], "+"),
        NOTHING if worth is None else f"{worth:,.0f}",
    ]


def _interval(found: dict[str, float] | None, sign: str) -> list[str]:
    names = ("estimate", "ci_low", "ci_high")
    return [NOTHING] * len(names) if found is None else [f"{found[name]:{sign}.2f}" for name in names]
