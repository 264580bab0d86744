"""A shop with treatment-confounder feedback, as a log: interest is what people view, and searching makes interest.

Week after week a user

    views on its last day    n_t      = 1 + Poisson(exp(-.3 + .35 log n_{t-1} + 1.2 A_{t-1} + .5 U))
    searches                 A_t      ~ expit(-1.8 + 1.1 log n_t + .3 A_{t-1})
    buys                     bought_t ~ expit(-2.8 + 1.4 log n_t + .5 U),  whatever is searched in the same week

with a hidden U ~ N(0, 1) that moves interest and purchases and, given the views, no search. So searching in weeks 1 to
3 raises purchases in week 4 through views alone: who searches buys more anyway, and whoever adjusts for the views of
all weeks at once finds nothing. A week begins at midnight on a landmark of the calendar.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit

HOUR, DAY = 3_600_000, 86_400_000
START = 1_699_920_000_000  # a midnight

Chance = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Weeks:
    """(n, n_weeks) each: views on the day before the week, whether one searches in it, whether one buys in it.

    U : (n,) what nobody logs
    """

    views: np.ndarray
    searched: np.ndarray
    bought: np.ndarray
    U: np.ndarray


def next_views(rng: np.random.Generator, views: np.ndarray, A: np.ndarray, U: np.ndarray) -> np.ndarray:
    return 1.0 + rng.poisson(np.exp(-0.3 + 0.35 * np.log(views) + 1.2 * A + 0.5 * U))


def chance_to_search(views: np.ndarray, before: np.ndarray) -> np.ndarray:
    return expit(-1.8 + 1.1 * np.log(views) + 0.3 * before)


def chance_to_buy(views: np.ndarray, U: np.ndarray) -> np.ndarray:
    return expit(-2.8 + 1.4 * np.log(views) + 0.5 * U)


def weeks(rng: np.random.Generator, n: int, n_weeks: int, *, chance: Chance = lambda pi: pi, first: int = 99) -> Weeks:
    """Return ``n`` users; for three weeks from ``first`` on, ``chance`` turns chances of a search into others."""
    U = rng.normal(size=n)
    views, A = np.ones(n), np.zeros(n)
    columns: list[tuple[np.ndarray, ...]] = []
    for week in range(n_weeks):
        views = next_views(rng, views, A, U)
        pi = chance_to_search(views, A)
        A = (rng.random(n) < (chance(pi) if first <= week < first + 3 else pi)).astype(float)
        columns.append((views, A, rng.random(n) < chance_to_buy(views, U)))
    return Weeks(*(np.column_stack(column) for column in zip(*columns, strict=True)), U)


def truth(chance: Chance, starts: tuple[int, ...], *, n: int = 1_000_000) -> float:
    """Return the chance of a purchase in the week after three weeks under a strategy, averaged over starts."""
    found = [
        weeks(np.random.default_rng([9, first]), n, first + 4, chance=chance, first=first).bought[:, first + 3].mean()
        for first in starts
    ]
    return float(np.mean(found))


def truth_of_one_week(starts: tuple[int, ...], *, n: int = 200_000) -> float:
    """Return the overlap-weighted effect of searching in a week on a purchase in the next one."""
    rng = np.random.default_rng(10)
    drawn = weeks(rng, n, max(starts) + 1)
    gain, weight = 0.0, 0.0
    for week in starts:
        views, before = drawn.views[:, week], drawn.searched[:, week - 1]
        pi = chance_to_search(views, before)
        arms = [chance_to_buy(next_views(rng, views, np.full(n, a), drawn.U), drawn.U) for a in (1.0, 0.0)]
        gain += float((pi * (1 - pi) * (arms[0] - arms[1])).sum())
        weight += float((pi * (1 - pi)).sum())
    return gain / weight


def log(seed: int, n: int, n_weeks: int) -> pd.DataFrame:
    """Return the events: week t is the days 1 + 7 t to 7 + 7 t; its views are on day 7 t, all else in its first six."""
    rng = np.random.default_rng(seed)
    drawn = weeks(rng, n, n_weeks)
    parts = []
    for week in range(n_weeks):
        begins = START + (1 + 7 * week) * DAY
        for action, count, low, high in (
            ("view", drawn.views[:, week].astype(int), -DAY, 0),
            ("search", drawn.searched[:, week].astype(int), 0, 6 * DAY),
            ("purchase", drawn.bought[:, week].astype(int), 0, 6 * DAY),
        ):
            user = np.repeat(np.arange(n), count)
            parts.append(
                pd.DataFrame({"user": user, "ts": begins + rng.integers(low, high, len(user)), "action": action})
            )
    events = pd.concat(parts).sort_values(["user", "ts"], kind="stable")
    return pd.DataFrame(
        {"user_id": events["user"].map("{:05d}".format), "ts": events["ts"], "action": events["action"]}
    )
