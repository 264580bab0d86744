"""The lift model as files: numbers in ``lifts.safetensors``, the graph of nearest items beside it."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from whybuy.errors import ModelError
from whybuy.recommend.nearest import NearestItems
from whybuy.recommend.personal.covariates import Items
from whybuy.recommend.personal.learn import PersonalLifts
from whybuy.recommend.personal.model import LiftModel
from whybuy.recommend.personal.network import Network
from whybuy.recommend.personal.ratios import Ratios

NUMBERS, GRAPH = "lifts.safetensors", "nearest.usearch"
_ITEMS = ("category", "brand", "log_price")


@dataclass(frozen=True, eq=False)
class Opened:
    """What answers need: the lifts, and which items lie nearest to what a person did."""

    lifts: PersonalLifts
    nearest: NearestItems


def save(lifts: PersonalLifts, folder: Path) -> None:
    """Write the model into ``folder``, each file atomically."""
    model = lifts.model
    arrays = {
        "vectors": lifts.vectors,
        "prior": model.ratios.prior,
        "posterior": model.ratios.posterior,
        "n_shown": model.n_shown,
        **{f"items.{name}": getattr(lifts.items, name) for name in _ITEMS},
    }
    tensors = {name: torch.as_tensor(np.ascontiguousarray(array)) for name, array in arrays.items()}
    for k, network in enumerate(model.networks):
        tensors |= {f"network.{k}.{name}": part.contiguous() for name, part in network.state_dict().items()}
    told = {
        "widths": model.networks[0].widths,
        "n_networks": len(model.networks),
        "spread": model.spread,
        "windows_ms": lifts.windows_ms,
        "horizon_ms": lifts.horizon_ms,
    }
    part = folder / f".{NUMBERS}.part"
    save_file(tensors, part, metadata={"whybuy": json.dumps(told)})
    part.replace(folder / NUMBERS)
    NearestItems.build(lifts.vectors).save(folder / GRAPH)


def is_saved(folder: Path) -> bool:
    """Whether ``folder`` holds a lift model."""
    return (folder / NUMBERS).exists()


def load(folder: Path) -> Opened:
    """Return what :func:`save` wrote.

    Raises
    ------
    ModelError
        A file is missing or damaged.
    """
    try:
        with safe_open(folder / NUMBERS, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
            told = json.loads(file.metadata()["whybuy"])
    except (OSError, SafetensorError, KeyError, TypeError) as error:
        raise ModelError.of(
            found=f"{folder / NUMBERS} is missing or damaged",
            needed="the lifts that the recommend stage wrote",
            do="Run `whybuy run --again` to learn them again",
        ) from error
    networks = []
    for k in range(told["n_networks"]):
        network, start = Network(*told["widths"]), f"network.{k}."
        network.load_state_dict({name.removeprefix(start): x for name, x in tensors.items() if name.startswith(start)})
        networks.append(network.eval())
    arrays = {name: tensor.numpy() for name, tensor in tensors.items() if not name.startswith("network.")}
    model = LiftModel(
        networks=tuple(networks),
        ratios=Ratios(arrays["prior"], arrays["posterior"]),
        spread=told["spread"],
        n_shown=arrays["n_shown"],
    )
    lifts = PersonalLifts(
        model=model,
        items=Items(*(arrays[f"items.{name}"] for name in _ITEMS)),
        vectors=arrays["vectors"],
        windows_ms=tuple(told["windows_ms"]),
        horizon_ms=told["horizon_ms"],
    )
    return Opened(lifts, NearestItems.load(folder / GRAPH))
