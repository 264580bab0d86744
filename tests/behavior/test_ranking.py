"""Ranking tasks and metrics: by hand, against a plain loop, and blind to what comes after the target."""

from dataclasses import fields, replace

import numpy as np
import pytest

from tests.events.sequences_by_hand import DAY, random_sequences, sequences
from whybuy.behavior.baselines import ranking
from whybuy.behavior.baselines.ranking import (
    RankingResult,
    bootstrap_interval,
    evaluate,
    last_items,
    leave_one_out,
    ranks,
    time_split,
)
from whybuy.columns import ACTIONS
from whybuy.errors import ModelError, QuestionError
from whybuy.events.sequences import Sequences

# user a: looks, buys two things at once, buys again. user b: one event. user c: searches around a look.
STORY = {
    "a": [(0, "view", 0), (DAY, "purchase", 1), (DAY, "purchase", 2), (3 * DAY, "purchase", 2)],
    "b": [(0, "view", 1)],
    "c": [(0, "search", None), (5, "view", 0), (9, "search", None)],
}


def events_of(s: Sequences) -> dict[str, list[tuple[int, str, int]]]:
    """Return {user: [(time, action, item)]}, -1 without an item."""
    rows = list(zip(s.ts_ms.tolist(), [ACTIONS[a] for a in s.action], s.item.tolist(), strict=True))
    return {u: rows[s.offsets[k] : s.offsets[k + 1]] for k, u in enumerate(s.user_ids)}


class ByItem:
    """Scores items alike for everyone."""

    def __init__(self, *scores: float) -> None:
        self.scores = np.array(scores, np.float32)
        self.asked: list[int] = []

    def score(self, history: Sequences, ts_ms: np.ndarray) -> np.ndarray:
        self.asked.append(history.n_users)
        assert len(ts_ms) == history.n_users
        return np.broadcast_to(self.scores, (history.n_users, len(self.scores)))


def test_the_last_item_is_the_target_and_its_basket_is_unknown():
    test = leave_one_out(sequences(STORY))
    assert test.history.user_ids.tolist() == ["a", "c"]
    assert test.target.tolist() == [2, 0]
    assert test.target_ts_ms.tolist() == [3 * DAY, 5]
    assert [ACTIONS[a] for a in test.target_action] == ["purchase", "view"]
    assert events_of(test.history) == {"a": [tuple(e) for e in STORY["a"][:3]], "c": [(0, "search", -1)]}
    assert test.history.moment_starts.tolist() == [0, 1, 3, 4]
    assert set(events_of(test.train)) == {"a", "b", "c"}

    validation = leave_one_out(sequences(STORY), validation=True)
    assert (validation.history.user_ids.tolist(), validation.target.tolist()) == (["a"], [2])
    assert events_of(validation.history) == {"a": [(0, "view", 0)]}
    assert events_of(validation.train)["a"] == [(0, "view", 0)]
    assert events_of(validation.train)["c"] == [(0, "search", -1)]


def test_a_time_split_asks_for_the_first_item_after_the_cut():
    task = time_split(sequences(STORY), at_ms=DAY)
    assert (task.history.user_ids.tolist(), task.target.tolist()) == (["a"], [1])
    assert events_of(task.history) == {"a": [(0, "view", 0)]}
    assert {u: len(e) for u, e in events_of(task.train).items()} == {"a": 1, "b": 1, "c": 3}
    # c is known before the cut at 3 by its search, and looks at an item after it.
    early = time_split(sequences(STORY), at_ms=3)
    assert early.history.user_ids.tolist() == ["a", "c"]
    assert events_of(early.train) == {"a": [(0, "view", 0)], "b": [(0, "view", 1)], "c": [(0, "search", -1)]}


def test_a_search_between_the_cut_and_the_target_is_history():
    s = sequences({"a": [(0, "view", 0), (DAY, "search", None), (2 * DAY, "view", 1), (3 * DAY, "view", 2)]})
    task = time_split(s, at_ms=DAY)
    assert events_of(task.history) == {"a": [(0, "view", 0), (DAY, "search", -1)]}
    assert events_of(task.train) == {"a": [(0, "view", 0)]}


def test_what_was_shown_is_history_and_no_target():
    s = sequences({"a": [(0, "view", 0), (1, "view", 1), (2, "impression", 2)]})
    assert leave_one_out(s).target.tolist() == [1]
    assert last_items(s).tolist() == [1]
    assert last_items(sequences({"a": [(0, "search", None)], "b": [(0, "view", 2)]})).tolist() == [-1, 2]


def assert_same(one: Sequences, other: Sequences) -> None:
    for field in fields(Sequences):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name))


def test_events_after_the_target_change_nothing():
    s = random_sequences(np.random.default_rng(3), n_users=12)
    task = time_split(s, at_ms=20 * DAY)
    at = dict(zip(task.history.user_ids, task.target_ts_ms.tolist(), strict=True))
    late = s.ts_ms > np.array([at.get(u, s.ts_ms.max()) for u in s.user_ids])[s.event_user]
    assert late.sum() > 20
    changed = time_split(
        replace(s, item=np.where(late, 0, s.item), action=np.where(late, np.int8(5), s.action)), at_ms=20 * DAY
    )
    assert_same(changed.history, task.history)
    assert_same(changed.train, task.train)
    assert changed.target.tolist() == task.target.tolist()
    assert all(task.history.ts_ms < np.repeat(task.target_ts_ms, np.diff(task.history.offsets)))


