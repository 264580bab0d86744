"""The drawing of an effect graph: layers from left to right, curved arrows, nothing that Plotly's basic bundle lacks.

Within a layer nodes stand near what they are joined to (the barycenter heuristic), so that few arrows cross. Width is
the size of an effect, color its sign, dots say suggestive, thin grey arrows are stages on the way.

Source: Sugiyama, Tagawa and Toda (IEEE Transactions on Systems, Man, and Cybernetics, 1981).
"""

from collections.abc import Sequence
from html import escape
from typing import NamedTuple
from urllib.parse import unquote

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from whybuy.causal.graph import Edge, EffectGraph, Node

MAX_EDGES = 40
MAX_NAME = 24
RAISES, LOWERS, STAGE, DOT = "#0072B2", "#D55E00", "#8A929C", "#8A929C"
_SWEEPS = 6
_GAP = 0.045
"""Between a node and the ends of its arrows, in layers."""


class Place(NamedTuple):
    """Where a node stands: x counts the layers at hand, y the rows from the middle."""

    x: float
    y: float


def draw(graph: EffectGraph) -> go.Figure:
    """Return the figure of the surest edges; see :meth:`~whybuy.causal.graph.EffectGraph.plot`."""
    return add_graph(go.Figure(layout={"plot_bgcolor": "rgba(0,0,0,0)"}), graph)


def add_graph(figure: go.Figure, graph: EffectGraph) -> go.Figure:
    """Draw the surest edges of ``graph`` and their nodes on ``figure``, which is returned."""
    edges = graph.edges[:MAX_EDGES]
    names = {name for e in edges for name in (e.treatment, e.outcome)}
    nodes = [n for n in graph.nodes if n.behavior in names]
    at = places(nodes, edges)
    largest = max((abs(e.size) for e in edges), default=1.0)
    for edge in reversed(edges):
        _add_edge(figure, edge, at, largest, graph.horizon)
    _add_nodes(figure, nodes, at, graph.horizon)
    _add_legend(figure)
    x, y = ([place[i] for place in at.values()] or [0.0] for i in (0, 1))
    figure.update_xaxes(visible=False, range=[-0.5, max(x) + 0.62], fixedrange=True)
    figure.update_yaxes(visible=False, range=[min(y) - 0.5, max(y) + 0.7], fixedrange=True)
    figure.update_layout(height=int(150 + 84 * (max(y) - min(y) + 1)), hovermode="closest")
    return figure


def places(nodes: Sequence[Node], edges: Sequence[Edge]) -> dict[str, Place]:
    """Return where every node stands; the rows of a layer are those of their neighbors' mean, sweep by sweep."""
    layers = sorted({n.layer for n in nodes})
    columns = [[n.behavior for n in nodes if n.layer == layer] for layer in layers]
    tallest = max(map(len, columns), default=0)
    at = {name: place for x, column in enumerate(columns) for name, place in _spread(column, x, tallest)}
    near: dict[str, list[str]] = {name: [] for name in at}
    for e in edges:
        near[e.treatment].append(e.outcome)
        near[e.outcome].append(e.treatment)
    for _ in range(_SWEEPS):
        for x, column in enumerate(columns):
            height = {n: float(np.mean([at[m].y for m in near[n] if at[m].x != x] or [at[n].y])) for n in column}
            # Sorting keeps the order of equals, so that the same graph is always drawn the same way.
            column.sort(key=height.__getitem__, reverse=True)
            at |= dict(_spread(column, x, tallest))
    return at


def _spread(column: Sequence[str], x: int, tallest: int) -> list[tuple[str, Place]]:
    """Return the places of one layer, centered, the first on top.

    A short layer stands up to twice as loose, and every other one a little higher, so that arrows which pass a layer
    do not run through its nodes.
    """
    step, shift = min(2.0, tallest / len(column)), 0.4 * (x % 2)
    return [(name, Place(x, shift + step * ((len(column) - 1) / 2 - i))) for i, name in enumerate(column)]


