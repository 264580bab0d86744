"""Learners of uplift: ours, CausalML's and scikit-uplift's, taught on the same people and judged on the same others.

    .venv/bin/python benchmarks/uplift.py --json

``whybuy.estimators.uplift`` as it comes. Peers are taught on the people that taught ours, with two settings of
LightGBM, its own and small trees, each counted as a peer. Judged on ``N_TEST`` further people of known effects:

    qini      what ranking adds over a random order per person, averaged over all budgets, by the known effects
    at_30     outcomes per person that treating the first 30% adds, by the known effects
    observed  the same Qini by what was seen of them (inverse propensities), as if effects were not known

Differences to each peer are means over seeds (none of which chose anything of ours), as a share of the peer's; 95%
intervals by a paired bootstrap of the test people of every seed. The means over sets are of every peer's differences.

Speed: seconds of processor time of one thread for fits with the same settings of LightGBM (31 bins). Ours has an answer
out of three folds for everybody who taught it. CausalML's X has none, so it is also asked out of the same folds. "As it
comes" ours stops early, "every tree grown" it does not.
"""

import argparse
import json
import logging
import os
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = os.environ["LOKY_MAX_CPU_COUNT"] = "1"
sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import pandas as pd
from benchmarks.inputs.uplift_sets import SETS, Drawn, draw
from benchmarks.peers import uplift_learners as peers
from benchmarks.peers.uplift_learners import BINARY_ONLY, DEFAULT, FOREST, PEERS, SMALL

from whybuy.campaign.uplift import boosters, learners
from whybuy.campaign.uplift.rate import Ranking
from whybuy.campaign.uplift.rows import UpliftRows
from whybuy.causal.learners import BoostingPlan
from whybuy.estimators import uplift

SEEDS = (100, 101, 102)
N_TEST = 20_000
N_RESAMPLES = 200
TOP = 0.3
MEASURES = ("qini", "at_30", "observed")
FIVE = ("CausalML S", "CausalML T", "CausalML X", "CausalML R", "CausalML DR")
LIGHTGBM: peers.Settings = {
    "n_estimators": 100, "learning_rate": 0.1, "num_leaves": 31, "min_child_samples": 20, "colsample_bytree": 1.0,
    "reg_lambda": 0.0,
}  # fmt: skip
"""LightGBM's defaults, spelled out."""


def rivals(taught: Drawn) -> dict[str, tuple[peers.Peer, peers.Settings]]:
    """Every peer that takes these outcomes, at every setting."""
    found: dict[str, tuple[peers.Peer, peers.Settings]] = {}
    for name, peer in PEERS.items():
        if name in BINARY_ONLY and not taught.binary:
            continue
        settings = {"": FOREST} if "forest" in name else {", defaults": DEFAULT, ", small": SMALL}
        found |= {name + suffix: (peer, chosen) for suffix, chosen in settings.items()}
    return found


def rankings(name: str, seed: int) -> tuple[Drawn, dict[str, np.ndarray]]:
    """Test people, and what everybody who was taught on the others foretells of them; ours first."""
    drawn, test = draw(name, seed), draw(name, 10_000 + seed, N_TEST)
    found = uplift(drawn.X, drawn.T, drawn.Y, drawn.e)
    taught = Drawn(*(getattr(drawn, of)[~found.judging] for of in ("X", "T", "e", "Y", "tau")), drawn.binary)
    foretold = {"ours": found.predict(test.X)}
    for rival, (peer, settings) in rivals(taught).items():
        foretold[rival] = peer(taught, test.X, settings)
    return test, foretold


def measured(priority: np.ndarray, test: Drawn, counts: np.ndarray) -> np.ndarray:
    """``MEASURES`` of a ranking, (r, 3), in resamples of the people who were drawn ``counts`` (r, n) times."""
    ranking = Ranking(priority, np.arange(len(priority)))
    times = counts[:, ranking.order]
    place = np.cumsum(times, axis=1)
    n = len(priority)
    seen = (test.T - test.e) / (test.e * (1 - test.e)) * (test.Y - test.Y.mean())
    effect, outcome = (ranking.shared(values[ranking.order]) for values in (test.tau, seen))
    area = times * (n - 2 * place + times) / (2 * n * n)
    top = np.clip(TOP * n - (place - times), 0, times) / n
    return np.column_stack([area @ effect, top @ effect, area @ outcome])


def resampled(name: str, seed: int) -> dict[str, np.ndarray]:
    """Measures of every ranker, (1 + N_RESAMPLES, 3): of the test people, and of resamples of them."""
    test, foretold = rankings(name, seed)
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(N_TEST, np.full(N_TEST, 1 / N_TEST), size=N_RESAMPLES)
    counts = np.vstack([np.ones(N_TEST, np.int64), drawn])
    return {ranker: measured(tau, test, counts) for ranker, tau in {**foretold, "truth": test.tau}.items()}


def against(ours: np.ndarray, peer: np.ndarray) -> dict[str, Any]:
    """Differences of (seeds, resamples, measures), as shares of the peer's."""
    share = (ours - peer).mean(axis=0) / np.abs(peer[:, 0].mean(axis=0))
    low, high = np.quantile(share[1:], (0.025, 0.975), axis=0)
    ahead = int((ours[:, 0, 0] > peer[:, 0, 0]).sum())
    found = {m: {"difference": share[0, i], "low": low[i], "high": high[i]} for i, m in enumerate(MEASURES)}
    return {**found, "seeds_ahead": ahead}


