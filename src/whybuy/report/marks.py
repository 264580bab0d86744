"""The marks that all figures share: colors, the empty figure, labeled rows, points with intervals.

Backgrounds are transparent and every mark has a color of Okabe and Ito (Color Universal Design, 2008) that reads on
white and on black, so that one figure serves light and dark; the page gives text and grid lines the ink of its theme.
Shape repeats what color says. Only scatter and bar traces are used: Plotly's basic bundle, a quarter of the whole,
draws them.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import plotly.graph_objects as go

GREEN, BLUE, SKY, ORANGE, VERMILLION, PURPLE, GREY = (
    "#009E73", "#0072B2", "#56B4E9", "#E69F00", "#D55E00", "#CC79A7", "#8A929C",
)  # fmt: skip
INK, LINE = "#7A828C", "rgba(128,136,146,0.25)"
VERDICT_MARKS = {
    "strong": (GREEN, "circle"),
    "suggestive": (SKY, "square"),
    "none": (GREY, "circle-open"),
    "cannot_tell": (GREY, "x-thin-open"),
}
ACTION_COLORS = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILLION, "#B8A400", GREY)
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


class Row(NamedTuple):
    """A point with its interval, as differences of probabilities, at a place from the top."""

    place: int
    estimate: float | None
    low: float | None
    high: float | None
    hover: str


def blank_figure(*, height: int) -> go.Figure:
    """Return a figure without traces: transparent, no zoom (a finger scrolls the page), legend on top."""
    axis = {"gridcolor": LINE, "zeroline": False, "zerolinecolor": INK, "linecolor": LINE, "fixedrange": True}
    layout: dict[str, Any] = {
        "template": go.layout.Template(),
        "height": height,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": _FONT, "size": 13, "color": INK},
        "margin": {"l": 12, "r": 18, "t": 44, "b": 52},
        "legend": {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom", "xanchor": "left"},
        "hoverlabel": {"align": "left", "font": {"family": _FONT, "size": 13}},
        "xaxis": {**axis, "title": {"standoff": 12, "font": {"size": 13}}},
        "yaxis": {**axis, "automargin": True, "title": {"standoff": 10, "font": {"size": 13}}},
        "dragmode": False,
    }
    return go.Figure(layout=layout)


def label_rows(figure: go.Figure, labels: list[str]) -> None:
    """Give y one labeled row per entry, the first on top."""
    figure.update_yaxes(
        tickvals=list(range(len(labels))),
        ticktext=labels,
        range=[len(labels) - 0.4, -0.6],
        showgrid=False,
    )


def label_above_when_narrow(figure: go.Figure, labels: list[str]) -> None:
    """Let labels stand above their rows on a phone instead of beside them, by ``layout.meta["narrow"]``."""
    shared = {"x": 0, "xref": "paper", "xanchor": "left", "yref": "y", "yanchor": "middle", "showarrow": False}
    above = [{**shared, "text": label, "y": i - 0.4, "font": {"size": 11.5}} for i, label in enumerate(labels)]
    height = 130 + 46 * max(len(labels), 2)
    figure.update_layout(
        meta={"narrow": {"yaxis.showticklabels": False, "annotations": above, "height": height}},
    )


def percentage_points(figure: go.Figure) -> None:
    """Make x a difference of probabilities in percentage points, with a line at zero."""
    figure.add_vline(x=0, line_width=1.2, line_color=INK, layer="below")
    figure.update_xaxes(title_text="difference in chance, percentage points")


def add_points(figure: go.Figure, name: str, rows: Sequence[Row], *, color: str, symbol: str) -> None:
    """Add points without intervals; those that could not be computed are left out."""
    drawn = [row for row in rows if row.estimate is not None]
    if not drawn:
        return
    figure.add_scatter(
        x=[in_points(row.estimate) for row in drawn],
        y=[row.place for row in drawn],
        mode="markers",
        name=name,
        marker={"color": color, "symbol": symbol, "size": 11, "line": {"width": 2.2, "color": color}},
        hovertext=[row.hover for row in drawn],
        hoverinfo="text",
    )


def add_intervals(figure: go.Figure, name: str, rows: Sequence[Row], *, color: str, symbol: str) -> None:
    """Add points with their intervals; those that could not be computed are left out."""
    drawn = [row for row in rows if row.estimate is not None]
    if not drawn:
        return
    add_points(figure, name, drawn, color=color, symbol=symbol)
    figure.data[-1].error_x = {
        "type": "data",
        "symmetric": False,
        "array": [in_points(row.high) - in_points(row.estimate) for row in drawn],
        "arrayminus": [in_points(row.estimate) - in_points(row.low) for row in drawn],
        "color": color,
        "thickness": 3.2,
        "width": 0,
    }


def in_points(value: float | None) -> float:
    """Return a probability's percentage points; NaN, which nothing is drawn for, where it could not be computed."""
    return math.nan if value is None else 100 * value
