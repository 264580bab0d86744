"""``recommend`` and ``profile``: what to show, and who somebody is."""

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from whybuy.cli.evaluation import show_evaluation
from whybuy.cli.session import Session, command, require_names, write_output
from whybuy.columns import USER
from whybuy.errors import QuestionError
from whybuy.pipeline import Pipeline
from whybuy.recommending import Recommender

RECOMMENDATIONS = "recommendations.parquet"


@command
def recommend(  # noqa: PLR0913 - the options of the program
    session: Session,
    *,
    user: Annotated[str | None, typer.Option(help="One user.")] = None,
    users: Annotated[
        Path | None, typer.Option(help="A file of user ids: one a line, or a column user_id.", dir_okay=False)
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="Every user with a kept event.")] = False,
    k: Annotated[int | None, typer.Option("-k", min=1, help="How many items each; the config's k.")] = None,
    output: Annotated[Path | None, typer.Option(help="A Parquet file to write.", dir_okay=False)] = None,
    evaluate: Annotated[
        bool,
        typer.Option(
            "--evaluate",
            help="Compare policies on what was shown, by propensities; without them rankings with what was bought.",
        ),
    ] = False,
) -> None:
    """Recommend the items whose showing adds most purchases, for one user, some or all."""
    require_names(output=output)
    if evaluate:
        if all_ or any(option is not None for option in (user, users, k, output)):
            raise QuestionError.of(
                found="--evaluate was given beside --user, --users, --all, -k or --output",
                needed="Policies are compared on the users and the slates of the log, whoever and however long",
                do="Ask with --evaluate alone",
            )
        show_evaluation(session)
        return
    if sum((user is not None, users is not None, all_)) != 1:
        raise QuestionError.of(
            found="None or several of --user, --users and --all were given",
            needed="Exactly one of them is needed",
            do="Ask with --user ID, --users FILE or --all",
        )
    with session.pipeline() as pipeline:
        if user is None:
            document, text = _for_many(session, pipeline, k, users, output)
        else:
            document, text = _for_one(session, pipeline, k, user, output)
    if session.as_json:
        session.emit(document)
    else:
        session.say(text)


def id_in_log(pipeline: Pipeline, user: str) -> str:
    """Return the id that the log knows a user by: the pseudonym, where the config asks for pseudonyms."""
    from whybuy.trust.privacy import key_from_environment, pseudonyms

    privacy = pipeline.config.privacy
    if not privacy.pseudonymize or (pipeline.log.users()[USER] == user).any():
        return user
    return pseudonyms([user], key_from_environment(privacy.key_variable))[0]


def _for_one(
    session: Session, pipeline: Pipeline, k: int | None, user: str, output: Path | None
) -> tuple[dict[str, Any], str]:
    """Return the answer for one user as JSON and in words; also written to ``output``.

    The document is the contract's and has no place for what is said of the list as a whole: that goes beside it.
    """
    answer = Recommender.of(pipeline).answer(user, k)
    if output is not None:
        write_output(output, lambda path: answer.to_frame().to_parquet(path, index=False))
    if session.as_json:
        for line in answer.notes:
            session.note(line)
    return answer.to_json(), answer.summary()


def _for_many(
    session: Session, pipeline: Pipeline, k: int | None, users: Path | None, output: Path | None
) -> tuple[dict[str, Any], str]:
    """Write the answers for a file of users, or for all; return what was written as JSON and in words."""
    import pyarrow.parquet as pq

    from whybuy.recommend.batch import recommend_all

    pipeline.run("recommend")
    k = k or pipeline.config.recommend.k
    output = output or pipeline.workspace.root / RECOMMENDATIONS
    recommend_all(pipeline.folder("recommend"), pipeline.log, k, output, users=users, report=pipeline.report)
    written = pq.read_metadata(output)
    note = (written.metadata or {}).get(b"whybuy", b"").decode()
    if session.as_json and note:
        session.note(note)
    text = "\n".join(filter(None, [f"{written.num_rows:,} recommendations: {output}", note]))
    return {"output": str(output), "rows": written.num_rows}, text


@command
def profile(
    session: Session,
    *,
    user: Annotated[str | None, typer.Argument(metavar="[USER]", help="One user; all where left out.")] = None,
    output: Annotated[Path | None, typer.Option(help="A Parquet file to write.", dir_okay=False)] = None,
) -> None:
    """Describe a user, or count all users by the stage of their life with the shop."""
    from whybuy.profile import profile_of, profile_summary
    from whybuy.profile.store import PROFILES

    require_names(output=output)
    with session.pipeline() as pipeline:
        pipeline.run("profile")
        folder = pipeline.folder("profile")
        one = None if user is None else profile_of(folder, id_in_log(pipeline, user))
    summary = profile_summary(folder) if one is None else {}
    if output is not None:
        write = partial(shutil.copyfile, folder / PROFILES) if one is None else one.to_frame().to_parquet
        write_output(output, write)
    if session.as_json:
        session.emit(summary if one is None else one.to_json())
        return
    lines = _stage_lines(summary) if one is None else one.lines()
    for line in lines:
        session.say(line)


def _stage_lines(summary: dict[str, Any]) -> Iterator[str]:
    yield f"{summary['n_users']:,} users"
    for stage, n in summary["stages"].items():
        yield f"{stage}: {n:,} ({summary['rule'][stage]})"
    for example in summary["examples"]:
        yield ""
        yield from example["summary"]
