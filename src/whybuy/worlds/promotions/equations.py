"""The shop of the campaign worlds: one day of everybody at a time, from states that fade continuously.

State
    Each of a user's states starts at 0, halves with its half-life and jumps at the user's events:

    * ``momentum`` (``HALF_LIFE["momentum"]`` days): +1 with a visit, +.5 with every look;
    * ``interest:c``: +1 with every look at c;
    * ``sated``: +1 with every purchase;
    * ``pull:c`` and ``dread``: what a promotion of c adds when it is sent, see :mod:`.campaigns`.

A day
    The user comes at most once, between 6 and 23 o'clock at a time drawn evenly, with probability::

        sigmoid(VISIT + VISIT_MOMENTUM * log(1 + momentum) + VISIT_TIER[tier] - dread)

    looks once and up to three times more (each with probability ``LOOK_ON``), at categories by a softmax of
    ``LOOK[c] + LOOK_INTEREST * log(1 + interest:c)``, and then buys every category c, independently, with probability::

        sigmoid(BUY + BUY_INTEREST * log(1 + interest:c) - BUY_SATED * log(1 + sated) + pull:c)

Tier (new, regular, club) and device (web, app) are attributes that the shop knows. All states follow from what is
logged, and nothing else drives anything; the half-lives equal no window and no half-life that whybuy counts with.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import expit

from whybuy.worlds.chain import Bools, Float64, Ints, choose

CATEGORIES: Final = ("coats", "shoes", "bags", "hats")
TIERS: Final = ("new", "regular", "club")
DEVICES: Final = ("web", "app")
SHARE_TIER: Final = (0.35, 0.4, 0.25)
SHARE_APP: Final = 0.45

HALF_LIFE: Final = {"momentum": 5.3, "interest": 8.7, "sated": 11.6, "pull": 4.6, "dread": 6.1}

VISIT, VISIT_MOMENTUM = -2.6, 0.95
VISIT_TIER: Final = (0.0, 0.1, 0.5)
LOOK: Final = (0.2, 0.0, -0.1, -0.3)
LOOK_INTEREST, LOOK_ON = 0.7, 0.4
BUY, BUY_INTEREST, BUY_SATED = -4.5, 0.9, 0.6

N: Final = len(CATEGORIES)
MOMENTUM, SATED, DREAD = 0, 1, 2
INTEREST, PULL = slice(3, 3 + N), slice(3 + N, 3 + 2 * N)
N_STATES: Final = 3 + 2 * N
MAX_LOOKS: Final = 4
OPENS, CLOSES = 6 / 24, 23 / 24

_HALF_LIVES = [HALF_LIFE[name] for name in ("momentum", "sated", "dread")]
_HALF_LIVES += [HALF_LIFE["interest"]] * N + [HALF_LIFE["pull"]] * N
_RATE = np.log(2) / np.array(_HALF_LIVES)


@dataclass(frozen=True)
class People:
    """Who shops: (n,) tier and device by number."""

    tier: Ints
    device: Ints

    def __len__(self) -> int:
        return len(self.tier)

    @classmethod
    def draw(cls, n: int, rng: np.random.Generator) -> "People":
        """Return ``n`` people."""
        tier = np.searchsorted(np.cumsum(SHARE_TIER)[:-1], rng.random(n), side="right")
        return cls(tier.astype(np.int64), (rng.random(n) < SHARE_APP).astype(np.int64))

    def repeated(self, times: int) -> "People":
        """Return everybody ``times`` times, all people once before anybody twice."""
        return People(np.tile(self.tier, times), np.tile(self.device, times))


@dataclass(frozen=True)
class Known:
    """States (n, N_STATES) of everybody as they are at the times ``at`` (n,), in days since the log's start."""

    S: Float64
    at: Float64

    @classmethod
    def nothing(cls, n: int) -> "Known":
        """Return the states of ``n`` people who did nothing yet."""
        return cls(np.zeros((n, N_STATES)), np.zeros(n))

    def faded(self, to: Float64) -> "Known":
        """Return the states at the later times ``to`` (n,), nothing having happened on the way."""
        return Known(self.S * np.exp(-np.maximum(to - self.at, 0.0)[:, None] * _RATE), to)

    def repeated(self, times: int) -> "Known":
        """Return everybody ``times`` times, all people once before anybody twice."""
        return Known(np.tile(self.S, (times, 1)), np.tile(self.at, times))


@dataclass(frozen=True)
class Luck:
    """The random numbers of one day of n people; the same ones with and without a promotion."""

    hour: Float64
    visit: Float64
    looks: Float64
    category: Float64
    buy: Float64

    @classmethod
    def draw(cls, n: int, rng: np.random.Generator) -> "Luck":
        """Return the day's luck: (n,), (n,), (n, 3), (n, 4) and (n, N) uniform numbers."""
        return cls(
            rng.random(n), rng.random(n), rng.random((n, MAX_LOOKS - 1)), rng.random((n, MAX_LOOKS)), rng.random((n, N))
        )


@dataclass(frozen=True)
class Day:
    """What happened on one day.

    Attributes
    ----------
    at : (n,) when a visit takes place, or would
    visited : (n,) who came
    looked : (n, MAX_LOOKS) categories of the looks, -1 for none
    bought : (n, N) what was bought
    chance : (n, N) of each purchase, had the user come as the looks say; nothing is bought without a visit
    """

    at: Float64
    visited: Bools
    looked: Ints
    bought: Bools
    chance: Float64


def live(known: Known, people: People, day: int, luck: Luck, *, buying: bool = True) -> tuple[Known, Day]:
    """Return the states after one day, and what happened on it.

    Parameters
    ----------
    buying : whether purchases take place; without, paths go on as if nothing were bought, and ``chance`` says what is
        left out (that is how the chance of no purchase at all is computed with little noise)
    """
    at = day + OPENS + (CLOSES - OPENS) * luck.hour
    now = known.faded(at)
    S = now.S.copy()
    visited = luck.visit < expit(
        VISIT + VISIT_MOMENTUM * np.log1p(S[:, MOMENTUM]) + np.array(VISIT_TIER)[people.tier] - S[:, DREAD]
    )
    weight = np.exp(np.array(LOOK)) * (1 + S[:, INTEREST]) ** LOOK_INTEREST
    n_looks = 1 + (luck.looks < LOOK_ON).sum(axis=1)
    looked = np.full((len(people), MAX_LOOKS), -1)
    for k in range(MAX_LOOKS):
        looks = visited & (k < n_looks)
        looked[looks, k] = choose(weight[looks], luck.category[looks, k])
        S[np.flatnonzero(looks), INTEREST.start + looked[looks, k]] += 1
    chance = expit(BUY + BUY_INTEREST * np.log1p(S[:, INTEREST]) - BUY_SATED * np.log1p(S[:, [SATED]]) + S[:, PULL])
    bought = visited[:, None] & (luck.buy < chance) & buying
    S[:, MOMENTUM] += visited * (1 + 0.5 * n_looks)
    S[:, SATED] += bought.sum(axis=1)
    return Known(S, at), Day(at, visited, looked, bought, chance)
