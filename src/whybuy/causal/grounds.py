"""What an estimate stands on, and what is missing where that is too little for any number."""

from dataclasses import asdict, dataclass, replace

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]

MIN_OUTCOME_USERS = 20
MIN_EFFECTIVE_USERS = 30.0
MIN_TREATMENT_LEFT = 0.01
"""Of the treatment's variance, so much must be left by what predicts it."""


@dataclass(frozen=True)
class Grounds:
    """What a pair's estimate stands on.

    Attributes
    ----------
    n_treated : treated decisions
    treated_outcome_users, control_outcome_users : users with the outcome after either kind of decision
    effective_users : users of equal weight that carry the estimate
    treatment_left : of the treatment's variance, the share that is left by the propensity; None where not asked
    same_as : another behavior that happens at the same decisions and no other
    """

    n_treated: int
    treated_outcome_users: int
    control_outcome_users: int
    effective_users: float
    treatment_left: float | None = None
    same_as: str | None = None

    @classmethod
    def of(cls, T: Float64, Y: Float64, user: npt.NDArray[np.int64], effective_users: float) -> "Grounds":
        """Return the grounds of (n,) treatments, outcomes and users (numbered from 0)."""
        treated, control = (int((np.bincount(user, arm * Y) > 0).sum()) for arm in (T, 1 - T))
        return cls(int(T.sum()), treated, control, effective_users)

    def compared(self, n_trials: int, left: float, *, same_as: str | None) -> "Grounds":
        """Return the grounds with what says whether the treatment can be compared at all.

        Parameters
        ----------
        left : sum of squared treatment residuals
        """
        varies = self.n_treated * (1 - self.n_treated / n_trials) if n_trials else 0.0
        return replace(self, treatment_left=left / varies if varies > 0 else 0.0, same_as=same_as)

    def missing(self) -> list[str]:
        """Return what is missing, in words; empty where the grounds suffice."""
        reasons = []
        if self.n_treated == 0:
            reasons.append("No decision of a trial is this behavior and not the outcome itself.")
        elif self.treated_outcome_users < MIN_OUTCOME_USERS:
            reasons.append(
                f"Only {self.treated_outcome_users} users had the outcome after the behavior; "
                f"{MIN_OUTCOME_USERS} are needed."
            )
        if self.same_as is not None:
            reasons.append(f"It happens together with {self.same_as} and never without: their effects are one.")
        if self.control_outcome_users < MIN_OUTCOME_USERS:
            reasons.append(
                f"Only {self.control_outcome_users} users had the outcome after another decision; "
                f"{MIN_OUTCOME_USERS} are needed."
            )
        if not reasons and self.treatment_left is not None and self.treatment_left < MIN_TREATMENT_LEFT:
            reasons.append(
                f"The behavior is perfectly predicted: {100 * self.treatment_left:.1f}% of its variance is left by "
                f"history; {100 * MIN_TREATMENT_LEFT:.0f}% is needed to compare."
            )
        if not reasons and self.effective_users < MIN_EFFECTIVE_USERS:
            reasons.append(
                f"The estimate rests on {self.effective_users:.0f} users' worth of information; "
                f"{MIN_EFFECTIVE_USERS:.0f} are needed."
            )
        return reasons

    def to_json(self) -> dict[str, float | int | str | None]:
        """Return the grounds as a check."""
        found = asdict(self)
        del found["n_treated"]
        return found
