"""Scan of 256 pairs on 200,000 trials against DoubleMLPLR with the same ridge and folds, per pair, in one process.

    .venv/bin/python benchmarks/scan.py --json

The peer is timed on a few of the pairs (each costs seconds) and every one of them is compared.
"""

import argparse
import json
import time
import warnings

import numpy as np
from doubleml import DoubleMLData, DoubleMLPLR
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from whybuy.causal.scan import scan_arrays

N_USERS, TRIALS_PER_USER, N_COVARIATES, N_BEHAVIORS, N_FOLDS, PENALTY = 2_000, 100, 60, 16, 5, 10.0


def draw(seed: int) -> tuple[np.ndarray, ...]:
    """Trials of users whose taste moves covariates, treatments and outcomes alike."""
    rng = np.random.default_rng(seed)
    user = np.repeat(np.arange(N_USERS), TRIALS_PER_USER)
    taste = rng.normal(size=(N_USERS, N_COVARIATES))
    X = taste[user] + rng.normal(size=(len(user), N_COVARIATES))
    score = X @ rng.normal(size=(N_COVARIATES, 2 * N_BEHAVIORS)) / 8 - 1.5
    hits = (rng.random(score.shape) < 1 / (1 + np.exp(-score))).astype(float)
    return X, hits[:, :N_BEHAVIORS], hits[:, N_BEHAVIORS:], user, user % N_FOLDS


def peer(X: np.ndarray, t: np.ndarray, y: np.ndarray, folds: np.ndarray) -> tuple[float, float]:
    """The same question asked of DoubleML: estimate and standard error."""
    learner = make_pipeline(StandardScaler(), Ridge(alpha=PENALTY))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = DoubleMLPLR(DoubleMLData.from_arrays(X, y, t), learner, learner, n_folds=N_FOLDS)
        splits = [(np.flatnonzero(folds != k), np.flatnonzero(folds == k)) for k in range(N_FOLDS)]
        model.set_sample_splitting([splits])
        model.fit()
    return float(model.coef[0]), float(model.se[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--peer-pairs", type=int, default=4)
    args = parser.parse_args()
    X, T, Y, user, folds = draw(0)
    scan_arrays(X[:2000], T[:2000], Y[:2000], groups=user[:2000], folds=folds[:2000], penalty=PENALTY)  # warm up
    start = time.perf_counter()
    ours = scan_arrays(X, T, Y, groups=user, folds=folds, penalty=PENALTY)
    seconds = (time.perf_counter() - start) / N_BEHAVIORS**2
    pairs = [(i * 5 % N_BEHAVIORS, i * 7 % N_BEHAVIORS) for i in range(args.peer_pairs)]
    start = time.perf_counter()
    theirs = [peer(X, T[:, b], Y[:, a], folds) for b, a in pairs]
    peer_seconds = (time.perf_counter() - start) / len(pairs)
    agree = max(abs(ours.estimate[b, a] - c) / se for (b, a), (c, se) in zip(pairs, theirs, strict=True))
    result = {
        "name": "scan",
        "ours": seconds,
        "peer": peer_seconds,
        "ratio": peer_seconds / seconds,
        "unit": "seconds per pair",
        "agree": agree,
    }
    print(json.dumps(result) if args.json else "\n".join(f"{k}: {v}" for k, v in result.items()))


if __name__ == "__main__":
    main()
