"""Policies and rankings judged on the log of a shop, learned on the earlier part, judged on the later.

Where the log says what was shown and with which propensity: ``slates`` reads it and says what of it can be judged,
``learn`` learns every ranking from the events before a time, ``softened`` makes policies of rankings, ``judge`` says
how likely each of them shows what was shown, ``evaluation`` is the answer; :mod:`whybuy.recommend.evaluate` turns
weights into values and intervals.

Where it does not, rankings are compared with what people went on to buy, which is prediction: ``lists`` is what each
ranking says to a user, ``heldout`` compares, ``foretold`` is the answer and ``panels`` its figure.
"""

from whybuy.recommend.backtest.evaluation import Evaluation
from whybuy.recommend.backtest.foretold import HeldOut
from whybuy.recommend.backtest.heldout import hold_out
from whybuy.recommend.backtest.run import evaluate_log, why_no_policies

__all__ = ["Evaluation", "HeldOut", "evaluate_log", "hold_out", "why_no_policies"]
