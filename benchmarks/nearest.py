"""Nearest items of a large catalog: the graph of `recommend/nearest.py` against the exact `recommend/top_k.py`.

    .venv/bin/python benchmarks/nearest.py --json

Vectors of 16 numbers around 1,000 centers (``--centers``) and of one length, as those of the items of a lift model,
which come from what people meet together; queries are sums of ten items near each other. One thread. Seconds of
processor time of one query of 100 items; ``peer`` is the exact search, asked one by one, ``agree`` the share of its 100
items that the graph misses. Beside it what the graph takes to build (``build_s``), in memory and in a file, and the
slowest of a hundred queries.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from whybuy.recommend.nearest import NearestItems
from whybuy.recommend.top_k import top_k

Vectors = npt.NDArray[np.float32]
K, N_DIMENSIONS, N_QUERIES, N_EXACT = 100, 16, 1_000, 50


def catalog(n_items: int, n_centers: int, rng: np.random.Generator) -> tuple[Vectors, Vectors]:
    """Items, and tastes: sums of ten items of one center over the root of their number."""
    centers = rng.normal(size=(n_centers, N_DIMENSIONS))
    center = np.sort(rng.integers(0, n_centers, n_items))
    items = centers[center] + 0.5 * rng.normal(size=(n_items, N_DIMENSIONS))
    items /= np.linalg.norm(items, axis=1, keepdims=True)
    near = np.minimum(rng.integers(0, n_items, N_QUERIES)[:, None] + rng.integers(0, 200, (N_QUERIES, 10)), n_items - 1)
    return items.astype(np.float32), (items[near].sum(axis=1) / np.sqrt(13)).astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--centers", type=int, default=1_000, help="As many as items for no structure at all.")
    args = parser.parse_args()
    items, tastes = catalog(args.items, args.centers, np.random.default_rng(0))
    start = time.process_time()
    graph = NearestItems.build(items, threads=1)
    built = time.process_time() - start
    print(f"built in {built:.0f} s", file=sys.stderr, flush=True)
    taken, found = [], []
    for taste in tastes:
        start = time.process_time()
        found.append(graph.search(taste[None, :], K, threads=1).item[0])
        taken.append(time.process_time() - start)
    with threadpool_limits(1):
        start = time.process_time()
        exact = np.stack([top_k(taste[None, :], items, K).item[0] for taste in tastes[:N_EXACT]])
        peer = (time.process_time() - start) / N_EXACT
    held = np.mean([np.isin(mine, right).mean() for mine, right in zip(exact, found, strict=False)])
    with tempfile.TemporaryDirectory(prefix="whybuy-nearest-") as folder:
        graph.save(Path(folder) / "graph")
        size = (Path(folder) / "graph").stat().st_size
    result = {
        "name": "nearest",
        "ours": float(np.mean(taken)),
        "peer": peer,
        "ratio": peer / float(np.mean(taken)),
        "unit": f"seconds of processor time of one query, {K} of {args.items:,} items, {N_DIMENSIONS} numbers each",
        "agree": 1 - float(held),
        "build_s": built,
        "memory_mib": graph.index.memory_usage / 2**20,
        "file_mib": size / 2**20,
        "slowest_of_100_s": float(np.quantile(taken, 0.99)),
    }
    print(json.dumps(result) if args.json else "\n".join(f"{name}: {value}" for name, value in result.items()))


if __name__ == "__main__":
    main()
