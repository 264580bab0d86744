import hashlib
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.events.small_logs import events, ingest_config, ingest_csv, ingest_rows, rejected
from whybuy import columns as c
from whybuy.errors import WorkspaceError
from whybuy.events import partition
from whybuy.events.log import EventLog

SHOP = (
    "user_id,ts,action,item_id,category,price,order_id,session_id\n"
    "u1,2024-03-01 10:00:00,view,i1,shoes,20,,\n"
    "u1,2024-03-01 10:00:00.4,view,i1,shoes,20,,\n"
    "u1,2024-03-01 10:05:00,search,,bags,,,\n"
    "u1,2024-03-01 12:00:00,purchase,i1,shoes,18,o1,\n"
    "u1,2024-03-01 12:00:00,purchase,i2,,5,o1,\n"
    "u2,2024-03-02 10:00:00,view,i1,boots,25,,visit\n"
    "u3,1970-01-01,view,i1,,,,\n"
    ",2024-03-02,view,i1,,,,\n"
)


def test_a_log_in_small(tmp_path):
    log = ingest_csv(tmp_path, SHOP)
    assert events(log, "user_id", "ts_ms", "moment", "action", "item_id", "category", "session_id") == [
        ("u1", 1709287200000, 0, "view", "i1", None, "s1"),
        ("u1", 1709287500000, 1, "search", None, "bags", "s1"),
        ("u1", 1709294400000, 2, "purchase", "i1", None, "s2"),
        ("u1", 1709294400000, 2, "purchase", "i2", None, "s2"),
        ("u2", 1709373600000, 0, "view", "i1", None, "visit"),
    ]
    quality = log.quality
    assert (quality.rows_read, quality.rows_kept, quality.duplicates_merged) == (8, 5, 1)
    assert quality.rejected == {"no user id": 1, "time before 1995-01-01": 1}
    assert quality.actions == {"purchase": 2, "view": 2, "search": 1}
    assert (quality.n_users, quality.n_items, quality.n_categories) == (2, 2, 2)
    assert (quality.n_sessions, quality.n_moments) == (3, 4)
    assert (quality.first_ms, quality.last_ms) == (1709287200000, 1709373600000)
    assert (quality.start_ms, quality.q01_ms, quality.q99_ms, quality.end_ms) == (
        1709287200000, 1709287200000, 1709373600000, 1709373600000,
    )  # fmt: skip
    assert quality.longest_gap_ms == 1709373600000 - 1709294400000
    assert quality.columns_present == [
        "user_id", "ts", "action", "item_id", "session_id", "order_id", "price", "category",
    ]  # fmt: skip
    assert rejected(log, "source_row", "reason") == [(6, "time before 1995-01-01"), (7, "no user id")]


def test_items_have_their_latest_values_and_users_their_span(tmp_path):
    log = ingest_csv(tmp_path, SHOP)
    items = log.items()
    assert list(items.columns) == [*c.ITEM_COLUMNS, c.N_EVENTS]
    assert items[["item_id", "category", "price", "n_events"]].fillna("-").values.tolist() == [
        ["i1", "boots", 25.0, 3],
        ["i2", "-", 5.0, 1],
    ]
    assert log.users().values.tolist() == [
        ["u1", 4, 1709287200000, 1709294400000],
        ["u2", 1, 1709373600000, 1709373600000],
    ]


def test_shards_have_the_columns_and_types_of_the_contract(tmp_path):
    log = ingest_rows(tmp_path, "u,1500000000,view,a")
    types = dict.fromkeys(c.SHARD_COLUMNS, pa.string())
    types |= dict.fromkeys((c.RATING, c.PRICE, c.QUANTITY, c.PROPENSITY), pa.float64())
    types |= {c.TIME_MS: pa.int64(), c.MOMENT: pa.int32(), c.SLOT: pa.int32(), c.SOURCE: pa.int16(), c.ROW: pa.int64()}
    schema = pq.read_schema(log.shards[0])
    assert dict(zip(schema.names, schema.types, strict=True)) == types
    assert tuple(schema.names) == c.SHARD_COLUMNS
    assert sorted(path.name for path in log.folder.iterdir()) == [
        "items.parquet", "quality.json", "rejected.parquet", "shards", "users.parquet",
    ]  # fmt: skip


def many(n_users=400):
    rows = [
        f"u{i % n_users},{1_500_000_000 + 37 * i},{'view' if i % 5 else 'purchase'},i{i % 17}" for i in range(4_000)
    ]
    return "user_id,ts,action,item_id\n" + "\n".join(rows) + "\n"


def test_all_events_of_a_user_are_in_one_shard_sorted_by_time(tmp_path, monkeypatch):
    monkeypatch.setattr(partition, "EVENTS_PER_SHARD", 500)
    log = ingest_csv(tmp_path, many())
    assert [path.name for path in log.shards] == [f"shard-{i:05d}.parquet" for i in range(len(log.shards))]
    assert len(log.shards) >= 6
    tables = [pq.read_table(shard, columns=["user_id", "ts_ms"]).to_pandas() for shard in log.shards]
    assert sum(table["user_id"].nunique() for table in tables) == log.quality.n_users == 400
    for table in tables:
        assert table.equals(table.sort_values(["user_id", "ts_ms"], ignore_index=True))
    assert log.quality.rows_kept == 4_000


def test_the_number_of_shards_changes_no_fact(tmp_path, monkeypatch):
    one = ingest_csv(tmp_path, many())
    monkeypatch.setattr(partition, "EVENTS_PER_SHARD", 300)
    more = ingest_csv(tmp_path, many())
    assert len(one.shards) == 1 < len(more.shards)
    assert one.quality == more.quality
    assert sorted(events(one, *c.SHARD_COLUMNS), key=repr) == sorted(events(more, *c.SHARD_COLUMNS), key=repr)
    assert one.items().equals(more.items())
    assert one.users().equals(more.users())


