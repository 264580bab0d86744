"""The habit shop: groceries bought again and again, by people whose memory is long and whose appetite is limited.

Its equations share nothing with the demo's. What people did fades by a power of the time since, so that yesterday and
last month both count; whatever it drives saturates; and who has bought is stocked up for a while.

Memory
    ``taste:c``, ``treat``, ``diet`` and ``activity`` are sums over the user's own earlier events j of their jumps
    times a kernel that is near (1 + dt / 3 h) ** -0.7 from a minute to 40 days::

        k(dt) = sum over r  WEIGHTS[r] * exp(-dt / TIME_HOURS[r])

    The power law is a mixture of exponentials (its rates have a gamma distribution); k is that mixture on a grid of
    seven times, each 4.5 times the one before, and *is* the world's kernel: the power law is only what it looks like.
    ``stock:c``, ``basket:c``, ``tempted`` and ``full`` fade with one half-life each. All start at 0 with the log.

Next event
    In the session with probability ``STAY``: 2 s plus an exponential of mean ``STAY_GAP_S``. Else a return on a clock
    that runs faster around ``BUSY_HOUR``, at the rate per day ``RETURN_PER_DAY * (1 + RETURN_ACTIVE * g(activity))``,
    times ``RETURN_FAMILY`` for families. The event is one of 4 actions x 5 categories, by a softmax of::

        logit[cell] = BASE[cell] + sum over states ARROWS[s, cell] * g(s) + sum over attributes ARROWS[f, cell] * f

    where g(s) = s / (1 + s) for s > 0, else 0: the first look moves people, the tenth hardly.

What causes what
    (effect on the chance of the purchase within 7 days, beside it what co-occurrence says)

    * ``purchase:milk`` on itself (-.056, co-occurrence +.025) and ``purchase:coffee`` on itself (-.042, +.010) have the
      wrong sign: who buys has the habit and will buy again, but the purchase fills the shelf.
    * ``view:snacks`` on ``purchase:fruit`` too (-.028, +.041): people in the city and on a diet look at snacks and buy
      fruit, and every look tempts them away from it.
    * ``view:snacks`` and ``favorite:snacks`` follow city and diet, as purchases of coffee and wine do that they do not
      cause: effects within .0013 of 0, co-occurrence of +.034 to +.039, lifts of 1.24 to 1.28.
    * A basket causes the purchase of its category (.080), rarely as it is filled; favorites and looks do so by the
      taste they leave (.004 to .041); a purchase of wine causes one of snacks (.038).
"""

import sys
from typing import Final

import numpy as np
import numpy.typing as npt

from whybuy.worlds.chain import (
    HOUR_MS,
    Bools,
    Draws,
    Equations,
    Float32,
    Ints,
    Pairs,
    Users,
    arrow_matrix,
    cell_names,
    daily_clock,
    softmax,
    state_names,
    whole_gap,
)

ACTIONS: Final = ("view", "favorite", "cart", "purchase")
CATEGORIES: Final = ("milk", "coffee", "fruit", "snacks", "wine")
ATTRIBUTES: Final = ("family", "city")

LONG: Final = ("taste:c", "treat", "diet", "activity")
KERNEL_HOURS: Final = 3.0
KERNEL_POWER: Final = 0.7
SLOWEST_HOURS: Final = 11_700.0
TIME_STEP: Final = 4.5
N_TIMES: Final = 7
HALF_LIVES: Final = {"stock:c": 37.0, "basket:c": 29.0, "tempted": 37.0, "full": 95.0}

JUMPS: Final[dict[tuple[str, str], float]] = {
    ("taste:c", "view:c"): 0.04,
    ("taste:c", "favorite:c"): 0.06,
    ("taste:c", "purchase:c"): 1.2,
    ("treat", "purchase:wine"): 1.5,
    ("treat", "favorite:wine"): 0.4,
    ("diet", "favorite:fruit"): 0.6,
    ("diet", "purchase:fruit"): 1.0,
    ("activity", "view:*"): 0.3,
    ("activity", "favorite:*"): 0.3,
    ("activity", "cart:*"): 0.3,
    ("activity", "purchase:*"): 0.3,
    ("stock:c", "purchase:c"): 2.0,
    ("basket:c", "cart:c"): 1.0,
    ("basket:c", "purchase:c"): -0.8,
    ("tempted", "view:snacks"): 0.5,
    ("full", "purchase:*"): 0.5,
}

