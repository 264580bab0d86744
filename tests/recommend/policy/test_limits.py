"""No limit is ever broken, everything left out has its reason, and short slates say why they are."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.recommend.policy.shelves import candidates_of, shelf_of
from whybuy.errors import PolicyError
from whybuy.recommend.policy import Candidates, Dpp, LeftOut, Limits, Mmr, Policy, Shelf, count_events

MAYBE_CAP = st.one_of(st.none(), st.integers(1, 3))


@st.composite
def markets(draw: st.DrawFn) -> tuple[Policy, Candidates]:
    """Users with a random part of a random shelf, and any policy."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_users, n_items, width = draw(st.integers(1, 5)), draw(st.integers(1, 14)), draw(st.integers(1, 10))
    width = min(width, n_items)
    shelf = Shelf(
        item_id=np.arange(n_items),
        category=rng.choice(np.array(["a", "b", "c", None], object), n_items),
        seller=rng.choice(np.array(["x", "y", None], object), n_items),
        available=rng.random(n_items) < draw(st.sampled_from([0.0, 0.6, 1.0])),
        embedding=rng.normal(size=(n_items, 3)) * (rng.random((n_items, 1)) < 0.8),
    )
    item = np.stack([rng.permutation(n_items)[:width] for _ in range(n_users)])
    item[rng.random(item.shape) < 0.15] = -1
    score = rng.normal(size=item.shape)
    score[rng.random(item.shape) < 0.1] = np.nan
    candidates = Candidates(
        shelf=shelf,
        user_id=np.arange(n_users),
        item=item,
        score=score,
        bought=rng.random(item.shape) < 0.2,
        shown=rng.integers(0, 4, item.shape),
    )
    limits = Limits(
        per_category=draw(MAYBE_CAP),
        per_seller=draw(MAYBE_CAP),
        shows=draw(MAYBE_CAP),
        min_score=draw(st.one_of(st.none(), st.floats(-1, 1))),
        bought_again=draw(st.booleans()),
    )
    policy = Policy(
        k=draw(st.integers(1, 12)),
        temperature=draw(st.sampled_from([0.0, 0.3])),
        epsilon=draw(st.sampled_from([0.0, 0.5, 1.0])),
        floor=draw(st.sampled_from([0.0, 0.02])),
        diversity=draw(st.sampled_from([None, Mmr(weight=0.5), Dpp(weight=0.5)])),
        limits=limits,
        seed=draw(st.integers(0, 9)),
    )
    return policy, candidates


