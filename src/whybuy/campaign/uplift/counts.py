"""Uplift, gain and Qini curves counted from an experiment in which everybody had one chance of being treated.

People are sorted by a ranking that their own outcomes had no part in. Among the first k let n1 and n0 be treated and
not, y1 and y0 their summed outcomes:

    uplift(k) = y1 / n1 - y0 / n0        the effect among the first k (CausalML: cumulative lift)
    gain(k)   = k uplift(k)              outcomes added by treating them (CausalML: gain; scikit-uplift: uplift curve)
    qini(k)   = y1 - y0 n1 / n0          outcomes added among those of them who were treated

Points lie where the ranking's values change, so equal ones do not depend on the order of rows. "AUUC" names the area
under the gain curve in one package and the ratio to a perfect one in the next: the results here say which.

``per person``    gain / n and qini / (n of the treated) over the share of people; the area is between curve and
                  diagonal: outcomes added per person if every budget is equally likely. Ours, and the only one that
                  compares across data sets.
``perfect``       scikit-uplift's: area above the diagonal over that of a curve that knows the outcomes (binary alone);
                  an arm that nobody is in yet counts as a rate of 0.
``final``         CausalML's: the curve over its own absolute last value, area as the mean over 0 to n people; for the
                  gain above 0, for qini above the diagonal. It explodes where the whole effect is
                  near 0, and so do its intervals.

Source: Radcliffe (Direct Marketing Analytics Journal, 2007); Gutierrez and Gerardy, Causal inference and uplift
modelling: a review of the literature (PAPIs, 2017); Devriendt, Guns and Verbeke, Learning to rank for uplift modeling
(IEEE TKDE, 2022).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from whybuy.causal.clusters import Float64

Kind = Literal["uplift", "gain", "qini"]
Normalization = Literal["per person", "perfect", "final"]
AREAS: tuple[Literal["gain", "qini"], ...] = ("gain", "qini")
"""The curves whose area says something."""


@dataclass(frozen=True)
class Counts:
    """Sums over the first k people of a ranking, at every k where its values change.

    Attributes
    ----------
    k, n1, y1, y0 : (m,) people, those treated, summed outcomes of the treated and of the others
    """

    k: Float64
    n1: Float64
    y1: Float64
    y0: Float64

    @classmethod
    def of(cls, T: Float64, Y: Float64, ends: npt.NDArray[np.bool_]) -> "Counts":
        """Return the sums of sorted arms and outcomes, where a value of the ranking ``ends`` (n,)."""
        at = np.flatnonzero(ends)
        treated, responses, others = (np.cumsum(values).astype(float)[at] for values in (T, T * Y, (1 - T) * Y))
        return cls((at + 1).astype(float), treated, responses, others)

    @property
    def n0(self) -> Float64:
        """(m,) people who were not treated."""
        return self.k - self.n1

    def curve(self, kind: Kind, *, unseen: Literal["line", "zero"] = "line") -> tuple[Float64, Float64]:
        """Return (m + 1,) numbers of people from 0, and the curve there.

        Parameters
        ----------
        unseen : before both arms have somebody there is a straight "line" (of uplift, for the gain too) to where they
            do; or an arm without anybody counts as "zero"
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            if kind == "qini":
                value = self.y1 - self.y0 * self.n1 / self.n0
                if unseen == "zero":
                    value = np.where(self.n0 > 0, value, self.y1)
            else:
                rates = self.y1 / self.n1, self.y0 / self.n0
                if unseen == "zero":
                    rates = np.where(self.n1 > 0, rates[0], 0.0), np.where(self.n0 > 0, rates[1], 0.0)
                value = rates[0] - rates[1]
        k, value = np.append(0.0, self.k), np.append(0.0, value)
        told = np.isfinite(value)
        value = np.interp(k, k[told], value[told])
        return k, value * k if kind == "gain" else value


def perfect_ranking(T: Float64, Y: Float64, kind: Kind) -> Float64:
    """Return (n,) the ranking of somebody who knows the outcomes, as scikit-uplift ranks for its perfect curves.

    For qini, the treated who responded come first and the others who responded last. For the gain, those whose outcome
    agrees with their arm come first, ties broken towards the kind of disagreement that is more frequent.
    """
    if kind == "qini":
        return Y * T - Y * (1 - T)
    others_responded, treated_did_not = ((Y > 0) & (T < 1)).sum(), ((Y < 1) & (T > 0)).sum()
    return 2.0 * (Y == T) + (Y if others_responded > treated_did_not else T)


def sorted_counts(T: Float64, Y: Float64, priority: Float64) -> Counts:
    """Return the sums over the people of highest ``priority`` (n,)."""
    order = np.argsort(-priority, kind="stable")
    sorted_priority = priority[order]
    return Counts.of(T[order], Y[order], np.append(np.diff(sorted_priority) != 0, True))


def area(T: Float64, Y: Float64, counts: Counts, kind: Kind, normalization: Normalization) -> float:
    """Return the area of a ranking's curve; see the module for what each ``normalization`` divides by.

    NaN where it would divide by 0.

    Parameters
    ----------
    T, Y : (n,) arms and outcomes of the people whose ``counts`` these are, in any order
    """
    if normalization == "perfect":
        best = sorted_counts(T, Y, perfect_ranking(T, Y, kind))
        return _above(*counts.curve(kind, unseen="zero")) / _above(*best.curve(kind, unseen="zero"))
    k, value = counts.curve(kind)
    if normalization == "final":
        if value[-1] == 0:
            return float("nan")
        everybody = np.arange(k[-1] + 1)
        curve = np.interp(everybody, k, value) / abs(value[-1])
        return float((curve - (curve[-1] * everybody / k[-1] if kind == "qini" else 0)).mean())
    return _above(k / k[-1], value / whole(counts, kind))


def whole(counts: Counts, kind: Kind) -> float:
    """Return what a curve is divided by to be per person: people for the gain, treated people for qini."""
    return {"uplift": 1.0, "gain": float(counts.k[-1]), "qini": float(counts.n1[-1])}[kind]


def _above(x: Float64, y: Float64) -> float:
    """Return the area between a curve and the straight line from 0 to its end."""
    return float(np.trapezoid(y, x) - 0.5 * x[-1] * y[-1])