ARROWS: Final[dict[tuple[str, str], float]] = {
    ("taste:c", "view:c"): 1.2,
    ("taste:c", "favorite:c"): 0.6,
    ("taste:c", "cart:c"): 1.2,
    ("taste:c", "purchase:c"): 4.0,
    ("basket:c", "purchase:c"): 2.6,
    ("stock:c", "purchase:c"): -2.4,
    ("full", "purchase:*"): -0.4,
    ("diet", "purchase:fruit"): 2.0,
    ("diet", "view:snacks"): 2.4,
    ("tempted", "purchase:fruit"): -1.2,
    ("treat", "view:wine"): 2.0,
    ("treat", "purchase:snacks"): 2.4,
    ("family", "purchase:milk"): 1.7,
    ("family", "favorite:coffee"): 1.5,
    ("family", "view:milk"): 0.4,
    ("city", "purchase:wine"): 1.5,
    ("city", "purchase:coffee"): 1.7,
    ("city", "favorite:snacks"): 1.4,
    ("city", "view:snacks"): 1.2,
    ("city", "purchase:fruit"): 1.8,
}

BASE: Final[dict[str, float]] = {
    "view:*": 0.0,
    "favorite:*": -1.9,
    "cart:*": -2.9,
    "purchase:*": -3.4,
    "view:wine": -0.7,
    "view:snacks": -2.0,
    "favorite:wine": -0.4,
    "purchase:milk": -0.8,
    "purchase:coffee": -0.8,
    "purchase:wine": -0.5,
    "purchase:fruit": -0.2,
}

STAY: Final = 0.74
STAY_GAP_S: Final = 70.0
RETURN_PER_DAY: Final = 0.22
RETURN_ACTIVE: Final = 1.6
RETURN_FAMILY: Final = 1.25
BUSY_HOUR: Final = 17.5
BUSY_SWING: Final = 0.6
SHARE_FAMILY: Final = 0.42
SHARE_CITY: Final = 0.5

PAIRS: Pairs = {
    ("purchase:milk", "purchase:milk"): "wrong sign",
    ("purchase:coffee", "purchase:coffee"): "wrong sign",
    ("purchase:coffee", "purchase:fruit"): "wrong sign",
    ("view:snacks", "purchase:fruit"): "wrong sign",
    ("view:snacks", "purchase:*"): "wrong sign",
    ("view:snacks", "purchase:milk"): "no cause",
    ("view:snacks", "purchase:coffee"): "no cause",
    ("view:snacks", "purchase:wine"): "no cause",
    ("favorite:snacks", "purchase:coffee"): "no cause",
    ("favorite:snacks", "purchase:wine"): "no cause",
    ("favorite:coffee", "purchase:fruit"): "no cause",
    ("favorite:milk", "purchase:coffee"): "no cause",
    ("favorite:milk", "purchase:wine"): "no cause",
    ("view:coffee", "purchase:wine"): "no cause",
    ("cart:snacks", "purchase:wine"): "no cause",
    ("view:coffee", "purchase:coffee"): "cause",
    ("favorite:snacks", "purchase:snacks"): "cause",
    ("favorite:coffee", "purchase:coffee"): "cause",
    ("favorite:fruit", "purchase:fruit"): "cause",
    ("favorite:wine", "purchase:snacks"): "cause",
    ("cart:milk", "purchase:milk"): "cause",
    ("cart:milk", "purchase:*"): "cause",
    ("cart:snacks", "purchase:snacks"): "cause",
    ("cart:wine", "purchase:wine"): "cause",
    ("purchase:milk", "purchase:snacks"): "cause",
    ("purchase:wine", "purchase:snacks"): "cause",
    ("purchase:wine", "purchase:wine"): "cause",
    ("favorite:coffee", "purchase:milk"): "displacement",
    ("favorite:fruit", "purchase:snacks"): "displacement",
    ("cart:milk", "purchase:wine"): "displacement",
    ("cart:wine", "purchase:coffee"): "displacement",
}

CELLS: Final = cell_names(ACTIONS, CATEGORIES)
_LONG = state_names(dict.fromkeys(LONG), CATEGORIES)
_SHORT = state_names(HALF_LIVES, CATEGORIES)
_NAMES = (*_LONG, *_SHORT)
TIME_HOURS = SLOWEST_HOURS / TIME_STEP ** np.arange(N_TIMES)
_DENSITY = (KERNEL_HOURS / TIME_HOURS) ** KERNEL_POWER * np.exp(-KERNEL_HOURS / TIME_HOURS)
WEIGHTS = _DENSITY / _DENSITY.sum()

