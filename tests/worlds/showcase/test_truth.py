"""The truth: against brute force, against plain loops, and what it says of the kinds and of rankings that mislead."""

import math
from dataclasses import replace

import numpy as np
import pytest

from whybuy.worlds.showcase import (
    DISCOVERY,
    NAG,
    SHOWCASES,
    STAPLE,
    Shopfront,
    Size,
    Slates,
    best_possible,
    bought_by_chance,
    chances,
    fashion,
    groceries,
    logging_policy,
    mean_top_lift,
    true_lift,
)
from whybuy.worlds.showcase.equations import by_nest
from whybuy.worlds.showcase.front import present

NAMES = tuple(SHOWCASES)


@pytest.fixture(scope="module", params=NAMES)
def played(request):
    """A front after twelve rounds of the shop's own policy, and its state before the first."""
    front = Shopfront(SHOWCASES[request.param], 11, Size(n_users=500, n_rounds=12))
    start = front.state
    front.run(logging_policy, 12)
    return front, start


@pytest.fixture(scope="module", params=NAMES)
def few(request):
    """Thirty users after three rounds, and the state before the first."""
    front = Shopfront(SHOWCASES[request.param], 11, Size(n_users=30, n_rounds=3))
    start = front.state
    front.run(logging_policy, 3)
    return front, start


def test_lifts_are_those_of_interventions(played):
    """Every user is shown one item, and the same round is played with other luck again and again.

    Shown: purchases of the item itself; not shown: of those in nests of which nothing is shown. By kind, and in all.
    """
    front, _ = played
    goods, exact, n = front.state.goods, chances(front.state), len(front.state.people)
    item = np.random.default_rng(0).integers(0, len(goods), n)
    untouched = goods.nest[item][:, None] != goods.nest
    bought, n_rounds = np.zeros(exact.shown.shape), 80
    for seed in range(n_rounds):
        twin = front.parallel(seed)
        twin.size = replace(front.size, visit_chance=1.0, n_slots=1)
        user, _, what = twin.show(twin.context(), Slates(item[:, None], np.ones((n, 1)))).purchases()
        bought[user, what] += 1
    rows = np.arange(n)
    for kind in (STAPLE, DISCOVERY, NAG):
        of_kind = goods.kind == kind
        for p, drawn in (
            (exact.shown[rows, item][of_kind[item]], bought[rows, item][of_kind[item]]),
            (exact.alone[untouched & of_kind], bought[untouched & of_kind]),
        ):
            noise = np.sqrt(n_rounds * (p * (1 - p)).sum())
            assert drawn.sum() == pytest.approx(n_rounds * p.sum(), abs=3.5 * noise)
            assert noise < 0.2 * n_rounds * p.sum()


