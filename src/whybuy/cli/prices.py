"""``prices``: how much less is bought when a price rises, by category."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from whybuy.cli.session import Session, command, require_names, write_output
from whybuy.cli.tables import Column, number, show_table

if TYPE_CHECKING:
    from whybuy.campaign.price import CategoryElasticity

_COLUMNS: tuple[Column, ...] = (
    ("category", "left"),
    ("naive", "right"),
    ("elasticity", "right"),
    ("low", "right"),
    ("high", "right"),
    ("prices", "right"),
    ("units", "right"),
)


@command
def prices(
    session: Session,
    *,
    period: Annotated[str, typer.Option(help="Within which a price is taken to be one, as in 7d or 1d.")] = "7d",
    output: Annotated[Path | None, typer.Option(help="A Parquet file to write.", dir_okay=False)] = None,
    picture: Annotated[Path | None, typer.Option(help="An HTML file for the figure.", dir_okay=False)] = None,
) -> None:
    """Say by how many percent what is bought changes with one percent of price, category by category."""
    from whybuy.campaign.price import price_elasticity_of_log

    require_names(output=output, picture=picture)
    with session.pipeline() as pipeline:
        pipeline.run("events")
        found = price_elasticity_of_log(pipeline.log, pipeline.config, period=period)
    if output is not None:
        write_output(output, lambda path: found.to_frame().to_parquet(path, index=False))
    if picture is not None:
        write_output(picture, lambda path: found.plot().write_html(path, include_plotlyjs=True))
    if session.as_json:
        session.emit(found.to_json())
        return
    show_table(session.out, _COLUMNS, map(_row, found.categories))
    session.say()
    for line in found.summary().splitlines():
        session.say(line)


def _row(found: "CategoryElasticity") -> list[str]:
    e = found.elasticity
    numbers = (number(value, 2) for value in (found.naive, e.estimate, e.ci_low, e.ci_high))
    return [found.category, *numbers, f"{found.n_spells:,}", f"{found.units:,.0f}"]
