"""Ranking by what a recommendation causes, on a panel: the same users and items in several rounds.

``arrays`` checks a panel and turns it into few weighted rows, ``lifts`` learns from them what a recommendation adds.
"""

from whybuy.recommend.panel.lifts import PanelLifts, lifts_of_panel, scores_of_panel

__all__ = ["PanelLifts", "lifts_of_panel", "scores_of_panel"]
