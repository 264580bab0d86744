"""The training loop: read it from top to bottom in :func:`fit`.

AdamW with warm-up and cosine, clipping, one pass after another over packed rows in an order drawn from the seed; the
pass with the best held-out loss is kept. Positions without full follow-up teach no outcome; moments that are outcome a
themselves do not teach the trials' head for a. Everything that the rest of a run depends on is in its checkpoint, so a
run that was killed and goes on ends with the same bits as one that was not. Devices, precision and several processes
are Lightning Fabric's.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from lightning_fabric import Fabric
from torch import Tensor

from whybuy.behavior.batch import Batch
from whybuy.behavior.checkpoint import Checkpoint
from whybuy.behavior.devices import (
    all_at,
    from_first,
    load_optimizer,
    load_weights,
    random_states,
    set_random_state,
    set_up,
    this_machine,
    whole,
)
from whybuy.behavior.examples import Examples
from whybuy.behavior.model import BehaviorModel, Losses
from whybuy.behavior.packing import Packed
from whybuy.behavior.sizes import TrainingPlan
from whybuy.errors import ModelError
from whybuy.events.sequences import Bools, Ints
from whybuy.progress import Report, quiet

VALIDATION_SHARE = 0.1
_CLIP = 1.0


@dataclass(frozen=True)
class EpochLoss:
    """Losses of one pass, nats per decision.

    Attributes
    ----------
    train : the weighted sum that is minimized, mean over the pass
    validation : the sum of the losses that choose the pass
    parts : every held-out loss by name
    tokens, decisions : read in the pass
    seconds : that this process trained in the pass, without what an interrupted one did before
    """

    epoch: int
    train: float
    validation: float
    parts: dict[str, float]
    tokens: int
    decisions: int
    seconds: float = field(compare=False)


@dataclass
class Progress:
    """Where a run stands; with the weights, the optimizer and the random numbers, all that its rest depends on."""

    epoch: int = 0
    step_in_epoch: int = 0
    step: int = 0
    total: float = 0.0
    weight: float = 0.0
    tokens: int = 0
    tokens_before: int = 0
    best: float = math.inf
    waited: int = 0

    def add(self, loss: float, decisions: float, tokens: int) -> None:
        """Count one step."""
        self.step, self.step_in_epoch = self.step + 1, self.step_in_epoch + 1
        self.total, self.weight, self.tokens = self.total + loss, self.weight + decisions, self.tokens + tokens

    def next_epoch(self, best: float, *, waited: int) -> "Progress":
        """Return the beginning of the next pass."""
        tokens = self.tokens
        return Progress(self.epoch + 1, 0, self.step, tokens=tokens, tokens_before=tokens, best=best, waited=waited)

    def loss(self, judged: float, parts: dict[str, float], seconds: float) -> "EpochLoss":
        """Return the losses of the pass that ends here."""
        mean, tokens = self.total / max(self.weight, 1), self.tokens - self.tokens_before
        return EpochLoss(self.epoch + 1, mean, judged, parts, tokens, int(self.weight), seconds)


@dataclass(frozen=True)
class Split:
    """Who teaches, and who judges the passes.

    Attributes
    ----------
    train, held_out : (n_users,) masks of users, one per part of the corpus
    later : what the held-out users are asked, the same as is taught where None; with the second half of
        :meth:`Examples.split_in_time` and everyone on both sides, passes are judged by what came later
    """

    train: Sequence[Bools]
    held_out: Sequence[Bools]
    later: Sequence[Examples] | None = None


@dataclass(frozen=True)
class Watch:
    """Who looks on while a model is trained.

    Attributes
    ----------
    report : progress, drawn live
    task : the name of the bar
    checkpoint : where to keep and find what an interrupted run needs
    log : called with (figures by name, step) after every pass
    """

    report: Report = quiet
    task: str = "train"
    checkpoint: Checkpoint | None = None
    log: Callable[[dict[str, float], int], None] | None = None


@dataclass(frozen=True)
class _Run:
    """What every step needs; ``model`` is what is trained, ``wrapped`` the same as Fabric calls it."""

    model: BehaviorModel
    wrapped: Any
    optimizer: Any
    plan: TrainingPlan
    fabric: Fabric


def fit(
    model: BehaviorModel,
    corpus: Sequence[Examples],
    plan: TrainingPlan,
    split: Split,
    *,
    fabric: Fabric | None = None,
    watch: Watch | None = None,
) -> list[EpochLoss]:
    """Train ``model`` in place and return the losses of every pass.

    Parameters
    ----------
    corpus : parts of whole users, see :func:`whybuy.behavior.corpus.prepare`; one is read after another
    split : who teaches and who judges the passes
    fabric : devices and processes; one process on this machine's best device where None
    watch : who looks on; with a checkpoint of the same run, training goes on from there

    Raises
    ------
    ModelError
        The loss is not a number, or memory does not suffice.
    """
    fabric, watch = fabric or this_machine(), watch or Watch()
    torch.manual_seed(plan.seed + fabric.global_rank)  # each process drops its own channels
    run = _Run(*set_up(model, lambda m: _optimizer(m, plan), fabric), plan, fabric)
    schedule = _Schedule(plan, n_steps=max(1, plan.epochs * _steps_of_a_pass(corpus, plan, split.train)))
    at, losses, best = _restore(run, watch.checkpoint)
    clock = _Clock(at)
    while at.epoch < plan.epochs and at.waited < plan.patience:
        run.model.train()
        began = time.monotonic()
        for examples, packed in _epoch(corpus, plan, split.train, at.epoch, skip=at.step_in_epoch):
            for group in run.optimizer.param_groups:
                group["lr"] = schedule(at.step)
            at.add(*_step(run, examples, packed, at))
            watch.report(watch.task, at.step, schedule.n_steps, clock.note(at, plan, losses))
            if watch.checkpoint is not None and from_first(clock.is_due(watch.checkpoint), fabric):
                _save(run, watch.checkpoint, at, losses, best)
        seconds = time.monotonic() - began
        parts = from_first(evaluate(run.model, split.later or corpus, plan, split.held_out), fabric)
        judged = sum(parts[name] for name in plan.judged_by)
        losses.append(at.loss(judged, parts, seconds))
        if watch.log is not None:
            watch.log({"train": losses[-1].train, **{f"held out {k}": v for k, v in parts.items()}}, at.step)
        is_best = judged <= at.best or math.isnan(judged)  # nothing to judge on: the last pass is kept
        best = _copy(run.model) if is_best else best
        at = at.next_epoch(min(judged, at.best), waited=0 if is_best else at.waited + 1)
    watch.report(watch.task, 1, 1, clock.note(at, plan, losses))
    if watch.checkpoint is not None:
        _save(run, watch.checkpoint, at, losses, best)
    model.load_state_dict(whole(best))
    model.cpu().eval()
    return losses


def _step(run: _Run, examples: Examples, packed: Packed, at: Progress) -> tuple[float, float, int]:
    """Take one optimizer step on the rows of ``packed``; return the summed loss, decisions and tokens it is over."""
    fabric, plan, world = run.fabric, run.plan, run.fabric.world_size
    n_decisions = len(_decided(examples, packed))
    negatives = _negatives(run.model, plan, at.step)
    total = 0.0
    for number in range(plan.accumulate):
        part = packed.share(fabric.global_rank + world * number, world * plan.accumulate)
        with fabric.no_backward_sync(run.wrapped, enabled=number + 1 < plan.accumulate):
            # A process without a row of its own reads another's for nothing: all must meet in the backward pass.
            batch, _ = examples.batch(part if len(part.chosen) else packed, decided=True)
            losses = _guarded(run.wrapped, batch.to(fabric.device), negatives, plan)
            loss = weighted(losses, plan) * float(len(part.chosen) > 0)
            # Gradients are averaged over processes, so each counts its rows as if they were all.
            fabric.backward(loss * (world / max(n_decisions, 1)))
        total += float(loss.detach())
    if world > 1:
        summed: Any = fabric.all_reduce(torch.tensor(total, dtype=torch.float64), reduce_op="sum")
        total = float(summed)
    if not math.isfinite(total):
        raise ModelError.of(
            found=f"The training loss became {total} in pass {at.epoch + 1}, step {at.step + 1}",
            needed="a finite loss",
            do="Nothing was overwritten; check prices and times with `whybuy check`, or train with a smaller size",
        )
    fabric.clip_gradients(run.wrapped, run.optimizer, max_norm=_CLIP, error_if_nonfinite=False)
    run.optimizer.step()
    run.optimizer.zero_grad(set_to_none=True)
    return total, float(n_decisions), int(packed.windows.tokens[packed.chosen].sum())


def weighted(losses: Losses, plan: TrainingPlan) -> Tensor:
    """Return the sum that is minimized."""
    weights = asdict(plan.weights)
    total: Tensor = sum((weights[name] * value for name, value in losses._asdict().items()), torch.zeros(()))
    return total


def evaluate(
    model: BehaviorModel, corpus: Sequence[Examples], plan: TrainingPlan, users: Sequence[Bools]
) -> dict[str, float]:
    """Return every loss on ``users`` by name, nats per decision; NaN where there is nothing to judge on."""
    model.eval()
    total, n = np.zeros(len(Losses._fields)), 0
    device = next(model.parameters()).device
    # Not inference_mode: the buffers in which shards are gathered would then be of no use to the next step of training.
    with torch.no_grad():
        for examples, mask in zip(corpus, users, strict=True):
            for packed in examples.by_length(np.flatnonzero(mask[examples.windows.user])):
                batch, moment = examples.batch(packed, decided=True)
                found = model(batch.to(device), _negatives(model, plan, 0))
                total, n = total + np.array([float(loss) for loss in found]), n + len(moment)
    return {name: (float(value) / n if n else math.nan) for name, value in zip(Losses._fields, total, strict=True)}


def judged(model: BehaviorModel, examples: Examples, users: Bools) -> Iterator[tuple[Ints, npt.NDArray[np.float32]]]:
    """Yield (moments, nuisance logits) of the users with ``users`` true."""
    model.eval()
    device = next(model.parameters()).device
    with torch.inference_mode():
        for packed in examples.by_length(np.flatnonzero(users[examples.windows.user])):
            batch, moment = examples.batch(packed)
            yield moment, model.judge(batch.to(device)).cpu().numpy()


def held_out_users(position: npt.NDArray[np.float64]) -> Bools:
    """Return who is kept back to choose the pass; the hash decides, so nobody changes sides."""
    return (position * 97 % 1) < VALIDATION_SHARE


def split_users(position: Sequence[npt.NDArray[np.float64]], mine: Sequence[Bools]) -> Split:
    """Return training and held-out users among ``mine``, part by part."""
    held_out = [own & held_out_users(place) for place, own in zip(position, mine, strict=True)]
    train = [own & ~kept for own, kept in zip(mine, held_out, strict=True)]
    if not any(mask.any() for mask in held_out) or not any(mask.any() for mask in train):
        return Split(mine, mine)
    return Split(train, held_out)


def _epoch(
    corpus: Sequence[Examples], plan: TrainingPlan, users: Sequence[Bools], epoch: int, *, skip: int = 0
) -> Iterator[tuple[Examples, Packed]]:
    """Yield the batches of one pass in the order of the seed, from step ``skip`` on."""
    number = 0
    for part in np.random.default_rng([plan.seed, epoch]).permutation(len(corpus)).tolist():
        examples = corpus[part]
        windows = np.flatnonzero(users[part][examples.windows.user])
        order = np.random.default_rng([plan.seed, epoch, part]).permutation(windows)
        for packed in examples.windows.batches(order, rows=plan.rows):
            if number >= skip:
                yield examples, packed
            number += 1


def _steps_of_a_pass(corpus: Sequence[Examples], plan: TrainingPlan, users: Sequence[Bools]) -> int:
    """Return about how many steps a pass has: packing depends a little on the order."""
    masks = zip(corpus, users, strict=True)
    return sum(e.windows.n_batches(np.flatnonzero(mask[e.windows.user]), rows=plan.rows) for e, mask in masks)


def _decided(examples: Examples, packed: Packed) -> Ints:
    moment = packed.readings(examples.moments).moment
    return moment[examples.targets.decided[moment]]


def _negatives(model: BehaviorModel, plan: TrainingPlan, step: int) -> Tensor | None:
    """Return the items sampled in this step, the same in every process."""
    if plan.negatives is None:
        return None
    rate = model.next.item_rate
    generator = torch.Generator(device=rate.device).manual_seed(plan.seed * 1_000_003 + step)
    return torch.multinomial(rate, plan.negatives, replacement=True, generator=generator)


def _guarded(
    forward: Callable[[Batch, Tensor | None], Losses], batch: Batch, negatives: Tensor | None, plan: TrainingPlan
) -> Losses:
    """Turn "out of memory" into words that say what fits."""
    try:
        return forward(batch, negatives)
    except (RuntimeError, MemoryError) as error:
        text = str(error).lower()
        if isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text:
            raise ModelError.of(
                found=f"Memory does not suffice for a step of {plan.rows} rows in {plan.accumulate} part(s)",
                needed="a smaller part",
                do=f"Set [behavior] accumulate = {2 * plan.accumulate} in whybuy.toml; the result stays the same",
            ) from error
        raise


class _Schedule:
    """Warm-up, then cosine down to a fiftieth."""

    def __init__(self, plan: TrainingPlan, n_steps: int) -> None:
        self.peak, self.n_steps = plan.learning_rate, n_steps
        self.warmup = max(1, min(100, n_steps // 10))

    def __call__(self, step: int) -> float:
        if step < self.warmup:
            return self.peak * (step + 1) / self.warmup
        done = (step - self.warmup) / max(1, self.n_steps - self.warmup)
        return self.peak * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(done, 1.0))))


def _optimizer(model: BehaviorModel, plan: TrainingPlan) -> torch.optim.Optimizer:
    """AdamW; what has one dimension is not decayed, nor are embeddings of rare values pulled to nothing."""
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    vectors = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": matrices, "weight_decay": plan.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=plan.learning_rate, betas=(0.9, 0.98), fused=True)


def _copy(model: BehaviorModel) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def _save(run: _Run, checkpoint: Checkpoint, at: Progress, losses: list[EpochLoss], best: dict[str, Tensor]) -> None:
    writes = run.fabric.global_rank == 0
    state = {
        "model": whole(run.model.state_dict(), keep=writes),
        "optimizer": whole(run.optimizer.state_dict(), keep=writes),
        "progress": asdict(at),
        "losses": [asdict(loss) for loss in losses],
        "best": whole(best, keep=writes),
        "random": random_states(run.fabric),
    }
    if writes:
        checkpoint.save(state)
    run.fabric.barrier()


def _restore(run: _Run, checkpoint: Checkpoint | None) -> tuple[Progress, list[EpochLoss], dict[str, Tensor]]:
    """Return where an interrupted run stood, with weights and random numbers put back; else the beginning."""
    saved = checkpoint.load() if checkpoint is not None else None
    at = Progress() if saved is None else Progress(**saved["progress"])
    all_at(at.step, run.fabric)
    if saved is None:
        return at, [], _copy(run.model)
    load_weights(run.model, saved["best"])
    best = _copy(run.model)
    load_weights(run.model, saved["model"])
    load_optimizer(run.optimizer, saved["optimizer"])
    set_random_state(saved["random"], run.fabric)
    return at, [EpochLoss(**loss) for loss in saved["losses"]], best


class _Clock:
    """Speed since the run began or went on, and when the next checkpoint is due."""

    def __init__(self, at: Progress) -> None:
        self.started = self.saved = time.monotonic()
        self.tokens = at.tokens

    def note(self, at: Progress, plan: TrainingPlan, losses: list[EpochLoss]) -> str:
        """Return the live line."""
        speed = (at.tokens - self.tokens) / max(time.monotonic() - self.started, 1e-9)
        parts = [f"pass {min(at.epoch + 1, plan.epochs)}/{plan.epochs}", f"{speed:,.0f} events/s"]
        if at.weight:
            parts.append(f"loss {at.total / at.weight:.4f}")
        if losses and math.isfinite(losses[-1].validation):
            parts.append(f"held out {losses[-1].validation:.4f}")
        return ", ".join(parts)

    def is_due(self, checkpoint: Checkpoint) -> bool:
        """Whether a checkpoint should be written now; the next one is then counted from now on."""
        due = time.monotonic() - self.saved > checkpoint.every_s
        self.saved = time.monotonic() if due else self.saved
        return due
