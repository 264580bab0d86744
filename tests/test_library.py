"""The library from Python: what it reads, that it answers as the commands do, and what it refuses."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

import whybuy
from whybuy.causal.effects import Effect, Effects
from whybuy.causal.question import Question
from whybuy.cli.app import invoke
from whybuy.errors import BehaviorError, ConfigError, QuestionError, SourceError, WhybuyError
from whybuy.pipeline import Pipeline

DAY = 86_400_000
N_USERS, N_EVENTS = 120, 60


def shop() -> pd.DataFrame:
    """People who look, cart and buy bags, 40 days; a cart is followed by a purchase half the time."""
    rng = np.random.default_rng(1)
    kinds = [("view", "shoes"), ("view", "bags"), ("cart", "bags"), ("purchase", "bags")]
    choice = np.zeros((N_USERS, N_EVENTS), int)
    for k in range(1, N_EVENTS):
        p_buy = np.where(choice[:, k - 1] == 2, 0.5, 0.05)
        choice[:, k] = np.where(rng.random(N_USERS) < p_buy, 3, rng.integers(0, 3, N_USERS))
    user = np.repeat(np.arange(N_USERS), N_EVENTS)
    ms = 1_700_000_000_000 + np.tile(np.arange(N_EVENTS) * 2 * DAY // 3, N_USERS) + 1000 * user
    return pd.DataFrame(
        {
            "user_id": [f"{u:03d}" for u in user],
            "ts": pd.to_datetime(ms, unit="ms"),
            "action": [kinds[i][0] for i in choice.ravel()],
            "category": [kinds[i][1] for i in choice.ravel()],
            "item_id": [f"{kinds[i][1]}-{u % 3}" for i, u in zip(choice.ravel(), user, strict=True)],
        }
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("library")


@pytest.fixture(scope="module")
def log(folder) -> whybuy.Log:
    return whybuy.read(shop(), workspace=folder / "workspace")


@pytest.mark.whole
def test_a_table_is_scanned_and_asked(log, folder):
    found = whybuy.scan(log)
    assert isinstance(found, Effects)
    assert len(found.to_frame()) == len(found) > 10
    told = found["cart:bags", "purchase:bags"]
    assert told.effect.estimate is not None
    assert found.summary().startswith(f"{len(found)} pairs: ")
    assert len(found.plot().data) == 2
    asked = whybuy.effect(log, treatment="view:shoes", outcome="purchase:bags")
    assert isinstance(asked, Effect)
    assert (asked.treatment, asked.outcome, asked.method) == ("view:shoes", "purchase:bags", "confirmed")
    # A look at shoes takes a cart's place half the time: -.031 by simulating the chain. Nothing foretells who looks at
    # shoes, which is no defect of the forecast.
    assert asked.effect.ci_low < -0.031 < asked.effect.ci_high < 0
    assert asked.verdict == "strong"
    weekly = whybuy.effect(log, treatment="cart:bags", outcome="purchase:bags", design="calendar")
    assert weekly.design == "calendar"
    assert weekly.verdict != "strong"
    again = whybuy.sustained(log, treatment="cart:bags", outcome="purchase:bags", periods=2)
    assert (again.n_decisions, again.verdict) == (2, "cannot_tell")
    assert "120 users are eligible; 200 are needed." in again.summary()
    both = whybuy.effects(log, treatment="cart:bags,view:shoes", outcome="purchase:bags", reference="view:bags")
    assert {(e.treatment, e.reference) for e in both} == {("cart:bags", "view:bags"), ("view:shoes", "view:bags")}
    begun = whybuy.effect(log, treatment="cart:bags", outcome="purchase:bags", design="session:1")
    assert (begun.design, begun.unit) == ("session", "sessions")
    with pytest.raises(QuestionError, match="at a price that is known"):
        whybuy.dose(log, treatment="price:bags", outcome="purchase:bags")
    who = whybuy.who_gains(log, treatment="cart:bags", outcome="purchase:bags")
    assert sum(g.n_trials for g in who.by_tau) == told.n_trials
    assert "effects of groups, not of persons" in who.summary()
    drawn = whybuy.graph(log)
    assert drawn.n_confirmed == sum(e.method == "confirmed" for e in found)
    assert {(e.treatment, e.outcome) for e in drawn.edges} <= {(e.treatment, e.outcome) for e in found}
    with pytest.raises(QuestionError, match=r"120 users have a moment|behaviors of the confirmed pairs"):
        whybuy.second_opinion(log)


@pytest.mark.whole
def test_the_library_and_the_commands_share_a_workspace(log, folder, capsys):
    whybuy.scan(log)
    words = ["effects", "--all", "--json", "--workspace", str(log.workspace), "-c", str(log.workspace / "whybuy.toml")]
    assert invoke(words) == 0
    printed = capsys.readouterr()
    assert "up to date" in printed.err
    assert "done in" not in printed.err
    ours = [(e.treatment, e.outcome, e.effect.estimate) for e in whybuy.scan(log)]
    theirs = [(e["treatment"], e["outcome"], e["effect"]["estimate"]) for e in json.loads(printed.out)["effects"]]
    assert ours == theirs


def test_the_same_table_is_the_same_log(tmp_path):
    frame = shop()
    first = whybuy.read(frame, workspace=tmp_path)
    again = whybuy.read(frame.copy(), workspace=tmp_path)
    assert first.config == again.config
    assert len(list((tmp_path / "tables").rglob("*.parquet"))) == 1
    other = whybuy.read(frame.iloc[:-50], workspace=tmp_path)
    assert other.config.events[0].path != first.config.events[0].path


def test_what_a_log_may_be(tmp_path):
    frame = shop()
    frame.to_parquet(tmp_path / "events.parquet")
    sources = {
        "path": tmp_path / "events.parquet",
        "text": str(tmp_path / "events.parquet"),
        "polars": pl.from_pandas(frame),
    }
    for name, source in sources.items():
        log = whybuy.read(source, workspace=tmp_path / name)
        assert log.quality.rows_kept == len(frame), name
    config = whybuy.read(tmp_path / "path" / "whybuy.toml", workspace=tmp_path / "from_config")
    assert config.quality.rows_kept == len(frame)


def test_items_beside_the_events_are_read(tmp_path):
    frame = shop()
    items = frame[["item_id", "category"]].drop_duplicates("item_id").assign(category="everything")
    log = whybuy.read(frame.drop(columns="category"), items=items, workspace=tmp_path)
    assert log.config.items is not None
    assert log.quality.n_categories == 1


@pytest.mark.parametrize(
    ("source", "error", "said"),
    [
        (42, SourceError, "of type int"),
        (pd.DataFrame({"price": [1.0, 2.0]}), SourceError, "user"),
        ("nowhere.parquet", SourceError, "nowhere.parquet"),
    ],
)
def test_what_is_no_log_is_refused(tmp_path, source, error, said):
    with pytest.raises(error, match=said):
        whybuy.read(source, workspace=tmp_path)


def test_a_config_names_its_own_items(tmp_path):
    with pytest.raises(QuestionError, match="config"):
        whybuy.read(tmp_path / "whybuy.toml", items=shop(), workspace=tmp_path)


def test_a_config_has_its_workspace_beside_it_whoever_reads_it_from_where(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop").mkdir()
    frame = shop()
    frame.to_parquet(tmp_path / "shop" / "events.parquet")
    made = whybuy.read(frame, workspace=tmp_path / "shop")
    assert whybuy.read(tmp_path / "shop" / "whybuy.toml").workspace == tmp_path / "shop" / "whybuy-workspace"
    assert whybuy.read(tmp_path / "shop" / "events.parquet").workspace.resolve() == tmp_path / "whybuy-workspace"
    assert made.workspace == tmp_path / "shop"


def test_a_config_within_its_workspace_is_read_there_and_the_workspace_itself_too(tmp_path, monkeypatch):
    config = tmp_path / "shop" / "demo" / "whybuy.toml"
    config.parent.mkdir(parents=True)
    config.write_text('[[events]]\npath = "events.csv"\n')
    assert whybuy.read(config).workspace == config.parent / "whybuy-workspace"
    card = tmp_path / "shop" / "workspace.json"
    card.write_text(json.dumps({"config": str(config.resolve())}))
    assert whybuy.read(config).workspace == tmp_path / "shop"
    assert whybuy.read(tmp_path / "shop").workspace == tmp_path / "shop"
    monkeypatch.chdir(tmp_path)
    assert whybuy.read("shop").config == whybuy.read(config).config


def test_a_horizon_is_text():
    with pytest.raises(ConfigError, match="3 is not a duration"):
        Question.of("view:*", "purchase:*", horizon=3)  # type: ignore[arg-type]


@pytest.mark.whole
def test_what_never_happens_is_refused(log):
    with pytest.raises(BehaviorError, match="never happens"):
        whybuy.effect(log, treatment="search:*", outcome="purchase:bags")


@pytest.mark.whole
@pytest.mark.parametrize(
    ("question", "found"),
    [
        ({"treatment": "search:*", "outcome": "purchase:bags"}, "never happens"),
        ({"treatment": "view:*", "outcome": "purchase:bags", "horizon": "900d"}, "a shorter --horizon"),
        ({"treatment": "view:*", "outcome": "purchase:bags", "where": "nothing = 1"}, "no condition"),
    ],
)
def test_what_cannot_be_asked_is_said_before_anything_that_takes_long(log, monkeypatch, question, found):
    stages, run = [], Pipeline.run

    def noted(self, *wanted):
        stages.extend(wanted)
        return run(self, *wanted)

    monkeypatch.setattr(Pipeline, "run", noted)
    with pytest.raises(WhybuyError, match=found):
        whybuy.effect(log, **question)
    assert stages == ["sequences"]


def test_the_package_has_no_other_names():
    assert {"read", "scan", "effect", "Log"} <= set(dir(whybuy))
    with pytest.raises(AttributeError, match="nothing_of_that_name"):
        _ = whybuy.nothing_of_that_name
