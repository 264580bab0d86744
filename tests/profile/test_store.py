"""Profiles as files and as answers."""

import json

import pytest

from tests.campaign.shops import config, event, write_shop
from whybuy.errors import QuestionError, WorkspaceError
from whybuy.profile import build_profiles, profile_of, profile_summary


def log_of(folder, **days):
    """Users who buy on the days given, in a log of 100 days."""
    bought = [event(user, day, "purchase", item_id="i1") for user, ds in days.items() for day in ds]
    return write_shop(folder, [event("end", 0, "view"), event("end", 100, "view"), *bought])


@pytest.fixture
def built(tmp_path):
    log = log_of(
        tmp_path / "events",
        steady=[10, 20, 30, 40, 50, 60, 70],
        quiet=[10, 20, 30, 40, 50],
        gone=[10, 20, 30],
        fresh=[80, 95],
        once=[30],
        borrowed=[50, 60],
    )
    build_profiles(log, config(), tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("user", "stage"),
    [
        ("steady", "active"),  # silent for 30 days, three gaps of 10
        ("quiet", "at risk"),  # silent for 50 days
        ("gone", "lapsed"),  # silent for 70 days
        ("fresh", "new"),  # first seen 20 days before the end, within a quarter of 100
        ("once", "one-time"),
        ("borrowed", "at risk"),  # two active days: judged by the others' median gap of 10, silent for 40
        ("end", "browser"),
    ],
)
def test_the_stage_follows_the_stated_rule(built, user, stage):
    assert profile_of(built, user).stage == stage


def test_where_nobody_has_a_rhythm_the_stage_is_unknown(tmp_path):
    build_profiles(log_of(tmp_path / "events", a=[1, 9]), config(), tmp_path)
    assert profile_of(tmp_path, "a").stage == "unknown"


def test_the_summary_counts_stages_and_says_the_rule(built):
    found = profile_summary(built)
    assert found["stages"] == {"new": 1, "active": 1, "at risk": 2, "lapsed": 1, "one-time": 1, "browser": 1}
    assert found["n_users"] == 7
    assert found["rule"]["new"] == "first seen within 25 days of the log's end"
    assert found["buyers"]["frequency"] == [2.0, 2.5, 4.5]
    assert found["buyers"]["monetary"] is None
    assert [e["user_id"] for e in found["examples"]] == ["fresh", "steady", "quiet", "gone", "once", "end"]
    assert json.loads((built / "summary.json").read_text(encoding="utf-8")) == found


def test_a_profile_in_words_carries_its_evidence(built):
    assert profile_of(built, "gone").summary() == (
        "gone as of 1970-04-11: lapsed (bought repeatedly, and silent for more than 6 usual gaps).\n"
        "Events: 3 from 1970-01-11 to 1970-01-31 UTC (active days: 3): purchase 3.\n"
        "Last seen 70.0 days before the end of the log; usually 10 days pass between active days.\n"
        "Usual time: 00:00-01:00 (3 of 3 own events), UTC time.\n"
        "Orders: 3 (lines: 3), the last 70.0 days before the end of the log, 1 pieces each on average.\n"
        "Spent: not known, no purchase has a price.\n"
        "Fifth among buyers (5 is best): recency 1, frequency 4, monetary not known."
    )


def test_a_profile_is_numbers_json_and_a_figure(built):
    steady = profile_of(built, "steady")
    raw = steady.to_json()
    assert json.loads(json.dumps(raw, allow_nan=False)) == raw
    assert raw["summary"] == list(steady.lines())
    frame = steady.to_frame()
    assert frame.loc[0, ["frequency", "n_purchase", "stage"]].tolist() == [7, 7, "active"]
    assert list(steady.plot().data[0].x) == [7]


def test_one_row_per_user_in_order_and_nothing_else_is_left(built):
    assert sorted(path.name for path in built.iterdir()) == ["events", "profiles.parquet", "summary.json"]


def test_an_unknown_user_is_refused_with_the_nearest(built):
    with pytest.raises(QuestionError, match=r"User 'stead' is not among the 7 users of the log.*Did you mean 'steady'"):
        profile_of(built, "stead")
    with pytest.raises(QuestionError, match="Look ids up in the log"):
        profile_of(built, "0x9999")


def test_a_folder_without_profiles_is_refused(tmp_path):
    for asked in (lambda: profile_of(tmp_path, "a"), lambda: profile_summary(tmp_path)):
        with pytest.raises(WorkspaceError, match=r"holds no profiles.*profiles.parquet is needed.*whybuy run"):
            asked()


@pytest.mark.parametrize("user", ["0017", "o'neil", "дом", "a\u200fb", "🛒", 'say "hi"', "%_*"])
def test_ids_stay_text_as_written(tmp_path, user):
    log = write_shop(tmp_path / "it's events", [event(user, 0, "view"), event(user, 1, "view")])
    build_profiles(log, config(), tmp_path / "it's here")
    assert profile_of(tmp_path / "it's here", user).n_events == 2
