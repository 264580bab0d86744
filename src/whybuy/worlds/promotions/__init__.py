"""Worlds with campaigns, coupons and prices, whose true effects are known: for tests, proofs and figures.

Four kinds, each a log of a shop with a few thousand users, drawn in about a second:

* ``randomized``: a mail by a coin. It moves new and regular customers whose visits have become few, and keeps busy
  club members away (sleeping dogs), so that who buys most is moved least.
* ``targeted``: the same mail to the active and interested, without any effect: the plain comparison is far above 0.
* ``coupons``: two coupons whose times overlap, with redemptions.
* prices by category and week that follow demand and season in part, with known elasticities (:mod:`.prices`).

The equations stand in :mod:`.equations` (the shop), :mod:`.campaigns` (what promotions do to whom) and :mod:`.prices`.
The truth comes by the same random numbers with and without (:func:`with_and_without`), and as E[effect | logged
history] (:func:`chances`), the best that anybody can rank by.
"""

from whybuy.worlds.promotions.campaigns import HORIZON_DAYS, Kind, Promotion, promotions_of
from whybuy.worlds.promotions.log import tables, write_tables
from whybuy.worlds.promotions.prices import ELASTICITY, PriceRun, draw_prices
from whybuy.worlds.promotions.run import Run, Sending, chances, rerun, run, with_and_without

__all__ = [
    "HORIZON_DAYS",
    "Kind",
    "Promotion",
    "promotions_of",
    "Run",
    "Sending",
    "run",
    "rerun",
    "tables",
    "write_tables",
    "with_and_without",
    "chances",
    "ELASTICITY",
    "PriceRun",
    "draw_prices",
]
