"""How the loss of the behavior model falls with size and events: a sweep, the fitted law, and what growth would cost.

    .venv/bin/python benchmarks/scaling.py --json

One demo shop is drawn and ingested once; every model learns from a part of its users, in one plan (two passes, the last
kept, learning rate along the recipes' line), and is judged by the same held-out users: nats per decision of the next
event's action and category and of the purchases within the horizon. The largest cells are held out of the fit and
predicted. Runs are written to ``benchmarks/measured/scaling.json`` as they end and are not done again; another
``--measured`` starts from nothing (less than 25 minutes on one quiet core). ``docs/make_scale.py`` makes
``docs/scale.md`` from that file.
"""

import argparse
import json
import os
import sys
import time
from dataclasses import asdict, dataclass, fields, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "0")

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from benchmarks.inputs.ingested import ROOT, ingested

from whybuy import columns as c
from whybuy.behavior.corpus import prepare
from whybuy.behavior.cost import StepSize, training_flops
from whybuy.behavior.examples import Examples
from whybuy.behavior.family import family_of, feature_spec
from whybuy.behavior.folds import folds_of_users
from whybuy.behavior.model import BehaviorModel, ModelShape
from whybuy.behavior.rates import start_from_rates
from whybuy.behavior.scale.ladder import Ladder, trunk_parameters
from whybuy.behavior.scale.law import Run, ScalingLaw, fit_law
from whybuy.behavior.sizes import RECIPES, TrainingPlan, Weights, model_shape, rows_of_a_step
from whybuy.behavior.targets import Heads, forecast_horizons
from whybuy.behavior.tokens import own_items
from whybuy.behavior.train import Split, evaluate, fit
from whybuy.behavior.transformer import TrunkShape
from whybuy.behavior.twins import codes_of, typical_step
from whybuy.config import Config, duration_ms, load_config
from whybuy.events.log import EventLog
from whybuy.events.moments import BehaviorIndex
from whybuy.events.sequences import SequenceStore
from whybuy.worlds import draw_demo, write_demo
from whybuy.worlds.demo import CELLS
from whybuy.worlds.shop import Shop as DrawnShop

MEASURED = ROOT / "benchmarks" / "measured" / "scaling.json"
WORLD_SEED, HELD_OUT_USERS = 41, 700
SIZES = ((16, 1, 2), (32, 1, 2), (64, 2, 4), (96, 3, 4), (128, 4, 4))
"""Width, depth and heads."""
AMOUNTS = (12_500, 25_000, 50_000, 100_000, 200_000, 400_000)
PASSES = 2
TWICE = 25_000
"""Up to this many events a cell is trained a second time, on other users and from another start: the noise of a run."""
NATS = "true_nats"
JUDGED = ("outcome", "action", "category")
_EVENTS_PER_USER = 91.65


@dataclass(frozen=True)
class Cell:
    """One model to be trained: its trunk, how many events of the log it learns from, and the start."""

    width: int
    depth: int
    heads: int
    log_events: int
    seed: int

    @property
    def trunk(self) -> TrunkShape:
        return TrunkShape(width=self.width, depth=self.depth, heads=self.heads)

    @property
    def is_held_out(self) -> bool:
        """The largest cells: two or more steps up the ladder of size and amount together."""
        rank = SIZES.index((self.width, self.depth, self.heads)) + AMOUNTS.index(self.log_events)
        return rank >= len(SIZES) + len(AMOUNTS) - 3


@dataclass(frozen=True)
class Shop:
    """The log, ready to be learned from; ``order`` are the users that may teach, by hash."""

    log: EventLog
    store: SequenceStore
    examples: Examples
    held_out: npt.NDArray[np.bool_]
    order: npt.NDArray[np.int64]
    folder: Path


def cells() -> list[Cell]:
    """Every cell, the cheapest first."""
    wanted = [Cell(*size, amount, seed) for size in SIZES for amount in AMOUNTS for seed in seeds_of(amount)]
    return sorted(wanted, key=rough_seconds)


