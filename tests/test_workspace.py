import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from whybuy import workspace as module
from whybuy.errors import WorkspaceError
from whybuy.workspace import CARD, Workspace

HOLD = """
import sys, time
from pathlib import Path
from whybuy.workspace import Workspace
with Workspace(Path(sys.argv[1])).lock():
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "w")


def write_text(text: str):
    return lambda folder: (folder / "out.txt").write_text(text, encoding="utf-8")


def raising(error: BaseException):
    def build(folder: Path) -> None:
        (folder / "half.txt").write_text("half", encoding="utf-8")
        raise error

    return build


def never(folder: Path) -> None:
    raise AssertionError(folder)


def test_a_stage_is_built_once_for_the_same_inputs(workspace):
    folder = workspace.stage("events", {"a": 1}, write_text("one"))
    assert folder == workspace.root / "events"
    assert workspace.stage("events", {"a": 1}, never) == folder
    assert (folder / "out.txt").read_text(encoding="utf-8") == "one"


def test_other_inputs_replace_the_stage(workspace):
    workspace.stage("events", {"a": 1}, write_text("one"))
    folder = workspace.stage("events", {"a": 2}, write_text("two"))
    assert sorted(p.name for p in folder.iterdir()) == ["out.txt", CARD]
    assert (folder / "out.txt").read_text(encoding="utf-8") == "two"
    assert sorted(p.name for p in workspace.root.iterdir()) == [".lock", "events"]


def test_the_card_says_what_the_stage_was_made_from(workspace):
    folder = workspace.stage("events", {"a": 1}, write_text("one"))
    card = json.loads((folder / CARD).read_text(encoding="utf-8"))
    assert card["name"] == "events"
    assert card["inputs"] == {"a": 1}
    assert card["files"] == {"out.txt": 3}
    assert card["fingerprint"] == module.fingerprint({"a": 1})


def test_changed_code_makes_a_stage_stale(workspace, monkeypatch):
    workspace.stage("events", {"a": 1}, write_text("one"))
    monkeypatch.setattr(module, "code_version", lambda: "other")
    assert not workspace.is_fresh("events", {"a": 1})


@pytest.mark.parametrize("damage", ["missing", "shorter", "card"])
def test_a_damaged_stage_is_stale(workspace, damage):
    folder = workspace.stage("events", {}, write_text("one"))
    if damage == "missing":
        (folder / "out.txt").unlink()
    elif damage == "shorter":
        (folder / "out.txt").write_text("on", encoding="utf-8")
    else:
        (folder / CARD).write_text('{"name"', encoding="utf-8")
    assert not workspace.is_fresh("events", {})


def test_a_failed_build_leaves_the_old_stage_and_nothing_else(workspace):
    workspace.stage("events", {"a": 1}, write_text("one"))
    with pytest.raises(ZeroDivisionError):
        workspace.stage("events", {"a": 2}, raising(ZeroDivisionError()))
    assert workspace.is_fresh("events", {"a": 1})
    assert sorted(p.name for p in workspace.root.iterdir()) == [".lock", "events"]


def test_leftovers_of_killed_runs_are_removed_under_the_lock(workspace):
    workspace.root.mkdir()
    for name in (".building-model", ".replaced-events"):
        (workspace.root / name).mkdir()
        (workspace.root / name / "x").touch()
    (workspace.root / ".building-123-workspace.json").touch()
    with workspace.lock():
        assert [p.name for p in workspace.root.iterdir()] == [".lock"]


def test_a_stage_can_be_built_while_this_process_holds_the_lock(workspace):
    with workspace.lock(), workspace.lock():
        workspace.stage("events", {}, write_text("one"))


def test_a_second_run_is_told_which_process_holds_the_workspace(workspace):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(workspace.root)], stdout=subprocess.PIPE, text=True
    ) as holder:
        try:
            assert holder.stdout.readline() == "held\n"
            with pytest.raises(WorkspaceError, match=f"process {holder.pid}.*one run at a time.*Wait"):
                workspace.stage("events", {}, write_text("one"))
        finally:
            holder.kill()


def test_a_killed_run_does_not_block_the_next(workspace):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(workspace.root)], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout.readline() == "held\n"
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    workspace.stage("events", {}, write_text("one"))


BUILD_SLOWLY = """
import sys, time
from pathlib import Path
from whybuy.workspace import Workspace

