"""Training of the twin models: each on the users of the other's fold, so that every user is judged by a stranger.

The loop is plain: AdamW with warm-up and cosine, clipping, one pass after another over batches of rows in an order
drawn from the seed; a tenth of the training users is held out, and the pass with the best held-out loss is kept.
Positions without full follow-up teach no outcome; moments that are outcome a themselves do not teach the trials' head
for a.
"""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from whybuy.behavior.rows import (
    N_PRICES,
    Rows,
    TokenCodes,
    Tokens,
    event_batch,
    readings,
)
from whybuy.behavior.targets import Heads, Targets, targets_of
from whybuy.behavior.transformer import BehaviorTransformer, ModelShape, ReadingTime
from whybuy.errors import ModelError
from whybuy.events.features import LONGEST_WINDOW_MS, history_features
from whybuy.events.moments import Moments
from whybuy.events.sequences import Bools, Ints, Sequences
from whybuy.progress import Report, quiet

_BATCH_TOKENS = 3_072
_VALIDATION_SHARE = 0.1
_BLOCK_EVENTS = 65_536


@dataclass(frozen=True)
class TrainingPlan:
    """How much is trained.

    Attributes
    ----------
    width, depth, attention_heads : sizes of the trunk
    epochs : passes over the training users
    learning_rate : peak of the schedule
    """

    width: int = 64
    depth: int = 2
    attention_heads: int = 4
    epochs: int = 8
    learning_rate: float = 3e-3
    weight_decay: float = 0.05
    dropout: float = 0.1
    seed: int = 7


@dataclass(frozen=True)
class EpochLoss:
    """Losses of one pass, nats per decision: propensities and outcomes summed over behaviors."""

    epoch: int
    train: float
    validation: float
    validation_propensity: float
    validation_outcome: float


@dataclass(frozen=True)
class TrainingSet:
    """Everything a twin can be taught from: events, labels, and which users are whose."""

    sequences: Sequences
    moments: Moments
    targets: Targets
    tokens: Tokens
    rows: Rows
    heads: Heads
    wide: npt.NDArray[np.float16]
    """(n_moments, n_wide) features of history, in half precision: they are the largest thing in memory."""

    @classmethod
    def of(cls, sequences: Sequences, heads: Heads, codes: TokenCodes) -> "TrainingSet":
        """Prepare ``sequences`` for training."""
        moments = Moments.of(sequences, reach_ms=_reach_ms(heads))
        targets, wide = _labels_and_history(sequences, len(moments), heads)
        return cls(
            sequences=sequences,
            moments=moments,
            targets=targets,
            tokens=Tokens.of(sequences, moments, codes),
            rows=Rows.of(sequences.offsets),
            heads=heads,
            wide=wide,
        )

    def reading_time(self, moment: Ints) -> ReadingTime:
        """Return what is known at the times of moments."""
        return ReadingTime(
            torch.from_numpy(self.tokens.moment_gap[moment]),
            torch.from_numpy(self.tokens.moment_hour[moment]),
            torch.from_numpy(self.wide[moment].astype(np.float32)),
        )


def model_shape(heads: Heads, codes: TokenCodes, plan: TrainingPlan, *, n_wide: int) -> ModelShape:
    """Return the shape of a model for these heads and codes."""
    vocabulary = heads.index.vocabulary
    return ModelShape(
        n_items=codes.n_items,
        n_categories=codes.n_categories,
        n_prices=N_PRICES,
        n_exposures=len(vocabulary.exposures) + 1,
        attribute_levels=tuple(len(levels) + 1 for levels in vocabulary.attributes.values()),
        n_behaviors=heads.n_behaviors,
        n_outcomes=heads.n_outcomes,
        n_wide=n_wide,
        width=plan.width,
        depth=plan.depth,
        heads=plan.attention_heads,
        dropout=plan.dropout,
    )