def seeds_of(amount: int) -> tuple[int, ...]:
    return (7, 8) if amount <= TWICE else (7,)


def rough_seconds(cell: Cell) -> float:
    """Seconds of one quiet core of 2026 for the plan that is printed; nothing else depends on it."""
    per_token = 4.2e-5 + 2.2e-10 * trunk_parameters(cell.trunk)
    return 1 + per_token * (1.02 * PASSES * cell.log_events + _EVENTS_PER_USER * HELD_OUT_USERS / 3)


def opened(folder: Path) -> Shop:
    """Draw the shop and ingest it, once."""
    users = HELD_OUT_USERS + round(1.02 * AMOUNTS[-1] / _EVENTS_PER_USER)
    path = folder / "shop" / "whybuy.toml"

    def drawn() -> Config:
        shop = draw_demo(WORLD_SEED, n_users=users, with_propensity=True)
        true_nats(shop).to_frame(NATS).to_parquet(folder / "true_nats.parquet")
        return load_config(write_demo(shop, folder / "shop"))

    log, store = ingested(drawn, folder)
    return read(load_config(path), log, store, folder)


def read(config: Config, log: EventLog, store: SequenceStore, folder: Path) -> Shop:
    """Label everything once, by the family of the whole log, so that every loss is over the same heads."""
    modeled = family_of(store, config.causal).modeled
    outcomes = tuple(i for i, behavior in enumerate(modeled) if behavior.action in config.causal.outcomes)
    horizons, span = tuple(duration_ms(h) for h in config.horizons), log.quality.end_ms - log.quality.start_ms
    heads = Heads(
        spec=feature_spec(store, BehaviorIndex.of(modeled, store.vocabulary)),
        outcomes=outcomes,
        horizons_ms=horizons,
        forecasts_ms=forecast_horizons(horizons, span),
        end_ms=log.quality.end_ms,
    )
    codes = codes_of(store, n_own=own_items(log.items()["n_events"].to_numpy(np.int64)))
    examples, *_ = prepare(store, heads, codes)
    by_hash = np.argsort(folds_of_users(examples.sequences.user_ids).position, kind="stable")
    held_out = np.zeros(len(by_hash), bool)
    held_out[by_hash[:HELD_OUT_USERS]] = True
    return Shop(log, store, examples, held_out, by_hash[HELD_OUT_USERS:], folder)


def taught(shop: Shop, cell: Cell) -> npt.NDArray[np.bool_]:
    """The users of a cell: the first by hash, so that small parts lie in large ones; the last for another seed."""
    order = shop.order if cell.seed == 7 else shop.order[::-1]
    events = np.cumsum(np.diff(shop.examples.sequences.offsets)[order])
    mask = np.zeros(len(shop.held_out), bool)
    mask[order[: 1 + int(np.searchsorted(events, cell.log_events))]] = True
    return mask


def plan_of(cell: Cell, length: int) -> TrainingPlan:
    """The plan of every cell; the rate follows the recipes, which fall with the width to the power of .6."""
    return TrainingPlan(
        trunk=cell.trunk,
        rows=rows_of_a_step(cell.log_events, length),
        epochs=PASSES,
        learning_rate=3e-3 * (64 / cell.width) ** 0.6,
        seed=cell.seed,
        weights=Weights(action=1.0, category=1.0),
        judged_by=JUDGED,
    )


