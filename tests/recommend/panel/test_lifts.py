"""Lifts of a panel: a world where what sells is shown, so that shares and P(buy) mislead, and lifts are known."""

from itertools import product

import numpy as np
import pytest

from whybuy.errors import ArraysError
from whybuy.recommend.panel import PanelLifts, lifts, lifts_of_panel, scores_of_panel
from whybuy.recommend.panel.arrays import folds_of, panel_of

N_ROUNDS, N_USERS, N_ITEMS = 8, 600, 20


def confounded(seed):
    """Half of the items are staples, that sell without help to those who like them; the others sell when shown.

    Whoever likes an item is shown it more often. Returns treated, outcome, propensity and true lift.
    """
    rng = np.random.default_rng(seed)
    likes = rng.random((N_USERS, N_ITEMS)) < 0.4
    staple = np.arange(N_ITEMS) % 2 == 0
    alone = np.where(staple, np.where(likes, 0.5, 0.05), 0.02)
    lift = np.where(staple, 0.02, np.where(likes, 0.25, 0.03))
    propensity = np.where(likes, 0.6, 0.1)
    treated = rng.random((N_ROUNDS, N_USERS, N_ITEMS)) < propensity
    outcome = rng.random(treated.shape) < alone + lift * treated
    return treated, outcome, propensity, lift


def top_lift(scores, lift, k=5):
    return np.take_along_axis(lift, np.argsort(-scores, axis=1, kind="stable")[:, :k], axis=1).mean()


@pytest.fixture(autouse=True)
def _one_split(monkeypatch):
    """Several divisions into folds take the luck of one away, and time."""
    monkeypatch.setattr(lifts, "N_SPLITS", 1)


@pytest.fixture(scope="module")
def world():
    return confounded(100)


@pytest.fixture(scope="module")
def found(world):
    return lifts_of_panel(*world[:2])


def test_ranks_by_lift_where_p_buy_and_naive_shares_do_not(world, found):
    T, Y, e, lift = world
    best = top_lift(lift, lift)
    p_buy = scores_of_panel(T, Y, target="p_buy").lift
    shown, hidden = T.sum(axis=(0, 1)), (~T).sum(axis=(0, 1))
    naive = (T & Y).sum(axis=(0, 1)) / shown - (~T & Y).sum(axis=(0, 1)) / hidden
    given = lifts_of_panel(T, Y, propensity=e)
    assert top_lift(found.lift, lift) > 0.8 * best
    assert top_lift(found.lift, lift) > 0.95 * top_lift(given.lift, lift)
    assert top_lift(p_buy, lift) < 0.5 * best
    assert top_lift(np.broadcast_to(naive, lift.shape), lift) < 0.5 * best
    # The size as well: a staple's naive contrast is several times its lift.
    staples = np.arange(N_ITEMS) % 2 == 0
    assert naive[staples].mean() > 5 * 0.02
    assert found.lift[:, staples].mean() == pytest.approx(0.02, abs=0.02)
    assert given.lift[:, staples].mean() == pytest.approx(0.02, abs=0.02)


def test_weights_by_true_propensities_rank_too(world):
    T, Y, e, lift = world
    scores = scores_of_panel(T, Y, target="inverse_propensity", propensity=e).lift
    assert top_lift(scores, lift) > 0.75 * top_lift(lift, lift)


def test_nobody_is_judged_by_himself(world, monkeypatch):
    """A person's outcomes change no model that judges that person's fold.

    Histories are data, not models: of all users in the fold of user 0, only that user's lifts may change, and through
    the pseudo-outcomes of others no more than a little; e and mu that judge the fold do not change at all.
    """
    T, Y, *_ = world
    other = Y.copy()
    other[:, 0] = ~other[:, 0]
    seen = []
    nuisances = lifts._nuisances

    def spy(panel, rows, fold, rates):
        e, mu_0, mu_1 = nuisances(panel, rows, fold, rates)
        h = rows[fold].history
        keys = zip(h.item, h.recommended, h.bought_with, h.bought_without, rows[fold].treated, strict=True)
        seen[-1].append(dict(zip(keys, zip(e, mu_0, mu_1, strict=True), strict=False)))
        return e, mu_0, mu_1

    monkeypatch.setattr(lifts, "_nuisances", spy)
    for outcome in (Y, other):
        seen.append([])
        lifts_of_panel(T, outcome)
    same = [all(b[f].get(k, v) == v for k, v in a[f].items()) for a, b in [seen] for f in range(lifts.N_FOLDS)]
    assert sum(same) == 1  # the fold of user 0, whom the other folds' models have seen


def test_a_further_purchase_never_turns_the_lift_around(world):
    """Of users whom one model judges, recommended an item equally often: more bought with it, or fewer without."""
    T, Y, *_ = world
    lift = lifts_of_panel(T, Y, seed=1).lift
    fold = folds_of(panel_of(T, Y, items=None, propensity=None, users=None), lifts.N_FOLDS, 1)
    compared = 0
    for f, item, shown in product(range(lifts.N_FOLDS), range(4), (2, 3, 4)):
        alike = (T[:, :, item].sum(axis=0) == shown) & (fold == f)
        with_, without = (a[:, alike, item].sum(axis=0) for a in (T & Y, ~T & Y))
        better = (with_[:, None] >= with_) & (without[:, None] <= without)
        worse_by = lift[alike, item][None, :] - lift[alike, item][:, None]
        assert (worse_by[better] < 1e-12).all()
        compared += better.sum() - alike.sum()
    assert compared > 1_000


def test_attributes_are_used():
    """Two kinds of items with lifts of .3 and 0, each so rarely shown that only its kind can tell."""
    rng = np.random.default_rng(5)
    kind = np.arange(200) % 2
    T = rng.random((4, 60, 200)) < 0.1
    Y = rng.random(T.shape) < 0.05 + 0.3 * T * kind
    lift = lifts_of_panel(T, Y, items=kind[:, None]).lift
    assert lift[:, kind == 1].mean() - lift[:, kind == 0].mean() == pytest.approx(0.3, abs=0.06)


def test_the_same_seed_gives_the_same_lifts_which_are_means_over_divisions(world, monkeypatch):
    T, Y = (a[:, :200, :6] for a in world[:2])
    alone = [lifts_of_panel(T, Y, seed=seed).lift for seed in (7, 8)]
    monkeypatch.setattr(lifts, "N_SPLITS", 2)
    assert lifts_of_panel(T, Y).lift == pytest.approx((alone[0] + alone[1]) / 2, rel=1e-12)


def test_an_item_shown_to_all_has_no_answer(world):
    T, Y = world[0].copy(), world[1]
    T[:, :, 7] = True
    found = lifts_of_panel(T, Y)
    assert found.untold.tolist() == [7]
    assert np.isnan(found.lift[:, 7]).all()
    assert not np.isnan(np.delete(found.lift, 7, axis=1)).any()
    assert 7 not in found.to_frame(N_ITEMS)["item"].to_numpy()
    assert found.summary().endswith("; no answer for 1 of 20 items, recommended to everybody or to nobody")


def test_result_by_hand():
    found = PanelLifts(np.array([[0.1, 0.3], [0.2, 0.1]]), np.array([], np.int64))
    assert found.to_frame(1).to_numpy().tolist() == [[0, 1, 1, 0.3], [1, 0, 1, 0.2]]
    assert found.summary() == "the best items of a user add 0.1750 purchases each, by this estimate"


def test_weights_need_propensities(world):
    with pytest.raises(ArraysError, match="no propensities"):
        scores_of_panel(*world[:2], target="inverse_propensity")
