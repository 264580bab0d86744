"""Greedy DPP equals determinants, MMR equals its definition, and both buy variety with score."""

import numpy as np

from tests.recommend.policy.shelves import candidates_of, shelf_of, varied
from whybuy.recommend.policy import Dpp, Mmr, Policy

N_ITEMS, K = 30, 6


def market(seed: int, n_users: int = 20):
    rng = np.random.default_rng(seed)
    shelf = shelf_of(N_ITEMS, embedding=rng.normal(size=(N_ITEMS, 8)))
    return shelf, candidates_of(rng.normal(size=(n_users, N_ITEMS)), shelf)


def naive_dpp(score: np.ndarray, vectors: np.ndarray, k: int) -> list[int]:
    """Add, one by one, the item with the largest determinant of L = diag(q) S diag(q), q = exp(score / 2)."""
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    q = np.exp(score / 2)
    L = q[:, None] * (1 + vectors @ vectors.T) / 2 * q
    chosen: list[int] = []
    for _ in range(k):
        left = [i for i in range(len(score)) if i not in chosen]
        chosen.append(max(left, key=lambda i: np.linalg.det(L[np.ix_([*chosen, i], [*chosen, i])])))
    return chosen


def test_greedy_dpp_equals_the_determinants():
    shelf, candidates = market(0)
    found = Policy(k=K, diversity=Dpp(weight=1.0)).slates(candidates)
    assert found.item.tolist() == [naive_dpp(s, np.asarray(shelf.embedding), K) for s in candidates.score]


def test_greedy_mmr_equals_its_definition():
    shelf, candidates = market(1)
    policy = Policy(k=K, diversity=Mmr(weight=0.7))
    for u, found in enumerate(policy.slates(candidates).item):
        chosen: list[int] = []
        for _ in range(K):
            left = [i for i in range(N_ITEMS) if i not in chosen]
            chosen.append(max(left, key=lambda i: candidates.score[u, i] + varied(policy, shelf, chosen, i)))
        assert found.tolist() == chosen


def test_a_twin_of_a_chosen_item_waits_until_nothing_else_is_left():
    shelf = shelf_of(3, embedding=[[1, 0], [1, 0], [0, 1]])
    slates = Policy(k=3, diversity=Dpp(weight=1.0)).slates(candidates_of([1.0, 0.9, 0.1], shelf))
    assert slates.item.tolist() == [[0, 2, 1]]


def test_variety_grows_with_the_weight_and_costs_score():
    shelf, candidates = market(2, n_users=200)
    vectors = shelf.directions
    for kind in (Mmr, Dpp):
        alike, score = [], []
        for weight in (0.0, 0.5, 2.0):
            item = Policy(k=K, diversity=kind(weight=weight)).slates(candidates).item
            cosine = np.einsum("uid,ujd->uij", vectors[item], vectors[item])
            alike.append((cosine.sum() - K * len(item)) / (len(item) * K * (K - 1)))
            score.append(np.take_along_axis(candidates.score, item, axis=1).mean())
        assert alike[0] > alike[1] > alike[2]
        assert score[0] > score[1] > score[2]


def test_weight_zero_is_the_plain_order():
    _, candidates = market(3)
    plain = Policy(k=K).slates(candidates).item
    np.testing.assert_array_equal(Policy(k=K, diversity=Dpp(weight=0.0)).slates(candidates).item, plain)
    np.testing.assert_array_equal(Policy(k=K, diversity=Mmr(weight=0.0)).slates(candidates).item, plain)