def one(shop: Shop, cell: Cell) -> dict[str, Any]:
    """Train and judge one cell. No pass is chosen by the held-out users: the last one counts."""
    users, examples = taught(shop, cell), shop.examples
    plan = plan_of(cell, examples.windows.length)
    torch.manual_seed(plan.seed)
    shape = model_shape(examples, plan, n_text=0)
    model = BehaviorModel(shape, examples.codes.entities)
    start_from_rates(model, [examples], [users])
    clock, cpu = time.monotonic(), time.process_time()
    losses = fit(model, [examples], plan, Split([users], [np.zeros_like(users)]))
    seconds, cpu_seconds = time.monotonic() - clock, time.process_time() - cpu
    parts = evaluate(model, [examples], plan, [shop.held_out])
    events = int(np.diff(examples.sequences.offsets)[users].sum())
    tokens, step = sum(loss.tokens for loss in losses), typical_step(plan, [examples], losses)
    return {
        **asdict(cell),
        "held_out_of_fit": cell.is_held_out,
        "parameters": trunk_parameters(cell.trunk),
        "all_parameters": sum(p.numel() for p in model.parameters()),
        "users": int(users.sum()),
        "passes": PASSES,
        "events": PASSES * events,
        "tokens": tokens,
        "rows": plan.rows,
        "learning_rate": plan.learning_rate,
        "step": asdict(step),
        "flops": training_flops(shape, step) * tokens / (step.rows * step.length),
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "load": os.getloadavg()[0],
        "loss": sum(parts[name] for name in JUDGED),
        "parts": parts,
    }


def true_nats(shop: DrawnShop) -> pd.Series:
    """Minus log of the true chance of the action and category of every decision, by user: no model can get below."""
    events, category = shop.events, shop.items.set_index(c.ITEM)[c.CATEGORY]
    own = ~np.isnan(shop.propensity[:, 0])
    named = events[c.CATEGORY].where(events[c.ITEM].isna(), events[c.ITEM].map(category))
    cell = (events[c.ACTION] + ":" + named)[own].map({name: i for i, name in enumerate(CELLS)}).to_numpy(int)
    nats = -np.log(shop.propensity[own][np.arange(len(cell)), cell].astype(float))
    # Further lines of one order are one decision.
    first = ~events.loc[own, [c.USER, c.TIME]].duplicated().to_numpy()
    return pd.Series(nats[first], index=events.loc[own, c.USER].to_numpy()[first])


def facts_of(shop: Shop) -> dict[str, Any]:
    """What the tables need to know of the log beside the runs."""
    examples, sequences = shop.examples, shop.examples.sequences
    ids = set(sequences.user_ids[shop.held_out])
    nats = pd.read_parquet(shop.folder / "true_nats.parquet")[NATS]
    nats = nats[[user in ids for user in nats.index]]
    judged = shop.held_out[examples.moments.user] & examples.targets.decided
    if len(nats) != judged.sum():
        raise SystemExit(f"{len(nats)} decisions have a true chance, {judged.sum()} are judged")
    held_out_windows = shop.held_out[examples.windows.user]
    return {
        "events": sequences.n_events,
        "users": sequences.n_users,
        "held_out_users": int(shop.held_out.sum()),
        "held_out_decisions": int(judged.sum()),
        "true_nats": float(nats.mean()),
        "tokens_per_event": float(examples.windows.tokens[~held_out_windows].sum())
        / float(np.diff(sequences.offsets)[~shop.held_out].sum()),
        "bytes_of_shards": sum(path.stat().st_size for path in shop.log.shards),
        "bytes_of_sequences": sum(p.stat().st_size for p in shop.store.folder.rglob("*.npy")),
        "bytes_prepared": bytes_in(examples),
        "shape": asdict(model_shape(examples, TrainingPlan(), n_text=0)),
    }


def bytes_in(value: Any) -> int:
    """Bytes of the arrays that a dataclass holds, and those that its parts hold."""
    if isinstance(value, np.ndarray):
        return value.nbytes
    return sum(bytes_in(getattr(value, f.name)) for f in fields(value)) if is_dataclass(value) else 0


def measured(path: Path, cache: Path) -> dict[str, Any]:
    """Train every cell that the file lacks; what is done stays done."""
    record = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"runs": []}
    done = {tuple(run[f.name] for f in fields(Cell)) for run in record["runs"]}
    left = [cell for cell in cells() if tuple(asdict(cell).values()) not in done]
    if not left:
        return record
    shop = opened(cache)
    record["settings"] = settings()
    record["log"] = facts_of(shop)
    print(
        f"{len(left)} of {len(cells())} runs to do, about {sum(map(rough_seconds, left)) / 60:.0f} minutes",
        file=sys.stderr,
    )
    speed = 1.0
    for number, cell in enumerate(left):
        run = one(shop, cell)
        record["runs"].append(run)
        written(record, path)
        speed = 0.5 * speed + 0.5 * run["seconds"] / rough_seconds(cell)
        still = speed * sum(map(rough_seconds, left[number + 1 :])) / 60
        print(f"{number + 1}/{len(left)} {told(run)}; about {still:.0f} minutes left", file=sys.stderr, flush=True)
    return record


