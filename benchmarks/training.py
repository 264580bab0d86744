"""Training speed: events a second against RecTools' SASRec, and against the same matrix products alone.

    .venv/bin/python benchmarks/training.py --json

Amazon Beauty; width 64, one block, length 50 and sampled softmax on both sides, as the published settings have it. The
second figure is the recipe ``small`` on the same events: operations a second over those that its products alone reach.
"""

import argparse
import json
import os
import sys
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "0")

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from benchmarks.ranking import PLAN, ROOT, opened, peer

from whybuy.behavior.baselines.ranking import leave_one_out
from whybuy.behavior.cost import StepSize, reached_alone, training_flops
from whybuy.behavior.sequence_ranker import SequenceRanker
from whybuy.behavior.sizes import RECIPES, TrainingPlan
from whybuy.behavior.transformer import TrunkShape
from whybuy.events.sequences import SequenceStore, concatenate

SAME = replace(
    PLAN, trunk=TrunkShape(width=64, depth=1, heads=1, dropout=0.2, time_aware=False), negatives=256, epochs=2
)


def speed(store: SequenceStore, plan: TrainingPlan) -> tuple[float, float, float]:
    """Events a second, operations a second, and those of the same products alone."""
    train = leave_one_out(concatenate(list(store)), validation=True).train
    ranker, losses = SequenceRanker.trained(train, store.vocabulary, plan)
    last = losses[-1]  # the first pass warms up
    length = 64
    rows = last.tokens / length
    steps = rows / plan.rows
    step = StepSize(
        plan.rows, length, round(last.decisions / steps), round(last.decisions / steps), plan.negatives or 0
    )
    flops = training_flops(ranker.model.shape, step) * steps
    return train.n_events / last.seconds, flops / last.seconds, reached_alone(ranker.model.shape, step)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--budget", type=int, default=90, help="seconds of training for the peer")
    parser.add_argument("--cache", type=Path, default=ROOT / "build" / "ranking")
    args = parser.parse_args()
    torch.set_num_threads(2)
    args.cache.mkdir(parents=True, exist_ok=True)
    store = opened("beauty", args.cache)
    ours, _, _ = speed(store, SAME)
    small = replace(SAME, trunk=replace(RECIPES["small"].trunk, time_aware=False), rows=64)
    _, reached, bound = speed(store, small)
    theirs = peer("SASRec, sampled softmax", "beauty", args.cache, seed=1, budget=args.budget)["events/s"]
    line = {
        "name": "training",
        "ours": ours,
        "peer": theirs,
        "ratio": ours / theirs,
        "unit": "events/s",
        "agree": 0.0,
        "small_gflops": reached / 1e9,
        "small_products_alone_gflops": bound / 1e9,
        "small_utilization": reached / bound,
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
