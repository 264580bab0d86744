"""Next-item ranking over the whole catalog: ours, the baselines, and RecTools' SASRec and eSASRec in the same run.

    .venv/bin/python benchmarks/ranking.py --sets beauty --seeds 3 --peer-seeds 1 --json

Leave-one-out: the last item of every user is asked for, the one before it chooses among settings and weights, and
nobody is trained on either. Sets named "later": what is asked for is the first item of everyone after nine tenths of
the events; the last tenth before that chooses. Every cell (set, model, seed) is written into ``--measured`` when it is
done, so a run that was stopped goes on. Every peer trains for as many seconds of processor time as ours did on the set,
on as many threads: other work on the machine stretches both alike.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "0")

sys.path.insert(0, str(Path(__file__).parents[1]))

import duckdb
import numpy as np
import pandas as pd
from benchmarks.inputs.ingested import DATA, ROOT, demo, ingested, proposed

from whybuy.behavior.baselines.counts import ItemKNN, Markov, Popular
from whybuy.behavior.baselines.mixture import Member, Mixture
from whybuy.behavior.baselines.ranking import Ranker, RankingTask, evaluate, leave_one_out, own_items, time_split
from whybuy.behavior.sequence_ranker import SequenceRanker
from whybuy.behavior.sizes import TrainingPlan, Weights
from whybuy.behavior.transformer import TrunkShape
from whybuy.config import Config, config_from_dict
from whybuy.events.sequences import Sequences, SequenceStore, concatenate

PEERS = {
    "SASRec": ["--model", "sasrec"],
    "SASRec, sampled softmax": ["--model", "sasrec", "--loss", "sampled_softmax"],
    "eSASRec": ["--model", "esasrec"],
}
METRICS = ("ndcg@10", "hr@10")
NEXT_ITEM = Weights(
    propensity=0, outcome=0, outcome_anywhere=0, forecast=0, amount=0, gap=0.1, action=0.1, category=0.1, item=1.0
)
PLAN = TrainingPlan(
    trunk=TrunkShape(width=64, depth=2, heads=2, dropout=0.3, time_aware=False),
    context=64,
    rows=32,
    epochs=40,
    learning_rate=2e-3,
    weights=NEXT_ITEM,
    negatives=1024,
    patience=99,
)


def amazon(name: str, folder: Path) -> dict[str, Any]:
    """A log in order, with the item's attributes as its category path, the commonest first."""
    data = DATA / "amazon_2014_5core"
    items = folder / "items.parquet"
    duckdb.sql(
        f"""COPY (WITH a AS (SELECT item_id, attribute_id, count(*) OVER (PARTITION BY attribute_id) AS n
                             FROM '{data}/{name}_item_attributes.parquet')
                  SELECT item_id, string_agg('a' || attribute_id, '/' ORDER BY n DESC, attribute_id) AS category
                  FROM a GROUP BY item_id) TO '{items}'"""
    )
    columns = {"user_id": "user_id", "item_id": "item_id", "ts": "position"}
    events = {
        "path": str(data / f"{name}_interactions.parquet"),
        "time": "order",
        "columns": columns,
        "constants": {"action": "review"},
    }
    return {
        "events": [events],
        "items": {"path": str(items), "columns": {"item_id": "item_id", "category": "category"}},
    }


def movielens(folder: Path) -> dict[str, Any]:
    """Ratings with times; the genres are the category path, the commonest first."""
    data = DATA / "movielens_100k"
    items = folder / "items.parquet"
    duckdb.sql(
        f"""COPY (WITH g AS (SELECT item_id, unnest(string_split(genres, '|')) AS genre FROM '{data}/items.parquet'),
                       n AS (SELECT *, count(*) OVER (PARTITION BY genre) AS n FROM g)
                  SELECT item_id, string_agg(genre, '/' ORDER BY n DESC, genre) AS category
                  FROM n GROUP BY item_id) TO '{items}'"""
    )
    columns = {"user_id": "user_id", "item_id": "item_id", "ts": "timestamp", "rating": "rating"}
    events = {"path": str(data / "ratings.parquet"), "columns": columns, "constants": {"action": "rating"}}
    return {
        "events": [events],
        "items": {"path": str(items), "columns": {"item_id": "item_id", "category": "category"}},
        "users": {"path": str(data / "users.parquet"), "columns": {"user_id": "user_id"}},
    }