def settings() -> dict[str, Any]:
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "world_seed": WORLD_SEED,
        "passes": PASSES,
        "judged": list(JUDGED),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "dtype": "float32",
    }


def written(record: dict[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    os.replace(part, path)


def told(run: dict[str, Any]) -> str:
    speed = run["flops"] / run["cpu_seconds"] / 1e9
    return (
        f"{run['width']} x {run['depth']}, {run['log_events']:,} events, seed {run['seed']}: loss {run['loss']:.4f} "
        f"in {run['seconds']:.0f} s ({run['cpu_seconds']:.0f} s of CPU, {speed:.1f} GFLOP/s)"
    )


# The law and what follows from it


def law_of(record: dict[str, Any], judged: tuple[str, ...] = JUDGED) -> ScalingLaw:
    """The law of the losses ``judged`` together."""
    step = StepSize(**max(record["runs"], key=lambda run: run["flops"])["step"])
    shape = ModelShape(**{**record["log"]["shape"], "trunk": TrunkShape(**record["log"]["shape"]["trunk"])})
    trunks = [TrunkShape(*size) for size in SIZES] + [recipe.trunk for recipe in RECIPES.values()]
    distinct = {trunk_parameters(trunk): trunk for trunk in trunks}.values()
    ladder = Ladder.of(shape, step, distinct, tokens_per_event=record["log"]["tokens_per_event"])
    runs = {
        kept: [
            Run(run["parameters"], run["events"], sum(run["parts"][name] for name in judged))
            for run in record["runs"]
            if run["held_out_of_fit"] == kept
        ]
        for kept in (False, True)
    }
    return fit_law(runs[False], ladder=ladder, held_out=runs[True])


def no_further(law: ScalingLaw) -> float:
    """Mean error on the runs held out of saying that nothing gets better than the best run that was fitted, nats."""
    best = min(run.loss for run in law.runs)
    return float(np.mean([abs(run.loss - best) for run in law.held_out]))


def noise_of(record: dict[str, Any]) -> tuple[float, int]:
    """Standard deviation of the loss of a cell trained twice, from the pairs, and their number."""
    runs = pd.DataFrame(record["runs"])
    pairs = runs.groupby(["parameters", "log_events"])["loss"].agg(["size", "var"]).query("size == 2")
    return float(np.sqrt(pairs["var"].mean())), len(pairs)


def speed_of(record: dict[str, Any]) -> pd.DataFrame:
    """Arithmetic and tokens a second of CPU time by width, all runs of a size together but the first ever."""
    runs = pd.DataFrame(record["runs"]).iloc[1:]
    total = runs.groupby(["width", "depth", "parameters"])[["flops", "tokens", "cpu_seconds", "seconds"]].sum()
    return total.assign(
        flops_per_token=total["flops"] / total["tokens"],
        gflops=total["flops"] / total["cpu_seconds"] / 1e9,
        tokens_per_s=total["tokens"] / total["cpu_seconds"],
    ).reset_index()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--measured", type=Path, default=MEASURED)
    parser.add_argument("--cache", type=Path, default=ROOT / "build" / "scaling")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    record = measured(args.measured, args.cache)
    law = law_of(record)
    print(law.summary(), file=sys.stderr)
    held_out = law.compared().query("held_out")
    ours, peer = float((held_out["loss"] - held_out["observed"]).abs().mean()), no_further(law)
    unit = "nats of error on the runs held out; the peer says that nothing gets better"
    print(json.dumps({"name": "scaling", "ours": ours, "peer": peer, "ratio": peer / ours, "unit": unit, "agree": 0.0}))


if __name__ == "__main__":
    main()
