import numpy as np
import pandas as pd

from whybuy import columns as c
from whybuy.campaign.forecasts import Forecaster, Remembering


class Counted(Forecaster):
    """Foretells the time it is asked at; of nobody whose id starts with "new"."""

    names = ["forecast of purchase:*"]  # noqa: RUF012 - stands for a property

    def __init__(self):
        object.__setattr__(self, "asked", [])

    def known(self, rows, horizon_ms, *, report=None):
        self.asked.append((rows[c.USER].tolist(), horizon_ms))
        out = rows[[c.TIME_MS]].to_numpy(np.float32, copy=True)
        out[rows[c.USER].str.startswith("new").to_numpy(bool)] = np.nan
        return out


def rows(*pairs):
    return pd.DataFrame(pairs, columns=[c.USER, c.TIME_MS])


def test_who_is_asked_about_later_is_foretold_with_the_first_question():
    forecaster, then, now = Counted(), rows(("b", 3), ("a", 1)), rows(("a", 9), ("b", 9), ("new", 9))
    told = Remembering(forecaster, now)
    assert told.at(then, 7).tolist() == [[3], [1]]
    assert forecaster.asked == [(["b", "a", "a", "b", "new"], 7)]
    both = pd.concat([then, now], ignore_index=True)
    assert told.at(both, 7).tolist() == forecaster.at(both, 7).tolist() == [[3], [1], [9], [9], [5.5]]
    assert len(forecaster.asked) == 2, "the second is the forecaster's own"


def test_whoever_is_new_is_read_and_another_horizon_is_another_question():
    forecaster = Counted()
    told = Remembering(forecaster, rows(("a", 9)))
    told.at(rows(("a", 1)), 7)
    assert told.at(rows(("c", 2), ("a", 1)), 7).tolist() == [[2], [1]]
    told.at(rows(("a", 1)), 8)
    assert forecaster.asked == [(["a", "a"], 7), (["c"], 7), (["a", "a"], 8)]


def test_nobody_with_a_forecast_has_no_columns():
    assert Remembering(Counted(), rows()).at(rows(("new", 1)), 7).shape == (1, 0)
