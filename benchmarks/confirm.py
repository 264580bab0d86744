"""Confirmation of 100 pairs against DoubleMLIRM with the same LightGBM, folds and arrays, per pair, in one process.

    .venv/bin/python benchmarks/confirm.py --json

10 treatments by 10 outcomes on 60,000 trials of 2,000 users. Ours fits 10 propensities and 10 expectations, each shared
by ten pairs, and gives the ATO and, by augmented weights, ATE and ATT of every pair; the peer fits every pair's own and
gives its ATE. The learners have the same size. ``with_checks`` are seconds per pair of ours with every check of a
confirmed effect, which the peer has none of. ``agree`` is the largest difference of the ATEs in standard errors: the
folds teach other shares of the rows (one booster a fold, averaged, against one on all other folds), so they are not
equal. Everything runs on one thread; seconds are of processor time, which what else the machine does moves less.
"""

import argparse
import json
import time
import warnings
from pathlib import Path

import numpy as np
from doubleml import DoubleMLData, DoubleMLIRM
from lightgbm import LGBMClassifier
from threadpoolctl import threadpool_limits

from whybuy.causal import average
from whybuy.causal.confirm import Nuisance, PairJudge, TrialTable, clustered_ato, fit_nuisance, pair_data
from whybuy.causal.effects import Estimate
from whybuy.causal.learners import OUTCOME, PROPENSITY, BoostingPlan, fixed_parameters
from whybuy.causal.trials import Columns
from whybuy.config import config_from_dict
from whybuy.events.behaviors import Behavior, parse_behavior

N_USERS, EACH, N_COVARIATES, N_BEHAVIORS, N_FOLDS, SEED = 2_000, 30, 60, 10, 3, 7
DAY_MS = 86_400_000
NEVER = -15.0
"""Logit of a decision that is an outcome: here none is."""

TREATMENTS = [parse_behavior(f"view:c{i}") for i in range(N_BEHAVIORS)]
OUTCOMES = [parse_behavior(f"purchase:c{i}") for i in range(N_BEHAVIORS)]
PAIRS = [(b, a) for b in TREATMENTS for a in OUTCOMES]
Pair = tuple[Behavior, Behavior]


def draw(seed: int) -> TrialTable:
    """Trials of users whose taste moves covariates, treatments and outcomes alike."""
    rng = np.random.default_rng(seed)
    user = np.repeat(np.arange(N_USERS), EACH)
    n = len(user)
    X = (rng.normal(size=(N_USERS, N_COVARIATES))[user] + rng.normal(size=(n, N_COVARIATES))).astype(np.float32)
    score = X @ rng.normal(size=(N_COVARIATES, 2 * N_BEHAVIORS)) / 20 - 1.2
    T = rng.random((n, N_BEHAVIORS)) < 1 / (1 + np.exp(-score[:, :N_BEHAVIORS]))
    Y = rng.random((n, N_BEHAVIORS)) < 1 / (1 + np.exp(-score[:, N_BEHAVIORS:] - 0.3 * T))
    done = {b: T[:, i].astype(np.uint8) for i, b in enumerate(TREATMENTS)}
    nothing = {b: np.zeros(n, np.uint8) for b in (*TREATMENTS, *OUTCOMES)}
    return TrialTable(
        X=X,
        columns=Columns([f"x{i} in 1d" for i in range(N_COVARIATES)], ["behavior"] * N_COVARIATES),
        user=user,
        fold=user % N_FOLDS,
        is_behavior={**nothing, **done},
        outcome={a: Y[:, i].astype(np.uint8) for i, a in enumerate(OUTCOMES)},
        start_e={a: np.full(n, NEVER, np.float32) for a in OUTCOMES},
        start_m={},
        start_any={},
        ts_ms=np.tile(np.arange(EACH) * DAY_MS, N_USERS),
        past=nothing,
        recent=nothing,
        past_ms=7 * DAY_MS,
        recent_ms=DAY_MS,
    )


def estimates(table: TrialTable, nuisance: Nuisance, pair: Pair) -> tuple[float, Estimate]:
    """The ATO and the ATE of one pair."""
    keep, data = pair_data(table, nuisance, pair)
    return clustered_ato(data)[0], average.averages(data, table.tau(pair, keep, data))[0]


def learner(plan: BoostingPlan) -> LGBMClassifier:
    """The same booster for scikit-learn."""
    fixed = {k: v for k, v in fixed_parameters(threads=1, seed=SEED).items() if k != "boost_from_average"}
    return LGBMClassifier(n_estimators=plan.rounds, **fixed, **plan.parameters())


def peer(table: TrialTable, pair: Pair) -> tuple[float, float]:
    """The ATE of one pair and its standard error by DoubleML."""
    b, a = pair
    splits = [(np.flatnonzero(table.fold != k), np.flatnonzero(table.fold == k)) for k in range(N_FOLDS)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = DoubleMLData.from_arrays(
            table.X.astype(float), table.outcome[a].astype(float), table.is_behavior[b].astype(float)
        )
        model = DoubleMLIRM(data, learner(OUTCOME), learner(PROPENSITY), n_folds=N_FOLDS)
        model.set_sample_splitting([splits])
        model.fit()
    return float(model.coef[0]), float(model.se[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--peer-pairs", type=int, default=3)
    args = parser.parse_args()
    table = draw(0)
    columns = {name: name for name in ("user_id", "ts", "action")}
    config = config_from_dict({"events": [{"path": "table:none", "columns": columns}]}, base=Path())
    with threadpool_limits(1):
        start = time.process_time()
        nuisance = fit_nuisance(table, PAIRS, seed=SEED)
        ours = {pair: estimates(table, nuisance, pair) for pair in PAIRS}
        seconds = (time.process_time() - start) / len(PAIRS)
        asked = [(TREATMENTS[i % N_BEHAVIORS], OUTCOMES[3 * i % N_BEHAVIORS]) for i in range(args.peer_pairs)]
        start = time.process_time()
        theirs = [peer(table, pair) for pair in asked]
        peer_seconds = (time.process_time() - start) / len(asked)
        start = time.process_time()
        judge = PairJudge(table, "7d", config)
        for pair in PAIRS:
            judge(pair, *pair_data(table, nuisance, pair))
        checks = (time.process_time() - start) / len(PAIRS)
    result = {
        "name": "confirm",
        "ours": seconds,
        "peer": peer_seconds,
        "ratio": peer_seconds / seconds,
        "unit": "seconds of processor time per pair",
        "agree": max(abs(ours[pair][1].estimate - c) / se for pair, (c, se) in zip(asked, theirs, strict=True)),
        "with_checks": seconds + checks,
    }
    print(json.dumps(result) if args.json else "\n".join(f"{k}: {v}" for k, v in result.items()))


if __name__ == "__main__":
    main()
