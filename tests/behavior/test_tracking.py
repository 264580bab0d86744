"""Losses reach the tools that people compare runs with."""

import builtins

import pytest

from whybuy.behavior.tracking import tracker
from whybuy.errors import MissingExtraError


def test_tensorboard_reads_the_losses(tmp_path):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    log = tracker("tensorboard", tmp_path, "twin-1")
    log({"train": 2.0, "held out item": 3.5}, 10)
    log({"train": 1.5}, 20)
    found = events.EventAccumulator(str(tmp_path / "tensorboard" / "twin-1"))
    found.Reload()
    assert [(e.step, e.value) for e in found.Scalars("train")] == [(10, 2.0), (20, 1.5)]
    assert [e.value for e in found.Scalars("held_out_item")] == [3.5]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_mlflow_reads_the_losses(tmp_path):
    tracking = pytest.importorskip("mlflow.tracking")
    tracker("mlflow", tmp_path, "twin-1")({"held out item": 3.5}, 10)
    client = tracking.MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    (run,) = client.search_runs([client.get_experiment_by_name("whybuy").experiment_id])
    assert run.data.metrics == {"held_out_item": 3.5}


@pytest.mark.parametrize("kind", ["tensorboard", "mlflow"])
def test_without_the_extra_the_install_line_is_named(tmp_path, monkeypatch, kind):
    real = builtins.__import__

    def without(name, *rest):
        if name.startswith(("torch.utils.tensorboard", "mlflow")):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"whybuy\[track\]"):
        tracker(kind, tmp_path, "twin-1")
