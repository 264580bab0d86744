"""Where a model is trained: one device, or several processes that hold it whole (DDP) or in shards (FSDP2).

A sharded weight is a DTensor: this process holds some rows of it. Checkpoints and results hold whole weights and are
the same whatever trained them, so a run that was interrupted may go on with more processes, fewer, or another strategy.
"""

import copy
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.model_parallel import ModelParallelStrategy
from torch import Tensor, distributed, nn

from whybuy.behavior.processes import Processes
from whybuy.errors import ModelError

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh

    from whybuy.behavior.model import BehaviorModel

Strategy = Literal["auto", "ddp", "fsdp"]


def this_machine() -> Fabric:
    """Return one process on the GPU, in bfloat16 where it has that, or on the CPU, in single precision."""
    return Fabric(accelerator="auto", devices=1, precision=_precision())


def all_processes(strategy: Strategy) -> Fabric:
    """Return all processes of this run, each on a device of its own; one on this machine where it is alone.

    Raises
    ------
    ModelError
        A machine has fewer GPUs than processes, or the command that started them asks for another strategy.
    """
    here = Processes.here()
    if here.alone:
        return this_machine()
    has_gpu = torch.cuda.is_available()
    n_gpus = torch.cuda.device_count() if has_gpu else 0
    if has_gpu and n_gpus < here.on_machine:
        raise ModelError.of(
            found=f"{here.on_machine} processes were started on a machine with {n_gpus} GPU{'s' * (n_gpus > 1)}",
            needed="a GPU for each process",
            do=f"Start torchrun with --nproc-per-node {n_gpus}",
        )
    # Fabric tells of every group it makes, on standard error.
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    chosen = ModelParallelStrategy(_shard, here.world, 1) if strategy == "fsdp" else "ddp"
    if os.environ.get("LT_CLI_USED") == "1":
        return _as_fabric_run_says(chosen)
    fabric = Fabric(
        accelerator="cuda" if has_gpu else "cpu",
        strategy=chosen,
        devices=here.on_machine,
        num_nodes=here.machines,
        precision=_precision(),
    )
    fabric.launch()
    return fabric


def _as_fabric_run_says(strategy: ModelParallelStrategy | str) -> Fabric:
    """Return the processes of `fabric run`: it hands its options to Fabric itself and refuses a second opinion."""
    if "LT_STRATEGY" in os.environ:
        raise ModelError.of(
            found=f"`fabric run` was given --strategy {os.environ['LT_STRATEGY']}",
            needed="the strategy of the config",
            do='Leave the option out and set [behavior] strategy = "ddp" or "fsdp" in whybuy.toml',
        )
    return Fabric(strategy=strategy, precision=None if "LT_PRECISION" in os.environ else _precision())


@contextmanager
def deterministic() -> Iterator[None]:
    """Take sums in the same order every time.

    Sums taken in another order differ in the last bit, and training lets that grow: without this a run that was killed
    and started again would not end where an undisturbed one does.
    """
    memory: Any = torch.utils.deterministic
    before = torch.are_deterministic_algorithms_enabled(), memory.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True)
    # Memory that nobody has written is read by nobody here; filling it took a quarter of a small step.
    memory.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        memory.fill_uninitialized_memory = before[1]


def part() -> None:
    """End the process group after training: what follows is for the first process alone."""
    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


def set_up(
    model: "BehaviorModel", optimizer_of: Callable[["BehaviorModel"], torch.optim.Optimizer], fabric: Fabric
) -> tuple["BehaviorModel", Any, Any]:
    """Return the model that is trained, the same as Fabric calls it, and its optimizer."""
    if not isinstance(fabric.strategy, ModelParallelStrategy):
        return model, *fabric.setup(model, optimizer_of(model))
    # Sharding puts shards in the place of a model's weights for good: the caller's own model stays whole.
    sharded = copy.deepcopy(model)
    wrapped = fabric.setup_module(sharded)
    return sharded, wrapped, fabric.setup_optimizers(optimizer_of(sharded))


