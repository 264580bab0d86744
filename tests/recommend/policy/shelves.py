"""A small shelf and a slow, plain policy to compare with: every ordered slate by recursion."""

from collections.abc import Iterator

import numpy as np

from whybuy.recommend.policy import Candidates, Dpp, Mmr, Policy, Shelf

CATEGORY = np.array(["a", "a", "b", "b", None, "c"], object)


def shelf_of(n_items: int = 6, **more: object) -> Shelf:
    return Shelf(item_id=[f"i{n}" for n in range(n_items)], **more)


def candidates_of(score: np.ndarray, shelf: Shelf | None = None, **more: object) -> Candidates:
    """The whole shelf in its order for everybody; users are numbered."""
    score = np.atleast_2d(np.asarray(score, float))
    shelf = shelf or shelf_of(score.shape[1])
    item = np.tile(np.arange(shelf.n_items), (len(score), 1))
    return Candidates(shelf=shelf, user_id=np.arange(len(score)), item=item, score=score, **more)


def every_slate(policy: Policy, candidates: Candidates) -> Iterator[tuple[list[int], list[float]]]:
    """Items and propensities of every ordered slate of the first user, by the definition."""
    shelf, limits = candidates.shelf, policy.limits
    category = None if shelf.category is None else np.asarray(shelf.category)

    def open_after(chosen: list[int]) -> list[int]:
        full = set()
        if limits.per_category is not None:
            of_chosen = [category[i] for i in chosen if category[i] is not None]
            full = {g for g in of_chosen if of_chosen.count(g) >= limits.per_category}
        return [i for i in range(shelf.n_items) if i not in chosen and (not full or category[i] not in full)]

    def go(chosen: list[int], chances: list[float]) -> Iterator[tuple[list[int], list[float]]]:
        left = open_after(chosen)
        if len(chosen) == policy.k or not left:
            yield chosen, chances
            return
        for i, p in chances_of(policy, candidates, chosen, left).items():
            yield from go([*chosen, i], [*chances, p])

    yield from go([], [])


def chances_of(policy: Policy, candidates: Candidates, chosen: list[int], left: list[int]) -> dict[int, float]:
    score = np.array([candidates.score[0, i] + varied(policy, candidates.shelf, chosen, i) for i in left])
    if policy.temperature > 0:
        base = np.exp(score / policy.temperature) / np.exp(score / policy.temperature).sum()
    else:
        base = (np.arange(len(left)) == score.argmax()).astype(float)
    e = max(policy.epsilon, policy.floor * len(left))
    return dict(zip(left, (1 - e) * base + e / len(left), strict=True))


def varied(policy: Policy, shelf: Shelf, chosen: list[int], item: int) -> float:
    """What diversity adds to an item's score, from determinants and maxima."""
    if not chosen or policy.diversity is None:
        return 0.0
    vectors = np.asarray(shelf.embedding, float)
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosine = vectors @ vectors.T
    if isinstance(policy.diversity, Mmr):
        return -policy.diversity.weight * cosine[item, chosen].max()
    assert isinstance(policy.diversity, Dpp)
    S = (1 + cosine) / 2
    longer = [*chosen, item]
    ratio = np.linalg.det(S[np.ix_(longer, longer)]) / np.linalg.det(S[np.ix_(chosen, chosen)])
    return policy.diversity.weight * np.log(ratio)
