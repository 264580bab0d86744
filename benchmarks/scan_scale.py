"""Peak memory of a scan of 100 x 100 pairs on five million trials, and its time per event from one million on.

    .venv/bin/python benchmarks/scan_scale.py --json

Logs are drawn, with a hundred events a user, and the behavior model is not trained: random logits of the right size
stand in its heads' place, so that the scan alone is measured, each in a process of its own. There is no peer: the limit
is 4 GiB and ``ratio`` is limit / peak. ``growth`` is the processor time per event of the largest log over that of the
smallest (wanted: at most 1.2). ``agree`` is the number of decisions with heads that a scan does not count.
"""

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path

import duckdb
import numpy as np

from whybuy.behavior.family import Family, family_of, feature_spec
from whybuy.behavior.targets import Heads
from whybuy.causal.scan import scan_trials
from whybuy.causal.trials import Protocol, TrialSource
from whybuy.config import Config, config_from_dict
from whybuy.events.moments import BehaviorIndex, Moments
from whybuy.events.sequences import Sequences, encode_log
from whybuy.events.shards import ingest

LIMIT_GIB, EVENTS_PER_USER, DAYS, N_CATEGORIES = 4.0, 100, 30, 49
COLUMNS = ("user_id", "ts", "action", "item_id", "category")
ACTIONS = ["cart", "purchase"]


def draw(folder: Path, n_events: int) -> Config:
    """Write a log whose users are equally active, and return how it is read and asked."""
    actions = [*["view"] * 6, "search", "cart", "cart", "purchase"]
    with duckdb.connect() as con:
        con.execute("SELECT setseed(0.5)").fetchall()
        con.execute(
            f"""COPY (SELECT 'u' || (i % {n_events // EVENTS_PER_USER}) AS user_id,
                TIMESTAMP '2025-01-01' + to_milliseconds(CAST(random() * {DAYS * 86_400_000} AS BIGINT)) AS ts,
                {actions}[1 + CAST(floor(random() * 10) AS INTEGER)] AS action,
                'i' || (hash(i) % 1000) AS item_id, 'c' || (hash(i) % 1000 % {N_CATEGORIES}) AS category
            FROM range({n_events}) AS r(i)) TO '{folder / "log.parquet"}'"""
        )
    raw = {
        "horizons": ["1d"],
        "lookback": "1d",
        "events": [{"path": "log.parquet", "columns": {name: name for name in COLUMNS}}],
        "causal": {"treatments": ACTIONS, "outcomes": ACTIONS, "categories": N_CATEGORIES},
    }
    return config_from_dict(raw, base=folder)


def prepare(folder: Path, config: Config) -> tuple[TrialSource, Family, int]:
    """Ingest and encode the log, and write random logits in place of heads; return how many decisions have some."""
    for name in ("events", "sequences", "heads"):
        (folder / name).mkdir()
    log = ingest(config, folder / "events")
    store = encode_log(log, folder / "sequences")
    family, protocol = family_of(store, config.causal), Protocol.of(log, config, "1d")
    heads = Heads(
        spec=feature_spec(store, BehaviorIndex.of(family.modeled, store.vocabulary)),
        outcomes=tuple(i for i, b in enumerate(family.modeled) if b in family.outcomes),
        horizons_ms=(protocol.horizon_ms,),
        forecasts_ms=(),
        end_ms=protocol.end_ms,
    )
    rng, n_trials = np.random.default_rng(0), 0
    for shard in store.shards:
        sequences = Sequences.open(shard)
        moments = Moments.of(sequences, reach_ms=protocol.horizon_ms)
        at = np.flatnonzero(protocol.eligible(sequences, moments))
        shape = (len(at), heads.n_behaviors + 2 * heads.n_outcomes)
        np.save(folder / "heads" / f"{shard.name}.moments.npy", at)
        logits = rng.normal(-4, 0.3, shape[1]) + rng.standard_normal(shape, np.float32) * 0.3
        np.save(folder / "heads" / f"{shard.name}.logits.npy", logits.astype(np.float16))
        n_trials += len(at)
    return TrialSource(store, heads, folder / "heads", protocol), family, n_trials


def scan(source: TrialSource, family: Family, config: Config) -> dict[str, float]:
    """Scan in this process: its pairs, decisions, processor seconds and peak memory in GiB."""
    start = time.process_time()
    effects, _ = scan_trials(source, family, "1d", config)
    seconds, peak = time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    told = sum(e.effect.estimate is not None for e in effects)
    # Nothing is left out of the trials for an outcome by itself.
    trials = max(e.n_trials for e in effects)
    return {"pairs": len(effects), "told": told, "trials": trials, "seconds": seconds, "peak": peak}


def measured(n_events: int) -> dict[str, float]:
    """Draw, prepare and scan a log of ``n_events``."""
    with tempfile.TemporaryDirectory(prefix="whybuy-scan-") as name:
        folder = Path(name)
        config = draw(folder, n_events)
        source, family, n_trials = prepare(folder, config)
        with multiprocessing.get_context("spawn").Pool(1) as alone:
            found = alone.apply(scan, (source, family, config))
    return {**found, "missing": n_trials - found["trials"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--events", type=int, nargs="+", default=[1_000_000, 5_400_000])
    args = parser.parse_args()
    found = {n: measured(n) for n in args.events}
    per_event = {n: cell["seconds"] / n for n, cell in found.items()}
    largest = found[max(found)]
    size = f"{largest['pairs']:,} pairs ({largest['told']:,} with grounds) on {largest['trials']:,} trials"
    result = {
        "name": "scan_scale",
        "ours": largest["peak"],
        "peer": LIMIT_GIB,
        "ratio": LIMIT_GIB / largest["peak"],
        "unit": f"GiB, {size} in {largest['seconds']:.0f} s of a core",
        "agree": sum(cell["missing"] for cell in found.values()),
        "growth": per_event[max(found)] / per_event[min(found)],
        "microseconds_per_event": {f"{n:,}": round(1e6 * s, 1) for n, s in per_event.items()},
        "peaks": {f"{n:,}": round(cell["peak"], 2) for n, cell in found.items()},
    }
    print(json.dumps(result) if args.json else "\n".join(f"{k}: {v}" for k, v in result.items()))


if __name__ == "__main__":
    main()
