"""Ingest of five million events against a bare sort of the same file by DuckDB, in one run.

    .venv/bin/python benchmarks/ingest.py --json

The peer is ``COPY (SELECT * FROM file ORDER BY user_id, ts) TO out (FORMAT parquet)`` with DuckDB's own settings: it
reads, sorts and writes, and cleans nothing. Ours maps, judges, merges duplicates, marks bots, numbers moments and
writes shards with the tables of items and users. They run by turns, each in a process of its own whose peak memory is
told, and the best of two rounds counts. The log is drawn, not real: 50,000 users of uneven activity, 20,000 items, six
actions, in the order of time, with a few unknown actions. The line of JSON is about the format with the worse ratio;
``agree`` is the number of rows that the two disagree about.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

N_EVENTS, N_USERS, N_ITEMS = 5_000_000, 50_000, 20_000
COLUMNS = ("user_id", "ts", "action", "item_id", "category", "price", "session_id")
FORMATS = ("csv", "parquet")


def draw(folder: Path, n_events: int) -> None:
    """Write the log in both formats."""
    import duckdb

    step_ms = 30 * 86_400_000 // n_events
    actions = [*["view"] * 5, "search", "favorite", "cart", "remove", "purchase"]
    with duckdb.connect() as con:
        con.execute("SELECT setseed(0.5)").fetchall()
        con.execute(
            f"""CREATE TABLE drawn AS SELECT
                'u' || lpad(CAST(CAST(random() * random() * {N_USERS} AS INTEGER) AS VARCHAR), 6, '0') AS user_id,
                TIMESTAMP '2025-01-01' + to_milliseconds(i * {step_ms}) AS ts,
                {actions}[1 + CAST(floor(random() * 10) AS INTEGER)] AS action,
                CAST(floor(random() * random() * {N_ITEMS}) AS INTEGER) AS item
            FROM range({n_events}) AS r(i)"""
        )
        con.execute(
            """CREATE TABLE log AS SELECT user_id, ts,
                CASE WHEN item % 1000 = 7 THEN 'unheard-of' ELSE action END AS action, 'i' || item AS item_id,
                'cat' || (hash(item) % 200) AS category, round(5 + (hash(item) % 10000) / 37.0, 2) AS price,
                user_id || '-' || (epoch_ms(ts) // 3600000) AS session_id
            FROM drawn"""
        )
        for form in FORMATS:
            con.execute(f"COPY log TO '{folder / f'log.{form}'}'")


def ours(folder: Path, form: str) -> None:
    """Ingest the log, and print seconds, rows and peak memory as JSON."""
    from whybuy.config import config_from_dict
    from whybuy.events.shards import ingest

    entry = {"path": f"log.{form}", "columns": {name: name for name in COLUMNS}}
    out = Path(tempfile.mkdtemp(prefix=f"ours-{form}-", dir=folder))
    start = time.perf_counter()
    log = ingest(config_from_dict({"events": [entry]}, base=folder), out)
    tell(time.perf_counter() - start, log.quality.rows_read)


def peer(folder: Path, form: str) -> None:
    """Sort the log, and print seconds, rows and peak memory as JSON."""
    import duckdb

    start = time.perf_counter()
    with duckdb.connect() as con:
        con.execute(f"SET temp_directory = '{folder}/spilled'")
        query = f"SELECT * FROM '{folder}/log.{form}' ORDER BY user_id, ts"
        ((rows,),) = con.execute(f"COPY ({query}) TO '{folder}/peer-{form}.parquet' (FORMAT parquet)").fetchall()
    tell(time.perf_counter() - start, rows)


def tell(seconds: float, rows: int) -> None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss + resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    print(json.dumps({"seconds": seconds, "rows": rows, "peak_gib": peak / 2**20}))


def measure(role: str, folder: Path, form: str) -> dict[str, float]:
    """Run one of the two in a process of its own."""
    command = [sys.executable, __file__, "--role", role, "--folder", str(folder), "--format", form]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def compare(folder: Path, form: str, rounds: int) -> dict[str, float]:
    """Run both by turns and take the best of each: whatever else the machine does only ever adds time."""
    turns = [(measure("ours", folder, form), measure("peer", folder, form)) for _ in range(rounds)]
    mine, theirs = (min(turn[role]["seconds"] for turn in turns) for role in (0, 1))
    return {
        "ours": mine,
        "peer": theirs,
        "ratio": theirs / mine,
        "peak_gib": max(turn[0]["peak_gib"] for turn in turns),
        "agree": abs(turns[0][1]["rows"] - turns[0][0]["rows"]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--events", type=int, default=N_EVENTS)
    parser.add_argument("--format", choices=FORMATS)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--role", choices=("ours", "peer"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.role:
        {"ours": ours, "peer": peer}[args.role](args.folder, args.format)
        return
    found = {}
    with tempfile.TemporaryDirectory(prefix="whybuy-bench-") as name:
        draw(Path(name), args.events)
        for form in [args.format] if args.format else FORMATS:
            found[form] = compare(Path(name), form, args.rounds)
    worst = min(found.values(), key=lambda one: one["ratio"])
    result = {
        "name": "ingest",
        "ours": worst["ours"],
        "peer": worst["peer"],
        "ratio": worst["ratio"],
        "unit": f"seconds for {args.events:,} events",
        "agree": max(one["agree"] for one in found.values()),
        "peak_gib": max(one["peak_gib"] for one in found.values()),
        "formats": found,
    }
    print(json.dumps(result) if args.json else "\n".join(f"{k}: {v}" for k, v in result.items()))


if __name__ == "__main__":
    main()
