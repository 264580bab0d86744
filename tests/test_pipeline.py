import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from whybuy import pipeline as module
from whybuy.config import config_from_dict
from whybuy.errors import ConfigError, WorkspaceError
from whybuy.pipeline import CARD, STAGES, TRUTH, Pipeline, source_files
from whybuy.workspace import Workspace

DAY = 86_400 * 10**9


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A folder with a log of one file."""
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "log.csv").write_text("user_id,ts,action\n", encoding="utf-8")
    return tmp_path / "shop"


@pytest.fixture
def built(monkeypatch) -> list[str]:
    """Every stage replaced by one that only writes its name down; returns the names in the order of building."""
    names: list[str] = []

    def fake(name: str):
        def build(run: Pipeline, folder: Path) -> None:
            names.append(name)
            (folder / "report.html").write_text(name, encoding="utf-8")

        return build

    fakes = {name: replace(stage, build=fake(name)) for name, stage in STAGES.items()}
    monkeypatch.setattr(module, "STAGES", fakes)
    return names


def pipeline(shop: Path, **settings) -> Pipeline:
    raw = {"events": [{"path": "log.csv"}], **settings}
    return Pipeline(config_from_dict(raw, base=shop), Workspace(shop.parent / "w"))


def rebuilt(built: list[str], run: Pipeline, *wanted: str) -> list[str]:
    built.clear()
    run.run(*wanted)
    return list(built)


def test_everything_is_built_in_order_and_then_nothing(shop, built):
    assert rebuilt(built, pipeline(shop)) == list(STAGES)
    assert rebuilt(built, pipeline(shop)) == []


def test_a_stage_brings_those_it_needs_and_no_others(shop, built):
    assert rebuilt(built, pipeline(shop), "campaign") == ["events", "sequences", "model", "campaign"]
    assert rebuilt(built, pipeline(shop), "scan") == ["scan"]


@pytest.mark.parametrize(
    ("settings", "stale"),
    [
        ({"recommend": {"k": 5}}, ["recommend", "report"]),
        ({"campaign": {"offers": {"spring": {"cost": 1.0}}}}, ["campaign", "report"]),
        ({"campaign": {"per_person": 2}}, []),
        ({"causal": {"confirm_behaviors": 3}}, ["confirm", "recommend", "report"]),
        ({"causal": {"smallest_effect": 0.01}}, ["scan", "confirm", "recommend", "campaign", "report"]),
        ({"behavior": {"epochs": 1}}, ["model", "scan", "confirm", "recommend", "campaign", "report"]),
        ({"horizons": ["1d"]}, ["model", "scan", "confirm", "recommend", "campaign", "report"]),
        ({"lookback": "1d"}, ["scan", "confirm", "recommend", "campaign", "report"]),
        ({"clean": {"bots": False}}, list(STAGES)),
    ],
)
def test_a_setting_makes_stale_what_depends_on_it(shop, built, settings, stale):
    pipeline(shop).run()
    assert rebuilt(built, pipeline(shop, **settings)) == stale


def test_a_source_that_was_written_again_makes_everything_stale(shop, built):
    pipeline(shop).run()
    os.utime(shop / "log.csv", ns=(0, DAY))
    assert rebuilt(built, pipeline(shop)) == list(STAGES)


def test_another_key_of_pseudonyms_makes_everything_stale_and_is_not_stored(shop, built, monkeypatch):
    settings = {"privacy": {"pseudonymize": True}}
    monkeypatch.setenv("WHYBUY_KEY", "first key")
    run = pipeline(shop, **settings)
    run.run()
    monkeypatch.setenv("WHYBUY_KEY", "second key")
    assert rebuilt(built, pipeline(shop, **settings)) == list(STAGES)
    assert "second key" not in (run.folder("events") / "stage.json").read_text(encoding="utf-8")


def test_a_run_that_fails_keeps_the_finished_stages(shop, built, monkeypatch):
    def fail(run: Pipeline, folder: Path) -> None:
        raise KeyboardInterrupt

    whole = module.STAGES["scan"]
    monkeypatch.setitem(module.STAGES, "scan", replace(whole, build=fail))
    with pytest.raises(KeyboardInterrupt):
        pipeline(shop).run()
    monkeypatch.setitem(module.STAGES, "scan", whole)
    assert rebuilt(built, pipeline(shop)) == ["scan", "confirm", "recommend", "campaign", "profile", "report"]


def test_every_stage_is_announced_with_its_seconds(shop, built):
    run = pipeline(shop)
    seen = []
    run.finished = seen.append
    run.run("sequences")
    assert [done.name for done in seen] == ["events", "sequences"]
    assert all(done.seconds is not None for done in seen)
    assert [done.seconds for done in run.run("sequences")] == [None, None]


def test_what_is_fresh_can_be_read_while_another_run_holds_the_workspace(shop, built, monkeypatch):
    pipeline(shop).run("events")

    def taken(self):
        raise WorkspaceError("taken")

    monkeypatch.setattr(Workspace, "lock", taken)
    pipeline(shop).run("events")
    with pytest.raises(WorkspaceError, match="taken"):
        pipeline(shop).run("sequences")


def test_the_report_stands_in_the_workspace_and_comes_back_when_it_was_removed(shop, built):
    run = pipeline(shop)
    run.run()
    assert run.report_path == shop.parent / "w" / "report.html"
    assert run.report_path.read_text(encoding="utf-8") == "report"
    run.report_path.unlink()
    assert rebuilt(built, run) == []
    assert run.report_path.read_text(encoding="utf-8") == "report"


def test_the_workspace_notes_its_config(shop, built):
    run = pipeline(shop)
    run.origin = shop / "whybuy.toml"
    run.run("events")
    card = json.loads((run.workspace.root / CARD).read_text(encoding="utf-8"))
    assert card == {"config": str(shop / "whybuy.toml")}


def test_the_truth_of_a_demo_shop_stays_with_it_and_leaves_with_it(shop, built):
    demo = pipeline(shop)
    inside = demo.workspace.root / "demo"
    inside.mkdir(parents=True)
    (inside / "log.csv").touch()
    truth = demo.workspace.write_json(TRUTH, [])
    demo.config = config_from_dict({"events": [{"path": "log.csv"}]}, base=inside)
    demo.run()
    assert truth.exists()
    pipeline(shop).run()
    assert not truth.exists()


def test_new_truth_makes_the_report_stale(shop, built):
    run = pipeline(shop)
    run.config = config_from_dict({"events": [{"path": "log.csv"}]}, base=run.workspace.root / "demo")
    run.run()
    run.workspace.write_json(TRUTH, [1])
    assert rebuilt(built, run) == ["report"]


def test_the_report_says_why_it_has_no_second_opinion(shop, built, monkeypatch):
    monkeypatch.setattr(Pipeline, "effects", lambda self: [])
    found = module._second_opinion(pipeline(shop))
    assert found == {"refused": "No effect was confirmed, so there is nothing to compare."}


def test_an_extra_that_was_installed_makes_the_report_stale(shop, built, monkeypatch):
    monkeypatch.setattr(module, "missing_for_discovery", lambda: "causal-learn")
    pipeline(shop).run()
    monkeypatch.setattr(module, "missing_for_discovery", lambda: None)
    assert rebuilt(built, pipeline(shop)) == ["report"]


def test_the_files_of_every_kind_of_source_are_watched(shop):
    for name in ("a.parquet", "b.parquet", "items.csv", "shop.duckdb", "days/1.csv", "sent.csv"):
        (shop / name).parent.mkdir(exist_ok=True)
        (shop / name).write_text(name, encoding="utf-8")
    raw = {
        "events": [
            {"path": "*.parquet"},
            {"path": "days"},
            {"path": "shop.duckdb::events"},
            {"path": "gone.csv", "join": {"path": "sent.csv", "on": ["x"]}},
        ],
        "items": {"path": "items.csv"},
    }
    found = {Path(path).name: size for path, size, _ in source_files(config_from_dict(raw, base=shop))}
    assert found == {
        "a.parquet": 9,
        "b.parquet": 9,
        "1.csv": 10,
        "shop.duckdb": 11,
        "gone.csv": -1,
        "sent.csv": 8,
        "items.csv": 9,
    }


def test_a_workspace_inside_the_folder_of_the_log_is_no_source(shop, built):
    config = config_from_dict({"events": [{"path": "."}]}, base=shop)
    run = Pipeline(config, Workspace(shop / "w"))
    run.run("events")
    assert rebuilt(built, run, "events") == []
    assert [Path(path).name for path, _, _ in source_files(config)] == ["log.csv"]


def test_spark_is_refused_before_anything_runs(shop):
    with pytest.raises(ConfigError, match='engine = "spark"'):
        pipeline(shop, engine="spark")


def test_a_process_that_sees_another_log_or_has_another_whybuy_takes_no_part(shop, built):
    run = pipeline(shop)
    run.run("sequences")
    log = module._content(run.folder("sequences") / module.STAGE_CARD)
    task = {"code": module.code_version(), "workspace": str(run.workspace.root), "log": log}
    module._can_take_part(task)
    with pytest.raises(WorkspaceError, match="does not see the log in the workspace"):
        module._can_take_part({**task, "workspace": str(shop)})
    with pytest.raises(WorkspaceError, match="has another whybuy than the first process"):
        module._can_take_part({**task, "code": "another"})