def train_twin(
    data: TrainingSet,
    shape: ModelShape,
    plan: TrainingPlan,
    *,
    users: tuple[Bools, Bools],
    report: Report = quiet,
    task: str = "train",
) -> tuple[BehaviorTransformer, list[EpochLoss]]:
    """Return one trained model and its losses.

    Parameters
    ----------
    users : (n_users,) masks of the training users and of the held-out users among them

    Raises
    ------
    ModelError
        The loss is not a number.
    """
    torch.manual_seed(plan.seed)
    rng = np.random.default_rng(plan.seed)
    train, held_out = (
        list(data.rows.batches(np.flatnonzero(m[data.rows.user]), max_tokens=_BATCH_TOKENS)) for m in users
    )
    model = BehaviorTransformer(shape)
    model.start_from_rates(*_base_rates(data, users[0]))
    model.standardize(*_scale(data, users[0]))
    optimizer = torch.optim.AdamW(_weight_groups(model, plan), lr=plan.learning_rate, betas=(0.9, 0.98))
    n_steps = max(1, plan.epochs * len(train))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _warmup_cosine(step, n_steps))
    losses: list[EpochLoss] = []
    best = (math.inf, model.state_dict())
    step = 0
    for epoch in range(plan.epochs):
        model.train()
        total, weight = 0.0, 0
        for batch in rng.permutation(len(train)):
            parts, n = batch_loss(model, data, train[batch])
            loss = parts.sum() / max(n, 1)
            if not torch.isfinite(loss):
                raise ModelError.of(
                    found=f"The training loss became {loss.item()} in pass {epoch + 1}",
                    needed="a finite loss",
                    do="Nothing was overwritten; check prices and times with `whybuy check`, then train again",
                )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            total, weight, step = total + float(parts.detach().sum()), weight + n, step + 1
            report(task, step, n_steps, f"pass {epoch + 1}/{plan.epochs} loss {total / max(weight, 1):.4f}")
        e, m = evaluate(model, data, held_out)
        losses.append(EpochLoss(epoch + 1, total / max(weight, 1), e + m, e, m))
        if e + m <= best[0]:
            best = (e + m, {name: value.detach().clone() for name, value in model.state_dict().items()})
    model.load_state_dict(best[1])
    return model.eval(), losses


