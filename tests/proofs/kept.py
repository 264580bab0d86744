"""Answers of long proofs, kept with the code they came from, so that an interrupted proof goes on where it stopped."""

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context
from pathlib import Path

import pandas as pd

import whybuy

KEPT = Path(__file__).parent.parent.parent / ".slow"


@cache
def code_of_the_answers() -> str:
    """Return a digest of the code that the answers depend on: reading, model, causal part and worlds."""
    package, digest = Path(whybuy.__file__).parent, hashlib.sha256()
    for room in ("events", "behavior", "causal", "worlds"):
        for file in sorted((package / room).rglob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def _path(name: str) -> Path:
    return KEPT / "proofs" / code_of_the_answers() / f"{name}.parquet"


def kept(name: str, compute: Callable[[], pd.DataFrame]) -> pd.DataFrame:
    """Return the table ``name`` as this code computed it before, else compute and keep it."""
    path = _path(name)
    if not path.exists():
        found = compute()
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        found.to_parquet(part)
        os.replace(part, path)
    return pd.read_parquet(path)


def all_kept(jobs: dict[str, Callable[[], pd.DataFrame]]) -> pd.DataFrame:
    """Return the tables of all jobs below one another; those not kept yet are computed side by side, one per core."""
    missing = {name: job for name, job in jobs.items() if not _path(name).exists()}
    if missing:
        # Every job in a process of its own, which gives back its memory; several threads each would only wait.
        os.environ["OMP_NUM_THREADS"] = "1"
        with ProcessPoolExecutor(os.cpu_count(), get_context("spawn"), max_tasks_per_child=1) as pool:
            list(pool.map(kept, missing.keys(), missing.values()))
    return pd.concat([pd.read_parquet(_path(name)) for name in jobs], ignore_index=True)
