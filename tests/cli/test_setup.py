import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from whybuy import worlds
from whybuy.cli.setup import asked
from whybuy.config import load_config
from whybuy.events.propose import propose
from whybuy.worlds import TrueEffect


def truth(treatment: str, outcome: str, value: float) -> TrueEffect:
    return TrueEffect(
        treatment=treatment,
        outcome=outcome,
        horizon="7d",
        truth=value,
        std_error=0.001,
        naive=0.1,
        lift=1.5,
        kind="cause",
    )


@pytest.fixture
def drawn(monkeypatch) -> list[int]:
    """A demo shop without events; returns the seeds that were drawn."""
    seeds = []

    def draw(seed: int) -> int:
        seeds.append(seed)
        return seed

    def write(shop: int, folder: Path) -> Path:
        (folder / "events.csv").write_text(str(shop), encoding="utf-8")
        config = folder / "whybuy.toml"
        config.write_text('[[events]]\npath = "events.csv"\n', encoding="utf-8")
        return config

    truths = (truth("cart:b", "purchase:a", -0.04), truth("view:d", "purchase:a", 0.0))
    monkeypatch.setattr(worlds, "draw_demo", draw)
    monkeypatch.setattr(worlds, "write_demo", write)
    monkeypatch.setattr(worlds, "demo_truth", lambda: truths)
    return seeds


def test_the_demo_prints_naive_adjusted_and_truth_side_by_side(call, shop, stages, drawn):
    answer = call("demo", "--seed", "3")
    assert answer.code == 0
    table, _, rest = answer.out.partition("\n\n")
    assert [line.split() for line in table.splitlines()] == [
        ["treatment", "outcome", "naive", "adjusted", "low", "high", "truth", "verdict"],
        ["cart:b", "purchase:a", "+.1111", "-.0500", "-.0696", "-.0304", "-.0400", "strong"],
        ["view:d", "purchase:a", "+.1111", "-", "-", "-", "+.0000", "cannot_tell"],
    ]
    assert f"report: {shop / 'whybuy-workspace' / 'report.html'}\n" in rest
    assert drawn == [3]


def test_the_demo_as_json(call, shop, stages, drawn, conforms):
    answer = call("demo", "--json", "--workspace", "w")
    conforms(answer.json, "demo")
    assert answer.json["report"] == str(shop / "w" / "report.html")
    assert [pair["truth"] for pair in answer.json["pairs"]] == [-0.04, 0.0]


def test_the_truth_stands_in_the_workspace_before_the_report_is_written(call, shop, stages, drawn):
    call("demo", "--workspace", "w")
    found = json.loads((shop / "w" / "truth.json").read_text(encoding="utf-8"))
    assert [(t["treatment"], t["truth"], t["std_error"], t["kind"]) for t in found] == [
        ("cart:b", -0.04, 0.001, "cause"),
        ("view:d", 0.0, 0.001, "cause"),
    ]
    stages.clear()
    call("report", "--workspace", "w", "-c", "w/demo/whybuy.toml")
    assert stages == []


def test_a_second_demo_draws_and_runs_nothing_again_and_another_seed_everything(call, shop, stages, drawn):
    call("demo")
    stages.clear()
    call("demo")
    assert (drawn, stages) == ([7], [])
    call("demo", "--seed", "8")
    assert drawn == [7, 8]
    assert len(stages) == 9


@pytest.fixture
def log(shop) -> Path:
    """A log of 30 days in which two columns would do as the user."""
    lines = ["customer_id,visitor_id,time,event,product"]
    lines += [f"c{i % 5},v{i % 5},2024-01-{1 + i % 30:02d} 10:00:00,view,p{i % 7}" for i in range(300)]
    path = shop / "shop.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_init_writes_a_config_that_loads_and_keeps_the_old_one(call, log, shop):
    answer = call("init", "shop.csv")
    assert answer.code == 0
    assert "kept as it was: whybuy.toml.bak" in answer.out
    assert answer.out.endswith("written: whybuy.toml; next: whybuy check, then whybuy run\n")
    assert load_config(shop / "whybuy.toml").events[0].path == "shop.csv"
    assert (shop / "whybuy.toml.bak").read_text(encoding="utf-8") == '[[events]]\npath = "log.csv"\n'


def test_init_as_json(call, log, shop, conforms):
    answer = call("init", "shop.csv", "-o", "mine.toml", "--json")
    conforms(answer.json, "init")
    assert answer.json["config"] == "mine.toml"
    assert answer.json["backup"] is None
    assert {row["column"] for row in answer.json["mapping"]} >= {"user_id", "ts", "action", "item_id"}


def test_init_of_a_file_that_is_not_there_is_exit_2(call, shop):
    answer = call("init", "shop.csv")
    assert answer.code == 2
    assert "shop.csv was not found" in answer.err
    assert (shop / "whybuy.toml").read_text(encoding="utf-8") == '[[events]]\npath = "log.csv"\n'


def test_a_terminal_is_asked_what_is_ambiguous(log, shop, monkeypatch):
    proposal = propose(str(log), into=shop)
    (choice,) = [c for c in proposal.choices if c.column == "user_id"]
    (other,) = choice.others
    console = Console(file=io.StringIO())
    monkeypatch.setattr("sys.stdin", io.StringIO(f"nonsense\n{other}\n"))
    assert asked(proposal, console).events[0].columns["user_id"] == other
    assert "Which column is user_id?" in console.file.getvalue()
