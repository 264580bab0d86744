"""plan, assign and analyze as a user calls them, on a log that grows between the two."""

import json

import numpy as np
import pandas as pd
import pytest

DAYS = pd.Timedelta("1D")
FIRST = pd.Timestamp("2026-03-02")


def write_log(folder, *, days: int, treated: set[str] = frozenset(), n: int = 400) -> None:
    """Everybody comes every other day and buys with chance .2, from day 12 on .6 where treated."""
    rng = np.random.default_rng(0)
    rows = []
    for day in range(days):
        for i in np.flatnonzero(rng.random(n) < 0.5):
            user, at = f"u{i:03d}", FIRST + day * DAYS + pd.Timedelta(int(rng.integers(0, 86_000)), "s")
            rows.append((user, at, "view", 10.0))
            if rng.random() < (0.6 if day >= 12 and user in treated else 0.2):
                rows.append((user, at + pd.Timedelta("1min"), "purchase", 10.0))
    events = pd.DataFrame(rows, columns=["user_id", "ts", "action", "price"]).assign(item_id="i")
    events.to_csv(folder / "log.csv", index=False)
    users = pd.DataFrame({"user_id": [f"u{i:03d}" for i in range(n)], "region": [f"r{i % 40}" for i in range(n)]})
    users.to_csv(folder / "users.csv", index=False)
    columns = "\n".join(f'{name} = "{name}"' for name in events.columns)
    (folder / "whybuy.toml").write_text(
        f'lookback = "3d"\n[[events]]\npath = "log.csv"\n[events.columns]\n{columns}\n[users]\npath = "users.csv"\n',
        encoding="utf-8",
    )


@pytest.fixture
def grown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_log(tmp_path, days=12)
    return tmp_path


ASSIGN = ("experiment", "assign", "--arms", "control=.5,mail=.5", "--stratify", "activity:2", "--output", "a.csv")


def test_from_plan_to_verdict(call, grown):
    plan = call("experiment", "plan", "--horizon", "2d", "--effect", "60%", "--simulations", "100")
    assert plan.code == 0
    assert plan.out.startswith("Run it with ")
    assert "people" in plan.out
    assert "on the log" in plan.out
    assert (grown / "whybuy-workspace" / "experiment-plan.html").stat().st_size > 100_000

    first = call(*ASSIGN, "--json")
    assert first.json["written"] is True
    assert call(*ASSIGN, "--json").json == {**first.json, "written": False}
    other = call(*ASSIGN, "--seed", "8")
    assert other.code == 2
    assert other.err.splitlines()[-1].startswith("whybuy experiment assign: a.csv is there and holds something else.")
    said = call(*ASSIGN).out
    assert f"seed 7, sha256 {first.json['sha256']}" in said
    assert "already there, the same: a.csv" in said

    early = call("experiment", "analyze", "a.csv")
    assert early.code == 2
    assert "Bring the log up to date" in early.err
    frame = pd.read_csv("a.csv", comment="#")
    write_log(grown, days=24, treated=set(frame.unit[frame.arm == "mail"]))
    words = ("experiment", "analyze", "a.csv", "--horizon", "2d", "--guardrail", "revenue>-1")
    found = call(*words, "--json").json
    assert found["metrics"][0]["verdict"] == "strong"
    assert found["metrics"][1]["verdict"] == "held"
    assert found["sample_ratio"]["passed"] is True
    assert found["checks"]["sha256"] == first.json["sha256"]
    text = call(*words)
    assert text.out.startswith("mail: ship. purchase:* rose, and no guardrail is hurt.\n")
    assert "- Intervals are for one look, at the planned end." in text.out
    assert "hold at every look" in call(*words, "--peek").out

    text = (grown / "a.csv").read_text()
    (grown / "a.csv").write_text(text.replace("control,activity=1", "mail,activity=1", 1))
    changed = call(*words)
    assert changed.code == 2
    assert "a.csv was changed after it was written" in changed.err


def test_regions_and_periods(call, grown):
    answer = call("experiment", "assign", "--unit", "region", "--output", "r.parquet", "--json")
    assert sum(answer.json["counts"].values()) == 40
    answer = call("experiment", "assign", "--unit", "period=12h", "--days", "20", "--output", "p.csv")
    assert "40 periods of 12h" in answer.out
    answer = call("experiment", "plan", "--unit", "period=12h", "--simulations", "100", "--json")
    assert json.loads(answer.out)["unit"] == "periods of 12h"


def test_a_rehearsal_says_so(call, grown):
    answer = call("experiment", "assign", "--start", "2026-03-06", "--output", "a.csv")
    assert "A rehearsal" in answer.out
    assert call("experiment", "analyze", "a.csv", "--horizon", "2d").out.startswith("A rehearsal: ")


def test_a_file_of_another_system_needs_its_design(call, grown):
    users = pd.DataFrame({"user_id": [f"u{i:03d}" for i in range(400)], "arm": ["a", "b"] * 200})
    users.to_csv("theirs.csv", index=False)
    answer = call("experiment", "analyze", "theirs.csv")
    assert answer.code == 2
    assert "Add --start 2026-01-31 --arms" in answer.err
    words = ("experiment", "analyze", "theirs.csv", "--start", "2026-03-06", "--arms", "a=.5,b=.5", "--horizon", "2d")
    found = call(*words, "--json").json
    assert found["metrics"][0]["control"] == "a"
    assert "no hash" in " ".join(found["notes"])
    call("experiment", "assign", "--output", "ours.csv")
    answer = call("experiment", "analyze", "ours.csv", "--start", "2026-03-06")
    assert answer.code == 2
    assert "the file says it itself" in answer.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("plan", "--effect", "much"), "--effect 'much' is no number"),
        (("plan", "--arms", "control=.5,mail"), "--arms has the part 'mail'"),
        (("plan", "--arms", "control=.5,mail=.4"), "sum to 0.9"),
        (("plan", "--outcome", "buy:*"), "which is no action"),
        (("plan", "--unit", "regoin"), "Did you mean 'region'?"),
        (("plan", "--horizon", "30d"), "The log spans"),
        (("assign", "--start", "soon"), "--start 'soon' is no time"),
        (("assign", "--output", "a.xlsx"), "neither .parquet nor .csv"),
        (("analyze", "gone.csv"), "gone.csv was not found"),
    ],
)
def test_what_the_user_can_mend_is_exit_2(call, grown, words, message):
    answer = call("experiment", *words)
    assert answer.code == 2
    assert answer.out == ""
    assert f"whybuy experiment {words[0]}: " in answer.err
    assert message in answer.err


def test_a_log_without_times(call, grown):
    text = (grown / "whybuy.toml").read_text()
    (grown / "whybuy.toml").write_text(text.replace('path = "log.csv"', 'path = "log.csv"\ntime = "order"', 1))
    for words in (("plan",), ("assign",)):
        answer = call("experiment", *words)
        assert answer.code == 2
        assert "The log has an order but no times" in answer.err
