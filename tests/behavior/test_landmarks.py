"""The model asked between events: what it says at the time of an event is what it says before that event."""

from dataclasses import replace

import numpy as np
import pytest

from tests.behavior.small_models import examples, heads, model
from tests.events.sequences_by_hand import DAY, HOUR, random_sequences, sequences
from whybuy.behavior.folds import user_keys
from whybuy.behavior.landmarks import heads_at
from whybuy.behavior.twins import TwinModels
from whybuy.errors import ModelError
from whybuy.events.features import history_features
from whybuy.events.moments import Moments

REACH = 31 * DAY


def twins_of(s) -> TwinModels:
    data = examples(s)
    nobody = (np.empty(0, np.uint64),) * 2
    models = model(data, seed=0), model(data, seed=1)
    return TwinModels(models, heads(), data.codes, 256, np.zeros((4, 2), np.int8), nobody)


def judged_at(twins, s, user, ts_ms):
    at = Moments.at(s, np.asarray(user), np.asarray(ts_ms, np.int64), reach_ms=REACH)
    return heads_at(twins, s, at, history_features(s, at, twins.heads.spec).values)


def test_at_the_time_of_an_event_the_answer_is_the_one_before_it():
    s = random_sequences(np.random.default_rng(1), n_users=12)
    twins = twins_of(s)
    moment, logits = twins.judge(s)
    moments = Moments.of(s, reach_ms=REACH)
    found = judged_at(twins, s, moments.user, moments.ts_ms)
    first = moments.first == np.asarray(s.offsets)[moments.user]
    assert moment.tolist() == list(range(len(moments)))
    # The model keeps its counts in half precision for moments, not for landmarks.
    np.testing.assert_allclose(found[~first], logits[~first], atol=2e-2)
    assert np.isnan(found[first]).all()


def test_nothing_that_comes_later_is_seen():
    past = [(k * DAY, "view", k % 3) for k in range(5)]
    s = sequences({"a": past, "b": [(HOUR, "view", 0)]})
    later = sequences({"a": [*past, (6 * DAY, "purchase", 1)], "b": [(HOUR, "view", 0), (7 * DAY, "cart", 2)]})
    twins = twins_of(later)
    asked = ([0, 0, 1], [3 * DAY + HOUR, 5 * DAY, 5 * DAY])
    np.testing.assert_allclose(judged_at(twins, s, *asked), judged_at(twins, later, *asked), rtol=1e-5, atol=1e-5)


def test_time_itself_changes_the_answer():
    s = sequences({"a": [(k * DAY, "view", k % 3) for k in range(5)]})
    found = judged_at(twins_of(s), s, [0, 0], [4 * DAY + HOUR, 20 * DAY])
    assert np.abs(found[0] - found[1]).max() > 1e-3


@pytest.mark.parametrize("ts_ms", [0, 10 * DAY])
def test_moments_that_are_no_events_lie_before_what_happens_at_them(ts_ms):
    s = sequences({"a": [(0, "view", 0), (10 * DAY, "view", 1)], "b": [(10 * DAY, "view", 0)]})
    at = Moments.at(s, np.array([0, 1]), np.array([ts_ms, ts_ms]), reach_ms=REACH)
    assert at.first.tolist() == ([0, 2] if ts_ms == 0 else [1, 2])
    assert at.since(30 * DAY).tolist() == [0, 2]


def test_nobody_is_judged_by_a_twin_that_was_trained_on_them():
    s = random_sequences(np.random.default_rng(0))
    known = replace(twins_of(s), taught=(np.sort(user_keys(s.user_ids)),) * 2)
    with pytest.raises(ModelError, match=r"was trained on .* users it is to judge"):
        judged_at(known, s, np.arange(s.n_users), np.full(s.n_users, 41 * DAY))
