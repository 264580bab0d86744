"""Trains the small model of the tests, alone or under torchrun: ``two_processes.py OUT STRATEGY [--kill-at STEP]``.

With a checkpoint beside OUT it goes on from there; the weights are written beside OUT too.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from tests.behavior.small_models import TRUNK, examples, model
from tests.events.sequences_by_hand import random_sequences
from whybuy.behavior.checkpoint import Checkpoint
from whybuy.behavior.devices import all_processes
from whybuy.behavior.rates import start_from_rates
from whybuy.behavior.sizes import TrainingPlan
from whybuy.behavior.train import Split, Watch, fit


class KilledError(Exception):
    pass


def main() -> None:
    words = argparse.ArgumentParser()
    words.add_argument("out", type=Path)
    words.add_argument("strategy", choices=["ddp", "fsdp"])
    words.add_argument("--kill-at", type=int, default=10**9)
    words.add_argument("--dropout", type=float, default=0.0)
    words.add_argument("--accumulate", type=int, default=1)
    asked = words.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(mode=True)
    fabric = all_processes(asked.strategy)
    data = examples(random_sequences(np.random.default_rng(8), n_users=25), context=64)
    half = np.arange(data.sequences.n_users) % 3 > 0
    plan = TrainingPlan(
        trunk=replace(TRUNK, dropout=asked.dropout),
        epochs=3,
        rows=3,
        learning_rate=1e-2,
        context=64,
        negatives=2,
        accumulate=asked.accumulate,
    )
    net = model(data, plan)
    start_from_rates(net, [data], [half])

    def kill(task: str, done: float, total: float, note: str = "") -> None:
        if done > asked.kill_at:
            raise KilledError

    # Only the clock of the first process counts: were it each one's own, they would wait for each other for good.
    place = Checkpoint(asked.out.with_suffix(".checkpoint"), {}, every_s=0 if fabric.global_rank == 0 else 1e9)
    watch = Watch(kill, checkpoint=place)
    losses = fit(net, [data], plan, Split([half], [~half]), fabric=fabric, watch=watch)
    if fabric.global_rank == 0:
        found = [[e.train, e.validation, *e.parts.values()] for e in losses]
        asked.out.write_text(json.dumps(found), encoding="utf-8")
        save_file(net.state_dict(), asked.out.with_suffix(".safetensors"))


if __name__ == "__main__":
    main()