def curve(start: Place, end: Place) -> npt.NDArray[np.float64]:
    """Return (25, 2) points of the arrow: level at both ends; within a layer or backward it bows to the right.

    A cubic Bezier curve.
    """
    if start == end:
        corners = [start, (start.x + 0.42, start.y + 0.55), (start.x + 0.42, start.y - 0.55), end]
    elif end.x > start.x:
        middle = (start.x + end.x) / 2
        corners = [start, (middle, start.y), (middle, end.y), end]
    else:
        bow = max(start.x, end.x) + 0.22 + 0.07 * abs(start.y - end.y)
        corners = [start, (bow, start.y), (bow, end.y), end]
    p = np.array(corners, float)
    # A row is a third as high as a layer is wide.
    gap = _GAP / max(float(np.abs(p[0] - p[3]) @ [1, 1 / 3]), 0.5 if start != end else 1.5)
    t = np.linspace(gap, 1 - gap, 25)[:, None]
    drawn: npt.NDArray[np.float64] = (
        (1 - t) ** 3 * p[0] + 3 * t * (1 - t) ** 2 * p[1] + 3 * t**2 * (1 - t) * p[2] + t**3 * p[3]
    )
    return drawn


def _add_edge(figure: go.Figure, edge: Edge, at: dict[str, Place], largest: float, horizon: str) -> None:
    points = curve(at[edge.treatment], at[edge.outcome])
    width = 1.2 + 5.0 * abs(edge.size) / largest
    color = STAGE if edge.funnel else RAISES if edge.size > 0 else LOWERS
    figure.add_scatter(
        x=points[:, 0].round(4).tolist(),
        y=points[:, 1].round(4).tolist(),
        mode="lines+markers",
        line={"color": color, "width": width, "dash": "solid" if edge.verdict == "strong" else "dot"},
        marker={
            "symbol": "arrow",
            "angleref": "previous",
            "color": color,
            # The head alone: every other point of the line carries a marker of no size.
            "size": [0] * (len(points) - 1) + [8 + 1.3 * width],
        },
        opacity=0.55 if edge.funnel else 0.9,
        hovertext=_edge_text(edge, horizon),
        hoverinfo="text",
        showlegend=False,
    )


def _add_nodes(figure: go.Figure, nodes: Sequence[Node], at: dict[str, Place], horizon: str) -> None:
    figure.add_scatter(
        x=[at[n.behavior].x for n in nodes],
        y=[at[n.behavior].y for n in nodes],
        mode="markers+text",
        marker={"size": 13, "color": DOT, "line": {"width": 0}},
        text=[escape(_short(unquote(n.behavior))) for n in nodes],
        textposition="top center",
        hovertext=[_node_text(n, horizon) for n in nodes],
        hoverinfo="text",
        showlegend=False,
        cliponaxis=False,
    )


def _add_legend(figure: go.Figure) -> None:
    kinds = (
        ("raises", RAISES, "solid"),
        ("lowers", LOWERS, "solid"),
        ("suggestive", RAISES, "dot"),
        ("stage on the way", STAGE, "solid"),
    )
    for name, color, dash in kinds:
        line = {"color": color, "width": 3, "dash": dash}
        figure.add_scatter(x=[None], y=[None], mode="lines", name=name, line=line)


def _edge_text(edge: Edge, horizon: str) -> str:
    e = edge.effect
    ends = "" if e.ci_low is None or e.ci_high is None else f" [{100 * e.ci_low:+.2f}, {100 * e.ci_high:+.2f}]"
    names = " → ".join(escape(_short(unquote(name), 90)) for name in (edge.treatment, edge.outcome))
    kind = "stage on the way, " if edge.funnel else ""
    return f"<b>{names}</b><br>{100 * edge.size:+.2f}{ends} in 100 decisions within {horizon}<br>{kind}{edge.verdict}"


def _node_text(node: Node, horizon: str) -> str:
    lines = [f"<b>{escape(_short(unquote(node.behavior), 90))}</b>"]
    if node.p_decision is not None:
        lines.append(f"{100 * node.p_decision:.2f}% of decisions")
    if node.p_follows is not None:
        lines.append(f"follows {100 * node.p_follows:.2f}% of decisions within {horizon}")
    return "<br>".join(lines)


def _short(name: str, limit: int = MAX_NAME) -> str:
    return name if len(name) <= limit else f"{name[: limit // 2]}…{name[len(name) - (limit - limit // 2 - 1) :]}"
