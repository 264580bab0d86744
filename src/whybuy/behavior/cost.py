"""What training costs: tokens, arithmetic, how much of the machine it uses, hours and energy.

The arithmetic is that of the matrix products of a step, forward and twice that backward; what is not a matrix product
(norms, activations, embeddings, the optimizer) is counted as none, so that the utilization says how near training comes
to the same products alone.
"""

import time
from dataclasses import asdict, dataclass
from typing import Any

import torch

from whybuy.behavior.model import ModelShape
from whybuy.behavior.tokens import GAP_BINS
from whybuy.columns import ACTIONS

CPU_WATTS, GPU_WATTS = 65.0, 350.0
"""Assumed draw of a machine under load where nobody measured it: a desktop processor, a data-center GPU."""

_MEASURED_FLOPS = 2e10
_PASSES = 3  # a product and its two gradients


@dataclass(frozen=True)
class Product:
    """``count`` matrix products (rows x inner) @ (inner x columns)."""

    rows: int
    inner: int
    columns: int
    count: int = 1

    @property
    def flops(self) -> int:
        """Floating point operations, a multiplication and an addition each."""
        return 2 * self.rows * self.inner * self.columns * self.count


@dataclass(frozen=True)
class StepSize:
    """What one step reads.

    Attributes
    ----------
    rows, length : packed rows and their tokens
    decisions, events : moments that teach, and the events in them
    candidates : items that each event is scored against
    """

    rows: int
    length: int
    decisions: int
    events: int
    candidates: int


def products_of(shape: ModelShape, step: StepSize) -> list[Product]:
    """Return the matrix products of one forward pass."""
    width, depth, heads = shape.trunk.width, shape.trunk.depth, shape.trunk.heads
    tokens, n, m = step.rows * step.length, step.decisions, step.events
    found = [
        Product(tokens, width, 3 * width, depth),
        Product(tokens, width, width, depth),
        Product(tokens, width, 4 * width, depth),
        Product(tokens, 4 * width, width, depth),
        Product(step.length, width // heads, step.length, depth * heads * step.rows),
        Product(step.length, step.length, width // heads, depth * heads * step.rows),
        Product(n, width, GAP_BINS),
        Product(n, shape.n_wide, width),
        Product(n, 2 * width, 2 * width),
        Product(m, 2 * width, len(ACTIONS)),
        Product(m, 2 * width, width, 2),
        Product(m, width, width, 2),
        Product(m, width, shape.n_categories + 1),
        Product(m, width, step.candidates),
    ]
    if shape.n_behaviors:
        out = shape.n_behaviors + 2 * shape.n_outcomes
        found += [
            Product(n, shape.n_wide, width),
            Product(n, 3 * width, 2 * width),
            Product(n, 2 * width, out),
            Product(n, shape.n_wide, out),
        ]
    if shape.n_forecasts:
        found += [Product(n, width, width), Product(n, width, 2 * shape.n_forecasts + shape.n_horizons)]
    return found


def training_flops(shape: ModelShape, step: StepSize) -> int:
    """Return the operations of one step of training."""
    return _PASSES * sum(product.flops for product in products_of(shape, step))


def reached_alone(shape: ModelShape, step: StepSize) -> float:
    """Return the operations a second that the products of a step alone reach, measured on a part of a large step."""
    part = max(1, round(step.rows * min(1.0, _MEASURED_FLOPS / training_flops(shape, step))))
    share = part / step.rows
    decisions, events = (max(1, round(n * share)) for n in (step.decisions, step.events))
    return products_alone(products_of(shape, StepSize(part, step.length, decisions, events, step.candidates)))


def products_alone(products: list[Product], *, seconds: float = 0.5, device: str = "cpu") -> float:
    """Return the floating point operations a second that these products alone reach, forward and backward."""
    pairs = []
    for p in products:
        # Batched products share their time; a few stand for all of them.
        few = min(p.count, 8)
        a = torch.randn(few, p.rows, p.inner, device=device, requires_grad=True)
        b = torch.randn(few, p.inner, p.columns, device=device, requires_grad=True)
        pairs.append((a, b, p.count / few, torch.ones(few, p.rows, p.columns, device=device)))
    took, rounds = 0.0, 0
    while took < seconds or rounds < 2:
        one = 0.0
        for a, b, weight, gradient in pairs:
            start = time.perf_counter()
            torch.autograd.backward(a @ b, gradient)
            if device != "cpu":
                torch.cuda.synchronize()
            one += weight * (time.perf_counter() - start)
            a.grad = b.grad = None
        took, rounds = took + (one if rounds else 0.0), rounds + 1  # the first round warms up
    return _PASSES * sum(p.flops for p in products) * (rounds - 1) / took


@dataclass(frozen=True)
class Cost:
    """What a training took.

    Attributes
    ----------
    tokens : read in training, all passes and twins together
    flops : of the matrix products
    seconds : of wall clock
    flops_per_s : flops / seconds
    bound_flops_per_s : what the same products alone reach on this machine
    utilization : flops_per_s / bound_flops_per_s
    watts, kwh : the assumed draw of the machine, and energy at it
    """

    tokens: int
    flops: float
    seconds: float
    flops_per_s: float
    bound_flops_per_s: float
    utilization: float
    watts: float
    kwh: float

    @classmethod
    def of(cls, *, tokens: int, flops: float, seconds: float, bound: float, watts: float = CPU_WATTS) -> "Cost":
        """Return the cost of ``seconds`` of training."""
        speed = flops / max(seconds, 1e-9)
        return cls(tokens, flops, seconds, speed, bound, speed / bound, watts, watts * seconds / 3.6e6)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return asdict(self)

    def summary(self) -> str:
        """Return the cost in one line."""
        return (
            f"{self.tokens:,} tokens, {self.flops / 1e12:.2f} TFLOP in {self.seconds:.0f} s: "
            f"{self.flops_per_s / 1e9:.1f} GFLOP/s, {self.utilization:.0%} of the same products alone; "
            f"about {1000 * self.kwh:.1f} Wh at an assumed {self.watts:.0f} W"
        )
