"""Training learns, repeats bit for bit, resumes exactly, and says what is wrong."""

import errno
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from tests.behavior.small_models import TRUNK, examples, model, outputs
from tests.events.sequences_by_hand import random_sequences, sequences, vocabulary
from whybuy.behavior.checkpoint import Checkpoint
from whybuy.behavior.examples import Examples
from whybuy.behavior.model import BehaviorModel
from whybuy.behavior.rates import start_from_rates
from whybuy.behavior.sequence_ranker import SequenceRanker
from whybuy.behavior.sizes import RECIPES, TrainingPlan
from whybuy.behavior.train import EpochLoss, Split, Watch, fit
from whybuy.errors import ModelError

HOUR, DAY = 3_600_000, 86_400_000
PLAN = TrainingPlan(trunk=replace(TRUNK, dropout=0.1), epochs=3, rows=2, learning_rate=1e-2, context=64)


def shop() -> Examples:
    return examples(random_sequences(np.random.default_rng(8), n_users=24), context=64)


def halves(data: Examples) -> tuple[np.ndarray, np.ndarray]:
    half = np.arange(data.sequences.n_users) % 3 > 0
    return half, ~half


def split(data: Examples) -> Split:
    train, held_out = halves(data)
    return Split([train], [held_out])


def trained(data: Examples, plan: TrainingPlan, **options) -> tuple[BehaviorModel, list[EpochLoss]]:
    net = model(data, plan)
    start_from_rates(net, [data], [halves(data)[0]])
    return net, fit(net, [data], plan, split(data), **options)


def same(a: BehaviorModel, b: BehaviorModel) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def test_training_finds_a_planted_dependence():
    # A cart is always followed by a view, anything else by anything: the propensity of a view must learn it.
    rng = np.random.default_rng(5)
    users = {}
    for u in range(60):
        story, action = [], "view"
        for k in range(20):
            action = "view" if action == "cart" else ["view", "cart", "purchase"][rng.integers(3)]
            story.append((k * HOUR, action, int(rng.integers(3))))
        users[f"u{u}"] = story
    s = sequences(users)
    data = examples(s, end_ms=20 * HOUR + 8 * DAY, context=64)
    plan = TrainingPlan(trunk=replace(TRUNK, depth=1), epochs=25, rows=4, learning_rate=2e-2, patience=25, context=64)
    net, losses = trained(data, plan)
    assert losses[-1].validation < losses[0].validation
    found = outputs(net, data)
    judged = np.flatnonzero(halves(data)[1][data.moments.user] & (np.arange(len(data.moments)) % 20 > 0))
    cart = s.action[judged - 1] == 3
    p_view = 1 / (1 + np.exp(-found["nuisance"][judged, 0]))
    assert p_view[cart].mean() > 0.85
    assert p_view[~cart].mean() < 0.5
    action = np.exp(found["action"][judged])
    next_is_view = action[:, 0] / action.sum(1)
    assert next_is_view[cart].mean() > 0.85
    assert next_is_view[~cart].mean() < 0.5


def test_a_run_repeats_bit_for_bit():
    data = shop()
    assert same(trained(data, PLAN)[0], trained(data, PLAN)[0])


@pytest.mark.parametrize("killed_at", [2, 7])
def test_a_killed_run_goes_on_to_the_same_bits(tmp_path: Path, killed_at: int):
    data = shop()
    whole, losses = trained(data, PLAN)
    place = Checkpoint(tmp_path / "run.checkpoint", {"plan": 1}, every_s=0)

    class KilledError(Exception):
        pass

    def kill(task: str, done: float, total: float, note: str = "") -> None:
        if done > killed_at:
            raise KilledError

    with pytest.raises(KilledError):
        trained(data, PLAN, watch=Watch(kill, checkpoint=place))
    assert place.path.exists()
    resumed, again = trained(data, PLAN, watch=Watch(checkpoint=place))
    assert same(whole, resumed)
    assert losses == again


def test_bfloat16_trains_nearly_the_same():
    data = shop()
    half = Fabric(accelerator="cpu", devices=1, precision="bf16-mixed")
    whole, rounded = trained(data, PLAN)[1], trained(data, PLAN, fabric=half)[1]
    np.testing.assert_allclose([e.train for e in rounded], [e.train for e in whole], rtol=0.02)


def test_parts_of_a_step_add_up_to_the_step():
    data = shop()
    plan = replace(PLAN, trunk=TRUNK, rows=4)
    one, two = trained(data, plan)[1], trained(data, replace(plan, accumulate=2))[1]
    np.testing.assert_allclose([e.train for e in one], [e.train for e in two], rtol=1e-5)


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_checkpoint(tmp_path: Path):
    data = shop()
    place = Checkpoint(tmp_path / "run.checkpoint", {}, every_s=0)
    trained(data, replace(PLAN, epochs=1), watch=Watch(checkpoint=place))
    kept = place.path.read_bytes()
    data.wide[:] = np.nan
    place = Checkpoint(place.path, {"another": 1}, every_s=0)
    with pytest.raises(ModelError, match="became nan in pass 1, step 1"):
        fit(model(data, PLAN), [data], PLAN, split(data), watch=Watch(checkpoint=place))
    assert place.path.read_bytes() == kept


