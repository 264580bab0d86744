"""The stored truth against other ways of computing it: other seeds, indicators instead of compensators, an oracle."""

import numpy as np
import pytest
from tests.worlds.oracle import Trials

from whybuy.worlds import demo_truth, world
from whybuy.worlds.chain import Draws, choose
from whybuy.worlds.demo_equations import DEMO
from whybuy.worlds.intervene import HORIZON_MS, Population


def _stored(treatment, outcome):
    return next(e for e in demo_truth() if (e.treatment, e.outcome) == (treatment, outcome))


@pytest.mark.slow
def test_one_cell_recomputed_by_plain_simulation():
    """No importance sampling, no compensator, no shared random numbers: weights and indicators."""
    stored = _stored("cart:cases", "purchase:cases")
    b, a = DEMO.cells.index("cart:cases"), DEMO.cells.index("purchase:cases")
    rng = np.random.default_rng(21)
    population = Population.draw(DEMO, 3_000, rng)
    rows = rng.choice(len(population.user), 60_000, replace=False)
    e_b, e_a = population.P[rows, b].astype(float), population.P[rows, a].astype(float)
    weight = e_b * (1 - e_a - e_b) / (1 - e_a)
    others = population.P[rows].astype(float)
    others[:, [a, b]] = 0
    happened = [
        _bought(population, rows, cell, a, np.random.default_rng(seed))
        for seed, cell in ((1, np.full(len(rows), b)), (2, choose(others, rng.random(len(rows)))))
    ]
    gain = happened[0].astype(float) - happened[1]
    effect = (weight * gain).sum() / weight.sum()
    user = population.user[rows]
    spread = np.bincount(user, weight * (gain - effect))
    error = np.sqrt((spread**2).sum()) / weight.sum()
    assert abs(effect - stored.truth) < 4 * np.hypot(error, stored.std_error)
    assert error < 0.01


def _bought(population, rows, cell, outcome, rng):
    """Return whether each forced path holds the outcome within the horizon."""
    S, ts = DEMO.after(population.S[rows], cell), population.ts_ms[rows]
    until, users = ts + HORIZON_MS, population.users.take(population.user[rows])
    bought = np.zeros(len(rows), bool)
    row = np.arange(len(rows))
    while len(row):
        draws = Draws.of(len(row), rng)
        ts, S = DEMO.advance(S, ts, users, draws)
        cell = choose(DEMO.probabilities(S, ts, users), draws.cell)
        S = DEMO.after(S, cell)
        going = ts <= until
        bought[row[going & (cell == outcome)]] = True
        S, ts, until, users, row = S[going], ts[going], until[going], users.take(going), row[going]
    return bought


@pytest.fixture(scope="module")
def worlds():
    demo = world("demo")
    return [Trials(demo, demo.draw(seed, with_propensity=True)) for seed in range(4)]


@pytest.mark.slow
def test_oracle_intervals_hold_the_truth(worlds):
    """4 worlds x 30 pairs, dependent within a world: coverage within .88 and 1, scaled errors near 1."""
    z, errors = [], []
    for trials in worlds:
        for effect in demo_truth():
            estimate, error = trials.oracle(effect)
            z.append((estimate - effect.truth) / np.hypot(error, effect.std_error))
            errors.append(effect.std_error / error)
    assert np.mean(np.abs(z) < 1.96) > 0.88
    assert 0.8 < np.sqrt(np.mean(np.square(z))) < 1.25
    assert max(errors) < 0.2  # the truth is at least five times as exact as what it judges


@pytest.mark.slow
def test_naive_is_wrong_where_it_should_be(worlds):
    effects = demo_truth()
    wrong = next(e for e in effects if e.kind == "wrong sign")
    tempting = [e for e in effects if e.kind == "no cause" and e.lift > 1.3]
    for trials in worlds:
        assert trials.naive(wrong)[0] > 0.02
        assert all(trials.naive(effect)[1] > 1.15 for effect in tempting)
