"""What the demo shop sells and the words people use in it: items, search queries, reviews.

None of it drives behavior: the equations of :mod:`whybuy.worlds.demo` know categories only. Within a category the
item is drawn by popularity and by what the user lately saw, carted or bought.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from whybuy import columns as c
from whybuy.worlds.chain import DAY_MS, Step, choose
from whybuy.worlds.demo import ACTIONS, CATEGORIES

ITEMS_PER_CATEGORY = 40
_POPULARITY_POWER = 0.8
_SEEN_HALF_LIFE_DAYS = 2.0

_BRANDS = ("Alder", "Brook", "Cobalt", "Dune", "Ember", "Fjord", "Grove", "Harbor")
_MEDIAN_PRICE = {"shoes": 79, "boots": 129, "bags": 95, "phones": 449, "cases": 22, "books": 16}
_STYLES = {
    "shoes": ("running shoes", "canvas sneakers", "leather loafers", "trail shoes"),
    "boots": ("ankle boots", "winter boots", "hiking boots", "rain boots"),
    "bags": ("tote bag", "backpack", "shoulder bag", "weekender"),
    "phones": ("compact phone", "large-screen phone", "camera phone", "rugged phone"),
    "cases": ("clear case", "leather case", "shockproof case", "wallet case"),
    "books": ("crime novel", "cookbook", "travel guide", "biography"),
}
_TONES = ("black", "sand", "navy", "olive", "red")
_EXTRA_QUERY_WORDS = ("", "sale", "best", "cheap", "new")
_REVIEWS = {
    1: ("Broke within a week, very disappointed with these {style}.", "Not as described. I want my money back."),
    2: ("The {style} looked better in the pictures.", "Poor quality for the price, arrived late too."),
    3: ("The {style} does the job, nothing special.", "Average. Delivery was fine, the finish could be better."),
    4: ("Good {style}, happy with the purchase.", "Nice quality, a little expensive."),
    5: ("Excellent {style}, exactly what I wanted!", "Love it. Great quality and quick delivery."),
}
_RATING_SHARES = np.array([0.05, 0.07, 0.15, 0.33, 0.40])

_VIEW, _CART, _REMOVE, _PURCHASE, _REVIEW = (ACTIONS.index(a) for a in ("view", "cart", "remove", "purchase", "review"))


def draw_items(rng: np.random.Generator) -> pd.DataFrame:
    """Return the items table, in the order of item positions: all items of the first category, then of the next."""
    rows = []
    for category in CATEGORIES:
        prices = _MEDIAN_PRICE[category] * np.exp(0.35 * rng.standard_normal(ITEMS_PER_CATEGORY))
        for number, price in enumerate(prices):
            style = _style(category, number)
            brand, tone = rng.choice(_BRANDS), rng.choice(_TONES)
            rows.append(
                {
                    c.ITEM: f"{category}-{number + 1:03d}",
                    c.CATEGORY: category,
                    c.BRAND: str(brand),
                    c.PRICE: round(float(price), 2),
                    c.TITLE: f"{brand} {style}, {tone}",
                    c.DESCRIPTION: f"{style.capitalize()} by {brand} in {tone}. Free returns within 30 days.",
                    c.AVAILABLE: bool(rng.random() < 0.97),
                }
            )
    return pd.DataFrame(rows)


def _style(category: str, number: int) -> str:
    styles = _STYLES[category]
    return styles[number % len(styles)]


@dataclass
class ItemMemory:
    """What every user saw, carted and bought, while their events are walked through in time.

    Attributes
    ----------
    seen, carted, bought : (n_users, n_items) float32; ``seen`` decays
    last_ms : (n_users,) when ``seen`` was last decayed
    """

    seen: npt.NDArray[np.float32]
    carted: npt.NDArray[np.float32]
    bought: npt.NDArray[np.float32]
    last_ms: npt.NDArray[np.int64]

    @classmethod
    def empty(cls, n_users: int) -> "ItemMemory":
        """Return the memory at the log's start."""
        n_items = len(CATEGORIES) * ITEMS_PER_CATEGORY
        seen, carted, bought = (np.zeros((n_users, n_items), np.float32) for _ in range(3))
        return cls(seen, carted, bought, last_ms=np.zeros(n_users, np.int64))

    def draw(self, step: Step, rng: np.random.Generator) -> npt.NDArray[np.int64]:
        """Return (n,) the item position of each event of the step, and remember it.

        Looks go by popularity x (1 + recent looks); a removal takes what is in the cart, a review what was bought.
        """
        action, category = np.divmod(step.cell, len(CATEGORIES))
        gap_days = (step.ts_ms - self.last_ms[step.user]) / DAY_MS
        self.seen[step.user] *= np.exp2(-gap_days / _SEEN_HALF_LIFE_DAYS).astype(np.float32)[:, None]
        self.last_ms[step.user] = step.ts_ms
        columns = category[:, None] * ITEMS_PER_CATEGORY + np.arange(ITEMS_PER_CATEGORY)
        rows = step.user[:, None]
        popularity = (1 + np.arange(ITEMS_PER_CATEGORY)) ** -_POPULARITY_POWER
        wanted = popularity * (1 + 4 * self.seen[rows, columns])
        for taken, owned in ((_REMOVE, self.carted), (_REVIEW, self.bought)):
            at = action == taken
            wanted[at] = 1e-3 * popularity + owned[rows[at], columns[at]]
        item = category * ITEMS_PER_CATEGORY + choose(wanted, rng.random(len(step.cell)))
        self._remember(step.user, item, action)
        return item

    def _remember(
        self, user: npt.NDArray[np.int64], item: npt.NDArray[np.int64], action: npt.NDArray[np.int64]
    ) -> None:
        self.seen[user, item] += np.where(action == _VIEW, 1, np.where(action == _CART, 2, 0))
        self.carted[user, item] = np.select(
            [action == _CART, (action == _REMOVE) | (action == _PURCHASE)], [1, 0], self.carted[user, item]
        )
        self.bought[user, item] += action == _PURCHASE


def draw_queries(category: npt.NDArray[np.int64], rng: np.random.Generator) -> list[str]:
    """Return the text of a search in each category."""
    kind = rng.integers(0, 6, len(category))
    number = rng.integers(0, 4, len(category))
    word = rng.integers(0, len(_EXTRA_QUERY_WORDS), len(category))
    brand = rng.integers(0, len(_BRANDS), len(category))
    return [
        _query(CATEGORIES[k], int(a), _STYLES[CATEGORIES[k]][n], _EXTRA_QUERY_WORDS[x], _BRANDS[b])
        for k, a, n, x, b in zip(category, kind, number, word, brand, strict=True)
    ]


def _query(category: str, kind: int, style: str, word: str, brand: str) -> str:
    if kind < 3:
        return category
    if kind == 3:
        return f"{brand.casefold()} {category}"
    return f"{word} {style}".strip()


def draw_reviews(item: npt.NDArray[np.int64], rng: np.random.Generator) -> tuple[npt.NDArray[np.float64], list[str]]:
    """Return rating and text of a review of each item; the text fits the rating."""
    rating = 1 + rng.choice(5, size=len(item), p=_RATING_SHARES)
    variant = rng.integers(0, 2, len(item))
    texts = []
    for position, stars, which in zip(item, rating, variant, strict=True):
        category, number = divmod(int(position), ITEMS_PER_CATEGORY)
        texts.append(_REVIEWS[int(stars)][which].format(style=_style(CATEGORIES[category], number)))
    return rating.astype(np.float64), texts
