import pytest

from tests.events.small_logs import events, ingest_config, ingest_csv, ingest_rows, rejected
from whybuy.config import EventsConfig
from whybuy.errors import ConfigError, SourceError
from whybuy.events.map import resolve_mapping


def resolved(present, **entry):
    return resolve_mapping(EventsConfig(path="log.csv", **entry), present, name="log.csv")


def test_without_a_mapping_columns_of_the_contract_are_taken_by_name():
    found = resolved(["user_id", "ts", "action", "brand", "other"])
    assert found.columns == {name: name for name in ("user_id", "ts", "action", "brand")}


def test_with_a_mapping_only_required_columns_are_taken_by_name():
    found = resolved(["user_id", "ts", "action", "brand", "rating"], columns={"brand": "brand"})
    assert found.columns == {name: name for name in ("user_id", "ts", "action", "brand")}


def test_constants_stand_for_columns():
    found = resolved(["user_id", "action"], constants={"ts": 1, "action": "view"})
    assert found.columns == {"user_id": "user_id"}


def test_a_day_and_an_arm_may_be_the_same_for_every_row(tmp_path):
    constants = {"ts": "2024-03-01", "action": "Campaign", "campaign_id": "spring", "arm": 1, "propensity": 0.5}
    log = ingest_csv(tmp_path, "user_id\nu1\n", entry={"constants": constants})
    assert events(log, "ts_ms", "action", "campaign_id", "arm", "propensity") == [
        (1709251200000, "campaign", "spring", "1", 0.5)
    ]


@pytest.mark.parametrize("columns", [{"session_id": "visit"}, {"user_id": "visit", "session_id": "visit"}])
def test_a_session_stands_for_the_user(columns):
    found = resolved(["visit", "ts"], columns=columns, constants={"action": "view"})
    assert found.columns["user_id"] == "visit"
    assert found.notes == ("log.csv: a session id (visit) stands for the user",)


@pytest.mark.parametrize(
    ("present", "entry", "message"),
    [
        (["uid", "ts", "action"], {}, r"none of them is mapped to the user\. .* Write user_id = \"uid\""),
        (["user_id", "timestamp", "action"], {}, r"none of them is mapped to the time\. Every event needs a time"),
        (["user_id", "ts", "kind"], {}, r"mapped to the action\. .* or an action for every row under"),
    ],
)
def test_a_source_without_user_time_or_action_is_refused(present, entry, message):
    with pytest.raises(SourceError, match=message):
        resolved(present, **entry)


def test_a_column_and_a_constant_contradict():
    with pytest.raises(ConfigError, match=r"action stands in \[events.columns\] and in \[events.constants\]"):
        resolved(["user_id", "ts", "kind"], columns={"action": "kind"}, constants={"action": "view"})


def test_a_constant_that_is_no_action_names_the_nearest():
    with pytest.raises(ConfigError, match=r"action = 'purchas'\. .* Did you mean 'purchase'\?"):
        resolved(["user_id", "ts"], constants={"action": "purchas"})


def test_actions_match_the_mapping_exactly_and_the_contract_in_any_case(tmp_path):
    rows = ["u,1e9,PV,a", "u,1e9,pv,b", "u,1e9, View ,c", "u,1e9,cart,d", "u,1e9,hover,e", "u,1e9,,f"]
    entry = {"actions": {"pv": "view", "cart": "purchase"}}
    log = ingest_rows(tmp_path, *rows, entry=entry)
    assert sorted(events(log, "item_id", "action")) == [("b", "view"), ("c", "view"), ("d", "purchase")]
    assert rejected(log, "source_row", "action", "reason") == [
        (0, "PV", "unknown action"),
        (4, "hover", "unknown action"),
        (5, None, "unknown action"),
    ]
    assert f"{tmp_path}/events.csv: unknown action (nothing 1 times, 'PV' 1 times, 'hover' 1 times)" in [
        note.replace("'PV' 1 times, 'hover' 1 times, nothing 1 times", "nothing 1 times, 'PV' 1 times, 'hover' 1 times")
        for note in log.quality.notes
    ]


