"""Campaigns that overlap in time: the effect of one with the others held as they were.

Where people who are sent one campaign are sent others in the same days, comparing them with people who were not tells
the effect of the whole mailing season. All campaigns received within the window therefore enter one linear model of
residuals; what came before them is in the covariates of all. A campaign that always comes together with another has
no effect of its own that a log could tell (rank check).

What it cannot know: a campaign sent later within the window to those who reacted to this one lies between it and the
outcome, and its part is taken off. So a joint effect is at most suggestive.

Source: Robinson, Root-N-consistent semiparametric regression (Econometrica, 1988), equation 3, for several treatments;
errors clustered by user.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from whybuy.campaign.compare import Comparison, crossfit_mean
from whybuy.campaign.estimate import Float64, Ints
from whybuy.campaign.exposures import Exposures
from whybuy.campaign.history import Bools
from whybuy.campaign.parts import PartEffect, thin, with_holm
from whybuy.causal.effects import Estimate
from whybuy.causal.grounds import MIN_OUTCOME_USERS

MATERIAL = 0.05
"""The effect is told jointly where so many of the sent or of the controls received another campaign in the window."""
MIN_LEFT = 0.05
"""Share of a treatment's residual variance that other campaigns must leave, so that there is something to compare."""
_SENT_LATER = "It came days later, to people picked by what they did in between; its own answer tells its effect."
MAX_JOINT = 12
"""At most so many other campaigns are told jointly, those that reached most people."""


@dataclass(frozen=True)
class Joint:
    """Other campaigns received within the window.

    Attributes
    ----------
    names : those told jointly
    received : (n, k) who received them
    residuals : (n, k) what the covariates do not tell of that
    later : those that came days after the moment
    left : share of this campaign's residual variance that the others leave
    shares : of the sent and of the controls who received another one within the window
    """

    names: tuple[str, ...]
    received: Float64
    residuals: Float64
    later: frozenset[str]
    left: float
    shares: tuple[float, float]

    @property
    def is_material(self) -> bool:
        """Whether so many received others that the effect alone would be theirs, too."""
        return bool(self.names) and max(self.shares) >= MATERIAL

    @property
    def can_be_told_apart(self) -> bool:
        """Whether this campaign is not just another name for the others."""
        return self.left >= MIN_LEFT

    def to_json(self) -> dict[str, object]:
        """Return the facts as a check; a joint model is linear, so that it never passes outright."""
        return {
            "campaigns": list(self.names),
            "share_of_sent": self.shares[0],
            "share_of_controls": self.shares[1],
            "variance_left": self.left,
            "passed": False if self.is_material else None,
        }

    def notes(self) -> list[str]:
        """Return what was done with the others, in words."""
        if not self.names:
            return []
        who = (
            f"{_listed(self.names)} also reached {100 * self.shares[0]:.0f}% of the people sent it and "
            f"{100 * self.shares[1]:.0f}% of the others within the window"
        )
        if not self.is_material:
            return [f"{who}: too few to matter, so they are left out of the effect."]
        if not self.can_be_told_apart:
            return [f"{who}, always together with it: what this one does cannot be told from what they do."]
        return [f"{who}: joint treatments, so the effect is of this one with those as they were (linear)."]


def joint_of(comparison: Comparison, exposures: Exposures) -> Joint:
    """Return the other campaigns of the window, their exposure residualized on the same covariates."""
    treated = comparison.treated
    by_size = sorted(exposures.within, key=lambda name: (-int(exposures.within[name].sum()), name))
    names = tuple(sorted(by_size[:MAX_JOINT]))
    received = np.array([exposures.within[name] for name in names], float).reshape(len(names), len(treated)).T
    residuals = np.empty_like(received)
    for j in range(len(names)):
        residuals[:, j] = received[:, j] - crossfit_mean(comparison.people, received[:, j])
    RT = treated - (treated.mean() if comparison.e is None else comparison.e)
    shares = (exposures.share(treated), exposures.share(~treated))
    return Joint(names, received, residuals, exposures.later, _left(RT, residuals), shares)


