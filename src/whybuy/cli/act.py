"""``recommend``, ``campaign`` and ``profile``: what to do, and for whom."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from whybuy.cli.session import Session, command
from whybuy.errors import QuestionError

if TYPE_CHECKING:
    from whybuy.pipeline import Pipeline

RECOMMENDATIONS = "recommendations.parquet"


@command
def recommend(  # noqa: PLR0913 - one parameter per option
    session: Session,
    *,
    user: Annotated[str | None, typer.Option(help="One user.")] = None,
    users: Annotated[
        Path | None, typer.Option(help="A file of user ids: one a line, or a column user_id.", dir_okay=False)
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="Every user with a kept event.")] = False,
    k: Annotated[int | None, typer.Option("-k", min=1, help="How many items each; the config's k.")] = None,
    output: Annotated[Path | None, typer.Option(help="A Parquet file to write.", dir_okay=False)] = None,
) -> None:
    """Recommend the items whose showing adds most purchases, for one user, some or all."""
    if sum((user is not None, users is not None, all_)) != 1:
        raise QuestionError.of(
            found="none or several of --user, --users and --all were given",
            needed="exactly one of them is needed",
            do="Ask with --user ID, --users FILE or --all",
        )
    with session.pipeline() as pipeline:
        pipeline.run("recommend")
        k = k or pipeline.config.recommend.k
        if user is None:
            output = output or pipeline.workspace.root / RECOMMENDATIONS
            _recommend_many(session, pipeline, k, users, output)
        else:
            _recommend_one(session, pipeline, k, user, output)


def _recommend_one(session: Session, pipeline: "Pipeline", k: int, user: str, output: Path | None) -> None:
    from whybuy.recommend.batch import recommend_user

    answer = recommend_user(pipeline.folder("recommend"), pipeline.log, user, k)
    if output is not None:
        with writing(output):
            answer.to_frame().to_parquet(output, index=False)
    if session.as_json:
        session.emit(answer.to_json())
    else:
        session.say(answer.summary())


def _recommend_many(session: Session, pipeline: "Pipeline", k: int, users: Path | None, output: Path) -> None:
    from whybuy.recommend.batch import recommend_all

    folder = pipeline.folder("recommend")
    written = recommend_all(folder, pipeline.log, k, output, users=users, report=pipeline.report)
    if session.as_json:
        session.emit({"output": str(written)})
    else:
        session.say(f"recommendations: {written}")
