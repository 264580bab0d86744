"""Trains the small model of the tests with Fabric, alone or under torchrun: ``two_processes.py OUT STRATEGY``."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric

from tests.behavior.small_models import TRUNK, examples, model
from tests.events.sequences_by_hand import random_sequences
from whybuy.behavior.rates import start_from_rates
from whybuy.behavior.sizes import TrainingPlan
from whybuy.behavior.train import Split, fit


def main(out: Path, strategy: str) -> None:
    torch.set_num_threads(1)
    alone = strategy == "none"
    fabric = Fabric(accelerator="cpu", devices=1 if alone else 2, strategy="auto" if alone else strategy)
    fabric.launch()
    data = examples(random_sequences(np.random.default_rng(8), n_users=25), context=64)
    half = np.arange(data.sequences.n_users) % 3 > 0
    plan = TrainingPlan(trunk=replace(TRUNK), epochs=3, rows=3, learning_rate=1e-2, context=64, negatives=2)
    net = model(data, plan)
    start_from_rates(net, [data], [half])
    losses = fit(net, [data], plan, Split([half], [~half]), fabric=fabric)
    if fabric.global_rank == 0:
        out.write_text(json.dumps([[e.train, e.validation, *e.parts.values()] for e in losses]), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