def others_effects(comparison: Comparison, joint: Joint, outcome: Bools) -> tuple[PartEffect, ...]:
    """Return the effect of every other campaign of the window, all campaigns held as they were.

    Told only of those that came at once: who is sent one days later may be picked by what they did in between, which is
    in no covariate here. Its own answer tells its effect.
    """
    alone = _without_others(comparison)
    data = alone.pair_data(outcome)
    R = np.column_stack([joint.residuals, data.RT])
    estimates = joint_linear(R, data.RY, data.user)
    lines = []
    for j, name in enumerate(joint.names):
        received = joint.received[:, j] > 0
        why = thin(received, outcome).replace("sent it", "sent that one")
        why = _SENT_LATER if name in joint.later else why
        if not why and estimates[j].estimate is None:
            why = "It is always received together with others: it cannot be told apart."
        effect = Estimate(estimand="ato_joint") if why else estimates[j]
        lines.append(PartEffect(name=name, n=len(received), n_treated=int(received.sum()), effect=effect, why=why))
    return with_holm(lines)


def interactions(comparison: Comparison, joint: Joint, outcome: Bools) -> tuple[PartEffect, ...]:
    """Return what receiving this campaign and another one adds to the sum of both effects.

    Refused where fewer than 20 people with the outcome received both, either or neither.
    """
    alone, lines = _without_others(comparison), []
    for j, name in enumerate(joint.names):
        both = (joint.received[:, j] > 0) & comparison.treated
        why = _thin_cells(comparison.treated, joint.received[:, j] > 0, outcome)
        why = _SENT_LATER if name in joint.later else why
        effect = Estimate(estimand="interaction")
        if not why:
            data = alone.pair_data(outcome)
            residual = both - crossfit_mean(comparison.people, both.astype(float))
            found = joint_linear(np.column_stack([residual, data.RT, joint.residuals]), data.RY, data.user)[0]
            effect = replace(found, estimand="interaction")
            why = (
                ""
                if found.estimate is not None
                else "Who receives both is who receives one: nothing is left to compare."
            )
        lines.append(PartEffect(name=name, n=len(both), n_treated=int(both.sum()), effect=effect, why=why))
    return with_holm(lines)


def joint_linear(R: Float64, RY: Float64, user: Ints) -> list[Estimate]:
    """Return the coefficients of (n, k) residual treatments on a residual outcome, clustered by user.

    A treatment of which the others leave less than ``MIN_LEFT`` has no number.
    """
    gram = R.T @ R
    inverse = np.linalg.pinv(gram, hermitian=True)
    theta = inverse @ (R.T @ RY)
    scores = R * (RY - R @ theta)[:, None]
    by_user = np.stack([np.bincount(user, column) for column in scores.T], axis=1)
    n_users = len(by_user)
    covariance = inverse @ (by_user.T @ by_user) @ inverse * n_users / (n_users - 1)
    found = []
    for j in range(R.shape[1]):
        if _left(R[:, j], np.delete(R, j, axis=1)) < MIN_LEFT:
            found.append(Estimate(estimand="ato_joint"))
        else:
            found.append(Estimate.of("ato_joint", float(theta[j]), math.sqrt(max(float(covariance[j, j]), 0.0))))
    return found


def _left(residual: Float64, others: Float64) -> float:
    """Return 1 - R squared of a residual on others."""
    total = float((residual**2).sum())
    if total <= 0:
        return 0.0
    if others.shape[1] == 0:
        return 1.0
    beta = np.linalg.lstsq(others, residual, rcond=None)[0]
    return float(((residual - others @ beta) ** 2).sum()) / total


def _without_others(comparison: Comparison) -> Comparison:
    return replace(comparison, others=np.empty((len(comparison.rows), 0)))


def _thin_cells(treated: Bools, received: Bools, outcome: Bools) -> str:
    cells = {
        "both": treated & received,
        "this one alone": treated & ~received,
        "that one alone": ~treated & received,
        "neither": ~treated & ~received,
    }
    name, n = min(((name, int((cell & outcome).sum())) for name, cell in cells.items()), key=lambda cell: cell[1])
    if n >= MIN_OUTCOME_USERS:
        return ""
    return f"Only {n} people who received {name} had the outcome; {MIN_OUTCOME_USERS} are needed."


def _listed(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
