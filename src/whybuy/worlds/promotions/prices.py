"""A shop whose prices change by category and week, in part because of demand; the elasticities are known.

Demand
    In week w user u buys c in Poisson numbers of mean::

        exp(TASTE + interest_u:c's share + trend_c(w) + season(w) + ELASTICITY[c] * log(price_c(w) / usual_c))

    with ``LOYALTY * log(1 + interest_u:c)`` for the share, ``interest`` a state that fades with a half-life of
    ``HALF_LIFE_DAYS`` and rises by 1 with every view. Views are Poisson too, of mean ``exp(VIEWS + trend + season)``
    times a user's own pace, and do not see the price. ``trend_c`` is a fashion that comes and goes (an autoregression
    with ``TREND_KEEPS`` a week), ``season`` is common to all.

Prices
    ``log(price_c(w) / usual_c)`` is the sum of

    * ``SEASON_PRICE * season(w)``: dear when everybody buys;
    * ``DEMAND_PRICE *`` (log of the category's views so far, fading with a half-life of ``SETTER_DAYS``, against its
      usual): the shop raises prices of what is looked at, and what is looked at will be bought more this week too;
    * ``COST_PRICE *`` a cost that is drawn anew every week, the part that is like an experiment;

    rounded to whole percents. The first two make buyers of dear things look insensitive: a plain regression of what is
    sold on its price finds elasticities near 0. All that the shop sees of demand is in the log.

The elasticity is of what is bought within the week at its price, with everything before as it was.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from whybuy import columns as c
from whybuy.worlds.chain import DAY_MS, HOUR_MS, Float64, Ints
from whybuy.worlds.promotions.log import ITEMS_PER_CATEGORY, in_contract, item_table, rows_of
from whybuy.worlds.shop import Shop

CATEGORIES: Final = ("coffee", "tea", "wine", "cheese", "nuts", "honey")
ELASTICITY: Final = (-0.6, -1.0, -1.4, -1.8, -2.2, -2.6)
N: Final = len(CATEGORIES)

WEEKS: Final = 60
TASTE: Final = -3.6
LOYALTY, HALF_LIFE_DAYS = 0.35, 16.3
VIEWS: Final = -1.9
PACE_SPREAD: Final = 0.5
TREND_KEEPS, TREND_SPREAD = 0.75, 0.12
SEASON_SPREAD: Final = 0.2
SETTER_DAYS: Final = 5.7
SEASON_PRICE, DEMAND_PRICE, COST_PRICE = 0.35, 0.35, 0.08

_WEEK_DAYS = 7


@dataclass(frozen=True)
class PriceRun:
    """A drawn shop.

    Attributes
    ----------
    shop : its log
    elasticity : category -> the change of units in percent for one percent of price
    log_price : (WEEKS, N) log of price / usual price
    units : (WEEKS, N) sold
    """

    shop: Shop
    elasticity: dict[str, float]
    log_price: Float64
    units: Ints


def draw_prices(
    seed: int, n_users: int = 2_000, *, weeks: int = WEEKS, moving: bool = True, apart: bool = True
) -> PriceRun:
    """Return a shop; the same seed and size give the same one.

    Parameters
    ----------
    moving : whether prices move at all
    apart : whether they move apart from the calendar; otherwise they follow the season alone, all alike
    """
    rng, luck = (np.random.default_rng([seed, k]) for k in (21, 23))
    pace = np.exp(PACE_SPREAD * rng.standard_normal(n_users) - PACE_SPREAD**2 / 2)
    season = SEASON_SPREAD * np.sin(2 * np.pi * np.arange(weeks) / 26) + 0.1 * rng.standard_normal(weeks)
    trend = np.zeros(N)
    interest, seen = np.zeros((n_users, N)), np.full(N, np.nan)
    prices, bought, viewed = [], [], []
    for week in range(weeks):
        trend = TREND_KEEPS * trend + TREND_SPREAD * rng.standard_normal(N)
        usual = n_users * np.exp(VIEWS) / (1 - 0.5 ** (_WEEK_DAYS / SETTER_DAYS))
        demand = np.log(seen / usual) if week else np.zeros(N)
        cost = rng.standard_normal(N)
        raw = SEASON_PRICE * season[week] + apart * (DEMAND_PRICE * demand + COST_PRICE * cost)
        log_price = np.log(np.round(np.exp(moving * raw), 2))
        mean = np.exp(TASTE + LOYALTY * np.log1p(interest) + trend + season[week] + np.array(ELASTICITY) * log_price)
        units = luck.poisson(mean)
        views = rng.poisson(pace[:, None] * np.exp(VIEWS + trend + season[week]))
        prices.append(log_price)
        bought.append(units)
        viewed.append(views)
        interest = interest * 0.5 ** (_WEEK_DAYS / HALF_LIFE_DAYS) + views
        seen = np.nan_to_num(seen) * 0.5 ** (_WEEK_DAYS / SETTER_DAYS) + views.sum(axis=0)
    found = np.array(prices)
    return PriceRun(
        shop=_tables(found, np.array(bought), np.array(viewed), np.random.default_rng([seed, 22])),
        elasticity=dict(zip(CATEGORIES, ELASTICITY, strict=True)),
        log_price=found,
        units=np.array(bought).sum(axis=1),
    )


def _tables(log_price: Float64, bought: Ints, viewed: Ints, rng: np.random.Generator) -> Shop:
    """Return the log of (WEEKS, n, N) units and views: a row per purchase with its units, a row per view."""
    items = item_table(CATEGORIES, rng)
    parts = []
    for action, numbers in (("view", viewed), ("purchase", bought)):
        week, user, category = np.nonzero(numbers)
        units = numbers[week, user, category]
        if action == "view":
            week, user, category = (np.repeat(x, units) for x in (week, user, category))
        at = week * _WEEK_DAYS * DAY_MS + rng.integers(HOUR_MS, _WEEK_DAYS * DAY_MS - HOUR_MS, len(week))
        item = category * ITEMS_PER_CATEGORY + rng.integers(ITEMS_PER_CATEGORY, size=len(week))
        price = items[c.PRICE].to_numpy()[item] * np.exp(log_price[week, category])
        quantity = units.astype(float) if action == "purchase" else np.nan
        parts.append(
            rows_of(action, user, at, category).assign(
                **{c.ITEM: item, c.PRICE: np.round(price, 2), c.QUANTITY: quantity}
            )
        )
    n_users = bought.shape[1]
    home = np.where(rng.random(n_users) < 0.5, "town", "country").astype(object)
    return in_contract([part.astype({c.QUANTITY: "float64"}) for part in parts], items, {"home": home})
