"""The figure of a closed loop: purchases added over time, a panel per world, a line with its band per policy."""

from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from whybuy.recommend.closed_loop.contestants import ALL_KNOWING, BY_LIFT, BY_P_BUY, LOGGING, POPULAR

if TYPE_CHECKING:
    from whybuy.recommend.closed_loop.result import ClosedLoop

_INK, _LINE = "#7A828C", "rgba(128,136,146,0.25)"
_LINES = {  # Okabe and Ito: read on white and on black, and told apart by dash too
    ALL_KNOWING: ("#8A929C", "dot", 1.8),
    BY_LIFT: ("#009E73", "solid", 3.4),
    BY_P_BUY: ("#E69F00", "solid", 2.4),
    POPULAR: ("#CC79A7", "dash", 2.2),
}
_PER = 100  # users
_WEEK = 7


def added_over_time(loop: "ClosedLoop") -> go.Figure:
    """Return the figure; the logging policy going on is the line at zero."""
    titles = [world.capitalize() for world in loop.worlds]
    figure = make_subplots(cols=len(loop.worlds), subplot_titles=titles, horizontal_spacing=0.12)
    for column, world in enumerate(loop.worlds, start=1):
        for name, (color, dash, width) in _LINES.items():
            _add_policy(figure, loop, (world, name), {"color": color, "dash": dash, "width": width}, column)
        figure.add_scatter(
            x=[0, loop.n_days],
            y=[0, 0],
            mode="lines",
            line={"color": _INK, "width": 1.6},
            name=f"{LOGGING}, going on",
            showlegend=column == 1,
            hoverinfo="skip",
            row=1,
            col=column,
        )
    _dress(figure, loop.n_days)
    return figure


def _add_policy(
    figure: go.Figure, loop: "ClosedLoop", which: tuple[str, str], line: dict[str, Any], column: int
) -> None:
    """Add the band and the line of one policy in one world; both begin at 0 on day 0."""
    world, name = which
    found = loop.added(world, name)
    days = [0, *found["day"]]
    mean, low, high = ([0.0, *(_PER * found[end])] for end in ("estimate", "low", "high"))
    figure.add_scatter(
        x=[*days, *reversed(days)],
        y=[*high, *reversed(low)],
        fill="toself",
        fillcolor=_faint(line["color"]),
        line={"width": 0},
        mode="lines",
        hoverinfo="skip",
        showlegend=False,
        legendgroup=name,
        row=1,
        col=column,
    )
    figure.add_scatter(
        x=days,
        y=mean,
        mode="lines",
        line=line,
        name=name,
        legendgroup=name,
        showlegend=column == 1,
        customdata=list(zip(low, high, strict=True)),
        hovertemplate="day %{x}: %{y:+.1f} [%{customdata[0]:+.1f}, %{customdata[1]:+.1f}]",
        row=1,
        col=column,
    )
    figure.add_annotation(
        x=days[-1],
        y=mean[-1],
        text=f"{mean[-1]:+.0f}",
        showarrow=False,
        xanchor="left",
        xshift=5,
        font={"color": line["color"], "size": 14},
        row=1,
        col=column,
    )


def _faint(color: str) -> str:
    red, green, blue = (int(color[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.2)"


def _dress(figure: go.Figure, n_days: int) -> None:
    figure.update_layout(
        template=go.layout.Template(),
        height=460,
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"size": 14, "color": _INK},
        margin={"l": 64, "r": 52, "t": 84, "b": 56},
        legend={"orientation": "h", "x": 0, "y": 1.12, "yanchor": "bottom", "xanchor": "left"},
        hovermode="x unified",
        dragmode=False,
    )
    ticks = list(range(0, n_days + 1, _WEEK))
    axis = {"gridcolor": _LINE, "linecolor": _LINE, "zeroline": False, "fixedrange": True}
    font = {"size": 14}
    days = {"text": "days since the policies took over", "font": font}
    figure.update_xaxes(**axis, tickvals=ticks, range=[0, n_days], title=days)
    figure.update_yaxes(**axis, automargin=True, rangemode="tozero")
    figure.update_yaxes(title={"text": f"purchases added per {_PER} users", "font": font}, col=1)
