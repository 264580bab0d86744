"""Uplift, gain and Qini curves of a ranking with their intervals, counted from a randomized experiment.

Counting compares like with like only where everybody had one chance of being treated; elsewhere, and for more precision
here too, :mod:`whybuy.campaign.uplift.rate` does the same with doubly robust scores.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from whybuy.campaign.uplift.counts import AREAS, Counts, Kind, Normalization, area, sorted_counts, whole
from whybuy.campaign.uplift.deciles import DecileEffect, decile_effects, deciles_frame, difference_of_means
from whybuy.campaign.uplift.rate import SHARES
from whybuy.campaign.uplift.resample import half_sample_errors
from whybuy.campaign.uplift.rows import UpliftRows
from whybuy.causal.array_rows import is_binary, vector
from whybuy.causal.clusters import Float64
from whybuy.causal.effects import Z95, Estimate
from whybuy.errors import ArraysError

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

KINDS: tuple[Kind, ...] = ("uplift", "gain", "qini")
_ASSUMPTION = "Randomized: everybody was treated with the same probability."


@dataclass(frozen=True, slots=True, kw_only=True)
class UpliftCurves:
    """The curves of one ranking, per person. Intervals are 95%, by half-samples of users, one point at a time.

    Attributes
    ----------
    share : (k,) shares of people, from the top of the ranking
    value, error : by kind, (k,): "uplift", the effect among the share; "gain", outcomes added per person of all;
        "qini", outcomes added among the treated of the share, per treated person of all
    auuc, qini : areas of the gain and of the Qini curve under ``normalization``; None where "final" has half-samples
        whose whole effect is 0
    normalization : "per person", "perfect" or "final" (:mod:`whybuy.campaign.uplift.counts`)
    deciles : the effect in every tenth
    assumption : what the numbers rest on
    n_rows, n_users : that judge
    """

    share: Float64
    value: dict[str, Float64]
    error: dict[str, Float64]
    auuc: Estimate
    qini: Estimate
    normalization: Normalization
    deciles: tuple[DecileEffect, ...]
    assumption: str
    n_rows: int
    n_users: int

    def to_frame(self) -> pd.DataFrame:
        """Return one row per share, numbers only."""
        found = {"share": self.share}
        for kind, value in self.value.items():
            reach = Z95 * self.error[kind]
            found |= {kind: value, f"{kind}_low": value - reach, f"{kind}_high": value + reach}
        return pd.DataFrame(found)

    def deciles_frame(self) -> pd.DataFrame:
        """Return one row per tenth of the ranking, numbers only."""
        return deciles_frame(self.deciles)

    def summary(self) -> str:
        """Return both areas, and what they are measured in."""
        areas = [
            f"{name} {e.estimate:.4g} [{e.ci_low:.4g}, {e.ci_high:.4g}]" if e.estimate is not None else f"{name} none"
            for name, e in (("AUUC", self.auuc), ("Qini", self.qini))
        ]
        return f"{', '.join(areas)} ({self.normalization}; {self.n_users:,} users). {self.assumption}"

    def plot(self) -> "Figure":
        """Return a Plotly figure: the three curves with their intervals, beside treating at random."""
        from plotly.subplots import make_subplots

        figure = make_subplots(rows=1, cols=len(self.value), subplot_titles=list(self.value))
        frame = self.to_frame()
        for column, kind in enumerate(self.value, start=1):
            for edge, fill in (("high", None), ("low", "tonexty")):
                figure.add_scatter(
                    x=self.share, y=frame[f"{kind}_{edge}"], mode="lines", line_width=0, fill=fill, row=1, col=column
                )
            figure.add_scatter(x=self.share, y=frame[kind], mode="lines", row=1, col=column)
            end = float(frame[kind].iloc[-1])
            start = end if kind == "uplift" else 0.0
            figure.add_scatter(x=[0, 1], y=[start, end], mode="lines", line_dash="dot", row=1, col=column)
        figure.update_xaxes(title="share of people")
        figure.update_layout(template="plotly_white", showlegend=False, title="Uplift by share of people, per person")
        return figure


def uplift_curves(  # noqa: PLR0913 - three columns, their design, and how the area is measured
    treatment: npt.ArrayLike,
    outcome: npt.ArrayLike,
    priority: npt.ArrayLike,
    *,
    propensity: float,
    users: npt.ArrayLike | None = None,
    normalization: Normalization = "per person",
    seed: int = 7,
) -> UpliftCurves:
    """Return uplift, gain and Qini curves of a ranking, counted from a randomized experiment.

    Parameters
    ----------
    treatment : (n,) 1 where treated, else 0; outcome : (n,) what came of it
    priority : (n,) the ranking, the highest first, learned from other people
    propensity : the probability with which everybody was treated
    users : (n,) whom errors are by; every row is its own user where None
    normalization : of the areas; curves are per person
    seed : of the half-samples of users

    Raises
    ------
    ArraysError
        One arm only, or one of fewer than 100 users; a propensity that differs between people, is 0 or 1 or is
        contradicted by the arms; outcomes missing in an arm; "perfect" for an outcome that is not 0 or 1; and defects
        of the arrays.

    Source: see :mod:`whybuy.campaign.uplift.counts`.
    """
    ranking = vector(priority, "priority")
    rows = UpliftRows.of(ranking[:, None], treatment, outcome, propensity, users)
    require_countable(rows, normalization)
    return counted_curves(rows, ranking, normalization=normalization, rng=np.random.default_rng(seed))


def require_countable(rows: UpliftRows, normalization: Normalization) -> None:
    """Raise ArraysError where raw counts compare unlike people, or the normalization is not defined."""
    if not rows.equal_chance:
        raise ArraysError.of(
            found="Not everybody was treated with the same known probability",
            needed="one propensity: counts of unlike people are no effect",
            do="Use whybuy.estimators.uplift, whose curve is doubly robust",
        )
    if normalization == "perfect" and not is_binary(rows.Y):
        raise ArraysError.of(
            found="normalization='perfect' and an outcome other than 0 and 1",
            needed="a binary outcome: nobody knows the perfect curve of another",
            do="Use normalization='per person'",
        )


def counted_curves(
    rows: UpliftRows, priority: Float64, *, normalization: Normalization, rng: np.random.Generator
) -> UpliftCurves:
    """Return the curves of checked rows, ranked by ``priority`` (n,)."""
    order = np.argsort(-priority, kind="stable")
    T, Y, ranking, user = rows.T[order], rows.Y[order], priority[order], rows.user[order]

    def numbers(chosen: npt.NDArray[np.bool_]) -> Float64:
        t, y, p = T[chosen], Y[chosen], ranking[chosen]
        counts = sorted_counts(t, y, p)
        return np.concatenate([[area(t, y, counts, kind, normalization) for kind in AREAS], *_at_shares(counts)])

    found = numbers(np.ones(len(T), bool))
    error = half_sample_errors(numbers, user, rng=rng)
    if np.ptp(priority) == 0:
        error[:2] = 0.0  # one place for everybody: an area of rounding errors is none
    k = len(SHARES)
    parts = {kind: slice(2 + i * k, 2 + (i + 1) * k) for i, kind in enumerate(KINDS)}
    return UpliftCurves(
        share=SHARES,
        value={kind: found[part] for kind, part in parts.items()},
        error={kind: error[part] for kind, part in parts.items()},
        auuc=Estimate.of("auuc", float(found[0]), float(error[0])),
        qini=Estimate.of("qini", float(found[1]), float(error[1])),
        normalization=normalization,
        deciles=decile_effects(
            priority, rows.T, rows.user, lambda at: difference_of_means(rows.T[at], rows.Y[at], rows.user[at])
        ),
        assumption=_ASSUMPTION,
        n_rows=len(T),
        n_users=rows.n_users,
    )


def _at_shares(counts: Counts) -> list[Float64]:
    """Return every kind of curve, per person, at :data:`SHARES`."""
    found = []
    for kind in KINDS:
        k, value = counts.curve(kind)
        found.append(np.interp(SHARES * k[-1], k, value / whole(counts, kind)))
    return found
