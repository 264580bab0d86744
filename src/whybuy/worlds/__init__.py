"""Shops whose true effects are known: for the demo, the tests and the documentation."""

from whybuy.worlds.demo_shop import draw_demo, write_demo
from whybuy.worlds.registry import WORLDS, World, world
from whybuy.worlds.shop import Shop
from whybuy.worlds.truth import TrueCampaign, TrueEffect, campaign_truth, demo_truth

__all__ = [
    "Shop",
    "World",
    "WORLDS",
    "world",
    "draw_demo",
    "write_demo",
    "TrueEffect",
    "TrueCampaign",
    "demo_truth",
    "campaign_truth",
]
