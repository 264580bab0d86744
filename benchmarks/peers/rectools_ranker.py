"""RecTools' SASRec or eSASRec, trained within a budget and ranked over the full catalog.

It runs in the environment of `rectools.txt`:

    python=$(.venv/bin/python benchmarks/peers/environment.py rectools)
    $python benchmarks/peers/rectools_ranker.py --interactions events.parquet --targets targets.parquet \
        --model esasrec --seed 1 --budget-cpu-seconds 600 --output found.json

``--interactions`` holds user, item, position: the training events alone. ``--targets`` holds user, item: one event a
user that comes after them. Each user's last training event is held out for early stopping: the weights with the best
NDCG@10 on those are kept, and the history that is ranked at the end holds them again. Items that remain in no training
sequence are in the catalog and stand last; a user with no known item is ranked by popularity.

Events per second are real events of the sequences, padding not counted, over the training batches alone; those of the
fastest batch say what an idle machine would do. One line of JSON goes to stdout; ``--output`` holds the same and the
rank of every target. Runs with a seed and a number of threads are equal where they end by patience or ``--max-epochs``.
"""

import argparse
import json
import logging
import math
import os
import sys
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from leave_one_out import ROWS, K, Question, metrics
from pytorch_lightning import Callback, Trainer, seed_everything
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import SASRecModel
from rectools.models.nn.item_net import IdEmbeddingsItemNet
from rectools.models.nn.transformers.ligr import LiGRLayers


def tokens(module: Any, catalog: pd.Index) -> np.ndarray:
    """RecTools' number of every item of the catalog; 0, its padding, where the model does not know the item."""
    known = catalog.get_indexer(module.data_preparator.get_known_item_ids().astype(catalog.dtype))
    token = np.zeros(len(catalog), dtype=np.int64)
    token[known] = np.arange(1, len(known) + 1)
    return token


