"""What an estimate stands on, and what is missing where that is too little for any number."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]

MIN_OUTCOME_USERS = 20
MIN_EFFECTIVE_USERS = 30.0


@dataclass(frozen=True)
class Grounds:
    """What a pair's estimate stands on: treated decisions, users with each kind of outcome, effective users."""

    n_treated: int
    treated_outcome_users: int
    control_outcome_users: int
    effective_users: float

    @classmethod
    def of(cls, T: Float64, Y: Float64, user: npt.NDArray[np.int64], effective_users: float) -> "Grounds":
        """Return the grounds of (n,) treatments, outcomes and users (numbered from 0)."""
        treated, control = (int((np.bincount(user, arm * Y) > 0).sum()) for arm in (T, 1 - T))
        return cls(int(T.sum()), treated, control, effective_users)

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
        if self.control_outcome_users < MIN_OUTCOME_USERS:
            reasons.append(
                f"Only {self.control_outcome_users} users had the outcome after another decision; "
                f"{MIN_OUTCOME_USERS} are needed."
            )
        if not reasons and self.effective_users < MIN_EFFECTIVE_USERS:
            reasons.append(
                f"The estimate rests on {self.effective_users:.0f} users' worth of information; "
                f"{MIN_EFFECTIVE_USERS:.0f} are needed."
            )
        return reasons

    def to_json(self) -> dict[str, float | int]:
        """Return the grounds as a check."""
        return {
            "treated_outcome_users": self.treated_outcome_users,
            "control_outcome_users": self.control_outcome_users,
            "effective_users": self.effective_users,
        }
