"""Does a ranking put those first who gain the most: rank-weighted average treatment effects, doubly robust.

With S the ranking and G a doubly robust score of everybody's effect, the targeting operator characteristic

    TOC(u) = E[G | S among the top share u] - E[G]

says what treating the top share u instead of a random one adds per person treated. AUTOC is its mean over all u, which
looks at the very first; Qini the mean of u TOC(u), which looks at everybody: per person of all, what a ranking adds
when every budget is equally likely. Both are 0 for a ranking that knows nothing. Equal S share their mean G, so
nothing depends on the order of rows.

The scores must come from learners that did not see the person, and the ranking from other people altogether.

Source: Yadlowsky, Fleming, Shah, Brunskill and Wager, Evaluating treatment prioritization rules via rank-weighted
average treatment effects (JASA, 2025), equations 2.3 to 2.6 and section 3.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from whybuy.campaign.uplift.resample import half_sample_errors
from whybuy.causal.clusters import Float64, Ints
from whybuy.causal.effects import Z95, Estimate

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

UNCONFOUNDED = (
    "Unconfoundedness assumed: whatever made some people be treated and others not, and moves the outcome, is in X."
)
SHARES = np.arange(1, 101) / 100


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedEffects:
    """What treating people in the order of a ranking adds. Intervals are 95%, by half-samples of users.

    Attributes
    ----------
    autoc, qini : rank-weighted effects, in units of the outcome per person; 0 for a ranking that knows nothing
    share : (k,) shares of people treated, from the top of the ranking
    effect, effect_error : (k,) mean effect among them, and its standard error
    toc, toc_error : (k,) the same less the mean effect of everybody
    assumption : what the numbers rest on
    n_rows, n_users : that judge
    """

    autoc: Estimate
    qini: Estimate
    share: Float64
    effect: Float64
    effect_error: Float64
    toc: Float64
    toc_error: Float64
    assumption: str
    n_rows: int
    n_users: int

    @property
    def gain(self) -> Float64:
        """(k,) outcome added per person of all when the top share is treated: the share times its mean effect."""
        return self.share * self.effect

    def to_frame(self) -> pd.DataFrame:
        """Return one row per share, numbers only."""
        return pd.DataFrame(
            {
                "share": self.share,
                "effect": self.effect,
                "effect_low": self.effect - Z95 * self.effect_error,
                "effect_high": self.effect + Z95 * self.effect_error,
                "gain": self.gain,
                "gain_low": self.share * (self.effect - Z95 * self.effect_error),
                "gain_high": self.share * (self.effect + Z95 * self.effect_error),
                "toc": self.toc,
                "toc_low": self.toc - Z95 * self.toc_error,
                "toc_high": self.toc + Z95 * self.toc_error,
            }
        )

    def summary(self) -> str:
        """Return whether the ranking finds those who gain more, and what that rests on."""
        numbers = [f"{name} {_interval(e)}" for name, e in (("AUTOC", self.autoc), ("Qini", self.qini))]
        if self.autoc.ci_low is None or self.qini.ci_low is None:
            said = "The ranking puts everybody in one place: nothing can be told of it"
        elif max(self.autoc.ci_low, self.qini.ci_low) > 0:
            said = "The ranking puts those first who gain more"
        else:
            said = "The ranking cannot be told from a random one"
        return f"{said} ({', '.join(numbers)}; {self.n_users:,} users). {self.assumption}"

    def plot(self) -> "Figure":
        """Return a Plotly figure: what is added per person by treating the top share, beside treating at random."""
        import plotly.graph_objects as go

        frame = self.to_frame()
        figure = go.Figure()
        for edge, fill in (("gain_high", None), ("gain_low", "tonexty")):
            figure.add_scatter(x=frame["share"], y=frame[edge], mode="lines", line_width=0, fill=fill, showlegend=False)
        figure.add_scatter(x=frame["share"], y=frame["gain"], mode="lines", name="by the ranking")
        figure.add_scatter(x=[0, 1], y=[0, float(self.gain[-1])], mode="lines", line_dash="dot", name="at random")
        figure.update_layout(
            title="What treating the top share adds",
            xaxis_title="share of people treated",
            yaxis_title="outcome added per person",
            template="plotly_white",
        )
        return figure


def doubly_robust_scores(T: Float64, Y: Float64, e: Float64, mu0: Float64, mu1: Float64) -> Float64:
    """Return (n,) scores whose mean over any people, chosen without T and Y, is their mean effect.

    Parameters
    ----------
    T, Y : (n,) treatment and outcome
    e, mu0, mu1 : (n,) propensity and expected outcome in either arm, by learners that did not see the person

    Source: Robins, Rotnitzky and Zhao (JASA, 1994).
    """
    seen = np.where(T > 0, mu1, mu0)
    return mu1 - mu0 + (T - e) / (e * (1 - e)) * (Y - seen)


def ranked_effects(
    scores: Float64, priority: Float64, user: Ints, *, rng: np.random.Generator, assumption: str
) -> RankedEffects:
    """Return what treating people by ``priority`` adds, highest first.

    Parameters
    ----------
    scores : (n,) doubly robust scores (:func:`doubly_robust_scores`)
    priority : (n,) the ranking, from other people's data
    user : (n,) user of every row, numbered from 0 without gaps
    assumption : what the scores rest on
    """
    ranking = Ranking(priority, user)
    scores = scores[ranking.order]

    def numbers(rows: npt.NDArray[np.bool_] | None) -> Float64:
        G = ranking.shared(scores, rows)
        effect = effects_of_top(G)
        return np.concatenate([areas(G), effect, effect - effect[-1]])

    found = numbers(None)
    error = half_sample_errors(numbers, ranking.user, rng=rng)
    if np.ptp(priority) == 0:
        error[:2] = 0.0  # one place for everybody: an area of rounding errors is none
    k = len(SHARES)
    return RankedEffects(
        autoc=Estimate.of("autoc", float(found[0]), float(error[0])),
        qini=Estimate.of("qini", float(found[1]), float(error[1])),
        share=SHARES,
        effect=found[2 : 2 + k],
        effect_error=error[2 : 2 + k],
        toc=found[2 + k :],
        toc_error=error[2 + k :],
        assumption=assumption,
        n_rows=len(scores),
        n_users=int(user.max()) + 1,
    )


class Ranking:
    """Rows from the highest priority to the lowest, sorted once for all resamples.

    Attributes
    ----------
    order : (n,) positions of the rows, the highest priority first
    user : (n,) user of every row, in this order
    """

    def __init__(self, priority: Float64, user: Ints) -> None:
        self.order = np.argsort(-priority, kind="stable")
        self.user = user[self.order]
        self._tie = np.concatenate([[0], np.cumsum(np.diff(priority[self.order]) != 0)])

    def shared(self, scores: Float64, rows: npt.NDArray[np.bool_] | None = None) -> Float64:
        """Return the sorted ``scores`` (n,) of the chosen ``rows``, those of equal priority replaced by their mean."""
        tie, G = (self._tie, scores) if rows is None else (self._tie[rows], scores[rows])
        first = np.concatenate([[0], np.flatnonzero(np.diff(tie)) + 1])
        size = np.diff(np.append(first, len(tie)))
        return np.repeat(np.add.reduceat(G, first) / size, size)


def areas(G: Float64) -> Float64:
    """Return AUTOC and Qini of (n,) scores that are sorted by priority.

    With the mean over the places j = 1..n, both are weighted means of the scores: the i-th one's weight is the sum of
    1 / j over j >= i, less 1, or the number of places from i on as a share, less its mean.
    """
    n = len(G)
    place = np.arange(1, n + 1)
    tail = np.cumsum((1 / place)[::-1])[::-1]
    return np.array([G @ (tail - 1), G @ ((n + 1 - 2 * place) / (2 * n))]) / n


def effects_of_top(G: Float64) -> Float64:
    """Return the mean of (n,) sorted scores in the top of every one of :data:`SHARES`."""
    total = np.concatenate([[0.0], np.cumsum(G)])
    # A share that ends within a person takes that part of their score.
    at = SHARES * len(G)
    return np.interp(at, np.arange(len(G) + 1), total) / at


def _interval(e: Estimate) -> str:
    if e.estimate is None or e.ci_low is None or e.ci_high is None:
        return "not told"
    return f"{e.estimate:.4g} [{e.ci_low:.4g}, {e.ci_high:.4g}]"
