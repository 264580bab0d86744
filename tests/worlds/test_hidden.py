"""A hidden wish: off it changes nothing, on it moves what it should, and who knows only the log is wrong."""

from functools import cache
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from tests.worlds.oracle import Trials

from whybuy.worlds import WORLDS, world
from whybuy.worlds.hidden import wished
from whybuy.worlds.intervene import Population

ALL = tuple(WORLDS)
STRENGTH = 1.0


@pytest.mark.parametrize("name", ALL)
def test_off_is_the_world_itself(name):
    of = world(name)
    assert of.with_wish(0.0) is of.equations
    shop, without = of.draw(2, n_users=60, hidden=0.0, trace=True), of.draw(2, n_users=60)
    for table in ("events", "items", "users"):
        pd.testing.assert_frame_equal(getattr(shop, table), getattr(without, table))


@pytest.mark.parametrize("name", ALL)
def test_on_leaves_users_alone_and_moves_the_events_that_it_drives(name):
    of = world(name)
    shop = of.draw(2, n_users=60, with_propensity=True, hidden=STRENGTH)
    pd.testing.assert_frame_equal(shop.users, of.draw(2, n_users=60).users)
    own = (shop.events["action"] != "campaign").to_numpy()
    tilt = dict(zip(shop.cells, np.log(shop.propensity[own] / shop.logged_propensity[own]).T, strict=True))
    assert tilt[of.wish.treatment] == pytest.approx(tilt[of.wish.outcome], abs=1e-4)
    assert tilt[of.wish.treatment].std() > 0.5
    assert tilt[of.wish.trace] == pytest.approx(0, abs=1e-4)
    assert shop.propensity[own].sum(axis=1) == pytest.approx(1, abs=1e-5)


def test_wish_is_slow_and_of_mean_square_one():
    users = world("season").with_wish(STRENGTH).users(4_000, np.random.default_rng(1))
    day = 86_400_000
    now, soon, later = (wished(users, np.full(4_000, k * day)) for k in (10, 11, 20))
    assert np.mean(now**2) == pytest.approx(1, abs=0.05)
    assert np.corrcoef(now, soon)[0, 1] > 0.9
    assert np.corrcoef(now, later)[0, 1] < 0


def test_a_wish_is_of_a_pair_without_cause_and_its_trace_is_none_of_its_treatment():
    for of in WORLDS.values():
        assert of.equations.pairs[of.wish.treatment, of.wish.outcome] == "no cause"
        assert of.wish.trace != of.wish.outcome
        assert of.wish.trace.split(":")[1] != of.wish.treatment.split(":")[1]


@cache
def _under_a_wish(name, *, trace):
    of = world(name)
    return Trials(of, of.draw(4, n_users=2_000, with_propensity=True, hidden=STRENGTH, trace=trace))


@pytest.mark.parametrize("name", ["habit", "season"])
def test_who_knows_only_the_log_is_wrong(name):
    of = world(name)
    truth = next(e for e in of.truth(hidden=STRENGTH) if _pair(e) == (of.wish.treatment, of.wish.outcome))
    trials = _under_a_wish(name, trace=False)
    known, error = trials.oracle(truth)
    assert abs(known - truth.truth) < 3.5 * error
    guessed, error = trials.logged_only(truth)
    assert guessed - truth.truth > 4 * error


@pytest.mark.parametrize("trace", [False, True])
def test_a_trace_shows_in_a_purchase_that_the_treatment_cannot_cause(trace):
    wish = world("habit").wish
    control = SimpleNamespace(treatment=wish.treatment, outcome=wish.trace)
    guessed, error = _under_a_wish("habit", trace=trace).logged_only(control)
    assert (guessed > 4 * error) == trace
    assert trace or abs(guessed) < 3 * error


def test_only_the_pairs_without_cause_are_known_where_something_is_hidden():
    of = world("demo")
    assert {e.kind for e in of.truth(hidden=STRENGTH)} == {"no cause"}
    assert len(of.truth(hidden=STRENGTH)) < len(of.truth())


@pytest.mark.slow
@pytest.mark.parametrize("trace", [False, True])
@pytest.mark.parametrize("name", ALL)
def test_pairs_without_cause_have_none_under_a_wish(name, trace):
    of = world(name)
    equations = of.with_wish(STRENGTH, trace=trace)
    population = Population.draw(equations, 4_000, np.random.default_rng(31))
    null = of.truth(hidden=STRENGTH)
    for treatment in sorted({e.treatment for e in null}):
        found = population.effects(treatment, 24_000, np.random.default_rng(32))
        for effect in (e for e in null if e.treatment == treatment):
            a = equations.outcomes.index(effect.outcome)
            assert abs(found.effect[a]) < 0.003 + 3 * found.std_error[a]


def _pair(effect):
    return effect.treatment, effect.outcome
