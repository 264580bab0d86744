"""Markers: what decides how likely a decision is to be marked, learned so that it confounds.

A marker's chance is a logistic function of its own earlier marks and of four ingredients that no feature of ours
computes: decaying sums with half-lives of their own, saturating, multiplied, rising and falling; and how long ago the
last purchase was.
It is learned on users who are left out of the copy: which behaviors it remembers, how fast it forgets and how the
ingredients are weighted all follow one of the log's outcomes, so that marks gather where purchases follow anyway.
How often it marks, and how well its marks can be told, are those of a behavior that this log really has.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import entr, expit, logit
from sklearn.linear_model import LogisticRegression

from whybuy.behavior.family import HALF_LIVES
from whybuy.causal.certificate.arrays import N_CHANNELS, Rules
from whybuy.causal.certificate.past import Lessons
from whybuy.causal.certificate.walk import ingredients, walk
from whybuy.causal.effects import Effect
from whybuy.errors import QuestionError
from whybuy.events.features import decayed_counts

Float64 = npt.NDArray[np.float64]

_HOUR_MS = 3_600_000
_HALF_LIFE_HOURS = (1.5, 200.0)
_APART = 1.25
"""Half-lives of ours that a marker's must not come near, as a factor."""
_REST_HOURS = (24.0, 240.0)
_N_CANDIDATES = 24
_FREQUENCIES = (0.008, 0.15)
_EXPLAINED = (0.01, 0.3)
_STEEPEST = 6.0
_OWN = (-0.8, 0.8)
"""Weight of own marks: a marker that tires, and one that goes on."""
_GIFTS = (0.08, 0.2)
"""The largest chance that a mark adds a purchase: effects of a few in a hundred, as real ones are."""
_FEWEST = 30
"""Outcomes that a marker can be learned from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """One marker.

    Attributes
    ----------
    name : the behavior that its marks are
    like : a behavior of the log, as frequent and as predictable
    toward : the outcome that it was learned from
    remembers : columns of the log's behaviors, four
    half_life_ms : of those, and of its own marks
    rest_ms : after which a purchase is half forgotten
    weight : of the four ingredients and of its own marks; intercept beside
    gift : the largest chance that a mark adds a purchase; 0 for one that does nothing
    frequency, explained : share of decisions marked, and share of the marks' entropy that the history explains
    """

    name: str
    like: str
    toward: str
    remembers: tuple[int, ...]
    half_life_ms: tuple[float, ...]
    rest_ms: float
    weight: tuple[float, ...]
    intercept: float
    gift: float
    frequency: float
    explained: float

    @property
    def is_null(self) -> bool:
        """Whether the marks do nothing."""
        return self.gift == 0.0

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Likeness:
    """A behavior of the log that a marker is to be like."""

    behavior: str
    frequency: float
    explained: float


def likenesses(effects: Sequence[Effect]) -> list[Likeness]:
    """Return the treatments of a scan with how often they are done and how well the model tells them.

    ``explained`` is 1 - log-loss / entropy of the base rate (McFadden, 1974). What is rarer, commoner or harder to tell
    than a certificate can use is brought to the limit.
    """
    found: dict[str, Likeness] = {}
    for effect in effects:
        said = effect.checks.get("nuisance", {})
        if effect.treatment != effect.outcome and "e_log_loss_model" in said and effect.effect.estimate is not None:
            told = 1 - said["e_log_loss_model"] / said["e_log_loss_base"]
            found[effect.treatment] = Likeness(
                effect.treatment,
                float(np.clip(said["e_base_rate"], *_FREQUENCIES)),
                float(np.clip(told, *_EXPLAINED)),
            )
    return [found[name] for name in sorted(found)]


def rules_of(markers: Sequence[Marker], lessons: Lessons) -> Rules:
    """Return the markers as arrays; donors are those of ``lessons``."""
    return Rules(
        channel=np.array([m.remembers for m in markers]),
        rate=np.log(2) / np.array([m.half_life_ms for m in markers]),
        rest=1 / np.array([m.rest_ms for m in markers]),
        weight=np.array([m.weight for m in markers]),
        intercept=np.array([m.intercept for m in markers]),
        gift=np.array([m.gift for m in markers]),
        wait_ms=lessons.protocol.horizon_ms / 8,
        horizon_ms=lessons.protocol.horizon_ms,
        pool_counts=lessons.pool.counts,
        pool_bought=lessons.pool.bought,
    )


def learn_markers(
    lessons: Lessons, names: Sequence[str], like: Sequence[Likeness], *, n_spiked: int, rng: np.random.Generator
) -> list[Marker]:
    """Return a marker per name, the first ``n_spiked`` of them with donors.

    Raises
    ------
    QuestionError
        No outcome is common enough among the users to learn from, or the log has no behavior to be like.
    """
    if not like:
        raise QuestionError.of(
            found="The scan could answer no pair of this log",
            needed="a treatment with an estimate, which markers can be like",
            do="Bring a longer log",
        )
    teachable = [a for a in range(len(lessons.outcomes)) if lessons.followed(a).sum() >= _FEWEST]
    if not teachable:
        raise QuestionError.of(
            found=f"No outcome follows {_FEWEST} decisions of the users that marks are learned on",
            needed="a log with more purchases",
            do="Bring a longer log",
        )
    # Commoner behaviors are likelier to be matched: theirs are the answers that people act on.
    odds = np.sqrt([one.frequency for one in like])
    found = []
    for k, name in enumerate(names):
        gift = float(rng.uniform(*_GIFTS)) if k < n_spiked else 0.0
        chosen = like[int(rng.choice(len(like), p=odds / odds.sum()))]
        marker = _learned(lessons, teachable[k % len(teachable)], chosen, rng)
        found.append(_named(marker, name, gift, lessons, int(rng.integers(2**32))))
    return found


def _learned(lessons: Lessons, outcome: int, like: Likeness, rng: np.random.Generator) -> Marker:
    """Return a marker that follows ``outcome`` and is like ``like``, its own marks aside."""
    y, asked = lessons.followed(outcome), lessons.trials
    remembers, half_lives = _remembered(lessons, y, rng)
    raw = Marker(
        name="",
        like=like.behavior,
        toward=lessons.outcomes[outcome],
        remembers=remembers,
        half_life_ms=(*half_lives, float(_half_lives(1, rng)[0])),
        rest_ms=float(_log_uniform(*_REST_HOURS, 1, rng)[0]) * _HOUR_MS,
        weight=(0.0,) * (N_CHANNELS + 1),
        intercept=0.0,
        gift=0.0,
        frequency=like.frequency,
        explained=like.explained,
    )
    z = ingredients(lessons.past, rules_of([raw], lessons))[asked, 0]
    spread = np.maximum(z.std(axis=0), 1e-6)
    direction = LogisticRegression().fit((z - z.mean(axis=0)) / spread, y[asked]).coef_[0] / spread
    eta = z @ direction
    steepness, intercept = _matched(eta, like)
    weight = (*(steepness * direction).tolist(), float(rng.choice(_OWN)))
    return replace(raw, weight=weight, intercept=intercept)


def _remembered(
    lessons: Lessons, y: npt.NDArray[np.bool_], rng: np.random.Generator
) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Return behaviors and half-lives: of those drawn, the ones that go with the outcome most."""
    past, asked = lessons.past, lessons.trials
    columns = rng.choice(past.counts.shape[1], _N_CANDIDATES, replace=past.counts.shape[1] < _N_CANDIDATES)
    strength = {}
    for column, half_life in zip(columns.tolist(), _half_lives(_N_CANDIDATES, rng).tolist(), strict=True):
        s = decayed_counts(*lessons.history(column), half_life)[asked, 0]
        s = s / (1 + s)
        strength[column, half_life] = abs(float(np.corrcoef(s, y[asked])[0, 1])) if s.std() > 0 else 0.0
    best = sorted(strength, key=lambda one: -strength[one])[:N_CHANNELS]
    return tuple(column for column, _ in best), tuple(half_life for _, half_life in best)


