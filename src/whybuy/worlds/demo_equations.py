"""The equations of the demo shop (:mod:`whybuy.worlds.demo`) as the simulation reads them."""

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit

from whybuy import columns as c
from whybuy.worlds import demo as world
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
    daily_clock,
    joined,
    natural_steps,
    softmax,
    whole_gap,
)
from whybuy.worlds.intervene import HORIZON_MS, RatioSums

SEGMENT, GENDER, AGE_GROUP = "segment", "gender", "age_group"

_JUMPS = world.jump_matrix()
_LOGITS = world.logit_matrix()
_DECAY_PER_MS = (np.log(2) / (world.HALF_LIFE_HOURS * HOUR_MS)).astype(np.float32)
_N_STATES = len(world.STATES)
_MOMENTUM = world.STATES.index("momentum")
_LOYAL = world.ATTRIBUTES.index("loyal")
_CLOCK = daily_clock(world.BUSY_HOUR, world.BUSY_SWING)

PAIRS: Pairs = {
    ("view:boots", "purchase:shoes"): "wrong sign",
    ("view:books", "purchase:bags"): "no cause",
    ("favorite:books", "purchase:bags"): "no cause",
    ("favorite:cases", "purchase:bags"): "no cause",
    ("favorite:phones", "purchase:boots"): "no cause",
    ("favorite:books", "purchase:boots"): "no cause",
    ("favorite:cases", "purchase:books"): "no cause",
    ("favorite:phones", "purchase:books"): "no cause",
    ("view:phones", "purchase:cases"): "cause",
    ("purchase:phones", "purchase:cases"): "cause",
    ("purchase:phones", "purchase:phones"): "cause",
    ("purchase:phones", "purchase:bags"): "cause",
    ("purchase:phones", "purchase:shoes"): "cause",
    ("search:boots", "purchase:boots"): "cause",
    ("search:boots", "purchase:shoes"): "cause",
    ("search:boots", "purchase:bags"): "cause",
    ("search:books", "purchase:books"): "cause",
    ("search:books", "purchase:bags"): "cause",
    ("cart:bags", "purchase:bags"): "cause",
    ("cart:bags", "purchase:*"): "cause",
    ("cart:cases", "purchase:cases"): "cause",
    ("cart:cases", "purchase:*"): "cause",
    ("remove:bags", "purchase:bags"): "cause",
    ("view:boots", "purchase:boots"): "cause",
    ("view:boots", "purchase:*"): "cause",
    ("view:phones", "purchase:shoes"): "displacement",
    ("view:phones", "purchase:boots"): "displacement",
    ("favorite:phones", "purchase:cases"): "displacement",
    ("favorite:phones", "purchase:shoes"): "displacement",
    ("search:books", "purchase:cases"): "displacement",
}


class DemoEquations(Equations):
    """The demo shop: states that halve, softmax of their logarithms, two campaigns."""

    name = "demo"
    actions = world.ACTIONS
    categories = world.CATEGORIES
    pairs = PAIRS
    constants = world
    n_users = 2_400
    days = world.DAYS

    def users(self, n_users: int, rng: np.random.Generator) -> Users:
        """Draw users at random; their only campaign with a date of its own is ``spring``."""
        age = rng.random(n_users)
        parts = (
            rng.random(n_users) < world.SHARE_LOYAL,
            rng.random(n_users) < world.SHARE_F,
            age < world.SHARE_YOUNG,
            age >= 1 - world.SHARE_OLD,
        )
        day = world.SPRING_DAY + world.SPRING_SPREAD_DAYS * rng.random(n_users)
        return Users.of(
            attributes=np.stack(parts, axis=1).astype(np.float32),
            sent_ms=np.rint(day * DAY_MS).astype(np.int64)[:, None],
            lot=rng.random(n_users)[:, None],
        )

    def start(self, users: Users) -> Float32:
        """Return states of 0."""
        return np.zeros((len(users), _N_STATES), np.float32)

    def advance(
        self, S: Float32, ts_ms: Ints, users: Users, draws: Draws, *, away: Bools | None = None
    ) -> tuple[Ints, Float32]:
        """Return the time of the next event, in the session or on return, and the decayed states there."""
        stays = draws.stay < world.STAY
        if away is not None:
            stays &= ~away
        short = 2_000 + draws.gap * world.STAY_GAP_S * 1_000
        momentum = np.log1p(S[:, _MOMENTUM])
        wait_days = draws.gap / (
            world.RETURN_PER_DAY
            * np.exp(world.RETURN_LOYAL * users.attributes[:, _LOYAL] + world.RETURN_MOMENTUM * momentum)
        )
        gap_ms = whole_gap(np.where(stays, short, _CLOCK.after(ts_ms, wait_days) - ts_ms))
        decayed: Float32 = S * np.exp(-gap_ms.astype(np.float32)[:, None] * _DECAY_PER_MS)
        return ts_ms + gap_ms, decayed

    def probabilities(self, S: Float32, ts_ms: Ints, users: Users) -> Float32:
        """Return the softmax of the logits."""
        X = np.empty((len(S), len(world.FEATURES)), np.float32)
        np.log1p(np.maximum(S, 0), out=X[:, :_N_STATES])
        X[:, _N_STATES:-3] = users.attributes
        hours = (ts_ms % DAY_MS) / HOUR_MS
        X[:, -3] = np.cos(2 * np.pi * (hours - world.EVENING_HOUR) / 24)
        hours_since = (ts_ms - users.sent_ms[:, 0]) / HOUR_MS
        responds = is_treated(users) & ~is_loyal(users) & (hours_since > 0)
        X[:, -2] = np.where(responds, np.exp2(-np.maximum(hours_since, 0) / world.SPRING_HALF_LIFE_HOURS), 0)
        X[:, -1] = 1
        return softmax(X @ _LOGITS)

    def after(self, S: Float32, cell: Ints) -> Float32:
        """Return the states after the jumps of the event."""
        return S + _JUMPS[cell]

    def attribute_columns(self, users: Users) -> dict[str, npt.NDArray[np.object_]]:
        """Return segment, gender and age group."""
        loyal, female, young, old = (users.attributes > 0).T
        return {
            SEGMENT: np.where(loyal, "loyal", "new"),
            GENDER: np.where(female, "f", "m"),
            AGE_GROUP: np.select([young, old], ["18-29", "50+"], "30-49"),
        }

    def exposures(self, users: Users, steps: list[Step], rng: np.random.Generator) -> pd.DataFrame:
        """Return who was assigned which arm of ``spring``, and who was sent ``vip``."""
        treated = is_treated(users)
        spring = pd.DataFrame(
            {
                c.USER: np.arange(len(users)),
                c.TIME: users.sent_ms[:, 0],
                c.CAMPAIGN: "spring",
                c.ARM: np.where(treated, "treated", "control"),
                c.PROPENSITY: np.where(treated, world.SPRING_SHARE, 1 - world.SPRING_SHARE),
            }
        )
        vip_ms = round(world.VIP_DAY * DAY_MS)
        sent = np.flatnonzero(rng.random(len(users)) < vip_probability(users, steps, vip_ms))
        vip = pd.DataFrame({c.USER: sent, c.TIME: vip_ms, c.CAMPAIGN: "vip", c.ARM: "treated"})
        return pd.concat([spring, vip], ignore_index=True)


