"""One self-contained HTML file from the payload: words and tables by Jinja2, figures by the Plotly inside the file.

Nothing is loaded from anywhere: styles, scripts and data are in the file, and its content security policy forbids the
browser to fetch anything or to run any script but the two whose hashes it names. Everything from the log is escaped by
Jinja2 (autoescape) or, inside JSON, by :func:`figure_json`; the policy is the second lock on that door.
"""

import base64
import hashlib
import math
import os
import shlex
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from plotly.graph_objects import Figure

import whybuy
from whybuy.causal.certificate import Certificate
from whybuy.causal.certificate.result import TESTS_NOT
from whybuy.causal.drawing import MAX_EDGES
from whybuy.causal.effects import VERDICTS, Effect, Estimate
from whybuy.causal.graph import EffectGraph
from whybuy.causal.opinions import ASSUMES
from whybuy.errors import WorkspaceError
from whybuy.report import campaign_figures, evidence, figures, wording
from whybuy.report.payload import CampaignsPart, EffectsPart, LogFacts, Missing, ModelPart, ReportPayload, Timeline

MAX_BYTES = 5_000_000
_FOLDER = Path(__file__).parent / "templates"
_PLOTLY = "plotly-basic-4.1.1.min.js"


def write_report(payload: ReportPayload, path: Path) -> Path:
    """Write the report as one HTML file, whole or not at all, and return its path.

    Raises
    ------
    WorkspaceError
        The folder cannot be written.
    """
    page = render(payload).encode("utf-8", errors="replace")
    temporary = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                file.write(page)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise WorkspaceError.of(
            found=f"{path} cannot be written ({error.strerror})",
            needed=f"a folder that can be written, with {len(page):,} bytes free",
            do="Name another place or free some space",
        ) from error
    return path


def render(payload: ReportPayload) -> str:
    """Return the whole page."""
    scripts = [plotly_script(), _script("report.js")]
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            payload=payload,
            version=whybuy.__version__,
            style=Markup((_FOLDER / "style.css").read_text(encoding="utf-8")),
            scripts=[Markup(script) for script in scripts],
            script_hashes=Markup(" ".join(_csp_hash(script) for script in scripts)),
            plots={name: figure_json(figure) for name, figure in _figures(payload).items()},
            places=_places(payload.effects),
            axis=_Axis.of(payload.effects) if isinstance(payload.effects, EffectsPart) else None,
            verdicts=VERDICTS,
            assumes=ASSUMES,
            max_edges=MAX_EDGES,
            tests_not=TESTS_NOT,
        )
    )


def _figures(payload: ReportPayload) -> dict[str, Figure]:
    """Return every figure that the parts at hand allow."""
    found: dict[str, Figure] = {}
    if isinstance(payload.log, LogFacts) and isinstance(payload.log.timeline, Timeline):
        found["timeline"] = figures.timeline(payload.log.timeline)
    if isinstance(payload.effects, EffectsPart):
        if payload.effects.compared:
            found["comparison"] = figures.comparison(payload.effects.compared)
            found["cloud"] = figures.cloud(payload.effects)
        if payload.effects.funnel:
            found["funnel"] = figures.comparison(payload.effects.funnel)
        loves = ((f"love-{i}", evidence.love_plot(pair.effect)) for i, pair in enumerate(payload.effects.top))
        found |= {name: figure for name, figure in loves if figure is not None}
    if isinstance(payload.graph, EffectGraph) and payload.graph.edges:
        found["graph"] = figures.graph(payload.graph)
    if isinstance(payload.certificate, Certificate):
        found["certificate"] = figures.certificate(payload.certificate)
    if not isinstance(payload.model, Missing):
        found |= _model_figures(payload.model)
    return found | _figures_of_action(payload)


def _figures_of_action(payload: ReportPayload) -> dict[str, Figure]:
    found: dict[str, Figure] = {}
    if not isinstance(payload.campaigns, Missing):
        found["campaigns"] = figures.campaigns(payload.campaigns)
        found |= _figures_of_campaigns(payload.campaigns)
    if not isinstance(payload.samples, Missing):
        found["closed-loop"] = figures.closed_loop()
    if not isinstance(payload.profiles, Missing) and payload.profiles.stages:
        found["lifecycle"] = figures.lifecycle(payload.profiles)
    return found


def _figures_of_campaigns(part: CampaignsPart) -> dict[str, Figure]:
    found: dict[str, Figure] = {}
    for i, campaign in enumerate(part.campaigns):
        if not isinstance(campaign.uplift, Missing):
            found[f"uplift-{i}"] = campaign_figures.uplift_curve(campaign.uplift)
        if not isinstance(campaign.uplift, Missing) and campaign.uplift.tenths:
            found[f"tenths-{i}"] = campaign_figures.tenths(campaign.uplift)
        if not isinstance(campaign.sending, Missing):
            found[f"budget-{i}"] = campaign_figures.budget_curve(campaign.sending)
            found[f"choosing-{i}"] = campaign_figures.ways_of_choosing(campaign.sending)
    return found