@settings(max_examples=80, deadline=None)
@given(markets())
def test_no_limit_is_ever_broken_and_a_slate_ends_only_where_nothing_is_open(market):
    policy, candidates = market
    shelf, limits, slates = candidates.shelf, policy.limits, policy.slates(candidates)
    for u, slate in enumerate(slates.item):
        shown = [int(i) for i in slate if i >= 0]
        assert (slate[len(shown) :] == -1).all()
        assert len(set(shown)) == len(shown)
        columns = [candidates.item[u].tolist().index(i) for i in shown]
        for column, i in zip(columns, shown, strict=True):
            assert shelf.available[i]
            assert limits.bought_again or not candidates.bought[u, column]
            assert limits.shows is None or candidates.shown[u, column] < limits.shows
            assert not np.isnan(candidates.score[u, column])
            assert limits.min_score is None or candidates.score[u, column] >= limits.min_score
        for labels, cap in ((shelf.category, limits.per_category), (shelf.seller, limits.per_seller)):
            known = [labels[i] for i in shown if labels[i] is not None]
            assert cap is None or all(known.count(label) <= cap for label in known)
        out = slates.left_out[u]
        assert sorted(np.flatnonzero(out == LeftOut.IN_SLATE)) == sorted(columns)
        assert len(shown) == policy.k or not (out == LeftOut.NO_ROOM).any()
        assert (slates.notes[u] == "") == (len(shown) == policy.k)
    filled = slates.item >= 0
    assert ((slates.propensity > 0) & (slates.propensity <= 1))[filled].all()
    np.testing.assert_allclose(policy.propensity_of(candidates, slates.item), slates.propensity, atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(markets())
def test_inclusion_adds_up_to_the_expected_length(market):
    policy, candidates = market
    found = policy.inclusion(candidates, n_draws=8)
    assert ((found.probability >= 0) & (found.probability <= 1 + 1e-9)).all()
    assert (found.probability.sum(axis=1) <= policy.k + 1e-9).all()
    assert (found.probability[candidates.item == -1] == 0).all()
    computed = found.computed  # then no cap binds, or nothing is drawn: the length is always the same
    length = policy.slates(candidates).n_shown
    np.testing.assert_allclose(found.probability.sum(axis=1)[computed], length[computed], atol=1e-9)


def test_every_reason_by_hand():
    """One user, eight items, two slots, one item a category: the first reason that holds is the one that is told."""
    shelf = shelf_of(8, category=list("aabcdefg"), available=[1, 1, 1, 0, 1, 1, 1, 1])
    candidates = candidates_of(
        [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, np.nan, 0.01],
        shelf,
        bought=np.array([[0, 0, 0, 1, 1, 0, 0, 0]], bool),
        shown=np.array([[0, 0, 0, 0, 9, 3, 0, 0]]),
    )
    limits = Limits(per_category=1, shows=3, min_score=0.1)
    slates = Policy(k=3, limits=limits).slates(candidates)
    frame = slates.to_frame()
    assert frame["item_id"].tolist() == ["i0", "i2"]
    assert frame["slot"].tolist() == [1, 2]
    assert frame["propensity"].tolist() == [1.0, 1.0]
    assert slates.left_out_frame().set_index("item_id")["reason"].to_dict() == {
        "i1": "enough of its category",
        "i3": "not available",
        "i4": "bought already",
        "i5": "shown often enough lately",
        "i6": "its effect cannot be told",
        "i7": "below the least score",
    }
    assert slates.notes[0] == (
        "2 of 3 slots filled: 1 enough of its category, 1 not available, 1 bought already, "
        "1 shown often enough lately, 1 its effect cannot be told, 1 below the least score."
    )
    assert "1 slates of up to 3; 1 are shorter" in slates.summary()


def test_items_that_found_no_room_say_so():
    slates = Policy(k=1).slates(candidates_of([0.1, 0.3, 0.2]))
    assert slates.left_out.tolist() == [[LeftOut.NO_ROOM, LeftOut.IN_SLATE, LeftOut.NO_ROOM]]
    assert slates.plot().data[0].x.tolist()[:2] == [pytest.approx(1 / 3), pytest.approx(2 / 3)]


def test_everything_out_of_stock_is_an_empty_slate_with_a_reason_and_no_error():
    shelf = shelf_of(3, available=[False] * 3)
    slates = Policy(k=5, temperature=1.0).slates(candidates_of(np.zeros((2, 3)), shelf))
    assert slates.to_frame().empty
    assert slates.notes.tolist() == ["0 of 5 slots filled: 3 not available."] * 2


def test_a_catalog_smaller_than_the_slate_is_shown_whole_and_says_so():
    slates = Policy(k=5).slates(candidates_of([0.1, 0.3]))
    assert slates.n_shown.tolist() == [2]
    assert slates.notes.tolist() == ["2 of 5 slots filled: there were no more candidates."]


def test_a_batch_of_nobody_is_an_empty_batch():
    nobody = candidates_of(np.zeros((1, 3))).rows(slice(0, 0))
    slates = Policy(temperature=1.0).slates(nobody)
    assert slates.to_frame().empty
    assert slates.notes.tolist() == []
    assert Policy(temperature=1.0).inclusion(nobody).to_frame().empty


def test_events_are_counted_per_candidate():
    item = np.array([[0, 2, -1], [2, 1, 0]])
    found = count_events(item, row=np.array([0, 0, 0, 1, 1]), event_item=np.array([2, 2, 7, 0, 3]))
    assert found.tolist() == [[0, 2, 0], [0, 0, 1]]
    assert count_events(item, row=np.empty(0, int), event_item=np.empty(0, int)).tolist() == [[0] * 3] * 2


def test_inputs_are_left_as_they_are():
    candidates = candidates_of(np.random.default_rng(0).normal(size=(4, 6)), bought=np.eye(4, 6, dtype=bool))
    before = candidates.score.copy(), candidates.item.copy(), candidates.bought.copy()
    Policy(k=3, temperature=0.5, floor=0.01).slates(candidates)
    for was, now in zip(before, (candidates.score, candidates.item, candidates.bought), strict=True):
        np.testing.assert_array_equal(was, now)


def users(*ids: str, item: list[list[int]]) -> Candidates:
    return Candidates(shelf=shelf_of(1), user_id=ids, item=np.array(item), score=np.zeros(np.shape(item)))


ONE = candidates_of([1.0])
REFUSED = {
    "cap without categories": (lambda: Policy(limits=Limits(per_category=1)).slates(ONE), "A cap per category, and a"),
    "cap on shows without shows": (lambda: Policy(limits=Limits(shows=1)).slates(ONE), "A cap on shows.*count_events"),
    "cap of nothing": (lambda: Limits(per_seller=0), "per_seller = 0.*at least 1"),
    "diversity of nothing": (lambda: Policy(diversity=Mmr(weight=1.0)).slates(ONE), "a shelf without embeddings"),
    "negative weight": (lambda: Dpp(weight=-1.0), "A weight of -1.0.*in units of the score"),
    "no slots": (lambda: Policy(k=0), "k = 0.*at least 1"),
    "temperature": (lambda: Policy(temperature=-1.0), "temperature = -1.0"),
    "epsilon": (lambda: Policy(epsilon=1.5), "epsilon = 1.5.*from 0 to 1"),
    "seed": (lambda: Policy(seed=-1), "seed = -1"),
    "round": (lambda: Policy().slates(ONE, round_number=-1), "round_number = -1"),
    "user twice": (lambda: users("u", "u", item=[[0], [0]]), "A user stands twice.*next round_number"),
    "item twice": (lambda: users("u", item=[[0, 0]]), "An item stands twice among"),
    "unknown item": (lambda: users("u", item=[[4]]), "codes from 4 to 4.*from 0 to 0"),
    "infinite score": (lambda: candidates_of([np.inf]), "Scores that are infinite"),
    "shapes": (lambda: candidates_of(np.zeros((1, 2)), bought=np.zeros((1, 3), bool)), r"bought of shape \(1, 3\)"),
    "empty shelf": (lambda: Shelf(item_id=[]), "An empty shelf.*at least one item"),
    "shelf twice": (lambda: Shelf(item_id=["a", "a"]), "stands on the shelf twice"),
    "shelf lengths": (lambda: Shelf(item_id=["a"], category=["x", "y"]), "2 values of category for 1 items"),
    "stock": (lambda: Shelf(item_id=["a", "b"], available=[True, None]), "not known whether they are available"),
    "embedding": (lambda: Shelf(item_id=["a"], embedding=[[np.nan]]), "Embeddings that are not finite"),
}


@pytest.mark.parametrize(("act", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_done_is_refused_with_what_to_do(act, message):
    with pytest.raises(PolicyError, match=message):
        act()
