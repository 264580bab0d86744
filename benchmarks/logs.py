"""Every shared event log from its files to causes: init, check and run, with nothing but the proposed mapping.

    .venv/bin/python benchmarks/logs.py --json

Each log is run by the program itself in a folder of its own. Written down are rows, seconds, and how far the model's
probabilities are from what happened: the expected calibration error of propensities (e) and outcomes (m) in the last
fifth of the time, of the worst head and the mean over heads weighted by decisions, as they are and after the
cross-fitted repair, beside what perfect heads would show on as many decisions. Logs that stand in ``--measured`` are
not run again. There is no peer; ``agree`` is 0 where every log ends with 0, and nothing is printed otherwise.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("WHYBUY_DATA", ROOT.parent / "shared" / "data")).resolve()
WANTED_ECE = 0.01
LOGS = (
    "taobao_userbehavior_100k", "taobao_userbehavior_window", "retailrocket_sample", "rees46_oct2019_head",
    "yoochoose_clicks_100k", "diginetica_purchases", "online_retail_ii", "cdnow", "completejourney",
    "open_bandit_sample", "coat", "movielens_100k", "movielens_1m", "amazon_2014_5core", "amazon_video_games_sequences",
)  # fmt: skip


def program(folder: Path, *words: str) -> str:
    """Run whybuy in a folder; return what it printed."""
    command = [sys.executable, "-m", "whybuy", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"whybuy {' '.join(words)} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def one(name: str) -> dict[str, Any]:
    """Run one log."""
    with tempfile.TemporaryDirectory(prefix="whybuy-logs-") as place:
        folder, start = Path(place), time.perf_counter()
        program(folder, "init", str(DATA / name))
        program(folder, "check", "--json")
        answer = json.loads(program(folder, "run", "--json"))
        seconds = time.perf_counter() - start
        curves = json.loads(next(folder.rglob("scan/calibration.json")).read_text(encoding="utf-8"))
    found = {"rows": answer["rows"]["read"], "seconds": seconds}
    return found | calibration(pd.DataFrame([curve for of_horizon in curves.values() for curve in of_horizon]))


def calibration(curves: pd.DataFrame) -> dict[str, float | int]:
    """Return the calibration errors of a log's heads; nothing where no head was asked."""
    found: dict[str, float | int] = {}
    for kind, heads in curves.groupby("kind") if len(curves) else ():
        found[f"{kind} heads"] = len(heads)
        found[f"{kind} worst by chance"] = float(heads["ece_by_chance"].max())
        beyond = heads["ece_repaired"] - heads["ece_by_chance"]
        found[f"{kind} above beyond chance"] = int((beyond > WANTED_ECE).sum())
        for when, column in (("", "ece"), (" repaired", "ece_repaired")):
            found[f"{kind} worst{when}"] = float(heads[column].max())
            found[f"{kind} mean{when}"] = float((heads[column] * heads["n"]).sum() / heads["n"].sum())
            found[f"{kind} above{when}"] = int((heads[column] > WANTED_ECE).sum())
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--logs", nargs="+", choices=LOGS, default=list(LOGS))
    parser.add_argument("--measured", type=Path, default=ROOT / "benchmarks" / "measured" / "logs.json")
    args = parser.parse_args()
    kept: dict[str, Any] = json.loads(args.measured.read_text()) if args.measured.exists() else {}
    args.measured.parent.mkdir(parents=True, exist_ok=True)
    for name in args.logs:
        if name not in kept:
            kept[name] = one(name)
            args.measured.write_text(json.dumps(kept, indent=1))
            print(name, kept[name], file=sys.stderr, flush=True)
    table = pd.DataFrame({name: kept[name] for name in args.logs}).T
    print(table.round(4).to_string(), file=sys.stderr)
    line = {
        "name": "logs",
        "ours": float(table["seconds"].sum()),
        "peer": None,
        "ratio": None,
        "unit": f"s, {len(table)} logs",
        "agree": 0.0,
        "worst_ece": float(table[["e worst", "m worst"]].max().max()),
        "worst_ece_repaired": float(table[["e worst repaired", "m worst repaired"]].max().max()),
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
