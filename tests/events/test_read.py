import gzip
import json

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.events.small_logs import events, ingest_config, ingest_csv, ingest_rows, rejected
from whybuy.errors import ColumnsError, ConfigError, SourceError

ROWS = [
    {"user_id": "007", "ts": "2024-03-01 10:00:00", "action": "view", "item_id": "0042"},
    {"user_id": "007", "ts": "2024-03-01 10:01:00", "action": "cart", "item_id": "0042"},
    {"user_id": "8", "ts": "2024-03-02 00:00:00", "action": "purchase", "item_id": "x y"},
]
READ = [
    ("007", 1709287200000, "view", "0042", 0),
    ("007", 1709287260000, "cart", "0042", 1),
    ("8", 1709337600000, "purchase", "x y", 2),
]
CSV = "user_id,ts,action,item_id\n" + "".join(",".join(row.values()) + "\n" for row in ROWS)
LINES = "".join(json.dumps(row) + "\n" for row in ROWS)


def read(tmp_path, path, **options):
    log = ingest_config(tmp_path, {"events": [{"path": path}]}, **options)
    return sorted(events(log, "user_id", "ts_ms", "action", "item_id", "source_row"))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("log.csv", CSV.encode()),
        ("log.csv.gz", gzip.compress(CSV.encode())),
        ("log.tsv", CSV.replace(",", "\t").encode()),
        ("semicolons.csv", CSV.replace(",", ";").encode()),
        ("windows.csv", b"\xef\xbb\xbf" + CSV.replace("\n", "\r\n").encode()),
        ("log.jsonl", LINES.encode()),
        ("log.ndjson.gz", gzip.compress(LINES.encode())),
        ("array.json", json.dumps(ROWS).encode()),
        ("a[1]*.csv", CSV.encode()),
    ],
)
def test_every_text_format_reads_the_same(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    assert read(tmp_path, name) == READ


def test_parquet_a_folder_and_a_glob_read_the_same(tmp_path):
    (tmp_path / "parts").mkdir()
    pq.write_table(pa.Table.from_pylist(ROWS[:2]), tmp_path / "parts" / "a.parquet")
    pq.write_table(pa.Table.from_pylist(ROWS[2:]), tmp_path / "parts" / "b.parquet")
    (tmp_path / "parts" / "_SUCCESS").touch()
    assert read(tmp_path, "parts") == READ
    assert read(tmp_path, "parts/*.parquet") == READ


def test_rows_are_numbered_by_their_place_in_large_files_too(tmp_path):
    with duckdb.connect() as con:
        rows = "SELECT 'u' || i % 7 AS user_id, 1500000000 + i AS ts, 'VIEW' AS action, CAST(i AS VARCHAR) AS item_id"
        for part in range(3):
            source = f"{rows} FROM range({part * 100_000}, {(part + 1) * 100_000}) AS r(i)"
            for ending in ("csv", "parquet"):
                (tmp_path / ending).mkdir(exist_ok=True)
                con.execute(f"COPY ({source}) TO '{tmp_path}/{ending}/{part}.{ending}'")
    for ending in ("csv", "parquet"):
        log = ingest_config(tmp_path, {"events": [{"path": ending}], "clean": {"bots": False}})
        found = events(log, "item_id", "source_row")
        assert len(found) == 300_000
        assert all(int(item) == row for item, row in found)


def test_a_table_of_a_duckdb_file(tmp_path):
    with duckdb.connect(tmp_path / "shop.duckdb") as con:
        con.register("rows", pa.Table.from_pylist(ROWS))
        con.execute("CREATE TABLE events AS SELECT * FROM rows")
    assert read(tmp_path, "shop.duckdb::events") == READ


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame, pa.Table.from_pylist])
def test_a_table_handed_over_from_python_is_read_and_left_alone(tmp_path, make):
    table = make(ROWS)
    before = table.copy() if isinstance(table, pd.DataFrame) else table
    assert read(tmp_path, "table:mine", tables={"mine": table}) == READ
    assert table.equals(before)


