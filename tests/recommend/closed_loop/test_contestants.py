"""Who shows: the shop's own law, one kind of exploration, learning on time from nothing but the past."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from whybuy import columns as c
from whybuy.errors import PolicyError
from whybuy.recommend.closed_loop import BY_LIFT, BY_P_BUY, LOGGING, POPULAR, Forecast, Plan
from whybuy.recommend.closed_loop.contestants import candidates_of, visits
from whybuy.recommend.closed_loop.run import contestants
from whybuy.worlds.showcase import SHOWCASES, Shopfront, Size, logging_policy, tables

PLAN = Plan(size=Size(n_users=60, n_rounds=3), n_rounds=4, relearn_every=2)


class Noting:
    """A learner that keeps what it was given; its lift is the item's number, its P(buy) the reverse."""

    def __init__(self):
        self.learned, self.asked = [], []

    def learn(self, log):
        self.learned.append(log)
        return self

    def predict(self, log, user_id, at):
        self.asked.append((log, user_id, at))
        lift = np.tile(np.arange(len(log.items)) / 100, (len(user_id), 1))
        return Forecast(lift=lift, p_shown=lift[:, ::-1])


@pytest.fixture(params=tuple(SHOWCASES))
def begun(request):
    front = Shopfront(SHOWCASES[request.param], 5, PLAN.size)
    front.run(logging_policy, PLAN.size.n_rounds)
    return front


def slates_of(contestant, front):
    context = front.context()
    candidates = candidates_of(front, context, contestant.scores(front, context))
    return contestant.explore.slates(candidates, round_number=context.number)


def test_the_logging_policy_goes_on_with_the_law_it_had(begun):
    context, own = begun.context(), contestants(begun, PLAN, Noting())[LOGGING]
    candidates = candidates_of(begun, context, own.scores(begun, context))
    logged = logging_policy(context)
    assert own.explore.propensity_of(candidates, logged.items) == pytest.approx(logged.propensity)


def test_every_item_keeps_the_floor(begun):
    for name, contestant in contestants(begun, PLAN, Noting()).items():
        if name != LOGGING:
            assert slates_of(contestant, begun).propensity.min() >= PLAN.floor * 0.999


def test_each_policy_ranks_by_what_it_is_named_after(begun):
    who = contestants(begun, replace(PLAN, floor=1e-9), Noting())
    assert (slates_of(who[BY_LIFT], begun).item >= 230).mean() > 0.99
    assert (slates_of(who[BY_P_BUY], begun).item < 10).mean() > 0.99
    events = tables(begun).events
    most = events[events[c.ACTION] == "purchase"][c.ITEM].value_counts()
    assert begun.state.goods.table[c.ITEM][who[POPULAR].by_item.argmax()] in most.index[most == most.max()]


def test_it_learns_on_time_from_the_log_that_its_own_slates_made(begun):
    learner, front = Noting(), begun.parallel()
    relearned = contestants(begun, PLAN, learner)[BY_LIFT]
    for number in range(4):
        context = front.context()
        candidates = candidates_of(front, context, relearned.scores(front, context))
        shown = relearned.explore.slates(candidates, round_number=context.number)
        front.show(context, replace(logging_policy(context), items=shown.item, propensity=shown.propensity))
        assert len(learner.learned) == (1 if number < 2 else 2)
    pd.testing.assert_frame_equal(learner.learned[0].events, tables(begun).events)
    impressions = learner.learned[1].events.query("action == 'impression'")
    assert len(impressions) == 5 * sum(len(happened.visitor) for happened in front.history[:5])


def test_a_forecast_sees_the_past_alone(begun):
    learner = Noting()
    who = contestants(begun, PLAN, learner)
    context = begun.context()
    who[BY_LIFT].scores(begun, context)
    log, users, at = learner.asked[0]
    assert (users == visits(begun, context)[0]).all()
    before = log.events[log.events[c.USER].isin(users)]
    assert (before[c.TIME] < pd.Series(at, index=users)[before[c.USER]].to_numpy()).all()


def test_a_visit_is_when_the_log_will_say_that_it_was(begun):
    context, front = begun.context(), begun.parallel()
    users, at = visits(front, context)
    front.run(logging_policy, 1)
    events = tables(front).events.query("action == 'impression' and slot == 1.0").drop_duplicates(c.USER, keep="last")
    logged = events.set_index(c.USER)[c.TIME]
    assert (logged[users].to_numpy() == at.to_numpy()).all()


def test_a_forecast_of_another_shape_is_refused(begun):
    class Short(Noting):
        def predict(self, log, user_id, at):
            return Forecast(np.zeros((len(user_id), 3)), np.zeros((len(user_id), 3)))

    who = contestants(begun, PLAN, Short())
    with pytest.raises(PolicyError, match=r"A forecast of shape \(\d+, 3\)"):
        who[BY_LIFT].scores(begun, begun.context())


@pytest.mark.parametrize("wrong", [{"floor": 0.0}, {"n_rounds": 0}, {"relearn_every": 0}])
def test_a_plan_without_rounds_or_floor_is_refused(wrong):
    with pytest.raises(PolicyError, match="a floor above 0"):
        Plan(**wrong)
