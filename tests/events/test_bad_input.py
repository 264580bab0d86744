"""What the log of a shop may be like at its worst: refused in one message, or read with its bad rows set aside."""

import errno
import gzip
import json
import os
import subprocess
import sys

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.events.small_logs import HEADER, events, ingest_config, ingest_csv, ingest_rows, rejected
from whybuy.errors import ConfigError, SourceError, WorkspaceError
from whybuy.events import shards
from whybuy.events.read import enough_space

GOOD = "u1,2024-01-01,view,a"


def ingest_bytes(folder, name, content):
    (folder / name).write_bytes(content)
    return ingest_config(folder, {"events": [{"path": name}]})


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("log.csv", b"", r"log.csv is empty\. A log with rows is needed"),
        ("log.csv", b"\n  \n", r"log.csv has no text in it"),
        ("log.csv", HEADER.encode(), r"has the columns user_id, ts, action, item_id and no rows"),
        ("log.csv", HEADER.encode() + b"\r\n", r"and no rows\. At least one row is needed"),
        ("log.csv", bytes(range(256)) * 40, r"log.csv is binary, not text"),
        ("log.csv", b"\x80\x81\x82\x83,\xff\n" + b"abc,def\n" * 999, r"The first line of .* is no UTF-8 text"),
        ("log.csv", b"PK\x03\x04" + b"x" * 999, r"is a zip archive or an Excel workbook"),
        (
            "log.csv.gz",
            gzip.compress(b"user_id,ts,action\n" + os.urandom(9**6).hex().encode())[:-2000],
            "cannot be read",
        ),
        ("log.csv.gz", b"user_id,ts,action\n", r"could not be read \(Not a gzipped file"),
        ("log.parquet", b"PAR1" + b"x" * 500 + b"PAR1", r"log.parquet cannot be read: .*parquet"),
        ("log.jsonl", b"\n", r"log.jsonl .*and no rows|none of them is mapped"),
        ("log.jsonl", b"not json\nat all\n", r"none of them is mapped to the user"),
        ("log.json", b'[{"user_id": "u1", "ts": 1', r"log.json cannot be read"),
    ],
)
def test_what_cannot_be_a_log_is_refused(tmp_path, name, content, message):
    with pytest.raises(SourceError, match=message):
        ingest_bytes(tmp_path, name, content)
    assert list((tmp_path / "log-0").iterdir()) == []


def test_a_gzip_cut_in_the_middle_is_refused(tmp_path):
    rows = "".join(f"u{i},{1_500_000_000 + i * i % 977},view,{os.urandom(6).hex()}\n" for i in range(200_000))
    whole = gzip.compress(f"{HEADER}\n{rows}".encode())
    with pytest.raises(SourceError, match=r"log.csv.gz cannot be read: .*Unexpected end of GZIP"):
        ingest_bytes(tmp_path, "log.csv.gz", whole[: len(whole) // 2])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["u1,2024-01-01,hover,a", "u1,2024-01-01,PV,a"], r"2 unknown action \('PV' 1 times, 'hover' 1 times\)"),
        (["u1,soon,view,a"], r"None of the 1 rows .* 1 no readable time \('soon' 1 times\)"),
        ([",2024-01-01,view,a"], r"1 no user id\. At least one row with a user"),
        (["u1,1970-01-01,view,a", "u1,2099-01-01,view,a"], r"1 time before 1995-01-01; 1 time in the future"),
        (["u1,view"], r"None of the 1 rows .* 1 unreadable lines"),
        (["test,2024-01-01,view,a"], r"None of the 1 rows is an event: 1 test account\. .* rules under \[clean\]"),
    ],
)
def test_a_log_without_any_event_is_refused_with_the_reasons(tmp_path, rows, message):
    with pytest.raises(SourceError, match=message):
        ingest_rows(tmp_path, *rows)


@pytest.mark.parametrize(
    "rows",
    [
        [f"u1,{1_500_000_000 + i},view,i{i}" for i in range(20)],
        [f"u{i},1500000000,search," for i in range(20)],
        [f"u{i},1500000000,purchase,a" for i in range(20)],
    ],
)
def test_one_user_or_one_action_is_a_log(tmp_path, rows):
    assert ingest_rows(tmp_path, *rows).quality.rows_kept == 20


def test_impossible_numbers_and_times_are_set_aside(tmp_path):
    prices = pa.array([9.5, float("nan"), float("inf"), -1.0, 1e300, None])
    table = pa.table({"user_id": list("abcdef"), "ts": [1_500_000_000] * 6, "action": ["cart"] * 6, "price": prices})
    pq.write_table(table, tmp_path / "log.parquet")
    log = ingest_config(tmp_path, {"events": [{"path": "log.parquet"}]})
    assert events(log, "user_id", "price") == [("a", 9.5), ("f", None)]
    assert log.quality.rejected == {"impossible price": 4}
    rows = [GOOD, "u1,1970-01-01,view,a", "u1,2099-01-01,view,a", "u1,-62135596800,view,a", "u1,32503680000000,view,a"]
    assert ingest_rows(tmp_path, *rows).quality.rejected == {"time before 1995-01-01": 2, "time in the future": 2}


def test_negative_quantities_of_purchases_are_returns(tmp_path):
    rows = ["u,1500000000,purchase,a,-2", "u,1500000100,cart,a,-2", "u,1500000200,purchase,a,1"]
    log = ingest_rows(tmp_path, *rows, header=f"{HEADER},quantity")
    assert events(log, "action", "quantity") == [("return", 2.0), ("purchase", 1.0)]
    assert log.quality.rejected == {"impossible quantity": 1}


