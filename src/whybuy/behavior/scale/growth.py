"""What the behavior model costs as a log grows, on paper: from a fitted law, counted arithmetic and stated assumptions.

Nothing here is measured. Arithmetic is counted (:mod:`whybuy.behavior.cost`), sizes per event are those of a log that
was ingested, and how fast a machine is, how many watts it draws and how well many of them work together is assumed
where nobody measured it: every assumption is a field below.
"""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch

from whybuy.behavior.corpus import PART_EVENTS
from whybuy.behavior.cost import CPU_WATTS, GPU_WATTS
from whybuy.behavior.folds import N_TWINS
from whybuy.behavior.model import BehaviorModel, ModelShape
from whybuy.behavior.scale.ladder import Ladder, trunk_parameters
from whybuy.behavior.scale.law import ScalingLaw
from whybuy.behavior.sizes import RECIPES
from whybuy.behavior.tokens import HASH_BUCKETS, OWN_BRANDS, OWN_ITEMS, OWN_NODES, Entities
from whybuy.events.partition import EVENTS_PER_SHARD, MAX_SHARDS

_BYTES_OF_A_NUMBER = 4
_COPIES_IN_TRAINING = 4
"""Of every parameter in a training checkpoint: the weights, the best pass, and AdamW's two moments."""


@dataclass(frozen=True)
class Machine:
    """Something to train on.

    Attributes
    ----------
    name : what it is called in tables
    flops_per_s : operations a second that training reaches on one device at ``full_width`` and above
    full_width : narrower models reach their share of it: small products do not fill the device
    watts : of one device under load
    tokens : that one device reads in a step at most; fewer where a short training would have too few steps
    step_s : seconds that no step falls below, however little there is to compute
    devices : how many, each on rows of its own
    efficiency : what is left of a device's speed beside the others
    """

    name: str
    flops_per_s: float
    full_width: int
    watts: float
    tokens: int
    step_s: float = 0.0
    devices: int = 1
    efficiency: float = 1.0

    def hours(self, flops: float, tokens: float, width: int) -> float:
        """Return the hours of one training; NaN where it would have fewer than ``LEAST_STEPS`` steps."""
        allowed = tokens / (LEAST_STEPS * self.devices)
        if allowed < LEAST_TOKENS:
            return float("nan")
        steps = tokens / (self.devices * min(self.tokens, allowed))
        reached = self.flops_per_s * min(1.0, width / self.full_width) * self.devices
        return max(flops / reached, steps * self.step_s) / self.efficiency / 3600

    def kwh(self, hours: float) -> float:
        """Return the energy of ``hours`` on all devices."""
        return hours * self.devices * self.watts / 1000


LEAST_STEPS, LEAST_TOKENS = 200, 4_096
"""A training of fewer steps has hardly warmed up, and a device that reads fewer tokens in a step idles: where both
cannot be had, more devices are of no use."""

GPU_PEAK, GPU_SHARE = 756e12, 0.3
"""Dense bfloat16 peak of an NVIDIA H100 PCIe by its data sheet, and the share of it that training is assumed to reach
(model FLOPs utilization) from a width of 1,024 on."""

GPU_TOKENS, GPU_STEP_S = 32_768, 0.02
"""Assumed tokens of a step on one GPU, and seconds that launching the kernels of a step takes at least."""


def gpus(devices: int, efficiency: float) -> Machine:
    """Return ``devices`` of an H100's class."""
    name = "1 GPU" if devices == 1 else f"{devices} GPUs"
    return Machine(name, GPU_SHARE * GPU_PEAK, 1024, GPU_WATTS, GPU_TOKENS, GPU_STEP_S, devices, efficiency)


def cpu(flops_per_s: float, full_width: int) -> Machine:
    """Return the processor on which ``flops_per_s`` was measured at ``full_width``."""
    return Machine("this CPU, one core", flops_per_s, full_width, CPU_WATTS, LEAST_TOKENS)


GPUS = (gpus(1, 1.0), gpus(8, 0.9), gpus(64, 0.75))


@dataclass(frozen=True)
class LogSizes:
    """What an ingested log takes, per event.

    Attributes
    ----------
    shards, sequences : bytes on disk of the Parquet shards and of the integers made from them
    prepared : bytes of what a model is taught from: tokens, labels, features of history
    tokens : read per event and pass
    """

    shards: float
    sequences: float
    prepared: float
    tokens: float


