"""How well rankings foretold what people went on to buy, and all that has to be said beside it.

Nothing in here is about what showing adds: words and figures say prediction, and who is best at it is no winner.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from whybuy.recommend.metrics import Average

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

HIT_RATE, NDCG, COVERAGE, NOVELTY, MISCALIBRATION = "hit_rate", "ndcg", "coverage", "novelty", "miscalibration"
BY_USER = (HIT_RATE, NDCG, NOVELTY, MISCALIBRATION)
"""Metrics that every user has a value of."""
PREDICTION = (HIT_RATE, NDCG)
"""Those that say how well was foretold; the others say what else a ranking does."""
ASSUMPTION = (
    "This is prediction: what people took by themselves, not what showing adds. Without impressions and their "
    "propensities nobody can tell that."
)
FEWEST_TELLING = 20
"""Fewer users on whom two rankings differ cannot tell them apart: resamples of a handful leave 0 out too easily."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """Where a log was cut, and whom it is judged on.

    Attributes
    ----------
    at : the time of the cut as text, or its position in a log without times
    until : the same of the last purchase that is judged
    n_users : who are judged, drawn from ``n_buyers`` who had an event before and bought an item after
    n_taken : users' items bought after, one for each pair
    n_again : of those, bought by the user before as well
    n_unknown : who bought after and had no event before
    """

    at: str
    until: str
    n_users: int
    n_buyers: int
    n_taken: int
    n_again: int
    n_unknown: int


class Numbers(NamedTuple):
    """An estimate and its 95% interval, whose ends are None where there is none."""

    estimate: float
    ci_low: float | None
    ci_high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """One ranking's metrics.

    Attributes
    ----------
    averages : mean over users with its 95% interval, by metric of ``BY_USER``; None where fewer than two have a value
    coverage : share of the catalog that anybody is shown
    """

    ranking: str
    averages: dict[str, Average | None]
    coverage: float

    def numbers(self, metric: str) -> Numbers | None:
        """Return a metric, None where it cannot be told.

        It has no interval where it is coverage, and where everybody has the same value.
        """
        if metric == COVERAGE:
            return Numbers(self.coverage, None, None)
        found = self.averages[metric]
        if found is None:
            return None
        ends = (None, None) if found.low == found.high else (found.low, found.high)
        return Numbers(found.estimate, *ends)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        told = {metric: self.numbers(metric) for metric in (*BY_USER, COVERAGE)}
        return {"ranking": self.ranking, **{metric: found and found._asdict() for metric, found in told.items()}}


@dataclass(frozen=True, slots=True, kw_only=True)
class RankingDifference:
    """What one ranking has more than another one, on the same users, with its 95% interval.

    Attributes
    ----------
    n_telling : users on whom the two differ
    """

    metric: str
    ranking: str
    against: str
    estimate: float
    low: float
    high: float
    n_telling: int

    def turned(self) -> "RankingDifference":
        """Return the same the other way round."""
        return RankingDifference(
            metric=self.metric,
            ranking=self.against,
            against=self.ranking,
            estimate=-self.estimate,
            low=-self.high,
            high=-self.low,
            n_telling=self.n_telling,
        )

    @property
    def is_more(self) -> bool:
        """Whether it is told to be above 0."""
        return self.low > 0 and self.n_telling >= FEWEST_TELLING

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {
            "metric": self.metric,
            "ranking": self.ranking,
            "against": self.against,
            "estimate": self.estimate,
            "ci_low": self.low,
            "ci_high": self.high,
            "n_telling": self.n_telling,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """Rankings against what people went on to buy after a cut.

    Attributes
    ----------
    scores : of every ranking, the one of ``whybuy recommend`` first
    differences : of every two rankings, in the metrics of ``PREDICTION``
    refused : ranking -> why there is none on this log
    k : items of a ranking
    lack : why policies cannot be judged on this log
    notes : what else has to be known, in words
    """

    scores: tuple[Scores, ...]
    differences: tuple[RankingDifference, ...]
    refused: dict[str, str]
    cut: Cut
    k: int
    lack: str
    notes: tuple[str, ...]

    def __getitem__(self, ranking: str) -> Scores:
        """Return the metrics of a ranking; KeyError if it was not compared."""
        return {scores.ranking: scores for scores in self.scores}[ranking]

    def difference(self, ranking: str, against: str, metric: str = NDCG) -> RankingDifference:
        """Return what ``ranking`` has more than ``against``; KeyError if one of them was not compared."""
        told = {(found.metric, found.ranking, found.against): found for found in self.differences}
        if (metric, against, ranking) in told:
            return told[metric, against, ranking].turned()
        return told[metric, ranking, against]

    @property
    def names(self) -> dict[str, str]:
        """The metrics in words, in the order in which they are shown."""
        return {
            HIT_RATE: f"hit rate@{self.k}",
            NDCG: f"NDCG@{self.k}",
            COVERAGE: "coverage",
            NOVELTY: "novelty",
            MISCALIBRATION: "miscalibration",
        }

    @property
    def foretells_best(self) -> str | None:
        """The ranking whose NDCG is above that of each of the others, by intervals that exclude 0; None without one."""
        for one in self.scores:
            others = [other.ranking for other in self.scores if other.ranking != one.ranking]
            if all(self.difference(one.ranking, other).is_more for other in others):
                return one.ranking
        return None

    def verdict(self) -> str:
        """Return which ranking foretells best, or why none is said to, in words."""
        return " ".join([self._best_in_words(), *(f"No ranking {name}: {why}." for name, why in self.refused.items())])

    def _best_in_words(self) -> str:
        metric, best = self.names[NDCG], self.foretells_best
        if best is not None:
            return f"{best} foretells purchases best: its {metric} is above that of each other ranking. {ASSUMPTION}"
        value = {scores.ranking: found.estimate for scores in self.scores if (found := scores.averages[NDCG])}
        highest = max(value, key=lambda ranking: value[ranking])
        rest = [scores.ranking for scores in self.scores if scores.ranking != highest]
        rivals = ", ".join(other for other in rest if not self.difference(highest, other).is_more)
        return (
            f"No ranking is told to foretell purchases best: {highest} has the highest {metric}, and {rivals} may be "
            f"as good. {ASSUMPTION}"
        )

    def to_frame(self) -> pd.DataFrame:
        """Return one row per ranking and metric, numbers only; NaN where there is none."""
        rows = [
            (scores.ranking, metric, *(scores.numbers(metric) or (None, None, None)))
            for scores in self.scores
            for metric in self.names
        ]
        frame = pd.DataFrame(rows, columns=["ranking", "metric", *Numbers._fields])
        return frame.astype(dict.fromkeys(Numbers._fields, float))

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {
            "kind": "held_out",
            "why_no_policies": self.lack,
            "k": self.k,
            "cut": {name: getattr(self.cut, name) for name in Cut.__slots__},
            "rankings": [scores.to_json() for scores in self.scores],
            "refused": [{"ranking": name, "reason": why} for name, why in self.refused.items()],
            "differences": [found.to_json() for found in self.differences],
            "foretells_best": self.foretells_best,
            "verdict": self.verdict(),
            "assumption": ASSUMPTION,
            "notes": list(self.notes),
        }

    def summary(self) -> str:
        """Return the metrics, which ranking foretells best, and what has to be known, in words."""
        lines = [
            f"{scores.ranking}: {', '.join(f'{name} {_text(scores, metric)}' for metric, name in self.names.items())}"
            for scores in self.scores
        ]
        return "\n".join([f"No policy can be judged: {self.lack}", *lines, self.verdict(), *self.notes])

    def plot(self) -> "Figure":
        """Return a Plotly figure: a panel per metric, and one of NDCG's differences from the first ranking."""
        from whybuy.recommend.backtest.panels import panels

        return panels(self)


def _text(scores: Scores, metric: str) -> str:
    found = scores.numbers(metric)
    if found is None:
        return "cannot be told"
    ends = "" if found.ci_low is None else f" [{found.ci_low:.4f}, {found.ci_high:.4f}]"
    return f"{found.estimate:.4f}{ends}"
