"""``recommend --evaluate``: what the log tells of rankings, kept in the workspace as a stage of its own.

What policies would have earned where it says what was shown with which propensity, else how well rankings foretell what
people went on to buy.
"""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whybuy.cli.session import Session
from whybuy.cli.tables import NOTHING, Column, show_table
from whybuy.pipeline import Pipeline, StageDone

if TYPE_CHECKING:
    from whybuy.recommend.backtest import Evaluation, HeldOut

EVALUATION = "evaluation"
FIGURE, NUMBERS = "evaluation.html", "evaluation.json"
_ENDS, _TURNED = ("estimate", "ci_low", "ci_high"), ("estimate", "ci_high", "ci_low")
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
RANKING_COLUMNS: tuple[Column, ...] = (
    ("ranking", "left"),
    ("hit rate", "right"),
    ("low", "right"),
    ("high", "right"),
    ("NDCG", "right"),
    ("low", "right"),
    ("high", "right"),
    ("on this policy", "right"),
    ("low", "right"),
    ("high", "right"),
    ("coverage", "right"),
    ("novelty", "right"),
    ("miscalibration", "right"),
)


def show_evaluation(session: Session) -> None:
    """Compare policies, or rankings, on the log and print what was found."""
    with session.pipeline() as pipeline:
        found = _evaluated(pipeline)
    if session.as_json:
        session.emit(found)
    elif found["kind"] == "held_out":
        _show_rankings(session, found)
    else:
        _show_policies(session, found)


def _show_policies(session: Session, found: dict[str, Any]) -> None:
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


def _show_rankings(session: Session, found: dict[str, Any]) -> None:
    cut = found["cut"]
    session.say(f"What policies would have earned cannot be told. {found['why_no_policies']}")
    session.say()
    session.say(f"rankings of {found['k']} items against what people went on to buy by themselves:")
    ours = found["rankings"][0]["ranking"]
    against = {d["against"]: d for d in found["differences"] if (d["metric"], d["ranking"]) == ("ndcg", ours)}
    rows = [_ranking_row(row, against.get(row["ranking"])) for row in found["rankings"]]
    show_table(session.out, RANKING_COLUMNS, rows)
    session.say()
    session.say(found["verdict"])
    session.say(
        f"judged on {cut['n_taken']:,} items that {cut['n_users']:,} users bought from {cut['at']} to {cut['until']}; "
        "learned on what came before"
    )
    for note in found["notes"]:
        session.say(f"- {note}")
    session.say(f"figure: {found['figure']}")


def _ranking_row(found: dict[str, Any], ours_more: dict[str, float] | None) -> list[str]:
    more = None if ours_more is None else {a: -ours_more[b] for a, b in zip(_ENDS, _TURNED, strict=True)}
    described = [found[metric] for metric in ("coverage", "novelty", "miscalibration")]
    return [
        found["ranking"],
        *_interval(found["hit_rate"], ".4f"),
        *_interval(found["ndcg"], ".4f"),
        *_interval(more, "+z.4f"),
        *(NOTHING if numbers is None else f"{numbers['estimate']:.3f}" for numbers in described),
    ]


def _evaluated(pipeline: Pipeline) -> dict[str, Any]:
    """Return the numbers, made anew where the log, the settings or the code changed."""
    pipeline.run("events")
    config, workspace = pipeline.config, pipeline.workspace
    inputs = {
        "events": pipeline.made_from("events"),
        "settings": config.model_dump(mode="json", include={"recommend", "horizons", "lookback", "seed"}),
    }
    fresh, started = workspace.is_fresh(EVALUATION, inputs), time.monotonic()
    folder = workspace.stage(EVALUATION, inputs, lambda folder: _build(pipeline, folder))
    pipeline.finished(StageDone(EVALUATION, None if fresh else time.monotonic() - started))
    numbers: dict[str, Any] = json.loads((folder / NUMBERS).read_text(encoding="utf-8"))
    return {**numbers, "figure": str(folder / FIGURE)}


def _build(pipeline: Pipeline, folder: Path) -> None:
    from whybuy.recommend.backtest import evaluate_log, hold_out, why_no_policies

    log, config = pipeline.log, pipeline.config
    lack = why_no_policies(log)
    found: Evaluation | HeldOut
    if lack is None:
        found = evaluate_log(log, config, scratch_in=folder, seed=config.seed, report=pipeline.report)
    else:
        found = hold_out(log, config, lack=lack, scratch_in=folder, seed=config.seed, report=pipeline.report)
    (folder / NUMBERS).write_text(json.dumps(found.to_json(), indent=1, allow_nan=False), encoding="utf-8")
    (folder / FIGURE).write_text(found.plot().to_html(include_plotlyjs=True), encoding="utf-8")


def _row(found: dict[str, Any]) -> list[str]:
    worth = found["effective_users"]
    return [
        found["policy"],
        *_interval(found["value"], ".2f"),
        *_interval(found["difference"], "+.2f"),
        NOTHING if worth is None else f"{worth:,.0f}",
    ]


def _interval(found: dict[str, float] | None, form: str) -> list[str]:
    numbers = [None if found is None else found[name] for name in _ENDS]
    return [NOTHING if number is None else format(number, form) for number in numbers]