def test_the_rest_of_the_basket_and_what_follows_change_nothing():
    story = {"a": [(0, "view", 0), (1, "purchase", 1), (1, "purchase", 2)]}
    longer = {"a": [(0, "view", 0), (1, "purchase", 0), (1, "purchase", 2), (2, "search", None), (3, "impression", 1)]}
    task, other = leave_one_out(sequences(story)), leave_one_out(sequences(longer))
    assert task.target.tolist() == other.target.tolist() == [2]
    assert_same(task.history, other.history)
    assert_same(task.train, other.train)


def test_ranks_count_higher_scores_and_equal_ones_with_a_lower_code():
    scores = np.array([[0.1, 0.5, 0.5, 0.9], [0.5, 0.5, 0.5, 0.5], [3, 2, 1, 0]], np.float32)
    assert ranks(scores, np.array([2, 3, 0], np.int32)).tolist() == [2, 3, 0]


def test_metrics_by_hand():
    # ranks 0, 1, 10 and 3 of 20 items.
    result = RankingResult("x", np.array(list("abcd"), object), np.zeros(4, np.int32), np.array([0, 1, 10, 3]), 20)
    assert result.values("hr@3").tolist() == [1, 1, 0, 0]
    assert result.mean("hr@10") == 3 / 4
    np.testing.assert_allclose(result.values("ndcg@10"), [1, 1 / np.log2(3), 0, 1 / np.log2(5)])
    np.testing.assert_allclose(result.mean("mrr"), (1 + 1 / 2 + 1 / 11 + 1 / 4) / 4)
    frame = result.to_frame(["hr@10"])
    assert frame.loc[0, ["ranker", "metric", "estimate", "n_users", "n_items"]].tolist() == ["x", "hr@10", 0.75, 4, 20]
    assert frame["ci_low"][0] <= 0.75 <= frame["ci_high"][0]
    assert result.summary().startswith("x: the next item is among the first 10 of 20 with HR@10 0.7500 [")
    for unknown in ("map@10", "ndcg", "hr@0"):
        with pytest.raises(QuestionError, match=r"is not known. Needed: hr@K"):
            result.values(unknown)


def test_evaluation_is_the_same_in_blocks_of_any_size(monkeypatch):
    s = random_sequences(np.random.default_rng(4), n_users=30)
    task = leave_one_out(s)
    ranker = ByItem(0.2, 0.9, 0.5)
    whole = evaluate(ranker, task)
    assert whole.rank.tolist() == [{1: 0, 2: 1, 0: 2}[t] for t in task.target.tolist()]
    monkeypatch.setattr(ranking, "_MAX_SCORES", 7 * 3)
    blocks = ByItem(0.2, 0.9, 0.5)
    np.testing.assert_array_equal(evaluate(blocks, task).rank, whole.rank)
    assert max(blocks.asked) == 7


def test_items_of_the_history_can_be_hidden():
    s = sequences(
        {
            "a": [(0, "view", 1), (1, "view", 2)],
            "b": [(0, "view", 2), (1, "view", 2)],
            "c": [(0, "impression", 1), (1, "view", 0)],
        }
    )
    result = evaluate(ByItem(0.1, 0.9, 0.5), leave_one_out(s), hide_seen=True)
    # a: item 1 is out of the way. b: saw the target, so it is missed. c: what was only shown stays a candidate.
    assert result.rank.tolist() == [0, 3, 2]
    assert result.values("mrr").tolist() == [1, 0, 1 / 3]


def test_a_paired_interval_is_narrower_than_the_two_alone():
    rng = np.random.default_rng(5)
    users = np.arange(400).astype(str).astype(object)
    target = np.zeros(400, np.int32)
    first = rng.integers(0, 30, 400)
    second = np.minimum(first + (rng.random(400) < 0.3), 29)
    a, b = (RankingResult(n, users, target, r, 30) for n, r in (("a", first), ("b", second)))
    gap = a.minus(b, "mrr")
    assert gap.low < gap.estimate < gap.high
    np.testing.assert_allclose(gap.estimate, a.mean("mrr") - b.mean("mrr"))
    alone = a.interval("mrr")
    assert gap.high - gap.low < (alone[1] - alone[0]) / 2
    assert gap.low > 0
    assert gap.summary().startswith("a is better than b by mrr: +")
    assert b.minus(a, "mrr").summary().startswith("b is worse than a")
    with pytest.raises(QuestionError, match="asked different questions"):
        a.minus(replace(b, target=target + 1))


def test_the_bootstrap_has_the_error_of_the_mean():
    values = np.random.default_rng(6).normal(size=2_000)
    low, high = bootstrap_interval(values)
    np.testing.assert_allclose((high - low) / 2, 1.96 / np.sqrt(2_000), rtol=0.1)
    # Users with many rows weigh as much as their rows: the ratio of sums, not the mean of means.
    assert bootstrap_interval(np.array([2.0, 2.0]), np.array([1.0, 3.0]))[0] == 2 * 2 / 6


@pytest.mark.parametrize(
    "story",
    [{}, {"a": [(0, "search", None), (1, "search", None)]}, {"a": [(0, "view", 0)]}, {"a": [(0, "view", 0)] * 2}],
    ids=["empty log", "no items", "one event", "one moment"],
)
def test_a_log_with_nothing_to_ask_is_refused(story):
    for split in (leave_one_out, lambda s: time_split(s, at_ms=1)):
        with pytest.raises(QuestionError, match=r"has an item event with an event before its moment. Needed: "):
            split(sequences(story))


def test_scores_that_cannot_be_ranked_are_refused():
    task = leave_one_out(sequences(STORY))
    with pytest.raises(ModelError, match="not a number"):
        evaluate(ByItem(0.1, np.nan, 0.2), task)
    with pytest.raises(ModelError, match=r"shape \(1, 2\) for 1 users and item code 2"):
        evaluate(ByItem(0.1, 0.2), task)
