r"""The causal ranking benchmark of the field, made anew from the public Complete Journey sample.

Sato et al. (RecSys 2020) rank items by the effect of recommending them on a semi-synthetic log: chances of a purchase
with and without a recommendation are estimated from a grocer's panel, a promotion in the mailer or on display standing
for the recommendation; who is recommended what, and what they buy, is then drawn, so that the effects are known and
nothing hidden decides. The steps here:

1. Users are households with at least ``MIN_BASKETS`` baskets. Items are product types that at least ``MIN_BOUGHT`` of
   their baskets hold. An item is promoted in a week in which it has more rows in the mailer and display sample than
   in its average week; items that were not bought both in such weeks and in others are left out.
2. With n baskets of the user in weeks with (1) and without (0) promotion of the item, k of them holding it, and the
   item's share p among everybody's baskets,

   .. math:: \mu_{ui}^{t} = \frac{k_{ui}^{t} + PRIOR \, p_i^{t}}{n_{ui}^{t} + PRIOR}, \quad t \in \{0, 1\}, \qquad
             \tau_{ui} = \mu_{ui}^1 - \mu_{ui}^0.

3. The policy is "personalized": with the rank of the item among the user's, by the mean of both chances,

   .. math:: P(recommended) = \min(CEILING, \; a / rank_{ui}),

   a such that a user is recommended ``SHARE_SHOWN`` of the items in the mean. It depends on nothing but the chances.
4. In every round, independently: Z from P, Y from the chance that Z picks. Rounds are divided into training and
   validation; for the test both potential outcomes are drawn.

What differs from the published log: the panel is a sample of a twentieth of the lines, so chances are smaller and the
prior weighs more; promotions are known of two stores' samples and taken for all. Figures compare within one run, never
with the published ones.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from scipy.optimize import brentq

from whybuy.errors import SourceError
from whybuy.worlds.chain import Bools, Float64

MIN_BASKETS: Final = 10
MIN_BOUGHT: Final = 30
PRIOR: Final = 5.0  # baskets
SHARE_SHOWN: Final = 0.07  # the published 100 of about 1,400 items
CEILING: Final = 0.95  # so that nothing is recommended for sure
N_TRAINING, N_VALIDATION, N_TEST = 10, 2, 10
_FILES = ("transactions_sample", "promotions_sample", "products")


@dataclass(frozen=True)
class Panel:
    """What the panel says of every user and item.

    Attributes
    ----------
    users, items : ids
    baskets, bought : (2, n_users, n_items) baskets in weeks without and with promotion of the item; those that held it
    """

    users: pd.Index
    items: pd.Index
    baskets: Float64
    bought: Float64


@dataclass(frozen=True)
class Drawn:
    """Rounds of recommendations and purchases, each (n_rounds, n_users, n_items)."""

    treated: Bools
    outcome: Bools


@dataclass(frozen=True)
class CausalRanking:
    """A drawn benchmark.

    Attributes
    ----------
    propensity : (n_users, n_items) true probability of being recommended, the same in every round
    chance : (2, n_users, n_items) true chance of a purchase without and with a recommendation
    training, validation : what a ranker may learn from, and be chosen by
    realized : (n_users, n_items) mean over the test rounds of Y(1) - Y(0)
    """

    panel: Panel
    propensity: Float64
    chance: Float64
    training: Drawn
    validation: Drawn
    realized: Float64

    @property
    def effect(self) -> Float64:
        """The true effect of a recommendation, (n_users, n_items); ``realized`` is this and luck."""
        return self.chance[1] - self.chance[0]


def draw_causal_ranking(panel: Panel, seed: int) -> CausalRanking:
    """Return the benchmark drawn from a panel; the same seed gives the same one."""
    chance = smoothed_chances(panel)
    propensity = personalized(chance.mean(axis=0))
    training, validation, test = np.random.default_rng(seed).spawn(3)
    shape = (N_TEST, *propensity.shape)
    potential = [(test.random(shape) < p).mean(axis=0) for p in chance]
    return CausalRanking(
        panel=panel,
        propensity=propensity,
        chance=chance,
        training=_draw(chance, propensity, N_TRAINING, training),
        validation=_draw(chance, propensity, N_VALIDATION, validation),
        realized=potential[1] - potential[0],
    )


def _draw(chance: Float64, propensity: Float64, n_rounds: int, rng: np.random.Generator) -> Drawn:
    treated = rng.random((n_rounds, *propensity.shape)) < propensity
    return Drawn(treated, rng.random(treated.shape) < np.where(treated, chance[1], chance[0]))


def smoothed_chances(panel: Panel) -> Float64:
    """Return (2, n_users, n_items) the chance of a purchase without and with promotion, drawn to the item's share."""
    share = panel.bought.sum(axis=1, keepdims=True) / panel.baskets.sum(axis=1, keepdims=True)
    return (panel.bought + PRIOR * share) / (panel.baskets + PRIOR)


