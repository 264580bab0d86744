"""Answers of long proofs, kept with the code they came from, so that an interrupted proof goes on where it stopped."""

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path

import pandas as pd

import whybuy

KEPT = Path(__file__).parent.parent.parent / ".slow"


CAUSAL = ("events", "behavior", "causal", "worlds")
"""Rooms that answers about effects depend on."""


@cache
def code_of_the_answers(rooms: tuple[str, ...] = CAUSAL) -> str:
    """Return a digest of the code in these rooms of the package."""
    package, digest = Path(whybuy.__file__).parent, hashlib.sha256()
    for room in rooms:
        for file in sorted((package / room).rglob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def _path(name: str, rooms: tuple[str, ...]) -> Path:
    return KEPT / "proofs" / code_of_the_answers(rooms) / f"{name}.parquet"


def kept(name: str, compute: Callable[[], pd.DataFrame], rooms: tuple[str, ...] = CAUSAL) -> pd.DataFrame:
    """Return the table ``name`` as this code computed it before, else compute and keep it."""
    path = _path(name, rooms)
    if not path.exists():
        found = compute()
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        found.to_parquet(part)
        os.replace(part, path)
    return pd.read_parquet(path)


def all_kept(jobs: dict[str, Callable[[], pd.DataFrame]], rooms: tuple[str, ...] = CAUSAL) -> pd.DataFrame:
    """Return the tables of all jobs below one another; those not kept yet are computed side by side, one per core."""
    missing = {name: job for name, job in jobs.items() if not _path(name, rooms).exists()}
    if missing:
        # Every job in a process of its own, which gives back its memory; several threads each would only wait.
        os.environ["OMP_NUM_THREADS"] = "1"
        with ProcessPoolExecutor(os.cpu_count(), get_context("spawn"), max_tasks_per_child=1) as pool:
            list(pool.map(partial(kept, rooms=rooms), missing.keys(), missing.values()))
    return pd.concat([pd.read_parquet(_path(name, rooms)) for name in jobs], ignore_index=True)
