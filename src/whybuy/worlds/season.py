"""The season shop: outdoor goods, searched for, bought in sales and at weekends, in bursts.

Its equations share nothing with the demo's. Events excite further events, the calendar moves everybody, a search opens
an intent that a purchase closes, and what people do next adds up instead of multiplying.

Calendar
    ``weekend`` = cos(2 pi (day of the week - 5.6) / 7), ``evening`` = cos(2 pi (hour - 20) / 24), and ``sale``: it is
    announced to every user within ``SALE_SPREAD_DAYS`` (logged as a campaign that all get), and its pull fades from
    then as 2 ** (-(t - announced) / SALE_HALF_LIFE_HOURS).

State
    ``intent:c``, ``basket:c``, ``doubt``, ``outdoors`` and ``spent`` start at 0 and halve. An event of a cell first
    closes what it closes (``KEEPS``: the share of a state that it leaves), then adds its jumps.

Next event
    Each event excites the next: after it, events come at the rate x(t) = x * 2 ** (-dt / EXCITED_MINUTES), where x is
    what is left of before plus ``EXCITES[action]`` expected followers. Independently, the user may come back at any
    time, at the rate per day ``RETURN_PER_DAY * exp(RETURN_SALE * sale + RETURN_MEMBER * member)`` of the sale at the
    last event, on a clock that runs faster in the evening and at the weekend. What comes first is the next event.
    Sessions are the clusters this makes.
    The event is one of 4 actions x 5 categories, with probability proportional to::

        weight[cell] = exp(BASE[cell] + sum over f of TILTS[f, cell] * f) * (1 + sum over s of GAINS[s, cell] * s)

    with f the attributes, the calendar and log(1 + s) of the states that inhibit, and s the states that excite.

What causes what
    (effect on the chance of the purchase within 7 days, beside it what co-occurrence says)

    * ``view:tents`` on ``purchase:jackets`` has the wrong sign in co-occurrence (-.020, +.025): members who intend to
      buy a jacket compare it with tents, but every look at a tent raises doubt. ``purchase:lamps`` on itself too
      (-.077, +.031): who buys in the sale would buy again, but the intent is closed.
    * ``view:tents`` on ``purchase:lamps`` and ``view:lamps`` on ``purchase:toys`` follow the attributes and the sale:
      they co-occur (+.030 and +.031) and none causes the other (within .0009 of 0).
    * A search opens the intent that ends in a purchase of its category (.064); a basket does so faster (.07); a
      purchase closes it. A tent makes people buy lamps (.021).
"""

import sys
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from whybuy import columns as c
from whybuy.worlds.chain import (
    DAY_MS,
    HOUR_MS,
    Bools,
    BusyClock,
    Draws,
    Equations,
    Float32,
    Ints,
    Pairs,
    Step,
    Users,
    arrow_matrix,
    cell_names,
    state_names,
    whole_gap,
)

ACTIONS: Final = ("search", "view", "cart", "purchase")
CATEGORIES: Final = ("jackets", "tents", "lamps", "toys", "books")
ATTRIBUTES: Final = ("member", "parent")

HALF_LIVES: Final = {"intent:c": 57.0, "basket:c": 22.0, "doubt": 44.0, "outdoors": 98.0, "spent": 76.0}

JUMPS: Final[dict[tuple[str, str], float]] = {
    ("intent:c", "search:c"): 1.0,
    ("intent:c", "view:c"): 0.02,
    ("basket:c", "cart:c"): 1.0,
    ("doubt", "view:tents"): 1.0,
    ("outdoors", "search:tents"): 1.0,
    ("outdoors", "purchase:tents"): 2.0,
    ("spent", "purchase:*"): 1.0,
}

KEEPS: Final[dict[tuple[str, str], float]] = {
    ("intent:c", "purchase:c"): 0.2,
    ("basket:c", "purchase:c"): 0.1,
}

GAINS: Final[dict[tuple[str, str], float]] = {
    ("intent:c", "view:c"): 0.7,
    ("intent:c", "cart:c"): 1.2,
    ("intent:c", "purchase:c"): 2.6,
    ("intent:jackets", "view:tents"): 4.0,
    ("intent:jackets", "purchase:jackets"): 5.0,
    ("basket:c", "purchase:c"): 4.5,
    ("outdoors", "search:books"): 1.5,
    ("outdoors", "purchase:lamps"): 1.5,
    ("outdoors", "view:books"): 1.5,
}

