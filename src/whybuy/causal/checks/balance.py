"""Balance: whether the adjustment makes the two arms alike in what was logged before; the love plot of a pair.

A difference fails the check where it is large *and* more than chance: of hundreds of covariates the largest differs by
a tenth of a standard deviation in any study of few treated decisions, also where the propensity is the true one.
"""

from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from whybuy.causal.checks.pair import CHANCE, Bools, PairData
from whybuy.causal.residuals import Float64, Ints

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

MAX_SMD = 0.1
N_SHOWN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class CovariateBalance:
    """Absolute differences between treated and control decisions, in standard deviations of each covariate.

    Attributes
    ----------
    covariates : names of the covariates that differ most before, the largest first
    before, after : their differences, raw and under overlap weights
    max_before, max_after : the largest of all covariates, those not named included
    beyond_chance : the largest difference after weighting that chance does not explain, 0 where there is none above
        :data:`MAX_SMD`
    """

    covariates: tuple[str, ...]
    before: tuple[float, ...]
    after: tuple[float, ...]
    max_before: float
    max_after: float
    beyond_chance: float

    @classmethod
    def from_check(cls, found: dict[str, Any]) -> "CovariateBalance":
        """Read what a confirmed effect holds in ``checks["balance"]``."""
        rows = found.get("largest", ())
        return cls(
            covariates=tuple(row["covariate"] for row in rows),
            before=tuple(row["before"] for row in rows),
            after=tuple(row["after"] for row in rows),
            max_before=found["max_smd_before"],
            max_after=found["max_smd_after"],
            beyond_chance=found["max_smd_beyond_chance"],
        )

    def to_json(self) -> dict[str, Any]:
        """Return the check's fields; ``largest`` lists the named covariates."""
        out: dict[str, Any] = {
            "max_smd_before": self.max_before,
            "max_smd_after": self.max_after,
            "max_smd_beyond_chance": self.beyond_chance,
        }
        if self.covariates:
            rows = zip(self.covariates, self.before, self.after, strict=True)
            out["largest"] = [{"covariate": name, "before": b, "after": a} for name, b, a in rows]
        return out

    def to_frame(self) -> pd.DataFrame:
        """Return one row per named covariate: ``covariate, before, after``."""
        return pd.DataFrame({"covariate": self.covariates, "before": self.before, "after": self.after})

    def summary(self) -> str:
        """Return one sentence."""
        return (
            f"Treated and control decisions differed by up to {self.max_before:.2f} standard deviations; weighted, by "
            f"up to {self.max_after:.2f} ({MAX_SMD:g} is the limit, and what chance explains)."
        )

    def plot(self) -> "Figure":
        """Return the love plot: each named covariate's difference before and after, and the limit."""
        import plotly.graph_objects as go

        figure = go.Figure()
        for name, values, symbol in (("before", self.before, "circle-open"), ("after", self.after, "circle")):
            marks = {"symbol": symbol, "size": 10}
            figure.add_scatter(x=list(values), y=list(self.covariates), mode="markers", name=name, marker=marks)
        figure.add_vline(x=MAX_SMD, line_width=1, line_dash="dot")
        figure.update_yaxes(autorange="reversed")
        figure.update_xaxes(title_text="absolute difference, standard deviations", rangemode="tozero")
        return figure


class Balance:
    """Standardized mean differences of logged covariates, for any pair of one trial table.

    Parameters
    ----------
    X : (n, d) logged covariates of all trials
    names : (d,) what they are; nothing is listed by name where absent
    """

    def __init__(self, X: npt.NDArray[np.float32], names: list[str] | None = None) -> None:
        self.X, self.names = X, names
        mean = X.mean(axis=0, dtype=np.float64)
        squares = np.einsum("nd,nd->d", X, X, dtype=np.float64) / max(len(X), 1)
        sd = np.sqrt(np.maximum(squares - mean**2, 0))
        self.usable = sd > 1e-4
        self.sd = np.where(self.usable, sd, 1.0)

    def __call__(self, data: PairData, keep: Bools | None = None) -> dict[str, Any]:
        """Return the differences as a check holds them, see :meth:`covariates`."""
        return self.covariates(data, keep).to_json()

    def covariates(self, data: PairData, keep: Bools | None = None) -> CovariateBalance:
        """Return the differences in standard deviations, raw and under overlap weights.

        ``keep`` marks the rows of X that ``data`` is of; all where None.

        Source: Li, Morgan and Zaslavsky (JASA, 2018), section 3: overlap weights are 1 - e for treated, e for controls.
        """
        arms = [data.T, 1 - data.T, data.T * (1 - data.e), (1 - data.T) * data.e]
        weights = np.zeros((4, len(self.X)), np.float32)
        weights[:, slice(None) if keep is None else keep] = np.stack([w / w.sum() for w in arms])
        means = (weights @ self.X).astype(float)
        before, after = self._apart(means[0] - means[1]), self._apart(means[2] - means[3])
        far = np.flatnonzero(after > MAX_SMD)
        certain = far[self._exceeds_chance(far, weights[2:], means[2:, far], data, keep)]
        n_shown = min(N_SHOWN, int(self.usable.sum())) if self.names else 0
        shown = np.argsort(-before, kind="stable")[:n_shown].tolist()
        return CovariateBalance(
            covariates=tuple(self.names[i] for i in shown) if self.names else (),
            before=tuple(float(before[i]) for i in shown),
            after=tuple(float(after[i]) for i in shown),
            max_before=float(before.max(initial=0.0)),
            max_after=float(after.max(initial=0.0)),
            beyond_chance=float(after[certain].max(initial=0.0)),
        )

    def _exceeds_chance(
        self, columns: Ints, weights: npt.NDArray[np.float32], means: Float64, data: PairData, keep: Bools | None
    ) -> Bools:
        """Return which ``columns`` differ between the arms beyond chance, errors by user, Bonferroni over all of X."""
        if len(columns) == 0:
            return np.zeros(0, bool)
        rows = slice(None) if keep is None else keep
        x = self.X[:, columns][rows].astype(float)
        treated, control = (w[rows].astype(float)[:, None] for w in weights)
        influence = treated * (x - means[0]) - control * (x - means[1])
        starts = np.flatnonzero(np.diff(data.user, prepend=-1))
        error = np.sqrt((np.add.reduceat(influence, starts, axis=0) ** 2).sum(axis=0))
        limit = NormalDist().inv_cdf(1 - CHANCE / (2 * max(int(self.usable.sum()), 1)))
        found: Bools = np.abs(means[0] - means[1]) > limit * error
        return found

    def _apart(self, difference: Float64) -> Float64:
        """Return absolute differences in standard deviations; 0 for what does not vary, which cannot differ."""
        return np.where(self.usable, np.abs(difference) / self.sd, 0.0)


def balance_failures(found: dict[str, Any]) -> list[str]:
    """Return what is wrong, in words."""
    still = found["max_smd_beyond_chance"]
    if still <= MAX_SMD:
        return []
    return [f"Balance: a covariate still differs by {still:.2f} standard deviations, more than chance explains."]
