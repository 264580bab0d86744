"""The campaign shop: furniture sold by mail, to those who are active anyway.

Four times a mail with a coupon for one category goes out. Who gets it is targeted: the active and the interested. What
is logged is everybody's arm, its propensity, and what people did; nothing else drives anything.

Mails
    Mail k reaches user u at a fixed time within ``MAIL_SPREAD_DAYS`` after ``MAIL_DAYS[k]``, with probability::

        sigmoid(MAIL["constant"] + MAIL["momentum"] * log(1 + momentum) + MAIL["interest"] * log(1 + interest:c)
                + MAIL["vip"] * vip)

    of the states at that time, c being the category it promotes. It adds 1 to ``coupon:c`` and to ``mailed``; it does
    not move a visit that is already on its way. Later mails depend on what a user does now, and so does their effect.

State
    Each state starts at 0, halves with its half-life and jumps at the user's events; a purchase leaves a tenth of the
    coupon and of the basket of its category. While more than ``DISCOUNT_FROM`` of a coupon is left, the price is
    ``DISCOUNT`` lower.

Next event
    In the session with probability ``STAY``, else a return at the rate per day ``RETURN_PER_DAY * exp(RETURN_MOMENTUM
    * log(1 + momentum) + RETURN_MAILED * log(1 + mailed))`` on a clock that runs faster in the evening. The event is
    one of 4 actions x 5 categories, by a softmax of::

        logit[cell] = BASE[cell] + sum over states ARROWS[s, cell] * sqrt(s) + sum over attributes ARROWS[f, cell] * f

What causes what
    (effect on the chance of the purchase within 7 days, beside it what co-occurrence says)

    * ``view:rugs`` on ``purchase:sofas`` has the wrong sign in co-occurrence (-.021, +.024): the mail makes people look
      at rugs and its coupon makes them buy sofas, but who looks at rugs puts the sofa off.
    * ``view:rugs``, ``view:plants`` and ``favorite:desks`` follow the mail, as do purchases under its coupons that they
      do not cause: with ``purchase:lamps`` they co-occur (+.015 to +.018), the effects lie within .0014 of 0.
    * A favorite (.04 to .06) and a basket (.07 to .09) cause the purchase of their category; purchases spend the budget
      of others (-.02). A look makes the next mail a little more likely.
"""

import sys
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit

from whybuy import columns as c
from whybuy.worlds.chain import (
    DAY_MS,
    HOUR_MS,
    Bools,
    Draws,
    Equations,
    Float32,
    Float64,
    Ints,
    Pairs,
    Step,
    Users,
    arrow_matrix,
    cell_names,
    daily_clock,
    softmax,
    state_names,
    whole_gap,
)

ACTIONS: Final = ("view", "favorite", "cart", "purchase")
CATEGORIES: Final = ("sofas", "rugs", "lamps", "desks", "plants")
ATTRIBUTES: Final = ("vip", "renter")

HALF_LIVES: Final = {
    "interest:c": 21.0,
    "want:c": 78.0,
    "basket:c": 26.0,
    "coupon:c": 83.0,
    "mailed": 71.0,
    "later": 51.0,
    "spent": 105.0,
    "momentum": 92.0,
}

JUMPS: Final[dict[tuple[str, str], float]] = {
    ("interest:c", "view:c"): 1.0,
    ("want:c", "favorite:c"): 1.0,
    ("basket:c", "cart:c"): 1.0,
    ("later", "view:rugs"): 1.0,
    ("spent", "purchase:*"): 1.0,
    ("momentum", "view:*"): 1.0,
    ("momentum", "favorite:*"): 1.0,
    ("momentum", "cart:*"): 1.0,
    ("momentum", "purchase:*"): 1.0,
}

KEEPS: Final[dict[tuple[str, str], float]] = {
    ("coupon:c", "purchase:c"): 0.1,
    ("basket:c", "purchase:c"): 0.1,
}

ARROWS: Final[dict[tuple[str, str], float]] = {
    ("interest:c", "view:c"): 0.35,
    ("want:c", "purchase:c"): 0.7,
    ("want:c", "cart:c"): 0.4,
    ("basket:c", "purchase:c"): 1.2,
    ("coupon:c", "purchase:c"): 2.4,
    ("coupon:c", "view:c"): 0.7,
    ("mailed", "view:rugs"): 1.8,
    ("mailed", "view:plants"): 1.6,
    ("mailed", "favorite:desks"): 2.0,
    ("later", "purchase:sofas"): -0.45,
    ("spent", "purchase:*"): -0.4,
    ("vip", "purchase:sofas"): 1.3,
    ("vip", "view:rugs"): 0.8,
    ("renter", "favorite:plants"): 1.2,
    ("renter", "purchase:lamps"): 1.2,
    ("renter", "purchase:desks"): -0.8,
}

