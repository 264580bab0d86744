"""What every peer's numbers rest on: the ranks over a full catalog, and the environments made on demand."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

PEERS = Path(__file__).parents[1] / "benchmarks" / "peers"


def load(name):
    spec = importlib.util.spec_from_file_location(f"peers_{name}", PEERS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


one_out = load("leave_one_out")
environments = load("environment")


def test_equal_scores_stand_in_the_order_of_the_catalog():
    scores = np.array([[3.0, 1.0, 2.0, 2.0], [0.0, 0.0, 0.0, 0.0], [1.0, -np.inf, 2.0, -np.inf]])
    assert one_out.ranks(scores, np.array([3, 2, 3])).tolist() == [2, 2, 3]


def test_ranks_are_those_of_a_stable_sort():
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 5, (200, 30)).astype(np.float32)
    targets = rng.integers(0, 30, 200)
    order = np.argsort(-scores, axis=1, kind="stable")
    assert (one_out.ranks(scores, targets) == np.argmax(order == targets[:, None], axis=1)).all()


def test_scores_that_are_no_numbers_have_no_ranks():
    with pytest.raises(ValueError, match="the training diverged"):
        one_out.ranks(np.array([[1.0, np.nan]]), np.array([0]))


def test_metrics_count_the_first_ten():
    found = one_out.metrics(np.array([0, 2, 9, 10]))
    assert found["hr@10"] == 0.75
    assert found["ndcg@10"] == pytest.approx((1 + 0.5 + 1 / np.log2(11)) / 4)


def question():
    events = pd.DataFrame({"user": [1, 1, 1, 2, 3, 9], "item": [10, 20, 30, 40, 30, 40]})
    targets = pd.DataFrame({"user": [3, 1, 2], "item": [20, 40, 10]})
    return one_out.Question(events, targets, pd.Index([10, 20, 30, 40]))


def test_histories_hold_the_last_known_items_on_the_right():
    x = question().inputs(np.array([1, 2, 3, 0]), length=2)  # item 40 is unknown to the model
    assert x.tolist() == [[0, 3], [2, 3], [0, 0]]


def test_seen_items_go_last_where_asked_and_an_empty_history_is_ranked_by_popularity():
    asked = question()
    x = asked.inputs(np.array([1, 2, 3, 0]), length=2)

    def score(rows):
        return np.tile([4.0, 3.0, 2.0, 1.0], (len(rows), 1))

    assert asked.ranks(x, score, filter_seen=False).tolist() == [1, 3, 2]  # popularity is 1, 1, 2, 2
    assert asked.ranks(x, score, filter_seen=True).tolist() == [1, 0, 1]
    assert asked.ranks(x[:2], score, filter_seen=False).tolist() == [1, 3]


@pytest.fixture
def steps(monkeypatch):
    done = []

    def run(command):
        done.append(command[2])
        if command[2] == "venv":
            python = Path(command[3]) / "bin" / "python"
            python.parent.mkdir(parents=True)
            python.touch()

    monkeypatch.setattr(environments, "run", run)
    return done


def test_an_environment_is_made_once_and_again_when_its_pins_change(tmp_path, steps):
    (tmp_path / "peer.txt").write_text("numpy==1.26.4\n")
    assert environments.environment("peer", tmp_path) == tmp_path / "peer" / "bin" / "python"
    environments.environment("peer", tmp_path)
    assert steps == ["venv", "pip"]
    (tmp_path / "peer.txt").write_text("numpy==1.26.3\n")
    environments.environment("peer", tmp_path)
    assert steps == ["venv", "pip"] * 2


def test_a_half_made_environment_is_made_again(tmp_path, steps, monkeypatch):
    (tmp_path / "peer.txt").write_text("numpy==1.26.4\n")
    whole = environments.run

    def cut(command):
        whole(command)
        if command[2] == "pip":
            raise KeyboardInterrupt

    monkeypatch.setattr(environments, "run", cut)
    with pytest.raises(KeyboardInterrupt):
        environments.environment("peer", tmp_path)
    left = tmp_path / "peer" / "left"
    left.touch()
    monkeypatch.setattr(environments, "run", whole)
    environments.environment("peer", tmp_path)
    assert steps == ["venv", "pip"] * 2
    assert not left.exists()


def test_a_step_that_fails_ends_with_what_it_said():
    with pytest.raises(SystemExit, match=r"ended with 3:\nno such package"):
        environments.run([sys.executable, "-c", "print('no such package'); raise SystemExit(3)"])


def test_pins_are_exact():
    for pins in PEERS.glob("*.txt"):
        lines = [line for line in pins.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
        assert all(line.count("==") == 1 for line in lines), pins