def batch_loss(model: BehaviorTransformer, data: TrainingSet, chosen: Ints) -> tuple[Tensor, int]:
    """Return the summed losses (propensity, outcome in trials, outcome anywhere, forecast) and the decisions read."""
    batch = event_batch(data.rows, chosen, data.tokens, np.asarray(data.sequences.attributes))
    where = readings(data.rows, chosen, data.moments)
    decided = data.targets.decided[where.moment]
    moment, row = where.moment[decided], torch.from_numpy(where.row[decided])
    states, person = model.states(batch), model.person(batch)[:, 0]
    before = states[row, torch.from_numpy(where.at[decided])]
    logits = model.nuisance_logits(before, person[row], data.reading_time(moment))
    forecast = model.forecast_logits(states[row, torch.from_numpy(where.after[decided])], person[row])
    behavior = torch.from_numpy(data.targets.behavior[moment]).float()
    outcome = torch.from_numpy(data.targets.outcome[moment]).float()
    followed = torch.from_numpy(np.repeat(data.targets.followed[moment], len(data.heads.outcomes), axis=1)).float()
    own = behavior[:, list(data.heads.outcomes)].repeat(1, len(data.heads.horizons_ms))
    B, A = data.heads.n_behaviors, data.heads.n_outcomes

    def bce(out: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
        return F.binary_cross_entropy_with_logits(out, target, weight=mask, reduction="sum")

    parts = torch.stack(
        [
            bce(logits[:, :B], behavior),
            bce(logits[:, B : B + A], outcome, followed * (1 - own)),
            0.3 * bce(logits[:, B + A :], outcome, followed),
            0.3 * bce(forecast, outcome, followed),
        ]
    )
    return parts, len(moment)


def evaluate(model: BehaviorTransformer, data: TrainingSet, batches: list[Ints]) -> tuple[float, float]:
    """Return held-out losses of propensities and of outcomes in trials, nats per decision."""
    model.eval()
    total, weight = np.zeros(2), 0
    with torch.no_grad():
        for chosen in batches:
            parts, n = batch_loss(model, data, chosen)
            total, weight = total + parts[:2].numpy(), weight + n
    if weight == 0:
        return math.inf, math.inf
    return float(total[0] / weight), float(total[1] / weight)


def split_users(position: npt.NDArray[np.float64], mine: Bools) -> tuple[Bools, Bools]:
    """Return training and held-out users among ``mine``; the hash decides, so a user never changes sides."""
    held_out = (position * 97 % 1) < _VALIDATION_SHARE
    if not (mine & held_out).any() or not (mine & ~held_out).any():
        return mine, mine
    return mine & ~held_out, mine & held_out


def losses_to_json(losses: list[EpochLoss]) -> list[dict[str, float | int | None]]:
    """Return the losses as plain numbers, null where there was nothing to judge on."""
    return [{k: (v if math.isfinite(v) else None) for k, v in asdict(loss).items()} for loss in losses]


def _reach_ms(heads: Heads) -> int:
    return max(*heads.horizons_ms, LONGEST_WINDOW_MS)


def _labels_and_history(sequences: Sequences, n_moments: int, heads: Heads) -> tuple[Targets, npt.NDArray[np.float16]]:
    """Return labels and features of all moments, filled in block by block of users.

    What lies between, the running sums of every behavior, is several times as large as what is kept.
    """
    kept: list[npt.NDArray[Any]] = []
    at = 0
    for block in sequences.blocks(_BLOCK_EVENTS):
        moments = Moments.of(block, reach_ms=_reach_ms(heads))
        labels = targets_of(block, moments, heads)
        wide = history_features(block, moments, heads.spec).values.astype(np.float16)
        parts = (labels.decided, labels.behavior, labels.outcome, labels.followed, wide)
        kept = kept or [np.empty((n_moments, *part.shape[1:]), part.dtype) for part in parts]
        for whole, part in zip(kept, parts, strict=True):
            whole[at : at + len(moments)] = part
        at += len(moments)
    *labels_of_all, wide_of_all = kept
    return Targets(*labels_of_all), wide_of_all


def _scale(data: TrainingSet, users: Bools) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of the wide features over the training users' decisions."""
    rows = np.flatnonzero(data.targets.decided & users[data.moments.user])
    total, squares = np.zeros(data.wide.shape[1]), np.zeros(data.wide.shape[1])
    for part in np.array_split(rows, max(1, len(rows) // 65_536)):
        values = data.wide[part].astype(np.float64)
        total, squares = total + values.sum(0), squares + (values**2).sum(0)
    n = max(len(rows), 1)
    sd = np.sqrt(np.maximum(squares / n - (total / n) ** 2, 0))
    return torch.tensor(total / n, dtype=torch.float32), torch.tensor(sd, dtype=torch.float32)


def _base_rates(data: TrainingSet, users: Bools) -> tuple[Tensor, Tensor]:
    """Rates with half a hit and half a miss added (Jeffreys), so that no logit is infinite."""
    moment = data.targets.decided & users[data.moments.user]
    behavior = data.targets.behavior[moment]
    n_out = len(data.heads.outcomes)
    followed = np.repeat(data.targets.followed[moment], n_out, axis=1)
    outcome = data.targets.outcome[moment]
    e = (behavior.sum(0) + 0.5) / (len(behavior) + 1)
    m = ((outcome * followed).sum(0) + 0.5) / (followed.sum(0) + 1)
    return torch.tensor(np.concatenate([e, m, m]), dtype=torch.float32), torch.tensor(m, dtype=torch.float32)


def _weight_groups(model: BehaviorTransformer, plan: TrainingPlan) -> list[dict[str, object]]:
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    vectors = [p for p in model.parameters() if p.ndim < 2]
    return [{"params": matrices, "weight_decay": plan.weight_decay}, {"params": vectors, "weight_decay": 0.0}]


def _warmup_cosine(step: int, n_steps: int) -> float:
    warmup = max(1, min(100, n_steps // 10))
    if step < warmup:
        return (step + 1) / warmup
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, n_steps - warmup)))


def iterate_heads(
    model: BehaviorTransformer, data: TrainingSet, users: Bools
) -> Iterator[tuple[Ints, npt.NDArray[np.float32], npt.NDArray[np.float32]]]:
    """Yield (moments, nuisance logits, forecast logits) of the users with ``users`` true."""
    keep = np.flatnonzero(users[data.rows.user])
    model.eval()
    with torch.inference_mode():
        for chosen in data.rows.batches(keep, max_tokens=4 * _BATCH_TOKENS):
            batch = event_batch(data.rows, chosen, data.tokens, np.asarray(data.sequences.attributes))
            where = readings(data.rows, chosen, data.moments)
            row = torch.from_numpy(where.row)
            states, person = model.states(batch), model.person(batch)[:, 0]
            before = states[row, torch.from_numpy(where.at)]
            nuisance = model.nuisance_logits(before, person[row], data.reading_time(where.moment))
            forecast = model.forecast_logits(states[row, torch.from_numpy(where.after)], person[row])
            yield where.moment, nuisance.numpy(), forecast.numpy()
