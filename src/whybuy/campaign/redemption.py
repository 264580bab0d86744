"""What redeeming a coupon does, told from who was offered it: an encouragement design.

Who redeems is not chosen by anybody but the shopper, so comparing redeemers with others tells how keen they are. The
offer is what was assigned. Its effect (intention to treat) needs no more assumptions than the campaign's; divided by
what the offer does to redeeming (first stage) it is the effect of redeeming on those who redeem because they were
offered it, if

- **exclusion**: the offer changes the outcome through redeeming alone (a letter that reminds of the shop breaks it);
- **monotonicity**: nobody redeems because they were *not* offered it.

The first can be refuted: where the offer moves more people than redeem, something else moves them. Where the first
stage is weak (F below 10) the interval is Anderson and Rubin's, which holds at any strength; where it cannot be told
from none there is no answer (that interval would have no end).

Source: Imbens and Angrist (Econometrica, 1994), theorem 1; Anderson and Rubin (Annals of Mathematical Statistics,
1949); Staiger and Stock (Econometrica, 1997) for the limit of 10; residuals as in Chernozhukov et al. (Econometrics
Journal, 2018), section 4.2 (partially linear instrumental variables).
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from whybuy.campaign.compared import Compared
from whybuy.campaign.followup import Counted, followups
from whybuy.campaign.history import Bools
from whybuy.campaign.inquiry import Inquiry
from whybuy.causal.checks import PairData
from whybuy.causal.effects import Z95, Estimate, two_sided
from whybuy.events.behaviors import Behavior

WEAK_F = 10.0
MIN_REDEEMERS = 20
_IMPOSSIBLE = " More than 100 in 100 is not possible: chance, or the offer works by other ways too (exclusion fails)."
ASSUMES = (
    "exclusion: the offer works through redeeming alone",
    "monotonicity: nobody redeems because they were not offered it",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Redemption:
    """The effect of the offer, of the offer on redeeming, and of redeeming.

    Attributes
    ----------
    n_redeemers, n_redeemers_control : people who redeemed within the horizon, of those sent it and of the controls
    naive : outcome of those who redeemed against everybody else's
    offer : effect of the offer on the outcome (intention to treat)
    first_stage : effect of the offer on redeeming
    strength : the first stage's F
    effect : effect of redeeming on those whom the offer makes redeem (LATE); without a number where ``why`` says so
    interval : how the interval was made, "wald" or "anderson-rubin"
    assumes : what the effect of redeeming rests on
    """

    n_redeemers: int
    n_redeemers_control: int
    naive: float | None
    offer: Estimate
    first_stage: Estimate
    strength: float | None
    effect: Estimate
    interval: str
    why: str
    assumes: tuple[str, ...] = ASSUMES

    def to_json(self) -> dict[str, Any]:
        """Return the numbers as JSON."""
        return {
            "n_redeemers": self.n_redeemers,
            "n_redeemers_control": self.n_redeemers_control,
            "naive": self.naive,
            "offer": self.offer.to_json(),
            "first_stage": self.first_stage.to_json(),
            "strength": self.strength,
            "effect": self.effect.to_json(),
            "interval": self.interval,
            "why": self.why,
            "assumes": list(self.assumes),
        }

    def notes(self) -> list[str]:
        """Return what redeeming does, in words."""
        if self.why:
            return [f"What redeeming does cannot be told: {self.why}"]
        e, means = self.effect, " and ".join(assumption.split(":")[0] for assumption in self.assumes)
        if e.estimate is None or e.ci_low is None or e.ci_high is None:
            return []
        return [
            f"If {means} hold, redeeming changes the outcome by {100 * e.estimate:+.1f} in 100 of those who redeem "
            f"because of the offer, 95% interval [{100 * e.ci_low:+.1f}, {100 * e.ci_high:+.1f}]."
            + (_IMPOSSIBLE if abs(e.estimate) > 1 else "")
        ]


def redemption_of(inquiry: Inquiry, campaign: str, compared: Compared) -> Redemption | None:
    """Return what redeeming the campaign's coupon does; None where nobody who is compared redeemed one."""
    comparison, horizon_ms = compared.comparison, inquiry.window.horizon_ms
    redeem = Counted(Behavior("redeem", "campaign", campaign), -1, horizon_ms)
    redeemed = followups(inquiry.log, comparison.rows, [redeem])[:, 0] > 0
    if not redeemed.any():
        return None
    outcome = compared.outcome
    return encouraged(comparison.pair_data(outcome), comparison.pair_data(redeemed), outcome, redeemed)