def build(folder):
    for i in range(40):
        (folder / f"{i}.txt").write_text(sys.argv[2])
        time.sleep(0.002)

workspace = Workspace(Path(sys.argv[1]))
print("go", flush=True)
for name in ("a", "b", "c"):
    workspace.stage(name, {"text": sys.argv[2]}, build)
"""


def test_kill_at_any_moment_leaves_whole_stages_only(workspace):
    run = [sys.executable, "-c", BUILD_SLOWLY, str(workspace.root)]
    subprocess.run([*run, "old"], check=True, stdout=subprocess.DEVNULL)
    for delay in (0.0, 0.03, 0.06, 0.09, 0.12, 0.15, 0.2):
        with subprocess.Popen([*run, f"new {delay}"], stdout=subprocess.PIPE, text=True) as killed:
            assert killed.stdout.readline() == "go\n"
            time.sleep(delay)
            killed.kill()
            killed.wait()
        for name in "abc":
            texts = {p.read_text(encoding="utf-8") for p in workspace.path(name).glob("*.txt")}
            assert len(texts) <= 1, f"stage {name} mixes two runs"
            card = workspace.path(name) / CARD
            assert card.exists() or not card.parent.exists()
    subprocess.run([*run, "new 0.2"], check=True, stdout=subprocess.DEVNULL)
    assert sorted(p.name for p in workspace.root.iterdir()) == [".lock", "a", "b", "c"]
    for name in "abc":
        assert {p.read_text(encoding="utf-8") for p in workspace.path(name).glob("*.txt")} == {"new 0.2"}


FULL = [
    OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
    OSError("1000 requested and 24 written"),
]


@pytest.mark.parametrize("error", FULL, ids=["system", "numpy"])
def test_a_full_disk_is_said_in_words(workspace, error):
    with pytest.raises(WorkspaceError, match=r"disk of .* is full .* making model.*needed.*Free space and run"):
        workspace.stage("model", {}, raising(error))
    assert not workspace.path("model").exists()


def test_a_full_disk_met_by_duckdb_is_said_in_words(workspace):
    import duckdb

    error = duckdb.IOException('Could not write file "x.parquet": No space left on device')
    with pytest.raises(WorkspaceError, match="is full"):
        workspace.stage("events", {}, raising(error))
    with pytest.raises(duckdb.IOException, match="corrupt"):
        workspace.stage("events", {}, raising(duckdb.IOException("corrupt")))


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_a_workspace_that_cannot_be_written_is_said_in_words(workspace, number):
    error = OSError(number, os.strerror(number), str(workspace.root / ".building-events" / "x"))
    with pytest.raises(WorkspaceError, match=r"cannot be written \(.*\) for events.*another folder with --workspace"):
        workspace.stage("events", {}, raising(error))


def test_a_system_error_about_a_file_of_the_user_passes_unchanged(workspace):
    error = PermissionError(errno.EACCES, "Permission denied", "/somewhere/log.csv")
    with pytest.raises(PermissionError, match=r"log\.csv"):
        workspace.stage("events", {}, raising(error))


def test_a_file_in_place_of_the_workspace_is_said_in_words(tmp_path):
    (tmp_path / "w").touch()
    for root in (tmp_path / "w", tmp_path / "w" / "below"):
        with pytest.raises(WorkspaceError, match="must be a folder that this user can write"):
            Workspace(root).stage("events", {}, write_text("one"))


def test_a_json_file_is_replaced_whole(workspace):
    path = workspace.write_json("truth.json", [1])
    assert workspace.write_json("truth.json", [2]) == path
    assert json.loads(path.read_text(encoding="utf-8")) == [2]
    with pytest.raises(ValueError, match="not JSON compliant"):
        workspace.write_json("truth.json", [float("nan")])
    assert json.loads(path.read_text(encoding="utf-8")) == [2]
