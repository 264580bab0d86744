"""Which behaviors are one: those of different events that happen at the same decisions and no other."""

import numpy as np
import pytest

from whybuy.causal.together import Together
from whybuy.events.behaviors import parse_behavior


def same_as(one: str, other: str, *, apart: int, n: int = 1_000) -> dict[str, str]:
    """A hundred decisions with both, and ``apart`` with the first alone, in blocks."""
    done = np.zeros((n, 2), np.uint8)
    done[:100] = 1
    done[100 : 100 + apart, 0] = 1
    together = Together([parse_behavior(one), parse_behavior(other)])
    for block in np.array_split(done, 7):
        together.add(block)
    return {str(b): name for b, name in together.same_as().items()}


@pytest.mark.parametrize(("one", "other"), [("cart:belts", "remove:belts"), ("purchase:shoes", "purchase:socks")])
def test_behaviors_that_never_happen_apart_are_one(one, other):
    assert same_as(one, other, apart=0) == {one: other, other: one}
    assert same_as(one, other, apart=1) == {one: other, other: one}
    assert same_as(one, other, apart=2) == {}


@pytest.mark.parametrize(
    ("one", "other"), [("cart:*", "cart:belts"), ("cart:brand=Acme", "cart:belts"), ("cart:item=b1", "cart:belts")]
)
def test_two_names_of_one_event_are_no_two_behaviors(one, other):
    assert same_as(one, other, apart=0) == {}


def test_behaviors_that_never_happen_are_not_one():
    together = Together([parse_behavior("view:a"), parse_behavior("view:b")])
    together.add(np.zeros((10, 2), np.uint8))
    assert together.same_as() == {}
