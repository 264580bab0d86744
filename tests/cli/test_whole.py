"""The whole program on a small shop: every command, every shape, and what happens when it is killed.

The shop is the demo's, with few users, a tiny model and one confirmed pair: it shows that the parts fit, not that the
answers are right.
"""

import contextlib
import hashlib
import io
import json
import random
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from whybuy import pipeline as module
from whybuy.cli.app import invoke
from whybuy.config import CausalConfig, Config, load_config
from whybuy.pipeline import COST, STAGES, Pipeline
from whybuy.workspace import CARD, Workspace
from whybuy.worlds import draw_demo, write_demo

pytestmark = pytest.mark.whole

SMALL = """
[behavior]
size = "tiny"
epochs = 1

[causal]
treatments = ["view", "cart"]
categories = 2
confirm_behaviors = 2
confirm = [["view:phones", "purchase:cases"]]
"""
K = 3


@dataclass(frozen=True)
class Shop:
    """A small shop that was run, and how to ask it."""

    config: Path
    root: Path

    def ask(self, *words: str) -> Any:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            code = invoke([*words, "-c", str(self.config), "--workspace", str(self.root), "--json"])
        assert code == 0, printed.getvalue()
        return json.loads(printed.getvalue())


def small_shop(folder: Path) -> Path:
    config = write_demo(draw_demo(5, n_users=120), folder)
    text = config.read_text(encoding="utf-8")
    config.write_text(text[: text.index("[causal]")] + SMALL, encoding="utf-8")
    return config


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> Shop:
    folder = tmp_path_factory.mktemp("whole")
    found = Shop(small_shop(folder / "shop"), folder / "w")
    found.ask("run")
    return found


def test_a_run_says_what_it_did_and_a_second_one_has_nothing_to_do(shop, conforms):
    answer = shop.ask("run")
    conforms(answer, "run")
    rows = answer["rows"]
    assert rows["read"] == rows["kept"] + rows["duplicates_merged"] + rows["rejected"]
    assert [stage["name"] for stage in answer["stages"]] == list(STAGES)
    assert all(stage["seconds"] is None for stage in answer["stages"])
    assert sum(answer["verdicts"].values()) == answer["chosen"]["pairs_scanned"]
    assert answer["chosen"]["pairs_confirmed"] >= 1
    assert Path(answer["report"]).stat().st_size < 5_000_000


def test_check_says_what_the_log_can_answer(shop, conforms):
    answer = shop.ask("check")
    conforms(answer, "check")
    assert {part["part"]: part["can"] for part in answer["capabilities"]}["causal effects"]
    assert answer["windows"]["lookback"] == "7d"


def test_all_effects_are_whole(shop, conforms):
    answer = shop.ask("effects", "--all")
    conforms(answer, "effects")
    pairs = [(e["treatment"], e["outcome"]) for e in answer["effects"]]
    assert len(pairs) == len(set(pairs)) == 18
    assert {"view:*", "view:phones", "cart:cases"} <= {treatment for treatment, _ in pairs}
    assert "confirmed" in {e["method"] for e in answer["effects"]}


def test_a_question_that_was_not_scanned_is_answered_now(shop, conforms):
    answer = shop.ask("effects", "--treatment", "search:boots", "--outcome", "purchase:boots", "--horizon", "3d")
    conforms(answer, "effects")
    assert answer["effects"][0]["horizon"] == "3d"


def test_planted_behaviors_are_judged_and_the_report_shows_them(shop, conforms):
    answer = shop.ask("certify", "--copies", "1", "--markers", "3", "--outcomes", "1")
    conforms(answer, "certify")
    assert [p["kind"] for p in answer["pairs"]] == ["non-null", "null", "null"]
    assert answer["pairs"][1]["truth"] == 0
    page = Path(answer["report"]).read_text(encoding="utf-8")
    assert 'id="plot-certificate"' in page
    assert shop.ask("certify", "--copies", "1", "--markers", "3", "--outcomes", "1") == answer
    assert all(stage["seconds"] is None for stage in shop.ask("run")["stages"])


def test_what_if_one_person_did_that(shop, conforms):
    user = pd.read_parquet(shop.root / "events" / "users.parquet")["user_id"].iloc[0]
    words = ("whatif", "--user", user, "--do", "view:phones", "--outcome", "purchase:cases")
    answer = shop.ask(*words)
    conforms(answer, "whatif")
    assert answer == shop.ask(*words, "--horizon", "7d")


def test_recommendations_for_one_and_all(shop, conforms, tmp_path):
    users = pd.read_parquet(shop.root / "events" / "users.parquet")
    active = users.loc[users["n_events"] > 0, "user_id"]
    one = shop.ask("recommend", "--user", active.iloc[0], "-k", str(K))
    conforms(one, "recommend")
    conforms(shop.ask("recommend", "--user", "nobody we know", "-k", str(K)), "recommend")
    written = shop.ask("recommend", "--all", "-k", str(K), "--output", str(tmp_path / "all.parquet"))
    frame = pd.read_parquet(written["output"])
    assert written["rows"] == len(frame) == K * len(active)
    assert {"user_id", "rank", "item_id", "lift", "lift_low", "lift_high", "p_buy", "reason", "propensity"} <= set(
        frame
    )
    mine = frame[frame["user_id"] == active.iloc[0]]
    assert list(mine["item_id"]) == [item["item_id"] for item in one["items"]]