def compared(seeds: list[int], names: list[str]) -> dict[str, Any]:
    """Of every set, how each ranker does, as shares of the best there is, and ours against each peer."""
    sets = {}
    for name in names:
        runs = [resampled(name, seed) for seed in seeds]
        stacked = {ranker: np.stack([run[ranker] for run in runs]) for ranker in runs[0]}
        ours, truth = stacked["ours"], stacked.pop("truth")
        best = truth[:, 0].mean(axis=0)
        sets[name] = {
            "of_best": {ranker: dict(zip(MEASURES[:2], (of[:, 0].mean(axis=0) / best)[:2], strict=True))
                        for ranker, of in stacked.items()},
            "against": {ranker: against(ours, of) for ranker, of in stacked.items() if ranker != "ours"},
        }  # fmt: skip
        print(name, json.dumps(sets[name]), file=sys.stderr, flush=True)
    return sets


def seconds_of(work: Callable[[], object]) -> float:
    """The better of three."""
    taken = []
    for _ in range(3):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return min(taken)


def speed() -> dict[str, Any]:
    """Ratios of CausalML's seconds to ours by the trees that both grow, small ones and those of LightGBM's defaults."""
    drawn = draw("segments", SEEDS[0], 10_000)
    drawn = Drawn(drawn.X, drawn.T, drawn.e, drawn.Y, drawn.tau, binary=False)  # BaseXRegressor and the like
    patience, found = boosters.PATIENCE, {}
    for trees, settings in (("small", SMALL), ("defaults", LIGHTGBM)):
        theirs = seconds_of_causalml(drawn, {**settings, "max_bin": 31})
        learners.OUTCOME = learners.EFFECT = plan_of(settings)
        found[trees] = {"causalml_s": theirs}
        for how, boosters.PATIENCE in (("as it comes", patience), ("every tree grown", settings["n_estimators"])):
            ours = seconds_of_ours(drawn)
            found[trees][how] = {what: {"ratio": theirs[what] / ours[what], "ours_s": ours[what]} for what in theirs}
    return found


def plan_of(settings: peers.Settings) -> BoostingPlan:
    return BoostingPlan(
        rounds=settings["n_estimators"], learning_rate=settings["learning_rate"], leaves=settings["num_leaves"],
        min_rows_in_leaf=settings["min_child_samples"], share_of_columns=settings["colsample_bytree"],
        l2=settings["reg_lambda"],
    )  # fmt: skip


def seconds_of_causalml(drawn: Drawn, settings: peers.Settings) -> dict[str, float]:
    fold = rows_of(drawn, known=True).folds(learners.N_FOLDS)
    nobody = drawn.X[:1]

    def out_of_fold() -> None:
        for k in range(learners.N_FOLDS):
            parts = (getattr(drawn, of)[fold != k] for of in ("X", "T", "e", "Y", "tau"))
            peers.causalml_x(Drawn(*parts, binary=False), drawn.X[fold == k], settings)

    return {
        "x": seconds_of(lambda: peers.causalml_x(drawn, nobody, settings)),
        "x, out of fold": seconds_of(out_of_fold),
        "x, chances unknown": seconds_of(lambda: peers.causalml_x(drawn, nobody, settings, known=False)),
        "s, t, x, r and dr": seconds_of(lambda: [PEERS[name](drawn, nobody, settings) for name in FIVE]),
    }


def seconds_of_ours(drawn: Drawn) -> dict[str, float]:
    x = seconds_of(lambda: taught(drawn, ("x",), known=True))
    return {
        "x": x,
        "x, out of fold": x,
        "x, chances unknown": seconds_of(lambda: taught(drawn, ("x",), known=False)),
        "s, t, x, r and dr": seconds_of(lambda: taught(drawn, ("s", "t", "x", "r", "dr"), known=True)),
    }


def rows_of(drawn: Drawn, *, known: bool) -> UpliftRows:
    return UpliftRows.of(drawn.X, drawn.T, drawn.Y, drawn.e if known else None, None)


def taught(drawn: Drawn, names: tuple[str, ...], *, known: bool) -> None:
    lesson = learners.Lesson(rows_of(drawn, known=known), seed=7)
    lesson.binary = False
    for name in names:
        lesson.learned(name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seeds", type=int, nargs="*", default=list(SEEDS))
    parser.add_argument("--sets", nargs="*", choices=list(SETS), default=list(SETS))
    parser.add_argument("--speed", action="store_true", help="nothing but the speed")
    args = parser.parse_args()
    boosters.THREADS = 1
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    sets = {} if args.speed else compared(args.seeds, args.sets)
    rows = [{"set": name, "peer": peer, **{m: of[m]["difference"] for m in MEASURES}, "low": of["qini"]["low"]}
            for name, found in sets.items() for peer, of in found["against"].items()]  # fmt: skip
    result: dict[str, Any] = {"name": "uplift", "unit": "share of the peer's Qini", "sets": sets, "speed": speed()}
    if rows:
        table = pd.DataFrame(rows)
        ours = np.mean([found["of_best"]["ours"]["qini"] for found in sets.values()])
        best = np.mean([max(v["qini"] for k, v in f["of_best"].items() if k != "ours") for f in sets.values()])
        result |= {
            "ours": ours, "peer": best, "ratio": ours / best, "lowest_bound": table["low"].min(),
            "mean_difference": table.groupby("peer")["qini"].mean().to_dict(),
        }  # fmt: skip
    print(json.dumps(result) if args.json else json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
