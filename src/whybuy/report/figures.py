"""Plotly figures, each a function of the payload alone.

Differences of probabilities are drawn in percentage points. What a figure looks like on a phone, where that differs, is
a relayout in ``layout.meta["narrow"]`` that the page applies. Names from the log are escaped, as Plotly reads tags.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path

import plotly.graph_objects as go
from plotly import io as pio

from whybuy.behavior.calibration import Reliability
from whybuy.causal.certificate import Certificate
from whybuy.causal.certificate.picture import add_errors
from whybuy.causal.drawing import add_graph
from whybuy.causal.graph import EffectGraph
from whybuy.report.marks import (
    ACTION_COLORS,
    BLUE,
    GREEN,
    INK,
    LINE,
    ORANGE,
    PURPLE,
    SKY,
    VERDICT_MARKS,
    VERMILLION,
    Row,
    add_intervals,
    add_points,
    blank_figure,
    in_points,
    label_above_when_narrow,
    label_rows,
    percentage_points,
)
from whybuy.report.payload import (
    CampaignsPart,
    EffectsPart,
    Interval,
    ModelPart,
    NuisanceLoss,
    Pair,
    ProfilesPart,
    Timeline,
)
from whybuy.report.wording import behavior, bracket, count, decimals, points, shortened, verdict, window


def demo_picture(effects: EffectsPart) -> go.Figure:
    """Return naive against adjusted against truth for the pairs whose truth is known: the picture of the README."""
    known = tuple(pair for pair in effects.compared if pair.truth)
    figure = comparison(known)
    figure.update_layout(font_size=15, margin_t=60, margin_b=70, height=130 + 36 * max(len(known), 2))
    return figure


def comparison(pairs: Sequence[Pair]) -> go.Figure:
    """Return a dumbbell per pair: the naive difference, the adjusted one with its 95% interval, the truth if known.

    x is in percentage points, y the place from the top; a heavy line joins the two where the naive sign is wrong.
    """
    figure = blank_figure(height=110 + 30 * max(len(pairs), 2))
    _add_joins(figure, pairs, wrong=False)
    _add_joins(figure, pairs, wrong=True)
    naive = [Row(i, p.effect.naive.difference, None, None, _hover(p)) for i, p in enumerate(pairs)]
    add_points(figure, "co-occurrence", naive, color=ORANGE, symbol="circle-open")
    for word, (color, symbol) in VERDICT_MARKS.items():
        rows = [_row(i, p) for i, p in enumerate(pairs) if p.effect.verdict == word]
        add_intervals(figure, f"adjusted: {verdict(word)}", rows, color=color, symbol=symbol)
    truths = [Row(i, p.truth.truth, None, None, _hover(p)) for i, p in enumerate(pairs) if p.truth]
    add_points(figure, "truth", truths, color=PURPLE, symbol="diamond-open")
    percentage_points(figure)
    label_rows(figure, [pair_label(p, 52) for p in pairs])
    label_above_when_narrow(figure, [pair_label(p, 46) for p in pairs])
    return figure


def cloud(effects: EffectsPart) -> go.Figure:
    """Return every drawn pair as a point: co-occurrence on x, the adjusted effect on y, the line where both agree."""
    figure = blank_figure(height=460)
    estimates = [in_points(p.effect.effect.estimate) for p in effects.cloud]
    low, high = min([*estimates, -1.0]), max([*estimates, 1.0])
    pad = 0.08 * (high - low)
    diagonal = [low - pad, high + pad]
    line = {"color": INK, "width": 1, "dash": "dot"}
    figure.add_scatter(x=diagonal, y=diagonal, mode="lines", name="they agree", hoverinfo="skip", line=line)
    for word, (color, symbol) in reversed(VERDICT_MARKS.items()):
        chosen = [p for p in effects.cloud if p.effect.verdict == word]
        _add_cloud(
            figure,
            verdict(word),
            chosen,
            {"color": color, "symbol": symbol, "size": 8, "line": {"width": 1.4, "color": color}},
        )
    wrong = [p for p in effects.cloud if p.disagreement == "wrong_sign"]
    _add_cloud(
        figure, "wrong sign", wrong, {"color": VERMILLION, "symbol": "circle-open", "size": 16, "line": {"width": 2}}
    )
    figure.update_xaxes(title_text="co-occurrence, percentage points", zeroline=True)
    figure.update_yaxes(title_text="adjusted, percentage points", zeroline=True, range=diagonal)
    return figure


def graph(found: EffectGraph) -> go.Figure:
    """Return the surest effects as arrows, layers from search to purchase."""
    return add_graph(blank_figure(height=300), found)


def certificate(found: Certificate) -> go.Figure:
    """Return how far the answers to planted behaviors are from their known truth, the naive answer beside."""
    return add_errors(blank_figure(height=300), found)


def timeline(found: Timeline) -> go.Figure:
    """Return the events per step, stacked by action; the rarest actions together."""
    figure = blank_figure(height=300)
    named, most = list(found.counts.items()), len(ACTION_COLORS)
    if len(named) > most:
        rest = (n for _, n in named[most - 1 :])
        together = tuple(sum(per_step) for per_step in zip(*rest, strict=True))
        named = [*named[: most - 1], ("other actions", together)]
    steps = [datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M") for ms in found.starts_ms]
    for color, (action, per_step) in zip(ACTION_COLORS, named, strict=False):
        figure.add_bar(x=steps, y=list(per_step), name=escape(action), marker={"color": color, "line": {"width": 0}})
    figure.update_layout(barmode="stack", bargap=0.12, legend_traceorder="normal", hovermode="x unified")
    figure.update_yaxes(title_text=f"events per {found.unit}", rangemode="tozero")
    figure.update_xaxes(type="date", showgrid=False)
    return figure


def training(model: ModelPart) -> go.Figure:
    """Return the loss of both twins per pass, on the users trained on and on those held out."""
    figure = blank_figure(height=320)
    for k, (train, held_out) in enumerate(zip(model.train, model.validation, strict=True)):
        color = (BLUE, ORANGE, GREEN, PURPLE)[k % 4]
        for losses, kind, dash in ((train, "training users", "dot"), (held_out, "held-out users", "solid")):
            figure.add_scatter(
                x=list(range(1, len(losses) + 1)),
                y=list(losses),
                mode="lines+markers",
                name=f"twin {k + 1}, {kind}",
                line={"color": color, "dash": dash, "width": 2},
                marker={"size": 6},
            )
    n_passes = max((len(losses) for losses in model.train), default=0)
    figure.update_xaxes(title_text="pass over the log", dtick=1 if n_passes <= 15 else None)
    figure.update_yaxes(title_text="nats per decision")
    return figure


def nuisance_gain(model: ModelPart, n_behaviors: int = 16) -> go.Figure:
    """Return the share of the base rate's log-loss that counts alone and counts with the model take away."""
    chosen = sorted(model.nuisance, key=lambda n: (n.role != "outcome", -n.base_rate))[:n_behaviors]
    figure = blank_figure(height=110 + 26 * max(len(chosen), 2))
    learners = (("counts alone", ORANGE, "circle-open"), ("counts and the behavior model", BLUE, "circle"))
    for (name, color, symbol), gains in zip(learners, _gains(chosen), strict=True):
        figure.add_scatter(
            x=gains,
            y=list(range(len(chosen))),
            mode="markers",
            name=name,
            marker={"color": color, "symbol": symbol, "size": 10, "line": {"width": 2, "color": color}},
            hovertemplate="%{x:.1%}<extra>%{fullData.name}</extra>",
        )
    when = {"outcome": "later", "treatment": "now"}
    figure.update_xaxes(title_text="log-loss of the base rate taken away", tickformat=".0%", rangemode="tozero")
    label_rows(figure, [escape(f"{shortened(behavior(n.behavior), 26)} {when[n.role]}") for n in chosen])
    return figure


