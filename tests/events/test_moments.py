"""Windows and horizons around moments, by hand and against a plain loop."""

import numpy as np

from tests.events.sequences_by_hand import DAY, HOUR, random_sequences, sequences, vocabulary
from whybuy.columns import ACTIONS
from whybuy.events.behaviors import parse_behavior
from whybuy.events.features import FeatureSpec, decayed_counts, history_features, windowed_counts
from whybuy.events.moments import BehaviorIndex, Moments, decisions, in_moment, prefix_counts, within

BEHAVIORS = tuple(parse_behavior(b) for b in ("view:*", "purchase:*", "view:shoes", "purchase:item=i2"))


def test_a_basket_is_one_moment_and_never_its_own_past_or_future():
    # user a: views shoes at day 0; buys two things at once at day 1; buys again at day 3.
    s = sequences({"a": [(0, "view", 0), (DAY, "purchase", 1), (DAY, "purchase", 2), (3 * DAY, "purchase", 2)]})
    moments = Moments.of(s, reach_ms=31 * DAY)
    prefix = prefix_counts(BehaviorIndex.of(BEHAVIORS, vocabulary()).hits(s))
    assert in_moment(prefix, moments).tolist() == [[1, 0, 1, 0], [0, 1, 0, 1], [0, 1, 0, 1]]
    assert within(prefix, moments, DAY)[:, 1].tolist() == [1, 0, 0]
    assert within(prefix, moments, 2 * DAY)[:, 1].tolist() == [1, 1, 0]
    assert windowed_counts(prefix, moments, 2 * DAY)[:, 1].tolist() == [0, 0, 2]
    assert windowed_counts(prefix, moments, DAY)[:, 0].tolist() == [0, 1, 0]


def test_decayed_counts_by_hand():
    # user a: a view, half a day later two purchases at once, a day after that a view; half-life one day.
    s = sequences(
        {
            "a": [(0, "view", 0), (DAY // 2, "purchase", 1), (DAY // 2, "purchase", 2), (3 * DAY // 2, "view", 0)],
            "b": [(5, "view", 0)],
        }
    )
    hits = BehaviorIndex.of(BEHAVIORS, vocabulary()).hits(s)
    found = decayed_counts(hits, s.offsets, s.ts_ms, Moments.of(s, reach_ms=DAY), DAY)
    np.testing.assert_allclose(found[:, 0], [0, 2**-0.5, 2**-1.5, 0], rtol=1e-6)
    np.testing.assert_allclose(found[:, 1], [0, 0, 1, 0], rtol=1e-6)


def test_windows_stop_at_the_user():
    s = sequences({"a": [(0, "view", 0), (HOUR, "view", 0)], "b": [(HOUR + 1, "view", 0)]})
    moments = Moments.of(s, reach_ms=31 * DAY)
    prefix = prefix_counts(BehaviorIndex.of(BEHAVIORS, vocabulary()).hits(s))
    assert windowed_counts(prefix, moments, 30 * DAY)[:, 0].tolist() == [0, 1, 0]
    assert within(prefix, moments, 30 * DAY)[:, 0].tolist() == [1, 0, 0]


def test_equals_a_plain_loop():
    s = random_sequences(np.random.default_rng(0))
    moments = Moments.of(s, reach_ms=31 * DAY)
    hits = BehaviorIndex.of(BEHAVIORS, vocabulary()).hits(s)
    prefix = prefix_counts(hits)
    for window in (HOUR, DAY, 7 * DAY):
        expected_before, expected_after = [], []
        for u in range(s.n_users):
            events = range(int(s.offsets[u]), int(s.offsets[u + 1]))
            for t in sorted({int(s.ts_ms[i]) for i in events}):
                expected_before.append(sum(hits[i].astype(int) for i in events if t - window <= s.ts_ms[i] < t))
                expected_after.append(
                    np.max([hits[i] * (t < s.ts_ms[i] <= t + window) for i in events], axis=0).tolist()
                )
        before = windowed_counts(prefix, moments, window)
        assert before.tolist() == [np.broadcast_to(e, 4).tolist() for e in expected_before]
        assert within(prefix, moments, window).tolist() == expected_after


def test_impressions_and_campaigns_are_no_decisions():
    s = sequences({"a": [(0, "impression", 0), (1, "campaign", None), (2, "impression", 0), (2, "view", 0)]})
    assert decisions(s, Moments.of(s, reach_ms=DAY)).tolist() == [False, False, True]


def test_features_of_the_log_cut_at_t_equal_those_of_the_whole_log():
    whole = random_sequences(np.random.default_rng(1), n_users=5)
    index = BehaviorIndex.of(BEHAVIORS, vocabulary())
    spec = FeatureSpec(tuple(range(len(ACTIONS))), index, (DAY, 7 * DAY))
    full = history_features(whole, Moments.of(whole, reach_ms=31 * DAY), spec).values
    row = 0
    for u in range(whole.n_users):
        one = whole.users(np.arange(whole.n_users) == u)
        starts = one.moment_starts
        for m in range(len(starts) - 1):
            n = int(starts[m + 1])
            cut = sequences({"x": [(int(one.ts_ms[i]), ACTIONS[one.action[i]], int(one.item[i])) for i in range(n)]})
            found = history_features(cut, Moments.of(cut, reach_ms=31 * DAY), spec).values[-1]
            np.testing.assert_allclose(found, full[row], atol=1e-6)
            row += 1


def test_blocks_of_users_give_the_same_features():
    s = random_sequences(np.random.default_rng(2), n_users=12)
    spec = FeatureSpec((0, 3, 5), BehaviorIndex.of(BEHAVIORS, vocabulary()), (DAY,))
    whole = history_features(s, Moments.of(s, reach_ms=31 * DAY), spec).values
    parts = [history_features(b, Moments.of(b, reach_ms=31 * DAY), spec).values for b in s.blocks(50)]
    assert len(parts) > 1
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-6)


def test_features_of_a_moment_that_has_not_happened_are_those_that_it_will_have():
    rng = np.random.default_rng(4)
    users = {
        f"u{u}": [
            (int(t), ["view", "cart", "purchase"][rng.integers(3)], int(rng.integers(3)))
            for t in np.sort(rng.choice(40 * 24, int(rng.integers(2, 30)), replace=False)) * HOUR
        ]
        for u in range(9)
    }
    whole, before = sequences(users), sequences({user: story[:-1] for user, story in users.items()})
    spec = FeatureSpec((0, 3, 5), BehaviorIndex.of(BEHAVIORS, vocabulary()), (DAY, 7 * DAY))
    moments = Moments.of(whole, reach_ms=31 * DAY)
    last = moments.end == np.asarray(whole.offsets)[moments.user + 1]
    wanted = history_features(whole, moments, spec).values[last]
    asked = Moments.after(before, moments.ts_ms[last], reach_ms=31 * DAY)
    np.testing.assert_array_equal(history_features(before, asked, spec).values, wanted)
