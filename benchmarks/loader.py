"""Memory of the loader: what preparing a log and reading a pass of batches takes, for 1 and for 20 million events.

    .venv/bin/python benchmarks/loader.py --json

Each log is prepared and read by a process of its own, in parts as training does, over 30 behaviors; nothing is
trained. What counts is the memory that the process holds itself: resident, less pages of files, which the system may
drop. ``ratio`` is the peak of the short log over that of the long one: 1 where memory does not depend on the length.
``agree`` is the number of events that a pass did not read.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from whybuy import columns as c
from whybuy.behavior.corpus import prepare
from whybuy.behavior.examples import Codes
from whybuy.behavior.targets import Heads
from whybuy.behavior.tokens import Entities, SmallFields
from whybuy.config import duration_ms
from whybuy.events.behaviors import Behavior
from whybuy.events.features import FeatureSpec
from whybuy.events.moments import BehaviorIndex
from whybuy.events.sequences import Sequences, Vocabulary

DAY, DAYS = 86_400_000, 90
EVENTS_OF_A_SHARD, EVENTS_OF_A_USER = 250_000, 20
N_ITEMS, N_CATEGORIES = 2_000, 14
ROWS = 16
ACTIONS = tuple(c.ACTIONS.index(name) for name in ("view", "cart", "purchase"))


def vocabulary() -> Vocabulary:
    """A catalog of plain items."""
    return Vocabulary(
        items=np.array([f"i{k}" for k in range(N_ITEMS)], object),
        categories=sorted(f"c{k}" for k in range(N_CATEGORIES)),
        item_category=(np.arange(N_ITEMS) % N_CATEGORIES).astype(np.int32),
        item_brand=np.full(N_ITEMS, "", object),
        price_edges=np.empty(0),
        attributes={},
        exposures=[],
        brands=[],
        item_brand_code=np.full(N_ITEMS, -1, np.int32),
        item_text=np.full(N_ITEMS, -1, np.int32),
        category_path=np.arange(N_CATEGORIES, dtype=np.int32)[:, None],
    )


@dataclass(frozen=True)
class DrawnLog:
    """Shards that are drawn when they are asked for, so that the log itself takes no memory."""

    n_events: int
    words: Vocabulary

    def __iter__(self) -> Iterator[Sequences]:
        """Yield shards of whole users."""
        for number in range(self.n_events // EVENTS_OF_A_SHARD):
            yield self.shard(number)

    def shard(self, number: int) -> Sequences:
        """Draw a shard."""
        rng = np.random.default_rng([1, number])
        n_users = EVENTS_OF_A_SHARD // EVENTS_OF_A_USER
        n = n_users * EVENTS_OF_A_USER
        times = np.sort(rng.integers(0, DAYS * DAY, (n_users, EVENTS_OF_A_USER)), axis=1)
        item = rng.integers(0, N_ITEMS, n).astype(np.int32)
        none = np.zeros(n, np.int8)
        return Sequences(
            user_ids=np.array([f"{number}-{u}" for u in range(n_users)], object),
            offsets=np.arange(n_users + 1) * EVENTS_OF_A_USER,
            ts_ms=times.ravel(),
            moment_starts=np.arange(n + 1),
            action=rng.choice(ACTIONS, n).astype(np.int8),
            item=item,
            category=self.words.item_category[item],
            price_band=none, price_relative=none, quantity=none, rating=none, slot=none,
            session_start=np.ones(n, bool),
            text=np.full(n, -1, np.int32),
            spend=np.zeros(n, np.float32),
            exposure=np.zeros(n, np.int16),
            attributes=np.zeros((n_users, 0), np.int16),
        )  # fmt: skip


class OwnMemory:
    """The most memory that this process held itself, in MiB, looked at ten times a second."""

    def __init__(self) -> None:
        self.peak = 0.0
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while True:
            told = psutil.Process().memory_info()
            self.peak = max(self.peak, (told.rss - told.shared) / 2**20)
            time.sleep(0.1)


def one(n_events: int) -> dict[str, float]:
    """Prepare a log and read one pass of it."""
    memory, words = OwnMemory(), vocabulary()
    targets = [Behavior(c.ACTIONS[a], "category", str(name)) for a in ACTIONS for name in words.categories[:10]]
    index = BehaviorIndex.of(tuple(targets), words)
    spec = FeatureSpec(ACTIONS, index, (duration_ms("1d"), duration_ms("7d")))
    heads = Heads(spec, tuple(range(20, 30)), (7 * DAY,), (DAY, 7 * DAY), DAYS * DAY)
    codes = Codes(SmallFields.of(words), Entities.of(words, n_own=N_ITEMS))
    start, read, batches = time.perf_counter(), 0, 0
    with tempfile.TemporaryDirectory(prefix="whybuy-loader-") as name:
        corpus = prepare(DrawnLog(n_events, words), heads, codes, folder=Path(name) / "parts")
        prepared = time.perf_counter()
        for number, part in enumerate(corpus):
            windows = np.random.default_rng([2, number]).permutation(len(part.windows.user))
            for packed in part.windows.batches(windows, rows=ROWS):
                batch, _ = part.batch(packed, decided=True)
                read, batches = read + len(batch.labels.action), batches + 1
    return {
        "peak_mib": memory.peak,
        "read": read,
        "parts": len(corpus),
        "prepared_events_per_second": n_events / (prepared - start),
        "read_events_per_second": read / (time.perf_counter() - prepared),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--events", type=int, nargs=2, default=[1_000_000, 20_000_000], metavar=("SHORT", "LONG"))
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(one(args.one)))
        return
    told = []
    for n_events in args.events:
        done = subprocess.run([sys.executable, __file__, "--one", str(n_events)], capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(done.stderr)
        told.append(json.loads(done.stdout))
        print(f"{n_events:,} events: {told[-1]}", file=sys.stderr)
    short, long = told
    line = {
        "name": "loader",
        "ours": long["peak_mib"],
        "peer": short["peak_mib"],
        "ratio": short["peak_mib"] / long["peak_mib"],
        "unit": f"MiB, {args.events[1]:,} events against {args.events[0]:,}",
        "agree": sum(args.events) - short["read"] - long["read"],
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