def personalized(expected: Float64) -> Float64:
    """Return (n_users, n_items) the probability of being recommended, by the rank of ``expected`` within the user."""
    rank = 1.0 + (-expected).argsort(axis=1, kind="stable").argsort(axis=1)

    def too_many(a: float) -> float:
        return float(np.minimum(CEILING, a / rank[0]).mean()) - SHARE_SHOWN

    return np.minimum(CEILING, brentq(too_many, 0.0, float(rank.shape[1])) / rank)


def read_panel(folder: Path) -> Panel:
    """Return the panel from the folder of the Complete Journey's Parquet files.

    Raises
    ------
    SourceError
        A file is missing.
    """
    missing = [name for name in _FILES if not (folder / f"{name}.parquet").exists()]
    if missing:
        raise SourceError.of(
            found=f"no {', '.join(missing)} in {folder}",
            needed=f"the Parquet files {', '.join(_FILES)} of the completejourney package",
            do="Point to the folder that has them",
        )
    lines, promotions, products = (pd.read_parquet(folder / f"{name}.parquet") for name in _FILES)
    return panel_of(lines, promotions, products[["product_id", "product_type"]])


def panel_of(lines: pd.DataFrame, promotions: pd.DataFrame, products: pd.DataFrame) -> Panel:
    """Return the panel of transaction lines, rows of the mailer and display sample, and the products' types."""
    baskets = lines.drop_duplicates("basket_id")
    per_user = baskets["household_id"].value_counts().sort_index()
    users = per_user.index[per_user >= MIN_BASKETS]
    typed = lines[lines["household_id"].isin(users)].merge(products.dropna(), on="product_id")
    held = typed.drop_duplicates(["basket_id", "product_type"])
    per_item = held["product_type"].value_counts().sort_index()
    items, weeks = per_item.index[per_item >= MIN_BOUGHT], pd.Index(np.sort(baskets["week"].unique()))
    promoted = _promoted(promotions.merge(products, on="product_id"), items, weeks)
    visits = pd.crosstab(baskets["household_id"], baskets["week"]).reindex(index=users, columns=weeks, fill_value=0)
    arms = np.stack([~promoted, promoted])
    in_arm = np.einsum("uw,aiw->aui", visits.to_numpy(np.float64), arms.astype(np.float64))
    held = held[held["product_type"].isin(items)]
    user, item = (
        index.get_indexer(pd.Index(held[name])) for index, name in ((users, "household_id"), (items, "product_type"))
    )
    bought = np.zeros(in_arm.shape)
    np.add.at(bought, (promoted[item, weeks.get_indexer(pd.Index(held["week"]))].astype(int), user, item), 1.0)
    known = (bought.sum(axis=1) > 0).all(axis=0)
    return Panel(users, items[known], in_arm[:, :, known], bought[:, :, known])


def _promoted(rows: pd.DataFrame, items: pd.Index, weeks: pd.Index) -> Bools:
    """Return (n_items, n_weeks) whether an item has more rows of promotion in the week than in its average week."""
    count = pd.crosstab(rows["product_type"], rows["week"]).reindex(index=items, columns=weeks, fill_value=0).to_numpy()
    return count > count.mean(axis=1, keepdims=True)
