"""The scaling law of the behavior model: how far the loss falls with size and with events, and what size a budget buys.

    L(N, D) = E + A / N^alpha + B / D^beta

N are the parameters of the trunk without embeddings, D the events seen in training, all passes together. E is what no
model of this world can get below; the other terms are what a finite model and a finite log cost. What a budget of
arithmetic buys is found with this project's own count of it (:mod:`whybuy.behavior.cost`), heads and attention
included: at these widths 6 N per event would forget most of it.

Source: Hoffmann et al., Training compute-optimal large language models, 2022, equation 2.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from whybuy.behavior.scale.fit import EXPONENTS, Floats, fitted, fitted_again, log_loss
from whybuy.behavior.scale.ladder import Ladder
from whybuy.errors import QuestionError

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

BEYOND = 100
"""A prediction for more than this many times the largest run is marked as extrapolated."""

_MIN_RUNS, _MIN_LEVELS = 8, 3
_TAILS = (2.5, 97.5)
_GRID = 600
_COLORS = ("#56B4E9", "#0072B2", "#009E73", "#E69F00", "#D55E00", "#CC79A7", "#8A929C")


@dataclass(frozen=True)
class Run:
    """One trained model.

    Attributes
    ----------
    parameters : of the trunk, without embeddings and heads
    events : seen in training, all passes together
    loss : on users who taught nothing, nats per decision
    """

    parameters: int
    events: int
    loss: float


@dataclass(frozen=True)
class BestSize:
    """The size at which a budget of arithmetic brings the least loss.

    Attributes
    ----------
    flops : the budget
    parameters, events : of the trunk, and seen in training
    low, high : 95% interval of the parameters
    loss : predicted
    extrapolated : size or events are more than ``BEYOND`` times those of the largest run
    told : whether the runs tell this size: both exponents are told, and the interval ends before the ladder does
    """

    flops: float
    parameters: float
    events: float
    low: float
    high: float
    loss: float
    extrapolated: bool
    told: bool


@dataclass(frozen=True)
class ScalingLaw:
    """A fitted law.

    Attributes
    ----------
    law : (5,) log E, log A, log B, alpha, beta
    draws : (n, 5) laws fitted to residuals drawn again
    residuals : (n_runs,) of the log loss
    runs, held_out : what was fitted, and what was only predicted
    ladder : what an event costs by size
    """

    law: Floats
    draws: Floats
    residuals: Floats
    runs: tuple[Run, ...]
    held_out: tuple[Run, ...]
    ladder: Ladder

    @property
    def alpha(self) -> float:
        """The exponent of the size."""
        return float(self.law[3])

    @property
    def beta(self) -> float:
        """The exponent of the events."""
        return float(self.law[4])

    @property
    def untold(self) -> tuple[str, ...]:
        """The exponents that these runs cannot tell: their interval reaches the end of what was looked for."""
        low, high = np.percentile(self.draws[:, 3:], _TAILS, axis=0)
        # Twice the lower end is still no dependence: a factor of a thousand would change the term by 13%.
        is_told = (low > 2 * EXPONENTS[0]) & (high < 0.98 * EXPONENTS[1])
        return tuple(name for name, told in zip(("alpha", "beta"), is_told, strict=True) if not told)

    def predict(self, parameters: npt.ArrayLike, events: npt.ArrayLike) -> pd.DataFrame:
        """Return the loss expected of models of these sizes after these events.

        ``low`` and ``high`` are a 95% interval for the loss of one more run: of the law and of a run's own noise.
        ``extrapolated`` says that size or events are more than ``BEYOND`` times those of the largest run.
        """
        n, d = (np.atleast_1d(x).astype(float) for x in np.broadcast_arrays(parameters, events))
        drawn = log_loss(self.draws, np.log(n), np.log(d))
        # Every draw of the law gets its share of the residuals, in a fixed order: no random numbers are needed here.
        noise = np.resize(self.residuals, len(self.draws))[:, None]
        low, high = np.exp(np.percentile(drawn + noise, _TAILS, axis=0))
        return pd.DataFrame(
            {
                "parameters": n,
                "events": d,
                "loss": np.exp(log_loss(self.law, np.log(n), np.log(d))),
                "low": low,
                "high": high,
                "extrapolated": self._is_beyond(n, d),
            }
        )

    def compared(self) -> pd.DataFrame:
        """Return every run beside its prediction; ``error`` is relative, ``inside`` whether the interval covers it."""
        all_runs = [*self.runs, *self.held_out]
        found = self.predict([run.parameters for run in all_runs], [run.events for run in all_runs])
        observed = np.array([run.loss for run in all_runs])
        return found.assign(
            observed=observed,
            error=found["loss"] / observed - 1,
            inside=(found["low"] <= observed) & (observed <= found["high"]),
            held_out=np.arange(len(all_runs)) >= len(self.runs),
        )

    def best_size(self, flops: float) -> BestSize:
        """Return size and events that bring the least loss for ``flops`` of training."""
        log_flops = np.full(1 + len(self.draws), np.log(flops))
        at = self._best(log_flops)
        return self._answer(float(flops), at)

    def size_for(self, events: float) -> BestSize:
        """Return the size for which ``events`` are the amount that a budget would buy: neither too few nor too many."""
        low, high = (
            np.full(1 + len(self.draws), np.log(events * edge))
            for edge in (self.ladder.flops[0], self.ladder.flops[-1])
        )
        for _ in range(50):
            middle = (low + high) / 2
            reached = middle - np.log(self._grid_flops)[self._best(middle)]
            too_few = reached < np.log(events)
            low, high = np.where(too_few, middle, low), np.where(too_few, high, middle)
        return self._answer(float(np.exp(high[0])), self._best(high))

    def to_frame(self) -> pd.DataFrame:
        """Return one row per coefficient with its 95% interval."""
        is_log = np.arange(5) < 3
        estimate = np.where(is_log, np.exp(np.where(is_log, self.law, 0)), self.law)
        low, high = np.percentile(self.draws, _TAILS, axis=0)
        low, high = (np.where(is_log, np.exp(np.where(is_log, edge, 0)), edge) for edge in (low, high))
        names = ["E", "A", "B", "alpha", "beta"]
        return pd.DataFrame({"coefficient": names, "estimate": estimate, "low": low, "high": high})

    def summary(self) -> str:
        """Return the law, its intervals and how well it foretold the runs held out."""
        rows = {row["coefficient"]: row for row in self.to_frame().to_dict("records")}
        E, A, B, alpha, beta = (rows[name]["estimate"] for name in ("E", "A", "B", "alpha", "beta"))
        between = {name: f"95% interval {rows[name]['low']:.3g} to {rows[name]['high']:.3g}" for name in rows}
        lines = [
            f"loss = {E:.4g} + {A:.3g} / N^{alpha:.3g} + {B:.3g} / D^{beta:.3g} nats per decision, "
            f"from {len(self.runs)} runs",
            f"floor {E:.4g} ({between['E']}); exponent of the size {alpha:.3g} ({between['alpha']}), "
            f"of the events {beta:.3g} ({between['beta']})",
        ]
        words = {"alpha": "of the size", "beta": "of the events"}
        lines += [
            f"these runs cannot tell the exponent {words[name]}: its interval reaches the end of what was looked for, "
            "so no size should be chosen by it"
            for name in self.untold
        ]
        compared = self.compared()
        outside = compared[compared["held_out"]]
        if len(outside):
            worst = outside["error"].abs().max()
            lines.append(
                f"{len(outside)} larger runs were held out: predicted to {worst:.2%} at worst, "
                f"{int(outside['inside'].sum())} inside their 95% interval"
            )
        return "\n".join(lines)

    def plot(self) -> "Figure":
        """Return the loss against the events seen, a curve of the law for every size; runs held out are open."""
        import plotly.graph_objects as go

        figure = go.Figure()
        all_runs = [*self.runs, *self.held_out]
        seen = [run.events for run in all_runs]
        events = np.geomspace(min(seen) / 1.3, 1.6 * max(seen), 80)
        for number, size in enumerate(sorted({run.parameters for run in all_runs})):
            color, name = _COLORS[number % len(_COLORS)], f"N = {_short(size)}"
            curve = self.predict(size, events)["loss"]
            figure.add_scatter(
                x=events, y=curve, mode="lines", line={"color": color, "width": 1.6}, name=name, legendgroup=name
            )
            for runs, symbol in ((self.runs, "circle"), (self.held_out, "diamond-open")):
                mine = [run for run in runs if run.parameters == size]
                figure.add_scatter(
                    x=[run.events for run in mine],
                    y=[run.loss for run in mine],
                    mode="markers",
                    marker={"color": color, "symbol": symbol, "size": 9, "line": {"width": 2.2, "color": color}},
                    name=name,
                    legendgroup=name,
                    showlegend=False,
                )
        if self.held_out:
            grey = {"color": _COLORS[-1], "symbol": "diamond-open", "size": 10, "line": {"width": 2.4}}
            figure.add_scatter(x=[None], y=[None], mode="markers", marker=grey, name="held out of the fit")
        return _dressed(figure, {_rounded(run.events) for run in all_runs})

    @cached_property
    def _grid(self) -> Floats:
        return np.geomspace(self.ladder.parameters[0], self.ladder.parameters[-1], _GRID)

    @cached_property
    def _grid_flops(self) -> Floats:
        return self.ladder.of_size(self._grid)

    def _best(self, log_flops: Floats) -> npt.NDArray[np.intp]:
        """Return where on the grid the fitted law (first) and every drawn one have their least loss."""
        laws = np.vstack([self.law, self.draws])
        log_d = log_flops[:, None] - np.log(self._grid_flops)
        return np.argmin(log_loss(laws, np.log(self._grid), log_d), axis=1)

    def _answer(self, flops: float, at: npt.NDArray[np.intp]) -> BestSize:
        size = float(self._grid[at[0]])
        events = flops / float(self._grid_flops[at[0]])
        low, high = np.percentile(self._grid[at[1:]], _TAILS)
        loss = float(np.exp(log_loss(self.law, np.log([size]), np.log([events])))[0])
        beyond = bool(self._is_beyond(np.array([size]), np.array([events]))[0])
        inside = bool(low > self._grid[0] and high < self._grid[-1])
        return BestSize(flops, size, events, float(low), float(high), loss, beyond, inside and not self.untold)

    def _is_beyond(self, parameters: Floats, events: Floats) -> npt.NDArray[np.bool_]:
        all_runs = [*self.runs, *self.held_out]
        most_n, most_d = max(run.parameters for run in all_runs), max(run.events for run in all_runs)
        found: npt.NDArray[np.bool_] = (parameters > BEYOND * most_n) | (events > BEYOND * most_d)
        return found


def fit_law(
    runs: Sequence[Run],
    *,
    ladder: Ladder,
    held_out: Sequence[Run] = (),
    n_draws: int = 200,
    rng: np.random.Generator | None = None,
) -> ScalingLaw:
    """Fit the law to ``runs``.

    Parameters
    ----------
    ladder : what an event costs by size
    held_out : runs, larger ones, that are predicted and teach nothing
    n_draws : fits to residuals drawn again, for intervals
    rng : of these draws

    Raises
    ------
    QuestionError
        The runs are too few or too much alike to tell five numbers, or a loss is no positive number.
    """
    _refuse(runs)
    log_n, log_d, log_l = (np.log([asdict(run)[name] for run in runs]) for name in ("parameters", "events", "loss"))
    law = fitted(log_n, log_d, log_l)
    rng = rng or np.random.default_rng(7)
    draws, residuals = fitted_again(law, log_n, log_d, log_l, n_draws=n_draws, rng=rng)
    return ScalingLaw(law, draws, residuals, tuple(runs), tuple(held_out), ladder)


def _refuse(runs: Sequence[Run]) -> None:
    sizes, amounts = {run.parameters for run in runs}, {run.events for run in runs}
    if len(runs) < _MIN_RUNS or len(sizes) < _MIN_LEVELS or len(amounts) < _MIN_LEVELS:
        raise QuestionError.of(
            found=f"{len(runs)} runs of {len(sizes)} size(s) and {len(amounts)} amount(s) of events",
            needed=f"at least {_MIN_RUNS} runs of {_MIN_LEVELS} sizes and {_MIN_LEVELS} amounts, as five numbers are "
            "fitted",
            do="Train models of other sizes and on other amounts of events",
        )
    strange = [run for run in runs if not (np.isfinite(run.loss) and run.loss > 0)]
    if strange:
        raise QuestionError.of(
            found=f"The loss of {len(strange)} run(s) is no positive number, first {strange[0]}",
            needed="finite losses above zero, as their logarithms are fitted",
            do="Leave these runs out, or train them again",
        )


def _rounded(n: float) -> float:
    """Two digits: users are whole, so amounts that should be equal are nearly so."""
    return float(f"{n:.2g}")


def _short(n: float) -> str:
    """Write 98,880 as 99k."""
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if n >= size:
            return f"{n / size:.3g}{letter}"
    return f"{n:.3g}"


def _dressed(figure: "Figure", seen: set[float]) -> "Figure":
    """Give axes their names; the loss does not begin at zero, and that is said."""
    ticks = {"tickvals": sorted(seen), "ticktext": [_short(n) for n in sorted(seen)]}
    figure.update_xaxes(type="log", title_text="events seen in training, all passes (logarithmic)", **ticks)
    figure.update_yaxes(title_text="held-out loss, nats per decision (not from zero)")
    figure.update_layout(
        height=480,
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        legend={"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom", "xanchor": "left"},
        margin={"l": 70, "r": 20, "t": 50, "b": 60},
    )
    return figure
