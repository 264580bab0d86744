"""The figure of rankings against what people went on to buy: dots with 95% intervals, a panel for each metric."""

from typing import TYPE_CHECKING

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from whybuy.recommend.backtest.foretold import COVERAGE, HIT_RATE, MISCALIBRATION, NDCG, NOVELTY, Numbers

if TYPE_CHECKING:
    from whybuy.recommend.backtest.foretold import HeldOut

_UNITS = {
    HIT_RATE: "share of users with a hit",
    NDCG: "1: all that was bought stands in front",
    COVERAGE: "share of the catalog that anybody is shown",
    NOVELTY: "bits: how rarely it is bought",
    MISCALIBRATION: "nats: how far from the user's categories",
}
_WIDE = 3
_BLUE, _GRAY = "#0072B2", "#7A828C"

Dot = tuple[str, Numbers]


def panels(found: "HeldOut") -> go.Figure:
    """Return the figure; the last panel is the difference in NDCG from the first ranking, on the same users."""
    first = found.scores[0].ranking
    places = [(1, 1), (1, 2), (2, 1), (2, 2), (2, 3)]
    titles = dict(zip(places, found.names.values(), strict=True))
    titles[1, _WIDE] = f"{found.names[NDCG]}, more than {first}"
    figure = make_subplots(
        rows=2,
        cols=_WIDE,
        subplot_titles=[titles[row, col] for row in (1, 2) for col in (1, 2, 3)],
        shared_yaxes=True,
        horizontal_spacing=0.04,
        vertical_spacing=0.24,
    )
    for place, metric in zip(places, found.names, strict=True):
        _add(figure, place, _dots(found, metric), _UNITS[metric])
    others = [found.difference(scores.ranking, first) for scores in found.scores[1:]]
    more = [(other.ranking, Numbers(other.estimate, other.low, other.high)) for other in others]
    _add(figure, (1, _WIDE), more, "difference on the same users")
    figure.add_vline(x=0, line_dash="dot", line_color=_GRAY, row=1, col=_WIDE)
    rankings = [scores.ranking for scores in found.scores]
    figure.update_yaxes(categoryorder="array", categoryarray=rankings[::-1], range=[-0.5, len(rankings) - 0.5])
    figure.update_layout(
        title={
            "text": "Prediction, not effect: rankings against what people went on to buy by themselves"
            f"<br><sup>{found.cut.n_users:,} users, cut at {found.cut.at}; 95% intervals by user</sup>"
        },
        template="plotly_white",
        height=640,
        margin={"t": 120},
        showlegend=False,
    )
    return figure


def _dots(found: "HeldOut", metric: str) -> list[Dot]:
    told = [(scores.ranking, scores.numbers(metric)) for scores in found.scores]
    return [(name, numbers) for name, numbers in told if numbers is not None]


def _add(figure: go.Figure, place: tuple[int, int], dots: list[Dot], unit: str) -> None:
    row, col = place
    figure.add_scatter(
        x=[dot.estimate for _, dot in dots],
        y=[name for name, _ in dots],
        error_x={
            "array": [0.0 if dot.ci_high is None else dot.ci_high - dot.estimate for _, dot in dots],
            "arrayminus": [0.0 if dot.ci_low is None else dot.estimate - dot.ci_low for _, dot in dots],
        },
        mode="markers",
        marker={"size": 9, "color": _BLUE},
        hovertemplate="%{y}: %{x:.4f}<extra></extra>",
        row=row,
        col=col,
    )
    figure.update_xaxes(title={"text": unit, "font": {"size": 12}}, row=row, col=col)