def calibration(model: ModelPart) -> go.Figure:
    """Return what was said against what happened on later data, a line per head, on logarithmic axes."""
    figure = blank_figure(height=360)
    figure.add_scatter(
        x=[1e-4, 1], y=[1e-4, 1], mode="lines", name="as said", line={"color": INK, "dash": "dot", "width": 1}
    )
    kinds = (("e", BLUE, "circle", "is it this behavior now"), ("m", ORANGE, "diamond", "does the outcome follow"))
    for kind, color, symbol, label in kinds:
        curves = [curve for curve in model.calibration if curve.kind == kind]
        points = [_seen_often(curve) for curve in curves]
        figure.add_scatter(
            x=[x for found in points for x, _ in [*found, (None, None)]],
            y=[y for found in points for _, y in [*found, (None, None)]],
            mode="lines+markers",
            name=label,
            line={"color": color, "width": 1},
            marker={"size": 4, "symbol": symbol},
            opacity=0.6,
            hovertemplate="said %{x:.2%}, happened %{y:.2%}<extra></extra>",
        )
    figure.update_xaxes(type="log", title_text="said", tickformat="~%", range=[-3.5, 0])
    figure.update_yaxes(type="log", title_text="happened", tickformat="~%", range=[-3.5, 0])
    return figure


def _seen_often(curve: Reliability, n: int = 200) -> list[tuple[float, float]]:
    """Return the (said, happened) of bins with enough predictions to tell, and with an event at all."""
    found = zip(curve.predicted, curve.happened, curve.weight, strict=True)
    return [(said, happened) for said, happened, weight in found if weight >= n and happened > 0]


