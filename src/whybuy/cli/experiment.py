"""``experiment plan``, ``assign`` and ``analyze``: how large, who gets what, what came of it."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from whybuy.cli.experiment_shown import show_assignment, show_plan, show_result
from whybuy.cli.session import Session, command, require_times, write_output
from whybuy.config import duration_ms
from whybuy.errors import QuestionError
from whybuy.pipeline import Pipeline

if TYPE_CHECKING:
    from whybuy.campaign.experiment import ExperimentPlan, ExperimentResult
    from whybuy.campaign.experiment.design import Design
    from whybuy.campaign.experiment.file import Assignment

app = typer.Typer(name="experiment", help="Plan an experiment, assign its arms, analyze it.", no_args_is_help=True)
_command = partial(command, group="whybuy experiment")

PLAN_FIGURE, RESULT_FIGURE, ASSIGNMENT = "experiment-plan.html", "experiment.html", "assignment.parquet"
_EVEN = "control=.5,treated=.5"

ArmsOption = Annotated[str, typer.Option("--arms", help="Arms with their shares, the controls first.")]
UnitOption = Annotated[str, typer.Option("--unit", help="user, an attribute such as region, or period=1d.")]
EntryOption = Annotated[
    Literal["visit", "start"],
    typer.Option("--entry", help="Outcomes count from the first visit after the start, or from the start."),
]
ActiveOption = Annotated[
    str | None, typer.Option("--active", help="Only people active in this time before the start; the lookback.")
]
WhereOption = Annotated[str | None, typer.Option("--where", help="A SQL condition on the users table.")]
WashoutOption = Annotated[str | None, typer.Option("--washout", help="Left out at the beginning of every period.")]
SeedOption = Annotated[int | None, typer.Option("--seed", min=0, help="Of what is drawn; the config's.")]
HorizonOption = Annotated[str | None, typer.Option("--horizon", help="Within how long outcomes count, as in 7d.")]


@app.command()
@_command
def plan(  # noqa: PLR0913 - the options of the program
    session: Session,
    *,
    outcome: Annotated[str, typer.Option(help="What shall move: a behavior, or revenue.")] = "purchase:*",
    horizon: HorizonOption = None,
    effect: Annotated[
        str | None, typer.Option(help="The smallest effect worth seeing: .01, or 5% of the outcome's mean.")
    ] = None,
    days: Annotated[int | None, typer.Option(min=1, help="Days in which people enter.")] = None,
    power: Annotated[float, typer.Option(help="Probability of seeing the effect.")] = 0.8,
    peek: Annotated[bool, typer.Option("--peek", help="Intervals that hold at every look.")] = False,
    simulations: Annotated[int, typer.Option(min=1, help="Experiments drawn from the log for every effect.")] = 400,
    arms: ArmsOption = _EVEN,
    unit: UnitOption = "user",
    entry: EntryOption = "visit",
    active: ActiveOption = None,
    where: WhereOption = None,
    washout: WashoutOption = None,
    seed: SeedOption = None,
) -> None:
    """Say how many people, how long, and which effects can be seen, read off the log and simulated on it."""
    from whybuy.campaign.experiment import Wanted
    from whybuy.campaign.experiment.ask import PlanQuestion, plan_log
    from whybuy.campaign.experiment.metrics import parse_metric

    absolute, relative = _effect(effect)
    shares = _shares(arms)
    with session.pipeline() as pipeline:
        seed = pipeline.config.seed if seed is None else seed
        wanted = Wanted(
            shares=list(shares.values()), effect=absolute, power=power, peek=peek, simulations=simulations, seed=seed
        )
        question = PlanQuestion(
            metric=parse_metric(outcome),
            horizon_ms=duration_ms(horizon or pipeline.config.campaign.horizon),
            relative=relative,
            days=days,
        )
        _read(pipeline)
        design = _design(pipeline, unit, washout, entry=entry, active=active, where=where, shares=shares, seed=seed)
        found = plan_log(pipeline.log, question, design, wanted, report=pipeline.report)
        figure = pipeline.workspace.root / PLAN_FIGURE
    _write_figure(found, figure)
    if session.as_json:
        session.emit({**found.to_json(), "figure": str(figure)})
        return
    show_plan(session, found)
    session.say(f"figure: {figure}")


@app.command()
@_command
def assign(  # noqa: PLR0913 - the options of the program
    session: Session,
    *,
    output: Annotated[
        Path | None, typer.Option(help="A .parquet or .csv file to write; never overwritten.", dir_okay=False)
    ] = None,
    start: Annotated[str | None, typer.Option(help="When it begins, as 2026-01-31; the log's end.")] = None,
    stratify: Annotated[
        str | None, typer.Option(help="Attributes, activity:4 (quarters by recent events), separated by commas.")
    ] = None,
    days: Annotated[int | None, typer.Option(min=1, help="How long periods go on.")] = None,
    arms: ArmsOption = _EVEN,
    unit: UnitOption = "user",
    entry: EntryOption = "visit",
    active: ActiveOption = None,
    where: WhereOption = None,
    washout: WashoutOption = None,
    seed: SeedOption = None,
) -> None:
    """Draw who gets which arm, within strata, and write it to a file with seed and hash."""
    from whybuy.campaign.experiment.ask import assign_log

    shares = _shares(arms)
    with session.pipeline() as pipeline:
        _read(pipeline)
        end_ms = pipeline.log.quality.last_ms + 1
        design = _design(
            pipeline,
            unit,
            washout,
            entry=entry,
            active=active,
            where=where,
            shares=shares,
            seed=pipeline.config.seed if seed is None else seed,
            start_ms=end_ms if start is None else _time_ms(start, pipeline),
        )
        strata = [name.strip() for name in stratify.split(",")] if stratify else []
        found = assign_log(pipeline.log, design, stratify=strata, days=days)
        path = output or pipeline.workspace.root / ASSIGNMENT
    is_new = found.require_free(path)
    if is_new:
        write_output(path, found.write)
    show_assignment(session, found, design, path, is_new=is_new)


@app.command()
@_command
def analyze(  # noqa: PLR0913 - the options of the program
    session: Session,
    *,
    assignment: Annotated[
        Path, typer.Argument(metavar="FILE", help="What `assign` wrote, or unit and arm as a table.")
    ],
    metric: Annotated[
        list[str] | None, typer.Option("--metric", help="What shall move; may repeat. purchase:* where left out.")
    ] = None,
    guardrail: Annotated[
        list[str] | None, typer.Option("--guardrail", help="What must not be hurt, as 'revenue>-0.5'; may repeat.")
    ] = None,
    horizon: HorizonOption = None,
    peek: Annotated[
        bool, typer.Option("--peek", help="You look before the end: intervals hold at every look.")
    ] = False,
    planned: Annotated[int | None, typer.Option(min=1, help="Units at the planned end; all assigned.")] = None,
    start: Annotated[str | None, typer.Option(help="Of a file of another system: when it began.")] = None,
    arms: Annotated[str | None, typer.Option("--arms", help="Of a file of another system: its shares.")] = None,
    unit: Annotated[str | None, typer.Option("--unit", help="Of a file of another system: what was assigned.")] = None,
    entry: Annotated[
        Literal["visit", "start"] | None, typer.Option("--entry", help="Of a file of another system: from when on.")
    ] = None,
) -> None:
    """Say what an experiment found: is the split sound, what moved, is nothing hurt."""
    from whybuy.campaign.experiment.file import read_assignment
    from whybuy.campaign.experiment.judge import Questions, analyze_log
    from whybuy.campaign.experiment.metrics import parse_guardrail, parse_metric

    found = read_assignment(assignment)
    with session.pipeline() as pipeline:
        questions = Questions(
            metrics=[parse_metric(text) for text in metric or ["purchase:*"]],
            guardrails=[parse_guardrail(text) for text in guardrail or []],
            horizon_ms=duration_ms(horizon or pipeline.config.campaign.horizon),
            smallest=pipeline.config.causal.smallest_effect,
            peek=peek,
            planned=planned,
        )
        _read(pipeline)
        said = {"--start": start, "--arms": arms, "--unit": unit, "--entry": entry}
        result = analyze_log(pipeline.log, found, _analyzed(found, said, pipeline), questions)
        figure = pipeline.workspace.root / RESULT_FIGURE
    _write_figure(result, figure)
    if session.as_json:
        session.emit({**result.to_json(), "figure": str(figure)})
        return
    show_result(session, result)
    session.say(f"figure: {figure}")


def _analyzed(found: "Assignment", said: dict[str, str | None], pipeline: Pipeline) -> "Design":
    """Return the design of the file, or for another system's file what is said of it."""
    from whybuy.campaign.experiment.design import parse_unit
    from whybuy.campaign.experiment.judge import foreign_design

    given = [name for name, value in said.items() if value is not None]
    if found.design is not None:
        if given:
            raise QuestionError.of(
                found=f"{given[0]} was given, and the file says it itself",
                needed="the design that the arms were drawn with",
                do="Leave it out",
            )
        return found.design
    start, arms = said["--start"], said["--arms"]
    if start is None or arms is None:
        raise QuestionError.of(
            found="The file does not say how it was drawn",
            needed="when it began and what the shares were meant to be",
            do=f"Add --start 2026-01-31 --arms {_EVEN}",
        )
    fields = parse_unit(said["--unit"] or "user", pipeline.log)
    return foreign_design(_shares(arms), _time_ms(start, pipeline), entry=said["--entry"] or "visit", **fields)


