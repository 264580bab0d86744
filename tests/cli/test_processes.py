"""The whole way to a model with two processes: the same as with one, said once, and one error where something fails."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
WITHOUT_DROPOUT = str(ROOT / "tests" / "cli" / "without_dropout.py")
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")

pytestmark = pytest.mark.whole

CONFIG = """
[[events]]
path = "log.csv"

[behavior]
size = "tiny"
epochs = 2
strategy = "{strategy}"

[causal]
categories = 2
"""


def write_log(folder: Path, *, strategy: str = "auto") -> None:
    rng = np.random.default_rng(3)
    lines = ["user_id,ts,action,item_id,category,price"]
    for user in range(60):
        day = 0.0
        for _ in range(rng.integers(10, 40)):
            day += rng.exponential(0.7)
            item = int(rng.integers(12))
            action = rng.choice(["view", "cart", "purchase"], p=[0.7, 0.2, 0.1])
            ts = int(1_700_000_000 + day * 86_400)
            lines.append(f"u{user},{ts},{action},i{item},c{item % 3},{5 + item}")
    (folder / "log.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "whybuy.toml").write_text(CONFIG.format(strategy=strategy), encoding="utf-8")


def call(folder: Path, *words: str, **changes: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1", **changes}
    return subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=300
    )


def losses(folder: Path, workspace: str) -> list[Any]:
    text = (folder / workspace / "model" / "training.json").read_text(encoding="utf-8")
    return [[[p["train"], *p["held_out"].values()] for p in twin] for twin in json.loads(text)["twins"]]


@pytest.mark.parametrize("strategy", ["auto", "fsdp"])
def test_a_model_trained_by_two_processes_is_that_of_one(tmp_path: Path, strategy: str):
    write_log(tmp_path, strategy=strategy)
    script = (WITHOUT_DROPOUT, "train", "--json", "--workspace")
    alone = call(tmp_path, *script, "one")
    assert alone.returncode == 0, alone.stderr
    done = call(tmp_path, *TORCHRUN, *script, "two")
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(losses(tmp_path, "two"), losses(tmp_path, "one"), rtol=0, atol=1e-5)
    assert json.loads(done.stdout)["twins"] == json.loads((tmp_path / "two/model/training.json").read_text())["twins"]
    assert done.stderr.count("model: done") == 1
    # What is up to date needs no help: the other process ends with the first.
    again = call(tmp_path, *TORCHRUN, "-m", "whybuy", "train", "--json", "--workspace", "two")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["twins"] == json.loads(done.stdout)["twins"]
    assert again.stderr.count("model: up to date") == 1


BROKEN = """
import os, runpy
import whybuy.behavior.twins as twins, whybuy.pipeline as pipeline
from whybuy.errors import ModelError

def fit(*_, **__):
    raise ModelError("Too little memory.")

if __name__ == "__main__":
    if os.environ["RANK"] == "1" and os.environ["BROKEN"] == "before":
        pipeline.code_version = lambda: "another"
    if os.environ["RANK"] == "1" and os.environ["BROKEN"] == "within":
        twins.fit = fit
    runpy.run_module("whybuy", run_name="__main__")
"""


@pytest.mark.parametrize(
    ("when", "said"),
    [
        ("before", "whybuy train: Process 1 of 2 cannot take part in training. "),
        ("within", "whybuy (process 1 of 2): Too little memory."),
    ],
)
def test_one_process_that_fails_ends_all_with_one_error(tmp_path: Path, when: str, said: str):
    write_log(tmp_path)
    (tmp_path / "broken.py").write_text(BROKEN, encoding="utf-8")
    done = call(tmp_path, *TORCHRUN, "broken.py", "train", "--workspace", "w", BROKEN=when)
    assert done.returncode == 1
    assert done.stderr.count(said) == 1
    assert done.stderr.count("whybuy train:") + done.stderr.count("whybuy (process") == 1
    assert "a defect in whybuy" not in done.stderr
    assert not (tmp_path / "w" / "model").exists()
