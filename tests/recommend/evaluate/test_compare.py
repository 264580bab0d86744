"""Winners, and the policies that get reasons instead of a number."""

import json

import numpy as np
import pytest

from tests.recommend.evaluate.bandits import N_ACTIONS, draw, truth
from whybuy.errors import ArraysError
from whybuy.estimators import AsLogged, Uniform, off_policy
from whybuy.recommend.evaluate import LoggedFeedback, compare, cross_fitted_rewards
from whybuy.recommend.evaluate.compare import _no_interval
from whybuy.recommend.evaluate.intervals import Interval

DRAWN = draw(100, n_users=800)
FITTING = DRAWN.policies["fitting"]


def test_a_clear_winner_is_called():
    found = compare(DRAWN.log, {"random": Uniform(N_ACTIONS), "fitting": FITTING})
    assert found.winner == "fitting"
    assert "fitting earns more than each of the others" in found.summary()
    value = found["fitting"].value
    assert value is not None
    assert value.low < truth("fitting") < value.high


def test_no_winner_where_an_interval_includes_another():
    few = draw(101, n_users=300)
    one_item = {f"item {a}": np.broadcast_to(np.eye(N_ACTIONS)[a], (few.log.n_rows, N_ACTIONS)) for a in (3, 4)}
    found = compare(few.log, one_item)
    difference = found.difference("item 3", "item 4")
    assert difference is not None
    assert difference.low < 0 < difference.high
    assert found.winner is None
    assert "No winner: " in found.summary()
    assert "may be as good" in found.summary()


def test_what_an_item_earned_in_the_log_misleads():
    log = DRAWN.log
    naive = log.reward[log.action == N_ACTIONS - 1].mean()
    found = compare(log, {"always": DRAWN.policies["always"]})["always"]
    assert found.value is not None
    assert found.value.low < truth("always") < found.value.high
    assert naive < found.value.low


def test_a_policy_that_shows_what_was_never_logged_gets_a_reason():
    never = np.broadcast_to([0.9, 0, 0, 0, 0, 0, 0.1], (DRAWN.log.n_rows, 7))
    found = compare(DRAWN.log, {"never": never, "fitting": FITTING})
    assert found["never"].value is None
    assert found["never"].reasons[0] == (
        "The policy gives 10.0% of its probability to action 6, which was never logged."
    )
    assert found.winner == "fitting"
    assert "Nothing can be told of never." in found.summary()


def test_a_policy_that_few_users_speak_of_gets_a_reason():
    rare = LoggedFeedback.of([0] * 180 + [1] * 20, [0, 1] * 100, [0.9] * 180 + [0.1] * 20, users=np.arange(200))
    found = compare(rare, {"other": np.broadcast_to([0.0, 1.0], (200, 2))})["other"]
    assert found.reasons == ("The log holds 20 users' worth of what the policy would do; 30 are needed.",)
    assert found.value is None


def test_many_rows_of_few_users_are_few_users():
    log = LoggedFeedback.of([0, 1] * 500, [0, 1, 1, 1] * 250, [0.5] * 1000, users=np.arange(1000) % 20)
    assert "20 users' worth" in compare(log, {"one": np.full(1000, 0.5)})["one"].reasons[0]


def test_wrong_propensities_are_found_by_their_weights():
    halved = LoggedFeedback.of(DRAWN.log.action, DRAWN.log.reward, DRAWN.log.propensity / 2, users=DRAWN.log.user)
    found = compare(halved, {"fitting": FITTING})["fitting"]
    assert found.value is None
    assert "where 1 is expected" in found.reasons[0]


def test_hidden_lack_of_support_is_found_by_the_weights():
    """Half of what the policy shows was never logged, and it says only how likely the logged action is."""
    found = compare(DRAWN.log, {"half": FITTING[np.arange(len(FITTING)), DRAWN.log.action] / 2})["half"]
    assert "Weights average 0.5" in found.reasons[0]


def rewarded(reward: np.ndarray) -> LoggedFeedback:
    return LoggedFeedback.of(DRAWN.log.action, reward, DRAWN.log.propensity)


def test_rewards_that_never_or_always_come_have_no_interval():
    nothing = compare(rewarded(np.zeros(DRAWN.log.n_rows)), {"fitting": FITTING})["fitting"]
    assert "of whom 0 are expected to bring a reward" in nothing.reasons[0]
    always = compare(rewarded(np.ones(DRAWN.log.n_rows)), {"fitting": FITTING})["fitting"]
    assert "It is 1 for every user" in always.reasons[0]
    no_end = Interval(estimate=0.1, std_error=0.1, low=-0.2, high=float("inf"))
    assert "the interval has no end" in _no_interval(no_end)[0]