def test_the_same_log_gives_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(partition, "EVENTS_PER_SHARD", 700)
    logs = [ingest_csv(tmp_path, many() + "u1,never,view,a\n") for _ in range(2)]
    first, second = (
        {path.relative_to(log.folder): hashlib.sha256(path.read_bytes()).digest() for path in log.folder.rglob("*.*")}
        for log in logs
    )
    assert first == second


def test_several_sources_are_one_log(tmp_path):
    (tmp_path / "buys.csv").write_text("user_id,ts,item_id,price\nu1,1500000000,a,3\n")
    (tmp_path / "sent.jsonl").write_text('{"user_id": "u1", "ts": 1500000500, "campaign": "spring"}\n')
    entries = [
        {"path": "buys.csv", "columns": {"item_id": "item_id", "price": "price"}, "constants": {"action": "purchase"}},
        {"path": "sent.jsonl", "columns": {"campaign_id": "campaign"}, "constants": {"action": "campaign"}},
    ]
    log = ingest_config(tmp_path, {"events": entries})
    assert events(log, "action", "price", "campaign_id", "source", "source_row") == [
        ("purchase", 3.0, None, 0, 0),
        ("campaign", None, "spring", 1, 0),
    ]
    assert log.quality.campaigns == ["spring"]


def test_items_and_users_files_describe_and_override(tmp_path):
    (tmp_path / "items.csv").write_text(
        "id,kind,cost,in_stock\ni1,hats,,yes\ni2,bags,4.5,0\ni2,belts,4,no\ni9,gloves,-3,maybe\n,none,1,1\n"
    )
    (tmp_path / "people.csv").write_text("id,age,gender\nu1,30,f\nu7,,m\nu7,41,\n,5,x\n")
    items = {
        "path": "items.csv",
        "columns": {"item_id": "id", "category": "kind", "price": "cost", "available": "in_stock"},
    }
    log = ingest_csv(
        tmp_path, SHOP, items=items, users={"path": "people.csv", "columns": {"user_id": "id"}}, protected=["gender"]
    )
    found = log.items()[["item_id", "category", "price", "available", "n_events"]]
    assert found.astype(object).where(found.notna(), None).values.tolist() == [
        ["i1", "hats", 25.0, True, 3], ["i2", "belts", 4.0, False, 1], ["i9", "gloves", None, None, 0],
    ]  # fmt: skip
    users = log.users()[["user_id", "age", "gender", "n_events"]]
    assert users.astype(object).where(users.notna(), None).values.tolist() == [
        ["u1", "30", "f", 4], ["u2", None, None, 1], ["u7", "41", None, 0],
    ]  # fmt: skip
    assert log.quality.attributes == ["age", "gender"]
    assert [note.removeprefix(f"{tmp_path}/") for note in log.quality.notes] == [
        "items.csv: 1 item ids are repeated (1 with different categories); the last row of each was taken",
        "items.csv: 1 rows without an item id were left out",
        "people.csv: 1 rows repeat a user id; the last row of each was taken",
        "people.csv: 1 rows without a user id were left out",
    ]


def test_pseudonyms_leave_no_user_id_behind(tmp_path, monkeypatch):
    monkeypatch.setenv("SHOP_KEY", "secret")
    text = (
        "user_id,ts,action,item_id\n"
        "ada-7,1500000000,view,a\nada-7,1500009999,view,b\nbob-7,1500000000,view,a\ntest_7,1500000000,view,a\n"
        "eve-7,1500000000,hover,a\nkim-7,only two\n"
    )
    (tmp_path / "people.csv").write_text("user_id,age\nada-7,30\nzoe-7,40\n")
    entry = {"columns": {"session_id": "user_id", "item_id": "item_id"}}
    privacy = {"pseudonymize": True, "key_variable": "SHOP_KEY"}
    log = ingest_csv(tmp_path, text, entry=entry, privacy=privacy, users={"path": "people.csv"})
    assert log.quality.rejected == {"line cannot be read": 1, "test account": 1, "unknown action": 1}
    for path in log.folder.rglob("*.parquet"):
        assert "-7" not in json.dumps(pq.read_table(path).to_pylist())
        assert "_7" not in json.dumps(pq.read_table(path).to_pylist())
    users = log.users().set_index("user_id")
    assert sorted(users["n_events"]) == [0, 1, 2]
    assert all(len(user) == 32 for user in users.index)
    for user, session in events(log, "user_id", "session_id"):
        assert user == session
    by_pseudonym = events(log, "user_id", "ts_ms")
    assert by_pseudonym == sorted(by_pseudonym)
    plain = ingest_csv(tmp_path, text, entry=entry)
    assert plain.quality.n_moments == log.quality.n_moments


def test_progress_is_told(tmp_path):
    told = []
    (tmp_path / "log.csv").write_text("user_id,ts,action\nu,1500000000,view\n")
    ingest_config(tmp_path, {"events": [{"path": "log.csv"}]}, report=lambda *args: told.append(args[:3]))
    assert told == [("read", 0, 1), ("read", 1, 1), ("clean", 1, 1)]


def test_a_folder_without_a_log_says_so(tmp_path):
    with pytest.raises(WorkspaceError, match=r"holds no ingested log. quality.json is needed. Run `whybuy run`"):
        EventLog.open(tmp_path)


def test_an_ingested_log_is_opened_again(tmp_path):
    log = ingest_rows(tmp_path, "u,1500000000,view,a")
    assert EventLog.open(log.folder) == log
    assert log.rejected_path.exists()
