"""The demo shop: a world whose log comes from equations, so that every effect in it is known.

A user is a chain of events in continuous time. Everything that drives the chain is *logged*: the user's own events, the
attributes in the users table, the arm of a campaign, and the clock. Nothing is hidden.

State
    Each state s starts at 0 when the log starts, decays with its half-life, and jumps at the user's own events::

        s(t) = sum over own events j < t of  JUMPS[event j, s] * 2 ** (-(t - t_j) / HALF_LIFE_HOURS[s])

    No half-life equals a window that whybuy counts in, so no count is the state.

Next event
    The user stays in the session with probability ``STAY``: the gap is 2 s plus an exponential of mean ``STAY_GAP_S``.
    Else the user returns after an exponential time on a clock that runs faster in the evening, at the rate
    ``RETURN_PER_DAY * exp(RETURN_LOYAL * loyal + RETURN_MOMENTUM * log(1 + momentum))``: the active come back sooner.
    The event is one of the 7 actions x 6 categories, by a softmax of the logits::

        logit[cell] = BASE[cell] + sum over states   ARROWS[s, cell] * log(1 + max(s, 0))
                                 + sum over features ARROWS[f, cell] * f

    where the features are ``loyal``, ``f`` (gender), ``young`` and ``old`` (age group) as 0 or 1, ``evening`` =
    cos(2 pi (hour - 20.5) / 24), and ``spring`` = 2 ** (-(t - sent) / 66 h) for *new* users in the treated arm, else 0.

Campaigns
    ``spring``: on day 14 every user is assigned treated or control, half and half; only new users respond.
    ``vip``: on day 21 sent with probability sigmoid(``VIP``) to those lately active who bought; it changes nothing.

What causes what
    (effect on the chance of the purchase within 7 days of choosing this event, beside it what co-occurrence says)

    * ``view:boots`` is the wrong-sign behavior. Being intent on shoes (``footwear``) makes people buy shoes and also
      look at boots, so the two co-occur (+.056); but every look at boots cools the intent: -.033 on ``purchase:shoes``.
    * ``view:books``, ``favorite:books`` and ``purchase:bags`` all follow ``heat`` (searches raise it, purchases cool
      it); ``favorite:cases`` follows gender as ``purchase:bags`` does, ``favorite:phones`` age as ``purchase:boots``
      does. They co-occur strongly (lifts of 1.37 to 1.45) and none causes the other: effects within .0014 of 0.
    * ``view:phones`` (+.026) and ``purchase:phones`` (+.082) cause ``purchase:cases``; a search and a cart cause
      purchases of their category (+.044 to +.081), a removal undoes a cart (-.025); a purchase spends the budget
      (``spent``) and the heat that others would have needed (``purchase:phones`` on ``purchase:bags``: -.040).
    * ``spring`` adds .142 to the chance that a new user buys anything within 7 days, 0 to that of a loyal one.

The effects themselves are computed by intervening in these equations (:mod:`whybuy.worlds.intervene`); the numbers are
stored beside this file (:mod:`whybuy.worlds.truth`).
"""

from typing import Final

import numpy as np

from whybuy.worlds.chain import DAY_MS as DAY_MS
from whybuy.worlds.chain import HOUR_MS as HOUR_MS
from whybuy.worlds.chain import Float32, arrow_matrix, cell_names, state_names

ACTIONS: Final = ("view", "search", "favorite", "cart", "remove", "purchase", "review")
CATEGORIES: Final = ("shoes", "boots", "bags", "phones", "cases", "books")
CELLS: Final = cell_names(ACTIONS, CATEGORIES)
"""What an event can be, in the order of every matrix: all categories of the first action, then of the next."""

DAYS: Final = 35

# Half-lives in hours. "s:c" stands for one state per category, "x:c" on the right for the same category.
HALF_LIVES: Final = {
    "interest:c": 8.0,
    "need:c": 54.0,
    "cart:c": 27.0,
    "owned:c": 260.0,
    "heat": 210.0,
    "spent": 130.0,
    "footwear": 58.0,
    "phone": 60.0,
    "momentum": 100.0,
}

JUMPS: Final[dict[str, dict[str, float]]] = {
    "view:c": {"interest:c": 1.0, "momentum": 1.0},
    "search:c": {"interest:c": 1.0, "need:c": 1.0, "heat": 0.6, "momentum": 1.0},
    "favorite:c": {"interest:c": 1.0, "momentum": 1.0},
    "cart:c": {"interest:c": 0.5, "cart:c": 1.0, "momentum": 1.0},
    "remove:c": {"cart:c": -1.0, "momentum": 1.0},
    "purchase:c": {"cart:c": -1.0, "need:c": -1.0, "owned:c": 1.0, "heat": -2.5, "spent": 1.0, "momentum": 1.0},
    "review:c": {"owned:c": -1.0, "momentum": 1.0},
    "search:shoes": {"footwear": 1.5},
    "favorite:shoes": {"footwear": 1.0},
    "view:shoes": {"footwear": 0.8},
    "view:boots": {"footwear": -0.6},
    "view:phones": {"phone": 1.0},
    "purchase:phones": {"phone": 4.0},
}

