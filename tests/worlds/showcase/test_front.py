"""The closed loop: exact propensities, parallel worlds, and slates that are refused."""

import dataclasses

import numpy as np
import pytest

from whybuy.errors import ArraysError
from whybuy.worlds.showcase import NAG, SHOWCASES, Shopfront, Size, Slates, chances, draw_slates, logging_policy

SMALL = Size(n_users=200, n_rounds=6)


@pytest.fixture(params=tuple(SHOWCASES))
def front(request):
    return Shopfront(SHOWCASES[request.param], 5, SMALL)


def replaced(front, who, item):
    """The shop's own slates, but for the users ``who``, who are shown ``item`` first."""

    def policy(context):
        slates = logging_policy(context)
        items = slates.items.copy()
        changed = np.isin(context.users, who) & (items != item).all(axis=1)
        items[changed, 0] = item
        return Slates(items, slates.propensity)

    return policy


def test_items_are_drawn_with_the_probabilities_that_are_logged():
    """Nobody has a history yet, so all slates of the first round are draws of one distribution."""
    front = Shopfront(SHOWCASES["fashion"], 0, Size(n_users=5_000, visit_chance=1.0))
    context = front.context()
    scores = np.broadcast_to(2.0 * context.popularity, (len(context.users), 240))
    slates = draw_slates(context, scores, epsilon=0.3)
    rows, weight = np.arange(len(scores)), np.exp(scores)
    left = np.ones_like(weight, bool)
    for slot in range(context.n_slots):
        inside = weight * left
        p = 0.7 * inside / inside.sum(axis=1, keepdims=True) + 0.3 * left / left.sum(axis=1, keepdims=True)
        item = slates.items[:, slot]
        assert slates.propensity[:, slot] == pytest.approx(p[rows, item])
        drawn = np.bincount(item, minlength=240)
        z = (drawn - p.sum(axis=0)) / np.sqrt((p * (1 - p)).sum(axis=0))
        assert np.abs(z).max() < 4.5
        assert np.mean(z**2) == pytest.approx(1, abs=0.3)
        left[rows, item] = False


def test_the_same_policy_twice_gives_the_same_world(front):
    twin = front.parallel()
    front.run(logging_policy, 4)
    twin.run(logging_policy, 4)
    for mine, other in zip(front.history, twin.history, strict=True):
        for field in dataclasses.fields(mine):
            assert np.array_equal(getattr(mine, field.name), getattr(other, field.name))


def test_another_policy_changes_only_those_whom_it_shows_other_things(front):
    twin, some = front.parallel(), np.arange(0, 200, 2)
    front.run(logging_policy, 4)
    twin.run(replaced(front, some, 17), 4)
    others = np.setdiff1d(np.arange(200), some)
    changed = 0
    for mine, other in zip(front.history, twin.history, strict=True):
        assert np.array_equal(mine.visitor, other.visitor)
        assert np.array_equal(mine.bought[others], other.bought[others])
        changed += (mine.bought[some] != other.bought[some]).sum()
    first, second = front.history[0], twin.history[0]
    nest = front.state.goods.nest
    slates_changed = first.items[:, 0] != second.items[:, 0]
    touched = np.zeros_like(first.bought, bool)
    for slates in (first, second):
        touched[slates.visitor[slates_changed], nest[slates.items[slates_changed, 0]]] = True
    assert np.array_equal(first.bought[~touched], second.bought[~touched])
    assert 0 < changed < 0.2 * 4 * len(some) * first.bought.shape[1]


def test_another_seed_is_other_luck_with_the_same_past(front):
    front.run(logging_policy, 2)
    twin = front.parallel(seed=99)
    front.run(logging_policy, 1)
    twin.run(logging_policy, 1)
    assert np.array_equal(front.history[1].bought, twin.history[1].bought)
    assert not np.array_equal(front.history[2].bought, twin.history[2].bought)


def test_purchases_have_prices_and_margins(front):
    (bought,) = front.run(logging_policy, 1)
    goods = front.state.goods
    assert len(bought.user) == (front.history[0].bought >= 0).sum()
    assert (bought.price == goods.price[bought.item]).all()
    assert ((bought.margin > 0) & (bought.margin < bought.price)).all()


def test_nags_nag_the_more_the_more_often_they_are_shown(front):
    nag = int(np.flatnonzero(front.state.goods.kind == NAG)[0])
    everybody = np.arange(200)
    once, often = front.parallel(), front.parallel()
    once.run(logging_policy, 5)
    often.run(replaced(front, everybody, nag), 5)
    shown = often.state.memory.seen[:, nag] > once.state.memory.seen[:, nag]
    rested, tired = (chances(f.state).shown[shown, nag].mean() for f in (once, often))
    assert shown.sum() > 100
    assert tired < 0.9 * rested


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda s: Slates(s.items[1:], s.propensity[1:]), "a row for every visitor"),
        (lambda s: Slates(np.repeat(s.items[:, :1], 5, axis=1), s.propensity), "repeats an item"),
        (lambda s: Slates(s.items + 240, s.propensity), "no candidate"),
        (lambda s: Slates(s.items, 0 * s.propensity), r"a propensity outside \(0, 1\]"),
        (lambda s: Slates(s.items, np.nan * s.propensity), r"a propensity outside \(0, 1\]"),
    ],
)
def test_slates_that_cannot_be_shown_are_refused(spoil, message):
    front = Shopfront(SHOWCASES["fashion"], 0, SMALL)
    context = front.context()
    with pytest.raises(ArraysError, match=message):
        front.show(context, spoil(logging_policy(context)))
    assert front.history == []