@dataclass(frozen=True)
class Bench:
    """A set: where it is from, whether it has times, whether later items are asked for, and passes of training."""

    config: Callable[[Path], Config]
    timed: bool = True
    later: bool = False
    epochs: int = 40


def mapped(entries: Callable[[Path], dict[str, Any]]) -> Callable[[Path], Config]:
    """A config from its entries."""
    return lambda folder: config_from_dict(entries(folder), base=folder)


SETS = {
    "beauty": Bench(mapped(lambda folder: amazon("beauty", folder)), timed=False),
    "sports": Bench(mapped(lambda folder: amazon("sports", folder)), timed=False),
    "toys": Bench(mapped(lambda folder: amazon("toys", folder)), timed=False),
    "movielens_100k": Bench(mapped(movielens)),
    "movielens_100k_later": Bench(mapped(movielens), later=True, epochs=15),
    "taobao_later": Bench(lambda folder: proposed("taobao_userbehavior_100k", folder), later=True, epochs=15),
    "demo_later": Bench(demo, later=True, epochs=10),
    "online_retail_ii_later": Bench(lambda folder: proposed("online_retail_ii", folder), later=True, epochs=5),
}


def tasks(name: str, sequences: Sequences) -> tuple[RankingTask, RankingTask]:
    """What is asked in the end, and what chooses."""
    if not SETS[name].later:
        return leave_one_out(sequences), leave_one_out(sequences, validation=True)
    test = time_split(sequences, at_ms=int(np.quantile(np.asarray(sequences.ts_ms), 0.9)))
    return test, time_split(test.train, at_ms=int(np.quantile(np.asarray(test.train.ts_ms), 0.9)))


def opened(name: str, cache: Path) -> SequenceStore:
    """The set's sequences, ingested once."""
    folder = cache / name
    return ingested(lambda: SETS[name].config(folder), folder)[1]


def judged(ranker: Ranker, task: RankingTask, name: str) -> dict[str, float]:
    """Metrics with and without what the user has had."""
    found = {}
    for key, hide in (("all", False), ("unseen", True)):
        result = evaluate(ranker, task, name=name, hide_seen=hide)
        found |= {f"{metric} {key}": result.mean(metric) for metric in METRICS}
    return found


def ours(name: str, cache: Path, seed: int, epochs: int | None) -> Iterator[tuple[str, dict[str, float]]]:
    """The Transformer, the baselines and their mixture, all trained on the same events."""
    store = opened(name, cache)
    sequences: Sequences = concatenate(list(store))
    n_items = len(store.vocabulary.items)
    test, validation = tasks(name, sequences)
    bench = SETS[name]
    plan = replace(PLAN, seed=seed, epochs=epochs or bench.epochs)
    if bench.timed:
        plan = replace(plan, trunk=replace(plan.trunk, time_aware=True), context=256, rows=16)
    start, worked = time.perf_counter(), time.process_time()
    ranker, _ = SequenceRanker.trained(validation.train, store.vocabulary, plan)
    seconds, worked = time.perf_counter() - start, time.process_time() - worked
    speed = {"seconds": seconds, "cpu_seconds": worked, "events/s": plan.epochs * validation.train.n_events / seconds}
    yield "Transformer", judged(ranker, test, "Transformer") | speed
    if bench.timed:
        yield "Transformer, time unknown", judged(replace(ranker, knows_time=False), test, "time unknown") | speed
    counts: list[Member] = []
    for baseline, options in ((Popular, {"has_times": bench.timed}), (Markov, {}), (ItemKNN, {})):
        fitted = baseline.tuned(validation.train, validation, n_items=n_items, **options)
        if baseline is not Popular or bench.timed:  # the chain is smoothed towards plain popularity
            counts.append(Member(baseline.__name__, fitted))
        if seed == 1:
            yield baseline.__name__, judged(fitted, test, baseline.__name__)
    mixture = Mixture.tuned((Member("Transformer", ranker, logs=True), *counts), validation)
    weights = {f"weight {m.name}": w for m, w in zip(mixture.members, mixture.weights, strict=True)}
    yield "Transformer + memory", judged(mixture, test, "mixture") | speed | weights


