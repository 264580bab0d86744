"""The twin models of a log: trained, saved, opened, and asked for the heads of every trial.

Twin k judges the users of fold k and was trained on the others. Whom a twin was trained on is kept with its weights:
asking it about such a user is an error, not a number, whatever has become of the folds since.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from whybuy.behavior.checkpoint import Checkpoint, run_card
from whybuy.behavior.corpus import Cut, prepare
from whybuy.behavior.cost import CPU_WATTS, Cost, StepSize, reached_alone, training_flops
from whybuy.behavior.devices import all_processes
from whybuy.behavior.examples import Codes, Examples
from whybuy.behavior.family import Family, family_of, feature_spec
from whybuy.behavior.folds import N_TWINS, folds_of_users, user_keys
from whybuy.behavior.model import BehaviorModel, ModelShape
from whybuy.behavior.processes import Processes, first_before_others
from whybuy.behavior.rates import start_from_rates
from whybuy.behavior.sizes import RECIPES, TrainingPlan, model_shape, rows_of_a_step
from whybuy.behavior.targets import Heads, forecast_horizons
from whybuy.behavior.tokens import Entities, SmallFields, own_items, usual_prices
from whybuy.behavior.tracking import tracker
from whybuy.behavior.train import EpochLoss, Watch, fit, judged, split_users
from whybuy.behavior.transformer import TrunkShape
from whybuy.config import Config, duration_ms
from whybuy.errors import ModelError
from whybuy.events.behaviors import parse_behavior
from whybuy.events.log import EventLog
from whybuy.events.moments import BehaviorIndex
from whybuy.events.sequences import Bools, Ints, Sequences, SequenceStore
from whybuy.progress import Report, quiet

_PRICES = "item_price.npy"
_TAUGHT = "users_taught"
_NEGATIVES = 512
"""Items sampled per step where there are many more: which item is next is no nuisance, it only teaches the trunk."""

_EVENT_PASSES = 1_200_000
"""Events seen in training, all passes together: what a default run affords on 2 cores."""


@dataclass(frozen=True)
class TwinModels:
    """Both twins and what is needed to ask them.

    Attributes
    ----------
    models : twin k judges the users of fold k
    heads : what the outputs are
    codes : embedding rows of items and categories
    context : tokens that one state can look back on
    item_price : (n_items + 1, 2) usual price levels, see :func:`whybuy.behavior.tokens.usual_prices`
    taught : per twin the keys of the users it was trained on, ascending, see
        :func:`whybuy.behavior.folds.user_keys`
    """

    models: tuple[BehaviorModel, ...]
    heads: Heads
    codes: Codes
    context: int
    item_price: npt.NDArray[np.int8]
    taught: tuple[npt.NDArray[np.uint64], ...]

    @classmethod
    def open(cls, folder: Path, store: SequenceStore) -> "TwinModels":
        """Read what :func:`train_twins` saved.

        Raises
        ------
        ModelError
            A checkpoint is missing, corrupt, or was trained on another log.
        """
        card = _read_card(folder)
        if card["n_items"] != len(store.vocabulary.items):
            raise ModelError.of(
                found=f"The model in {folder} was trained on a log of {card['n_items']} items; this one has "
                f"{len(store.vocabulary.items)}",
                needed="a model of this log",
                do="Run `whybuy train`",
            )
        heads, codes = _heads_of(card, store), codes_of(store, n_own=card["n_own"])
        shape = ModelShape(**{**card["shape"], "trunk": TrunkShape(**card["shape"]["trunk"])})
        texts = text_tensor(store)
        loaded = [_load(folder / f"twin-{k}.safetensors", shape, codes, texts) for k in range(N_TWINS)]
        models, taught = zip(*loaded, strict=True)
        return cls(models, heads, codes, card["context"], np.load(folder / _PRICES), taught)

    def judge(self, sequences: Sequences, *, keep: Bools | None = None) -> tuple[Ints, npt.NDArray[np.float32]]:
        """Return the moments of the users ``keep`` and their (n, n_behaviors + 2 n_outcomes) nuisance logits.

        Every user is judged by the twin that was not trained on it.

        Raises
        ------
        ModelError
            A twin would judge a user that it was trained on.
        """
        examples = Examples.of(sequences, self.heads, self.codes, context=self.context)
        twin = folds_of_users(sequences.user_ids).twin
        found: list[tuple[Ints, npt.NDArray[np.float32]]] = []
        for k, model in enumerate(self.models):
            users = twin == k if keep is None else (twin == k) & keep
            self.require_unseen(k, sequences.user_ids[users])
            found.extend(judged(model, examples, users))
        if not found:
            n_outputs = self.heads.n_behaviors + 2 * self.heads.n_outcomes
            return np.empty(0, np.int64), np.empty((0, n_outputs), np.float32)
        moments = np.concatenate([moment for moment, _ in found])
        order = np.argsort(moments)
        return moments[order], np.concatenate([logits for _, logits in found])[order]

    def require_unseen(self, k: int, user_ids: npt.NDArray[np.object_]) -> None:
        """Raise ModelError where twin ``k`` was trained on one of the users."""
        seen = int(np.isin(user_keys(user_ids), self.taught[k]).sum())
        if seen > 0:
            raise ModelError.of(
                found=f"Twin {k} was trained on {seen} of the {len(user_ids)} users it is to judge",
                needed="forecasts by a model that has not seen the user",
                do="Run `whybuy train`",
            )


@dataclass(frozen=True)
class Beside:
    """Folders beside the model's own.

    Attributes
    ----------
    checkpoints : of this log; an interrupted run keeps here what it needs to go on
    tracking : the losses for TensorBoard or MLflow, where the config asks for it; None where others write them
    """

    checkpoints: Path
    tracking: Path | None


def train_twins(
    store: SequenceStore,
    log: EventLog,
    config: Config,
    folder: Path | None,
    *,
    beside: Beside | None = None,
    report: Report = quiet,
) -> Cost | None:
    """Train both twins on the log, save them and their losses in ``folder``; return what it took.

    Parameters
    ----------
    folder : None in a process that helps another to train the same: nothing is written, and nothing returned
    beside : where an interrupted run goes on from; nowhere where None
    """
    # Before anything that takes long: a process that is lost from here on is missed by the others at once.
    fabric = all_processes(config.behavior.strategy)
    family = family_of(store, config.causal)
    heads = _heads(family, store, log, config)
    n_own = own_items(log.items()["n_events"].to_numpy(np.int64))
    codes = codes_of(store, n_own=n_own)
    share = min(1.0, config.behavior.max_events / max(1, log.quality.rows_kept))
    plan = _plan(int(share * log.quality.rows_kept), len(store.vocabulary.items), config)
    stored = beside.checkpoints / "examples" if beside is not None else None
    cut = Cut(share, plan.context)
    # What the first process writes into the workspace, the others find there.
    corpus = first_before_others(lambda: prepare(store, heads, codes, cut=cut, folder=stored, report=report))
    n_events = sum(part.sequences.n_events for part in corpus)
    plan = replace(plan, rows=rows_of_a_step(n_events // N_TWINS, corpus[0].windows.length))
    texts = text_tensor(store)
    shape = model_shape(corpus[0], plan, n_text=0 if texts is None else texts.shape[1])
    folds = [folds_of_users(part.sequences.user_ids) for part in corpus]
    losses = []
    for k in range(N_TWINS):
        torch.manual_seed(plan.seed)
        model = BehaviorModel(shape, codes.entities, texts)
        split = split_users([part.position for part in folds], [part.twin != k for part in folds])
        start_from_rates(model, corpus, split.train)
        watch = _watch(k, run_card(shape=shape, plan=plan, twin=k), config, beside, report)
        losses.append(fit(model, corpus, plan, split, fabric=fabric, watch=watch))
        if folder is not None:
            keys = [
                user_keys(part.sequences.user_ids[fold.twin != k]) for part, fold in zip(corpus, folds, strict=True)
            ]
            _save(folder / f"twin-{k}.safetensors", model, np.sort(np.concatenate(keys)))
    if folder is None:
        return None
    _write_card(folder, family, heads, shape, n_items=len(store.vocabulary.items), n_own=n_own, context=plan.context)
    training: dict[str, Any] = {
        "twins": [losses_to_json(history) for history in losses],
        "plan": asdict(plan),
        "parameters": sum(p.numel() for p in model.parameters()),
        "n_events": n_events,
        "n_users": sum(len(part.twin) for part in folds),
        "share_of_users": share,
        "n_behaviors": heads.n_behaviors,
        "n_outcomes": heads.n_outcomes,
    }
    (folder / "training.json").write_text(json.dumps(training, indent=1), encoding="utf-8")
    np.save(folder / _PRICES, usual_prices((part.sequences for part in corpus), len(store.vocabulary.items)))
    return cost_of(shape, plan, corpus, [loss for history in losses for loss in history])


def _heads(family: Family, store: SequenceStore, log: EventLog, config: Config) -> Heads:
    """Return which outputs the models of a log have."""
    horizons = tuple(duration_ms(h) for h in config.horizons)
    return Heads(
        spec=feature_spec(store, BehaviorIndex.of(family.modeled, store.vocabulary)),
        outcomes=tuple(i for i, b in enumerate(family.modeled) if b in family.outcomes),
        horizons_ms=horizons,
        forecasts_ms=forecast_horizons(horizons, log.quality.end_ms - log.quality.start_ms),
        end_ms=log.quality.end_ms,
    )


def _watch(twin: int, run: dict[str, Any], config: Config, beside: Beside | None, report: Report) -> Watch:
    """Return who looks on while a twin is trained."""
    watch = Watch(report, f"twin {twin + 1}")
    if beside is None:
        return watch
    watch = replace(watch, checkpoint=Checkpoint(beside.checkpoints / f"twin-{twin}.checkpoint", run))
    if config.behavior.track is None or beside.tracking is None:
        return watch
    return replace(watch, log=tracker(config.behavior.track, beside.tracking, f"twin-{twin + 1}"))


def family_in(folder: Path) -> Family:
    """Return the family of questions that the model in ``folder`` was trained for."""
    card = _read_card(folder)
    return Family(
        treatments=tuple(parse_behavior(b) for b in card["treatments"]),
        outcomes=tuple(parse_behavior(b) for b in card["family_outcomes"]),
        n_events={parse_behavior(b): n for b, n in card["n_events"].items()},
        n_users={parse_behavior(b): n for b, n in card["n_users"].items()},
        modeled=tuple(parse_behavior(b) for b in card["behaviors"]),
    )


def _plan(n_events: int, n_items: int, config: Config) -> TrainingPlan:
    """Choose size and passes from the log: about ``_EVENT_PASSES`` events are seen in all."""
    recipe = RECIPES["tiny" if config.behavior.size == "auto" else config.behavior.size]
    epochs = config.behavior.epochs or int(np.clip(_EVENT_PASSES // max(n_events, 1), 2, 5))
    return TrainingPlan(
        trunk=recipe.trunk,
        context=recipe.context,
        epochs=epochs,
        learning_rate=recipe.learning_rate,
        accumulate=config.behavior.accumulate,
        seed=config.seed,
        negatives=_NEGATIVES if n_items > 2 * _NEGATIVES else None,
    )


def codes_of(store: SequenceStore, *, n_own: int) -> Codes:
    """Return the embedding rows of a log's values."""
    return Codes(SmallFields.of(store.vocabulary), Entities.of(store.vocabulary, n_own=n_own))


