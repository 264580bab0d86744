"""The stored truth against other ways of computing it: other seeds, indicators instead of compensators, an oracle."""

import numpy as np
import pytest

from whybuy.worlds import demo, demo_truth, draw_demo
from whybuy.worlds.intervene import HORIZON_MS, LOOKBACK_MS, OUTCOMES, Population, is_outcome
from whybuy.worlds.simulate import Draws, advance, after_event, cell_probabilities, choose


def _stored(treatment, outcome):
    return next(e for e in demo_truth() if (e.treatment, e.outcome) == (treatment, outcome))


def test_one_cell_recomputed_with_another_seed():
    stored = _stored("view:boots", "purchase:shoes")
    found = Population.draw(4_000, np.random.default_rng(11)).effects("view:boots", 24_000, np.random.default_rng(12))
    a = OUTCOMES.index("purchase:shoes")
    error = np.hypot(found.std_error[a], stored.std_error)
    assert abs(found.effect[a] - stored.truth) < 4 * error


@pytest.mark.slow
def test_one_cell_recomputed_by_plain_simulation():
    """No importance sampling, no compensator, no shared random numbers: weights and indicators."""
    stored = _stored("cart:cases", "purchase:cases")
    b, a = demo.CELLS.index("cart:cases"), demo.CELLS.index("purchase:cases")
    rng = np.random.default_rng(21)
    population = Population.draw(3_000, rng)
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
    S, ts = after_event(population.S[rows], cell), population.ts_ms[rows]
    until, users = ts + HORIZON_MS, population.users.take(population.user[rows])
    bought = np.zeros(len(rows), bool)
    row = np.arange(len(rows))
    while len(row):
        draws = Draws.of(len(row), rng)
        ts, S = advance(S, ts, users, draws)
        cell = choose(cell_probabilities(S, ts, users), draws.cell)
        S = after_event(S, cell)
        going = ts <= until
        bought[row[going & (cell == outcome)]] = True
        S, ts, until, users, row = S[going], ts[going], until[going], users.take(going), row[going]
    return bought


@pytest.fixture(scope="module")
def worlds():
    return [_Trials(draw_demo(seed, with_propensity=True)) for seed in range(4)]


class _Trials:
    """The step trials of a drawn shop, with the true propensities."""

    def __init__(self, shop):
        keep = (shop.events["action"] != "campaign") & ~shop.events.duplicated("order_id").where(
            shop.events["order_id"].notna(), other=False
        )
        events, P = shop.events[keep], shop.propensity[keep.to_numpy()]
        category = events["category"].fillna(events["item_id"].map(shop.items.set_index("item_id")["category"]))
        cell = np.array([demo.CELLS.index(f"{a}:{c}") for a, c in zip(events["action"], category, strict=True)])
        user = shop.users["user_id"].searchsorted(events["user_id"])
        ts = (events["ts"].astype("int64") - shop.events["ts"].astype("int64").min()).to_numpy()
        order = np.lexsort((ts, user))
        user, ts, self.cell, P = user[order], ts[order], cell[order], P[order].astype(float)
        key = user * (60 * demo.DAY_MS) + ts
        running = np.concatenate([np.zeros((1, 7), int), np.cumsum(is_outcome(self.cell), axis=0)])
        until = np.searchsorted(key, key + HORIZON_MS, side="right")
        self.Y = (running[until] > running[np.arange(len(key)) + 1]).astype(float)
        eligible = (ts >= LOOKBACK_MS) & (ts <= demo.DAYS * demo.DAY_MS - HORIZON_MS)
        self.user, self.cell, self.P, self.Y = user[eligible], self.cell[eligible], P[eligible], self.Y[eligible]

        self.m = {}

    def parts(self, effect):
        """Return T, e, Y of the decisions that are not the outcome, and which those are."""
        a, b = OUTCOMES.index(effect.outcome), demo.CELLS.index(effect.treatment)
        apart = effect.treatment != effect.outcome
        keep = ~(is_outcome(self.cell)[:, a] & apart)
        is_a = is_outcome(np.arange(len(demo.CELLS)))[:, a] * apart
        e = self.P[:, b] / (1 - self.P @ is_a)
        return (self.cell == b)[keep].astype(float), e[keep], self.Y[keep, a], keep

    def oracle(self, effect):
        """Return estimate and clustered error of residual on residual with the true e and a linear m."""
        T, e, Y, keep = self.parts(effect)
        key = (effect.outcome, int(keep.sum()))
        if key not in self.m:
            X = np.concatenate([np.log(self.P[keep]), np.ones((len(T), 1))], axis=1)
            self.m[key] = X @ np.linalg.lstsq(X, Y, rcond=None)[0]
        RT, RY = T - e, Y - self.m[key]
        D = (RT**2).sum()
        estimate = (RT * RY).sum() / D
        return estimate, np.sqrt((np.bincount(self.user[keep], RT * RY - estimate * RT**2) ** 2).sum()) / D

    def naive(self, effect):
        T, _, Y, _ = self.parts(effect)
        return Y[T > 0].mean() - Y[T == 0].mean(), Y[T > 0].mean() / Y.mean()


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