def test_whole_ids_of_a_frame_with_missing_ones_keep_their_form(tmp_path):
    frame = pd.DataFrame({"user_id": [17850.0, None], "ts": [1.5e9, 1.5e9], "action": ["view", "view"]})
    log = ingest_config(tmp_path, {"events": [{"path": "table:t"}]}, tables={"t": frame})
    assert events(log, "user_id", "ts_ms") == [("17850", 1_500_000_000_000)]
    assert log.quality.rejected == {"no user id": 1}


def test_enumerations_and_other_types_are_read_as_text(tmp_path):
    frame = pd.DataFrame(ROWS).astype({"action": "category", "user_id": "category"})
    assert read(tmp_path, "table:t", tables={"t": frame}) == READ
    with duckdb.connect(tmp_path / "shop.duckdb") as con:
        con.execute("CREATE TYPE kind AS ENUM ('view', 'cart')")
        con.execute("CREATE TABLE e (user_id UUID, ts TIMESTAMP, action kind, item_id UBIGINT, source_row INTEGER)")
        con.execute("INSERT INTO e VALUES (uuid(), '2024-01-01', 'view', 7, 99), (NULL, '2024-01-01', NULL, 7, 98)")
    log = ingest_config(tmp_path, {"events": [{"path": "shop.duckdb::e", "where": "source_row > 0"}]})
    assert events(log, "action", "item_id", "source_row") == [("view", "7", 0)]
    assert log.quality.rejected == {"no user id": 1}


def test_files_of_a_folder_may_have_other_headers(tmp_path):
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "a.csv").write_text("user_id,ts,action\nu1,2024-01-01,view\n")
    (tmp_path / "parts" / "b.csv").write_text("action,item_id,ts,user_id\ncart,i1,2024-01-02,u1\n")
    log = ingest_config(tmp_path, {"events": [{"path": "parts"}]})
    assert events(log, "action", "item_id", "source_row") == [("view", None, 0), ("cart", "i1", 1)]


def test_a_file_without_a_header_is_mapped_by_place(tmp_path):
    columns = {"user_id": "column0", "item_id": "column1", "action": "column2", "ts": "column3"}
    text = "1,2268318,pv,1511544070\n1,2333346,buy,1511561733\n"
    log = ingest_csv(tmp_path, text, entry={"columns": columns, "actions": {"pv": "view", "buy": "purchase"}})
    assert events(log, "item_id", "action") == [("2268318", "view"), ("2333346", "purchase")]


def test_lines_that_are_no_rows_are_set_aside(tmp_path):
    log = ingest_rows(tmp_path, "u1,2024-01-01,view,a", "u2,2024", "u3,2024-01-01,view,a,extra", "u4,2024-01-02,view,b")
    assert sorted(events(log, "user_id")) == [("u1",), ("u4",)]
    assert log.quality.rows_read == 4
    assert rejected(log, "source_row", "reason", "raw") == [
        (1, "line cannot be read", '"u2,2024"'),
        (2, "line cannot be read", '"u3,2024-01-01,view,a,extra"'),
    ]


def test_quoted_values_may_hold_line_breaks_and_delimiters(tmp_path):
    log = ingest_rows(tmp_path, '"u,1",2024-01-01,view,"a\nb"', '"u""2",2024-01-01,view,""')
    assert sorted(events(log, "user_id", "item_id")) == [('u"2', None), ("u,1", "a\nb")]


def test_json_lines_that_are_no_objects_are_set_aside(tmp_path):
    (tmp_path / "log.jsonl").write_text(
        LINES + 'not json\n[1, 2]\n{"user_id": 7, "ts": 1709337600, "action": "VIEW"}\n'
    )
    log = ingest_config(tmp_path, {"events": [{"path": "log.jsonl"}]})
    assert log.quality.rejected == {"line cannot be read": 2}
    assert log.quality.rows_kept == 4


