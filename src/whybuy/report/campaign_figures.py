"""Pictures of one campaign: what sending it to more people adds, to whom, and what a budget buys."""

from html import escape

import plotly.graph_objects as go

from whybuy.report.marks import BLUE, GREEN, GREY, INK, ORANGE, SKY, blank_figure, in_points
from whybuy.report.payload import Curve, Sending, Uplift
from whybuy.report.wording import bracket, count, percent, points

_BAND = "rgba(0,114,178,0.16)"


def uplift_curve(found: Uplift) -> go.Figure:
    """Return people with the outcome added per 100 over the share sent it, with its band, beside random order."""
    figure = blank_figure(height=340)
    shares = found.curve.x
    hover = [
        f"best {percent(x, 0)}: {points(y, 2)} in 100 {bracket(low, high)}"
        for x, y, low, high in zip(shares, found.curve.estimate, found.curve.low, found.curve.high, strict=True)
    ]
    _add_curve(figure, found.curve, factor=100.0, name="those first whom it moves most", hover=hover)
    figure.update_xaxes(title_text="share of people it is sent to", tickformat=".0%", range=[0, 1.005])
    figure.update_yaxes(title_text="outcomes added per 100 people", zeroline=True)
    return figure


def tenths(found: Uplift) -> go.Figure:
    """Return the effect found in every tenth of the people, beside the foretold one."""
    figure = blank_figure(height=340)
    names = [str(k + 1) for k in range(len(found.tenths))]
    told = [(name, t.effect) for name, t in zip(names, found.tenths, strict=True) if t.effect.low is not None]
    figure.add_scatter(
        x=[name for name, _ in told],
        y=[in_points(e.estimate) for _, e in told],
        mode="markers",
        name="found",
        marker={"color": BLUE, "size": 11},
        error_y={
            "type": "data",
            "symmetric": False,
            "array": [in_points(e.high) - in_points(e.estimate) for _, e in told],
            "arrayminus": [in_points(e.estimate) - in_points(e.low) for _, e in told],
            "color": BLUE,
            "thickness": 3.2,
            "width": 0,
        },
        hovertext=[f"tenth {name}: {points(e.estimate)} {bracket(e.low, e.high)}" for name, e in told],
        hoverinfo="text",
    )
    figure.add_scatter(
        x=names,
        y=[in_points(t.foretold) for t in found.tenths],
        mode="markers",
        name="foretold",
        marker={"color": ORANGE, "symbol": "diamond-open", "size": 9, "line": {"width": 2, "color": ORANGE}},
        hovertemplate="foretold %{y:.1f}<extra></extra>",
    )
    figure.add_hline(y=in_points(found.average.estimate), line_width=1.2, line_dash="dot", line_color=INK)
    figure.add_hline(y=0, line_width=1.2, line_color=INK)
    figure.update_xaxes(title_text="tenth of the people, moved most first", type="category", showgrid=False)
    figure.update_yaxes(title_text="effect, percentage points")
    return figure


def budget_curve(found: Sending) -> go.Figure:
    """Return what budgets add in all, by the plan with its band, at random, and to those likeliest to buy."""
    figure = blank_figure(height=340)
    unit = "" if found.unit == "money" else " people with the outcome"
    hover = [
        f"a budget of {count(x)} adds {count(y)}{unit}"
        for x, y in zip(found.curve.x, found.curve.estimate, strict=True)
    ]
    _add_curve(figure, found.curve, factor=1.0, name="the plan", hover=hover)
    figure.add_scatter(
        x=list(found.curve.x),
        y=[0.0, *found.likeliest],
        mode="lines",
        name="likeliest to buy",
        line={"color": ORANGE, "width": 2, "dash": "dash"},
        hoverinfo="skip",
    )
    figure.add_vline(x=found.budget, line_width=1.2, line_color=GREEN, annotation_text="budget")
    figure.update_xaxes(title_text="budget", rangemode="tozero")
    figure.update_yaxes(
        title_text="money added, costs off" if found.unit == "money" else "outcomes added", zeroline=True
    )
    return figure


def ways_of_choosing(found: Sending) -> go.Figure:
    """Return what every way of choosing adds in all under the budget, with its interval."""
    figure = blank_figure(height=120 + 34 * len(found.tried))
    told = [t for t in found.tried if t.total.low is not None]
    labels = [f"{escape(t.name)} ({count(t.spent)})" for t in told]
    figure.add_scatter(
        x=[t.total.estimate for t in told],
        y=labels,
        mode="markers",
        marker={"color": [BLUE if t.name == "plan" else GREY for t in told], "size": 12},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [(t.total.high or 0) - (t.total.estimate or 0) for t in told],
            "arrayminus": [(t.total.estimate or 0) - (t.total.low or 0) for t in told],
            "color": SKY,
            "thickness": 3.2,
            "width": 0,
        },
        hovertext=[f"{escape(t.name)}: sent to {percent(t.share, 0)}, spends {count(t.spent)}" for t in told],
        hoverinfo="text",
        showlegend=False,
    )
    figure.add_vline(x=0, line_width=1.2, line_color=INK)
    figure.update_yaxes(autorange="reversed", showgrid=False)
    figure.update_xaxes(title_text="money added, costs off" if found.unit == "money" else "outcomes added in all")
    return figure


def _add_curve(figure: go.Figure, curve: Curve, *, factor: float, name: str, hover: list[str]) -> None:
    """Add a band, random order and the curve itself."""

    def scaled(values: tuple[float | None, ...]) -> list[float | None]:
        return [None if value is None else factor * value for value in values]

    x = list(curve.x)
    for edge, fill in ((curve.high, None), (curve.low, "tonexty")):
        figure.add_scatter(
            x=x, y=scaled(edge), mode="lines", line={"width": 0}, fill=fill, fillcolor=_BAND, hoverinfo="skip",
            showlegend=False,
        )  # fmt: skip
    figure.add_scatter(
        x=x, y=scaled(curve.random), mode="lines", name="as many at random", hoverinfo="skip",
        line={"color": GREY, "width": 2, "dash": "dot"},
    )  # fmt: skip
    figure.add_scatter(
        x=x, y=scaled(curve.estimate), mode="lines", name=name, line={"color": BLUE, "width": 3.2}, hovertext=hover,
        hoverinfo="text",
    )  # fmt: skip