def test_campaigns(shop, conforms):
    conforms(shop.ask("campaign"), "campaigns")
    spring = shop.ask("campaign", "spring")
    conforms(spring, "campaign")
    assert spring["kind"] == "randomized"
    conforms(shop.ask("campaign", "vip", "--horizon", "5d"), "campaign")


def test_profiles(shop, tmp_path):
    everyone = shop.ask("profile", "--output", str(tmp_path / "profiles.parquet"))
    assert everyone["n_users"] == sum(everyone["stages"].values()) == 120
    assert len(pd.read_parquet(tmp_path / "profiles.parquet")) == 120
    user = everyone["examples"][0]["user_id"]
    assert shop.ask("profile", user)["user_id"] == user


def test_single_stages_are_up_to_date_after_a_run(shop, conforms):
    assert shop.ask("train")["parameters"] > 0
    conforms(shop.ask("scan"), "effects")
    assert Path(shop.ask("report")["report"]) == shop.root / "report.html"


SEEN: set[str] = set()


class WatchedCausal(CausalConfig):
    """Notes which of its settings are read."""

    def __getattribute__(self, name: str) -> Any:
        if name in CausalConfig.model_fields:
            SEEN.add(f"causal.{name}")
        return super().__getattribute__(name)


class Watched(Config):
    """Notes which settings are read."""

    def __getattribute__(self, name: str) -> Any:
        if name in Config.model_fields and name not in ("causal", "base", "engine"):
            SEEN.add(name)
        return super().__getattribute__(name)


def declared(name: str) -> set[str]:
    """Return every setting that decides a stage or one that it needs."""
    found = set()
    for stage in module._with_needs([name]):
        for key, value in STAGES[stage].settings.items():
            if key != "causal":
                found.add(key)
            elif value is True:
                found |= {f"causal.{field}" for field in CausalConfig.model_fields}
            else:
                found |= {f"causal.{field}" for field in value}
    return found


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_reads_no_setting_that_does_not_make_it_stale(shop, name, tmp_path):
    config = load_config(shop.config)
    watched = Watched.model_validate({**config.model_dump(), "base": config.base})
    causal = WatchedCausal.model_validate(config.causal.model_dump())
    run = Pipeline(watched.model_copy(update={"causal": causal}), Workspace(shop.root))
    SEEN.clear()
    STAGES[name].build(run, tmp_path)
    assert declared(name) >= SEEN


def fingerprints(root: Path) -> dict[str, str]:
    """Return a hash of every file of every stage; what a training took is beside them and never the same."""
    return {
        str(file.relative_to(root)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(root.rglob("*"))
        if file.is_file() and file.name not in (".lock", CARD, COST)
    }


@pytest.mark.slow
def test_a_run_that_is_killed_again_and_again_ends_as_an_undisturbed_one(tmp_path):
    config = small_shop(tmp_path / "shop")
    command = [sys.executable, "-c", "from whybuy.cli import main; main()", "run", "-c", str(config), "--workspace"]
    started = time.monotonic()
    subprocess.run([*command, str(tmp_path / "calm")], check=True, capture_output=True)
    whole = time.monotonic() - started
    moments = random.Random(7)
    for _ in range(10):
        with subprocess.Popen(
            [*command, str(tmp_path / "killed")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as run:
            with contextlib.suppress(subprocess.TimeoutExpired):
                run.wait(moments.uniform(0.05, 0.5) * whole)
            run.kill()
    done = subprocess.run([*command, str(tmp_path / "killed")], check=True, capture_output=True, text=True)
    assert "Traceback" not in done.stderr
    assert fingerprints(tmp_path / "killed") == fingerprints(tmp_path / "calm")
    assert not list((tmp_path / "killed").glob(".building-*"))


def test_two_runs_exclude_each_other_with_a_message(shop, capsys):
    hold = (
        "import sys, time; from pathlib import Path; from whybuy.workspace import Workspace\n"
        "with Workspace(Path(sys.argv[1])).lock():\n    print('held', flush=True); time.sleep(60)"
    )
    text = shop.config.read_text(encoding="utf-8")
    other = shop.config.with_name("other.toml")
    other.write_text(text.replace("[behavior]", "[recommend]\nk = 4\n\n[behavior]"))
    with subprocess.Popen([sys.executable, "-c", hold, str(shop.root)], stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout.readline() == "held\n"
            assert invoke(["run", "-c", str(other), "--workspace", str(shop.root)]) == 2
        finally:
            holder.kill()
    assert f"Another run (process {holder.pid}) is using the workspace" in capsys.readouterr().err