def test_fashion_by_hand():
    front = Shopfront(SHOWCASES["fashion"], 2, Size(n_users=40, n_rounds=5))
    front.run(logging_policy, 5)
    state, f = front.state, fashion
    user, exact = _busiest(front), chances(front.state)
    angle, strength = divmod(int(state.people.taste[user, 0]), 3)
    angle, strength = 2 * math.pi * angle / f.N_ANGLES, f.STRENGTHS[strength]
    seen, owned = _memory_by_hand(front, user, 4, 8)
    alone, shown = [], []
    for i in range(240):
        x, y = state.goods.style[i]
        kind = state.goods.kind[i]
        log_x = state.goods.appeal[i] + strength * math.cos(angle - math.atan2(y, x))
        alone.append(math.exp(log_x))
        shown.append(math.exp(log_x + f.EFFECT[kind] - f.FATIGUE * seen[i] * int(kind == NAG)))
    for i in range(240):
        nest = range(i // 40 * 40, i // 40 * 40 + 40)
        need = 1 / (1 + f.SATED * sum(owned[j] for j in nest))
        others = 1 + sum(alone[j] for j in nest if j != i)
        assert exact.alone[user, i] == pytest.approx(need * alone[i] / (others + alone[i]), rel=1e-4)
        assert exact.shown[user, i] == pytest.approx(need * shown[i] / (others + shown[i]), rel=1e-4)


def test_groceries_by_hand():
    front = Shopfront(SHOWCASES["groceries"], 2, Size(n_users=40, n_rounds=5))
    front.run(logging_policy, 5)
    state, g = front.state, groceries
    user, exact = _busiest(front), chances(front.state)
    seen, owned = _memory_by_hand(front, user, 2, 10)
    alone, shown = [], []
    for i in range(240):
        kind, base, level = state.goods.kind[i], math.exp(state.goods.appeal[i]), state.people.taste[user, i // 20]
        if kind == DISCOVERY:
            full = g.KEEN[level] * base * math.exp(-g.STOCKED * owned[i])
            alone.append(full * (g.UNKNOWN + g.RECALL * min(seen[i], 1)))
            shown.append(full)
        else:
            alone.append(base * math.exp(-g.IRRITATION * seen[i] * int(kind == NAG)))
            shown.append(alone[-1] * math.exp(g.SHOWN[kind]))
    for i in range(240):
        nest = range(i // 10 * 10, i // 10 * 10 + 10)
        need = 1.0
        if i // 10 % 2 == 0:
            bought = [h.number for h in front.history if h.bought[user, i // 10] >= 0]
            age = 5 - bought[-1] if bought else 5 + g.RENEWAL
            filled = sum(owned[j] for j in range(i // 20 * 20 + 10, i // 20 * 20 + 20))
            pace = g.PACE[state.people.taste[user, i // 20]] * g.SIZE[state.people.segment[user]]
            need = pace * (1 - math.exp(-((age / g.RENEWAL) ** 2))) / (1 + g.FILLED * filled)
        others = 1 + sum(alone[j] for j in nest if j != i)
        assert exact.alone[user, i] == pytest.approx(need * alone[i] / (others + alone[i]), rel=1e-4)
        assert exact.shown[user, i] == pytest.approx(need * shown[i] / (others + shown[i]), rel=1e-4)


def _busiest(front):
    return int(sum((h.bought >= 0).sum(axis=1) for h in front.history).argmax())


def _memory_by_hand(front, user, seen_half_life, owned_half_life):
    seen, owned = [0.0] * 240, [0.0] * 240
    for h in front.history:
        ago = len(front.history) - h.number
        for row in np.flatnonzero(h.visitor == user):
            for i in h.items[row]:
                seen[i] += 0.5 ** (ago / seen_half_life)
        for i in h.bought[user][h.bought[user] >= 0]:
            owned[i] += 0.5 ** (ago / owned_half_life)
    return seen, owned


def test_need_is_a_chance(played):
    front, start = played
    for state in (start, front.state):
        for type_ in range(state.equations.n_types):
            need = state.equations.need(state, np.full((1, 1), type_))
            assert need.min() > 0
            assert need.max() <= 1


def test_kinds_are_what_they_claim(played):
    front, _ = played
    kind, exact = front.state.goods.kind, chances(front.state)
    alone, shown, lift = exact.alone.mean(axis=0), exact.shown.mean(axis=0), exact.lift
    assert ((lift[:, kind == STAPLE] > 0) & (lift[:, kind == STAPLE] < 0.1 * exact.alone[:, kind == STAPLE])).all()
    assert (alone[kind == DISCOVERY] < 0.15 * shown[kind == DISCOVERY]).all()
    assert lift[:, kind == DISCOVERY].max() > 0.1
    assert (lift[:, kind == NAG] < 0).all()
    assert alone[kind == NAG].mean() > 5 * alone[kind == DISCOVERY].mean()


def test_tastes_make_lifts_differ_between_people(played):
    front, _ = played
    lift = true_lift(front.state)
    for_all = np.broadcast_to(lift.mean(axis=0), lift.shape)
    assert mean_top_lift(for_all, lift) < 0.97 * mean_top_lift(lift, lift)


def test_ranking_by_chance_is_clearly_below_ranking_by_lift(played):
    front, _ = played
    exact = chances(front.state)
    best = mean_top_lift(exact.lift, exact.lift)
    assert mean_top_lift(exact.shown, exact.lift) < 0.85 * best
    assert mean_top_lift(exact.alone, exact.lift) < 0


def test_shown_against_not_shown_misleads(played):
    """The shop shows what people would have bought anyway: staples look many times as useful as they are.

    Purchases are counted by their chances, so that no luck is in it.
    """
    front, state = played
    kind, lift = front.state.goods.kind, true_lift(front.state).mean(axis=0)
    counts = np.zeros((2, 2, 240))  # not shown and shown; slates and purchases
    for h in front.history:
        shown = np.zeros((len(state.people), 240), bool)
        shown[h.visitor[:, None], h.items] = True
        bought = bought_by_chance(state, h.visitor, h.items)[h.visitor]
        for arm, rows in enumerate((~shown[h.visitor], shown[h.visitor])):
            counts[arm] += rows.sum(axis=0), (rows * bought).sum(axis=0)
        state = state.after(h)
    naive = counts[1, 1] / counts[1, 0] - counts[0, 1] / counts[0, 0]
    assert naive[kind == STAPLE].mean() > 4 * lift[kind == STAPLE].mean()
    assert naive[kind == NAG].mean() > 0.9 * lift[kind == NAG].mean()
    assert lift[kind == NAG].mean() < -0.002


def test_gains_of_one_item_are_partly_losses_of_others(played):
    """A slate of staples adds less to all purchases of a user than the lifts of its items promise."""
    front, _ = played
    state, users = front.state, np.arange(len(front.state.people))
    nothing = bought_by_chance(state, users[:0], np.zeros((0, 5), int)).sum()
    exact = chances(state)
    for kind, kept in ((STAPLE, 0.8), (DISCOVERY, 0.99)):
        score = np.where(state.goods.kind == kind, exact.shown, 0)
        slates = np.argsort(-score, axis=1)[:, :5]
        added = bought_by_chance(state, users, slates).sum() - nothing
        promised = np.take_along_axis(exact.lift, slates, axis=1).sum()
        assert 0 < added < kept * promised


def test_beside_others_of_its_nest_an_item_lifts_a_little_less(played):
    """The lift is told for the item alone; within slates of the shop's own policy it is nearly the same."""
    front, _ = played
    twin = front.parallel()
    twin.size = replace(front.size, visit_chance=1.0)
    slates = logging_policy(twin.context()).items
    rows = np.arange(len(slates))
    exact, goods = chances(front.state), front.state.goods
    among = bought_by_chance(front.state, rows, slates)
    ratios = []
    for slot in range(slates.shape[1]):
        without = bought_by_chance(front.state, rows, np.delete(slates, slot, axis=1))
        item = slates[:, slot]
        useful = goods.kind[item] == DISCOVERY
        ratios.append((among - without)[rows, item][useful].sum() / exact.lift[rows, item][useful].sum())
    assert 0.95 < np.mean(ratios) < 1


def test_best_possible_by_plain_loops(few):
    """Second implementation, of one user and one group of taste: every type, every round, nest by nest."""
    front, start = few
    user = _busiest(front)
    equations, goods = start.equations, start.goods
    category = 0
    group = int(equations.group(np.array([category]))[0])
    nests = [n for n in range(goods.n_nests) if int(equations.group(goods.category[goods.nest == n])[0]) == group]
    categories = [k for k in range(len(equations.categories)) if int(equations.group(np.array([k]))[0]) == group]
    log_p, state = equations.log_prior()[start.people.segment[user]].copy(), start
    for h in front.history:
        for m in range(equations.n_types):
            as_m = replace(state, people=replace(state.people, taste=np.full_like(state.people.taste, m)))
            need, x = present(as_m, h.visitor, h.items)
            total = by_nest(x, goods)
            for n in nests:
                item, p = h.bought[user, n], need[user, n] / (1 + total[user, n])
                log_p[m] += math.log(p * x[user, item] if item >= 0 else 1 - p * total[user, n])
            for row in np.flatnonzero(h.visitor == user):
                look = equations.look(as_m.people.taste[:1])[0]
                for k in categories:
                    log_p[m] += math.log(look[k] if h.looked[row, k] >= 0 else 1 - look[k])
                for item, clicked in zip(h.items[row], h.clicked[row], strict=True):
                    if goods.category[item] in categories:
                        click = float(equations.click(as_m, np.array([m]), np.array([item]))[0])
                        log_p[m] += math.log(click if clicked else 1 - click)
        state = state.after(h)
    weight = np.exp(log_p - log_p.max())
    tastes = np.repeat(np.arange(equations.n_types)[:, None], equations.n_groups, axis=1)
    items = np.isin(goods.category, categories)
    expected = sum(w * chances(state, one[None]).lift[user, items] for w, one in zip(weight, tastes, strict=True))
    assert best_possible(start, front.history)[user, items] == pytest.approx(expected / weight.sum(), rel=1e-6)


def test_best_possible_does_not_look_at_tastes(few):
    front, start = few
    blind = replace(start, people=replace(start.people, taste=np.zeros_like(start.people.taste)))
    assert (best_possible(blind, front.history) == best_possible(start, front.history)).all()


def test_best_possible_is_calibrated_and_best(played):
    """It promises what it keeps, in every band of promises; only those who know the tastes rank better."""
    front, start = played
    lift, best = true_lift(front.state), best_possible(start, front.history)
    for low, high in ((-1, -0.005), (-0.005, 0.005), (0.005, 0.02), (0.02, 0.05), (0.05, 1)):
        inside = (best > low) & (best <= high)
        by_user = np.where(inside, lift - best, 0).sum(axis=1)
        assert inside.sum() > 200
        assert abs(by_user.sum()) < 4 * np.sqrt((by_user**2).sum())
    ranked = mean_top_lift(best, lift)
    assert ranked == pytest.approx(mean_top_lift(best, best), rel=0.05)
    exact = chances(front.state)
    assert mean_top_lift(exact.shown, lift) < ranked < mean_top_lift(lift, lift)


def test_mean_top_lift_by_hand():
    ranking, lift = np.array([[3.0, 1, 2], [1, 2, 3]]), np.array([[0.1, 0.9, 0.3], [0.5, 0.2, 0.0]])
    assert mean_top_lift(ranking, lift, k=2) == pytest.approx((0.1 + 0.3 + 0.2 + 0.0) / 4)