def typical_step(plan: TrainingPlan, corpus: Sequence[Examples], losses: list[EpochLoss]) -> StepSize:
    """Return what a step of these passes read on average."""
    tokens, decisions = sum(loss.tokens for loss in losses), sum(loss.decisions for loss in losses)
    length = corpus[0].windows.length
    steps = max(1, round(tokens / (plan.rows * length)))
    per_moment = sum(part.sequences.n_events for part in corpus) / max(sum(len(part.moments) for part in corpus), 1)
    return StepSize(
        rows=plan.rows,
        length=length,
        decisions=max(1, decisions // steps),
        events=max(1, round(per_moment * decisions / steps)),
        candidates=plan.negatives or corpus[0].codes.entities.n_items + 1,
    )


def cost_of(shape: ModelShape, plan: TrainingPlan, corpus: Sequence[Examples], losses: list[EpochLoss]) -> Cost:
    """Return what these passes took, against the same matrix products alone."""
    tokens, step = sum(loss.tokens for loss in losses), typical_step(plan, corpus, losses)
    flops = float(training_flops(shape, step)) * tokens / (step.rows * step.length)
    seconds = sum(loss.seconds for loss in losses)
    here = Processes.here()
    bound, watts = reached_alone(shape, step) * here.world, CPU_WATTS * here.machines
    return Cost.of(tokens=tokens, flops=flops, seconds=seconds, bound=bound, watts=watts)


def text_tensor(store: SequenceStore) -> torch.Tensor | None:
    """Return the log's text vectors, None where it was not embedded."""
    vectors = store.text_vectors()
    return None if vectors is None else torch.from_numpy(np.array(vectors))  # a copy: the file is not to be written


def losses_to_json(losses: list[EpochLoss]) -> list[dict[str, Any]]:
    """Return the losses as plain numbers, null where there was nothing to judge on."""

    def number(value: float) -> float | None:
        return value if np.isfinite(value) else None

    return [
        {
            "epoch": loss.epoch,
            "train": number(loss.train),
            "validation": number(loss.validation),
            "held_out": {name: number(value) for name, value in loss.parts.items()},
        }
        for loss in losses
    ]


def _heads_of(card: Mapping[str, Any], store: SequenceStore) -> Heads:
    behaviors = tuple(parse_behavior(text) for text in card["behaviors"])
    return Heads(
        spec=feature_spec(store, BehaviorIndex.of(behaviors, store.vocabulary)),
        outcomes=tuple(card["outcomes"]),
        horizons_ms=tuple(card["horizons_ms"]),
        forecasts_ms=tuple(card["forecasts_ms"]),
        end_ms=card["end_ms"],
    )


def _write_card(folder: Path, family: Family, heads: Heads, shape: ModelShape, **sizes: int) -> None:
    card = {
        "behaviors": [str(b) for b in family.modeled],
        "outcomes": list(heads.outcomes),
        "treatments": [str(b) for b in family.treatments],
        "family_outcomes": [str(b) for b in family.outcomes],
        "n_events": {str(b): n for b, n in family.n_events.items()},
        "n_users": {str(b): n for b, n in family.n_users.items()},
        "horizons_ms": list(heads.horizons_ms),
        "forecasts_ms": list(heads.forecasts_ms),
        "end_ms": heads.end_ms,
        "shape": asdict(shape),
        **sizes,
    }
    (folder / "model.json").write_text(json.dumps(card, indent=1), encoding="utf-8")


def _read_card(folder: Path) -> dict[str, Any]:
    path = folder / "model.json"
    try:
        card: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise ModelError.of(
            found=f"{path} cannot be read ({error})", needed="a trained model", do="Run `whybuy train`"
        ) from error
    return card


def _save(path: Path, model: BehaviorModel, taught: npt.NDArray[np.uint64]) -> None:
    """Write the weights, and with them whom they were learned from; torch has no unsigned integers of this size."""
    save_file({**model.state_dict(), _TAUGHT: torch.from_numpy(taught.view(np.int64))}, path)


def _load(
    path: Path, shape: ModelShape, codes: Codes, texts: torch.Tensor | None
) -> tuple[BehaviorModel, npt.NDArray[np.uint64]]:
    model = BehaviorModel(shape, codes.entities, texts)
    try:
        weights = load_file(path)
        taught = weights.pop(_TAUGHT).numpy().view(np.uint64)
        model.load_state_dict(weights)
    except (OSError, SafetensorError, RuntimeError, KeyError) as error:
        raise ModelError.of(
            found=f"{path} is no checkpoint of this model ({str(error).splitlines()[0]})",
            needed="the weights that `whybuy train` wrote",
            do="Run `whybuy train`",
        ) from error
    return model.eval(), taught


def set_threads(n: int) -> None:
    """Fix the number of threads of the model, so that a rerun gives the same numbers."""
    torch.set_num_threads(n)
