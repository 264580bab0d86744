"""The chances of being shown, on a showcase log that hides them."""

import duckdb
import numpy as np
import pandas as pd
import pytest

from tests.proofs.lift_learner import estimate, load
from whybuy import columns as c
from whybuy.recommend.personal.showing import ShowingModel
from whybuy.worlds.showcase import SHOWCASES, Size, draw_log


@pytest.fixture(scope="module", params=sorted(SHOWCASES))
def both(request) -> tuple[ShowingModel, pd.DataFrame]:
    """The model of a small log, and its impressions with the logged probability and the estimated one."""
    shop = draw_log(SHOWCASES[request.param], 100, Size(n_users=250, n_rounds=16)).shop
    with duckdb.connect() as con:
        load(con, shop, shop.users[c.USER].to_numpy(object))
        end = con.execute("SELECT max(t) FROM ev").fetchall()[0][0] + 1
        shown = "SELECT u, t, item, p FROM ev WHERE action = 'impression'"
        logged = con.execute(shown).df()
        model = estimate(con, end)
        estimated = con.execute(shown).df()
    return model, logged.merge(estimated, on=["u", "t", "item"], suffixes=("", "_estimated"), validate="1:1")


def test_they_are_near_the_logged_ones(both):
    _, found = both
    assert found["p_estimated"].between(0, 1, inclusive="neither").all()
    assert np.corrcoef(np.log(found["p"]), np.log(found["p_estimated"]))[0, 1] > 0.8
    # One over the chance adds up the same candidates, so that weighed showings stand for everybody.
    assert (1 / found["p_estimated"]).mean() == pytest.approx((1 / found["p"]).mean(), rel=0.25)


def test_they_know_people_not_only_items(both):
    model, _ = both
    assert model.by_person
    assert model.why_not() is None
    assert model.avoidable > 0.95