def test_where_derive_and_join_are_computed_before_mapping(tmp_path):
    (tmp_path / "sent.csv").write_text("id,household,cost\nspring,h1,5\nspring,h2,0\nfall,h1,3\n")
    (tmp_path / "days.csv").write_text("id,day\nspring,2024-03-01\nfall,2024-09-01\n")
    entry = {
        "path": "sent.csv",
        "join": {"path": "days.csv", "on": ["id"]},
        "derive": {"who": "upper(household)"},
        "where": "TRY_CAST(cost AS INTEGER) > 0",
        "columns": {"user_id": "who", "campaign_id": "id", "ts": "day"},
        "constants": {"action": "campaign", "arm": "treated"},
    }
    log = ingest_config(tmp_path, {"events": [entry]})
    assert events(log, "user_id", "campaign_id", "arm", "ts_ms", "source_row") == [
        ("H1", "spring", "treated", 1709251200000, 0),
        ("H1", "fall", "treated", 1725148800000, 2),
    ]
    assert log.quality.rows_read == 2


def test_a_join_to_several_rows_is_refused(tmp_path):
    (tmp_path / "days.csv").write_text("item_id,day\na,1\na,2\n")
    with pytest.raises(SourceError, match=r"days.csv has 2 rows with item_id = a. One row for each value is needed"):
        ingest_rows(tmp_path, "u1,2024-01-01,view,a", entry={"join": {"path": "days.csv", "on": ["item_id"]}})


@pytest.mark.parametrize("entry", [{"where": "prize > 3"}, {"derive": {"x": "nonsense("}, "columns": {"item_id": "x"}}])
def test_sql_that_does_not_fit_is_refused(tmp_path, entry):
    with pytest.raises(
        ConfigError, match=r"cannot be computed from .*events.csv: .*SQL on its columns is needed: user_id"
    ):
        ingest_rows(tmp_path, "u1,2024-01-01,view,a", entry=entry)


def test_a_value_that_where_cannot_convert_is_refused(tmp_path):
    with pytest.raises(SourceError, match=r"cannot be converted: .*Write TRY_CAST instead of CAST"):
        ingest_rows(tmp_path, "u1,2024-01-01,view,a", entry={"where": "CAST(item_id AS INTEGER) > 0"})


def test_a_mapped_column_that_is_not_there_names_the_nearest(tmp_path):
    with pytest.raises(ColumnsError, match=r"Needed: itemid \(did you mean item_id\?\)"):
        ingest_rows(tmp_path, "u1,2024-01-01,view,a", entry={"columns": {"item_id": "itemid"}})


def test_a_condition_that_no_row_satisfies_is_refused(tmp_path):
    with pytest.raises(SourceError, match=r"No row of .*events.csv satisfies where = \"user_id = 'x'\""):
        ingest_rows(tmp_path, "u1,2024-01-01,view,a", entry={"where": "user_id = 'x'"})


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nowhere.csv", "nowhere.csv was not found"),
        ("nothing/*.csv", "holds no file of a known format"),
        ("notes.md", "ends with .md"),
        ("postgres://shop/db", "PostgreSQL table, which comes later"),
        ("s3://bucket/log.parquet", "s3:// is an address that cannot be read"),
        ("shop.duckdb", "is a DuckDB database. A table in it is needed"),
        ("shop.duckdb::event", r"holds the tables events. .* Did you mean .*shop.duckdb::events\?"),
        ("table:mine", r"No table 'mine' was handed over \(there are: none\)"),
        ("mixed", "files of the formats csv, parquet"),
    ],
)
def test_what_is_no_source_is_refused(tmp_path, path, message):
    (tmp_path / "notes.md").write_text("hello")
    with duckdb.connect(tmp_path / "shop.duckdb") as con:
        con.execute("CREATE TABLE events (user_id VARCHAR)")
    (tmp_path / "mixed").mkdir()
    (tmp_path / "mixed" / "a.csv").write_text(CSV)
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "mixed" / "b.parquet")
    with pytest.raises(SourceError, match=message):
        read(tmp_path, path)


def test_a_frame_of_mixed_types_is_refused(tmp_path):
    frame = pd.DataFrame({"user_id": ["a", 1], "ts": [1, 2], "action": ["view", "view"]})
    with pytest.raises(SourceError, match=r"column of mixed types .*\.astype\(str\)"):
        read(tmp_path, "table:t", tables={"t": frame})


def test_what_is_no_table_is_refused(tmp_path):
    with pytest.raises(SourceError, match=r"is of type list\. A pandas, Polars or Arrow table is needed"):
        read(tmp_path, "table:t", tables={"t": [1, 2]})
