"""A log cut into parts teaches the same as its users do, in memory and from the disk."""

import json
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.behavior.small_models import TRUNK, codes, heads, model
from tests.events.sequences_by_hand import random_sequences
from whybuy.behavior.corpus import Cut, StoredCorpus, prepare
from whybuy.behavior.examples import Examples
from whybuy.behavior.folds import folds_of_users
from whybuy.behavior.rates import start_from_rates
from whybuy.behavior.sizes import TrainingPlan
from whybuy.behavior.train import Split, fit
from whybuy.events.sequences import Sequences

PLAN = TrainingPlan(trunk=replace(TRUNK, dropout=0.1), epochs=2, rows=2, learning_rate=1e-2, context=64)


def shards(n: int = 3) -> list[Sequences]:
    whole = random_sequences(np.random.default_rng(3), n_users=30)
    return [whole.users(np.arange(30) % n == k) for k in range(n)]


def same(one: Examples, other: Examples) -> bool:
    parts = ("sequences", "moments", "tokens", "windows", "targets", "recent")
    pairs = [(getattr(getattr(one, p), f.name), getattr(getattr(other, p), f.name))
             for p in parts for f in fields(getattr(one, p))]  # fmt: skip
    return all(np.array_equal(a, b) for a, b in [*pairs, (one.wide, other.wide)])


def losses_of(corpus) -> tuple[list, dict[str, torch.Tensor]]:
    masks = [np.arange(part.sequences.n_users) % 3 > 0 for part in corpus]
    net = model(corpus[0], PLAN)
    start_from_rates(net, corpus, masks)
    return fit(net, corpus, PLAN, Split(masks, [~m for m in masks])), net.state_dict()


def test_parts_hold_every_user_once_and_whole():
    log = shards()
    n_events = sum(s.n_events for s in log)
    corpus = prepare(log, heads(), codes(), cut=Cut(1.0, 64, n_events // 5))
    assert len(corpus) > 2
    users = np.concatenate([part.sequences.user_ids for part in corpus])
    assert sorted(users) == sorted(np.concatenate([s.user_ids for s in log]))
    assert sum(part.sequences.n_events for part in corpus) == n_events
    assert len({part.windows.length for part in corpus}) == 1


def test_a_short_log_is_one_part_in_memory(tmp_path: Path):
    corpus = prepare(shards(), heads(), codes(), cut=Cut(context=64), folder=tmp_path / "parts")
    assert len(corpus) == 1
    assert not (tmp_path / "parts").exists()


def test_what_is_stored_is_what_was_prepared(tmp_path: Path):
    options = {"cut": Cut(1.0, 64, 100)}
    here = prepare(shards(), heads(), codes(), **options)
    there = prepare(shards(), heads(), codes(), folder=tmp_path / "parts", **options)
    assert isinstance(there, StoredCorpus)
    assert len(here) == len(there) > 1
    assert all(same(one, other) for one, other in zip(here, there, strict=True))
    (one, weights), (other, same_weights) = losses_of(here), losses_of(there)
    assert one == other
    assert all(torch.equal(weights[name], same_weights[name]) for name in weights)


def test_rates_of_parts_are_those_of_the_whole():
    (whole,) = prepare(shards(), heads(), codes(), cut=Cut(context=64))
    parts = prepare(shards(), heads(), codes(), cut=Cut(1.0, 64, 100))
    nets = [model(whole, PLAN), model(whole, PLAN)]
    for net, corpus in zip(nets, ([whole], parts), strict=True):
        start_from_rates(net, corpus, [np.ones(part.sequences.n_users, bool) for part in corpus])
    for name, value in nets[0].state_dict().items():
        torch.testing.assert_close(nets[1].state_dict()[name], value, rtol=1e-5, atol=1e-6)


def test_parts_are_found_again_but_not_half_made_ones_nor_those_of_another_question(tmp_path: Path):
    folder = tmp_path / "parts"
    options = {"cut": Cut(1.0, 64, 100), "folder": folder}
    prepare(shards(), heads(), codes(), **options)
    made = folder / "part-00000" / "wide.npy"
    first = made.stat().st_mtime_ns
    prepare(shards(), heads(), codes(), **options)
    assert made.stat().st_mtime_ns == first
    (folder / "corpus.json").unlink()  # killed before the end
    n_parts = len(prepare(shards(), heads(), codes(), **options))
    assert made.stat().st_mtime_ns > first
    assert json.loads((folder / "corpus.json").read_text())["parts"] == n_parts
    second = made.stat().st_mtime_ns
    prepare(shards(), heads(end_ms=50 * 86_400_000), codes(), **options)
    assert made.stat().st_mtime_ns > second


@pytest.mark.parametrize("part_events", [100, 10**9])
def test_a_share_of_the_users_goes_by_their_hash(part_events: int):
    corpus = prepare(shards(), heads(), codes(), cut=Cut(0.5, 64, part_events))
    users = np.concatenate([part.sequences.user_ids for part in corpus])
    everyone = np.concatenate([s.user_ids for s in shards()])
    assert sorted(users) == sorted(everyone[folds_of_users(everyone).position < 0.5])