def test_expected_rewards_are_counted_and_amounts_that_differ_count_as_fewer():
    """A third of 300 users who stand for themselves has a reward; then one of them has as much as all the others."""
    log = LoggedFeedback.of(np.zeros(300), np.arange(300) % 3 == 0, np.ones(300))
    assert compare(log, {"same": np.ones(300)})["same"].overlap.rewarded_users == pytest.approx(100)
    amounts = np.where(np.arange(300) % 3 == 0, 1.0, 0.0)
    amounts[0] = 99
    found = compare(LoggedFeedback.of(np.zeros(300), amounts, np.ones(300)), {"same": np.ones(300)})["same"]
    assert found.overlap.rewarded_users == pytest.approx((99 + 99) ** 2 / (99**2 + 99))
    assert "of whom 4 are expected to bring a reward" in found.reasons[0]


@pytest.mark.parametrize(
    ("estimator", "limit", "why"), [("dm", 10.0, "reward model's own error"), ("clipped", 1.5, "of a policy's weight")]
)
def test_estimators_with_an_unknown_bias_call_no_winner(estimator, limit, why):
    log = LoggedFeedback.of(
        DRAWN.log.action, DRAWN.log.reward, DRAWN.log.propensity, users=DRAWN.log.user, predicted=DRAWN.expected
    )
    found = compare(log, {"fitting": FITTING}, estimator=estimator, limit=limit)
    assert found.winner is None
    assert why in found.summary()


def test_numbers_words_and_a_figure_agree():
    found = compare(DRAWN.log, {"fitting": FITTING, "random": Uniform(N_ACTIONS)})
    frame = found.to_frame().set_index("policy")
    value, more = found["fitting"].value, found.difference("fitting")
    assert value is not None
    assert more is not None
    assert frame.loc["fitting", "value"] == value.estimate
    assert frame.loc["fitting", "more_ci_low"] == more.low
    assert f"fitting: {value.estimate:.4g} [{value.low:.4g}, {value.high:.4g}]" in found.summary()
    assert list(found.plot().data[0].y) == ["as logged", "fitting", "random"]
    assert json.loads(json.dumps(found.to_json()))["winner"] == "fitting"
    reverse = found.difference("as logged", "fitting")
    assert reverse is not None
    assert (reverse.estimate, reverse.low, reverse.high) == (-more.estimate, -more.high, -more.low)


def test_the_log_s_own_policy_has_its_mean_per_item_and_per_slate():
    log = DRAWN.log
    slates = LoggedFeedback.of(log.action, log.reward, log.propensity, slates=np.arange(log.n_rows) // 2)
    item, slate = (compare(slates, {"same": AsLogged()}, estimator=e) for e in ("snips", "independent"))
    for found, n in ((item, log.n_rows), (slate, (log.n_rows + 1) // 2)):
        for name in ("as logged", "same"):
            value = found[name].value
            assert value is not None
            assert value.estimate == pytest.approx(log.reward.sum() / n)


def test_arrays_give_the_same_answer_as_a_log():
    log = DRAWN.log
    ours = off_policy(log.action, log.reward, log.propensity, {"fitting": FITTING}, users=log.user)
    assert ours == compare(log, {"fitting": FITTING})
    assert ours.estimator == "snips"


def test_a_reward_model_makes_it_doubly_robust_and_narrower():
    log, few = DRAWN.log, {"fitting": FITTING}
    predicted = cross_fitted_rewards(log, DRAWN.X, Z=DRAWN.X[:, :, None], learner="linear")
    dr = off_policy(log.action, log.reward, log.propensity, few, users=log.user, predicted=predicted)
    ips = off_policy(log.action, log.reward, log.propensity, few, users=log.user, estimator="ips")
    assert dr.estimator == "dr"
    assert dr["fitting"].value.std_error < 0.8 * ips["fitting"].value.std_error


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"policies": {}}, r"No policy\. Needed: at least one"),
        ({"policies": {"as logged": FITTING}}, r"A policy named 'as logged'"),
        ({"estimator": "snip"}, r"estimator='snip'\. Needed: one of ips, snips.*Use 'snips'\."),
        ({"estimator": "dr"}, r"No expected rewards beside the log.*cross_fitted_rewards"),
        ({"estimator": "cascade"}, r"Rows without a slate"),
        ({"limit": 0.0}, r"limit=0\. Needed: a positive weight"),
    ],
)
def test_what_cannot_be_asked_has_one_message(asked, message):
    with pytest.raises(ArraysError, match=message):
        compare(DRAWN.log, **{"policies": {"fitting": FITTING}, **asked})


def test_a_model_needs_every_probability_and_the_same_actions():
    log = LoggedFeedback.of([0, 1], [0, 1], [0.5, 0.5], predicted=np.full((2, 2), 0.5))
    with pytest.raises(ArraysError, match=r"how likely the logged action is, and no other"):
        compare(log, {"new": [0.5, 0.5]})
    with pytest.raises(ArraysError, match=r"Rewards of 2 actions, and a policy over 3"):
        compare(log, {"new": Uniform(3)})