def test_ids_stay_as_written(tmp_path):
    ids = ["007", "1.0", "1e5", "0x1F", "true", "null", " padded ", "😀", "שלום", "a/b%20"]
    log = ingest_rows(tmp_path, *(f"{user},2024-01-01,view,{user}" for user in ids))
    assert sorted(events(log, "user_id", "item_id")) == sorted((user, user) for user in ids)


def test_queries_are_trimmed_folded_and_cut_and_texts_ten_times_as_long(tmp_path):
    header = "user_id,ts,action,query,text"
    rows = [
        'u,1500000000,search," Große ΟΔΟΣ\t",',
        "u,1500000100,search,abcdefghijklmnop,",
        f"u,1500000200,review,,{'x' * 200}",
    ]
    log = ingest_rows(tmp_path, *rows, header=header, clean={"max_query_length": 12})
    assert events(log, "query", "text") == [("grosse οδοσ", None), ("abcdefghijkl", None), (None, "x" * 120)]


def test_numbers_that_are_none_are_rejected_and_missing_ones_are_missing(tmp_path):
    header = "user_id,ts,action,item_id,price,rating,slot"
    rows = [
        "a,1500000000,view,i,,,",
        "b,1500000000,view,i, 9.5 ,4,2",
        "c,1500000000,view,i,$5,,",
        "d,1500000000,view,i,,good,",
    ]
    log = ingest_rows(tmp_path, *rows, header=header)
    assert events(log, "user_id", "price", "rating", "slot") == [("a", None, None, None), ("b", 9.5, 4.0, 2)]
    assert rejected(log, "user_id", "reason") == [("c", "impossible price"), ("d", "impossible rating")]


def test_a_rejected_row_is_shown_as_it_was_found(tmp_path):
    log = ingest_csv(
        tmp_path,
        "who,when,action\nu1,2024-01-01,view\nu2,never,view\n",
        entry={"columns": {"user_id": "who", "ts": "when"}},
    )
    assert rejected(log, "source", "source_row", "reason", "user_id", "ts", "action", "raw") == [
        (0, 1, "no readable time", "u2", "never", "view", '{"user_id":"u2","ts":"never","action":"view"}')
    ]
    assert log.quality.notes == [f"{tmp_path}/events.csv: no readable time ('never' 1 times)"]


def test_the_place_stands_for_the_time(tmp_path):
    (tmp_path / "a.csv").write_text("user_id,item_id\nu,x\nv,x\nu,x\n")
    (tmp_path / "b.csv").write_text("user_id,item_id\nu,y\n")
    entries = [{"path": name, "time": "order", "constants": {"action": "purchase"}} for name in ("a.csv", "b.csv")]
    log = ingest_config(tmp_path, {"events": entries})
    assert events(log, "user_id", "ts_ms", "moment", "item_id", "session_id") == [
        ("u", 0, 0, "x", "s1"), ("u", 2, 1, "x", "s1"), ("u", 3, 2, "y", "s1"), ("v", 1, 0, "x", "s1"),
    ]  # fmt: skip
    assert not log.quality.has_times
    assert log.quality.longest_gap_ms is None


def test_a_position_may_be_mapped(tmp_path):
    entry = {"time": "order", "columns": {"ts": "nth", "item_id": "item_id"}, "constants": {"action": "rating"}}
    log = ingest_csv(tmp_path, "user_id,nth,item_id\nu,2,b\nu,1,a\nu,2,b\nu,2,c\n", entry=entry)
    assert events(log, "ts_ms", "moment", "item_id") == [(1, 0, "a"), (2, 1, "b"), (2, 1, "c")]
    assert log.quality.duplicates_merged == 1


@pytest.mark.parametrize(
    ("dates", "note", "first"),
    [
        (["12/31/2010 10:00", "1/2/2010 10:00"], "are read month first", 1262426400000),
        (["31/12/2010 10:00", "1/2/2010 10:00"], "are read day first", 1265018400000),
        (["1/2/2010 10:00"], "could be read day or month first; they are read month first", 1262426400000),
    ],
)
def test_all_dates_of_a_source_decide_whether_the_day_comes_first(tmp_path, dates, note, first):
    log = ingest_rows(tmp_path, *(f"u,{date},view,a" for date in dates))
    assert min(ms for (ms,) in events(log, "ts_ms")) == first
    assert [n for n in log.quality.notes if note in n]
