"""Items that the same people meet are near, and nobody's future is in their state."""

import numpy as np

from whybuy.recommend.personal.affinity import ItemVectors, Past, together


def past(seed: int) -> Past:
    """Return what 200 people do: the even ones meet items 0 to 9, the odd ones 10 to 19."""
    rng = np.random.default_rng(seed)
    user = np.repeat(np.arange(200), 12)
    item = rng.integers(0, 10, len(user)) + 10 * (user % 2)
    return Past(user, item, np.tile(np.arange(12) * 1000, 200), rng.integers(0, 2, len(user)))


def test_items_of_the_same_people_are_near():
    vectors = ItemVectors.of([together(past(0), 20)]).vectors
    near = vectors @ vectors.T
    assert near[:10, :10].mean() > near[:10, 10:].mean() + 0.3


def test_shards_add_up():
    whole = past(0)
    first = whole.user < 100
    parts = [Past(*(getattr(whole, name)[at] for name in ("user", "item", "ts", "kind"))) for at in (first, ~first)]
    one, two = together(whole, 20), sum(together(part, 20) for part in parts)
    np.testing.assert_allclose(one.toarray(), two.toarray())


def test_a_state_is_what_came_before():
    whole, kinds = past(0), 2
    vectors = ItemVectors.of([together(whole, 20)])
    user, ts = np.arange(200), np.full(200, 5000)
    asked = (user, np.full(200, 3), ts)
    before = whole.ts < 5000
    cut = Past(*(getattr(whole, name)[before] for name in ("user", "item", "ts", "kind")))
    np.testing.assert_allclose(vectors.affinity(whole, *asked, kinds), vectors.affinity(cut, *asked, kinds), rtol=1e-5)
    mine = vectors.vectors[whole.item[(whole.user == 7) & before]]
    expected = mine.sum(axis=0) @ vectors.vectors[3] / np.sqrt(len(mine) + 3)
    np.testing.assert_allclose(vectors.affinity(whole, *asked, kinds)[7, -1], expected, rtol=1e-5)


def test_someone_without_a_past_has_no_affinity():
    found = ItemVectors.of([together(past(0), 20)]).affinity(
        past(0), np.array([500]), np.array([3]), np.array([9000]), 2
    )
    assert (found == 0).all()
