"""Pictures of what a budget adds, of campaigns under one budget, and of categories by how they answer to prices.

The last two have one row per campaign or category, the number that held-out people (or the adjusted regression) say
with its interval in blue, and what would be believed without them as an open diamond in orange, so that the distance
between the two is what the eye sees first.
"""

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

if TYPE_CHECKING:
    from whybuy.campaign.price.result import CategoryElasticity
    from whybuy.causal.effects import Estimate

_BLUE, _PALE, _ORANGE, _GREEN, _INK, _GRID = "#0072B2", "#9CC9E6", "#E69F00", "#009E73", "#4A525C", "#ECEEF1"
_BAND = "rgba(0, 114, 178, 0.16)"
_FONT = {"family": "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif", "size": 14}
_ROW, _LOW_ROW, _MANY = 58, 30, 12
"""Height of a row in pixels, of up to so many rows and of more."""


def portfolio_figure(offers: Sequence[dict[str, Any]], *, unit: str, budget: float) -> go.Figure:
    """Return what every offer adds, with the interval of its own held-out people, beside the money spent on it.

    Parameters
    ----------
    offers : as ``offers`` of :meth:`whybuy.campaign.portfolio.Portfolio.to_json`
    unit : "money" or "outcome"
    """
    rows = sorted(offers, key=lambda row: -row["spent"])
    names = [escape(row["offer"]) for row in rows]
    told = [row for row in rows if None not in (row["found"], row["found_low"], row["found_high"])]
    sent = [row for row in rows if row["send"]]
    figure = make_subplots(rows=1, cols=2, shared_yaxes=True, column_widths=[0.64, 0.36], horizontal_spacing=0.05)
    figure.add_bar(
        x=[row["found"] for row in told],
        y=[escape(row["offer"]) for row in told],
        orientation="h",
        name="found on people who taught nothing, 95% interval",
        marker={"color": _PALE, "line": {"width": 0}},
        error_x=_interval([(row["found"], row["found_low"], row["found_high"]) for row in told]),
        hovertemplate="found %{x:,.1f}<extra>%{y}</extra>",
        row=1,
        col=1,
    )
    figure.add_scatter(
        x=[row["foretold"] for row in sent],
        y=[escape(row["offer"]) for row in sent],
        mode="markers",
        name="promised by the plan",
        marker=_diamond(),
        hovertemplate="promised %{x:,.1f}<extra>%{y}</extra>",
        row=1,
        col=1,
    )
    figure.add_bar(
        x=[row["spent"] for row in rows],
        y=names,
        orientation="h",
        showlegend=False,
        marker={"color": _GREEN, "opacity": 0.75, "line": {"width": 0}},
        text=[f"{row['spent']:,.0f} · {row['send']:,} sent" for row in rows],
        textposition="auto",
        cliponaxis=False,
        hovertemplate="spent %{x:,.2f}<extra>%{y}</extra>",
        row=1,
        col=2,
    )
    total = sum(row["spent"] for row in rows)
    _lay_out(figure, len(rows), title=f"{total:,.0f} of a budget of {budget:,.0f}: what each campaign adds and takes")
    figure.update_layout(bargap=0.5)
    figure.add_vline(x=0, line_width=1.4, line_color=_INK, row=1, col=1)
    added = "money added, costs taken off" if unit == "money" else "people with the outcome added"
    figure.update_xaxes(title_text=added, row=1, col=1)
    figure.update_xaxes(title_text="money spent", rangemode="tozero", row=1, col=2)
    figure.update_xaxes(tickformat=",")
    return figure


def budget_figure(numbers: dict[str, Any]) -> go.Figure:
    """Return what budgets add by the plan, with its 95% band, at random, and to those likeliest to buy.

    Parameters
    ----------
    numbers : of a plan, as :meth:`whybuy.campaign.policy.Policy.to_json` gives them
    """
    curve = numbers["curve"]
    budgets = [point["budget"] for point in curve]
    figure = go.Figure()
    for edge, fill in (("gain_high", None), ("gain_low", "tonexty")):
        figure.add_scatter(
            x=budgets, y=[point[edge] for point in curve], mode="lines", line_width=0, fill=fill,
            fillcolor=_BAND, showlegend=False, hoverinfo="skip",
        )  # fmt: skip
    lines = (
        ("likeliest", "those likeliest to buy", {"color": _ORANGE, "width": 2, "dash": "dash"}),
        ("random", "as many at random", {"color": _INK, "width": 2, "dash": "dot"}),
        ("gain", "the plan, 95% band", {"color": _BLUE, "width": 3}),
    )
    for key, name, line in lines:
        figure.add_scatter(
            x=budgets, y=[point[key] for point in curve], mode="lines", name=name, line=line,
            hovertemplate="%{x:,.0f} adds %{y:,.1f}<extra>" + name + "</extra>",
        )  # fmt: skip
    added = "money added, costs taken off" if numbers["unit"] == "money" else "people with the outcome added"
    _title(figure, "What a budget adds, judged on people who taught nothing", height=520)
    figure.add_hline(y=0, line_width=1.4, line_color=_INK)
    figure.add_vline(
        x=numbers["budget"], line_width=1.4, line_color=_GREEN,
        annotation={"text": "the budget", "font_color": _GREEN, "yanchor": "bottom"}, annotation_position="top",
    )  # fmt: skip
    figure.update_xaxes(title_text="budget", rangemode="tozero", tickformat=",", gridcolor=_GRID, zeroline=False)
    figure.update_yaxes(title_text=added, tickformat=",", gridcolor=_GRID, zeroline=False, automargin=True)
    return figure


