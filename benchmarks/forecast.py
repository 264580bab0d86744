"""What is next, and who buys within the horizon: the behavior model against Markov, the perceptron and LightGBM.

    .venv/bin/python benchmarks/forecast.py --logs taobao_userbehavior_100k --json

One model a log, trained on four fifths of the users, judged on the others: log-loss of every next event (action and
category) against a Markov chain of both; chance of a purchase within the horizon before every decision, against the
64-32-1 perceptron on ten features and LightGBM on all windowed counts, which see the same past. Ours is the
Transformer mixed with the chain, its weights chosen on users who taught neither; its chance of a purchase is
recalibrated on the same users. Logs that stand in ``--measured`` are
not run again.
"""

import argparse
import json
import os
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "0")
os.environ.setdefault("KERAS_BACKEND", "torch")

sys.path.insert(0, str(Path(__file__).parents[1]))

import lightgbm as lgb
import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from benchmarks.inputs.ingested import ROOT, demo, ingested, proposed
from scipy.special import expit

from whybuy.behavior.baselines.events import EventLoss, MarkovEvents
from whybuy.behavior.baselines.judged import judge
from whybuy.behavior.baselines.mlp import MlpPlan, train_mlp
from whybuy.behavior.calibration import Platt
from whybuy.behavior.examples import Examples
from whybuy.behavior.family import family_of, feature_spec
from whybuy.behavior.folds import folds_of_users
from whybuy.behavior.model import BehaviorModel
from whybuy.behavior.next_event import event_loss
from whybuy.behavior.rates import start_from_rates
from whybuy.behavior.sizes import RECIPES, TrainingPlan, Weights, model_shape, rows_of_a_step
from whybuy.behavior.targets import Heads, forecast_horizons
from whybuy.behavior.tokens import own_items
from whybuy.behavior.train import fit, held_out_users, judged, split_users
from whybuy.behavior.twins import codes_of
from whybuy.config import Config, duration_ms
from whybuy.errors import QuestionError
from whybuy.events.behaviors import parse_behavior
from whybuy.events.log import EventLog
from whybuy.events.moments import BehaviorIndex
from whybuy.events.sequences import Sequences, SequenceStore, concatenate

LOGS = (
    "demo", "taobao_userbehavior_100k", "rees46_oct2019_head", "retailrocket_sample", "completejourney",
    "online_retail_ii",
)  # fmt: skip
TEST_SHARE = 0.2  # as the perceptron's
ANY_PURCHASE = parse_behavior("purchase:*")


@dataclass(frozen=True)
class Log:
    """A log that was ingested."""

    config: Config
    log: EventLog
    store: SequenceStore


def opened(name: str, cache: Path) -> Log:
    """The log by the proposed config, ingested once."""
    folder = cache / name
    config = demo(folder) if name == "demo" else proposed(name, folder)
    return Log(config, *ingested(lambda: config, folder))


def trained(shop: Log, sequences: Sequences, train: npt.NDArray[np.bool_], size: str) -> tuple[BehaviorModel, Examples]:
    """One model of the users with ``train`` true, of whom a tenth chooses the pass."""
    family = family_of(shop.store, shop.config.causal)
    modeled = tuple(dict.fromkeys([*family.modeled, ANY_PURCHASE]))
    quality, horizons = shop.log.quality, tuple(duration_ms(h) for h in shop.config.horizons)
    heads = Heads(
        spec=feature_spec(shop.store, BehaviorIndex.of(modeled, shop.store.vocabulary)),
        outcomes=(modeled.index(ANY_PURCHASE),),
        horizons_ms=horizons,
        forecasts_ms=forecast_horizons(horizons, quality.end_ms - quality.start_ms),
        end_ms=quality.end_ms,
    )
    codes = codes_of(shop.store, n_own=own_items(shop.log.items()["n_events"].to_numpy(np.int64)))
    recipe = RECIPES[size]
    plan = TrainingPlan(
        trunk=recipe.trunk,
        context=recipe.context,
        learning_rate=recipe.learning_rate,
        epochs=30,
        patience=3,
        weights=Weights(action=1.0, category=1.0, item=0.1),
        judged_by=("outcome_anywhere", "action", "category"),
        negatives=512 if len(shop.store.vocabulary.items) > 1024 else None,
    )
    examples = Examples.of(sequences, heads, codes, context=plan.context)
    plan = replace(plan, rows=rows_of_a_step(sequences.n_events, examples.windows.length))
    torch.manual_seed(plan.seed)
    model = BehaviorModel(model_shape(examples, plan, n_text=0), codes.entities)
    split = split_users([folds_of_users(sequences.user_ids).position], [train])
    start_from_rates(model, [examples], split.train)
    fit(model, [examples], plan, split)
    return model, examples


