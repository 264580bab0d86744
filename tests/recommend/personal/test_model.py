"""The lift model in a shop of arrays, whose lifts are known and whose policy shows what sells anyway.

A user has a taste z, of which the state tells a part. Staples sell to everybody, more to z; showing adds nothing.
Discoveries sell to z when shown, and hardly else. Nags sell less when shown. Shown is what sells: staples, and to those
of high taste.
"""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from whybuy.recommend.personal.model import LiftModel
from whybuy.recommend.personal.network import rates_of, taught
from whybuy.recommend.personal.ratios import LOG_GRID, ratios
from whybuy.recommend.personal.trials import Trials

STAPLE, DISCOVERY, NAG = range(3)
N_ITEMS, DAY = 30, 86_400_000


@dataclass(frozen=True)
class Shop:
    """Trials, and of every row its true lift and P(buy | shown)."""

    trials: Trials
    lift: np.ndarray
    p_shown: np.ndarray
    kind: np.ndarray


def shop(seed: int, *, n_users: int = 1500, each: int = 40) -> Shop:
    rng = np.random.default_rng(seed)
    n, user = n_users * each, np.repeat(np.arange(n_users), each)
    kind = np.arange(N_ITEMS) % 3
    appeal = rng.normal(0, 0.3, N_ITEMS)
    item = rng.integers(0, N_ITEMS, n)
    taste = rng.normal(size=n_users)
    x = taste + 0.5 * rng.normal(size=n_users)
    alone = np.exp(np.array([-2.0, -4.5, -2.5])[kind[item]] + appeal[item] + 0.4 * taste[user])
    shown = np.minimum(alone * np.exp(np.array([0.0, 1.8, -0.4])[kind[item]]), 0.9)
    e = 1 / (1 + np.exp(3.0 - 0.8 * x[user] - np.array([1.0, 0.0, 0.0])[kind[item]]))
    T = rng.random(n) < e
    Y = rng.random(n) < np.where(T, shown, alone)
    trials = Trials(
        state=np.stack([x, rng.normal(size=n_users)], axis=1).astype(np.float32),
        features=np.zeros((N_ITEMS, 1), np.float32),
        pair=rng.normal(size=(n, 1)).astype(np.float32), moment=user, item=item, user=user,
        ts=np.tile(np.arange(each) * 2 * DAY, n_users), shown=T, outcome=Y, propensity=np.where(T, e, np.nan),
        weight=np.ones(n), horizon_ms=DAY,
    )  # fmt: skip
    return Shop(trials, shown - alone, shown, kind)


@pytest.fixture(scope="module")
def made() -> Shop:
    return shop(100)


@pytest.fixture(scope="module")
def model(made) -> LiftModel:
    return LiftModel.fit(made.trials)


@pytest.fixture(scope="module")
def found(made, model):
    return model.predict(made.trials)


def test_the_lifts_of_kinds_are_told_where_the_naive_contrasts_miss(made, found):
    T, Y, kind = made.trials.shown, made.trials.outcome, made.kind[made.trials.item]
    kinds = [kind == k for k in (STAPLE, DISCOVERY, NAG)]
    truth = np.array([made.lift[rows].mean() for rows in kinds])
    naive = np.array([Y[rows & T].mean() - Y[rows & ~T].mean() for rows in kinds])
    ours = np.array([found.lift[rows].mean() for rows in kinds])
    assert np.abs(ours - truth).sum() < 0.5 * np.abs(naive - truth).sum()
    assert np.abs(naive - truth).max() > 0.02


def test_ranking_by_lift_adds_more_than_the_all_knowing_ranking_by_purchases(made, found):
    n = len(made.lift) // 10
    best = np.sort(made.lift)[-n:].mean()
    ours, by_purchase = (made.lift[np.argsort(-score)[:n]].mean() for score in (found.lift, made.p_shown))
    assert ours > 0.9 * best
    assert ours > 1.5 * by_purchase


def test_intervals_hold_what_they_say(made, found):
    held = ((found.low <= made.lift) & (made.lift <= found.high)).mean()
    assert held > 0.85
    as_naive = np.abs(found.p_shown - made.lift) < (found.high - found.low) / 2
    assert as_naive.mean() < held - 0.2
    assert ((found.low <= found.lift) & (found.lift <= found.high)).all()


def test_people_who_taught_a_forecast_are_not_judged_by_it(made):
    """Turning the outcomes of one fold around leaves the forecasts of that fold as they are."""
    fold = made.trials.user % 3
    turned = replace(made.trials, outcome=np.where(fold == 0, ~made.trials.outcome, made.trials.outcome))
    others, mine = np.flatnonzero(fold != 0), np.flatnonzero(fold == 0)
    one, other = (rates_of(taught(trials, others), trials, mine) for trials in (made.trials, turned))
    np.testing.assert_array_equal(one.shown, other.shown)
    leaked = rates_of(taught(turned, mine), turned, mine)
    assert np.abs(leaked.not_shown - one.not_shown).mean() > 0.1


def test_ratios_of_three_humps_are_told_apart():
    rng = np.random.default_rng(0)
    truth = np.repeat([0.5, 1.0, 20.0], 100)
    expected = rng.uniform(0.05, 0.3, 300) * np.where(truth > 10, 1, 20)
    found = ratios(rng.poisson(truth * expected).astype(float), expected)
    error = lambda mean: np.mean((np.log(mean) - np.log(truth)) ** 2)  # noqa: E731
    bell = (rng.poisson(truth * expected) + 1) / (expected + 1)
    assert error(found.mean) < 0.5 * error(bell)
    low, high = found.quantiles(np.array([0.05, 0.95])).T
    assert np.mean((low <= truth * 1.05) & (high >= truth / 1.05)) > 0.8


def test_an_item_that_was_never_shown_has_the_ratio_of_all():
    found = ratios(np.array([2.0, 3.0, 0.0]), np.array([1.0, 1.5, 0.0]))
    np.testing.assert_allclose(found.posterior[2], found.prior)
    assert found.mean[2] == pytest.approx(found.prior @ np.exp(LOG_GRID))
