"""What every command shares: the four common options, the pipeline they name, and where answers and messages go."""

import functools
import inspect
import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from whybuy.behavior.processes import first_to_fail
from whybuy.config import Config, load_config
from whybuy.errors import QuestionError, WhybuyError, WorkspaceError
from whybuy.pipeline import CARD, Pipeline, StageDone
from whybuy.progress import Report, live, quiet
from whybuy.workspace import DEFAULT_WORKSPACE, Workspace

DEFAULT_CONFIG = Path("whybuy.toml")
USER_CAN_MEND, INTERRUPTED = 2, 130

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="The config file.", show_default=f"./{DEFAULT_CONFIG}", dir_okay=False),
]
WorkspaceOption = Annotated[Path, typer.Option("--workspace", help="The folder that holds everything derived.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


def _plain_console(*, stderr: bool) -> Console:
    # Ids of a log may hold brackets and colons: nothing of it is markup.
    return Console(stderr=stderr, markup=False, highlight=False, emoji=False)


@dataclass(frozen=True)
class Session:
    """One call of the program.

    Attributes
    ----------
    config_path : as given with ``-c``; None where it was not
    root : the workspace
    as_json : whether the answer is one JSON document
    """

    config_path: Path | None = None
    root: Path = DEFAULT_WORKSPACE
    as_json: bool = False

    @functools.cached_property
    def out(self) -> Console:
        """Where the answer goes."""
        return _plain_console(stderr=False)

    @functools.cached_property
    def err(self) -> Console:
        """Where progress and messages go."""
        return _plain_console(stderr=True)

    @functools.cached_property
    def workspace(self) -> Workspace:
        """The folder of results."""
        return Workspace(self.root)

    def emit(self, document: Any) -> None:
        """Print the JSON document of the answer."""
        sys.stdout.write(json.dumps(document, indent=1, allow_nan=False) + "\n")

    def say(self, text: str = "") -> None:
        """Print a line of the answer that people read."""
        self.out.print(text, soft_wrap=True)

    def note(self, text: str) -> None:
        """Print a message beside the answer."""
        self.err.print(text, soft_wrap=True)

    @contextmanager
    def pipeline(self, config_path: Path | None = None) -> Iterator[Pipeline]:
        """Open the pipeline of the config and the workspace, its progress drawn on standard error."""
        origin = config_path or self._origin()
        config = load_config(origin)
        with self._progress() as report:
            yield Pipeline(config, self.workspace, report=report, finished=self.finished, origin=origin)

    def _origin(self) -> Path:
        """Return the config asked for: the option, the default, or the one the workspace was made from."""
        if self.config_path is not None:
            return self.config_path
        card = self.workspace.root / CARD
        if DEFAULT_CONFIG.exists() or not card.is_file():
            return DEFAULT_CONFIG
        origin = Path(json.loads(card.read_text(encoding="utf-8"))["config"])
        self.note(f"config: {origin} (the one this workspace was made from)")
        return origin

    @contextmanager
    def _progress(self) -> Iterator[Report]:
        if self.err.is_terminal:
            with live(self.err) as report:
                yield report
        else:
            yield quiet

    def finished(self, done: StageDone) -> None:
        """Say that a stage is there."""
        took = "up to date" if done.seconds is None else f"done in {done.seconds:.1f} s"
        self.note(f"{done.name}: {took}")


def require_times(config: Config, *, within: str = "a horizon") -> None:
    """Refuse a question about what happens ``within`` a time where the log has none.

    Raises
    ------
    QuestionError
        The log has an order only.
    """
    if not config.has_times:
        raise QuestionError.of(
            found='The log has an order but no times (time = "order")',
            needed=f"times are needed to say what happens within {within}",
            do="Use a log with times",
        )


def require_names(*, output: Path | None = None, picture: Path | None = None) -> None:
    """Refuse files that are named like another format than what is written: Parquet for a table, HTML for a figure."""
    for option, path, ending in (("--output", output, ".parquet"), ("--picture", picture, ".html")):
        if path is not None and path.suffix.lower() != ending:
            other = "; pandas makes any other format of it" if option == "--output" else ""
            raise QuestionError.of(
                found=f"{option} {path}",
                needed=f"a name that ends in {ending}, which is what is written",
                do=f"Name it {path.with_suffix(ending).name}{other}",
            )


def write_output(path: Path, write: Callable[[Path], None]) -> None:
    """Write a file that the user named, whole or not at all.

    Raises
    ------
    WorkspaceError
        The file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(temporary)
        os.replace(temporary, path)
    except OSError as error:
        raise WorkspaceError.of(
            found=f"{path} cannot be written ({error.strerror or error})",
            needed="A writable place with room for the answer is needed",
            do="Name another --output or free some space",
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


Command = Callable[..., None]

_COMMON = [
    inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
    for name, default, annotation in (
        ("config", None, ConfigOption),
        ("workspace", DEFAULT_WORKSPACE, WorkspaceOption),
        ("json", False, JsonOption),
        ("debug", False, DebugOption),
    )
]


def command(function: Command, *, group: str = "whybuy") -> Command:
    """Turn a function ``(session, *, its own options)`` into a command that also takes the common options.

    ``group`` stands before its name in messages.
    """
    own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]

    @functools.wraps(function)
    def call(*, config: Path | None, workspace: Path, json: bool, debug: bool, **options: Any) -> None:
        session = Session(config, workspace, json)
        try:
            function(session, **options)
        except WhybuyError as error:
            if debug:
                traceback.print_exc()
            if first_to_fail():
                session.note(f"{group} {function.__name__}: {error}")
            raise typer.Exit(USER_CAN_MEND) from error
        except KeyboardInterrupt:
            session.note("Interrupted. Finished stages are kept; run the same command again to go on.")
            raise typer.Exit(INTERRUPTED) from None

    parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own] + _COMMON
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {p.name: p.annotation for p in parameters}
    return call
