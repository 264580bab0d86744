"""The resampled sums against a plain loop, and what resampling is by."""

import math

import numpy as np
import pytest

from tests.recommend.evaluate.bandits import draw
from whybuy.recommend.evaluate import LoggedFeedback, Target
from whybuy.recommend.evaluate.estimators import self_normalized_dr, snips
from whybuy.recommend.evaluate.intervals import Interval, UserSums, bootstrap
from whybuy.recommend.evaluate.rounds import Rounds


def with_model(log: LoggedFeedback) -> LoggedFeedback:
    return LoggedFeedback.of(
        log.action, log.reward, log.propensity, users=log.user, predicted=np.full((log.n_rows, 6), 0.25)
    )


def ratio_and_error(rounds: Rounds, user: np.ndarray, drawn: np.ndarray) -> tuple[float, float]:
    """A value and its clustered error from the rows of the users who were drawn, one by one."""
    rows = [np.flatnonzero(user == u) for u in drawn]
    everything = np.concatenate(rows)
    N, D = rounds.numerators[everything].sum(axis=0), rounds.denominators[everything].sum(axis=0)
    influences = [((rounds.numerators[r] - N / D * rounds.denominators[r]) / D).sum() for r in rows]
    return float((N / D).sum()), math.sqrt(sum(i * i for i in influences) * len(drawn) / (len(drawn) - 1))


def test_a_plain_loop_over_resampled_rows_gives_the_same_interval():
    drawn = draw(0, n_users=40)
    log = with_model(drawn.log)
    rounds = self_normalized_dr(Target.of(log, drawn.policies["fitting"]))
    (found,) = bootstrap([UserSums.of(log, rounds)], n_resamples=200, rng=np.random.default_rng(1))

    estimate, error = ratio_and_error(rounds, log.user, np.arange(40))
    counts = np.random.default_rng(1).multinomial(40, np.full(40, 1 / 40), size=200)
    again = [ratio_and_error(rounds, log.user, np.repeat(np.arange(40), c)) for c in counts]
    t = np.sort([(value - estimate) / spread for value, spread in again])
    either = np.sort(np.abs(t))[189]
    low, high = estimate - max(either, t[194]) * error, estimate + max(either, -t[4]) * error
    assert found.estimate == pytest.approx(estimate, rel=1e-12)
    assert found.std_error == pytest.approx(error, rel=1e-9)
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-9)


def interval(log: LoggedFeedback, policy: np.ndarray) -> Interval:
    sums = UserSums.of(log, snips(Target.of(log, policy)))
    return bootstrap([sums], n_resamples=500, rng=np.random.default_rng(2))[0]


def test_rows_of_the_same_users_again_do_not_narrow_it():
    drawn = draw(1, n_users=200)
    log, policy = drawn.log, drawn.policies["fitting"]
    twice = LoggedFeedback.of(
        *(np.tile(column, 2) for column in (log.action, log.reward, log.propensity)), users=np.tile(log.user, 2)
    )
    once, again = interval(log, policy), interval(twice, np.tile(policy, (2, 1)))
    assert (again.low, again.high) == pytest.approx((once.low, once.high), rel=1e-9)


def test_fewer_users_widen_it():
    widths = []
    for n_users in (2_000, 200):
        drawn = draw(2, n_users=n_users)
        found = interval(drawn.log, drawn.policies["fitting"])
        widths.append(found.high - found.low)
    assert widths[1] > 2 * widths[0]


def test_a_difference_is_paired():
    drawn = draw(3, n_users=300)
    fitting = UserSums.of(drawn.log, snips(Target.of(drawn.log, drawn.policies["fitting"])))
    nearly = 0.9 * drawn.policies["fitting"] + 0.1 * drawn.policies["always"]
    other = UserSums.of(drawn.log, snips(Target.of(drawn.log, nearly)))
    first, second, difference = bootstrap(
        [fitting, other, fitting.minus(other)], n_resamples=500, rng=np.random.default_rng(4)
    )
    assert difference.estimate == pytest.approx(first.estimate - second.estimate)
    assert difference.std_error < 0.5 * math.hypot(first.std_error, second.std_error)


def test_a_policy_does_not_differ_from_itself():
    drawn = draw(4, n_users=100)
    sums = UserSums.of(drawn.log, snips(Target.of(drawn.log, drawn.policies["fitting"])))
    (found,) = bootstrap([sums.minus(sums)], n_resamples=50, rng=np.random.default_rng(5))
    assert (found.low, found.std_error, found.high) == pytest.approx((0, 0, 0), abs=1e-12)


def test_blocks_of_resamples_leave_no_trace(monkeypatch):
    drawn = draw(5, n_users=50)
    whole = interval(drawn.log, drawn.policies["fitting"])
    monkeypatch.setattr("whybuy.recommend.evaluate.intervals._CELLS", 50 * 7)
    assert interval(drawn.log, drawn.policies["fitting"]) == whole


def test_bags_of_users_are_as_wide_as_users(monkeypatch):
    drawn = draw(6, n_users=4_000)
    bagged = interval(drawn.log, drawn.policies["fitting"])
    monkeypatch.setattr("whybuy.recommend.evaluate.intervals.MAX_BAGS", 4_000)
    users = interval(drawn.log, drawn.policies["fitting"])
    assert (bagged.estimate, bagged.std_error) == (users.estimate, users.std_error)
    assert bagged.high - bagged.low == pytest.approx(users.high - users.low, rel=0.1)


def test_the_difference_of_two_logs_adds_squared_distances():
    one = Interval(estimate=5.0, std_error=1.5, low=2.0, high=9.0)
    other = Interval(estimate=1.0, std_error=2.0, low=-2.0, high=5.0)
    found = one.minus(other)
    assert (found.estimate, found.std_error, found.low, found.high) == (4.0, 2.5, 4.0 - 5.0, 4.0 + 5.0)


def test_a_difference_that_one_user_makes_has_no_end():
    N = np.random.default_rng(0).uniform(size=(60, 1))
    other = N.copy()
    other[0] += 1
    both = [UserSums(values, np.ones((60, 1)), np.ones(1)) for values in (N, other)]
    (found,) = bootstrap([both[1].minus(both[0])], n_resamples=400, rng=np.random.default_rng(1))
    assert found.estimate == pytest.approx(1 / 60)
    assert not found.is_finite  # resamples without that user know of no error
