"""Rankings by what a recommendation causes: ours beside BPR, P(buy), and rankers that know the true propensities.

    .venv/bin/python benchmarks/causal_ranking.py --json

``whybuy.worlds.journey`` draws the field's benchmark (Sato et al., RecSys 2020) from the Complete Journey's panel. Per
seed, all from the same training rounds: BPR of implicit on what was bought, its settings chosen from ``BPR_GRID`` by
CP@10 of the validation rounds (weighed by the true propensities, which no shop has); and one learner of ours on four
targets: P(buy), the lift by inverse true propensities, the doubly robust lift with true propensities, and with
propensities estimated from the log ("ours"). Judged by the true effects, on seeds that chose nothing.
"""

import argparse
import json
import sys
from itertools import product
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import pandas as pd
from benchmarks.inputs.ingested import DATA
from implicit.bpr import BayesianPersonalizedRanking
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from whybuy.recommend.metrics import causal_metrics
from whybuy.recommend.panel import lifts_of_panel, scores_of_panel
from whybuy.worlds.journey import CausalRanking, draw_causal_ranking, read_panel

SEEDS = (100, 101, 102, 103, 104)
BPR_GRID = {"factors": (64, 128), "iterations": (100, 300), "regularization": (0.001, 0.01), "learning_rate": (0.05,)}


def bpr(drawn: CausalRanking) -> np.ndarray:
    """Scores of the BPR that the validation rounds choose."""
    bought = csr_matrix(drawn.training.outcome.sum(axis=0).astype(np.float32))
    validation = by_inverse_propensity(drawn)
    found = [bpr_scores(bought, dict(zip(BPR_GRID, values, strict=True))) for values in product(*BPR_GRID.values())]
    return max(found, key=lambda scores: causal_metrics(scores, validation).cp_10)


def bpr_scores(bought: csr_matrix, settings: dict[str, Any]) -> np.ndarray:
    model = BayesianPersonalizedRanking(**settings, random_state=7, num_threads=1)
    model.fit(bought, show_progress=False)
    return (model.user_factors @ model.item_factors.T).astype(np.float64)


def by_inverse_propensity(drawn: CausalRanking) -> np.ndarray:
    """Effects of the validation rounds, unbiased and noisy."""
    T, Y, e = drawn.validation.treated, drawn.validation.outcome, drawn.propensity
    return np.where(T, Y / e, -(Y / (1 - e))).mean(axis=0)


def metrics_of(drawn: CausalRanking) -> pd.DataFrame:
    """One row per ranker."""
    T, Y, e = drawn.training.treated, drawn.training.outcome, drawn.propensity
    scores = {
        "BPR (implicit)": bpr(drawn),
        "P(buy)": scores_of_panel(T, Y, target="p_buy").lift,
        "inverse true propensities": scores_of_panel(T, Y, target="inverse_propensity", propensity=e).lift,
        "doubly robust, true propensities": lifts_of_panel(T, Y, propensity=e).lift,
        "ours": lifts_of_panel(T, Y).lift,
        "true P(buy)": drawn.chance.mean(axis=0),
        "true effects": drawn.effect,
    }
    found = {name: causal_metrics(values, drawn.effect).to_frame().iloc[0] for name, values in scores.items()}
    return pd.DataFrame(found).T


def spread(values: pd.Series) -> dict[str, float]:
    return {"mean": values.mean(), "low": values.min(), "high": values.max()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seeds", type=int, nargs="*", default=SEEDS)
    args = parser.parse_args()
    panel = read_panel(DATA / "completejourney")
    with threadpool_limits(1, "blas"):
        runs = {seed: metrics_of(draw_causal_ranking(panel, seed)) for seed in args.seeds}
    stacked = pd.concat(runs, names=["seed", "ranker"])
    cp_10 = stacked["CP@10"].unstack("ranker")
    ours, peer = cp_10["ours"], cp_10["BPR (implicit)"]
    result = {
        "name": "causal_ranking",
        "ours": ours.mean(),
        "peer": peer.mean(),
        "ratio": ours.mean() / peer.mean(),
        "unit": "purchases caused per item of the first ten (CP@10), mean over seeds",
        "ratio_by_seed": spread(ours / peer),
        "of_true_propensities": {
            name: {"of_means": ours.mean() / cp_10[name].mean(), **spread(ours / cp_10[name])}
            for name in ("doubly robust, true propensities", "inverse true propensities")
        },
        "metrics": {
            ranker: {name: spread(rows[name]) for name in rows}
            for ranker, rows in stacked.groupby("ranker", sort=False)
        },
    }
    print(json.dumps(result) if args.json else json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
