"""What a model must beat: every score a fraction that a reader can redo, and nothing known before its time."""

from dataclasses import replace

import numpy as np
import pytest

from tests.events.sequences_by_hand import DAY, random_sequences, sequences, vocabulary
from whybuy.behavior.baselines import counts as baselines
from whybuy.behavior.baselines.counts import ItemKNN, KnnSetting, Markov, Popular
from whybuy.behavior.baselines.events import EVENT_SMOOTHING, EventLoss, MarkovEvents
from whybuy.behavior.baselines.ranking import evaluate, leave_one_out, time_split
from whybuy.columns import ACTIONS
from whybuy.errors import QuestionError

N_ITEMS = 3
N_ACTIONS = len(ACTIONS)


def ask(ranker, users: dict[str, list[tuple]], *at: int) -> np.ndarray:
    history = sequences(users)
    return ranker.score(history, np.array(at or [10 * DAY] * history.n_users, np.int64))


def test_recent_popularity_by_hand():
    # Item 0: days 0 and 2. Item 1: day 1. Item 2: day 9, and what was only shown counts for nobody.
    train = sequences(
        {
            "a": [(0, "view", 0), (DAY, "view", 1), (2 * DAY, "cart", 0)],
            "b": [(9 * DAY, "view", 2), (9 * DAY + 1, "impression", 1)],
        }
    )
    people = {"x": [(0, "view", 0)], "y": [(0, "view", 0)]}
    recent = Popular.fit(train, n_items=N_ITEMS, half_life_ms=DAY)
    # Asked out of order of time; at day 2 the event of day 2 is not before.
    found = ask(recent, people, 3 * DAY, 2 * DAY)
    np.testing.assert_allclose(found, [[5 / 7, 2 / 7, 0], [1 / 3, 2 / 3, 0]], rtol=1e-6)
    found = ask(recent, people, 10 * DAY, 400 * DAY)
    expected = np.array([2.0**-10 + 2.0**-8, 2.0**-9, 2.0**-1])
    np.testing.assert_allclose(found, [expected / expected.sum()] * 2, rtol=1e-5)
    always = Popular.fit(train, n_items=N_ITEMS, half_life_ms=None)
    np.testing.assert_allclose(ask(always, people, 0, DAY), [[1 / 2, 1 / 4, 1 / 4]] * 2)


def test_popularity_over_years_does_not_overflow():
    train = sequences({"a": [(k * DAY, "view", k % 2) for k in range(2_000)]})
    recent = Popular.fit(train, n_items=N_ITEMS, half_life_ms=DAY // 4)
    found = ask(recent, {u: [(0, "view", 0)] for u in "xyz"}, 1, 1_000 * DAY, 2_000 * DAY)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found[0], [1, 0, 0])
    np.testing.assert_allclose(found[1:], [[1 / 17, 16 / 17, 0]] * 2, rtol=1e-3)


def test_popularity_knows_nothing_later_than_it_is_asked_for():
    s = random_sequences(np.random.default_rng(0), n_users=10)
    recent = Popular.fit(s, n_items=N_ITEMS, half_life_ms=DAY)
    late = s.ts_ms >= 15 * DAY
    changed = Popular.fit(replace(s, item=np.where(late, 0, s.item)), n_items=N_ITEMS, half_life_ms=DAY)
    at = np.full(s.n_users, 15 * DAY)
    np.testing.assert_array_equal(recent.score(s, at), changed.score(s, at))


def test_transitions_by_hand():
    # 0 -> 1 twice, 0 -> 2 and 1 -> 2 once. The basket {1, 2} of b follows 0; inside it nothing follows anything.
    train = sequences(
        {
            "a": [(0, "view", 0), (1, "search", None), (2, "view", 1)],
            "b": [(0, "view", 0), (2, "cart", 1), (2, "cart", 2)],
            "c": [(0, "view", 1), (1, "view", 2)],
        }
    )
    markov = Markov.fit(train, n_items=N_ITEMS, smoothing=1.0)
    assert markov.transitions.toarray().tolist() == [[0, 2, 1], [0, 0, 1], [0, 0, 0], [0, 0, 0]]
    share = np.array([2, 3, 2]) / 7
    found = ask(markov, {"x": [(0, "view", 0)], "y": [(0, "view", 2)], "z": [(0, "search", None)]})
    np.testing.assert_allclose(found, [(np.array([0, 2, 1]) + share) / 4, share, share], rtol=1e-6)


