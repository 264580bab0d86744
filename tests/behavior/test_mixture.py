"""A mixture weighs its members by what they know."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from tests.events.sequences_by_hand import sequences, vocabulary
from whybuy.behavior.baselines.mixture import Member, Mixture
from whybuy.behavior.baselines.ranking import RankingTask, leave_one_out


@dataclass(frozen=True)
class Fixed:
    scores: tuple[float, ...]

    def score(self, history, ts_ms):
        return np.tile(np.array(self.scores, np.float32), (history.n_users, 1))


def wide():
    n = 14
    return replace(
        vocabulary(),
        items=np.arange(n).astype(object),
        item_category=np.zeros(n, np.int32),
        item_brand=np.full(n, "acme", object),
        item_brand_code=np.zeros(n, np.int32),
        item_text=np.full(n, -1, np.int32),
    )


def task(targets: list[int]) -> RankingTask:
    return leave_one_out(sequences({f"u{i}": [(0, "view", 0), (1000, "view", t)] for i, t in enumerate(targets)}))


def test_the_weights_rank_the_targets_best():
    # Over fourteen items: one member puts each user's target 11th, the other too, together they put it first.
    one = Fixed((*[1.0] * 6, *[0.0] * 6, 0.9, 0.0))
    two = Fixed((*[0.0] * 6, *[1.0] * 6, 0.9, 0.0))
    users = {f"u{i}": [(0, "view", 0), (1000, "view", 12)] for i in range(5)}
    mixture = Mixture.tuned((Member("one", one), Member("two", two)), leave_one_out(sequences(users, wide())))
    assert mixture.weights == (0.5, 0.5)
    assert mixture.score(task([1]).history, np.array([1000]))[0].argmax() == 12


def test_a_member_that_knows_nothing_gets_no_say():
    members = (Member("right", Fixed((0.9, 1.1, 0))), Member("wrong", Fixed((9, 0, 5))))
    weights = Mixture.tuned(members, task([1] * 30)).weights
    assert weights[0] > weights[1]


def test_logarithms_are_turned_into_probabilities():
    found = Member("m", Fixed(tuple(np.log([0.2, 0.3, 0.5]))), logs=True).probability(task([1]).history, np.array([0]))
    assert found[0] == pytest.approx([0.2, 0.3, 0.5])


def test_who_knows_nothing_of_a_user_is_even_handed():
    found = Member("m", Fixed((0, 0, 0))).probability(task([1]).history, np.array([0]))
    assert found[0] == pytest.approx([1 / 3] * 3)


@dataclass(frozen=True)
class Drawn:
    """Scores of 400 items, drawn anew for every user by seed."""

    seed: int

    def score(self, history, ts_ms):
        rng = np.random.default_rng(self.seed)
        return rng.dirichlet(np.full(400, 0.02), 60).astype(np.float32)[: history.n_users]


def test_weights_from_shortlists_are_those_of_the_whole_catalog(monkeypatch: pytest.MonkeyPatch):
    words = replace(
        wide(),
        items=np.arange(400).astype(object),
        item_category=np.zeros(400, np.int32),
        item_brand=np.full(400, "acme", object),
        item_brand_code=np.zeros(400, np.int32),
        item_text=np.full(400, -1, np.int32),
    )
    best = [Drawn(seed).score(sequences({f"u{i}": [(0, "view", 0)] for i in range(60)}), None) for seed in (1, 2)]
    targets = (0.7 * best[0] + 0.3 * best[1]).argmax(1)
    users = {f"u{i:02d}": [(0, "view", 0), (1000, "view", int(t))] for i, t in enumerate(targets)}
    asked = leave_one_out(sequences(users, words))
    members = (Member("one", Drawn(1)), Member("two", Drawn(2)))
    short = Mixture.tuned(members, asked).weights
    monkeypatch.setattr("whybuy.behavior.baselines.mixture._FIRST", 400)
    assert short == Mixture.tuned(members, asked).weights
    assert 0.5 < short[0] < 0.9
