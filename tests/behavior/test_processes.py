"""Several processes train what one trains."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]


def run(out: Path, strategy: str) -> np.ndarray:
    start = [sys.executable]
    if strategy != "none":
        start += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    script = [str(ROOT / "tests" / "behavior" / "two_processes.py"), str(out), strategy]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*start, *script], env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return np.array(json.loads(out.read_text(encoding="utf-8")))


@pytest.mark.whole
@pytest.mark.parametrize("strategy", ["ddp"])
def test_two_processes_train_what_one_trains(tmp_path: Path, strategy: str):
    one, two = run(tmp_path / "one.json", "none"), run(tmp_path / "two.json", strategy)
    np.testing.assert_allclose(two, one, rtol=0, atol=1e-5)
    assert (one[1:, 0] != one[:-1, 0]).all()