def test_neighbors_by_hand():
    # Takers: item 0 by a, b; item 1 by a, b, c; item 2 by c.
    train = sequences(
        {
            "a": [(0, "view", 0), (1, "view", 1), (2, "view", 0)],
            "b": [(0, "view", 0), (1, "view", 1)],
            "c": [(0, "view", 1), (1, "view", 2)],
        }
    )
    plain = ItemKNN.fit(train, n_items=N_ITEMS, setting=KnnSetting(0, 5, own=False))
    root = np.sqrt
    expected = [[0, 2 / root(6), 0], [2 / root(6), 0, 1 / root(3)], [0, 1 / root(3), 0]]
    np.testing.assert_allclose(plain.similar.toarray(), expected, rtol=1e-6)
    shrunk = ItemKNN.fit(train, n_items=N_ITEMS, setting=KnnSetting(2, 1, own=True))
    np.testing.assert_allclose(np.diag(shrunk.similar.toarray()), [2 / 4, 3 / 5, 1 / 3], rtol=1e-6)
    person = {"x": [(0, "view", 0), (1, "view", 2)]}
    tie_break = 1e-4 * np.array([3, 3, 1]) / 7
    np.testing.assert_allclose(
        ask(plain, person)[0], np.array([0, 2 / root(6) + 1 / root(3), 0]) + tie_break, rtol=1e-5
    )
    # One vote: only the last item's.
    np.testing.assert_allclose(ask(shrunk, person)[0], np.array([0, 1 / (root(3) + 2), 1 / 3]) + tie_break, rtol=1e-5)


def test_neighbors_equal_a_plain_loop_in_blocks(monkeypatch):
    s = random_sequences(np.random.default_rng(1), n_users=9)
    setting = KnnSetting(3, 5, own=True)
    monkeypatch.setattr(baselines, "_ITEMS_AT_ONCE", 2)
    monkeypatch.setattr(baselines, "_NEIGHBORS", 2)
    found = ItemKNN.fit(s, n_items=N_ITEMS, setting=setting).similar.toarray()
    takers = [{int(u) for u in s.event_user[s.item == i]} for i in range(N_ITEMS)]
    whole = np.array([[len(a & b) / (np.sqrt(len(a) * len(b)) + 3) if a and b else 0 for b in takers] for a in takers])
    for row, expected in zip(found, whole, strict=True):
        kept = np.sort(np.argsort(-expected, kind="stable")[:2])
        np.testing.assert_array_equal(np.flatnonzero(row), kept)
        np.testing.assert_allclose(row[kept], expected[kept], rtol=1e-6)


@pytest.fixture(scope="module")
def chain():
    """80 users who go round the items 0 -> 1 -> 2 -> 0, with a detour one time in five."""
    rng = np.random.default_rng(2)
    users = {}
    for u in range(80):
        steps = np.cumsum([rng.integers(3), *np.where(rng.random(9) < 0.2, 2, 1)]) % 3
        users[f"u{u}"] = [(int(k) * DAY + u, "view", int(i)) for k, i in enumerate(steps)]
    return sequences(users)


def test_on_a_chain_transitions_win_and_the_settings_come_from_validation(chain):
    test, validation = leave_one_out(chain), leave_one_out(chain, validation=True)
    hits = {}
    for kind in (Popular, Markov, ItemKNN):
        ranker = kind.tuned(test.train, validation, n_items=N_ITEMS)
        hits[kind] = evaluate(ranker, test).mean("hr@1")
    assert hits[Markov] > 0.65
    assert hits[Markov] > max(hits[Popular], hits[ItemKNN])
    assert Popular.tuned(test.train, validation, n_items=N_ITEMS, has_times=False).half_life_ms is None