TILTS: Final[dict[tuple[str, str], float]] = {
    ("doubt", "purchase:jackets"): -0.7,
    ("spent", "purchase:*"): -0.4,
    ("member", "purchase:lamps"): 1.5,
    ("member", "view:toys"): 1.1,
    ("parent", "purchase:toys"): 1.3,
    ("parent", "purchase:books"): 0.9,
    ("parent", "cart:lamps"): 1.3,
    ("parent", "view:lamps"): 1.1,
    ("member", "purchase:jackets"): 1.7,
    ("member", "view:tents"): 1.1,
    ("sale", "cart:toys"): 2.2,
    ("sale", "view:toys"): 1.5,
    ("sale", "purchase:*"): 1.0,
    ("sale", "purchase:lamps"): 1.5,
    ("sale", "view:books"): -1.0,
    ("weekend", "view:tents"): 0.4,
    ("weekend", "purchase:*"): 0.25,
    ("evening", "view:books"): 0.4,
    ("evening", "search:*"): -0.2,
}

BASE: Final[dict[str, float]] = {
    "search:*": -1.9,
    "view:*": 0.0,
    "cart:*": -2.8,
    "purchase:*": -3.3,
    "view:tents": -1.4,
    "view:toys": -0.9,
    "cart:toys": -0.8,
    "purchase:jackets": -0.8,
    "purchase:lamps": -1.3,
    "purchase:toys": -0.3,
}

EXCITES: Final = {"search": 0.72, "view": 0.72, "cart": 0.72, "purchase": 0.3}
EXCITED_MINUTES: Final = 3.5
RETURN_PER_DAY: Final = 0.42
RETURN_SALE: Final = 0.5
RETURN_MEMBER: Final = 0.3
BUSY_HOUR: Final = 20.0
BUSY_SWING: Final = 0.6
BUSY_DAY: Final = 5.6
BUSY_WEEK_SWING: Final = 0.35
SALE_DAY: Final = 16.3
SALE_SPREAD_DAYS: Final = 1.7
SALE_HALF_LIFE_HOURS: Final = 77.0
SHARE_MEMBER: Final = 0.45
SHARE_PARENT: Final = 0.4

PAIRS: Pairs = {
    ("view:tents", "purchase:jackets"): "wrong sign",
    ("purchase:lamps", "purchase:lamps"): "wrong sign",
    ("view:tents", "purchase:toys"): "no cause",
    ("view:tents", "purchase:lamps"): "no cause",
    ("view:tents", "purchase:books"): "no cause",
    ("view:lamps", "purchase:toys"): "no cause",
    ("view:lamps", "purchase:jackets"): "no cause",
    ("view:books", "purchase:jackets"): "no cause",
    ("view:books", "purchase:tents"): "no cause",
    ("view:books", "purchase:toys"): "no cause",
    ("view:jackets", "purchase:tents"): "no cause",
    ("view:jackets", "purchase:toys"): "no cause",
    ("view:tents", "purchase:tents"): "cause",
    ("view:toys", "purchase:toys"): "cause",
    ("view:jackets", "purchase:jackets"): "cause",
    ("search:tents", "purchase:tents"): "cause",
    ("search:tents", "purchase:lamps"): "cause",
    ("search:lamps", "purchase:lamps"): "cause",
    ("cart:jackets", "purchase:jackets"): "cause",
    ("cart:lamps", "purchase:lamps"): "cause",
    ("purchase:tents", "purchase:lamps"): "cause",
    ("purchase:tents", "purchase:tents"): "cause",
    ("purchase:lamps", "purchase:tents"): "cause",
    ("purchase:jackets", "purchase:jackets"): "cause",
    ("cart:lamps", "purchase:*"): "cause",
    ("view:toys", "purchase:lamps"): "displacement",
    ("view:toys", "purchase:jackets"): "displacement",
    ("view:lamps", "purchase:books"): "displacement",
    ("search:tents", "purchase:jackets"): "displacement",
    ("search:lamps", "purchase:toys"): "displacement",
    ("cart:jackets", "purchase:lamps"): "displacement",
}

CELLS: Final = cell_names(ACTIONS, CATEGORIES)
_STATES = state_names(HALF_LIVES, CATEGORIES)
_RATE_PER_MS = (
    np.log(2) / (np.array([HALF_LIVES.get(s) or HALF_LIVES[f"{s.split(':')[0]}:c"] for s in _STATES]) * HOUR_MS)
).astype(np.float32)
_N_STATES = len(_STATES)
_INHIBITS = (_STATES.index("doubt"), _STATES.index("spent"))
_TILTED = ("doubt", "spent", *ATTRIBUTES, "weekend", "evening", "sale", "one")
_TILTS = arrow_matrix({**TILTS, **{("one", cell): size for cell, size in BASE.items()}}, _TILTED, CELLS)
_GAINS = arrow_matrix(GAINS, _STATES, CELLS)
_ADDS = np.ascontiguousarray(arrow_matrix(JUMPS, _STATES, CELLS).T)
_KEEPS = np.ascontiguousarray(1 + arrow_matrix({k: v - 1 for k, v in KEEPS.items()}, _STATES, CELLS).T)
_EXCITES = np.repeat([EXCITES[action] for action in ACTIONS], len(CATEGORIES)).astype(np.float32)
_EXCITED_MS = EXCITED_MINUTES * 60_000 / np.log(2)
_HOURS = np.arange(168) + 0.5
_WEEK_MS = 7 * DAY_MS
_CLOCK = BusyClock(
    (1 + BUSY_SWING * np.cos(2 * np.pi * (_HOURS - BUSY_HOUR) / 24))
    * (1 + BUSY_WEEK_SWING * np.cos(2 * np.pi * (_HOURS / 24 - BUSY_DAY) / 7)),
    period_ms=_WEEK_MS,
)


