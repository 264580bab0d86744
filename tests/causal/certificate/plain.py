"""The walk again, as slow and plain as can be: every sum from the start, every replay from the first event."""

import math
from dataclasses import dataclass

import numpy as np

from whybuy.causal.certificate.arrays import Past, Rules

MASK = 2**64 - 1


def uniform(key: int, ts: int, draw: int) -> float:
    x = (key + ts * 0x9E3779B97F4A7C15 + draw * 0xD1B54A32D192ED03) & MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return ((x ^ (x >> 31)) >> 11) / 2**53


@dataclass
class Person:
    """One user's moments, walked through with one key before moment ``turn`` and another from there on."""

    past: Past
    rules: Rules
    moments: range
    keys: tuple[int, int]
    turn: int
    forced: tuple[int, bool] | None = None

    def walk(self) -> None:
        K = len(self.rules.intercept)
        self.marks: dict[int, list[bool]] = {}
        self.chances: dict[int, list[float]] = {}
        self.donor: dict[int, int] = {}
        self.waiting: list[tuple[int, int, int]] = []
        for i in self.moments:
            ts, key = int(self.past.ts_ms[i]), self.keys[i >= self.turn]
            self.waiting = [one for one in self.waiting if one[1] >= ts]
            due = [one for one in self.waiting if one[0] <= ts] if self.past.decided[i] else []
            if due:
                self.waiting.remove(due[0])
            chances = [self.chance(k, i) if self.past.decided[i] else 0.0 for k in range(K)]
            marks = [self.past.decided[i] and uniform(key, ts, 4 * k) < chances[k] for k in range(K)]
            if self.forced is not None and i == self.turn:
                marks[self.forced[0]] = self.forced[1]
            for k in range(K):
                gift = self.rules.gift[k] * (0.4 + 0.6 * self.rested(k, i))
                if marks[k] and uniform(key, ts, 4 * k + 1) < gift:
                    wait = -self.rules.wait_ms * math.log(1 - uniform(key, ts, 4 * k + 2))
                    which = int(uniform(key, ts, 4 * k + 3) * len(self.rules.pool_bought))
                    self.waiting.append((ts + 1 + int(wait), ts + self.rules.horizon_ms, which))
            self.marks[i], self.chances[i], self.donor[i] = marks, chances, due[0][2] if due else -1

    def events(self, i: int, column: int) -> int:
        donor = self.donor[i]
        return int(self.past.counts[i, column]) + (int(self.rules.pool_counts[donor, column]) if donor >= 0 else 0)

    def bought(self, i: int) -> np.ndarray:
        donor = self.donor[i]
        return self.past.bought[i] | (self.rules.pool_bought[donor] if donor >= 0 else 0)

    def before(self, i: int) -> list[int]:
        return [j for j in self.moments if j < i]

    def decayed(self, k: int, j: int, i: int) -> float:
        column, rate = self.rules.channel[k, j], self.rules.rate[k, j]
        ages = {e: int(self.past.ts_ms[i] - self.past.ts_ms[e]) for e in self.before(i)}
        return sum(self.events(e, column) * math.exp(-rate * age) for e, age in ages.items())

    def rested(self, k: int, i: int) -> float:
        times = [int(self.past.ts_ms[e]) for e in self.before(i) if self.bought(e).any()]
        if not times:
            return 1.0
        x = (int(self.past.ts_ms[i]) - max(times)) * self.rules.rest[k]
        return x / (1 + x)

    def chance(self, k: int, i: int) -> float:
        s = [self.decayed(k, j, i) for j in range(4)]
        ages = {e: int(self.past.ts_ms[i] - self.past.ts_ms[e]) for e in self.before(i)}
        own = sum(self.marks[e][k] * math.exp(-self.rules.rate[k, 4] * age) for e, age in ages.items())
        parts = [
            s[0] / (1 + s[0]),
            s[1] / (1 + s[1]) * s[2] / (1 + s[2]),
            s[3] * math.exp(1 - s[3]),
            self.rested(k, i),
            own / (1 + own),
        ]
        total = self.rules.intercept[k] + sum(w * p for w, p in zip(self.rules.weight[k], parts, strict=True))
        return 1 / (1 + math.exp(-total))


def true_effects(past: Past, rules: Rules, keys: tuple[list[int], list[int]], asked: np.ndarray) -> np.ndarray:
    """Return the (K, n_outcomes) weighted truths."""
    K, A = len(rules.intercept), past.bought.shape[1]
    gain, weight = np.zeros((K, A)), np.zeros((K, A))
    for u in range(len(past.key)):
        moments, both = range(past.offsets[u], past.offsets[u + 1]), (keys[0][u], keys[1][u])
        drawn = Person(past, rules, moments, both, turn=moments.stop)
        drawn.walk()
        for i in moments:
            if not asked[i]:
                continue
            for k in range(K):
                followed = []
                for on in (True, False):
                    person = Person(past, rules, moments, both, turn=i, forced=(k, on))
                    person.walk()
                    within = [e for e in moments if e > i and past.ts_ms[e] <= past.ts_ms[i] + rules.horizon_ms]
                    followed.append(np.array([[person.bought(e)[a] for e in within] for a in range(A)]).any(axis=1))
                w = drawn.chances[i][k] * (1 - drawn.chances[i][k])
                free = drawn.bought(i) == 0
                gain[k] += w * free * (followed[0].astype(float) - followed[1])
                weight[k] += w * free
    return gain / weight
