"""The answer to "whom does it move": effects of persons, and what they are worth on people who taught nothing."""

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

import numpy.typing as npt
import pandas as pd

from whybuy.campaign.uplift.choice import Candidate
from whybuy.campaign.uplift.deciles import deciles_frame
from whybuy.campaign.uplift.effects import EffectModel
from whybuy.campaign.uplift.judge import Judgment
from whybuy.campaign.uplift.rows import Bools
from whybuy.causal.array_rows import matrix
from whybuy.causal.clusters import Float64
from whybuy.causal.effects import Estimate

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


@dataclass(frozen=True, slots=True, kw_only=True)
class Uplift:
    """By how much a treatment changes each person's outcome.

    Attributes
    ----------
    learner : the chosen one; candidates : how each did among the people who chose
    effect : (n,) foretold effect of every row, by learners that did not see its user, in units of the outcome. It ranks
        and is right on average; it is nobody's own effect
    judging : (n,) the rows of users who judged; the others taught and chose
    judgment : what the effects are worth, on ``judging`` alone
    reasons : what weakens the answer, in words
    n_rows, n_users : of all
    model : from (m, d) covariates to (m,) effects; see :meth:`predict`
    """

    learner: str
    candidates: tuple[Candidate, ...]
    effect: Float64
    judging: Bools
    judgment: Judgment
    reasons: tuple[str, ...]
    n_rows: int
    n_users: int
    model: EffectModel = field(repr=False)

    def predict(self, X: npt.ArrayLike) -> Float64:
        """Return (m,) foretold effects of other people, by the learner that was taught on those who did not judge.

        Parameters
        ----------
        X : (m, d) the same columns as were passed to :func:`whybuy.estimators.uplift`

        Raises
        ------
        ArraysError
            X is no (m, d) array of finite numbers.
        """
        return self.model(matrix(X))

    def to_frame(self) -> pd.DataFrame:
        """Return one row per tenth of the ranking, numbers only: foretold and found effects with intervals."""
        return deciles_frame(self.judgment.deciles)

    def candidates_frame(self) -> pd.DataFrame:
        """Return one row per learner, numbers only."""
        return pd.DataFrame([asdict(candidate) for candidate in self.candidates])

    def summary(self) -> str:
        """Return whom the treatment moves, whether that can be told, and what it rests on."""
        found = self.judgment
        dogs = found.sleeping_dogs
        learner = (
            "the mean of the S, X and R learners" if self.learner == "sxr" else f"the {self.learner.upper()} learner"
        )
        parts = [
            f"Average effect {_interval(found.average)} per person. Effects by {learner}, "
            f"judged on {found.ranked.n_users:,} users who did not teach it.",
            found.ranked.summary(),
            found.calibration.summary(),
        ]
        if dogs.found:
            parts.append(
                f"Leave alone {100 * dogs.share:.0f}% of the people: the treatment puts them off "
                f"({_interval(dogs.effect)} each)."
            )
        return " ".join([*parts, *self.reasons])

    def plot(self) -> "Figure":
        """Return a Plotly figure: what treating the top share adds, by the ranking and at random."""
        return self.judgment.ranked.plot()


def _interval(e: Estimate) -> str:
    if e.estimate is None or e.ci_low is None or e.ci_high is None:
        return "not told"
    return f"{e.estimate:+.4g} [{e.ci_low:.4g}, {e.ci_high:.4g}]"
