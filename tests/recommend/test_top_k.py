"""Exact top-k equals sorting, in any block; nearest items find nearly all of it and survive a save."""

import numpy as np
import pytest
from usearch.index import Index

from whybuy.errors import ModelError, PolicyError
from whybuy.recommend import top_k as exact
from whybuy.recommend.nearest import NearestItems


def vectors(n: int, d: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


def uneven(n: int, d: int, seed: int) -> np.ndarray:
    """Directions at random, lengths over a factor of ten: what inner products are about."""
    return vectors(n, d, seed) * np.random.default_rng(seed).lognormal(0, 0.7, (n, 1)).astype(np.float32)


@pytest.mark.parametrize(("n_items", "k"), [(1, 1), (5, 10), (64, 3), (65, 65), (1000, 10), (1000, 100)])
def test_top_k_equals_sorting(monkeypatch, n_items, k):
    monkeypatch.setattr(exact, "_BLOCK_SCORES", 7_000)
    queries, items = vectors(23, 8, 0), vectors(n_items, 8, 1)
    found = exact.top_k(queries, items, k)
    truth = np.argsort(-(queries @ items.T), axis=1, kind="stable")[:, :k]
    assert found.item.shape == (23, min(k, n_items))
    np.testing.assert_array_equal(found.item, truth)
    np.testing.assert_allclose(found.score, np.take_along_axis(queries @ items.T, truth, 1), rtol=1e-5, atol=1e-5)


def test_equal_scores_give_different_items():
    found = exact.top_k(np.ones((2, 1), np.float32), np.ones((200, 1), np.float32), 20)
    assert [len(set(row)) for row in found.item.tolist()] == [20, 20]


def recall(n_items: int, n_queries: int, d: int) -> float:
    items, queries = uneven(n_items, d, 2), vectors(n_queries, d, 3)
    truth, found = exact.top_k(queries, items, 10), NearestItems.build(items, threads=1).search(queries, 10, threads=1)
    hits = (truth.item[:, :, None] == found.item[:, None, :]).any(axis=2)
    same = found.item == truth.item
    np.testing.assert_allclose(found.score[same], truth.score[same], rtol=1e-3)
    return float(hits.mean())


def test_nearest_items_find_the_largest_inner_products():
    assert recall(3_000, 200, 24) > 0.98


@pytest.mark.slow
def test_nearest_items_among_50_000():
    assert recall(50_000, 1_000, 32) > 0.99


def test_a_saved_catalog_answers_as_before(tmp_path):
    items, queries = uneven(500, 6, 4), vectors(9, 6, 5)
    built = NearestItems.build(items, threads=1)
    built.save(tmp_path / "nearest.usearch")
    loaded = NearestItems.load(tmp_path / "nearest.usearch")
    before, after = built.search(queries, 5), loaded.search(queries, 5)
    np.testing.assert_array_equal(before.item, after.item)
    np.testing.assert_array_equal(before.score, after.score)
    assert loaded.n_items == 500
    assert sorted(p.name for p in tmp_path.iterdir()) == ["nearest.usearch"]


def test_one_query_is_answered_as_in_a_batch():
    built, queries = NearestItems.build(uneven(500, 6, 4), threads=1), vectors(9, 6, 5)
    alone, together = built.search(queries[3:4], 5), built.search(queries, 5)
    np.testing.assert_array_equal(alone.item[0], together.item[3])
    np.testing.assert_array_equal(alone.score[0], together.score[3])


def test_a_small_catalog_is_found_whole():
    found = NearestItems.build(vectors(3, 4, 0)).search(vectors(2, 4, 1), 10)
    assert sorted(found.item[0].tolist()) == [0, 1, 2]


def test_missing_and_damaged_catalogs_are_refused(tmp_path):
    path = tmp_path / "nearest.usearch"
    with pytest.raises(ModelError, match=r"missing, damaged.*Build the nearest items again"):
        NearestItems.load(path)
    NearestItems.build(vectors(40, 4, 0)).save(path)
    whole = path.read_bytes()
    for damaged in (b"", b"not a graph at all, though long enough for a header", whole[: len(whole) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(ModelError, match="damaged"):
            NearestItems.load(path)
    Index(ndim=4, metric="cos", dtype="f32").save(str(path))
    with pytest.raises(ModelError, match="no graph of inner products"):
        NearestItems.load(path)


def test_a_save_that_fails_leaves_the_earlier_one(tmp_path, monkeypatch):
    path, built = tmp_path / "nearest.usearch", NearestItems.build(vectors(40, 4, 0))
    built.save(path)
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        NearestItems.build(vectors(7, 4, 0)).save(path)
    assert NearestItems.load(path).n_items == 40
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_what_has_no_inner_product_is_refused():
    with pytest.raises(PolicyError, match=r"shape \(2, 3\).*finite vectors of 4 numbers"):
        exact.top_k(vectors(2, 3, 0), vectors(5, 4, 0), 1)
    with pytest.raises(PolicyError, match="finite vectors of 4 numbers"):
        NearestItems.build(vectors(5, 4, 0)).search(np.full((1, 4), np.nan, np.float32), 1)
    with pytest.raises(PolicyError, match="k = 0"):
        exact.top_k(vectors(2, 4, 0), vectors(5, 4, 0), 0)
    with pytest.raises(PolicyError, match="No items"):
        NearestItems.build(np.empty((0, 4), np.float32))
