"""The estimators for plain arrays, so that any other package's answer can be put beside ours in three lines.

The same scores, folds by group and errors by group as on a log; the nuisances come from any scikit-learn estimator.
``splits`` of a result are the folds as DoubleML and EconML take them::

    ours = whybuy.estimators.partially_linear(X, T, Y, learner=Ridge(), folds=5)
    theirs = DoubleMLPLR(DoubleMLData.from_arrays(X, Y, T), Ridge(), Ridge(), draw_sample_splitting=False)
    print(ours.summary(), theirs.set_sample_splitting([ours.splits]).fit().summary)
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from whybuy.causal import average
from whybuy.causal.array_learners import LearnerChoice, Learners, out_of_fold
from whybuy.causal.array_rows import Rows
from whybuy.causal.checks import PairData, supported
from whybuy.causal.clusters import Float64, Ints, Ratio, clustered_ratio
from whybuy.causal.effects import Estimate
from whybuy.causal.grounds import MIN_EFFECTIVE_USERS
from whybuy.errors import ArraysError

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

__all__ = ["ArrayEffect", "ArraysError", "Learners", "interactive", "partially_linear"]

_HALF = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayEffect:
    """Effects of T on Y in plain arrays.

    Attributes
    ----------
    estimates : the estimands of the model, the first one being its main one; numbers are None where refused
    n_rows, n_groups : rows, and the groups that errors are by
    effective_groups : groups of equal weight that carry the first estimate
    share_supported : share of rows with e in [.01, .99]; None for a treatment that is not 0 or 1
    reasons : in words, what weakens the estimates or why there are none
    nuisances : (n,) out-of-fold predictions: "e" and "m", and "mu0" and "mu1" where arms are modeled
    fold : (n,) fold of every row
    """

    estimates: tuple[Estimate, ...]
    n_rows: int
    n_groups: int
    effective_groups: float
    share_supported: float | None
    reasons: tuple[str, ...]
    nuisances: dict[str, Float64]
    fold: Ints

    @property
    def estimate(self) -> float | None:
        """The first estimand's estimate, in units of Y per unit of T."""
        return self.estimates[0].estimate

    @property
    def std_error(self) -> float | None:
        """The first estimand's standard error, by group."""
        return self.estimates[0].std_error

    @property
    def splits(self) -> list[tuple[Ints, Ints]]:
        """The folds as (train, test) positions: ``cv`` of EconML, one repetition of DoubleML's sample splitting."""
        return [
            (np.flatnonzero(self.fold != k), np.flatnonzero(self.fold == k)) for k in range(int(self.fold.max()) + 1)
        ]

    def to_frame(self) -> pd.DataFrame:
        """Return one row per estimand, numbers only."""
        rows = [
            {
                "estimand": e.estimand,
                "estimate": e.estimate,
                "std_error": e.std_error,
                "ci_low": e.ci_low,
                "ci_high": e.ci_high,
                "p_value": e.p_value,
                "n_rows": self.n_rows,
                "n_groups": self.n_groups,
                "effective_groups": self.effective_groups,
            }
            for e in self.estimates
        ]
        return pd.DataFrame(rows)

    def summary(self) -> str:
        """Return the estimates with their intervals, and what weakens them."""
        known = [e for e in self.estimates if e.estimate is not None]
        parts = [
            f"{e.estimand}: {e.estimate:.6g} (standard error {e.std_error:.3g}, 95% interval "
            f"[{e.ci_low:.6g}, {e.ci_high:.6g}])."
            for e in known
        ] or ["Cannot tell."]
        parts.append(f"{self.n_rows} rows of {self.n_groups} groups ({self.effective_groups:.0f} effective).")
        return " ".join([*parts, *self.reasons])

    def plot(self) -> "Figure":
        """Return a Plotly figure: every estimand with its 95% interval."""
        import plotly.graph_objects as go

        known = [e for e in self.estimates if e.estimate is not None]
        bars = {"array": [(e.ci_high or 0) - (e.estimate or 0) for e in known]}
        figure = go.Figure(
            go.Scatter(x=[e.estimate for e in known], y=[e.estimand for e in known], error_x=bars, mode="markers")
        )
        figure.add_vline(x=0, line_width=1)
        figure.update_layout(title="Effect of T on Y", xaxis_title="units of Y per unit of T")
        return figure


