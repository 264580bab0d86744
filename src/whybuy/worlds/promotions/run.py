"""A promotion shop day by day, and the same days again with somebody else being sent something."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from whybuy.worlds.chain import Bools, Float64
from whybuy.worlds.promotions.campaigns import DAYS, HORIZON_DAYS, WAVE_DAYS, Kind, Promotion, promotions_of
from whybuy.worlds.promotions.equations import Day, Known, Luck, People, live

_PEOPLE, _NIGHT, _DAY, _PATHS = range(1, 5)
"""Streams of random numbers."""


@dataclass(frozen=True)
class Sending:
    """One promotion as it went out.

    Attributes
    ----------
    before : everybody's states when it was sent, it left out; at : (n,) that time, in days
    chance : (n,) of being sent it; sent : (n,) who was
    """

    promotion: Promotion
    before: Known
    at: Float64
    chance: Float64
    sent: Bools


@dataclass(frozen=True)
class Run:
    """What everybody did over the whole time.

    Attributes
    ----------
    days : what happened, day by day
    sendings : by campaign id
    """

    seed: int
    people: People
    promotions: tuple[Promotion, ...]
    days: tuple[Day, ...]
    sendings: Mapping[str, Sending] = field(default_factory=dict)

    def bought_after(self, name: str) -> Bools:
        """Return (n,) who bought anything within the horizon after a promotion was sent."""
        day = self.sendings[name].promotion.day
        found: Bools = np.any([d.bought.any(axis=1) for d in self.days[day : day + HORIZON_DAYS]], axis=0)
        return found


def run(kind: Kind, seed: int, n_users: int, *, effect: float | None = None) -> Run:
    """Return the days of a shop; the same seed and number of users give the same ones."""
    return _run(promotions_of(kind, effect=effect), seed, n_users, {})


def rerun(found: Run, sent: Mapping[str, bool]) -> Run:
    """Return the same days with the same luck, had the named promotions been sent to everybody (True) or nobody."""
    return _run(found.promotions, found.seed, len(found.people), sent)


def _run(promotions: tuple[Promotion, ...], seed: int, n: int, forced: Mapping[str, bool]) -> Run:
    people = People.draw(n, np.random.default_rng([seed, _PEOPLE]))
    known, days, sendings = Known.nothing(n), [], {}
    for day in range(DAYS):
        for promotion in promotions:
            if promotion.day == day:
                sending = _sending(promotion, known, people, seed, forced.get(promotion.name))
                sendings[promotion.name] = sending
                known = promotion.sent_to(sending.before, people, sending.sent)
        known, happened = live(known, people, day, Luck.draw(n, np.random.default_rng([seed, _DAY, day])))
        days.append(happened)
    return Run(seed, people, promotions, tuple(days), sendings)


def _sending(promotion: Promotion, known: Known, people: People, seed: int, forced: bool | None) -> Sending:
    rng = np.random.default_rng([seed, _NIGHT, promotion.day])
    at = promotion.day + WAVE_DAYS * (0.1 + 0.9 * rng.random(len(people)))
    before = known.faded(at)
    chance = promotion.chance(before, people)
    sent = rng.random(len(people)) < chance
    return Sending(promotion, before, at, chance, sent if forced is None else np.full(len(people), forced))


def with_and_without(found: Run, name: str) -> tuple[Bools, Bools]:
    """Return (n,) who would have bought within the horizon, had everybody and had nobody been sent a promotion.

    Everybody has the same luck in both; the other promotions go on as they do.
    """
    one, other = (rerun(found, {name: sent}).bought_after(name) for sent in (True, False))
    return one, other


def chances(found: Run, name: str, *, n_paths: int = 40) -> tuple[Float64, Float64]:
    """Return (n,) P(purchase within the horizon | logged history) when sent a promotion and when not.

    No other promotion follows.

    Until the first purchase a path is one without purchases, so that P(none) is the mean over such paths of the product
    of their days' chances of none: what is averaged is a chance, not an outcome, and ``n_paths`` can be few. Both
    have the same luck.
    """
    sending = found.sendings[name]
    people, before = found.people.repeated(n_paths), sending.before.repeated(n_paths)
    shape = (n_paths, len(found.people))
    both = []
    for sent in (True, False):
        known = sending.promotion.sent_to(before, people, np.full(len(people), sent))
        none = np.ones(len(people))
        for day in range(sending.promotion.day, sending.promotion.day + HORIZON_DAYS):
            luck = Luck.draw(len(people), np.random.default_rng([found.seed, _PATHS, day]))
            known, happened = live(known, people, day, luck, buying=False)
            none *= np.where(happened.visited, np.prod(1 - happened.chance, axis=1), 1.0)
        both.append(1 - none.reshape(shape).mean(axis=0))
    return both[0], both[1]
