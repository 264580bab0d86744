"""The trials of a question about a dose, drawn from a log: sessions with a number, or decisions with a price."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from whybuy.causal.confirm import TrialTable, gather
from whybuy.causal.designs import Holding
from whybuy.causal.measures import Number, Price
from whybuy.causal.question import Question
from whybuy.causal.trials import TrialSource
from whybuy.errors import QuestionError
from whybuy.progress import Report, quiet

Float64 = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

STEP = 0.1
"""Of the usual price: the unit of a price's slope."""

_MIN_VARYING = 0.02
"""Of the decisions, so many must have met another price than the usual one."""

_N_FOLDS = 3
_DAY_MS = 86_400_000


@dataclass(frozen=True)
class DoseTrials:
    """Trials that differ in a dose.

    Attributes
    ----------
    X : (n, d) known before; dose : (n,) in units of the slope; Y : (n,) outcome
    clusters : what errors are by, users first, each (n,) numbered from 0 without gaps
    folds : (n,) folds of each kind of cluster
    period : (n,) trials are compared within it; one for all where time has no part in the dose
    """

    X: Floats
    dose: Float64
    Y: Float64
    clusters: tuple[Ints, ...]
    folds: tuple[Ints, ...]
    period: Ints

    def rows(self, keep: Bools) -> "DoseTrials":
        """Return the trials ``keep``, clusters numbered again."""
        numbered = tuple(np.unique(cluster[keep], return_inverse=True)[1] for cluster in self.clusters)
        return DoseTrials(
            self.X[keep],
            self.dose[keep],
            self.Y[keep],
            numbered,
            tuple(fold[keep] for fold in self.folds),
            self.period[keep],
        )

    @property
    def naive(self) -> float:
        """The slope of the plain regression of outcome on dose."""
        around = self.dose - self.dose.mean()
        return float(around @ self.Y / (around @ around))


def numbered(question: Question, source: TrialSource, *, report: Report = quiet) -> DoseTrials:
    """Return sessions with how often they begin with the behavior; those with the outcome in them are left out."""
    measure = Number(question.treatment, source.store.vocabulary)
    table, keep = _gathered(question, replace(source, measure=measure), report)
    trials = _of_table(table, question, table.measured[:, 0]).rows(keep)
    if np.ptp(trials.dose) == 0:
        raise QuestionError.of(
            found=f"Every session that is a trial begins with {question.treatment} {trials.dose[0]:.0f} times",
            needed="sessions that differ in it",
            do="Ask about a commoner behavior, or more decisions, as in --design session:5",
        )
    return trials


def priced(
    question: Question, source: TrialSource, prices: Price, *, sign: int, seed: int, report: Report = quiet
) -> DoseTrials:
    """Return decisions that are a view, with its price in tenths of the usual one, upward or downward.

    Prices are against the item's own usual one and compared within a day. What tells items apart is not among what was
    known before: a learner that knows an item's other prices, which are around the usual one by construction, would
    guess the opposite of the one that it must not see.

    Raises
    ------
    QuestionError
        Views have no price of their own, or it is nearly always the usual one.
    """
    source = replace(source, measure=prices, design=Holding(question.treatment))
    table, keep = _gathered(question, source, report)
    hits, known, relative, spell = table.measured.T
    keep &= (hits == 1) & (known == 1)
    off = float((np.abs(relative[keep]) > 0.005).mean()) if keep.any() else 0.0
    if off < _MIN_VARYING:
        raise QuestionError.of(
            found=f"{int(keep.sum()):,} decisions are {question.treatment} at a price that is known, {100 * off:.1f}% "
            "of them at another than the item's usual one",
            needed=f"prices on views, of which {100 * _MIN_VARYING:.0f}% or more are not the usual one",
            do="Map `price` on the events that are views, or ask about items whose price changed",
        )
    trials = _of_table(table, question, sign * relative / STEP)
    trials = replace(trials, period=(table.ts_ms - source.protocol.start_ms) // _DAY_MS).rows(keep)
    _, cluster = np.unique(spell[keep], return_inverse=True)
    # Dealt at random: by number all items' spells of one day could be in one fold, and that day's demand with them.
    dealt = np.random.default_rng(seed).permutation(int(cluster.max()) + 1) % _N_FOLDS
    return replace(trials, clusters=(*trials.clusters, cluster), folds=(*trials.folds, dealt[cluster]))


def _gathered(question: Question, source: TrialSource, report: Report) -> tuple[TrialTable, Bools]:
    """Return the trials in memory, and which of them do not hold the outcome themselves."""
    table = gather(source, list(question.behaviors), [question.outcome], report=report)
    return table, table.is_behavior[question.outcome] == 0


def _of_table(table: TrialTable, question: Question, dose: Float64) -> DoseTrials:
    Y = table.outcome[question.outcome].astype(float)
    return DoseTrials(table.X, dose, Y, (table.user,), (table.fold,), np.zeros(len(table), np.int64))