ARROWS: Final[dict[tuple[str, str], float]] = {
    ("interest:c", "view:c"): 0.8,
    ("interest:c", "search:c"): 0.5,
    ("interest:c", "favorite:c"): 0.7,
    ("interest:c", "cart:c"): 0.6,
    ("interest:boots", "view:boots"): -0.4,
    ("need:c", "search:c"): 0.5,
    ("need:c", "view:c"): 0.3,
    ("need:c", "cart:c"): 0.8,
    ("need:c", "purchase:c"): 0.8,
    ("cart:c", "purchase:c"): 2.0,
    ("cart:c", "remove:c"): 4.5,
    ("owned:c", "review:c"): 4.0,
    ("owned:c", "purchase:c"): -0.5,
    ("heat", "search:*"): 0.45,
    ("heat", "view:books"): 1.3,
    ("heat", "favorite:books"): 1.3,
    ("heat", "purchase:bags"): 1.2,
    ("footwear", "view:boots"): 2.0,
    ("footwear", "purchase:shoes"): 2.0,
    ("phone", "purchase:cases"): 0.9,
    ("phone", "cart:cases"): 0.5,
    ("spent", "purchase:*"): -0.7,
    ("loyal", "purchase:*"): 0.7,
    ("loyal", "favorite:*"): 0.6,
    ("loyal", "view:books"): 0.5,
    ("f", "favorite:cases"): 1.6,
    ("f", "purchase:bags"): 1.4,
    ("young", "view:phones"): 1.0,
    ("young", "favorite:phones"): 1.2,
    ("young", "purchase:boots"): 1.2,
    ("old", "view:phones"): -1.0,
    ("old", "favorite:phones"): -1.2,
    ("old", "purchase:boots"): -1.2,
    ("evening", "view:books"): 0.3,
    ("evening", "purchase:*"): 0.2,
    ("evening", "search:*"): -0.2,
    ("spring", "purchase:*"): 1.4,
}

BASE: Final[dict[str, float]] = {
    "view:*": 0.0,
    "search:*": -1.4,
    "favorite:*": -1.9,
    "cart:*": -1.9,
    "remove:*": -3.6,
    "purchase:*": -2.5,
    "review:*": -4.2,
    "view:books": -1.9,
    "view:boots": -1.9,
    "favorite:books": -1.4,
    "favorite:cases": -0.9,
    "purchase:bags": -2.0,
    "purchase:shoes": -1.3,
    "purchase:boots": -0.4,
    "purchase:cases": -0.4,
}

STAY: Final = 0.8176
STAY_GAP_S: Final = 100.0
RETURN_PER_DAY: Final = 0.142
RETURN_LOYAL: Final = 0.35
RETURN_MOMENTUM: Final = 0.4
BUSY_HOUR: Final = 20.0
BUSY_SWING: Final = 0.7
EVENING_HOUR: Final = 20.5

SHARE_LOYAL: Final = 0.45
SHARE_F: Final = 0.5
SHARE_YOUNG: Final = 0.35
SHARE_OLD: Final = 0.28

SPRING_DAY: Final = 14.4
SPRING_SPREAD_DAYS: Final = 0.2
SPRING_SHARE: Final = 0.5
SPRING_HALF_LIFE_HOURS: Final = 66.0
VIP_DAY: Final = 21.4
VIP: Final = {"constant": -6.3, "loyal": 1.5, "momentum": 1.3, "owned": 1.0}
"""Log odds of being sent ``vip``: constant + loyal + these times log(1 + the state summed over categories)."""

STATES: Final = state_names(HALF_LIVES, CATEGORIES)
HALF_LIFE_HOURS: Final = np.array(
    [hours for state, hours in HALF_LIVES.items() for _ in (CATEGORIES if state.endswith(":c") else ("",))]
)
ATTRIBUTES: Final = ("loyal", "f", "young", "old")
FEATURES: Final = (*STATES, *ATTRIBUTES, "evening", "spring", "one")
"""Rows of the logit matrix: log(1 + state), attributes, clock, campaign, and 1 for the base."""


def jump_matrix() -> Float32:
    """Return (n_cells, n_states): what an event of each cell adds to each state."""
    arrows = {(state, event): size for event, adds in JUMPS.items() for state, size in adds.items()}
    return np.ascontiguousarray(arrow_matrix(arrows, STATES, CELLS).T)


def logit_matrix() -> Float32:
    """Return (n_features, n_cells): what each feature adds to the logit of each cell."""
    return arrow_matrix({**ARROWS, **{("one", cell): size for cell, size in BASE.items()}}, FEATURES, CELLS)
