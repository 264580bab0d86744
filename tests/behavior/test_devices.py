"""What is said where processes and devices do not fit."""

import pytest
import torch

from whybuy.behavior.devices import all_processes, this_machine
from whybuy.behavior.processes import Processes
from whybuy.errors import ModelError


@pytest.fixture
def second_of_four(monkeypatch: pytest.MonkeyPatch) -> None:
    said = {"TORCHELASTIC_RUN_ID": "none", "RANK": "1", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}
    for name, value in said.items():
        monkeypatch.setenv(name, value)


def test_a_process_that_nobody_started_with_others_is_alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    monkeypatch.setenv("WORLD_SIZE", "8")  # left by something else
    here = Processes.here()
    assert here == Processes(0, 1, 1)
    assert here.alone
    assert not here.helps
    assert type(all_processes("fsdp").strategy) is type(this_machine().strategy)


def test_torchrun_says_where_a_process_stands(second_of_four):
    here = Processes.here()
    assert here == Processes(rank=1, world=4, on_machine=2)
    assert here.helps
    assert here.machines == 2


def test_more_processes_than_gpus_are_refused(second_of_four, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ModelError, match=r"2 processes .* with 1 GPU\. .*--nproc-per-node 1"):
        all_processes("ddp")


def test_a_strategy_beside_the_config_is_refused(second_of_four, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LT_CLI_USED", "1")
    monkeypatch.setenv("LT_STRATEGY", "fsdp")
    with pytest.raises(ModelError, match=r"--strategy fsdp\. .* set \[behavior\] strategy"):
        all_processes("fsdp")
