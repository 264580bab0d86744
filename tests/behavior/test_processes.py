"""Several processes train what one trains."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

ROOT = Path(__file__).parents[2]
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
SCRIPT = str(ROOT / "tests" / "behavior" / "two_processes.py")

pytestmark = pytest.mark.whole


def call(*words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}", "OMP_NUM_THREADS": "1"}
    return subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=300)


def run(out: Path, *words: str, together: bool = True) -> np.ndarray:
    done = call(*(TORCHRUN if together else (sys.executable,)), SCRIPT, str(out), *words)
    assert done.returncode == 0, done.stderr[-3000:]
    return np.array(json.loads(out.read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("alone") / "one.json"
    losses = run(out, "ddp", together=False)
    assert (losses[1:, 0] != losses[:-1, 0]).all()
    return out


@pytest.mark.parametrize("words", [("ddp",), ("fsdp",), ("fsdp", "--accumulate", "2")], ids="-".join)
def test_two_processes_train_what_one_trains(alone: Path, tmp_path: Path, words: tuple[str, ...]):
    out = tmp_path / "two.json"
    np.testing.assert_allclose(run(out, *words), json.loads(alone.read_text()), rtol=0, atol=1e-5)
    one, two = (load_file(path.with_suffix(".safetensors")) for path in (alone, out))
    assert {name: tuple(value.shape) for name, value in two.items()} == {k: tuple(v.shape) for k, v in one.items()}
    # Adam divides by the size of gradients, however small: what had hardly any may go elsewhere.
    assert max(float((one[name] - two[name]).abs().max()) for name in one) < 1e-3


# A pass has three steps: one run is killed within a pass, the other before it judged one.
@pytest.mark.parametrize(("strategy", "killed_at"), [("ddp", "7"), ("fsdp", "6")])
def test_two_processes_that_were_killed_go_on_to_the_same_bits(tmp_path: Path, strategy: str, killed_at: str):
    calm, killed = tmp_path / "calm.json", tmp_path / "killed.json"
    whole = run(calm, strategy, "--dropout", "0.1")
    ended = call(*TORCHRUN, SCRIPT, str(killed), strategy, "--dropout", "0.1", "--kill-at", killed_at)
    assert "KilledError" in ended.stderr
    assert killed.with_suffix(".checkpoint").exists()
    assert not killed.exists()
    np.testing.assert_array_equal(run(killed, strategy, "--dropout", "0.1"), whole)
    weights = [load_file(path.with_suffix(".safetensors")) for path in (calm, killed)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_a_sharded_run_goes_on_in_one_process(alone: Path, tmp_path: Path):
    out = tmp_path / "out.json"
    call(*TORCHRUN, SCRIPT, str(out), "fsdp", "--kill-at", "7")
    again = run(out, "ddp", together=False)
    np.testing.assert_allclose(again, json.loads(alone.read_text()), rtol=0, atol=1e-5)