def partially_linear(
    X: npt.ArrayLike,
    T: npt.ArrayLike,
    Y: npt.ArrayLike,
    *,
    groups: npt.ArrayLike | None = None,
    learner: LearnerChoice = "lightgbm",
    folds: int | npt.ArrayLike = 5,
) -> ArrayEffect:
    """Return the slope of residual Y on residual T, cross-fitted and clustered by group.

    That is sum RT RY / sum RT^2: the overlap-weighted effect (estimand "ato") for a treatment of 0 and 1, else the
    slope of a partially linear model ("slope").

    Parameters
    ----------
    X : (n, d) covariates known before the treatment, numpy or pandas
    T : (n,) treatment, binary or continuous; Y : (n,) outcome
    groups : (n,) what is sampled, the user say; every row is its own where None
    learner : "lightgbm", "ridge" (the scan's, its penalty chosen on folds left out), any scikit-learn estimator, or
        :class:`Learners` for two different ones; classifiers answer with probabilities
    folds : their number, or (n,) the fold of every row; a group is in one fold

    Raises
    ------
    ArraysError
        The arrays or the folds have a defect (see :meth:`whybuy.causal.array_rows.Rows.of`), or the treatment is
        perfectly predicted.

    Source: Robinson (Econometrica, 1988); Chernozhukov et al., Double/debiased machine learning (Econometrics Journal,
    2018), equation 4.4, algorithm DML2.
    """
    rows, learners = Rows.of(X, T, Y, groups, folds), _two(learner)
    e = out_of_fold(learners.treatment, rows, rows.T)
    rows.require_free(e)
    m = out_of_fold(learners.outcome, rows, rows.Y)
    data = PairData(rows.T, rows.Y, e, m, rows.group)
    found = clustered_ratio(data.RT * data.RY, data.RT**2, rows.group)
    estimates = (Estimate.of("ato" if rows.is_binary else "slope", found.value, found.std_error),)
    share = float(supported(e).mean()) if rows.is_binary else None
    return _judged(rows, estimates, found, share, {"e": e, "m": m})


def interactive(
    X: npt.ArrayLike,
    T: npt.ArrayLike,
    Y: npt.ArrayLike,
    *,
    groups: npt.ArrayLike | None = None,
    learner: LearnerChoice = "lightgbm",
    folds: int | npt.ArrayLike = 5,
) -> ArrayEffect:
    """Return ATE and ATT of a binary treatment by augmented inverse probability weights, clustered by group.

    The outcome is learned within each arm. Rows whose propensity lies outside [.01, .99] are left out; where these are
    more than 5%, both effects are refused (numbers None) and ``reasons`` says so. Parameters as for
    :func:`partially_linear`.

    Raises
    ------
    ArraysError
        As for :func:`partially_linear`, or T is not 0 or 1.

    Source: Chernozhukov et al., Double/debiased machine learning (Econometrics Journal, 2018), section 5.1.
    """
    rows, learners = Rows.of(X, T, Y, groups, folds), _two(learner)
    if not rows.is_binary:
        raise ArraysError.of(
            found="T takes values other than 0 and 1",
            needed="a binary treatment",
            do="Use partially_linear for a continuous one, or compare two values",
        )
    e = out_of_fold(learners.treatment, rows, rows.T)
    rows.require_free(e)
    mu0 = out_of_fold(learners.outcome, rows, rows.Y, use=rows.T < 1)
    mu1 = out_of_fold(learners.outcome, rows, rows.Y, use=rows.T > 0)
    # With m = (1 - e) mu0 + e mu1 and tau = mu1 - mu0 the score is the one of the shared parts.
    m = (1 - e) * mu0 + e * mu1
    data = PairData(rows.T, rows.Y, e, m, rows.group)
    estimates = average.averages(data, mu1 - mu0)
    weight = clustered_ratio(np.zeros(len(e)), 1.0, rows.group)
    share = float(supported(e).mean())
    return _judged(rows, estimates, weight, share, {"e": e, "m": m, "mu0": mu0, "mu1": mu1})


def _two(learner: LearnerChoice) -> Learners:
    return learner if isinstance(learner, Learners) else Learners(treatment=learner, outcome=learner)


def _judged(
    rows: Rows, estimates: tuple[Estimate, ...], found: Ratio, share: float | None, nuisances: dict[str, Float64]
) -> ArrayEffect:
    """Return the result with its reasons; without numbers where too few groups carry it."""
    reasons = []
    sizes = np.bincount(rows.group)
    largest = sizes.max() / len(rows.T)
    if largest >= _HALF:
        reasons.append(f"Group {rows.names[sizes.argmax()]!s} has {100 * largest:.0f}% of the rows.")
    if share is not None and share < 1:
        refused = "" if estimates[0].estimand == "ato" or estimates[0].estimate is not None else "; 95% are needed"
        reasons.append(f"{100 * share:.1f}% of the rows have a propensity within [.01, .99]{refused}.")
    if found.effective < MIN_EFFECTIVE_USERS:
        reasons.append(
            f"The estimate rests on {found.effective:.0f} groups' worth of information; {MIN_EFFECTIVE_USERS:.0f} are "
            "needed."
        )
        estimates = tuple(Estimate(estimand=e.estimand) for e in estimates)
    return ArrayEffect(
        estimates=estimates,
        n_rows=len(rows.T),
        n_groups=len(rows.names),
        effective_groups=found.effective,
        share_supported=share,
        reasons=tuple(reasons),
        nuisances=nuisances,
        fold=rows.fold,
    )
