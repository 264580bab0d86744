"""Interference: the share of neighbors against a plain loop, and worlds with and without an effect of others."""

import numpy as np
import pytest

from tests.causal.checks.simulated import World, trials
from tests.events.sequences_by_hand import sequences, vocabulary
from whybuy.causal.checks import interference
from whybuy.causal.checks.interference import interference_warnings
from whybuy.causal.neighbors import MIN_NEIGHBORS, Neighbors
from whybuy.events.behaviors import parse_behavior
from whybuy.events.moments import BehaviorIndex, Moments

DAY = 86_400_000
SMALL = 0.005


def spread(seed: int, *, by_others: float):
    """Return trials whose effect grows by ``by_others`` times how many more of the others than usual had done it."""
    rng = np.random.default_rng(seed)
    excess = rng.normal(size=12_000).clip(-2, 2)
    data, _ = trials(seed, World(effect=0.08 + by_others * excess))
    return data, excess.astype(np.float32)


@pytest.mark.parametrize("seed", range(100, 105))
def test_an_effect_that_others_add_to_warns(seed):
    data, excess = spread(seed, by_others=0.1)
    found = interference(data, excess, smallest_effect=SMALL)
    assert found["fewer"]["estimate"] < 0.08 < found["more"]["estimate"]
    assert found["warns"]
    assert "everybody's doing it has another effect" in interference_warnings(found)[0]


def test_without_an_effect_of_others_it_warns_by_chance_alone():
    warned = sum(interference(*spread(seed, by_others=0.0), smallest_effect=SMALL)["warns"] for seed in range(100, 200))
    assert warned <= 5  # one in a hundred is meant


def test_who_has_too_few_neighbors_is_left_out():
    data, excess = spread(100, by_others=0.1)
    alone = np.where(np.arange(len(excess)) < 9_000, np.nan, excess).astype(np.float32)
    assert interference(data, alone, smallest_effect=SMALL)["share_known"] == 0.25
    for nobody in (None, np.full_like(excess, np.nan)):
        found = interference(data, nobody, smallest_effect=SMALL)
        assert (found["share_known"], found["warns"], found["p_value"]) == (0.0, False, None)
        assert found["more"]["estimate"] is None


def crowd(n_users: int = 60, n_days: int = 8):
    """A few events a day, in two categories; views of the first are what is asked about."""
    rng = np.random.default_rng(5)
    story = {}
    for u in range(n_users):
        at = np.sort(rng.choice(n_days * 24, rng.integers(5, 25), replace=False)) * 3_600_000
        story[f"u{u:02d}"] = [(int(t), ("view", "cart")[rng.random() < 0.4], int(rng.integers(2))) for t in at]
    return sequences(story)


def test_the_share_of_neighbors_equals_a_plain_loop():
    """Whole log in two blocks: others are counted across blocks, and the user is no neighbor of themselves."""
    log = crowd()
    words = vocabulary()
    asked = parse_behavior(f"view:{words.categories[0]}")
    index = BehaviorIndex.of((parse_behavior("cart:*"), asked), words)
    half = np.arange(log.n_users) < 30
    blocks = [(part, index.hits(part)) for part in (log.users(half), log.users(~half))]
    span = int(log.ts_ms.min()), int(log.ts_ms.max())
    neighbors = Neighbors.of(iter(blocks), (1,), words, span)
    events = [
        (u, int(t) // DAY, int(c), bool(h))
        for u, t, c, h in zip(log.event_user, log.ts_ms, log.category, index.hits(log)[:, 1], strict=True)
    ]
    n_known, first_user = 0, 0
    usual = neighbors.treated[:, :, 0].sum(1) / np.maximum(neighbors.users.sum(1), 1)
    for part, hits in blocks:
        moments = Moments.of(part, reach_ms=DAY)
        where = np.arange(len(moments))
        found = neighbors.excess(part, moments, where, hits)[:, 0]
        for i in where:
            user, day = first_user + moments.user[i], moments.ts_ms[i] // DAY - 1
            before = [e for e in range(moments.first[i]) if part.event_user[e] == moments.user[i]]
            if not before:
                assert np.isnan(found[i])
                continue
            place = part.category[before[-1]]
            others = {u for u, d, c, _ in events if u != user and d == day and c == place}
            did = {u for u, d, _, h in events if u in others and d == day and h}
            if len(others) < MIN_NEIGHBORS:
                assert np.isnan(found[i])
                continue
            n_known += 1
            assert found[i] == pytest.approx(len(did) / len(others) - usual[place], abs=1e-6)
        first_user += part.n_users
    assert n_known > 100


def test_a_day_before_the_log_has_no_neighbors():
    log, words = crowd(), vocabulary()
    index = BehaviorIndex.of((parse_behavior("view:*"),), words)
    span = int(log.ts_ms.min()), int(log.ts_ms.max())
    neighbors = Neighbors.of([(log, index.hits(log))], (0,), words, span)
    moments = Moments.of(log, reach_ms=DAY)
    first_day = np.flatnonzero(moments.ts_ms // DAY == neighbors.first_day)
    assert len(first_day) > 0
    assert np.isnan(neighbors.excess(log, moments, first_day, index.hits(log))).all()