def _write_figure(found: "ExperimentPlan | ExperimentResult", path: Path) -> None:
    def write(path: Path) -> None:
        path.write_text(found.plot().to_html(include_plotlyjs=True), encoding="utf-8")

    write_output(path, write)


def _read(pipeline: Pipeline) -> None:
    require_times(pipeline.config)
    pipeline.run("events")


def _design(pipeline: Pipeline, unit: str, washout: str | None, *, active: str | None, **fields: Any) -> "Design":
    from whybuy.campaign.experiment.design import Design, parse_unit

    return Design(
        **parse_unit(unit, pipeline.log, washout=washout),
        active_ms=duration_ms(active or pipeline.config.lookback),
        **fields,
    )


def _shares(text: str) -> dict[str, float]:
    """Return arm -> share of ``control=.5,mail=.5``."""
    found: dict[str, float] = {}
    for part in text.split(","):
        name, _, share = part.partition("=")
        try:
            number = float(share)
        except ValueError:
            number = -1.0
        if not name.strip() or name.strip() in found or number <= 0:
            raise QuestionError.of(
                found=f"--arms has the part {part!r}",
                needed="each arm once, with a share above 0",
                do=f"Write --arms {_EVEN}",
            )
        found[name.strip()] = number
    return found


def _effect(text: str | None) -> tuple[float | None, float | None]:
    """Return an effect as a number, or as a share of the baseline."""
    if text is None:
        return None, None
    try:
        value = float(text.strip().removesuffix("%"))
    except ValueError as error:
        raise QuestionError.of(
            found=f"--effect {text!r} is no number", needed="a number, or a percentage", do="Write --effect .01 or 5%"
        ) from error
    return (None, value / 100) if text.strip().endswith("%") else (value, None)


def _time_ms(text: str, pipeline: Pipeline) -> int:
    from datetime import datetime

    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise QuestionError.of(
            found=f"--start {text!r} is no time", needed="a day or a time", do="Write --start 2026-01-31"
        ) from error
    return round((time if time.tzinfo else time.replace(tzinfo=pipeline.config.zone)).timestamp() * 1000)