def advised(law: ScalingLaw, log_events: Iterable[float], *, passes: int) -> pd.DataFrame:
    """Return the size that the law advises for logs of these sizes, a row each.

    A twin is trained on half of the users, so it sees ``passes / 2`` times the log's events. The size is the one for
    which that many events are the right amount (:meth:`ScalingLaw.size_for`), ``recipe`` the one next to it; where
    ``told`` is false, the runs do not tell it and the interval is all there is.
    """
    rows = []
    for n in log_events:
        best = law.size_for(passes * n / N_TWINS)
        recipe = nearest_recipe(best.parameters) if best.told else None
        sizes = {"parameters": best.parameters, "low": best.low, "high": best.high}
        rows.append({"log_events": n, **sizes, "told": best.told, "recipe": recipe})
    return pd.DataFrame(rows)


def training(
    ladder: Ladder, machines: Iterable[Machine], log_events: Iterable[float], *, passes: int, tokens_per_event: float
) -> pd.DataFrame:
    """Return what training both twins takes, one after another: a row per size of the log, recipe and machine."""
    rows = []
    for n, (name, recipe), machine in itertools.product(log_events, RECIPES.items(), machines):
        seen = passes * n / N_TWINS
        flops = seen * float(ladder.of_size(trunk_parameters(recipe.trunk)))
        hours = N_TWINS * machine.hours(flops, tokens_per_event * seen, recipe.trunk.width)
        of_row = {"log_events": n, "recipe": name, "machine": machine.name, "flops": N_TWINS * flops}
        rows.append({**of_row, "hours": hours, "kwh": machine.kwh(hours)})
    return pd.DataFrame(rows)


def nearest_recipe(parameters: float) -> str:
    """Return the recipe whose trunk is nearest in the logarithm of its parameters."""
    return min(RECIPES, key=lambda name: abs(np.log(trunk_parameters(RECIPES[name].trunk) / parameters)))


def storage(sizes: LogSizes, log_events: Iterable[float]) -> pd.DataFrame:
    """Return what logs of these sizes take on disk, and what training on them holds in memory, a row each.

    Memory is that of one prepared part: the pages of others may be dropped by the system.
    """
    rows = []
    for n in log_events:
        shards = min(MAX_SHARDS, max(1, int(np.ceil(n / EVENTS_PER_SHARD))))
        rows.append(
            {
                "log_events": n,
                "shards": shards,
                "events_per_shard": n / shards,
                "parquet": n * sizes.shards,
                "sequences": n * sizes.sequences,
                "prepared": n * sizes.prepared,
                "memory": min(n, PART_EVENTS) * sizes.prepared,
            }
        )
    return pd.DataFrame(rows)


def recipes(ladder: Ladder, shape: ModelShape) -> pd.DataFrame:
    """Return the parameters, arithmetic and files of every recipe, with the heads of ``shape`` and a full catalog."""
    shape = replace(shape, n_entity_rows=1 + OWN_ITEMS + OWN_NODES + OWN_BRANDS + 3 * HASH_BUCKETS)
    rows = []
    for name, recipe in RECIPES.items():
        trunk, embeddings, everything = counted(replace(shape, trunk=recipe.trunk))
        rows.append(
            {
                "recipe": name,
                "width": recipe.trunk.width,
                "depth": recipe.trunk.depth,
                "trunk": trunk,
                "embeddings": embeddings,
                "heads": everything - trunk - embeddings,
                "flops_per_event": float(ladder.of_size(trunk)),
                "weights": _BYTES_OF_A_NUMBER * everything,
                "training_checkpoint": _BYTES_OF_A_NUMBER * _COPIES_IN_TRAINING * everything,
            }
        )
    return pd.DataFrame(rows)


def counted(shape: ModelShape) -> tuple[int, int, int]:
    """Return the parameters of trunk, embeddings and the whole model; nothing is allocated."""
    n = shape.n_items + shape.n_categories + 1
    nothing = Entities(
        parts=np.zeros((n, 4), np.int32),
        text=np.full(n, -1, np.int32),
        item_category=np.zeros(shape.n_items + 1, np.int32),
        n_items=shape.n_items,
        n_categories=shape.n_categories,
        n_rows=shape.n_entity_rows,
    )
    with torch.device("meta"):
        model = BehaviorModel(shape, nothing)

    def size(*modules: torch.nn.Module) -> int:
        return sum(p.numel() for module in modules for p in module.parameters())

    return size(model.trunk), size(model.small, model.entity), size(model)
