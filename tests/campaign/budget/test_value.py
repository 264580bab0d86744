import numpy as np
import pytest

from tests.campaign.budget.experiments import COST, draw, learned
from whybuy.estimators import ArraysError, Offers, policy_value, spend


def test_by_hand():
    """Forty users of two rows: the rule takes the better arm in every row, 2 and 1 less a cost of 1/2 for arm 1."""
    scores, users = np.tile([[0.0, 2.0], [1.0, 0.0]], (40, 1)), np.repeat(np.arange(40), 2)
    scores[:40, 1] += 0.4
    scores[40:, 1] -= 0.4
    found = policy_value(scores, np.tile([1, 0], 40), cost=[0, 0.5], users=users, arms=["nothing", "mail"])
    assert found.value.estimate == pytest.approx((1.5 + 1) / 2)
    assert found.gains["nobody treated"].estimate == pytest.approx(1.25 - 0.5)
    assert found.gains["all: mail"].estimate == pytest.approx(1.25 - 0.5)
    # A user's mean row is off by .2 either way: the error of a mean of 40 users.
    assert found.value.std_error == pytest.approx(0.2 / np.sqrt(40) * np.sqrt(40 / 39))
    assert found.sent == (0.5, 0.5)
    assert (found.n_people, found.n_users) == (80, 40)
    assert "Against all: mail: +0.75" in found.summary()


def test_repeated_rows_of_the_same_users_do_not_shrink_the_error():
    one = draw(500, 1)
    arm = np.ones(500, int)
    once = policy_value(one.scores, arm)
    twice = policy_value(np.repeat(one.scores, 2, axis=0), np.repeat(arm, 2), users=np.repeat(np.arange(500), 2))
    assert twice.value.std_error == pytest.approx(once.value.std_error)


def test_a_rule_that_is_the_alternative_gains_exactly_nothing():
    found = policy_value(draw(100, 2).scores, np.zeros(100))
    gain = found.gains["nobody treated"]
    assert (gain.estimate, gain.ci_low, gain.ci_high) == (0, 0, 0)


def test_few_users_are_refused_with_a_reason():
    found = policy_value(np.ones((29, 2)), np.ones(29))
    assert found.value.estimate is None
    assert found.summary() == "Cannot tell. 29 users; 30 are needed for an interval."


def plans(seed):
    """A budget spent by values learned on others, and by values learned on the very people; gains over nobody."""
    train, held = draw(1_000, 1_000 + seed), draw(1_000, 2_000 + seed)
    offers = Offers(cost=COST[1:])
    rows = []
    for source in (train, held):
        plan = spend(learned(source, held.X, seed), offers, budget=40)
        told = policy_value(held.scores, plan.arm).gains["nobody treated"]
        truth = held.truth[np.arange(1_000), plan.arm].mean() - held.truth[:, 0].mean()
        rows.append((told.estimate, told.std_error, truth))
    return rows


@pytest.mark.slow
def test_values_from_other_folds_cover_the_truth_and_those_of_the_people_themselves_do_not():
    found = np.array([plans(seed) for seed in range(100, 300)])
    z = (found[..., 0] - found[..., 2]) / found[..., 1]
    coverage = (np.abs(z) <= 1.96).mean(axis=0)
    assert abs(coverage[0] - 0.95) <= 3 * np.sqrt(0.95 * 0.05 / len(found))
    assert z[:, 1].mean() > 1  # the winner's curse
    assert coverage[1] < 0.5


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"scores": np.ones((40, 1))}, "at least two arms"),
        ({"scores": np.full((40, 2), np.nan)}, "NaN or infinite scores"),
        ({"arm": np.full(40, 2)}, "arms from 2 to 2"),
        ({"arm": np.zeros(39)}, "arm has 39"),
        ({"cost": [0, -1]}, "the least is -1"),
        ({"arms": ["nothing"]}, "1 names of 2 arms"),
        ({"users": [None] * 40}, "Rows without a user"),
    ],
)
def test_arrays_with_a_defect_are_refused(changes, found):
    arrays = {"scores": np.ones((40, 2)), "arm": np.zeros(40), **changes}
    with pytest.raises(ArraysError, match=found):
        policy_value(arrays.pop("scores"), arrays.pop("arm"), **arrays)


def test_the_figure_has_the_intervals():
    found = policy_value(draw(200, 3).scores, np.ones(200))
    (points,) = found.plot().data
    assert points.x[0] == found.gains["nobody treated"].estimate
    assert found.to_frame()["quantity"].tolist()[:2] == ["value", "gain over nobody treated"]
