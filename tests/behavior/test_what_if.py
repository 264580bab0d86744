"""Futures follow the model's own distribution, and what cannot be asked is refused."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.behavior.small_models import TRUNK, examples, heads, model
from tests.events.sequences_by_hand import sequences
from whybuy.behavior.examples import Examples, PackedUsers
from whybuy.behavior.next_event import Catalog, NextEvents
from whybuy.behavior.rates import start_from_rates
from whybuy.behavior.rollout import Simulator
from whybuy.behavior.sizes import TrainingPlan, Weights
from whybuy.behavior.tokens import gap_bins, gap_ms, usual_prices
from whybuy.behavior.train import Split, fit
from whybuy.behavior.twins import TwinModels
from whybuy.behavior.what_if import Intervention, what_if
from whybuy.columns import ACTIONS
from whybuy.errors import QuestionError
from whybuy.events.behaviors import parse_behavior

HOUR, DAY = 3_600_000, 86_400_000
NOBODY = (np.empty(0, np.uint64),) * 2
WEIGHTS = Weights(gap=1.0, action=1.0, category=1.0, item=1.0, forecast=1.0)


@pytest.fixture(scope="module")
def shop() -> tuple[Examples, TwinModels]:
    """An event every 6 hours; a cart is followed by a purchase of a bag, anything else by views and carts."""
    rng = np.random.default_rng(4)
    users = {}
    for u in range(80):
        story, action = [], "view"
        for k in range(24):
            action = "purchase" if action == "cart" else ["view", "cart"][rng.random() < 0.08]
            story.append((k * 6 * HOUR, action, 2 if action == "purchase" else int(rng.integers(3))))
        users[f"u{u}"] = story
    s = sequences(users)
    data = examples(s, end_ms=int(s.ts_ms[-1]), context=64)
    plan = TrainingPlan(
        trunk=replace(TRUNK, width=32, dropout=0.1), epochs=30, rows=4, learning_rate=8e-3, patience=30, context=64,
        weights=WEIGHTS,
        judged_by=("action", "forecast"),
    )  # fmt: skip
    twins = []
    for k in range(2):
        net = model(data, plan, seed=k)
        for weight in (net.nuisance.wide.weight, net.next.read_wide.weight):
            torch.nn.init.zeros_(weight)
        users_k = np.arange(s.n_users) % 10 > 0
        start_from_rates(net, [data], [users_k])
        fit(net, [data], plan, Split([users_k], [~users_k]))
        twins.append(net)
    prices = usual_prices([s], 3)
    return data, TwinModels(tuple(twins), heads(data.heads.end_ms), data.codes, 64, prices, NOBODY)


def user_at_a_view(data: Examples, nth: int) -> np.ndarray:
    last = np.asarray(data.sequences.action)[data.sequences.offsets[1:] - 1]
    return np.arange(data.sequences.n_users) == np.flatnonzero(last == 0)[nth]


def ask(shop, do: str, outcome: str = "purchase:bags", horizon_ms: int = DAY, seed: int = 0):
    data, twins = shop
    history = data.sequences.users(user_at_a_view(data, 3))
    asked = Intervention(parse_behavior(do), parse_behavior(outcome), horizon_ms, int(history.ts_ms[-1]) + 6 * HOUR)
    return what_if(twins, history, asked, seed=seed)


def test_what_is_followed_by_a_purchase_raises_its_chance_in_both_answers(shop):
    answer = ask(shop, "cart:*")
    assert answer.with_do.rollouts > 0.85 > 0.5 > answer.without.rollouts
    assert answer.with_do.heads > 0.75 > 0.5 > answer.without.heads
    assert answer.difference_rollouts == pytest.approx(answer.with_do.rollouts - answer.without.rollouts)
    assert answer.without.rollouts_low < answer.without.rollouts < answer.without.rollouts_high
    assert "not a causal effect" in answer.summary()


def test_an_answer_repeats_with_its_seed(shop):
    assert ask(shop, "view:*") == ask(shop, "view:*")
    assert ask(shop, "view:*") != ask(shop, "view:*", seed=1)


def test_futures_are_drawn_from_the_next_events_distribution(shop):
    data, twins = shop
    history = data.sequences.users(user_at_a_view(data, 5))
    simulator = Simulator(
        twins.models[0], twins.codes, twins.heads.spec, twins.item_price, torch.Generator().manual_seed(1)
    )
    n = 4_000
    with torch.inference_mode():
        person = simulator.read(PackedUsers.latest(history, twins.codes, context=twins.context), n)
        ts = np.full(n, int(history.ts_ms[-1]) + 6 * HOUR)
        following = simulator.now(person, ts)
        drawn = simulator.event(following, ts)
        bags = simulator.of_behavior(following, ts, parse_behavior("view:bags"))
        one = simulator.of_behavior(following, ts, parse_behavior("view:item=i1"))
        other = simulator.others(following, ts, (parse_behavior("view:shoes"), parse_behavior("view:item=i2")))
        p = following.items()[0]
        gap = simulator.wait(person) - person.last_ms
    share = torch.bincount(drawn.item, minlength=4) / n
    torch.testing.assert_close(share, p, atol=0.03, rtol=0)
    assert (bags.action == 0).all()
    assert (bags.category == 0).all()
    assert (one.item == 1).all()
    assert not ((other.action == 0) & (other.item >= 0) & (other.item < 3)).any()
    assert np.median(gap) == pytest.approx(6 * HOUR, rel=0.5)


def test_a_future_is_read_as_the_log_that_holds_its_events(shop):
    data, _ = shop
    net = model(data)
    history = data.sequences.users(user_at_a_view(data, 2))
    prices = np.zeros((4, 2), np.int8)
    simulator = Simulator(net, data.codes, data.heads.spec, prices, torch.Generator().manual_seed(3))
    n, steps = 3, 4
    with torch.inference_mode():
        person = simulator.read(PackedUsers.latest(history, data.codes, context=64), n)
        drawn = []
        for _ in range(steps):
            ts = simulator.wait(person)
            drawn.append(simulator.event(simulator.now(person, ts), ts))
            person = simulator.append(person, drawn[-1])
        ts = person.last_ms + HOUR
        found = simulator.now(person, ts).actions_and_categories()
    none = data.codes.entities.n_items
    for future in range(n):
        read = zip(history.ts_ms, history.action, history.item, strict=True)
        story = [(int(t), ACTIONS[action], int(item)) for t, action, item in read]
        for event in drawn:
            item = int(event.item[future])
            story.append((int(event.ts_ms[future]), ACTIONS[event.action[future]], None if item == none else item))
        story.append((int(ts[future]), "view", 0))
        log = sequences({"x": story})
        sampled = np.arange(log.n_events) >= history.n_events
        new_session = np.diff(log.ts_ms, prepend=log.ts_ms[0]) > HOUR // 2
        category = log.category.copy()
        category[sampled & (np.arange(log.n_events) < log.n_events - 1)] = [
            _code(event.category[future]) for event in drawn
        ]
        log = replace(log, session_start=log.session_start | (sampled & new_session), category=category)
        whole = examples(log, end_ms=data.heads.end_ms, context=64)
        packed = next(whole.windows.batches(np.array([0]), rows=1))
        batch, _ = whole.batch(packed)
        with torch.inference_mode():
            following = NextEvents.of_moments(Catalog(net), net.states(batch.stream), batch.moment)
            wanted = following.actions_and_categories()[-1]
        torch.testing.assert_close(found[future], wanted, atol=2e-3, rtol=2e-2)


def _code(category: torch.Tensor) -> int:
    return -1 if category == 3 else int(category)


def test_the_drawn_gap_falls_into_its_bin():
    bins = np.arange(1, 31)
    for within in (0.05, 0.5, 0.95):
        assert gap_bins(gap_ms(bins, np.full(30, within))).tolist() == bins.tolist()


@pytest.mark.parametrize(
    ("do", "outcome", "horizon_ms", "words"),
    [
        ("view:hats", "purchase:*", DAY, "view:hats is not in the log"),
        ("view:item=nothing-like-it-0000", "purchase:*", DAY, "is not in the log.*Write view:"),
        ("view:sheos", "purchase:*", DAY, "view:sheos is not in the log.*Did you mean view:shoes"),
        ("search:query=boots", "purchase:*", DAY, "a behavior of a query"),
        ("view:*", "cart:*", DAY, "no head for cart"),
        ("view:*", "purchase:bag", DAY, "no head for purchase:bag.*Did you mean purchase:bags"),
        ("view:*", "purchase:*", 3 * DAY, "does not forecast 3d ahead"),
    ],
)
def test_what_cannot_be_asked_is_refused(shop, do, outcome, horizon_ms, words):
    with pytest.raises(QuestionError, match=words):
        ask(shop, do, outcome, horizon_ms)