DEMO = DemoEquations()


def is_loyal(users: Users) -> Bools:
    """Return (n,) whether the segment is loyal, not new."""
    loyal: Bools = users.attributes[:, _LOYAL] > 0
    return loyal


def is_treated(users: Users) -> Bools:
    """Return (n,) whether ``spring`` assigns the treated arm."""
    treated: Bools = users.lot[:, 0] < world.SPRING_SHARE
    return treated


def vip_probability(users: Users, steps: list[Step], vip_ms: int) -> Float64:
    """Return (n_users,) the probability of being sent ``vip`` at ``vip_ms``, from the logged history alone."""
    user, ts, cell = (joined(steps, name) for name in ("user", "ts_ms", "cell"))
    before = ts < vip_ms
    user, hours, cell = user[before], (vip_ms - ts[before]) / HOUR_MS, cell[before]
    log_odds = world.VIP["constant"] + world.VIP["loyal"] * is_loyal(users)
    for kind in ("momentum", "owned"):
        columns = [k for k, state in enumerate(world.STATES) if state.split(":")[0] == kind]
        remaining = np.exp2(-hours / world.HALF_LIFE_HOURS[columns[0]])
        states = [np.bincount(user, _JUMPS[cell, k] * remaining, minlength=len(users)) for k in columns]
        log_odds += world.VIP[kind] * np.log1p(np.maximum(states, 0).sum(axis=0))
    probability: Float64 = expit(log_odds)
    return probability


def campaign_sums(n_users: int, rng: np.random.Generator) -> dict[tuple[str, str], RatioSums]:
    """Return the sums of the effects on any purchase within the horizon, of every campaign and segment.

    ``spring``: the same users are simulated twice from the log's start with the same random numbers, treated and
    control; their paths are the same until the assignment. A user is one cluster of weight 1. Nothing in the equations
    reads ``vip``: its effect is 0 exactly.
    """
    users = DEMO.users(n_users, rng)
    seed = int(rng.integers(2**63))
    bought = [
        _bought_after(
            Users.of(users.attributes, users.sent_ms, np.full((n_users, 1), lot)), np.random.default_rng(seed)
        )
        for lot in (0.0, 1.0)
    ]
    gain = (bought[0] - bought[1])[:, None]
    loyal = is_loyal(users)
    members = {"*": np.ones(n_users, bool), "new": ~loyal, "loyal": loyal}
    sums = {("spring", segment): RatioSums(gain[of], np.ones_like(gain[of])) for segment, of in members.items()}
    return {**sums, ("vip", "*"): RatioSums(np.zeros_like(gain), np.ones_like(gain))}


def _bought_after(users: Users, rng: np.random.Generator) -> Float64:
    """Return (n_users,) the compensator of the first purchase within the horizon after the assignment."""
    value, pending = np.zeros(len(users)), np.ones(len(users), bool)
    days = int(np.ceil(world.SPRING_DAY + world.SPRING_SPREAD_DAYS + HORIZON_MS / DAY_MS))
    for step in natural_steps(DEMO, users, rng, days=days):
        since = step.ts_ms - users.sent_ms[step.user, 0]
        inside = (since > 0) & (since <= HORIZON_MS)
        user, P, cell = step.user[inside], step.P[inside], step.cell[inside]
        value[user] += P[:, DEMO.buys].sum(axis=1) * pending[user]
        pending[user] &= ~DEMO.is_outcome(cell)[:, -1]
    return value
