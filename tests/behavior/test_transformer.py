"""The model may not see what it judges: no future, no padding, no event of its own moment."""

import numpy as np
import torch

from tests.events.sequences_by_hand import DAY, random_sequences, sequences, vocabulary
from whybuy.behavior.rows import Rows, TokenCodes
from whybuy.behavior.targets import Heads
from whybuy.behavior.train import TrainingPlan, TrainingSet, iterate_heads, model_shape, train_twin
from whybuy.behavior.transformer import BehaviorTransformer
from whybuy.events.behaviors import parse_behavior
from whybuy.events.features import FeatureSpec
from whybuy.events.moments import BehaviorIndex
from whybuy.events.sequences import Sequences

N_WIDE = 42
BEHAVIORS = tuple(parse_behavior(b) for b in ("view:*", "cart:*", "purchase:*", "purchase:bags"))


def heads(end_ms: int = 60 * DAY) -> Heads:
    spec = FeatureSpec((0, 1, 3, 5), BehaviorIndex.of(BEHAVIORS, vocabulary()), (DAY,))
    return Heads(spec, (2, 3), (7 * DAY,), end_ms)


def codes() -> TokenCodes:
    return TokenCodes.of(vocabulary(), np.array([9, 9, 9]))


def model(seed: int = 0) -> BehaviorTransformer:
    torch.manual_seed(seed)
    plan = TrainingPlan(width=16, depth=2, attention_heads=2)
    net = BehaviorTransformer(model_shape(heads(), codes(), plan, n_wide=N_WIDE))
    torch.nn.init.normal_(net.wide.weight)
    return net.eval()


def outputs(net: BehaviorTransformer, s: Sequences) -> tuple[np.ndarray, np.ndarray]:
    data = TrainingSet.of(s, heads(), codes())
    found = list(iterate_heads(net, data, np.ones(s.n_users, bool)))
    at = np.concatenate([m for m, _, _ in found])
    order = np.argsort(at)
    assert at[order].tolist() == list(range(len(data.moments)))
    return tuple(np.concatenate([part[i] for part in found])[order] for i in (1, 2))


def events(action: str, item: int) -> Sequences:
    story = [(k * 1000, "view", k % 3) for k in range(6)]
    story[4] = (4000, action, item)
    return sequences({"a": story})


def test_changing_an_event_leaves_everything_before_untouched_and_its_own_propensity_too():
    net = model()
    nuisance, forecast = outputs(net, events("view", 0))
    changed, changed_forecast = outputs(net, events("purchase", 2))
    np.testing.assert_array_equal(nuisance[:5], changed[:5])
    np.testing.assert_array_equal(forecast[:4], changed_forecast[:4])
    assert (nuisance[5] != changed[5]).any()
    assert (forecast[4] != changed_forecast[4]).any()


def test_lines_of_one_basket_do_not_see_each_other():
    net = model()
    one = sequences({"a": [(0, "view", 0), (1000, "purchase", 1), (1000, "purchase", 2), (2000, "view", 0)]})
    two = sequences({"a": [(0, "view", 0), (1000, "cart", 0), (1000, "view", 0), (2000, "view", 0)]})
    np.testing.assert_array_equal(outputs(net, one)[0][:2], outputs(net, two)[0][:2])


def test_padding_and_batching_change_nothing():
    net = model()
    s = random_sequences(np.random.default_rng(3), n_users=6)
    together = outputs(net, s)
    row = 0
    for u in range(s.n_users):
        alone = outputs(net, s.users(np.arange(s.n_users) == u))
        for part, whole in zip(alone, together, strict=True):
            np.testing.assert_allclose(part, whole[row : row + len(part)], atol=2e-6)
        row += len(alone[0])


def test_a_long_user_is_read_once_everywhere():
    s = sequences({"a": [(k * 1000, "view", k % 3) for k in range(1_000)]})
    rows = Rows.of(s.offsets)
    own = np.concatenate([np.arange(r, stop) for r, stop in zip(rows.read_from, rows.stop, strict=True)])
    assert own.tolist() == list(range(1_000))
    assert (rows.read_from[1:] - rows.start[1:] == 128).all()


def test_training_finds_a_planted_dependence_and_repeats_bit_for_bit():
    # A cart is always followed by a view, anything else by anything: the propensity of a view must learn it.
    rng = np.random.default_rng(5)
    users = {}
    for u in range(60):
        story, action = [], "view"
        for k in range(20):
            action = "view" if action == "cart" else ["view", "cart", "purchase"][rng.integers(3)]
            story.append((k * 3_600_000, action, int(rng.integers(3))))
        users[f"u{u}"] = story
    s = sequences(users)
    data = TrainingSet.of(s, heads(20 * 3_600_000 + 8 * DAY), codes())
    plan = TrainingPlan(width=16, depth=1, attention_heads=2, epochs=12, learning_rate=2e-2, dropout=0.0)
    half = np.arange(s.n_users) % 2 == 0
    shape = model_shape(data.heads, codes(), plan, n_wide=data.wide.shape[1])
    runs = [train_twin(data, shape, plan, users=(half, ~half)) for _ in range(2)]
    for a, b in zip(runs[0][0].state_dict().values(), runs[1][0].state_dict().values(), strict=True):
        assert torch.equal(a, b)
    found = {int(i): n for at, n, _ in iterate_heads(runs[0][0], data, ~half) for i, n in zip(at, n, strict=True)}
    p_view = {i: 1 / (1 + np.exp(-n[0])) for i, n in found.items()}
    before = np.array([s.action[i - 1] for i in sorted(p_view) if i % 20])
    p = np.array([p_view[i] for i in sorted(p_view) if i % 20])
    cart = before == 3
    assert p[cart].mean() > 0.85
    assert p[~cart].mean() < 0.5


def test_censored_positions_teach_no_outcome():
    s = sequences({f"u{u}": [(0, "view", 0), (1000, "purchase", 2)] for u in range(4)})
    data = TrainingSet.of(s, heads(end_ms=2_000), codes())
    assert not data.targets.followed.any()
    assert data.targets.outcome[::2].tolist() == [[1, 1]] * 4
