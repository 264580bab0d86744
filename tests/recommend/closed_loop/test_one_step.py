"""The value above another policy, told from the acting policy's log alone."""

import numpy as np
import pytest

from whybuy.errors import PolicyError
from whybuy.recommend.closed_loop import one_step_values
from whybuy.recommend.closed_loop.one_step import Shown, shown
from whybuy.recommend.policy import Candidates, Policy, Shelf
from whybuy.worlds.showcase import SHOWCASES, Shopfront, Size, Slates, logging_policy, true_lift

COPIES = 40  # of every user, as resamples of three would at times hold nobody who came


def round_of(user, own, other, weight, *, error=1.0, truth=0.0):
    arrays = (np.tile(np.array(values, float), COPIES) for values in (own, other, weight))
    return Shown((COPIES * np.array(user)[:, None] + np.arange(COPIES)).T.ravel(), *arrays, error, truth)


def values(rounds, n_users, every=1):
    found = one_step_values(rounds, COPIES * n_users, every=every, n_resamples=50, rng=np.random.default_rng(0))
    return found.set_index(["period", "estimator"])


def test_by_hand():
    first = round_of([0, 1], [1, 0], [0.5, 0], [0.5, 2.0], error=1.0, truth=0.1)
    second = round_of([1, 2], [1, 1], [0, 1.5], [0.5, 1.0], error=2.0, truth=0.4)
    found = values([first, second], n_users=3)
    assert found.loc[(1, "ips"), "estimate"] == pytest.approx(1 / 2 - 0.5 / 2)
    assert found.loc[(1, "snips"), "estimate"] == pytest.approx(1 / 2 - 0.5 / 2.5)
    # The second round counts half: (1 + 2/2) / (2 + 2/2) less (.5 + 1.5/2) / (2.5 + 1.5/2).
    assert found.loc[(0, "snips"), "estimate"] == pytest.approx(2 / 3 - 1.25 / 3.25)
    assert found.loc[(0, "ips"), "truth"] == pytest.approx((2 * 0.1 + 2 / 2 * 0.4) / 3)
    assert found.loc[(2, "ips"), "mean_weight"] == pytest.approx(0.75)


def test_rounds_make_periods():
    rounds = [round_of([0, 1, 2], [1, 0, n], [0, n, 1], [1, 1, 1]) for n in range(5)]
    assert values(rounds, n_users=4, every=2).index.get_level_values("period").unique().tolist() == [0, 1, 2, 3]


def test_no_rounds_and_rounds_without_a_difference_are_refused():
    with pytest.raises(PolicyError, match="No rounds"):
        values([], n_users=3)
    with pytest.raises(PolicyError, match="both policies show the same"):
        values([round_of([0], [1], [1], [1], error=0.0)], n_users=3)


def test_a_round_tells_the_value_that_the_policies_have():
    """Weighed slates of the acting policy against slates of both policies themselves, in the world's own chances."""
    front = Shopfront(SHOWCASES["fashion"], 1, Size(n_users=1_500, n_rounds=1))
    front.run(logging_policy, 1)
    context, state = front.context(), front.state
    n, n_items = len(context.users), len(state.goods)
    acting, other = Policy(k=5, temperature=0.02, floor=0.4 / 240, seed=1), Policy(k=5, temperature=1.0, seed=2)
    mine, others = (
        Candidates(
            shelf=Shelf(item_id=np.arange(n_items)),
            user_id=context.users,
            item=np.tile(np.arange(n_items), (n, 1)),
            score=scores,
        )
        for scores in (true_lift(state)[context.users], np.tile(context.popularity, (n, 1)))
    )
    slates = acting.slates(mine, round_number=context.number)
    happened = front.show(context, Slates(slates.item, slates.propensity))
    one = shown(happened, state, (acting, mine), (other, others))
    error = np.std(one.own - one.other) / np.sqrt(n)
    assert abs(one.weight.mean() - 1) < 3 * np.std(one.weight) / np.sqrt(n)
    assert abs((one.own - one.other).mean() - one.truth) < 3 * error
    assert one.truth > 4 * error, "else the test could not fail"