_N_LONG, _N_SHORT = len(_LONG), len(_SHORT)
_LONG_COLUMNS = _N_LONG * N_TIMES  # all times of the first long memory, then of the next
_SHORT_HOURS = np.array([HALF_LIVES[n if n in HALF_LIVES else f"{n.split(':')[0]}:c"] for n in _SHORT]) / np.log(2)
_RATE_PER_MS = (1 / (np.concatenate([TIME_HOURS, _SHORT_HOURS]) * HOUR_MS)).astype(np.float32)
_KERNEL = WEIGHTS.astype(np.float32)
_MIXTURE = np.kron(np.eye(_N_LONG, dtype=np.float32), _KERNEL[:, None])
_ADDS = arrow_matrix(JUMPS, _NAMES, CELLS).T
_JUMPS = np.concatenate([np.repeat(_ADDS[:, :_N_LONG], N_TIMES, axis=1), _ADDS[:, _N_LONG:]], axis=1)
_LOGITS = arrow_matrix(
    {**ARROWS, **{("one", cell): size for cell, size in BASE.items()}}, (*_NAMES, *ATTRIBUTES, "one"), CELLS
)
_ACTIVITY = _LONG.index("activity")
_CLOCK = daily_clock(BUSY_HOUR, BUSY_SWING)


class Habit(Equations):
    """Long memory, saturation, stocking up."""

    name = "habit"
    actions = ACTIONS
    categories = CATEGORIES
    pairs = PAIRS
    constants = sys.modules[__name__]

    def users(self, n_users: int, rng: np.random.Generator) -> Users:
        """Draw families and singles, in the city and outside."""
        parts = (rng.random(n_users) < SHARE_FAMILY, rng.random(n_users) < SHARE_CITY)
        return Users.of(np.stack(parts, axis=1).astype(np.float32))

    def start(self, users: Users) -> Float32:
        """Return states of 0."""
        return np.zeros((len(users), _LONG_COLUMNS + _N_SHORT), np.float32)

    def advance(
        self, S: Float32, ts_ms: Ints, users: Users, draws: Draws, *, away: Bools | None = None
    ) -> tuple[Ints, Float32]:
        """Return the time of the next event, in the session or on return, and the faded states there."""
        stays = draws.stay < STAY
        if away is not None:
            stays &= ~away
        activity = S[:, _ACTIVITY * N_TIMES : (_ACTIVITY + 1) * N_TIMES] @ _KERNEL
        rate = RETURN_PER_DAY * (1 + RETURN_ACTIVE * saturated(activity)) * RETURN_FAMILY ** users.attributes[:, 0]
        back = _CLOCK.after(ts_ms, draws.gap / rate) - ts_ms
        gap_ms = whole_gap(np.where(stays, 2_000 + draws.gap * STAY_GAP_S * 1_000, back))
        fading = np.exp(-gap_ms.astype(np.float32)[:, None] * _RATE_PER_MS)
        faded = np.empty_like(S)
        long, kept = faded[:, :_LONG_COLUMNS], S[:, :_LONG_COLUMNS]
        np.multiply(
            kept.reshape(-1, _N_LONG, N_TIMES), fading[:, None, :N_TIMES], out=long.reshape(-1, _N_LONG, N_TIMES)
        )
        np.multiply(S[:, _LONG_COLUMNS:], fading[:, N_TIMES:], out=faded[:, _LONG_COLUMNS:])
        return ts_ms + gap_ms, faded

    def probabilities(self, S: Float32, ts_ms: Ints, users: Users) -> Float32:  # noqa: ARG002 - no clock in this world
        """Return the softmax of saturated states and attributes."""
        X = np.empty((len(S), len(_LOGITS)), np.float32)
        X[:, :_N_LONG] = saturated(S[:, :_LONG_COLUMNS] @ _MIXTURE)
        X[:, _N_LONG : _N_LONG + _N_SHORT] = saturated(S[:, _LONG_COLUMNS:])
        X[:, _N_LONG + _N_SHORT : -1] = users.attributes
        X[:, -1] = 1
        return softmax(X @ _LOGITS)

    def after(self, S: Float32, cell: Ints) -> Float32:
        """Return the states after the jumps of the event."""
        return S + _JUMPS[cell]

    def attribute_columns(self, users: Users) -> dict[str, npt.NDArray[np.object_]]:
        """Return household and home."""
        family, city = (users.attributes > 0).T
        return {"household": np.where(family, "family", "single"), "home": np.where(city, "city", "country")}


def saturated(state: Float32) -> Float32:
    """Return s / (1 + s) of what is above 0."""
    above = np.maximum(state, 0)
    return above / (1 + above)
