"""The model may not see what it judges: no future, no neighbor in the row, no event of its own moment."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.behavior.small_models import examples, heads, model, outputs, with_returns
from tests.events.sequences_by_hand import random_sequences, sequences
from whybuy.behavior.next_event import Catalog, NextEvents, event_loss
from whybuy.behavior.packing import Windows
from whybuy.behavior.recent import Recent
from whybuy.behavior.rollout import _pushed
from whybuy.behavior.targets import forecast_horizons
from whybuy.columns import ACTIONS
from whybuy.events.sequences import Sequences

BEFORE = ("nuisance", "gap", "action", "category")
DAY = 86_400_000


def events(action: str, item: int) -> Sequences:
    story = [(k * 1000, "view", k % 3) for k in range(6)]
    story[4] = (4000, action, item)
    return sequences({"a": story})


def test_changing_an_event_leaves_everything_before_untouched_and_its_own_propensity_too():
    data, changed = examples(events("view", 0)), examples(events("purchase", 2))
    net = model(data)
    one, two = outputs(net, data), outputs(net, changed)
    for name in BEFORE:
        np.testing.assert_array_equal(one[name][:5], two[name][:5])
        assert (one[name][5] != two[name][5]).any()
    np.testing.assert_array_equal(one["forecast"][:4], two["forecast"][:4])
    assert (one["forecast"][4] != two["forecast"][4]).any()


def test_changing_the_time_of_an_event_leaves_everything_before_untouched():
    early = sequences({"a": [(0, "view", 0), (1000, "cart", 1), (2000, "view", 2), (90_000, "view", 1)]})
    late = sequences({"a": [(0, "view", 0), (1000, "cart", 1), (80_000, "view", 2), (90_000, "view", 1)]})
    data = examples(early)
    net = model(data)
    one, two = outputs(net, data), outputs(net, examples(late))
    for name in BEFORE:
        np.testing.assert_array_equal(one[name][:2], two[name][:2])
    # Only its own time is known of the third moment; the gap's head may not know even that.
    np.testing.assert_array_equal(one["gap"][2], two["gap"][2])
    assert (one["action"][2] != two["action"][2]).any()


def test_lines_of_one_basket_do_not_see_each_other():
    one = sequences({"a": [(0, "view", 0), (1000, "purchase", 1), (1000, "purchase", 2), (2000, "view", 0)]})
    two = sequences({"a": [(0, "view", 0), (1000, "cart", 0), (1000, "view", 0), (2000, "view", 0)]})
    data = examples(one)
    net = model(data)
    first, second = outputs(net, data), outputs(net, examples(two))
    for name in BEFORE:
        np.testing.assert_array_equal(first[name][:2], second[name][:2])


@pytest.mark.parametrize("context", [16, 64])
def test_packing_changes_nothing(context):
    s = random_sequences(np.random.default_rng(3), n_users=7)
    data = examples(s, context=context)
    net = model(data)
    together = outputs(net, data)
    row = 0
    for u in range(s.n_users):
        alone = outputs(net, examples(s.users(np.arange(s.n_users) == u), context=context))
        for name, part in alone.items():
            np.testing.assert_allclose(part, together[name][row : row + len(part)], atol=3e-6)
        row += len(alone["gap"])


def test_rows_are_full_and_every_moment_is_read_once():
    rng = np.random.default_rng(0)
    offsets = np.concatenate([[0], np.cumsum(rng.geometric(1 / 8, 3_000))])
    windows = Windows.of(offsets, 64)
    packed = list(windows.batches(rng.permutation(len(windows.user)), rows=8))
    used = sum(int(windows.tokens[p.chosen].sum()) for p in packed)
    cells = sum(p.shape[0] * 64 for p in packed)
    assert used / cells > 0.95
    layouts = [p.layout(-1) for p in packed]
    assert sum(int((one.segment >= 0).sum()) for one in layouts) == used
    own = np.concatenate([np.arange(a, b) for a, b in zip(windows.read_from, windows.stop, strict=True)])
    assert own.tolist() == list(range(offsets[-1]))


def test_a_long_user_is_read_once_everywhere_with_half_a_row_of_context():
    windows = Windows.of(np.array([0, 100_000]), 256)
    own = np.concatenate([np.arange(a, b) for a, b in zip(windows.read_from, windows.stop, strict=True)])
    assert own.tolist() == list(range(100_000))
    assert (windows.read_from[1:] - windows.start[1:]).min() >= 127


def test_one_event_at_a_time_with_a_cache_gives_the_same_states():
    s = random_sequences(np.random.default_rng(5), n_users=1)
    data = examples(s)
    net = model(data)
    packed = next(data.windows.batches(np.array([0]), rows=1))
    stream = data.batch(packed)[0].stream
    with torch.inference_mode():
        whole = net.states(stream)
        x, cache, steps = net.embedded(stream), None, []
        for at in range(x.shape[1]):
            state, cache = net.trunk.step(
                x[:, at : at + 1], stream.place[:, at : at + 1], stream.seconds[:, at : at + 1], cache
            )
            steps.append(state[:, 0])
    torch.testing.assert_close(torch.cat(steps), whole, atol=3e-6, rtol=0)


def test_the_next_event_is_a_probability():
    s = random_sequences(np.random.default_rng(2), n_users=3)
    data = examples(s)
    net = with_returns(model(data))
    packed = next(data.windows.batches(np.arange(3), rows=8))
    batch, moment = data.batch(packed)
    with torch.inference_mode():
        following = NextEvents.of_moments(Catalog(net), net.states(batch.stream), batch.moment)
        p, views = following.items(), following.items(actions=(0,))
        behaviors = following.behaviors(data.heads.index)
        actions, bags = following.actions(), following.categories(5)[:, 0]
        both = following.actions_and_categories()
        apart = torch.stack([following.categories(action) for action in range(len(ACTIONS))], dim=1)
    assert p.shape == (len(moment), 4)
    torch.testing.assert_close(p.sum(1), torch.ones(len(p)), atol=1e-5, rtol=0)
    torch.testing.assert_close(both, actions[:, :, None] * apart, atol=1e-6, rtol=0)
    torch.testing.assert_close(views.sum(1), torch.ones(len(p)), atol=1e-5, rtol=0)
    torch.testing.assert_close(behaviors[:, 0], actions[:, 0], atol=1e-6, rtol=0)
    torch.testing.assert_close(behaviors[:, 3], actions[:, 5] * bags, atol=1e-6, rtol=0)


def test_the_loss_of_an_event_is_that_of_its_probability():
    s = random_sequences(np.random.default_rng(2), n_users=5)
    data = examples(s)
    net = with_returns(model(data))
    loss = event_loss(net, data, np.ones(s.n_users, bool))
    assert loss.event.tolist() == list(range(s.n_events))
    packed = next(data.windows.batches(np.arange(5), rows=8))
    batch, moment = data.batch(packed)
    with torch.inference_mode():
        p = NextEvents.of_moments(Catalog(net), net.states(batch.stream), batch.moment).behaviors(data.heads.index)
    # The last behavior is purchase:bags, and every bag of this vocabulary is item 2.
    bought = np.flatnonzero((s.action == 5) & (s.item == 2))
    row = np.searchsorted(data.moments.first, bought, side="right") - 1
    order = np.argsort(moment)
    want = -np.log(p.numpy()[order][row, 3])
    np.testing.assert_allclose((loss.action_nats + loss.category_nats)[bought], want, atol=1e-5)


def test_an_item_never_seen_and_a_field_missing_have_an_answer():
    s = sequences({"a": [(0, "search", -1), (1000, "view", 2), (2000, "view", 2)]})
    data = examples(s)
    found = outputs(model(data), data)
    assert all(np.isfinite(value).all() for value in found.values())


def test_a_user_of_one_event_is_read_and_teaches():
    data = examples(sequences({"a": [(0, "view", 0)], "b": [(5, "purchase", 1)]}))
    net = model(data).train()
    packed = next(data.windows.batches(np.arange(2), rows=4))
    losses = net(data.batch(packed, decided=True)[0])
    assert all(torch.isfinite(loss) for loss in losses)


def test_censored_positions_teach_no_outcome():
    s = sequences({f"u{u}": [(0, "view", 0), (1000, "purchase", 2)] for u in range(4)})
    data = examples(s, end_ms=2_000)
    assert not data.targets.followed.any()
    assert data.targets.outcome[::2].tolist() == [[1, 1]] * 4
    packed = next(data.windows.batches(np.arange(4), rows=4))
    losses = model(data)(data.batch(packed, decided=True)[0])
    assert (losses.outcome, losses.outcome_anywhere, losses.forecast, losses.amount) == (0, 0, 0, 0)


def test_counts_and_spend_of_a_forecast_are_of_what_follows():
    s = sequences({"a": [(0, "view", 0), (1000, "purchase", 2), (2000, "purchase", 2), (2 * DAY, "purchase", 1)]})
    data = examples(s)
    # (day, week) x (purchase:*, purchase:bags); item 2 is a bag.
    assert data.targets.count[0].tolist() == [2, 2, 3, 2]
    assert data.targets.count[2].tolist() == [0, 0, 1, 0]
    spend = np.asarray(s.spend)
    np.testing.assert_allclose(data.targets.spend[0], [spend[1] + spend[2], spend[1:].sum()])


def test_horizons_that_a_log_cannot_teach_are_left_out():
    assert forecast_horizons((7 * DAY,), 10 * DAY) == (DAY, 7 * DAY)
    assert forecast_horizons((3 * DAY,), 90 * DAY) == (DAY, 3 * DAY, 7 * DAY, 30 * DAY)
    assert heads().n_forecasts == 4


def test_what_is_recent_is_distinct_latest_first_and_does_not_see_its_own_moment():
    story = [(0, "view", 0), (1000, "view", 1), (2000, "view", 0), (3000, "search", None), (3000, "view", 2)]
    s = sequences({"a": [*story, (4000, "view", 2)], "b": [(0, "view", 2), (9, "view", 1)]})
    recent = Recent.before(s, examples(s).moments)
    assert [[int(i) for i in row if i >= 0] for row in recent.item] == [[], [0], [1, 0], [0, 1], [2, 0, 1], [], [2]]
    last = Recent.at_the_end(s)
    assert [[int(i) for i in row if i >= 0] for row in last.item] == [[2, 0, 1], [1, 2]]


def test_simulated_events_push_what_is_recent_as_logged_ones_do():
    rng = np.random.default_rng(1)
    codes = rng.integers(-1, 12, 300)
    s = sequences({"a": [(k * 1000, "view", None if c < 0 else int(c)) for k, c in enumerate(codes % 3)]})
    want = Recent.at_the_end(replace(s, item=codes.astype(np.int32))).item[0]
    found = torch.full((1, 8), -1)
    for code in codes:
        found = _pushed(found, torch.tensor([99 if code < 0 else code]), 99)
    assert found[0].tolist() == want.tolist()
