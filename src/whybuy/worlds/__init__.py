"""Shops whose true effects are known: for the demo, the tests and the documentation."""

from whybuy.worlds.shop import DemoShop, draw_demo, write_demo
from whybuy.worlds.truth import TrueCampaign, TrueEffect, campaign_truth, demo_truth

__all__ = ["DemoShop", "draw_demo", "write_demo", "TrueEffect", "TrueCampaign", "demo_truth", "campaign_truth"]
