"""The certificate: what was planted, what was estimated, and whether the adjustment held."""

import math
from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from whybuy.causal.clusters import clustered_ratio
from whybuy.causal.effects import Z95, Verdict

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

Kind = Literal["null", "non-null"]
Finding = Literal["holds", "does not hold", "cannot tell"]
KINDS: tuple[Kind, ...] = ("null", "non-null")
LOWEST_COVERAGE = 0.92
"""Of 95% intervals: a coverage that is surely lower says that the adjustment does not hold."""
KNOWN_ABOVE = 0.85
"""Coverage must be known to be higher than this before a certificate says that the adjustment holds."""
FALSE_STRONG = 0.05
"""Of null pairs: a share of strong ones that is surely higher says that it does not."""
FULL = 200
"""Pairs of a full certificate."""

TESTS_NOT = (
    "It certifies the adjustment for what is logged, on this log. Hidden confounding is not tested: the marks follow "
    "logged history alone, and a cause of buying that the log does not hold would not show here."
)


def wilson(share: float, n: float) -> tuple[float, float]:
    """Return the 95% score interval of a share of ``n``.

    Source: Wilson, Probable inference, the law of succession, and statistical inference (JASA, 1927).
    """
    if n == 0:
        return 0.0, 1.0
    z2 = Z95**2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 * math.sqrt(share * (1 - share) / n + z2 / (4 * n**2)) / (1 + z2 / n)
    # At the ends of [0, 1] rounding would leave the interval by a hair.
    return (0.0 if share == 0 else middle - half), (1.0 if share == 1 else middle + half)


def effective_pairs(hits: Sequence[bool], marker: Sequence[Hashable]) -> float:
    """Return how many independent pairs would tell as much about the share of hits.

    Pairs of one marker share its decisions. No fewer than there are markers; all of them where every pair is a hit or
    none is, since then nothing tells how alike they are.

    Source: Korn and Graubard, Confidence intervals for proportions with small expected number of positive counts
    estimated from survey data (Survey Methodology, 1998), the effective sample size.
    """
    share = sum(hits) / len(hits) if hits else 0.0
    if share in (0.0, 1.0):
        return float(len(hits))
    _, cluster = np.unique([str(name) for name in marker], return_inverse=True)
    n_markers = int(cluster.max()) + 1
    error = clustered_ratio(np.array(hits, float), np.ones(len(hits)), cluster).std_error
    told = share * (1 - share) / error**2 if error > 0 else float(n_markers)
    return float(np.clip(told, n_markers, len(hits))) if math.isfinite(told) else float(n_markers)


class Errors(NamedTuple):
    """How far the answers to a pair are from its truth: estimate, ends of its interval, co-occurrence."""

    adjusted: float
    low: float
    high: float
    naive: float

    @property
    def is_covered(self) -> bool:
        """Whether the 95% interval holds the truth."""
        return self.low <= 0.0 <= self.high


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkedPair:
    """One marker on one outcome in one copy of the log; effects are outcomes per decision within the horizon.

    Attributes
    ----------
    copy : which copy, from 1; marker : the behavior that the marks are
    like : the behavior of the log that the marker is as frequent and as predictable as
    frequency, explained : share of decisions marked, and of the marks' entropy that history explains
    n_treated : marked decisions among the trials
    naive, estimate, std_error, ci_low, ci_high : None where the pair was refused
    truth, truth_error : and its Monte Carlo error; both exactly 0 for a null pair
    """

    copy: int
    marker: str
    outcome: str
    kind: Kind
    like: str
    frequency: float
    explained: float
    n_treated: int
    naive: float | None
    estimate: float | None
    std_error: float | None
    ci_low: float | None
    ci_high: float | None
    truth: float
    truth_error: float
    verdict: Verdict

    @property
    def errors(self) -> Errors | None:
        """What the answers lack; None where there was none."""
        if self.estimate is None or self.ci_low is None or self.ci_high is None or self.naive is None:
            return None
        return Errors(*(x - self.truth for x in (self.estimate, self.ci_low, self.ci_high, self.naive)))


@dataclass(frozen=True, slots=True, kw_only=True)
class KindResult:
    """What all pairs of one kind say together.

    Attributes
    ----------
    n_pairs, n_refused : pairs with an estimate, and those without
    bias, rmse : mean and root mean square of estimate minus truth; None where there is no pair
    rms_z : root mean square of (estimate - truth) / standard error: 1 where the errors are as large as they say
    coverage, coverage_low, coverage_high : of 95% intervals, with its Wilson interval at :func:`effective_pairs`
    naive_bias, naive_rmse : the same of co-occurrence
    n_strong, strong_low : pairs called strong, and the lower end of the Wilson interval of their share
    """

    kind: Kind
    n_pairs: int
    n_refused: int
    bias: float | None
    rmse: float | None
    rms_z: float | None
    coverage: float | None
    coverage_low: float
    coverage_high: float
    naive_bias: float | None
    naive_rmse: float | None
    n_strong: int
    strong_low: float

    @classmethod
    def of(cls, kind: Kind, pairs: Sequence[MarkedPair]) -> "KindResult":
        """Sum up the pairs of a kind."""
        mine = [p for p in pairs if p.kind == kind]
        found = [(p.errors, p.std_error) for p in mine if p.errors is not None]
        rows = [(errors.adjusted, errors.naive, std_error) for errors, std_error in found]
        adjusted, naive, std_error = np.array(rows, float).reshape(-1, 3).T
        n, marker = len(found), [(p.copy, p.marker) for p in mine if p.errors is not None]
        covered = [errors.is_covered for errors, _ in found]
        strong = [p.verdict == "strong" for p in mine if p.errors is not None]
        coverage = sum(covered) / n if n else None
        low, high = wilson(coverage or 0.0, effective_pairs(covered, marker))
        return cls(
            kind=kind,
            n_pairs=n,
            n_refused=len(mine) - n,
            bias=float(adjusted.mean()) if n else None,
            rmse=_root_mean_square(adjusted),
            rms_z=_root_mean_square(adjusted / std_error),
            coverage=coverage,
            coverage_low=low,
            coverage_high=high,
            naive_bias=float(naive.mean()) if n else None,
            naive_rmse=_root_mean_square(naive),
            n_strong=sum(strong),
            strong_low=wilson(sum(strong) / n if n else 0.0, effective_pairs(strong, marker))[0],
        )

    @property
    def finding(self) -> Finding:
        """Whether the adjustment holds for pairs of this kind."""
        called_strong = self.kind == "null" and self.strong_low > FALSE_STRONG
        if self.n_pairs and (self.coverage_high < LOWEST_COVERAGE or called_strong):
            return "does not hold"
        return "holds" if self.coverage_low >= KNOWN_ABOVE else "cannot tell"


