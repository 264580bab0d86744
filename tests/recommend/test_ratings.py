"""Ratings of what was not chosen: a world whose ratings are all known, and people who rate what they like."""

import numpy as np
import pytest

from tests.conftest import DATA
from whybuy.errors import ArraysError
from whybuy.recommend.ratings import Factors, chosen_factors, debiased_ratings, factorize


def self_selected(seed, n_users=120, n_items=80):
    """Two kinds of users and of items; who is of an item's kind likes it, and chooses it ten times as often.

    Returns the ratings with NaN where nothing was chosen, all ratings, the chances, and the attributes.
    """
    rng = np.random.default_rng(seed)
    user, item = rng.integers(2, size=n_users), rng.integers(2, size=n_items)
    match = user[:, None] == item
    full = 2.0 + 1.5 * match + rng.normal(0, 0.3, n_items) + rng.normal(0, 0.3, (n_users, 1))
    full = full + rng.normal(0, 0.5, full.shape)
    chance = np.where(match, 0.3, 0.03)
    rated = np.where(rng.random(full.shape) < chance, full, np.nan)
    return rated, full, chance, np.eye(2)[user], np.eye(2)[item]


@pytest.fixture(scope="module")
def world():
    return self_selected(100)


@pytest.fixture(scope="module")
def found(world):
    return debiased_ratings(world[0], users=world[3], items=world[4])


def test_ratings_of_what_was_not_chosen_are_told_where_the_naive_ones_are_too_good(world, found):
    rated, full, *_ = world
    weight = 1.0 * ~np.isnan(rated)
    naive = factorize(rated, weight, chosen_factors(rated, weight, seed=7))
    assert np.nanmean(rated) > full.mean() + 0.5
    assert naive.mean() > full.mean() + 0.2
    assert found.rating.mean() == pytest.approx(full.mean(), abs=0.1)
    assert ((found.rating - full) ** 2).mean() < 0.7 * ((naive - full) ** 2).mean()


def test_chances_of_choosing_are_found(world, found):
    chance = world[2]
    assert found.chosen[chance == 0.3].mean() == pytest.approx(0.3, abs=0.03)
    assert found.chosen[chance == 0.03].mean() == pytest.approx(0.03, abs=0.015)


def test_it_is_doubly_robust():
    """Weights by true chances need no promise; a true promise needs no weights."""
    rated, full, chance, *_ = self_selected(101, 400, 200)
    told, factors = ~np.isnan(rated), Factors(0, 10.0)
    by_weights = factorize(rated, told / chance, factors)
    promise = 2.0 + 1.5 * (chance == 0.3)
    by_promise = promise + factorize(rated - promise, told * 1.0, factors)
    by_neither = factorize(rated, told * 1.0, factors)
    assert by_weights.mean() == pytest.approx(full.mean(), abs=0.1)
    assert by_promise.mean() == pytest.approx(full.mean(), abs=0.1)
    assert by_neither.mean() > full.mean() + 0.2


def test_nobody_teaches_his_own_promise_and_chance(world, found):
    rated, _, _, U, Z = world
    other = rated.copy()
    other[0, np.flatnonzero(~np.isnan(rated[0]))] = 99.0
    changed = debiased_ratings(other, users=U, items=Z)
    assert (changed.promised[0] == found.promised[0]).all()
    assert not (changed.promised == found.promised).all()
    other[0] = np.where(np.isnan(rated[0]), 3.0, np.nan)
    changed = debiased_ratings(other, users=U, items=Z)
    assert (changed.chosen[0] == found.chosen[0]).all()


def test_offsets_by_a_second_implementation():
    """Rank 0 is a ridge regression on users and items, weighted; solved here in one system."""
    rng = np.random.default_rng(2)
    R, w = rng.normal(3, 1, (6, 5)), rng.uniform(0.5, 2, (6, 5)) * (rng.random((6, 5)) < 0.8)
    scaled = w * (w > 0).sum() / w.sum()
    center = (scaled * R).sum() / scaled.sum()
    user, item = np.nonzero(scaled)
    X = np.column_stack([np.eye(6)[user], np.eye(5)[item]])
    W = scaled[user, item]
    b = np.linalg.solve(X.T @ (W[:, None] * X) + 2.0 * np.eye(11), X.T @ (W * (R[user, item] - center)))
    assert factorize(R, w, Factors(0, 2.0)) == pytest.approx(center + b[:6, None] + b[6:], abs=1e-6)


def test_a_product_is_found():
    rng = np.random.default_rng(3)
    full = 3 + rng.normal(size=(40, 2)) @ rng.normal(size=(2, 30))
    weight = (rng.random(full.shape) < 0.7) * 1.0
    left_out = weight == 0
    miss = factorize(full, weight, Factors(2, 0.1)) - full
    assert (miss[left_out] ** 2).mean() < 0.05 * full[left_out].var()
    assert chosen_factors(full, weight, seed=0).rank >= 2


def test_noise_gets_a_large_penalty_and_unrated_cells_do_not_matter():
    rng = np.random.default_rng(4)
    noise, weight = rng.normal(size=(40, 30)), (rng.random((40, 30)) < 0.3) * 1.0
    assert chosen_factors(noise, weight, seed=0) == Factors(0, 30.0)
    gaps = np.where(weight > 0, noise, np.nan)
    assert (factorize(gaps, weight, Factors(2, 3.0)) == factorize(noise, weight, Factors(2, 3.0))).all()


def test_input_is_left_as_it_was(world):
    rated, _, _, U, Z = world
    before = rated.copy()
    debiased_ratings(rated, users=U, items=Z)
    np.testing.assert_array_equal(rated, before)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"users": np.ones((119, 2))}, "attributes of users"),
        ({"items": np.full((80, 2), np.nan)}, "attributes without a gap"),
        ({"rating": np.ones(5)}, "ratings of shape"),
        ({"rating": np.full((120, 80), np.nan)}, "0 ratings in 9600 cells"),
        ({"rating": np.ones((120, 80))}, "nothing needs to be debiased"),
        ({"rating": np.where(np.eye(120, 80) > 0, np.inf, np.nan)}, "80 infinite"),
    ],
)
def test_arrays_with_a_defect_are_refused(world, change, message):
    given = {"rating": world[0], "users": world[3], "items": world[4], **change}
    with pytest.raises(ArraysError, match=message):
        debiased_ratings(given.pop("rating"), **given)


@pytest.mark.slow
@pytest.mark.real_data
def test_coat_is_told_better_than_by_the_naive_model():
    """The benchmark says by how much, with an interval."""
    import pandas as pd

    folder = DATA / "coat"
    U, Z = (
        pd.read_parquet(folder / f"{name}_features.parquet").set_index(f"{name}_id").sort_index().to_numpy(float)
        for name in ("user", "item")
    )
    rows = pd.read_parquet(folder / "ratings.parquet")
    chosen, random = (rows[rows["split"] == split] for split in ("self_selected", "random"))
    R = np.full((len(U), len(Z)), np.nan)
    R[chosen["user_id"], chosen["item_id"]] = chosen["rating"]
    weight = 1.0 * ~np.isnan(R)
    ours = debiased_ratings(R, users=U, items=Z).rating
    naive = factorize(R, weight, chosen_factors(R, weight, seed=7))
    error = {
        name: ((p[random["user_id"], random["item_id"]] - random["rating"]) ** 2).mean()
        for name, p in (("ours", ours), ("naive", naive))
    }
    assert error["ours"] < 0.92 * error["naive"]