def test_times_in_seconds_milliseconds_and_text_in_one_column(tmp_path):
    times = ["1511544070", "1511544070123", "2017-11-24 17:21:10", "2017-11-25T01:21:10+08:00", "20171124"]
    log = ingest_rows(tmp_path, *(f"u{i},{time},view,a" for i, time in enumerate(times)))
    assert [ms for (ms,) in events(log, "ts_ms")] == [
        1511544070000, 1511544070123, 1511544070000, 1511544070000, 1511481600000,
    ]  # fmt: skip


def test_a_query_of_a_megabyte_is_cut(tmp_path):
    rows = ["u,1500000000,search," + "Ж" * 1_000_000, "u,1500000100,search,short"]
    log = ingest_csv(tmp_path, "user_id,ts,action,query\n" + "\n".join(rows) + "\n")
    assert [len(query) for (query,) in events(log, "query")] == [1_000, 5]
    assert log.quality.rejected == {}


def test_any_id_is_kept_but_one_with_a_nul(tmp_path):
    ids = ["😀👩‍👩‍👧", "مرحبا", "007", "-1", "a\tb", "NULL", "\u202eevil", "a\x00b"]
    lines = [json.dumps({"user_id": user, "ts": 1_500_000_000, "action": "view", "item_id": user}) for user in ids]
    log = ingest_bytes(tmp_path, "log.jsonl", "\n".join(lines).encode())
    assert sorted(events(log, "user_id", "item_id")) == sorted((user, user) for user in ids[:-1])
    assert rejected(log, "reason", "user_id", "source_row") == [("NUL character in an id", "a\x00b", 7)]


def test_lines_in_another_encoding_are_set_aside(tmp_path):
    content = f"{HEADER}\n{GOOD}\n".encode() + "müller,2024-01-01,view,a\n".encode("latin-1")
    log = ingest_bytes(tmp_path, "log.csv", content)
    assert log.quality.rejected == {"line cannot be read": 1}
    assert log.quality.rows_kept == 1


def test_duplicate_items_with_other_categories_are_noted(tmp_path):
    (tmp_path / "items.csv").write_text("item_id,category\na,shoes\na,bags\n")
    log = ingest_rows(tmp_path, GOOD, items={"path": "items.csv"})
    assert log.items()["category"].tolist() == ["bags"]
    assert "1 item ids are repeated (1 with different categories)" in log.quality.notes[0]


def test_a_log_that_grows_while_it_is_read_gives_counts_that_agree(tmp_path, monkeypatch):
    path = tmp_path / "events.csv"
    real = shards.partition

    def grow(*args):
        divided = real(*args)
        with path.open("a") as stream:
            stream.write("u2,2024-01-02,view,b\nu3,never\n")
        return divided

    monkeypatch.setattr(shards, "partition", grow)
    log = ingest_rows(tmp_path, GOOD, "u1,broken")
    assert (log.quality.rows_read, log.quality.rows_kept) == (2, 1)
    assert len(path.read_text().splitlines()) == 5


def test_protected_attributes_must_exist(tmp_path):
    (tmp_path / "users.csv").write_text("user_id,gender\nu1,f\n")
    with pytest.raises(
        ConfigError, match=r"protected names 'gendr', .* attributes gender\. .* Did you mean 'gender'\?"
    ):
        ingest_rows(tmp_path, GOOD, users={"path": "users.csv"}, protected=["gendr"])


def test_attributes_may_not_take_names_of_the_table(tmp_path):
    (tmp_path / "users.csv").write_text("user_id,n_events\nu1,5\n")
    with pytest.raises(ConfigError, match=r"has the attributes n_events\. These names are taken"):
        ingest_rows(tmp_path, GOOD, users={"path": "users.csv"})


@pytest.mark.parametrize("table", ["items", "users"])
def test_items_and_users_need_their_id(tmp_path, table):
    (tmp_path / "other.csv").write_text("name,size\na,1\n")
    with pytest.raises(SourceError, match=r"other.csv has the columns name, size\. Needed: (item|user)_id"):
        ingest_rows(tmp_path, GOOD, **{table: {"path": "other.csv"}})


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        duckdb.IOException('Could not write file "x": No space left on device'),
        duckdb.OutOfMemoryException("failed to offload data block"),
    ],
)
def test_a_full_disk_says_what_to_do(error):
    with pytest.raises(WorkspaceError, match=r"(Free some space|with more space).*--workspace"), enough_space():
        raise error


def test_other_errors_of_the_database_pass():
    with pytest.raises(duckdb.ConversionException), enough_space():
        raise duckdb.ConversionException("x")


def test_writing_that_fails_midway_leaves_nothing_behind(tmp_path):
    """A limit on the size of files stands for a full disk."""
    rows = "".join(f"u{i},{1_500_000_000 + i},view,{i * 7919}\n" for i in range(60_000))
    (tmp_path / "events.csv").write_text(f"{HEADER}\n{rows}")
    code = (
        "import resource, sys; from pathlib import Path; from tests.events.small_logs import ingest_config;"
        "from whybuy.errors import WorkspaceError\n"
        f"folder = Path({str(tmp_path)!r})\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))\n"
        "try:\n    ingest_config(folder, {'events': [{'path': 'events.csv'}]})\n"
        "except WorkspaceError as error:\n    sys.exit(str(error))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "The disk is full" in done.stderr
    assert "Free some space or choose another disk" in done.stderr
    assert not (tmp_path / "log-0" / ".reading").exists()
    assert not (tmp_path / "log-0" / "quality.json").exists()


def test_a_row_that_is_not_accounted_for_is_a_defect(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "reject_found", lambda *_: None)
    with pytest.raises(RuntimeError, match=r"2 rows were read, 1 kept, .* 1 rows are not accounted for"):
        ingest_rows(tmp_path, GOOD, "u2,never,view,a")
