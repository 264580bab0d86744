"""Parallel worlds: what differs is what the policy did."""

import numpy as np
import pytest

from tests.recommend.closed_loop.ridge import RidgeLearner
from whybuy.recommend.closed_loop import ALL_KNOWING, BY_LIFT, BY_P_BUY, LOGGING, POLICIES, Forecast, Plan, run_loop
from whybuy.worlds.showcase import SHOWCASES, Shopfront, Size, logging_policy

PLAN = Plan(size=Size(n_users=150, n_rounds=4), n_rounds=6, relearn_every=4)


class Indifferent:
    """A learner to whom lift and P(buy) are one."""

    def learn(self, log):
        return self

    def predict(self, log, user_id, at):
        one = np.tile(np.linspace(0, 0.1, len(log.items)), (len(user_id), 1))
        return Forecast(one, one)


@pytest.fixture(scope="module")
def run():
    return run_loop(SHOWCASES["fashion"], 3, PLAN, RidgeLearner())


def test_policies_with_the_same_scores_live_the_same_life():
    rounds = run_loop(SHOWCASES["groceries"], 3, PLAN, Indifferent()).rounds
    lives = [rounds[rounds["policy"] == name].drop(columns="policy").to_numpy() for name in (BY_LIFT, BY_P_BUY)]
    assert np.array_equal(*lives)


def test_every_policy_has_every_day(run):
    assert run.rounds.groupby("policy")["day"].apply(list).to_dict() == {
        name: list(range(1, 7)) for name in (*POLICIES, ALL_KNOWING)
    }
    assert len(run.shown) == 6


def test_all_purchases_of_all_users_count(run):
    """Also of those who did not come: the same as a shop front that is run by its own policy has."""
    front = Shopfront(SHOWCASES["fashion"], 3, PLAN.size)
    front.run(logging_policy, PLAN.size.n_rounds)
    bought = front.run(logging_policy, PLAN.n_rounds)
    mine = run.rounds[run.rounds["policy"] == LOGGING]
    # The same law, luck and people, but other slates.
    assert mine["purchases"].sum() * 150 == pytest.approx(sum(len(b.item) for b in bought), rel=0.05)
    assert mine["margin"].sum() * 150 == pytest.approx(sum(b.margin.sum() for b in bought), rel=0.1)


def test_knowing_all_adds_purchases(run):
    total = run.rounds.groupby("policy")["purchases"].sum()
    assert total[ALL_KNOWING] > 1.03 * total[LOGGING]