def _root_mean_square(values: np.ndarray) -> float | None:
    return math.sqrt(float((values**2).mean())) if len(values) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """Whether the adjustment holds on this log, told by behaviors whose true effects are known.

    Attributes
    ----------
    horizon : within which outcomes count
    pairs : every marker on every outcome in every copy
    notes : what the certificate lacks and why, in words
    """

    horizon: str
    pairs: tuple[MarkedPair, ...]
    notes: tuple[str, ...] = ()

    @property
    def kinds(self) -> tuple[KindResult, ...]:
        """Null pairs and the others, summed up."""
        return tuple(KindResult.of(kind, self.pairs) for kind in KINDS)

    @property
    def finding(self) -> Finding:
        """Whether the adjustment holds: for every kind, else what the worst of them says."""
        said = {kind.finding for kind in self.kinds}
        return next(word for word in ("does not hold", "cannot tell", "holds") if word in said)

    @property
    def n_copies(self) -> int:
        """Copies of the log that were trained on."""
        return len({p.copy for p in self.pairs})

    @property
    def n_markers(self) -> int:
        """Markers, all copies together."""
        return len({(p.copy, p.marker) for p in self.pairs})

    def to_frame(self) -> pd.DataFrame:
        """Return one row per pair: names and numbers."""
        return pd.DataFrame([asdict(p) for p in self.pairs])

    def kinds_frame(self) -> pd.DataFrame:
        """Return one row per kind of pair."""
        return pd.DataFrame([asdict(kind) for kind in self.kinds])

    def summary(self) -> str:
        """Return what the certificate says and what it does not."""
        said = {
            "holds": "The adjustment holds on this log",
            "does not hold": "The adjustment does not hold on this log",
            "cannot tell": "Too few pairs to tell whether the adjustment holds on this log",
        }[self.finding]
        lines = [
            f"{said}: {len(self.pairs)} pairs of {self.n_markers} planted behaviors and their outcomes, copies: "
            f"{self.n_copies}."
        ]
        lines += [_in_words(kind) for kind in self.kinds if kind.n_pairs or kind.n_refused]
        return "\n".join([*lines, *self.notes, TESTS_NOT])

    def plot(self) -> "Figure":
        """Return a Plotly figure: estimate minus truth with 95% intervals, the naive answer's error beside."""
        import plotly.graph_objects as go

        from whybuy.causal.certificate.picture import add_errors

        return add_errors(go.Figure(layout={"plot_bgcolor": "rgba(0,0,0,0)"}), self)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON; what is said of kinds follows from the pairs and stands there for readers."""
        kinds = [{**asdict(kind), "finding": kind.finding} for kind in self.kinds]
        return {
            "finding": self.finding,
            "horizon": self.horizon,
            "n_copies": self.n_copies,
            "n_markers": self.n_markers,
            "kinds": kinds,
            "pairs": [asdict(p) for p in self.pairs],
            "notes": list(self.notes),
            "tests_not": TESTS_NOT,
        }

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> "Certificate":
        """Read what :meth:`to_json` wrote."""
        pairs = tuple(MarkedPair(**p) for p in raw["pairs"])
        return cls(horizon=raw["horizon"], pairs=pairs, notes=tuple(raw["notes"]))


def _in_words(kind: KindResult) -> str:
    """Return one line about a kind of pair; effects in 100 decisions."""
    refused = f" ({kind.n_refused} more refused)" if kind.n_refused else ""
    if kind.bias is None or kind.rmse is None or kind.naive_rmse is None:
        return f"{kind.kind} pairs: none with an estimate{refused}."
    return (
        f"{kind.kind} pairs: {kind.n_pairs}{refused}; 95% intervals hold the truth in {kind.coverage:.1%} "
        f"[{kind.coverage_low:.1%}, {kind.coverage_high:.1%}]; bias {100 * kind.bias:+.3f} in 100, root mean square z "
        f"{kind.rms_z:.2f}; root mean square error {100 * kind.rmse:.2f} in 100, of co-occurrence "
        f"{100 * kind.naive_rmse:.2f}; called strong: {kind.n_strong}."
    )