BASE: Final[dict[str, float]] = {
    "view:*": 0.0,
    "favorite:*": -2.0,
    "cart:*": -2.9,
    "purchase:*": -2.9,
    "view:rugs": -1.9,
    "view:plants": -1.2,
    "favorite:desks": -0.9,
    "purchase:sofas": -0.8,
    "purchase:lamps": -1.1,
}

MAIL_DAYS: Final = (5.3, 12.8, 20.2, 27.6)
MAIL_SPREAD_DAYS: Final = 0.45
MAIL_CATEGORIES: Final = ("lamps", "sofas", "lamps", "sofas")
MAIL: Final = {"constant": -4.2, "momentum": 1.5, "interest": 0.9, "vip": 1.6}
DISCOUNT: Final = 0.2
DISCOUNT_FROM: Final = 0.25

STAY: Final = 0.77
STAY_GAP_S: Final = 85.0
RETURN_PER_DAY: Final = 0.162
RETURN_MOMENTUM: Final = 0.38
RETURN_MAILED: Final = 0.3
BUSY_HOUR: Final = 19.0
BUSY_SWING: Final = 0.65
SHARE_VIP: Final = 0.4
SHARE_RENTER: Final = 0.5

PAIRS: Pairs = {
    ("view:rugs", "purchase:sofas"): "wrong sign",
    ("purchase:rugs", "purchase:rugs"): "cause",
    ("purchase:desks", "purchase:desks"): "cause",
    ("view:rugs", "purchase:lamps"): "no cause",
    ("view:rugs", "purchase:desks"): "no cause",
    ("view:rugs", "purchase:plants"): "no cause",
    ("view:plants", "purchase:sofas"): "no cause",
    ("favorite:desks", "purchase:sofas"): "no cause",
    ("favorite:desks", "purchase:rugs"): "no cause",
    ("favorite:desks", "purchase:lamps"): "no cause",
    ("favorite:plants", "purchase:sofas"): "no cause",
    ("favorite:plants", "purchase:lamps"): "displacement",
    ("favorite:plants", "purchase:desks"): "no cause",
    ("favorite:sofas", "purchase:sofas"): "cause",
    ("favorite:rugs", "purchase:rugs"): "cause",
    ("favorite:desks", "purchase:desks"): "cause",
    ("cart:sofas", "purchase:sofas"): "cause",
    ("cart:lamps", "purchase:lamps"): "cause",
    ("purchase:rugs", "purchase:sofas"): "cause",
    ("cart:desks", "purchase:desks"): "cause",
    ("cart:lamps", "purchase:*"): "cause",
    ("favorite:desks", "purchase:*"): "cause",
    ("purchase:rugs", "purchase:lamps"): "cause",
    ("purchase:desks", "purchase:sofas"): "cause",
    ("purchase:desks", "purchase:rugs"): "cause",
    ("view:plants", "purchase:lamps"): "no cause",
    ("view:lamps", "purchase:plants"): "displacement",
    ("favorite:rugs", "purchase:plants"): "displacement",
    ("cart:sofas", "purchase:plants"): "displacement",
}

CELLS: Final = cell_names(ACTIONS, CATEGORIES)
_STATES = state_names(HALF_LIVES, CATEGORIES)
_N_STATES, _N_MAILS = len(_STATES), len(MAIL_DAYS)
_RATE_PER_MS = (
    np.log(2) / (np.array([HALF_LIVES.get(s) or HALF_LIVES[f"{s.split(':')[0]}:c"] for s in _STATES]) * HOUR_MS)
).astype(np.float32)
_LOGITS = arrow_matrix(
    {**ARROWS, **{("one", cell): size for cell, size in BASE.items()}}, (*_STATES, *ATTRIBUTES, "one"), CELLS
)
_ADDS = np.ascontiguousarray(arrow_matrix(JUMPS, _STATES, CELLS).T)
_KEEPS = np.ascontiguousarray(1 + arrow_matrix({k: v - 1 for k, v in KEEPS.items()}, _STATES, CELLS).T)
_MOMENTUM, _MAILED = _STATES.index("momentum"), _STATES.index("mailed")
_COUPONS = [_STATES.index(f"coupon:{category}") for category in CATEGORIES]
_CLOCK = daily_clock(BUSY_HOUR, BUSY_SWING)


