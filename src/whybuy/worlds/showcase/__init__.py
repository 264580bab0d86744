"""Worlds with logged impressions, whose true lifts are known: for the recommender's tests, proofs and figures.

Items are of three kinds: *staples* that sell anyway (large chance, small lift), *discoveries* that sell only when shown
(no chance by themselves, a large lift for people of matching taste), and *nags* that sell less when shown, the less the
more often. Users carry hidden tastes that the log shows in part. The shop's policy shows what is popular and what the
user was lately interested in, with known probabilities: shown and not shown differ by interest too, so co-occurrence
and the ranking by P(buy | shown) mislead.

Two worlds with different equations, :mod:`.fashion` and :mod:`.groceries`, share the frame of :mod:`.equations`; their
constants stand at the top of each. :func:`draw_log` draws a log with its truth (:mod:`.log`, :mod:`.truth`),
:class:`Shopfront` is the same world as a closed loop for any policy (:mod:`.front`, :mod:`.policy`).
"""

from whybuy.worlds.showcase.equations import Chances, Equations, chances
from whybuy.worlds.showcase.fashion import Fashion
from whybuy.worlds.showcase.front import FULL, THIN, Bought, Shopfront, Size, bought_by_chance
from whybuy.worlds.showcase.groceries import Groceries
from whybuy.worlds.showcase.log import ShowcaseLog, draw_log, tables, write_log
from whybuy.worlds.showcase.policy import Context, Policy, Slates, draw_slates, logging_policy, top_policy
from whybuy.worlds.showcase.state import DISCOVERY, KINDS, NAG, STAPLE, Goods, Happened, State
from whybuy.worlds.showcase.truth import best_possible, mean_top_lift, true_lift

SHOWCASES: dict[str, Equations] = {found.name: found for found in (Fashion(), Groceries())}
"""The worlds by name."""

__all__ = [
    "SHOWCASES",
    "Equations",
    "Fashion",
    "Groceries",
    "Size",
    "FULL",
    "THIN",
    "ShowcaseLog",
    "draw_log",
    "write_log",
    "tables",
    "KINDS",
    "STAPLE",
    "DISCOVERY",
    "NAG",
    "Goods",
    "Happened",
    "State",
    "Chances",
    "chances",
    "true_lift",
    "best_possible",
    "mean_top_lift",
    "Shopfront",
    "Bought",
    "bought_by_chance",
    "Context",
    "Slates",
    "Policy",
    "draw_slates",
    "logging_policy",
    "top_policy",
]
