"""Over 400 draws with known truth, each of 320 users' worth: intervals hold it, and what is often done does not."""

import numpy as np
import pytest

from tests.recommend.evaluate.bandits import N_ACTIONS, USUAL, Draw, Setting, draw, truth
from whybuy.recommend.evaluate import LoggedFeedback, PolicyComparison, compare, cross_fitted_rewards

pytestmark = pytest.mark.slow

SEEDS = range(3_000, 3_400)
N_USERS = 1_000
BAND = 3 * np.sqrt(0.95 * 0.05 / len(SEEDS))


def judged(drawn: Draw, estimator: str, *, by_user: bool = True) -> PolicyComparison:
    log = drawn.log
    model = {"Z": drawn.X[:, :, None], "learner": "linear"}
    predicted = cross_fitted_rewards(log, drawn.X, **model) if estimator == "dr" else None
    users = log.user if by_user else None
    log = LoggedFeedback.of(log.action, log.reward, log.propensity, users=users, predicted=predicted)
    return compare(log, drawn.policies, estimator=estimator, n_resamples=600)


def covered(found: PolicyComparison, setting: Setting = USUAL) -> list[float]:
    """Whether the intervals of both policies and of their difference hold the truth; NaN where there is no number."""
    true = {policy: truth(policy, setting) for policy in ("fitting", "always")}
    difference = found.difference("fitting", "always")
    pairs = [(found[policy].value, value) for policy, value in true.items()]
    pairs.append((difference, true["fitting"] - true["always"]))
    return [np.nan if told is None else float(told.low <= value <= told.high) for told, value in pairs]


@pytest.mark.parametrize("estimator", ["ips", "snips", "dr"])
def test_intervals_hold_the_truth(estimator):
    found = np.array([covered(judged(draw(seed, n_users=N_USERS), estimator)) for seed in SEEDS])
    assert (np.isfinite(found).mean(axis=0) > 0.95).all()  # hardly a draw has too few rewards for a number
    coverage = np.nanmean(found, axis=0)
    assert (np.abs(coverage - 0.95) < BAND).all(), coverage


FEW = {
    "the least that gets a number": (100, USUAL),
    "large weights": (400, Setting(against_taste=2.0)),
    "rare rewards": (400, Setting(rarer=2.0)),
    "amounts": (800, Setting(rarer=1.0, amounts=1.0)),
}


@pytest.mark.parametrize(("n_users", "setting"), FEW.values(), ids=FEW)
def test_where_little_speaks_intervals_that_are_given_hold_the_truth(n_users, setting):
    """Ends are the outer ones of two kinds of bootstrap, so that more than 95% is no fault here; 93% is promised."""
    found = np.array(
        [covered(judged(draw(seed, n_users=n_users, setting=setting), "snips"), setting) for seed in SEEDS]
    )
    given = np.isfinite(found).sum(axis=0)
    held = np.nansum(found, axis=0)[given >= 100] / given[given >= 100]
    chance = 2 * np.sqrt(0.93 * 0.07 / given[given >= 100])
    assert (held > 0.93 - chance).all(), held
    assert given.max() >= 100


def test_rows_taken_for_users_do_not():
    """The log's own mean: rows of one user share a mood, which an error by row does not know."""
    true = draw(99, n_users=100_000).log.reward.mean()
    inside = 0
    for seed in SEEDS:
        value = judged(draw(seed, n_users=100), "snips", by_user=False)["as logged"].value
        assert value is not None
        inside += value.low <= true <= value.high
    assert inside / len(SEEDS) < 0.95 - BAND


def test_what_the_log_earned_with_an_item_is_below_the_truth_in_nearly_every_draw():
    naive = [(d := draw(seed, n_users=N_USERS)).log.reward[d.log.action == N_ACTIONS - 1].mean() for seed in SEEDS]
    assert np.mean(np.array(naive) < truth("always")) > 0.95


def test_of_equal_policies_hardly_one_wins():
    won = 0
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        user = np.repeat(np.arange(150), 4)
        action, reward = rng.integers(0, 3, len(user)), rng.random(len(user)) < 0.2
        log = LoggedFeedback.of(action, reward, np.full(len(user), 1 / 3), users=user)
        items = {f"item {a}": np.broadcast_to(np.eye(3)[a], (len(user), 3)) for a in range(3)}
        won += compare(log, items, n_resamples=400).winner is not None
    assert won / len(SEEDS) < 0.05 + BAND