class Campaign(Equations):
    """Targeted mails with coupons, and behaviors beside them."""

    name = "campaign"
    actions = ACTIONS
    categories = CATEGORIES
    pairs = PAIRS
    constants = sys.modules[__name__]

    def users(self, n_users: int, rng: np.random.Generator) -> Users:
        """Draw users, when each mail reaches them, and the lot that decides whether it is sent."""
        parts = (rng.random(n_users) < SHARE_VIP, rng.random(n_users) < SHARE_RENTER)
        days = np.array(MAIL_DAYS) + MAIL_SPREAD_DAYS * rng.random((n_users, _N_MAILS))
        sent_ms = np.rint(days * DAY_MS).astype(np.int64)
        return Users.of(np.stack(parts, axis=1).astype(np.float32), sent_ms, rng.random((n_users, _N_MAILS)))

    def start(self, users: Users) -> Float32:
        """Return states of 0.

        The last columns remember each mail: the probability of its arm, negative where it was not sent, 0 before.
        """
        return np.zeros((len(users), _N_STATES + _N_MAILS), np.float32)

    def advance(
        self, S: Float32, ts_ms: Ints, users: Users, draws: Draws, *, away: Bools | None = None
    ) -> tuple[Ints, Float32]:
        """Return the time of the next event and the states there, with the mails on the way."""
        stays = draws.stay < STAY
        if away is not None:
            stays &= ~away
        pull = RETURN_MOMENTUM * np.log1p(S[:, _MOMENTUM]) + RETURN_MAILED * np.log1p(S[:, _MAILED])
        back = _CLOCK.after(ts_ms, draws.gap / (RETURN_PER_DAY * np.exp(pull))) - ts_ms
        then_ms = ts_ms + whole_gap(np.where(stays, 2_000 + draws.gap * STAY_GAP_S * 1_000, back))
        return then_ms, carried(S, ts_ms, then_ms, users)

    def probabilities(self, S: Float32, ts_ms: Ints, users: Users) -> Float32:  # noqa: ARG002 - no clock in the choice
        """Return the softmax of the roots of the states and the attributes."""
        X = np.empty((len(S), len(_LOGITS)), np.float32)
        np.sqrt(S[:, :_N_STATES], out=X[:, :_N_STATES])
        X[:, _N_STATES:-1] = users.attributes
        X[:, -1] = 1
        return softmax(X @ _LOGITS)

    def after(self, S: Float32, cell: Ints) -> Float32:
        """Return the states after what the event used up and added."""
        after = S.copy()
        after[:, :_N_STATES] = S[:, :_N_STATES] * _KEEPS[cell] + _ADDS[cell]
        return after

    def discount(self, step: Step) -> Float64:
        """Return (n,) the share off the price of each event's category."""
        left = step.S[:, _COUPONS][np.arange(len(step.cell)), step.cell % len(CATEGORIES)]
        return np.where(left > DISCOUNT_FROM, DISCOUNT, 0.0)

    def attribute_columns(self, users: Users) -> dict[str, npt.NDArray[np.object_]]:
        """Return status and home."""
        vip, renter = (users.attributes > 0).T
        return {"status": np.where(vip, "vip", "regular"), "home": np.where(renter, "rented", "owned")}

    def exposures(self, users: Users, steps: list[Step], rng: np.random.Generator) -> pd.DataFrame:  # noqa: ARG002
        """Return everybody's arm of every mail, with its propensity."""
        S, ts_ms = self.start(users), np.zeros(len(users), np.int64)
        for step in steps:
            S[step.user], ts_ms[step.user] = self.after(step.S, step.cell), step.ts_ms
        arms = carried(S, ts_ms, np.full(len(users), self.days * DAY_MS), users)[:, _N_STATES:]
        return pd.DataFrame(
            {
                c.USER: np.repeat(np.arange(len(users)), _N_MAILS),
                c.TIME: users.sent_ms.ravel(),
                c.CAMPAIGN: np.tile([f"mail-{category}" for category in MAIL_CATEGORIES], len(users)),
                c.ARM: np.where(arms.ravel() > 0, "treated", "control"),
                c.PROPENSITY: np.abs(arms.ravel()).astype(float),
            }
        )


def carried(S: Float32, from_ms: Ints, to_ms: Ints, users: Users) -> Float32:
    """Return the states at ``to_ms``, halved on the way and moved by the mails that come in between."""
    S, at_ms = S.copy(), from_ms.copy()
    for mail, category in enumerate(MAIL_CATEGORIES):
        due = np.flatnonzero((from_ms < users.sent_ms[:, mail]) & (users.sent_ms[:, mail] <= to_ms))
        if len(due):
            receivers = users.take(due)
            then_ms = receivers.sent_ms[:, mail]
            S[due] = _mailed(_faded(S[due], then_ms - at_ms[due]), receivers, mail, category)
            at_ms[due] = then_ms
    return _faded(S, to_ms - at_ms)


def _faded(S: Float32, gap_ms: Ints) -> Float32:
    faded = S.copy()
    faded[:, :_N_STATES] *= np.exp(-gap_ms.astype(np.float32)[:, None] * _RATE_PER_MS)
    return faded


def _mailed(S: Float32, users: Users, mail: int, category: str) -> Float32:
    interest = S[:, _STATES.index(f"interest:{category}")]
    log_odds = MAIL["constant"] + MAIL["momentum"] * np.log1p(S[:, _MOMENTUM]) + MAIL["interest"] * np.log1p(interest)
    propensity = expit(log_odds + MAIL["vip"] * users.attributes[:, ATTRIBUTES.index("vip")])
    sent = users.lot[:, mail] < propensity
    S[:, _N_STATES + mail] = np.where(sent, propensity, propensity - 1)
    S[:, [_STATES.index(f"coupon:{category}"), _MAILED]] += sent[:, None].astype(np.float32)
    return S
