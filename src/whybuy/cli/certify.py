"""``certify``: whether the adjustment holds on this log, told by behaviors whose effects are known."""

from typing import TYPE_CHECKING, Annotated

import typer

from whybuy.certified import certify as certified
from whybuy.certified import cost_in_words, plan_certificate
from whybuy.cli.session import Session, command
from whybuy.cli.tables import NOTHING, Column, number, show_table

if TYPE_CHECKING:
    from whybuy.causal.certificate import Certificate, KindResult

_COLUMNS: tuple[Column, ...] = (
    ("pairs", "left"),
    ("n", "right"),
    ("refused", "right"),
    ("coverage", "right"),
    ("low", "right"),
    ("high", "right"),
    ("rms z", "right"),
    ("bias", "right"),
    ("rmse", "right"),
    ("naive rmse", "right"),
    ("strong", "right"),
)


@command
def certify(
    session: Session,
    *,
    copies: Annotated[
        int | None, typer.Option(min=1, help="Copies of the log; as many as 200 pairs need, at most 6.")
    ] = None,
    markers: Annotated[int, typer.Option(min=3, help="Planted behaviors per copy, a third of them with effects.")] = 12,
    outcomes: Annotated[int, typer.Option(min=1, help="The commonest outcomes that pairs are made with.")] = 8,
) -> None:
    """Plant behaviors with known effects into copies of the log, run everything again, and say whether it holds."""
    from whybuy.causal.certificate.certify import Budget

    budget = Budget(copies=copies, markers=markers, outcomes=outcomes)
    with session.pipeline() as pipeline:
        plan = plan_certificate(pipeline, budget)
        session.note(cost_in_words(pipeline, plan))
        found = certified(pipeline, plan)
        pipeline.run("report")
    if session.as_json:
        session.emit({**found.to_json(), "report": str(pipeline.report_path)})
        return
    _show(session, found)
    session.say(f"report: {pipeline.report_path}")


def _show(session: Session, found: "Certificate") -> None:
    show_table(session.out, _COLUMNS, [_row(kind) for kind in found.kinds])
    session.say()
    for line in found.summary().splitlines():
        session.say(line)


def _row(kind: "KindResult") -> list[str]:
    shares = (kind.coverage, kind.coverage_low, kind.coverage_high, kind.rms_z)
    return [
        kind.kind,
        str(kind.n_pairs),
        str(kind.n_refused),
        *(_unsigned(share, 3) for share in shares),
        number(kind.bias),
        *(_unsigned(size, 4) for size in (kind.rmse, kind.naive_rmse)),
        str(kind.n_strong),
    ]


def _unsigned(value: float | None, places: int) -> str:
    return NOTHING if value is None else f"{value:.{places}f}"
