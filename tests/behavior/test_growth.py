"""Growth on paper is arithmetic that a reader can redo."""

import math

import numpy as np
import pytest

from tests.behavior.small_models import codes
from tests.behavior.test_scaling import SHAPE, ladder, runs_of
from whybuy.behavior.model import BehaviorModel
from whybuy.behavior.scale.growth import (
    GPU_PEAK,
    GPU_SHARE,
    GPUS,
    LogSizes,
    Machine,
    advised,
    counted,
    nearest_recipe,
    recipes,
    storage,
    training,
)
from whybuy.behavior.scale.law import Run, fit_law
from whybuy.behavior.sizes import RECIPES

SLOW = Machine("slow", flops_per_s=1e9, full_width=64, watts=100, tokens=4_096)


@pytest.fixture(scope="module")
def law():
    return fit_law(runs_of(), ladder=ladder(), n_draws=20)


def test_hours_are_operations_over_speed_and_a_narrow_model_gets_its_share():
    assert SLOW.hours(3.6e12, 1e7, width=128) == pytest.approx(1.0)
    assert SLOW.hours(3.6e12, 1e7, width=16) == pytest.approx(4.0)
    assert SLOW.kwh(2.0) == pytest.approx(0.2)


def test_more_devices_are_faster_until_too_few_steps_are_left():
    one, eight, many = (machine.hours(1e18, 2e8, width=1024) for machine in GPUS)
    assert one == pytest.approx(1e18 / (GPU_SHARE * GPU_PEAK) / 3600)
    assert eight == pytest.approx(one / (8 * 0.9))
    assert many == pytest.approx(one / (64 * 0.75))
    assert math.isnan(GPUS[2].hours(1e15, 200 * 64 * 4_096 - 1, width=1024))


def test_a_step_takes_its_launch_however_little_there_is_to_compute():
    assert GPUS[0].hours(1.0, 32_768 * 1_000, width=64) == pytest.approx(1_000 * 0.02 / 3600)


def test_every_recipe_is_priced_for_both_twins(law):
    found = training(law.ladder, [SLOW], [1e7], passes=2, tokens_per_event=1.1).set_index("recipe")
    assert list(found.index) == list(RECIPES)
    assert found.loc["small", "flops"] == pytest.approx(2 * 1e7 * float(law.ladder.of_size(787_584)))
    assert found.loc["small", "hours"] == pytest.approx(found.loc["small", "flops"] / 1e9 / 3600)


def test_a_larger_log_asks_for_a_larger_model(law):
    found = advised(law, [1e7, 3e7, 1e8], passes=2)
    assert found["told"].all()
    assert found["parameters"].is_monotonic_increasing
    assert found["recipe"].tolist() == [nearest_recipe(size) for size in found["parameters"]]


def test_no_recipe_is_advised_where_the_runs_do_not_tell():
    flat = [Run(run.parameters, run.events, 5.2 + 30 / run.events**0.35) for run in runs_of()]
    noise = np.random.default_rng(0).normal(0, 0.003, len(flat))
    runs = [Run(run.parameters, run.events, run.loss + e) for run, e in zip(flat, noise, strict=True)]
    found = advised(fit_law(runs, ladder=ladder(), n_draws=40), [1e7], passes=2)
    assert not found.loc[0, "told"]
    assert found.loc[0, "recipe"] is None


@pytest.mark.parametrize(("size", "name"), [(3_000, "tiny"), (99_000, "tiny"), (500_000, "small"), (9e9, "xl")])
def test_the_nearest_recipe(size, name):
    assert nearest_recipe(size) == name


def test_shards_grow_where_there_can_be_no_more_of_them():
    found = storage(LogSizes(shards=10, sequences=40, prepared=900, tokens=1), [1e6, 1e9])
    assert found["shards"].tolist() == [4, 512]
    assert found["events_per_shard"].tolist() == [250_000, 1e9 / 512]
    assert found["prepared"].tolist() == [9e8, 9e11]


def test_training_holds_one_part_in_memory():
    found = storage(LogSizes(shards=10, sequences=40, prepared=900, tokens=1), [1e5, 1e6, 1e9])
    assert found["memory"].tolist() == [9e7, 9e8, 9e8]


def test_parameters_are_counted_without_making_them():
    trunk, embeddings, everything = counted(SHAPE)
    real = BehaviorModel(SHAPE, codes().entities)
    assert trunk == sum(p.numel() for p in real.trunk.parameters())
    assert embeddings == (SHAPE.n_small + SHAPE.n_entity_rows) * SHAPE.trunk.width
    assert everything == sum(p.numel() for p in real.parameters())


def test_a_checkpoint_of_training_holds_every_number_four_times(law):
    found = recipes(law.ladder, SHAPE).set_index("recipe")
    assert list(found.index) == list(RECIPES)
    assert (found["training_checkpoint"] == 4 * found["weights"]).all()
    assert found.loc["xl", "trunk"] == 1_006_716_928
