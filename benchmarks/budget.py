"""Who gets which offer: ours and HiGHS' whole integer program where both run, and ours alone on a million people.

    .venv/bin/python benchmarks/budget.py --json
    .venv/bin/python benchmarks/budget.py --people 10000000 --json

Five offers over two channels, a budget and three limits, costs from .1 to 1.2; values are float32, drawn by block from
a seed into a file that is read as a memmap. One thread. ``ours`` and ``peer`` are wall-clock seconds on ``--both``
people, ``agree`` is the difference of the two values as a share of HiGHS'. ``whole`` is ours on ``--people``, in a
process of its own: seconds, gap, and peak memory.
"""

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import scipy.sparse as sp
from scipy.optimize import Bounds, LinearConstraint, milp

from whybuy.estimators import BudgetPlan, Offers, response_curve, spend

COST = np.array([0.1, 0.3, 0.5, 0.8, 1.2])
CHANNELS = ["mail", "mail", "mail", "post", "post"]
BLOCK = 500_000
PEER_GAP = 1e-7
"""Share of the value; HiGHS stops at 1e-4 by itself."""


def draw(path: Path, n: int) -> np.ndarray:
    """Values of n people: skewed over people, with offers that suit some and harm others."""
    values = np.memmap(path, np.float32, "w+", shape=(n, len(COST)))
    for block, start in enumerate(range(0, n, BLOCK)):
        rng = np.random.default_rng([0, block])
        rows = values[start : start + BLOCK]
        person = rng.gamma(0.7, 1.0, (len(rows), 1))
        rows[:] = person * rng.uniform(0.2, 1.5, rows.shape) * np.sqrt(COST) + 0.3 * rng.standard_normal(rows.shape)
    return values


def offers_for(n: int) -> Offers:
    return Offers(cost=COST, channels=CHANNELS, at_most={"mail": n // 4, "post": n // 15, "offer 3": n // 20})


def by_highs(values: np.ndarray, offers: Offers, budget: float) -> tuple[float, str]:
    """The value of the whole program, and how it ended."""
    n, K = values.shape
    people = sp.kron(sp.eye_array(n), np.ones((1, K)), format="csr")
    limits = sp.csr_array(np.tile(np.vstack([COST, offers.members]), n))
    room = np.concatenate([[budget], list(offers.at_most.values()), np.ones(n)])
    found = milp(
        -values.astype(float).ravel(),
        constraints=LinearConstraint(sp.vstack([limits, people], format="csr"), -np.inf, room),
        integrality=np.ones(n * K),
        bounds=Bounds(0, 1),
        options={"mip_rel_gap": PEER_GAP},
    )
    return -float(found.fun), found.message


def seconds_of(work: Any) -> tuple[float, Any]:
    start = time.perf_counter()
    found = work()
    return time.perf_counter() - start, found


def ours_on(folder: str, n: int, with_curve: bool) -> dict[str, Any]:
    """Ours on n people, in a process that has done nothing else but compile."""
    warm(folder)
    values = draw(Path(folder) / "whole", n)
    seconds, plan = seconds_of(lambda: spend(values, offers_for(n), 0.12 * n))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    whole = {"people": n, "seconds": seconds, "gap": plan.gap, "peak_gib": peak, "spent": float(plan.spent.sum())}
    if with_curve:
        seconds, _ = seconds_of(lambda: response_curve(values, offers_for(n)))
        whole["seconds_of_curve"] = seconds
    return whole


def warm(folder: str) -> BudgetPlan:
    return spend(draw(Path(folder) / "warm", 100), offers_for(100), 10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--people", type=int, default=1_000_000)
    parser.add_argument("--both", type=int, default=10_000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="whybuy-budget-") as folder:
        with get_context("spawn").Pool(1) as pool:
            whole = pool.apply(ours_on, (folder, args.people, args.people <= 1_000_000))
        warm(folder)
        values, offers, budget = draw(Path(folder) / "both", args.both), offers_for(args.both), 0.12 * args.both
        ours, plan = seconds_of(lambda: spend(values, offers, budget))
        peer, (value, message) = seconds_of(lambda: by_highs(values, offers, budget))
    result = {
        "name": "budget",
        "ours": ours,
        "peer": peer,
        "ratio": peer / ours,
        "unit": f"seconds, {args.both:,} people x {len(COST)} offers, HiGHS: {message}",
        "agree": abs(plan.value - value) / value,
        "whole": whole,
    }
    print(json.dumps(result) if args.json else json.dumps(result, indent=1))


if __name__ == "__main__":
    sys.exit(main())