def test_a_checkpoint_of_another_run_is_not_gone_on_with(tmp_path: Path):
    Checkpoint(tmp_path / "c", {"seed": 1}).save({"x": 1})
    assert Checkpoint(tmp_path / "c", {"seed": 2}).load() is None
    assert Checkpoint(tmp_path / "c", {"seed": 1}).load()["x"] == 1


def test_a_corrupt_checkpoint_is_named(tmp_path: Path):
    (tmp_path / "c").write_bytes(b"no checkpoint")
    with pytest.raises(ModelError, match="is no checkpoint"):
        Checkpoint(tmp_path / "c", {}).load()


def test_a_full_disk_keeps_the_previous_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    place = Checkpoint(tmp_path / "c", {})
    place.save({"x": 1})

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("whybuy.behavior.checkpoint.torch.save", full)
    with pytest.raises(OSError, match="No space"):
        place.save({"x": 2})
    assert place.load()["x"] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["c"]


def test_too_little_memory_says_what_fits(monkeypatch: pytest.MonkeyPatch):
    data = shop()
    net = model(data, PLAN)

    def full(*_: object) -> None:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    monkeypatch.setattr(net, "states", full)
    with pytest.raises(ModelError, match="accumulate = 2"):
        fit(net, [data], PLAN, split(data))


def test_sampled_softmax_is_the_whole_one_in_expectation():
    data = shop()
    net = model(data)
    start_from_rates(net, [data], [np.ones(data.sequences.n_users, bool)])
    packed = next(data.windows.batches(np.arange(6), rows=4))
    batch = data.batch(packed, decided=True)[0]
    with torch.inference_mode():
        whole = float(net(batch).item)
        generator = torch.Generator().manual_seed(0)
        drawn = torch.multinomial(net.next.item_rate, 4096, replacement=True, generator=generator)
        sampled = float(net(batch, drawn).item)
    assert sampled == pytest.approx(whole, rel=0.02)


@pytest.mark.whole
def test_a_catalog_of_a_million_items_is_trained_on_samples():
    n = 1_000_000
    words = replace(
        vocabulary(),
        items=np.arange(n).astype(object),
        item_category=np.arange(n, dtype=np.int32) % 3,
        item_brand=np.full(n, "acme", object),
        item_brand_code=np.zeros(n, np.int32),
        item_text=np.full(n, -1, np.int32),
    )
    rng = np.random.default_rng(0)
    story = {f"u{u}": [(k * HOUR, "view", int(rng.integers(n))) for k in range(12)] for u in range(40)}
    s = sequences(story, words)
    plan = replace(PLAN, negatives=256, epochs=2)
    ranker, losses = SequenceRanker.trained(s, words, plan)
    assert losses[-1].train < losses[0].train
    score = ranker.score(s.users(np.arange(40) < 2), np.full(2, 20 * HOUR))
    assert score.shape == (2, n)
    # Nobody knows the future, and none of them was seen often: the scores are near to those of chance.
    assert np.logaddexp.reduce(score.astype(float), axis=1) == pytest.approx([0, 0], abs=0.05)


def test_recipes_are_of_the_sizes_they_promise():
    promised = {"tiny": 1e5, "small": 8e5, "base": 1.4e7, "large": 2e8, "xl": 1e9}
    for name, recipe in RECIPES.items():
        width, depth = recipe.trunk.width, recipe.trunk.depth
        assert depth * 12 * width**2 == pytest.approx(promised[name], rel=0.1)


def test_a_split_in_time_teaches_nothing_of_what_came_later():
    data = shop()
    before, since = data.split_in_time(0.3)
    cut = data.moments.ts_ms[since.targets.decided].min()
    assert data.moments.ts_ms[before.targets.decided].max() < cut
    assert (before.targets.decided | since.targets.decided).sum() == data.targets.decided.sum()
    week = data.moments.ts_ms + 7 * DAY
    assert week[before.targets.followed[:, 0]].max() < cut
    # Other events after the cut leave what is taught before it as it was.
    later = np.repeat(data.moments.ts_ms >= cut, data.moments.end - data.moments.first)
    changed = replace(data.sequences, action=np.where(later, 5, data.sequences.action).astype(np.int8))
    other = examples(changed, context=64).split_in_time(0.3)[0]
    for packed in data.windows.batches(np.arange(len(data.windows.user)), rows=4):
        (one, moment), (two, same_moment) = before.batch(packed, decided=True), other.batch(packed, decided=True)
        assert moment.tolist() == same_moment.tolist()
        for field in ("behavior", "followed", "counted", "spent", "action", "item"):
            assert torch.equal(getattr(one.labels, field), getattr(two.labels, field))
        assert torch.equal(one.labels.outcome * one.labels.followed, two.labels.outcome * two.labels.followed)
        assert torch.equal(one.labels.count * one.labels.counted, two.labels.count * two.labels.counted)


def test_passes_can_be_judged_by_what_came_later():
    data = shop()
    before, since = data.split_in_time(0.3)
    everyone = np.ones(data.sequences.n_users, bool)
    net = model(data, PLAN)
    start_from_rates(net, [before], [everyone])
    losses = fit(net, [before], PLAN, Split([everyone], [everyone], [since]))
    assert losses[-1].decisions == before.targets.decided.sum()
    assert np.isfinite(losses[-1].validation)