def scorer(module: Any, token: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Map of histories to the scores of the whole catalog."""
    net, device = module.torch_model, module.device
    with torch.no_grad():
        embeddings = net.item_model.get_all_embeddings()
        catalog = embeddings[torch.from_numpy(token).to(device)].T

    @torch.no_grad()
    def score(x: np.ndarray) -> np.ndarray:
        state = net.encode_sessions({"x": torch.from_numpy(x).to(device)}, embeddings)[:, -1]
        scores = (state @ catalog).cpu().numpy()
        scores[:, token == 0] = -np.inf
        return scores

    return score


class Watch(Callback):
    """Holds the budget, counts what was trained, and keeps the best weights; read from its attributes after the fit."""

    def __init__(self, args: argparse.Namespace, held: Question, catalog: pd.Index) -> None:
        self.args, self.held, self.catalog = args, held, catalog
        self.began, self.cpu_began = time.perf_counter(), time.process_time()
        self.batches = self.epoch_batches = self.full = self.events = self.positions = 0
        self.epoch = self.best_epoch = 0
        self.preparing = self.validating = self.longest_validation = self.longest_batch = 0.0
        self.fastest_batch = math.inf
        self.best, self.stopped = -1.0, "epochs"
        self.weights: dict[str, torch.Tensor] = {}

    def on_train_start(self, trainer: Any, module: Any) -> None:
        self.epoch_batches = trainer.num_training_batches
        self.token = tokens(module, self.catalog)
        self.x = self.held.inputs(self.token, self.args.length)[: self.args.validation_users]
        start = time.process_time()
        self.validate(module, self.x[:ROWS])
        self.longest_validation = (time.process_time() - start) * max(len(self.x) / ROWS, 1.0)  # as expected
        self.last_end, self.cpu_last_end = time.perf_counter(), time.process_time()
        self.preparing = self.last_end - self.began

    def on_train_batch_end(self, trainer: Any, _module: Any, _outputs: Any, batch: Any, _index: int) -> None:
        rows, positions = len(batch["y"]), int((batch["y"] != 0).sum())
        self.batches += 1
        self.positions += positions
        self.events += positions + rows  # a sequence of n events has n - 1 targets
        now = time.perf_counter()
        took, self.last_end = now - self.last_end, now  # with the loading of the batch
        worked, self.cpu_last_end = time.process_time() - self.cpu_last_end, time.process_time()
        self.longest_batch, self.full = max(self.longest_batch, worked), max(self.full, rows)
        self.fastest_batch = min(self.fastest_batch, took) if rows == self.full else self.fastest_batch
        spent = self.cpu_last_end - self.cpu_began
        if spent + self.longest_batch + self.longest_validation > self.args.budget_cpu_seconds:
            trainer.should_stop, self.stopped = True, "budget"

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        self.epoch += 1
        last = trainer.should_stop or self.epoch == self.args.max_epochs
        if not last and self.epoch % self.args.validate_every:
            return
        start, cpu_start = time.perf_counter(), time.process_time()
        value = self.validate(module, self.x)
        if value > self.best:
            self.best, self.best_epoch = value, self.epoch
            self.weights = {name: tensor.clone() for name, tensor in module.state_dict().items()}
        elif self.epoch - self.best_epoch >= self.args.patience and not last:
            trainer.should_stop, self.stopped = True, "patience"
        self.last_end, self.cpu_last_end = time.perf_counter(), time.process_time()
        self.validating += self.last_end - start
        self.longest_validation = max(self.longest_validation, self.cpu_last_end - cpu_start)
        said = f"epoch {self.epoch}: {self.last_end - self.began:.0f} s, validation NDCG@{K} {value:.4f}"
        print(said, file=sys.stderr, flush=True)

    def validate(self, module: Any, x: np.ndarray) -> float:
        module.eval()
        found = self.held.ranks(x, scorer(module, self.token), self.args.filter_seen)
        module.train()
        return metrics(found)[f"ndcg@{K}"]


def model_of(args: argparse.Namespace, watch: Watch) -> SASRecModel:
    """The peer as its authors recommend it: SASRec, or SASRec with LiGR layers (eSASRec)."""

    def trainer() -> Trainer:
        return Trainer(
            max_epochs=args.max_epochs,
            accelerator=args.accelerator,
            devices=1,
            deterministic=True,
            callbacks=[watch],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )

    recipe: dict[str, Any] = {}
    if args.model == "esasrec":
        recipe = {
            "transformer_layers_type": LiGRLayers,
            "transformer_layers_kwargs": {"ff_factors_multiplier": args.ff_multiplier},
            "use_key_padding_mask": True,
        }
    return SASRecModel(
        n_blocks=args.depth,
        n_heads=args.heads,
        n_factors=args.width,
        dropout_rate=args.dropout,
        session_max_len=args.length,
        loss=args.loss,
        n_negatives=args.negatives,
        lr=args.lr,
        batch_size=args.batch,
        item_net_block_types=(IdEmbeddingsItemNet,),
        get_trainer_func=trainer,
        **recipe,
    )


def fit(args: argparse.Namespace, events: pd.DataFrame, catalog: pd.Index) -> tuple[Any, Watch, float]:
    """Train on all but every user's last event, which is the validation, and put the best weights back."""
    of_user = events.groupby("user")
    held = (of_user.cumcount(ascending=False) == 0) & (of_user["item"].transform("size") > 1)
    training = events[~held]
    if training["user"].value_counts().max() < 2:
        sys.exit(f"No user of {args.interactions} has three events: there is nothing to learn an order from.")
    watch = Watch(args, Question(training, events.loc[held, ["user", "item"]], catalog), catalog)
    model = model_of(args, watch)
    names = {"user": Columns.User, "item": Columns.Item, "position": Columns.Datetime}
    model.fit(Dataset.construct(training.rename(columns=names).assign(**{Columns.Weight: 1.0})))
    seconds = time.perf_counter() - watch.began
    (watch,) = (c for c in model.fit_trainer.callbacks if isinstance(c, Watch))  # RecTools trains with a copy
    model.lightning_model.load_state_dict(watch.weights)
    model.lightning_model.eval()
    return model.lightning_model, watch, seconds


def read(path: Path, columns: list[str]) -> pd.DataFrame:
    """Columns of a Parquet file; says which are missing."""
    frame = pd.read_parquet(path)
    missing = [name for name in columns if name not in frame]
    if missing:
        sys.exit(f"{path} has no column {', '.join(missing)}; it has {', '.join(frame.columns)}.")
    return frame[columns]


def speeds(watch: Watch, seconds: float) -> dict[str, float]:
    """Seconds of the fit by what they went to, and what a second of training handles."""
    training = seconds - watch.preparing - watch.validating
    return {
        "seconds": seconds,
        "cpu_seconds": watch.cpu_last_end - watch.cpu_began,
        "seconds_preparing": watch.preparing,
        "seconds_training": training,
        "seconds_validation": watch.validating,
        "events_per_second": watch.events / training,
        "targets_per_second": watch.positions / training,
        "events_per_second_of_fastest_batch": watch.events / watch.batches / watch.fastest_batch,
    }


def answer(args: argparse.Namespace) -> tuple[dict[str, Any], list[int]]:
    """Train, rank, and tell everything; the ranks follow the order of the targets."""
    events = read(args.interactions, ["user", "item", "position"])
    events = events.sort_values(["user", "position"], kind="stable", ignore_index=True)
    targets = read(args.targets, ["user", "item"])
    if targets["user"].duplicated().any():
        sys.exit(f"{args.targets} holds several targets of one user; one is needed.")
    catalog = pd.Index(np.unique(np.concatenate([events["item"], targets["item"]])))
    module, watch, seconds = fit(args, events, catalog)
    asked = Question(events, targets, catalog)
    x, score = asked.inputs(watch.token, args.length), scorer(module, watch.token)
    found = {name: asked.ranks(x, score, flag) for name, flag in (("seen_kept", False), ("seen_filtered", True))}
    chosen = found["seen_filtered" if args.filter_seen else "seen_kept"]
    popular = asked.ranks(np.zeros_like(x), lambda rows: np.empty((len(rows), len(catalog)), np.float32), False)
    told = {
        "name": args.model,
        "seed": args.seed,
        **metrics(chosen),
        **{name: metrics(ranks) for name, ranks in found.items()},
        "popularity": metrics(popular),
        f"validation_ndcg@{K}": watch.best,
        "best_epoch": watch.best_epoch,
        "epochs": watch.batches / watch.epoch_batches,
        "stopped_by": watch.stopped,
        **speeds(watch, seconds),
        "parameters": sum(p.numel() for p in module.torch_model.parameters()),
        "parameters_of_layers": sum(p.numel() for p in module.torch_model.transformer_layers.parameters()),
        "events": len(events),
        "items": len(catalog),
        "items_unknown": int((watch.token == 0).sum()),
        "targets": len(targets),
        "targets_unknown": int((watch.token[asked.target] == 0).sum()),
        "users_cold": int((x == 0).all(axis=1).sum()),
        "device": str(module.device),
        "threads": torch.get_num_threads(),
        "versions": {name: version(name) for name in ("RecTools", "torch", "pytorch-lightning", "numpy")},
        "settings": {name: value for name, value in vars(args).items() if not isinstance(value, Path)},
    }
    return told, chosen.tolist()


def arguments() -> argparse.Namespace:
    """Options; the defaults are the published settings of the Amazon sets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--interactions", type=Path, required=True)
    parser.add_argument("--targets", type=Path, required=True)
    parser.add_argument("--model", choices=("sasrec", "esasrec"), required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument(
        "--budget-cpu-seconds", type=float, required=True, help="processor time of the fit, validation included"
    )
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument(
        "--loss", choices=("softmax", "sampled_softmax"), help="softmax for sasrec, sampled for esasrec"
    )
    parser.add_argument("--negatives", type=int, default=256, help="of the sampled softmax, for every position")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--depth", type=int, default=1)
    parser.add_argument("--heads", type=int, default=1)
    parser.add_argument("--length", type=int, default=50)
    parser.add_argument("--dropout", type=float, default=0.2)
    parser.add_argument("--ff-multiplier", type=int, default=4, help="of LiGR layers; SASRec's is always 1")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--lr", type=float, default=0.001)
    parser.add_argument("--max-epochs", type=int, default=200)
    parser.add_argument("--patience", type=int, default=50, help="epochs without a better validation")
    parser.add_argument("--validate-every", type=int, default=1, help="epochs")
    parser.add_argument("--validation-users", type=int, help="ranked for early stopping; all by default")
    parser.add_argument("--filter-seen", action="store_true", help="no item of a user's history is shown again")
    parser.add_argument("--accelerator", choices=("auto", "cpu", "gpu"), default="auto")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of torch; 1 on a busy machine")
    args = parser.parse_args()
    args.loss = args.loss or ("softmax" if args.model == "sasrec" else "sampled_softmax")
    return args


def main() -> None:
    args = arguments()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    warnings.filterwarnings("ignore")
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    torch.utils.deterministic.fill_uninitialized_memory = False  # an aid for debugging that would cost the peer time
    torch.set_num_threads(args.threads)
    seed_everything(args.seed)
    told, found = answer(args)
    args.output.write_text(json.dumps({**told, "ranks": found}))
    print(json.dumps(told))


if __name__ == "__main__":
    main()
