"""Items that the same people meet are near, and nobody's future is in their state."""

import numpy as np

from whybuy.recommend.personal.states import N_DIMENSIONS, Past, item_vectors, states


def past(seed: int) -> Past:
    """Return what 200 people do: the even ones meet items 0 to 9, the odd ones 10 to 19."""
    rng = np.random.default_rng(seed)
    user = np.repeat(np.arange(200), 12)
    item = rng.integers(0, 10, len(user)) + 10 * (user % 2)
    first = rng.random(len(user)) < 0.5
    return Past(user, item, np.tile(np.arange(12) * 1000, 200), (first, ~first, np.ones(len(user), bool)))


def some(whole: Past, at: np.ndarray) -> Past:
    return Past(whole.user[at], whole.item[at], whole.ts[at], tuple(kind[at] for kind in whole.of_kind))


def test_items_of_the_same_people_are_near():
    vectors = item_vectors([past(0).together(20)])
    near = vectors @ vectors.T
    assert near[:10, :10].mean() > near[:10, 10:].mean() + 0.3


def test_shards_add_up():
    whole = past(0)
    first = whole.user < 100
    parts = [some(whole, at).together(20).toarray() for at in (first, ~first)]
    np.testing.assert_allclose(whole.together(20).toarray(), parts[0] + parts[1])


def test_a_state_is_what_came_before():
    whole, user, ts = past(0), np.arange(200), np.full(200, 5000)
    vectors = item_vectors([whole.together(20)])
    before = whole.ts < 5000
    mine = states(whole, vectors, user, ts)
    np.testing.assert_allclose(mine, states(some(whole, before), vectors, user, ts), atol=1e-6)
    of_7 = vectors[whole.item[(whole.user == 7) & before]]
    np.testing.assert_allclose(mine[7, -N_DIMENSIONS - 1 : -1], of_7.sum(axis=0) / np.sqrt(5 + 3), atol=1e-5)
    np.testing.assert_allclose(mine[:, -1], np.log(6), rtol=1e-6)


def test_someone_without_a_past_has_an_empty_state():
    vectors = item_vectors([past(0).together(20)])
    assert (states(past(0), vectors, np.array([500]), np.array([9000])) == 0).all()


def test_items_that_nobody_met_have_no_vector():
    vectors = item_vectors([past(0).together(25)])
    assert (vectors[20:] == 0).all()
    np.testing.assert_allclose(np.linalg.norm(vectors[:20], axis=1), 1, rtol=1e-5)