def _half_lives(n: int, rng: np.random.Generator) -> Float64:
    """Return ``n`` half-lives in milliseconds, none of them near one of ours."""
    ours = np.array(HALF_LIVES) / _HOUR_MS
    hours = _log_uniform(*_HALF_LIFE_HOURS, 20 * n, rng)
    apart = np.abs(np.log(hours[:, None] / ours)).min(axis=1) > np.log(_APART)
    found: Float64 = hours[apart][:n] * _HOUR_MS
    return found


def _log_uniform(low: float, high: float, n: int, rng: np.random.Generator) -> Float64:
    return np.exp(rng.uniform(np.log(low), np.log(high), n))


def _matched(eta: Float64, like: Likeness) -> tuple[float, float]:
    """Return steepness and intercept with which expit(intercept + steepness eta) is as ``like``."""

    def intercept(steepness: float) -> float:
        at = steepness * eta
        return float(brentq(lambda a: expit(a + at).mean() - like.frequency, -60 - at.max(), 60 - at.min()))

    def lacks(steepness: float) -> float:
        return explained(expit(intercept(steepness) + steepness * eta)) - like.explained

    most = _STEEPEST / max(float(eta.std()), 1e-9)
    steepness = most if lacks(most) <= 0 else float(brentq(lacks, 0.0, most, rtol=1e-4))
    return steepness, intercept(steepness)


def explained(chance: Float64) -> float:
    """Return the share of the entropy of marks that knowing their chances takes away."""
    p = float(chance.mean())
    return 1 - float((entr(chance) + entr(1 - chance)).mean()) / float(entr(p) + entr(1 - p))


def _named(marker: Marker, name: str, gift: float, lessons: Lessons, seed: int) -> Marker:
    """Return the marker under its name, as frequent as it should be with its own marks and donors counted."""
    marker, wanted = replace(marker, name=name, gift=gift), marker.frequency
    for _ in range(4):
        chance = _chances(marker, lessons, seed)
        marker = replace(marker, intercept=marker.intercept + float(logit(wanted) - logit(chance.mean())))
    chance = _chances(marker, lessons, seed)
    return replace(marker, frequency=float(chance.mean()), explained=explained(chance))


def _chances(marker: Marker, lessons: Lessons, seed: int) -> Float64:
    found: Float64 = walk(lessons.past, rules_of([marker], lessons), seed=seed).chance[lessons.trials, 0]
    return found
