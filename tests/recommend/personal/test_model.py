"""The lift model in a shop of arrays, whose lifts are known and whose policy shows what sells anyway.

A user has a taste z, of which x tells a part. Staples sell to everybody, more to z; showing adds nothing. Discoveries
sell to z when shown, and hardly else. Nags sell less when shown. Shown is what sells: staples, and to those of high x.
"""

from dataclasses import dataclass

import numpy as np
import pytest

from whybuy.recommend.personal.model import LiftModel, Trials, item_rates

STAPLE, DISCOVERY, NAG = range(3)
N_ITEMS, DAY = 30, 86_400_000


@dataclass(frozen=True)
class Shop:
    """Trials, and of every row its true lift and P(buy | shown)."""

    trials: Trials
    lift: np.ndarray
    p_shown: np.ndarray
    kind: np.ndarray


def shop(seed: int, *, n_users: int = 1500, each: int = 60) -> Shop:
    rng = np.random.default_rng(seed)
    n, user = n_users * each, np.repeat(np.arange(n_users), each)
    kind = np.arange(N_ITEMS) % 3
    appeal = rng.normal(0, 0.3, N_ITEMS)
    item = rng.integers(0, N_ITEMS, n)
    z = rng.normal(size=n)
    x = z + 0.5 * rng.normal(size=n)
    alone = np.exp(np.array([-2.0, -4.5, -2.5])[kind[item]] + appeal[item] + 0.4 * z)
    shown = np.minimum(alone * np.exp(np.array([0.0, 1.8, -0.4])[kind[item]]), 0.9)
    e = 1 / (1 + np.exp(2.0 - 0.8 * x - np.array([1.0, 0.0, 0.0])[kind[item]]))
    T = rng.random(n) < e
    Y = rng.random(n) < np.where(T, shown, alone)
    trials = Trials(
        X=np.stack([x, rng.normal(size=n)], axis=1).astype(np.float32), item=item, user=user, fold=user % 3,
        ts=np.tile(np.arange(each) * 2 * DAY, n_users), shown=T, outcome=Y, propensity=np.where(T, e, np.nan),
        weight=np.ones(n), n_items=N_ITEMS, horizon_ms=DAY,
    )  # fmt: skip
    return Shop(trials, shown - alone, shown, kind)


@pytest.fixture(scope="module")
def made() -> Shop:
    return shop(100)


@pytest.fixture(scope="module")
def model(made) -> LiftModel:
    return LiftModel.fit(made.trials)


def test_the_lift_of_every_kind_is_told_where_the_naive_contrast_misses(made, model):
    found = model.predict(made.trials.X, made.trials.item)
    for kind in (STAPLE, DISCOVERY, NAG):
        rows = made.kind[made.trials.item] == kind
        T, Y = made.trials.shown[rows], made.trials.outcome[rows]
        naive, truth = Y[T].mean() - Y[~T].mean(), made.lift[rows].mean()
        assert abs(found.lift[rows].mean() - truth) < min(0.006, 0.5 * abs(naive - truth))


def test_ranking_by_lift_adds_more_than_the_all_knowing_ranking_by_purchases(made, model):
    found = model.predict(made.trials.X, made.trials.item)
    best = np.sort(made.lift)[-9000:].mean()
    ours, by_purchase = (made.lift[np.argsort(-score)[:9000]].mean() for score in (found.lift, made.p_shown))
    assert ours > 0.9 * best
    assert ours > 1.5 * by_purchase


def test_intervals_are_no_narrower_than_they_say(made, model):
    found = model.predict(made.trials.X, made.trials.item)
    assert np.mean(np.abs(found.lift - made.lift) < 1.645 * found.std_error) > 0.85


def test_people_who_taught_a_forecast_are_not_judged_by_it(made, model):
    """Turning the outcomes of one fold around leaves the forecasts of that fold as they are."""
    from dataclasses import replace

    turned = replace(made.trials, outcome=np.where(made.trials.fold == 0, ~made.trials.outcome, made.trials.outcome))
    again = LiftModel.fit(turned)
    rows = made.trials.fold == 0
    one, other = (m.shown.out_of_fold(made.trials) for m in (model, again))
    np.testing.assert_allclose(one[rows], other[rows], rtol=1e-12)
    assert np.abs(one[~rows] - other[~rows]).max() > 0.01


def test_an_item_that_was_never_shown_has_the_rate_of_all_and_a_wide_interval(made):
    trials = made.trials.rows(~(made.trials.shown & (made.trials.item == 4)))
    found = LiftModel.fit(trials)
    assert found.n_shown[4] == 0
    rates = np.exp(item_rates(trials, np.flatnonzero(trials.shown)))
    assert rates[4] == pytest.approx(trials.outcome[trials.shown].mean(), rel=0.05)
    assert found.item_error[4] >= found.item_error[[i for i in range(N_ITEMS) if i != 4]].max()
