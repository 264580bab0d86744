"""Answers of long proofs, kept with the code they came from, so that an interrupted proof goes on where it stopped."""

import hashlib
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pandas as pd
from joblib import Parallel, delayed

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


def kept(name: str, compute: Callable[[], pd.DataFrame]) -> pd.DataFrame:
    """Return the table ``name`` as this code computed it before, else compute and keep it."""
    path = KEPT / "proofs" / code_of_the_answers() / f"{name}.parquet"
    if not path.exists():
        found = compute()
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        found.to_parquet(part)
        os.replace(part, path)
    return pd.read_parquet(path)


def all_kept(jobs: dict[str, Callable[[], pd.DataFrame]]) -> pd.DataFrame:
    """Return the tables of all jobs below one another; those not kept yet are computed side by side, one per core."""
    side_by_side = Parallel(n_jobs=os.cpu_count(), inner_max_num_threads=1, backend="loky", batch_size=1)
    return pd.concat(side_by_side(delayed(kept)(name, job) for name, job in jobs.items()), ignore_index=True)