class Season(Equations):
    """Calendar, bursts, and searches that open intents."""

    name = "season"
    actions = ACTIONS
    categories = CATEGORIES
    pairs = PAIRS
    constants = sys.modules[__name__]

    def users(self, n_users: int, rng: np.random.Generator) -> Users:
        """Draw members and parents, and when each hears of the sale."""
        parts = (rng.random(n_users) < SHARE_MEMBER, rng.random(n_users) < SHARE_PARENT)
        days = SALE_DAY + SALE_SPREAD_DAYS * rng.random((n_users, 1))
        return Users.of(np.stack(parts, axis=1).astype(np.float32), np.rint(days * DAY_MS).astype(np.int64))

    def start(self, users: Users) -> Float32:
        """Return states of 0; the last column is the excitement, in expected followers."""
        return np.zeros((len(users), _N_STATES + 1), np.float32)

    def advance(
        self, S: Float32, ts_ms: Ints, users: Users, draws: Draws, *, away: Bools | None = None
    ) -> tuple[Ints, Float32]:
        """Return the earlier of an excited event and a return, and the faded states there."""
        followers = S[:, -1].astype(float)
        if away is not None:
            followers = np.where(away, 0, followers)
        # An exponential wait in expected followers; beyond those that are left there is none.
        with np.errstate(divide="ignore"):
            wanted = -np.log(draws.stay)
            excited = -np.log1p(-np.minimum(wanted / np.maximum(followers, 1e-9), 1)) * _EXCITED_MS
        rate = RETURN_PER_DAY * np.exp(RETURN_SALE * sale(users, ts_ms) + RETURN_MEMBER * users.attributes[:, 0])
        back = _CLOCK.after(ts_ms, draws.gap / (7 * rate)) - ts_ms
        gap_ms = whole_gap(np.minimum(excited + 1_500, back))
        faded = np.empty_like(S)
        gap = gap_ms.astype(np.float32)[:, None]
        faded[:, :-1] = S[:, :-1] * np.exp(-gap * _RATE_PER_MS)
        faded[:, -1:] = S[:, -1:] * np.exp(-gap / np.float32(_EXCITED_MS))
        return ts_ms + gap_ms, faded

    def probabilities(self, S: Float32, ts_ms: Ints, users: Users) -> Float32:
        """Return the shares of the weights."""
        states = np.maximum(S[:, :-1], 0)
        X = np.empty((len(S), len(_TILTED)), np.float32)
        X[:, :2] = np.log1p(states[:, _INHIBITS])
        X[:, 2:4] = users.attributes
        X[:, 4] = np.cos(2 * np.pi * (ts_ms % _WEEK_MS / DAY_MS - BUSY_DAY) / 7)
        X[:, 5] = np.cos(2 * np.pi * (ts_ms % DAY_MS / HOUR_MS - BUSY_HOUR) / 24)
        X[:, 6] = sale(users, ts_ms)
        X[:, 7] = 1
        P = np.exp(X @ _TILTS) * (1 + states @ _GAINS)
        P /= P.sum(axis=1, keepdims=True)
        return P

    def after(self, S: Float32, cell: Ints) -> Float32:
        """Return the states after the event closed, opened and excited."""
        after = np.empty_like(S)
        after[:, :-1] = S[:, :-1] * _KEEPS[cell] + _ADDS[cell]
        after[:, -1] = S[:, -1] + _EXCITES[cell]
        return after

    def attribute_columns(self, users: Users) -> dict[str, npt.NDArray[np.object_]]:
        """Return membership and household."""
        member, parent = (users.attributes > 0).T
        return {
            "membership": np.where(member, "member", "guest"),
            "household": np.where(parent, "children", "no children"),
        }

    def exposures(self, users: Users, steps: list[Step], rng: np.random.Generator) -> pd.DataFrame:  # noqa: ARG002
        """Return when everybody heard of the sale."""
        return pd.DataFrame(
            {
                c.USER: np.arange(len(users)),
                c.TIME: users.sent_ms[:, 0],
                c.CAMPAIGN: "sale",
                c.ARM: "treated",
            }
        )


def sale(users: Users, ts_ms: Ints) -> Float32:
    """Return (n,) how strong the sale is for each user, between 0 and 1."""
    hours = (ts_ms - users.sent_ms[:, 0]) / HOUR_MS
    found: Float32 = np.where(hours > 0, np.exp2(-np.maximum(hours, 0) / SALE_HALF_LIFE_HOURS), 0).astype(np.float32)
    return found