def test_a_fast_fashion_gets_a_short_half_life():
    # Every day another item is the one that everyone takes; yesterday's is the best guess for the first of a day.
    rng = np.random.default_rng(3)
    users = {
        f"u{u}": [(d * DAY + int(rng.integers(DAY)), "view", d // 8 % 3) for d in range(24) if rng.random() < 0.5]
        for u in range(60)
    }
    s = sequences({u: e for u, e in users.items() if e})
    ranker = Popular.tuned(s, time_split(s, at_ms=22 * DAY), n_items=N_ITEMS)
    assert ranker.half_life_ms is not None
    assert ranker.half_life_ms <= 7 * DAY


def test_a_transition_learnt_from_the_training_data_has_no_future(chain):
    """The target's own event is in no count: changing it changes no score."""
    test = leave_one_out(chain)
    last = np.asarray(chain.offsets[1:]) - 1
    item = chain.item.copy()
    item[last] = 0
    other = leave_one_out(replace(chain, item=item))
    for kind, extra in ((Markov, {"smoothing": 1.0}), (ItemKNN, {"setting": KnnSetting(1, 5, own=True)})):
        one, two = (kind.fit(t.train, n_items=N_ITEMS, **extra) for t in (test, other))
        np.testing.assert_array_equal(
            one.score(test.history, test.target_ts_ms), two.score(other.history, other.target_ts_ms)
        )


# --- the event model ------------------------------------------------------------------------------------------------


def cells(n_categories: int) -> np.ndarray:
    return np.arange(N_ACTIONS * (n_categories + 1))


@pytest.mark.parametrize("words", [vocabulary(), vocabulary(categories=(), items=())], ids=["categories", "none"])
def test_probabilities_add_up_from_every_context(words):
    s = random_sequences(np.random.default_rng(4), n_users=6)
    n = len(words.categories)
    if n == 0:
        s = replace(s, category=np.full(s.n_events, -1, np.int32))
    model = MarkovEvents.fit(s, n_categories=n, smoothing=3.0)
    every = cells(n)
    for context in range(len(every) + 1):
        p_action, p_cell = model.probability(every, np.full(len(every), context))
        np.testing.assert_allclose(p_cell.sum(), 1)
        by_action = p_cell.reshape(N_ACTIONS, -1).sum(axis=1)
        np.testing.assert_allclose(by_action, p_action.reshape(N_ACTIONS, -1)[:, 0])


def test_event_loss_by_hand():
    # a looks at shoes, then carts shoes three times in four; categories: 0 bags, 1 shoes, 2 boots; without smoothing.
    views = {f"u{k}": [(0, "view", 0), (1, "cart" if k else "search", 0 if k else None)] for k in range(4)}
    s = sequences(views)
    model = MarkovEvents.fit(s, n_categories=3, smoothing=1e-9)
    loss = model.log_loss(s, judged=np.arange(s.n_events) % 2 == 1)
    np.testing.assert_allclose(loss.action_nats, -np.log([1 / 4, 3 / 4, 3 / 4, 3 / 4]), rtol=1e-6)
    np.testing.assert_allclose(loss.category_nats, 0, atol=1e-6)
    np.testing.assert_allclose(loss.mean()[2], (np.log(4) + 3 * np.log(4 / 3)) / 4, rtol=1e-6)
    frame = loss.to_frame().set_index("part")
    assert frame["n_events"].tolist() == [4, 4, 4]
    assert frame.loc["both", "ci_low"] <= loss.mean()[2] <= frame.loc["both", "ci_high"]
    assert loss.summary().startswith(f"Markov: {loss.mean()[2]:.4f} nats per event [")


def test_lines_of_a_basket_share_the_context_before_it():
    s = sequences({"a": [(0, "view", 0), (1, "purchase", 1), (1, "purchase", 2)], "b": [(0, "view", 1)]})
    model = MarkovEvents.fit(s, n_categories=3, smoothing=1.0)
    changed = replace(s, category=np.array([*s.category[:2], 0, s.category[3]], np.int32))
    np.testing.assert_array_equal(model.log_loss(s).action_nats[:2], model.log_loss(changed).action_nats[:2])
    # The second line is judged after the view, not after the first line.
    view = s.action[0] * 4 + s.category[0]
    assert model.context_counts[view] == 2


def test_later_events_change_no_earlier_loss():
    s = random_sequences(np.random.default_rng(5), n_users=6)
    model = MarkovEvents.fit(s, n_categories=3, smoothing=1.0)
    late = s.ts_ms > 20 * DAY
    changed = replace(s, action=np.where(late, np.int8(0), s.action), category=np.where(late, np.int32(-1), s.category))
    one, two = model.log_loss(s), model.log_loss(changed)
    np.testing.assert_array_equal(one.action_nats[~late], two.action_nats[~late])
    np.testing.assert_array_equal(one.category_nats[~late], two.category_nats[~late])


def test_smoothing_is_chosen_on_later_events(chain):
    cut = 7 * DAY
    early = time_split(chain, at_ms=cut).train
    model = MarkovEvents.tuned(early, chain, n_categories=3, since_ms=cut)
    judged = np.asarray(chain.ts_ms) >= cut
    best = model.log_loss(chain, judged=judged).mean()[2]
    for smoothing in EVENT_SMOOTHING:
        other = MarkovEvents.fit(early, n_categories=3, smoothing=smoothing)
        assert other.log_loss(chain, judged=judged).mean()[2] >= best
    # The detour is a coin of one in five: no model can be better than its entropy by more than chance.
    entropy = -(0.8 * np.log(0.8) + 0.2 * np.log(0.2))
    assert abs(best - entropy) < 0.15


def test_two_models_are_compared_event_by_event(chain):
    one = MarkovEvents.fit(chain, n_categories=3, smoothing=1.0).log_loss(chain)
    worse = EventLoss("worse", one.event, one.user, one.action_nats + 0.1, one.category_nats)
    gap = worse.minus(one)
    np.testing.assert_allclose([gap.estimate, gap.low, gap.high], 0.1)
    with pytest.raises(QuestionError, match="judged different events"):
        one.minus(MarkovEvents.fit(chain, n_categories=3, smoothing=1.0).log_loss(chain, judged=chain.ts_ms > DAY))


def test_an_empty_log_is_refused_and_a_log_without_items_gives_even_scores():
    with pytest.raises(QuestionError, match="no event to count"):
        MarkovEvents.fit(sequences({}), n_categories=3, smoothing=1.0)
    s = sequences({"a": [(0, "search", None), (1, "search", None)]})
    model = MarkovEvents.fit(s, n_categories=3, smoothing=1.0)
    with pytest.raises(QuestionError, match="No event is judged"):
        model.log_loss(s, judged=np.zeros(2, bool))
    at = np.array([5])
    assert not Markov.fit(s, n_items=N_ITEMS, smoothing=1.0).score(s, at).any()
    assert not ItemKNN.fit(s, n_items=N_ITEMS, setting=KnnSetting(0, 5, own=False)).score(s, at).any()
    for half_life in (None, DAY):
        assert not Popular.fit(s, n_items=N_ITEMS, half_life_ms=half_life).score(s, at).any()


def test_a_mixture_is_no_worse_than_either_and_its_weights_are_found():
    rng = np.random.default_rng(0)
    event, user = np.arange(4_000), np.arange(4_000) // 10
    # The truth is one of two opinions at a time: 0.7 of the events are as the first says.
    first, second = rng.dirichlet(np.ones(5), 4_000), rng.dirichlet(np.ones(5), 4_000)
    p = 0.7 * first + 0.3 * second
    came = (p.cumsum(1) > rng.random((4_000, 1))).argmax(1)
    one, two = (EventLoss("x", event, user, -np.log(q[event, came]), -np.log(q[event, came])) for q in (first, second))
    weights = one.best_weights(two)
    assert weights == pytest.approx((0.7, 0.7), abs=0.06)
    both = one.mixed(two, weights, name="both")
    assert both.mean()[2] < min(one.mean()[2], two.mean()[2])
    assert one.mixed(two, (1.0, 1.0), name="one").mean() == pytest.approx(one.mean())
    with pytest.raises(QuestionError, match="judged different events"):
        one.mixed(EventLoss("y", event + 1, user, two.action_nats, two.category_nats), weights, name="both")