def peer(model: str, name: str, cache: Path, seed: int, budget: float) -> dict[str, float]:
    """RecTools' model on the same events and questions, in its own environment."""
    from benchmarks.peers.environment import environment

    sequences = concatenate(list(opened(name, cache)))
    test, _ = tasks(name, sequences)
    train = test.train
    events = pd.DataFrame(
        {"user": train.event_user, "item": np.asarray(train.item), "position": np.arange(train.n_events)}
    )
    events = events[own_items(train)]  # peers read items only
    asked = pd.Index(train.user_ids).get_indexer(test.history.user_ids)
    targets = pd.DataFrame({"user": asked, "item": test.target})
    folder = cache / name
    events.to_parquet(folder / "events.parquet")
    targets.to_parquet(folder / "targets.parquet")
    words = [
        str(environment("rectools")), str(ROOT / "benchmarks" / "peers" / "rectools_ranker.py"), *PEERS[model],
        "--interactions", str(folder / "events.parquet"), "--targets", str(folder / "targets.parquet"),
        "--seed", str(seed), "--budget-cpu-seconds", f"{budget:.0f}", "--output", str(folder / "peer.json"),
        "--threads", "2", "--validation-users", "2000",
    ]  # fmt: skip
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.strip().splitlines()[-1])
    metrics = {
        f"{m} {key}": found[part][m]
        for key, part in (("all", "seen_kept"), ("unseen", "seen_filtered"))
        for m in METRICS
    }
    speed = {"seconds": found["seconds"], "cpu_seconds": found["cpu_seconds"], "events/s": found["events_per_second"]}
    return metrics | speed | {"epochs": found["epochs"]}


def run(args: argparse.Namespace) -> pd.DataFrame:
    """Every cell, from the cache where it is there."""
    cells = args.measured
    cells.parent.mkdir(parents=True, exist_ok=True)
    kept: dict[str, Any] = json.loads(cells.read_text()) if cells.exists() else {}

    def keep(name: str, model: str, seed: int, values: dict[str, float]) -> None:
        kept[f"{name}|{model}|{seed}"] = values
        cells.write_text(json.dumps(kept, indent=1))
        print(name, model, seed, {k: round(v, 4) for k, v in values.items()}, file=sys.stderr, flush=True)

    for name in args.sets:
        for seed in range(1, args.seeds + 1):
            if f"{name}|Transformer + memory|{seed}" not in kept:
                for model, values in ours(name, args.cache, seed, args.epochs):
                    keep(name, model, seed, values)
        for seed in range(1, args.peer_seeds + 1):
            taken = [
                v["cpu_seconds"] for k, v in kept.items() if k.startswith(f"{name}|Transformer|") and "cpu_seconds" in v
            ]
            for model in PEERS:
                if f"{name}|{model}|{seed}" not in kept:
                    keep(name, model, seed, peer(model, name, args.cache, seed, budget=float(np.mean(taken))))
    rows = [dict(zip(("set", "model", "seed"), key.split("|"), strict=True)) | values for key, values in kept.items()]
    frame = pd.DataFrame(rows)
    return frame[frame["set"].isin(args.sets)].drop(columns="seed").groupby(["set", "model"], sort=False).mean()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--peer-seeds", type=int, default=3, help="seeds of the peers; 0 leaves them out")
    parser.add_argument("--epochs", type=int, help="of ours; the plan's by default")
    parser.add_argument("--cache", type=Path, default=ROOT / "build" / "ranking")
    parser.add_argument("--measured", type=Path, default=ROOT / "benchmarks" / "measured" / "ranking.json")
    args = parser.parse_args()
    args.cache.mkdir(parents=True, exist_ok=True)
    table = run(args)
    print(table.round(4).to_string(), file=sys.stderr)
    means = table["ndcg@10 all"].groupby(level="model").mean()
    best_peer = max((means[m] for m in PEERS if m in means.index), default=float("nan"))
    line = {
        "name": "ranking",
        "ours": float(means["Transformer + memory"]),
        "peer": None if np.isnan(best_peer) else float(best_peer),
        "ratio": float(means["Transformer + memory"] / best_peer) if best_peer > 0 else None,
        "unit": "ndcg@10",
        "agree": 0.0,
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