def whole(value: Any, *, keep: bool = True) -> Any:
    """Return ``value`` with every sharded tensor in it gathered on the CPU; all processes must call it alike.

    A process that does not ``keep`` them helps to gather them one by one and holds none.
    """
    if isinstance(value, dict):
        return {key: whole(part, keep=keep) for key, part in value.items()}
    if isinstance(value, list):
        return [whole(part, keep=keep) for part in value]
    if not _is_sharded(value):
        return value
    found = value.full_tensor()
    return found.cpu() if keep else None


def load_weights(model: nn.Module, weights: dict[str, Tensor]) -> None:
    """Put whole weights into ``model``, of each the rows that this process holds."""
    own = model.state_dict()
    model.load_state_dict({name: _like(own[name], value) for name, value in weights.items()})


def load_optimizer(optimizer: Any, state: dict[str, Any]) -> None:
    """Put the whole state of an optimizer into ``optimizer``, of each the rows that this process holds."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    moments = {
        number: {name: _like(parameters[number], value) for name, value in of_one.items()}
        for number, of_one in state["state"].items()
    }
    optimizer.load_state_dict({**state, "state": moments})


def random_states(fabric: Fabric) -> list[dict[str, Tensor]]:
    """Return what the random numbers of every process go on from."""
    mine = {"cpu": torch.get_rng_state()}
    if fabric.device.type == "cuda":
        mine["cuda"] = torch.cuda.get_rng_state(fabric.device)
    if fabric.world_size == 1:
        return [mine]
    found: list[Any] = [None] * fabric.world_size
    distributed.all_gather_object(found, mine)
    return found


def set_random_state(states: list[dict[str, Tensor]], fabric: Fabric) -> None:
    """Let this process's random numbers go on from where they stood."""
    mine = states[fabric.global_rank % len(states)]
    torch.set_rng_state(mine["cpu"])
    if "cuda" in mine and fabric.device.type == "cuda":
        torch.cuda.set_rng_state(mine["cuda"], fabric.device)


def from_first(value: Any, fabric: Fabric) -> Any:
    """Return the first process's ``value``, in which others may differ: a clock, the last bit of a sum."""
    return value if fabric.world_size == 1 else fabric.broadcast(value)


def all_at(step: int, fabric: Fabric) -> None:
    """Make sure that all processes begin at the same step.

    Raises
    ------
    ModelError
        They found different checkpoints.
    """
    if fabric.world_size == 1:
        return
    steps: list[Any] = [None] * fabric.world_size
    distributed.all_gather_object(steps, step)
    if len(set(steps)) > 1:
        raise ModelError.of(
            found=f"The processes would go on from different steps ({', '.join(map(str, steps))})",
            needed="one checkpoint that all of them see",
            do="Put the workspace into a folder that all machines share, or wait until they see the same files",
        )


def _precision() -> Literal["bf16-mixed", "32-true"]:
    return "bf16-mixed" if torch.cuda.is_available() and torch.cuda.is_bf16_supported() else "32-true"


def _shard(model: "BehaviorModel", mesh: "DeviceMesh") -> "BehaviorModel":
    """Shard the blocks one by one, so that a block is whole only while it computes, and all else with the root."""
    from torch.distributed.fsdp import fully_shard

    for module in (*model.trunk.blocks, model):
        fully_shard(module, mesh=mesh["data_parallel"])
    return model


def _is_sharded(value: Any) -> bool:
    if not distributed.is_available():
        return False
    from torch.distributed.tensor import DTensor

    return isinstance(value, DTensor)


def _like(own: Any, value: Tensor) -> Any:
    """Return ``value`` sharded as ``own`` is, where that is sharded and of the same shape."""
    if not _is_sharded(own) or own.shape != value.shape:
        return value
    from torch.distributed.tensor import distribute_tensor

    # Every process has read the whole tensor: nothing needs to be sent.
    return distribute_tensor(value.to(own.device), own.device_mesh, own.placements, src_data_rank=None)