def encouraged(on_outcome: PairData, on_redeeming: PairData, outcome: Bools, redeemed: Bools) -> Redemption:
    """Return the answer of one encouragement, from the residuals of outcome and redeeming on the same offers.

    Parameters
    ----------
    on_outcome, on_redeeming : the same treatments and users
    outcome, redeemed : (n,) bool
    """
    treated = on_outcome.T > 0
    first, strength = _ratio(on_redeeming, "first_stage")
    facts: dict[str, Any] = {
        "n_redeemers": int((redeemed & treated).sum()),
        "n_redeemers_control": int((redeemed & ~treated).sum()),
        "naive": float(outcome[redeemed].mean() - outcome[~redeemed].mean()) if 0 < redeemed.mean() < 1 else None,
        "offer": _ratio(on_outcome, "itt")[0],
        "first_stage": first,
        "strength": strength,
    }
    why = _no_first_stage(facts["n_redeemers"], first)
    if why:
        return Redemption(**facts, effect=Estimate(estimand="late"), interval="", why=why)
    is_weak = strength is None or strength < WEAK_F
    effect = (_anderson_rubin if is_weak else _wald)(on_outcome, on_redeeming)
    if effect.ci_low is not None and effect.ci_high is not None and max(effect.ci_low, -effect.ci_high) > 1:
        effect = Estimate(estimand="late")
        why = "the offer moves more people than redeem it, so it works by other ways too (exclusion fails)."
    return Redemption(**facts, effect=effect, interval="anderson-rubin" if is_weak else "wald", why=why)


def _no_first_stage(n_redeemers: int, first: Estimate) -> str:
    if n_redeemers < MIN_REDEEMERS:
        return f"only {n_redeemers} of the people sent it redeemed within the horizon; {MIN_REDEEMERS} are needed."
    if first.ci_low is None or first.ci_low <= 0:
        return "the offer makes nobody redeem, as far as can be told (no first stage)."
    return ""


def _sums(one: PairData, other: PairData) -> tuple[float, float, float, float, float]:
    """Return A = sum RT RY and B = sum RT RD, and the clustered variances and covariance of both."""
    scores = []
    for data in (one, other):
        theta = float((data.RT * data.RY).sum() / (data.RT**2).sum())
        scores.append(np.bincount(data.user, data.RT * (data.RY - theta * data.RT)))
    n_users = len(scores[0])
    correction = n_users / (n_users - 1)
    a, b = float((one.RT * one.RY).sum()), float((other.RT * other.RY).sum())
    aa, ab, bb = (
        correction * float(s @ t) for s, t in ((scores[0], scores[0]), (scores[0], scores[1]), (scores[1], scores[1]))
    )
    return a, b, aa, ab, bb


def _ratio(data: PairData, estimand: str) -> tuple[Estimate, float | None]:
    """Return the effect of the offer, and its F."""
    a, _, aa, _, _ = _sums(data, data)
    total = float((data.RT**2).sum())
    found = Estimate.of(estimand, a / total, math.sqrt(aa) / total)
    return found, a**2 / aa if aa > 0 else None


def _wald(on_outcome: PairData, on_redeeming: PairData) -> Estimate:
    """Return the ratio of both effects, its error by the delta method."""
    a, b, aa, ab, bb = _sums(on_outcome, on_redeeming)
    beta = a / b
    return Estimate.of("late", beta, math.sqrt(max(aa - 2 * beta * ab + beta**2 * bb, 0.0)) / abs(b))


def _anderson_rubin(on_outcome: PairData, on_redeeming: PairData) -> Estimate:
    """Return the effects that "the offer does nothing to outcome - effect x redeeming" does not reject.

    They solve (a - beta b)^2 <= z^2 (aa - 2 beta ab + beta^2 bb), a quadratic in beta: an interval where b is more than
    z of its errors, as it is where there is a first stage.
    """
    a, b, aa, ab, bb = _sums(on_outcome, on_redeeming)
    square, linear, constant = b**2 - Z95**2 * bb, -2 * (a * b - Z95**2 * ab), a**2 - Z95**2 * aa
    root = math.sqrt(max(linear**2 - 4 * square * constant, 0.0))
    low, high = (-linear - root) / (2 * square), (-linear + root) / (2 * square)
    wald = _wald(on_outcome, on_redeeming)
    # No effect of redeeming is no effect of the offer: both have one p-value.
    return replace(wald, ci_low=low, ci_high=high, p_value=two_sided(a, math.sqrt(aa)))
