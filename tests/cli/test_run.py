from pathlib import Path

import pytest

from tests.cli.conftest import EFFECTS_FOUND
from whybuy.cli.run import RunSummary, windows_json
from whybuy.cli.session import Session
from whybuy.config import config_from_dict
from whybuy.events.quality import Quality
from whybuy.pipeline import StageDone

DAY_MS = 86_400_000


@pytest.fixture
def quality() -> Quality:
    """Ten rows read over 30 days, of which one was a duplicate and two had no user."""
    return Quality(
        rows_read=10,
        rows_kept=7,
        duplicates_merged=1,
        rejected={"no user": 2},
        actions={"view": 7},
        n_users=2,
        n_items=3,
        n_categories=1,
        n_sessions=2,
        n_moments=7,
        first_ms=0,
        last_ms=30 * DAY_MS,
        start_ms=0,
        end_ms=30 * DAY_MS,
        q01_ms=0,
        q99_ms=30 * DAY_MS,
        has_times=True,
        longest_gap_ms=DAY_MS,
    )


@pytest.fixture
def summary(quality) -> RunSummary:
    return RunSummary(
        quality=quality,
        training={
            "plan": {"trunk": {"width": 64, "depth": 2}, "epochs": 8},
            "parameters": 1234,
            "share_of_users": 0.5,
        },
        effects=EFFECTS_FOUND,
        report=Path("w/report.html"),
        stages=[StageDone("events", None), StageDone("report", 1.5)],
    )


def test_the_summary_of_a_run_as_json(summary, conforms):
    raw = summary.to_json()
    conforms(raw, "run")
    assert raw["rows"] == {"read": 10, "kept": 7, "duplicates_merged": 1, "rejected": 2}
    assert raw["verdicts"] == {"strong": 1, "suggestive": 3, "none": 0, "cannot_tell": 1}
    assert [e["treatment"] for e in raw["top"]] == ["cart:b", "view:c", "view:b"]
    assert raw["chosen"]["pairs_confirmed"] == 3
    assert raw["stages"] == [{"name": "events", "seconds": None}, {"name": "report", "seconds": 1.5}]


def test_the_summary_of_a_run_in_words(summary, capsys):
    summary.show(Session())
    out = capsys.readouterr().out
    assert out.startswith("rows: 10 read = 7 kept + 1 duplicates merged + 2 rejected\n")
    assert "a model of 1,234 parameters (width 64, depth 2), passes: 8, share of users: 50%;" in out
    assert "pairs scanned: 5, confirmed: 3" in out
    assert "verdicts: 1 strong, 3 suggestive, 0 none, 1 cannot tell" in out
    assert out.endswith("report: w/report.html\n")


def windows(quality: Quality, **settings) -> dict:
    return windows_json(quality, config_from_dict({"events": [{"path": "x.csv"}], **settings}, base=Path()))


def test_check_says_which_windows_hold_and_why(quality):
    assert windows(quality) == {
        "horizons": ["7d"],
        "lookback": "7d",
        "chosen_by_rule": "7d",
        "why": "the 1st and the 99th percentile of time lie 30.0 days apart, which is 28 days or more",
    }
    assert windows(quality, horizons=["14d"])["why"].startswith("as whybuy.toml says; the rule would choose 7d: ")
