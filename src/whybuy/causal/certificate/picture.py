"""The picture of a certificate: how far every answer is from a truth that is known."""

from html import escape
from typing import TYPE_CHECKING

import plotly.graph_objects as go

if TYPE_CHECKING:
    from whybuy.causal.certificate.result import Certificate, Errors, MarkedPair

NAIVE, HELD, MISSED = "#E69F00", "#0072B2", "#D55E00"
_PAIR_PIXELS, _MOST_PIXELS = 5, 900


def add_errors(figure: go.Figure, certificate: "Certificate") -> go.Figure:
    """Draw estimate minus truth with 95% intervals and the naive answer's error on ``figure``, which is returned.

    x in percentage points; a row per pair, those without effect on top, each kind sorted by the naive error.
    """
    drawn = [(p, errors) for p in certificate.pairs if (errors := p.errors) is not None]
    drawn.sort(key=lambda one: (one[0].kind != "null", one[1].naive))
    figure.add_scatter(
        x=[100 * errors.naive for _, errors in drawn],
        y=list(range(len(drawn))),
        mode="markers",
        name="co-occurrence",
        marker={"color": NAIVE, "symbol": "circle-open", "size": 6},
        hovertext=[_hover(p, errors) for p, errors in drawn],
        hoverinfo="text",
    )
    for name, color, covered in (("adjusted, 95% interval", HELD, True), ("interval misses the truth", MISSED, False)):
        _add_intervals(
            figure, name, color, [(at, *one) for at, one in enumerate(drawn) if one[1].is_covered is covered]
        )
    n_null = sum(p.kind == "null" for p, _ in drawn)
    ticks = [
        (n_null / 2, "without<br>effect", n_null),
        ((n_null + len(drawn)) / 2, "with an<br>effect", len(drawn) - n_null),
    ]
    ticks = [tick for tick in ticks if tick[2]]
    figure.add_vline(x=0, line_width=1.2, line_color="#7A828C", layer="below")
    if 0 < n_null < len(drawn):
        figure.add_hline(y=n_null - 0.5, line_width=1, line_dash="dot", line_color="#7A828C")
    figure.update_xaxes(title_text="answer minus truth, percentage points")
    figure.update_yaxes(
        tickvals=[at for at, _, _ in ticks],
        ticktext=[name for _, name, _ in ticks],
        range=[len(drawn) - 0.2, -0.8],
        showgrid=False,
    )
    return figure.update_layout(height=140 + min(max(len(drawn), 20) * _PAIR_PIXELS, _MOST_PIXELS))


def _add_intervals(figure: go.Figure, name: str, color: str, rows: "list[tuple[int, MarkedPair, Errors]]") -> None:
    if not rows:
        return
    figure.add_scatter(
        x=[100 * errors.adjusted for _, _, errors in rows],
        y=[at for at, _, _ in rows],
        error_x={
            "type": "data",
            "array": [100 * (errors.high - errors.adjusted) for _, _, errors in rows],
            "color": color,
            "thickness": 1.2,
            "width": 0,
        },
        mode="markers",
        name=name,
        marker={"color": color, "size": 5},
        hovertext=[_hover(p, errors) for _, p, errors in rows],
        hoverinfo="text",
    )


def _hover(p: "MarkedPair", errors: "Errors") -> str:
    adjusted, low, high, naive = (100 * (error + p.truth) for error in errors)
    return (
        f"<b>copy {p.copy}: {escape(p.marker)} → {escape(p.outcome)}</b><br>like {escape(p.like)}, "
        f"{p.frequency:.1%} of decisions<br>truth {100 * p.truth:+.2f} pp, adjusted {adjusted:+.2f} pp "
        f"[{low:+.2f}, {high:+.2f}], co-occurrence {naive:+.2f} pp"
    )