def _model_figures(model: ModelPart) -> dict[str, Figure]:
    found: dict[str, Figure] = {}
    if any(model.train):
        found["training"] = figures.training(model)
    if model.nuisance:
        found["nuisance"] = figures.nuisance_gain(model)
    if model.calibration:
        found["calibration"] = figures.calibration(model)
    return found


def _places(effects: EffectsPart | Missing) -> dict[tuple[str, str, str], int]:
    """Return where each listed pair stands in the list of effects, so that others can point to it."""
    if isinstance(effects, Missing):
        return {}
    return {(p.effect.treatment, p.effect.outcome, p.effect.horizon): i for i, p in enumerate(effects.top)}


@dataclass(frozen=True, slots=True)
class _Axis:
    """The common axis of the small interval marks in the list of effects; places are percent of its width."""

    low: float
    high: float
    largest: float

    @classmethod
    def of(cls, effects: EffectsPart) -> "_Axis":
        answered = [p.effect for p in effects.top if p.effect.verdict != "cannot_tell"]
        sizes = sorted(abs(e.effect.estimate) for e in answered if e.effect.estimate is not None)
        ends = [x for e in answered for x in (e.effect.ci_low, e.effect.ci_high) if x is not None]
        naive = sorted(e.naive.difference for e in answered if e.naive.difference is not None)
        # Few large naive differences must not flatten everything: the axis leaves out the outer 5 percent of them.
        ends += naive[len(naive) // 20 : len(naive) - len(naive) // 20]
        low, high = min([*ends, 0.0]), max([*ends, 0.0])
        pad = max(0.06 * (high - low), 0.001)
        return cls(low - pad, high + pad, sizes[-1 - len(sizes) // 20] if sizes else 0.01)

    def at(self, value: float | None) -> str:
        """Return where a value stands, the ends of the axis for what lies beyond them."""
        if value is None:
            return "0"
        share = (value - self.low) / (self.high - self.low)
        return f"{100 * min(max(share, 0.0), 1.0):.2f}"

    def width(self, low: float, high: float) -> str:
        """Return the width of an interval."""
        return f"{max(float(self.at(high)) - float(self.at(low)), 0.6):.2f}"

    def depth(self, value: float) -> int:
        """Return how deep a cell of the map is colored: percent of the largest effects."""
        return round(100 * min(abs(value) / max(self.largest, 1e-9), 1.0) ** 0.7)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in ("points", "points_interval", "percent", "count", "plain", "day", "span", "window", "behavior"):
        environment.filters[name] = getattr(wording, name)
    environment.filters["verdict"] = wording.verdict
    environment.filters["shortened"] = wording.shortened
    environment.filters["effect_interval"] = _effect_interval
    environment.filters["estimate_interval"] = _estimate_interval
    environment.filters["times"] = _times
    environment.filters["command"] = _command
    environment.filters["checks"] = evidence.checks
    environment.filters["breakable"] = _breakable
    environment.filters["coded"] = _coded
    environment.tests["missing"] = lambda part: isinstance(part, Missing)
    environment.globals["bracket"] = wording.bracket
    environment.globals["decimals"] = wording.decimals
    return environment


def _effect_interval(effect: Effect) -> str:
    """Return ``+2.1 pp [1.4, 2.8]`` of an effect."""
    return _estimate_interval(effect.effect)


def _estimate_interval(e: Estimate) -> str:
    """Return ``+2.1 pp [1.4, 2.8]`` of an estimate."""
    places = wording.decimals(e.ci_low, e.ci_high)
    if e.estimate is None:
        return wording.DASH
    return f"{wording.points(e.estimate, places)} pp {wording.bracket(e.ci_low, e.ci_high)}"


def _times(change: Estimate | None) -> str:
    """Return ``×1.46 [1.30, 1.64]``: a change of a log rate as the factor of the rate."""
    if change is None or change.estimate is None or change.ci_low is None or change.ci_high is None:
        return wording.DASH
    factor, low, high = (math.exp(min(x, 20.0)) for x in (change.estimate, change.ci_low, change.ci_high))
    return f"×{factor:.2f} [{low:.2f}, {high:.2f}]"


def _coded(text: str) -> Markup:
    """Return the escaped text with what stands between backticks as code."""
    parts = [escape(part) for part in text.split("`")]
    return Markup("").join(Markup("<code>%s</code>") % part if i % 2 else part for i, part in enumerate(parts))


def _breakable(text: str) -> Markup:
    """Return the escaped text with a place to break lines after each colon and slash."""
    escaped = str(escape(text))
    return Markup(escaped.replace(":", ":<wbr>").replace("/", "/<wbr>"))


def _command(effect: Effect) -> str:
    """Return the command that asks this question again."""
    names = f"--treatment {shlex.quote(effect.treatment)} --outcome {shlex.quote(effect.outcome)}"
    return f"whybuy effects {names} --horizon {shlex.quote(effect.horizon)}"


def plotly_script() -> str:
    """Return Plotly.js as it stands in the report."""
    return _script(_PLOTLY)


def _script(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


def _csp_hash(script: str) -> str:
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    return f"'sha256-{digest}'"


def figure_json(figure: Figure) -> Markup:
    """Return the figure's JSON without a character that could end the script element it stands in."""
    text: str = figure.to_json(engine="json")
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return Markup(text)
