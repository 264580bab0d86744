"""Scan of 10,000 pairs on 500,000 trials against DoubleMLPLR with the same ridge and folds, per pair, in one process.

    .venv/bin/python benchmarks/scan.py --json

100 treatments by 100 outcomes, 5,000 users of uneven activity. The peer is timed on a few of the pairs (each costs
seconds) and every one of them is compared. ``of_gemm`` is the share of the scan's time that its products would take
alone (Gram matrix, X'T and X'Y, residuals, residuals times residuals user by user), as plain matrix products of like
shapes in the same run; ``step_of_gemm`` is that of the step design's sums, where an outcome leaves its own decisions
out: five products, of which ours does those of rare decisions as sparse ones. Everything runs on one thread, and
seconds are of processor time, which what else the machine does moves less.
"""

import argparse
import json
import time
import warnings
from collections.abc import Callable

import numpy as np
from doubleml import DoubleMLData, DoubleMLPLR
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from whybuy.causal.array_scan import ArrayScan, scan_arrays
from whybuy.causal.masked import MaskedTrials, masked_pair_sums

N_TRIALS, N_USERS, N_COVARIATES, N_BEHAVIORS, N_FOLDS, PENALTY = 500_000, 5_000, 60, 100, 5, 10.0
Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def draw(n_trials: int, seed: int) -> Arrays:
    """Trials of users whose taste moves covariates, treatments and outcomes alike."""
    rng = np.random.default_rng(seed)
    n_users = n_trials * N_USERS // N_TRIALS
    user = np.sort(rng.choice(n_users, n_trials, p=rng.dirichlet(np.full(n_users, 2.0))))
    taste = rng.normal(size=(n_users, N_COVARIATES))
    X = taste[user] + rng.normal(size=(n_trials, N_COVARIATES))
    weights = rng.normal(size=(N_COVARIATES, 2 * N_BEHAVIORS)) / 8
    hits = np.empty((n_trials, 2 * N_BEHAVIORS), np.uint8)
    for rows in np.array_split(np.arange(n_trials), 20):
        score = X[rows] @ weights - 1.5
        hits[rows] = rng.random(score.shape) < 1 / (1 + np.exp(-score))
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


def seconds_of(work: Callable[[], object]) -> float:
    """The better of two."""
    taken = []
    for _ in range(2):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return min(taken)


def seconds_of_products(shapes: list[tuple[int, int, int, int]]) -> float:
    """Seconds of plain matrix products (m x k)(k x n), each so many times."""
    rng = np.random.default_rng(1)
    seconds = 0.0
    for m, k, n, times in shapes:
        left, right, out = rng.random((m, k)), rng.random((k, n)), np.empty((m, n))

        def work(left: np.ndarray = left, right: np.ndarray = right, out: np.ndarray = out, times: int = times) -> None:
            for _ in range(times):
                np.dot(left, right, out)

        seconds += seconds_of(work)
    return seconds


def scan_and_products(arrays: Arrays) -> tuple[ArrayScan, float, float]:
    """The scan, its seconds, and those of its products alone."""
    X, T, Y, user, folds = arrays
    n, p, B = len(X), N_COVARIATES + 1, N_BEHAVIORS
    found = scan_arrays(X, T, Y, groups=user, folds=folds, penalty=PENALTY)
    seconds = seconds_of(lambda: scan_arrays(X, T, Y, groups=user, folds=folds, penalty=PENALTY))
    shapes = [(p, 400, p, n // 400), (p, 400, 2 * B, n // 400), (400, p, 2 * B, n // 400), (B, 100, B, n // 100)]
    return found, seconds, seconds_of_products(shapes)


def step_share(user: np.ndarray) -> float:
    """The step design's sums of one block of trials: seconds of its five products alone / its own."""
    rng, n, B = np.random.default_rng(2), len(user), N_BEHAVIORS
    T = np.zeros((n, B))
    T[np.arange(n), rng.integers(5, B, n)] = T[np.arange(n), rng.integers(0, 5, n)] = 1
    E, Y = rng.uniform(0.01, 0.05, (n, B)), (rng.random((n, B)) < 0.1).astype(float)
    trials = MaskedTrials(T, E, T, E, Y - 0.1, Y, np.zeros((B, B)), user)
    seconds = seconds_of(lambda: masked_pair_sums(trials))
    return seconds_of_products([(B, 100, B, 5 * n // 100)]) / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--trials", type=int, default=N_TRIALS)
    parser.add_argument("--peer-pairs", type=int, default=4)
    args = parser.parse_args()
    arrays = draw(args.trials, 0)
    X, T, Y, user, folds = arrays
    with threadpool_limits(1):
        ours, total, products = scan_and_products(arrays)
        pairs = [(i * 5 % N_BEHAVIORS, i * 7 % N_BEHAVIORS) for i in range(args.peer_pairs)]
        start = time.process_time()
        theirs = [peer(X, T[:, b].astype(float), Y[:, a].astype(float), folds) for b, a in pairs]
        peer_seconds = (time.process_time() - start) / len(pairs)
        step = step_share(user[:16_384])
    seconds = total / N_BEHAVIORS**2
    result = {
        "name": "scan",
        "ours": seconds,
        "peer": peer_seconds,
        "ratio": peer_seconds / seconds,
        "unit": "seconds of processor time per pair",
        "agree": max(abs(ours.estimate[b, a] - c) / se for (b, a), (c, se) in zip(pairs, theirs, strict=True)),
        "of_gemm": products / total,
        "step_of_gemm": step,
    }
    print(json.dumps(result) if args.json else "\n".join(f"{k}: {v}" for k, v in result.items()))


if __name__ == "__main__":
    main()