def campaigns(part: CampaignsPart) -> go.Figure:
    """Return per campaign the naive difference and the effect with its interval, then its segments."""
    labels: list[str] = []
    naive, whole, segments = [], [], []
    for campaign in part.campaigns:
        naive.append(Row(len(labels), campaign.naive, None, None, f"co-occurrence {points(campaign.naive)} pp"))
        whole.append(_interval_row(len(labels), campaign.effect))
        labels.append(f"<b>{escape(shortened(campaign.campaign, 26))}</b>")
        for segment in campaign.segments:
            segments.append(_interval_row(len(labels), segment.effect))
            labels.append(escape(shortened(f"{segment.attribute} = {segment.value}", 28)))
    figure = blank_figure(height=110 + 26 * max(len(labels), 2))
    add_points(figure, "co-occurrence", naive, color=ORANGE, symbol="circle-open")
    add_intervals(figure, "effect", whole, color=BLUE, symbol="circle")
    add_intervals(figure, "effect by segment", segments, color=SKY, symbol="square")
    percentage_points(figure)
    label_rows(figure, labels)
    return figure


def lifecycle(part: ProfilesPart) -> go.Figure:
    """Return the users in each stage of their life with the shop."""
    figure = blank_figure(height=80 + 36 * max(len(part.stages), 2))
    total = max(sum(part.stages.values()), 1)
    figure.add_bar(
        x=list(part.stages.values()),
        y=[escape(stage) for stage in part.stages],
        orientation="h",
        marker={"color": BLUE, "line": {"width": 0}},
        text=[f"{count(n)} ({n / total:.0%})" for n in part.stages.values()],
        textposition="outside",
        cliponaxis=False,
        hoverinfo="skip",
    )
    figure.update_layout(bargap=0.35, margin={"r": 96, "t": 10})
    figure.update_xaxes(title_text="users", rangemode="tozero")
    figure.update_yaxes(autorange="reversed", showgrid=False)
    return figure


def pair_label(pair: Pair, limit: int) -> str:
    """Return ``treatment → outcome`` for an axis, each side shortened in its middle."""
    half = (limit - 3) // 2
    names = (shortened(behavior(name), half) for name in (pair.effect.treatment, pair.effect.outcome))
    return escape(" → ".join(names), quote=False)


def _gains(losses: Sequence[NuisanceLoss]) -> tuple[list[float], list[float]]:
    """Return 1 - loss / base loss for counts alone and for counts with the model."""
    counts = [1 - n.counts_alone / n.base_rate for n in losses]
    return counts, [1 - n.with_model / n.base_rate for n in losses]


def _row(place: int, pair: Pair) -> Row:
    e = pair.effect.effect
    return Row(place, e.estimate, e.ci_low, e.ci_high, _hover(pair))


def _interval_row(place: int, found: Interval) -> Row:
    places = decimals(found.low, found.high)
    text = f"{points(found.estimate, places)} pp {bracket(found.low, found.high)}"
    return Row(place, found.estimate, found.low, found.high, text)


def _add_joins(figure: go.Figure, pairs: Sequence[Pair], *, wrong: bool) -> None:
    chosen = [(i, p.effect) for i, p in enumerate(pairs) if (p.disagreement == "wrong_sign") is wrong]
    if not chosen:
        return
    ends = [(in_points(e.naive.difference), in_points(e.effect.estimate)) for _, e in chosen]
    figure.add_scatter(
        x=[x for naive, adjusted in ends for x in (naive, adjusted, None)],
        y=[y for i, _ in chosen for y in (i, i, None)],
        mode="lines",
        name="wrong sign",
        showlegend=wrong,
        hoverinfo="skip",
        line={"color": VERMILLION if wrong else LINE, "width": 3},
    )


def _add_cloud(figure: go.Figure, name: str, pairs: Sequence[Pair], mark: dict[str, object]) -> None:
    if not pairs:
        return
    figure.add_scatter(
        x=[in_points(p.effect.naive.difference) for p in pairs],
        y=[in_points(p.effect.effect.estimate) for p in pairs],
        mode="markers",
        name=name,
        marker=mark,
        hovertext=[_hover(p) for p in pairs],
        hoverinfo="text",
    )


def _hover(pair: Pair) -> str:
    e = pair.effect
    places = decimals(e.effect.ci_low, e.effect.ci_high)
    adjusted = f"{points(e.effect.estimate, places)} pp {bracket(e.effect.ci_low, e.effect.ci_high)}"
    lines = [
        f"<b>{pair_label(pair, 90)}</b>",
        f"within {escape(window(e.horizon))}: adjusted {adjusted}, {verdict(e.verdict)}",
        f"co-occurrence {points(e.naive.difference, places)} pp",
        f"{count(e.n_trials)} decisions, {count(e.n_treated)} treated, {count(e.n_users)} users",
    ]
    if pair.truth:
        lines.insert(2, f"truth {points(pair.truth.truth, places)} pp")
    return "<br>".join(lines)


def closed_loop() -> go.Figure:
    """Return what policies added in simulated shops, as ``docs/make_closed_loop.py`` measured and kept it."""
    return pio.from_json((Path(__file__).parent / "measured" / "closed-loop.json").read_text(encoding="utf-8"))