def next_event(model: BehaviorModel, examples: Examples, test: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """Nats per event of both, on the test users' decisions."""
    ours = event_loss(model, examples, test)
    sequences, n_categories = examples.sequences, examples.codes.entities.n_categories
    train = sequences.users(~test)
    choose = held_out_users(folds_of_users(train.user_ids).position)
    markov = MarkovEvents.tuned(train.users(~choose), train.users(choose), n_categories=n_categories)
    theirs = markov.log_loss(sequences, judged=_mask(sequences, ours))
    weights = _weights(model, examples, markov, test)
    both = ours.mixed(theirs, weights, name="Transformer + memory")
    gap = both.minus(theirs)
    return {
        "events": len(ours.event),
        "nats": both.mean()[2],
        "transformer nats": ours.mean()[2],
        "markov nats": theirs.mean()[2],
        "better by": 1 - both.mean()[2] / theirs.mean()[2],
        "difference": [gap.low, gap.high],
        "weights": weights,
    }


def _weights(
    model: BehaviorModel, examples: Examples, markov: MarkovEvents, test: npt.NDArray[np.bool_]
) -> tuple[float, float]:
    """Weights of the mixture, on the tenth of the training users that taught neither."""
    ours = event_loss(model, examples, _unseen(examples.sequences, test))
    return ours.best_weights(markov.log_loss(examples.sequences, judged=_mask(examples.sequences, ours)))


def _unseen(sequences: Sequences, test: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The users who chose the pass and taught nothing else."""
    return ~test & held_out_users(folds_of_users(sequences.user_ids).position)


def _mask(sequences: Sequences, loss: EventLoss) -> npt.NDArray[np.bool_]:
    asked = np.zeros(sequences.n_events, bool)
    asked[loss.event] = True
    return asked


def purchase(model: BehaviorModel, examples: Examples, test: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """AUC and log-loss of a purchase within the horizon, before every decision of the test users."""
    heads, targets = examples.heads, examples.targets
    usable = targets.decided & targets.followed[:, 0]
    is_test = test[examples.moments.user]
    happened = targets.outcome[:, 0] > 0
    logits = np.full(len(usable), np.nan)
    unseen = _unseen(examples.sequences, test)
    for moment, found in judged(model, examples, test | unseen):
        logits[moment] = found[:, heads.n_behaviors + heads.n_outcomes]
    tell = np.flatnonzero(usable & unseen[examples.moments.user])
    platt = Platt.fit(logits[tell].astype(np.float64), happened[tell])
    rows, learn = np.flatnonzero(usable & is_test), np.flatnonzero(usable & ~is_test)
    base_rate = float(happened[learn].mean())
    user = examples.moments.user
    said = {"Transformer": platt.probability(logits[rows]), "as trained": expit(logits[rows])}
    said |= {"LightGBM": _boosted(examples, happened, learn, rows)}
    plan = MlpPlan(heads.horizons_ms[0], heads.end_ms, through=False)
    try:
        mlp, _ = train_mlp([examples.sequences], plan)
        said["perceptron"] = mlp.probability(examples.sequences)[rows]
    except QuestionError as error:
        print(error, file=sys.stderr)
    found: dict[str, Any] = {"decisions": len(rows), "base rate": base_rate}
    for name, p in said.items():
        figures = judge(happened[rows], p, user[rows], base_rate=base_rate)
        found |= {f"{name} auc": figures.auc.estimate, f"{name} log-loss": figures.log_loss.estimate}
        found[f"{name} ece"] = figures.calibration_error
        found["base log-loss"] = figures.base_log_loss
    return found


def _boosted(
    examples: Examples, happened: npt.NDArray[np.bool_], learn: npt.NDArray[np.int64], rows: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """LightGBM on all windowed counts; rounds chosen on a tenth of the training users."""
    choose = held_out_users(folds_of_users(examples.sequences.user_ids).position)[examples.moments.user[learn]]
    data = [
        lgb.Dataset(examples.wide[part].astype(np.float32), happened[part]) for part in (learn[~choose], learn[choose])
    ]
    options = {
        "objective": "binary",
        "learning_rate": 0.05,
        "num_leaves": 31,
        "verbose": -1,
        "num_threads": 2,
        "seed": 7,
    }
    stop = lgb.early_stopping(30, verbose=False)
    booster = lgb.train(options, data[0], 600, valid_sets=[data[1]], callbacks=[stop])
    return np.asarray(booster.predict(examples.wide[rows].astype(np.float32)))


def one(name: str, cache: Path, size: str, most: int) -> dict[str, Any]:
    """Both comparisons on one log; of a longer one about ``most`` events of users drawn by their hash."""
    shop = opened(name, cache)
    share = most / max(shop.log.quality.rows_kept, 1)
    # Another hash than that of the test users, which would otherwise be all that is drawn.
    drawn = (users.users(folds_of_users(users.user_ids).position * 89 % 1 < share) for users in shop.store)
    sequences = concatenate(list(drawn))
    start = time.perf_counter()
    test = folds_of_users(sequences.user_ids).position < TEST_SHARE
    model, examples = trained(shop, sequences, ~test, size)
    found = next_event(model, examples, test)
    usable = examples.targets.decided & examples.targets.followed[:, 0]
    if examples.targets.outcome[usable].sum() >= 50:
        found |= purchase(model, examples, test)
    return {"size": size, "events read": sequences.n_events, "seconds": time.perf_counter() - start} | found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--logs", nargs="+", choices=LOGS, default=list(LOGS))
    parser.add_argument("--size", choices=RECIPES, default="tiny")
    parser.add_argument("--cache", type=Path, default=ROOT / "build" / "forecast")
    parser.add_argument("--events", type=int, default=250_000, help="of a log at most")
    parser.add_argument("--measured", type=Path, default=ROOT / "benchmarks" / "measured" / "forecast.json")
    args = parser.parse_args()
    torch.set_num_threads(2)
    kept: dict[str, Any] = json.loads(args.measured.read_text()) if args.measured.exists() else {}
    args.measured.parent.mkdir(parents=True, exist_ok=True)
    for name in args.logs:
        if name not in kept:
            kept[name] = one(name, args.cache, args.size, args.events)
            args.measured.write_text(json.dumps(kept, indent=1))
            print(name, kept[name], file=sys.stderr, flush=True)
    table = pd.DataFrame({name: kept[name] for name in args.logs}).T
    with pd.option_context("display.width", 220, "display.max_columns", None):
        print(table.to_string(), file=sys.stderr)
    line = {
        "name": "forecast",
        "ours": float(table["nats"].astype(float).mean()),
        "peer": float(table["markov nats"].astype(float).mean()),
        "ratio": float((table["markov nats"].astype(float) / table["nats"].astype(float)).min()),
        "unit": "nats per next event",
        "agree": 0.0,
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
