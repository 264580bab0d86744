"""Policies judged on the log of a shop: what each would have earned, learned on the earlier part, judged on the later.

``slates`` reads what was shown and says what of it can be judged, ``learn`` learns every ranking from the events before
a time, ``softened`` makes policies of rankings, ``judge`` says how likely each of them shows what was shown,
``evaluation`` is the answer; :mod:`whybuy.recommend.evaluate` turns weights into values and intervals.
"""

from whybuy.recommend.backtest.evaluation import Evaluation
from whybuy.recommend.backtest.run import evaluate_log

__all__ = ["Evaluation", "evaluate_log"]
