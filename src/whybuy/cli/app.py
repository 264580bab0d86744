"""The program itself: its commands in the order of use, and what becomes of an error."""

import io
import sys
import traceback
import warnings
from collections.abc import Sequence
from types import TracebackType
from typing import Annotated

import typer

import whybuy
from whybuy.behavior.processes import Processes, first_to_fail, leading
from whybuy.cli import act, answer, campaign, certify, experiment, prices, run, setup
from whybuy.cli.session import INTERRUPTED, USER_CAN_MEND
from whybuy.errors import WhybuyError
from whybuy.pipeline import take_part

# The class of every mistake in the command's words; where it lives differs between versions of Typer.
UsageError: type[Exception] = typer.BadParameter.__mro__[1]

app = typer.Typer(
    name="whybuy",
    help="Which behaviors cause which purchases, by how much, and for whom.",
    add_completion=False,
    rich_markup_mode=None,
)
for _command in (
    setup.demo,
    setup.init,
    run.check,
    run.run,
    run.train,
    run.scan,
    run.report,
    answer.effects,
    answer.whatif,
    certify.certify,
    act.recommend,
    campaign.campaign,
    prices.prices,
    act.profile,
):
    app.command()(_command)
app.add_typer(experiment.app)


@app.callback(invoke_without_command=True)
def whybuy_(
    context: typer.Context,
    *,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Which behaviors cause which purchases, by how much, and for whom."""
    if version:
        typer.echo(f"whybuy {whybuy.__version__}")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main() -> None:
    """Run the program on the words of the command line and exit."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Ids of a log hold any character; a terminal may not.
            stream.reconfigure(errors="backslashreplace")
    if "--debug" not in sys.argv:
        sys.excepthook = report_defect
        # What libraries say to each other is for who develops; tests turn every warning into an error.
        warnings.simplefilter("ignore")
    if Processes.here().helps:
        sys.exit(help_the_first())
    with leading():
        code = invoke(sys.argv[1:])
    sys.exit(code)


def invoke(words: Sequence[str]) -> int:
    """Run the program on ``words`` and return its exit code; a defect passes as the exception it is."""
    try:
        code = typer.main.get_command(app).main(list(words), prog_name="whybuy", standalone_mode=False)
    except UsageError as error:
        context = getattr(error, "ctx", None)
        name = context.command_path if context is not None else "whybuy"
        message = getattr(error, "format_message", error.__str__)().rstrip(".")
        typer.echo(f"{name}: {message}. See `{name} --help`.", err=True)
        return USER_CAN_MEND
    return code if isinstance(code, int) else 0


def help_the_first() -> int:
    """Take part in the training of the process that was given the same words, and return the exit code.

    It alone reads the words and answers them; this process speaks only where it fails and nobody spoke before.
    """
    try:
        take_part()
    except WhybuyError as error:
        if "--debug" in sys.argv:
            traceback.print_exc()
        if first_to_fail():
            here = Processes.here()
            typer.echo(f"whybuy (process {here.rank} of {here.world}): {error}", err=True)
        return USER_CAN_MEND
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def report_defect(kind: type[BaseException], error: BaseException, _: TracebackType | None) -> None:
    """Say in one line that whybuy is at fault; installed as ``sys.excepthook``, after which Python exits with 1."""
    if not first_to_fail():
        return  # the process that failed first has said why; this one only lost it
    text = " ".join(str(error).split())
    typer.echo(
        f"a defect in whybuy: {kind.__name__}{f': {text:.300}' if text else ''}; rerun with --debug to see where",
        err=True,
    )
