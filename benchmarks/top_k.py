"""Top-10 of 100,000 items: ours, implicit's recommend at equal factors, and the bare matrix products with one pass.

    .venv/bin/python benchmarks/top_k.py --users 100000 --json

One thread each, seconds of processor time, the better of two. ``of_bound`` is ours / (matrix products alone + one
maximum per row), which no exact method that computes every score can beat. ``agree`` is the largest difference of a
score between ours and the peer.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from implicit.cpu.als import AlternatingLeastSquares
from threadpoolctl import threadpool_limits

from whybuy.recommend.top_k import top_k

Vectors = npt.NDArray[np.float32]

K = 10
BLOCK = 160  # rows of scores at once, as ours has for 100,000 items


def seconds_of(work: Callable[[], object]) -> tuple[float, object]:
    """The better of two, and what came out."""
    taken, out = [], None
    for _ in range(2):
        start = time.process_time()
        out = work()
        taken.append(time.process_time() - start)
    return min(taken), out


def bound(users: Vectors, items: Vectors) -> None:
    """Every score once, and its maximum."""
    scores, transposed = np.empty((BLOCK, len(items)), np.float32), np.ascontiguousarray(items.T)
    for first in range(0, len(users), BLOCK):
        block = users[first : first + BLOCK]
        np.matmul(block, transposed, out=scores[: len(block)])
        scores[: len(block)].max(axis=1)


def peer_of(users: Vectors, items: Vectors) -> Callable[[], object]:
    """implicit's answer for everybody, nothing filtered."""
    model = AlternatingLeastSquares(factors=users.shape[1], num_threads=1)
    model.user_factors, model.item_factors = users, items
    nothing = sp.csr_matrix((len(users), len(items)), dtype=np.float32)
    everybody = np.arange(len(users))
    return lambda: model.recommend(everybody, nothing, N=K, filter_already_liked_items=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--users", type=int, default=2_000)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--factors", type=int, default=64)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    users, items = (rng.normal(size=(n, args.factors)).astype(np.float32) for n in (args.users, args.items))
    with threadpool_limits(1):
        ours, found = seconds_of(lambda: top_k(users, items, K))
        peer, (_, scores) = seconds_of(peer_of(users, items))
        products, _ = seconds_of(lambda: bound(users, items))
    what = f"top {K} of {args.items:,} items for {args.users:,} users, {args.factors} factors"
    result = {
        "name": "top_k",
        "ours": ours,
        "peer": peer,
        "ratio": peer / ours,
        "unit": f"seconds of processor time, {what}",
        "agree": float(np.abs(found.score - scores).max()),
        "of_bound": ours / products,
    }
    print(json.dumps(result) if args.json else "\n".join(f"{name}: {value}" for name, value in result.items()))


if __name__ == "__main__":
    main()
