"""The checks of one pair as rows of words, and its love plot: what an opened row of the list of effects shows."""

from collections.abc import Iterator
from html import escape
from typing import Any

import plotly.graph_objects as go

from whybuy.causal.checks import CovariateBalance
from whybuy.causal.checks.balance import MAX_SMD
from whybuy.causal.effects import Effect
from whybuy.report import wording
from whybuy.report.marks import BLUE, INK, ORANGE, blank_figure, label_above_when_narrow, label_rows

_CHECK_WORDS = {
    "e_value": "E-value",
    "ess": "effective sample size",
    "min_e": "smallest propensity",
    "max_e": "largest propensity",
    "share_within_01_99": "share with propensity in [.01, .99]",
    "max_smd_before": "largest standardized difference before",
    "max_smd_after": "largest standardized difference after",
    "ci_low": "95% interval from",
    "ci_high": "95% interval to",
    "std_error_ratio": "its standard error / the effect's",
    "strongest_group": "strongest logged behavior",
    "strongest_r2_treatment": "its partial R² with the behavior",
    "strongest_r2_outcome": "its partial R² with the outcome",
    "strongest_as_robustness_value": "its robustness value",
    "kind": "controls named by",
    "window_hours": "hours looked back",
    "recent_hours": "of them recent",
    "recent": "with a recent one",
    "earlier": "with an earlier one",
    "largest_share": "largest user's share of the information",
    "n_left_out": "most active users left out",
    "share_left_out": "their share of the information",
    "fewer": "fewer of the others around than usual did it",
    "more": "more of the others around than usual did it",
    "share_known": "share of the decisions with enough others around",
    "why": "why not",
}
_LOSS_WORDS = {
    "log_loss": "log-loss, flexible learner",
    "log_loss_base": "log-loss, base rate alone",
    "log_loss_counts": "log-loss, counts alone",
    "log_loss_model": "log-loss, counts and model",
}
_DRAWN = "largest"
"""The field of ``balance`` that the love plot draws."""

_STATES = ("passed", "warns", _DRAWN)
_GROUP = {"estimate", "ci_low", "ci_high"}
"""The fields of an effect among some decisions."""


def checks(effect: Effect) -> list[tuple[str, list[tuple[str, str]], str | None]]:
    """Return per check its name, its fields in words, and "passed", "did not pass", "warning" or None."""
    return [(name.replace("_", " "), list(_rows(fields)), _state(fields)) for name, fields in effect.checks.items()]


def love_plot(effect: Effect) -> go.Figure | None:
    """Return the differences of the covariates that differ most, before and after; None where none are named."""
    found = effect.checks.get("balance", {})
    if not found.get(_DRAWN):
        return None
    balance = CovariateBalance.from_check(found)
    names = [escape(wording.shortened(wording.behavior(name), 34), quote=False) for name in balance.covariates]
    figure = blank_figure(height=110 + 22 * max(len(names), 2))
    sides = (("before", balance.before, ORANGE, "circle-open"), ("weighted", balance.after, BLUE, "circle"))
    for name, values, color, symbol in sides:
        figure.add_scatter(
            x=list(values),
            y=list(range(len(values))),
            mode="markers",
            name=name,
            marker={"color": color, "symbol": symbol, "size": 9, "line": {"width": 2, "color": color}},
            hovertemplate="%{x:.3f}<extra>%{fullData.name}</extra>",
        )
    figure.add_vline(x=MAX_SMD, line_width=1.2, line_dash="dot", line_color=INK, layer="below")
    figure.update_xaxes(title_text="absolute difference, standard deviations", rangemode="tozero")
    label_rows(figure, names)
    label_above_when_narrow(figure, names)
    return figure


def _state(fields: dict[str, Any]) -> str | None:
    passed = fields.get("passed")
    if isinstance(passed, bool):
        return "passed" if passed else "did not pass"
    return "warning" if fields.get("warns") else None


def _rows(fields: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in fields.items():
        if key in _STATES:
            continue
        if isinstance(value, dict) and value.keys() >= _GROUP:
            yield _check_words(key), _group(value)
        elif key == "controls":
            yield from ((wording.shortened(wording.behavior(row["outcome"]), 40), _group(row)) for row in value)
        else:
            yield _check_words(key), wording.shortened(wording.plain(value), 60)


def _group(found: dict[str, Any]) -> str:
    """Return ``+2.1 pp [1.4, 2.8]`` of the effect among some decisions; what is missing stands in the JSON."""
    low, high = found["ci_low"], found["ci_high"]
    if found["estimate"] is None:
        return "too few to tell"
    return f"{wording.points(found['estimate'], wording.decimals(low, high))} pp {wording.bracket(low, high)}"


def _check_words(key: str) -> str:
    """Return the name of a check's field in words; e and m are the forecasts of the behavior and of the outcome."""
    if key in _CHECK_WORDS:
        return _CHECK_WORDS[key]
    whose = {"e_": "behavior: ", "m_": "outcome: "}.get(key[:2], "")
    rest = key[2:] if whose else key
    return whose + _LOSS_WORDS.get(rest, rest.replace("_", " "))
