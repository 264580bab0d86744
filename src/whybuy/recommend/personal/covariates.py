"""What was known of a user and an item just before the item could be shown.

How often, and how long ago, the user looked at, marked, bought or was shown the item itself, its category, its brand
and anything. It is about the relation of user and item, not about ids, so that a new item of a known category and a
user of yesterday have it too. Nothing at or after the moment counts.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from whybuy.recommend.personal.acts import Acts
from whybuy.recommend.personal.opportunities import EventLine
from whybuy.recommend.terms import CART_ACTIONS, VIEW_ACTIONS

Ints = npt.NDArray[np.int64]
Covariates = npt.NDArray[np.float32]

GROUPS = {
    "looked at": VIEW_ACTIONS,
    "marked": CART_ACTIONS,
    "bought": ("purchase",),
    "was shown": ("impression",),
}
LEVELS = ("the item", "its category", "its brand", "anything")
_COUNTED = LEVELS[:3]
_HOUR_MS, _DAY_MS = 3_600_000, 86_400_000


@dataclass(frozen=True)
class Items:
    """What the catalog says of every item, (n_items,) each; 0 stands for an unknown category or brand.

    Attributes
    ----------
    log_price : NaN where unknown
    """

    category: Ints
    brand: Ints
    log_price: npt.NDArray[np.float64]

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self.category)

    def things(self, item: Ints) -> tuple[Ints, ...]:
        """Return the numbers that ``item`` (n,) has on each of the levels."""
        return item, self.category[item], self.brand[item], np.zeros_like(item)

    def features(self) -> Covariates:
        """Return (n_items, d): category and brand, one column each, and the standardized log price, if known."""
        known = np.isfinite(self.log_price)
        spread = self.log_price[known].std() if known.any() else 0.0
        price = np.zeros((len(self), 2))
        price[:, 1] = known
        if spread > 0:
            price[known, 0] = (self.log_price[known] - self.log_price[known].mean()) / spread
        return np.concatenate([_columns(self.category), _columns(self.brand), price], axis=1).astype(np.float32)


_MOST_COLUMNS = 256


def _columns(number: Ints) -> npt.NDArray[np.float64]:
    """Return (n, m) one column for each of the commonest numbers but 0, the unknown."""
    size = np.bincount(number)
    common = np.argsort(-size, kind="stable")
    common = common[(common > 0) & (size[common] > 0)][:_MOST_COLUMNS]
    return (number[:, None] == np.sort(common)).astype(float)


@dataclass(frozen=True)
class Histories:
    """The events of one shard's users, by level and group of actions.

    Attributes
    ----------
    lines : one for every level and group
    windows_ms : counts are taken within each, and ever
    """

    lines: dict[tuple[str, str], EventLine]
    windows_ms: tuple[int, ...]

    @classmethod
    def of(cls, acts: Acts, items: Items, windows_ms: tuple[int, ...]) -> "Histories":
        """Return the lines of what people did and were shown."""
        lines = {}
        for group, actions in GROUPS.items():
            at = np.flatnonzero(acts.is_of(actions))
            for level, thing in zip(LEVELS, items.things(acts.item[at]), strict=True):
                lines[level, group] = EventLine.of(acts.user[at], thing, acts.ts[at])
        return cls(lines, windows_ms)

    @property
    def names(self) -> tuple[str, ...]:
        """The covariates, in order."""
        spans = [f"within {w / _DAY_MS:g} days" for w in self.windows_ms] + ["ever"]
        return tuple(
            f"{what} {group} {level}"
            for level in LEVELS
            for group in GROUPS
            for what in (*(f"times {span}" for span in spans if level in _COUNTED), "how lately")
        )

    def covariates(self, user: Ints, item: Ints, ts: Ints, items: Items) -> Covariates:
        """Return (n, d) the covariates of each user and item at each time.

        Counts are log(1 + times); how lately is 1 / sqrt(1 + hours since), which is 0 for never.
        """
        columns: list[npt.NDArray[np.float32]] = []
        for level, thing in zip(LEVELS, items.things(item), strict=True):
            for group in GROUPS:
                counts, since = self.lines[level, group].past(user, thing, ts, self.windows_ms)
                if level in _COUNTED:
                    columns += [np.log1p(count).astype(np.float32) for count in counts]
                lately = np.where(np.isnan(since), 0.0, 1 / np.sqrt(1 + since / _HOUR_MS))
                columns.append(lately.astype(np.float32))
        return np.stack(columns, axis=1)
