"""Step trials and windowed counts of every event against the same counts as DuckDB window SQL, in one process.

    .venv/bin/python benchmarks/counts.py --json

Both get the events in memory, sorted by user and time, and give back the counts of six actions in five windows before
every event. Ours adds the outcome within seven days and the eligibility of the trial, which the peer is not asked for.
``agree`` is the largest difference of any count.
"""

import argparse
import json
import time

import duckdb
import numpy as np
import pyarrow as pa

from whybuy.events.features import ACTION_WINDOWS, windowed_counts
from whybuy.events.moments import Moments, in_moment, prefix_counts, within
from whybuy.events.sequences import Sequences

N_USERS, N_ACTIONS, DAY = 10_000, 6, 86_400_000


def draw(n_events: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Users of uneven activity over 60 days; times are unique within a user."""
    rng = np.random.default_rng(seed)
    user = np.sort(rng.choice(N_USERS, n_events, p=rng.dirichlet(np.full(N_USERS, 0.7))))
    ts = rng.integers(0, 60 * DAY, n_events)
    order = np.lexsort((ts, user))
    user, ts = user[order], ts[order]
    keep = np.concatenate([[True], (user[1:] != user[:-1]) | (ts[1:] != ts[:-1])])
    return user[keep], ts[keep], rng.integers(0, N_ACTIONS, keep.sum()).astype(np.int8)


def ours(user: np.ndarray, ts: np.ndarray, action: np.ndarray) -> np.ndarray:
    """Counts, and the trials with their outcomes."""
    n = len(user)
    starts = np.flatnonzero(np.diff(user, prepend=-1))
    nothing = np.full(n, -1, np.int32)
    sequences = Sequences(
        user_ids=user[starts].astype(str).astype(object),
        offsets=np.append(starts, n),
        ts_ms=ts,
        moment_starts=np.arange(n + 1),
        action=action,
        item=nothing,
        category=nothing,
        price_band=np.zeros(n, np.int8),
        price_relative=np.zeros(n, np.int8),
        quantity=np.zeros(n, np.int8),
        rating=np.zeros(n, np.int8),
        slot=np.zeros(n, np.int8),
        session_start=np.zeros(n, bool),
        text=nothing,
        spend=np.zeros(n, np.float32),
        exposure=np.zeros(n, np.int16),
        attributes=np.zeros((len(starts), 0), np.int16),
    )
    moments = Moments.of(sequences, reach_ms=31 * DAY)
    prefix = prefix_counts((action[:, None] == np.arange(N_ACTIONS)).astype(np.uint8))
    in_moment(prefix, moments)
    within(prefix, moments, 7 * DAY)
    return np.concatenate([windowed_counts(prefix, moments, w) for w in ACTION_WINDOWS], axis=1)


def peer(table: pa.Table) -> np.ndarray:
    """The same counts as window SQL."""
    columns, windows = [], []
    for i, window in enumerate(ACTION_WINDOWS):
        windows.append(f"w{i} AS (PARTITION BY user_id ORDER BY ts RANGE BETWEEN {window} PRECEDING AND 1 PRECEDING)")
        columns += [f"count(*) FILTER (action = {a}) OVER w{i} AS c{i}_{a}" for a in range(N_ACTIONS)]
    sql = f"SELECT user_id, ts, {', '.join(columns)} FROM events WINDOW {', '.join(windows)} ORDER BY user_id, ts"
    with duckdb.connect() as connection:
        connection.register("events", table)
        found = connection.sql(sql).to_arrow_table()
    return np.stack([found[name].to_numpy() for name in found.column_names[2:]], axis=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--events", type=int, default=1_000_000)
    args = parser.parse_args()
    user, ts, action = draw(args.events, 0)
    table = pa.table({"user_id": user, "ts": ts, "action": action})
    start = time.perf_counter()
    mine = ours(user, ts, action)
    seconds = time.perf_counter() - start
    start = time.perf_counter()
    theirs = peer(table)
    peer_seconds = time.perf_counter() - start
    result = {
        "name": "counts",
        "ours": seconds,
        "peer": peer_seconds,
        "ratio": peer_seconds / seconds,
        "unit": f"seconds for {len(user):,} events, {N_ACTIONS} actions, {len(ACTION_WINDOWS)} windows",
        "agree": float(np.abs(mine - theirs).max()),
    }
    print(json.dumps(result) if args.json else "\n".join(f"{k}: {v}" for k, v in result.items()))


if __name__ == "__main__":
    main()
