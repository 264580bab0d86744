"""The arithmetic of a step is counted product by product."""

import pytest

from tests.behavior.small_models import TRUNK
from whybuy.behavior.cost import Cost, Product, StepSize, products_alone, products_of, reached_alone, training_flops
from whybuy.behavior.model import ModelShape

SHAPE = ModelShape(
    n_small=9, n_entity_rows=9, n_items=5, n_categories=3, n_behaviors=0, n_outcomes=0, n_wide=0, n_forecasts=0,
    n_horizons=0, n_text=0, trunk=TRUNK,
)  # fmt: skip


def test_a_product_is_a_multiplication_and_an_addition_each():
    assert Product(2, 3, 4, count=5).flops == 2 * 2 * 3 * 4 * 5


def test_the_trunk_is_twelve_squares_of_the_width_and_attention():
    step = StepSize(rows=3, length=32, decisions=1, events=1, candidates=6)
    width, depth, tokens = TRUNK.width, TRUNK.depth, 96
    trunk = sum(p.flops for p in products_of(SHAPE, step) if p.count >= depth and p.rows >= 32)
    assert trunk == 2 * tokens * depth * (12 * width**2 + 2 * 32 * width)
    assert training_flops(SHAPE, step) > 3 * trunk


def test_what_the_products_alone_reach_is_measured_also_for_a_large_step():
    small = StepSize(rows=2, length=32, decisions=20, events=20, candidates=6)
    assert 1e6 < products_alone(products_of(SHAPE, small), seconds=0.01) < 1e14
    assert reached_alone(SHAPE, StepSize(100_000, 32, 10_000, 10_000, 6)) > 1e6


def test_a_cost_says_its_assumption():
    cost = Cost.of(tokens=1_000, flops=2e12, seconds=100, bound=4e10, watts=50)
    assert cost.utilization == pytest.approx(0.5)
    assert cost.kwh == pytest.approx(50 * 100 / 3.6e6)
    assert "assumed 50 W" in cost.summary()