def elasticity_figure(categories: "Sequence[CategoryElasticity]", together: "Estimate") -> go.Figure:
    """Return every category's elasticity with its 95% interval beside the naive one, and their mean below."""
    known = sorted(
        (x for x in categories if x.elasticity.estimate is not None), key=lambda x: x.elasticity.estimate or 0.0
    )
    names = [escape(x.category) for x in known]
    figure = go.Figure()
    _add_dots(figure, names, [x.elasticity for x in known], name="adjusted, 95% interval", symbol="circle")
    figure.add_scatter(
        x=[x.naive for x in known],
        y=names,
        mode="markers",
        name="sales against prices alone",
        marker=_diamond(),
        hovertemplate="naive %{x:.2f}<extra>%{y}</extra>",
    )
    if together.estimate is not None:
        _add_dots(figure, ["<b>all together</b>"], [together], name="their weighted mean", symbol="square")
    untold = len(categories) - len(known)
    title = "By how many percent sales change where a price rises by one percent"
    _lay_out(figure, len(known) + 1, title=title + (f" ({untold} of {len(categories)} not told)" if untold else ""))
    for at, dash, words, side in ((0.0, "solid", "sales stay", "right"), (-1.0, "dash", "money stays", "left")):
        figure.add_vline(x=at, line_width=1.4, line_dash=dash, line_color=_INK)
        figure.add_annotation(
            x=at, y=1, yref="paper", yanchor="bottom", xanchor="left" if side == "right" else "right", text=words,
            showarrow=False,
        )  # fmt: skip
    figure.update_xaxes(title_text="elasticity (left of -1 a lower price brings more money)")
    if not known:
        figure.update_layout(xaxis={"range": [-2, 1]}, yaxis={"visible": False})
        figure.add_annotation(
            x=0.5, y=0.5, xref="paper", yref="paper", showarrow=False, text="No category can be told."
        )
    return figure


def _add_dots(figure: go.Figure, names: list[str], found: "list[Estimate]", *, name: str, symbol: str) -> None:
    figure.add_scatter(
        x=[e.estimate for e in found],
        y=names,
        error_x=_interval([(e.estimate, e.ci_low, e.ci_high) for e in found]),
        mode="markers",
        name=name,
        marker={"color": _BLUE, "symbol": symbol, "size": 12},
        hovertemplate="%{x:.2f}<extra>%{y}</extra>",
    )


def _interval(found: Sequence[tuple[Any, Any, Any]]) -> dict[str, Any]:
    """Return error bars of estimates with both ends of their intervals."""
    return {
        "type": "data",
        "symmetric": False,
        "array": [high - estimate for estimate, _, high in found],
        "arrayminus": [estimate - low for estimate, low, _ in found],
        "color": _BLUE,
        "thickness": 3,
        "width": 0,
    }


def _diamond() -> dict[str, Any]:
    return {"color": _ORANGE, "symbol": "diamond-open", "size": 11, "line": {"width": 2.4, "color": _ORANGE}}


def _lay_out(figure: go.Figure, n_rows: int, *, title: str) -> None:
    """Give a figure of rows, the first on top, its height, and its title with the legend below it."""
    _title(figure, title, height=200 + (_ROW if n_rows <= _MANY else _LOW_ROW) * max(n_rows, 2))
    figure.update_xaxes(gridcolor=_GRID, zeroline=False, title_font_size=13)
    figure.update_yaxes(automargin=True, showgrid=False, ticksuffix="  ", type="category", range=[n_rows - 0.4, -0.6])


def _title(figure: go.Figure, title: str, *, height: int) -> None:
    figure.update_layout(
        template="plotly_white",
        font={**_FONT, "color": _INK},
        title={"text": title, "x": 0.015, "y": 1, "pad": {"t": 24}, "yanchor": "top", "font": {"size": 19}},
        height=height,
        margin={"l": 20, "r": 30, "t": 114, "b": 66},
        legend={
            "orientation": "h", "x": 0.01, "xref": "container", "y": 1 - 54 / height, "yanchor": "top",
            "yref": "container", "font": {"size": 13},
        },
    )  # fmt: skip
