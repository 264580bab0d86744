"""Ratings of coats that were assigned at random, learned from ratings of coats that people chose (Coat, 2016).

    .venv/bin/python benchmarks/coat.py --json

All learn the same 6,960 chosen ratings with the same factorization, whose rank and penalty the same rule chooses by
left-out ratings of these; they are judged on 4,640 ratings of random coats that chose nothing. The naive one weighs
ratings alike, IPS by the authors' propensities; ours by its own, on top of what attributes promise. Each of the three
with and without attributes, to tell what comes of which. Intervals: 95%, from 10,000 resamples of users.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import pandas as pd
from benchmarks.inputs.ingested import DATA
from threadpoolctl import threadpool_limits

from whybuy.recommend.ratings import chosen_factors, debiased_ratings, factorize

N_RESAMPLES, SEED = 10_000, 7
OURS, NAIVE = "ours", "naive"


def attributes(name: str) -> np.ndarray:
    frame = pd.read_parquet(DATA / "coat" / f"{name}_features.parquet").sort_values(f"{name}_id")
    return frame.drop(columns=f"{name}_id").to_numpy(np.float64)


def matrix(rows: pd.DataFrame, value: str, shape: tuple[int, int]) -> np.ndarray:
    filled = np.full(shape, np.nan)
    filled[rows["user_id"], rows["item_id"]] = rows[value]
    return filled


def fitted(R: np.ndarray, weight: np.ndarray, promised: np.ndarray | float = 0.0) -> np.ndarray:
    """What is promised and the factorization of the rest, at the capacity that left-out ratings choose."""
    return promised + factorize(R - promised, weight, chosen_factors(R - promised, weight, seed=SEED))


def ndcg_at_5(scores: np.ndarray, ratings: np.ndarray) -> float:
    """NDCG@5 of one user's random coats, gains 2^rating - 1."""
    gains, discount = 2.0**ratings - 1, 1 / np.log2(2 + np.arange(5))
    return float(gains[np.argsort(-scores, kind="stable")[:5]] @ discount / (np.sort(gains)[::-1][:5] @ discount))


def by_user(predicted: np.ndarray, test: np.ndarray) -> pd.DataFrame:
    """Squared error and NDCG@5 of every user."""
    told = ~np.isnan(test)
    error = np.nanmean((predicted - test) ** 2, axis=1)
    return pd.DataFrame(
        {"MSE": error, "NDCG@5": [ndcg_at_5(p[k], t[k]) for p, t, k in zip(predicted, test, told, strict=True)]}
    )


def difference(of: pd.DataFrame, against: pd.DataFrame) -> dict[str, dict[str, float]]:
    """The mean difference with its interval by user; all have 16 random coats, so that users count alike."""
    drawn = np.random.default_rng(SEED).integers(len(of), size=(N_RESAMPLES, len(of)))
    found = {}
    for name in of:
        gap = (of[name] - against[name]).to_numpy()
        low, high = np.quantile(gap[drawn].mean(axis=1), [0.025, 0.975])
        found[name] = {"difference": gap.mean(), "low": low, "high": high}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    U, Z = attributes("user"), attributes("item")
    shape = (len(U), len(Z))
    rows = pd.read_parquet(DATA / "coat" / "ratings.parquet")
    R, test = (matrix(rows[rows["split"] == split], "rating", shape) for split in ("self_selected", "random"))
    theirs = matrix(pd.read_parquet(DATA / "coat" / "propensities.parquet"), "propensity", shape)
    rated = ~np.isnan(R)
    with threadpool_limits(1, "blas"):
        ours = debiased_ratings(R, users=U, items=Z, seed=SEED)
        alike, by_theirs, by_ours = rated * 1.0, rated / theirs, rated / ours.chosen
        predicted = {
            NAIVE: fitted(R, alike),
            "IPS, authors' propensities": fitted(R, by_theirs),
            "IPS, our propensities": fitted(R, by_ours),
            "naive, on attributes": fitted(R, alike, ours.promised),
            "IPS on attributes, authors' propensities": fitted(R, by_theirs, ours.promised),
            OURS: ours.rating,
        }
    found = {name: by_user(values, test) for name, values in predicted.items()}
    result: dict[str, Any] = {
        "name": "coat",
        "ours": found[OURS]["MSE"].mean(),
        "peer": found[NAIVE]["MSE"].mean(),
        "ratio": found[NAIVE]["MSE"].mean() / found[OURS]["MSE"].mean(),
        "unit": "mean squared error of ratings of random coats",
        "metrics": {name: frame.mean().to_dict() for name, frame in found.items()},
        "mean_rating": {name: float(values[~np.isnan(test)].mean()) for name, values in predicted.items()}
        | {"random coats": float(np.nanmean(test)), "chosen coats": float(np.nanmean(R))},
        "less_naive": {name: difference(frame, found[NAIVE]) for name, frame in found.items() if name != NAIVE},
        "ours_less": {name: difference(found[OURS], frame) for name, frame in found.items() if name != OURS},
        "factors": vars(ours.factors),
    }
    print(json.dumps(result) if args.json else json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
