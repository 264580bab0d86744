"""Peak memory of a whole `whybuy run` on a log of five million events, and how long it takes.

    .venv/bin/python benchmarks/memory.py --json

The log is that of ``ingest.py`` (Parquet). There is no peer: the limit is 4 GiB, and ``ratio`` is limit / peak.
``agree`` is the number of rows of the log that are neither kept, merged nor rejected.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

from ingest import COLUMNS, draw

LIMIT_GIB = 4.0


def peak_of(process: subprocess.Popen[bytes]) -> list[float]:
    """Watch the resident memory of a process and its children; the list's only entry is the peak in GiB."""
    peak = [0.0]

    def watch() -> None:
        parent = psutil.Process(process.pid)
        while process.poll() is None:
            try:
                family = [parent, *parent.children(recursive=True)]
                peak[0] = max(peak[0], sum(p.memory_info().rss for p in family) / 2**30)
            except psutil.NoSuchProcess:
                pass
            time.sleep(0.2)

    threading.Thread(target=watch, daemon=True).start()
    return peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--events", type=int, default=5_000_000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="whybuy-memory-") as name:
        folder = Path(name)
        draw(folder, args.events)
        columns = "\n".join(f'{column} = "{column}"' for column in COLUMNS)
        (folder / "whybuy.toml").write_text(f'[[events]]\npath = "log.parquet"\n[events.columns]\n{columns}\n')
        program = [sys.executable, "-c", "from whybuy.cli import main; main()", "run", "--json"]
        start = time.perf_counter()
        with (folder / "answer.json").open("w") as stdout:
            process = subprocess.Popen(program, cwd=folder, stdout=stdout)
            peak = peak_of(process)
            if process.wait() != 0:
                sys.exit(f"whybuy run ended with {process.returncode}")
        text = (folder / "answer.json").read_text()
        seconds = time.perf_counter() - start
    try:
        rows = json.loads(text)["rows"]
    except json.JSONDecodeError as error:
        sys.exit(f"whybuy run --json printed no JSON ({error}), peak {peak[0]:.2f} GiB: {text[:300]!r}")
    result = {
        "name": "memory",
        "ours": peak[0],
        "peer": LIMIT_GIB,
        "ratio": LIMIT_GIB / peak[0],
        "unit": f"GiB, whybuy run on {args.events:,} events in {seconds:.0f} s",
        "agree": rows["read"] - rows["kept"] - rows["duplicates_merged"] - rows["rejected"],
    }
    print(json.dumps(result) if args.json else "\n".join(f"{k}: {v}" for k, v in result.items()))


if __name__ == "__main__":
    main()
