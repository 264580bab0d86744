"""The fields of every event and the codes of a log, by hand."""

import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.events.sequences_by_hand import random_sequences
from tests.events.small_logs import HEADER, ingest_config, ingest_rows
from whybuy.events import encode
from whybuy.events.log import EventLog
from whybuy.events.sequences import Sequences, SequenceStore, Vocabulary, concatenate, encode_log
from whybuy.events.vocabulary import category_paths

NAN = float("nan")
PER_EVENT = ("price_relative", "quantity", "rating", "slot", "session_start", "text")


def store_of(log: EventLog, folder: Path) -> SequenceStore:
    out = folder / "sequences"
    out.mkdir()
    return encode_log(log, out)


def of_users(store: SequenceStore, name: str) -> dict[str, list]:
    """Return a field of all events, user by user."""
    whole = concatenate(list(store))
    values = getattr(whole, name)
    ends = zip(whole.user_ids, whole.offsets[:-1], whole.offsets[1:], strict=True)
    return {user: values[low:high].tolist() for user, low, high in ends}


def test_quantities_are_doublings():
    found = encode.quantity_bands(np.array([NAN, 0, 0.5, 1, 2, 3, 4, 7, 8, 63, 64, 1e6]))
    assert found.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 6, 7, 7]


def test_ratings_are_rounded_halves_up():
    assert encode.rating_levels(np.array([NAN, 1, 2.5, 3.5, 4.49, 4.5, 5])).tolist() == [0, 1, 3, 4, 4, 5, 5]


def test_slots_start_at_one_and_are_capped():
    assert encode.slot_levels(np.array([NAN, 0, 1, 29, 30, 31, 2**31 - 1])).tolist() == [0, 1, 2, 30, 31, 31, 31]


def test_relative_prices_are_bands_about_the_median():
    # log2 of price / 8: none, -inf, -3, -2, -1, -.5, 0, .5, 1, 2, 3; the last has no median.
    price = np.array([NAN, 0, 1, 2, 4, 8 * 2**-0.5, 8, 8 * 2**0.5, 16, 32, 64, 8])
    median = np.array([8.0] * 11 + [NAN])
    assert encode.relative_bands(price, median).tolist() == [0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0]


def test_a_session_starts_once_even_where_two_run_at_the_same_time():
    session = encode.session_codes(pa.chunked_array([["x", "y", "x"], ["y", "x", None, "z"]], pa.string()))
    # user 1: x y x y; user 2: x, unknown, z. User 3: unknown only.
    starts = encode.session_starts(np.append(session, np.int32(-1)), np.array([0, 4, 7, 8]))
    assert starts.tolist() == [True, True, False, False, True, False, True, True]


def test_no_event_has_no_sessions():
    for empty in (pa.chunked_array([], pa.string()), pa.chunked_array([pa.array([], pa.string())])):
        assert encode.session_starts(encode.session_codes(empty), np.array([0])).tolist() == []
    assert encode.session_codes(pa.chunked_array([pa.nulls(2)])).tolist() == [-1, -1]


def test_a_deep_path_keeps_its_first_six_nodes():
    deep = "a/b/c/d/e/f/g/h"
    paths = category_paths(["a/b", deep, "z"])
    nodes = ["a", "a/b", "a/b/c", "a/b/c/d", "a/b/c/d/e", "a/b/c/d/e/f", "z"]
    assert [[nodes[n] if n >= 0 else "" for n in row] for row in paths] == [
        ["a", "a/b", "", "", "", ""],
        nodes[:6],
        ["z", "", "", "", "", ""],
    ]
    assert paths.dtype == np.int32


def test_the_nodes_met_most_have_the_lowest_codes():
    # a is met 5 + 1 times, a/y 5 times, b 3 times, a/x once.
    assert category_paths(["a/x", "a/y", "b"], np.array([1, 5, 3])).tolist() == [[0, 3], [0, 1], [2, -1]]


@pytest.mark.parametrize("path", ["a//b", "/a/b", "a/b/"])
def test_empty_steps_of_a_path_are_no_nodes(path):
    assert category_paths([path, "a", "a/b"])[0].tolist() == [0, 1]


def test_a_log_without_categories_has_paths_of_no_rows():
    assert category_paths([]).shape == (0, 1)
    assert category_paths(["/"]).tolist() == [[-1]]


FULL = (
    "u1,2024-03-01 10:00:00,impression,A,,,,3,s1,,",
    "u1,2024-03-01 10:00:05,view,A,,,,,s1,,10",
    "u1,2024-03-01 10:10:00,search,,Größe 44 ,,,,s2,,",
    "u1,2024-03-01 10:20:00,view,B,,,,,s1,,80",
    "u1,2024-03-01 11:00:00,purchase,A,,5,,,s3,,10",
    "u1,2024-03-02 11:00:00,review,A,,,4.5,,s4,Very good,",
    "u2,2024-03-01 10:00:00,view,D,,,,0,s1,,3",
    "u2,2024-03-01 10:00:01,search,,GRÖSSE 44,,,,s1,,",
    "u2,2024-03-01 10:00:02,view,C,,,,,s1,,40",
)


@pytest.fixture
def full(tmp_path: Path) -> SequenceStore:
    """Items A 10 and B 80 of shoes/boots (median 45), C 40 of bags, D 3 without category; median of all 25."""
    header = f"{HEADER},query,quantity,rating,slot,session_id,text,price"
    items = "item_id,category,brand,title,price\nA,shoes/boots,acme,Red Boots ,10\nB,shoes/boots,acme,,80\n"
    items += "C,bags,Zeta,grösse 44,40\nD,,acme,  ,3\n"
    (tmp_path / "items.csv").write_text(items, encoding="utf-8")
    return store_of(ingest_rows(tmp_path, *FULL, header=header, items={"path": "items.csv"}), tmp_path)


def test_every_field_of_a_full_log(full):
    # 10/45 is 2^-2.17, 80/45 is 2^0.83; 3/25 is 2^-3.06 of the median of the log; 40/40 is 1.
    assert of_users(full, "price_relative") == {"u1": [0, 2, 0, 7, 2, 0], "u2": [1, 0, 5]}
    assert of_users(full, "quantity") == {"u1": [0, 0, 0, 0, 3, 0], "u2": [0, 0, 0]}
    assert of_users(full, "rating") == {"u1": [0, 0, 0, 0, 0, 5], "u2": [0, 0, 0]}
    assert of_users(full, "slot") == {"u1": [4, 0, 0, 0, 0, 0], "u2": [1, 0, 0]}
    assert of_users(full, "session_start") == {"u1": [True, False, True, False, True, True], "u2": [True, False, False]}
    dtypes = {name: str(getattr(next(iter(full)), name).dtype) for name in PER_EVENT}
    assert dtypes == dict.fromkeys(PER_EVENT, "int8") | {"session_start": "bool", "text": "int32"}


def test_queries_reviews_and_titles_share_one_table(full):
    # Texts of events first: grösse (3: two searches and the title of C's one event), Very good 1; then Red Boots.
    assert of_users(full, "text") == {"u1": [-1, -1, 0, -1, -1, 1], "u2": [-1, 0, -1]}
    words = full.vocabulary
    titles = dict(zip(words.items.tolist(), words.item_text.tolist(), strict=True))
    assert titles == {"A": 2, "B": -1, "C": 0, "D": -1}
    assert full.text_vectors() is None


def test_the_vocabulary_of_a_full_log(full):
    words = full.vocabulary
    assert words.brands == ["acme", "Zeta"]
    assert dict(zip(words.items.tolist(), words.item_brand_code.tolist(), strict=True)) == {
        "A": 0, "B": 0, "C": 1, "D": 0,
    }  # fmt: skip
    assert words.categories == ["bags", "shoes/boots"]
    # Events: shoes 5, shoes/boots 5, bags 1.
    assert words.category_path.tolist() == [[2, -1], [0, 1]]
    assert words.n_category_nodes == 3
    assert words.category_price.tolist() == [40, 45, 25]
    assert {str(a.dtype) for a in (words.item_brand_code, words.item_text, words.category_path)} == {"int32"}


def test_a_vocabulary_is_read_back_as_it_was(full, tmp_path):
    folder = tmp_path / "again"
    folder.mkdir()
    full.vocabulary.save(folder)
    again = Vocabulary.open(folder)
    for field in fields(Vocabulary):
        before, after = getattr(full.vocabulary, field.name), getattr(again, field.name)
        assert type(before) is type(after)
        if isinstance(before, np.ndarray):
            assert before.dtype == after.dtype
            assert before.tolist() == after.tolist()
        else:
            assert before == after


def test_a_log_of_the_required_columns_alone(tmp_path):
    rows = [f"u{u},2024-03-0{day} 10:00,view,A" for u in (1, 2) for day in (1, 2)]
    store = store_of(ingest_rows(tmp_path, *rows), tmp_path)
    for name in ("price_relative", "quantity", "rating", "slot"):
        assert of_users(store, name) == {"u1": [0, 0], "u2": [0, 0]}
    assert of_users(store, "text") == {"u1": [-1, -1], "u2": [-1, -1]}
    # Without sessions of its own a log is cut at pauses.
    assert of_users(store, "session_start") == {"u1": [True, True], "u2": [True, True]}
    words = store.vocabulary
    assert words.brands == []
    assert words.item_brand_code.tolist() == words.item_text.tolist() == [-1]
    assert words.category_path.shape == (0, 1)
    assert words.n_category_nodes == 0
    assert np.isnan(words.category_price).tolist() == [True]


def test_a_log_of_positions_is_one_session_a_user(tmp_path):
    (tmp_path / "events.csv").write_text("user_id,action,item_id\nu,view,A\nu,view,B\n", encoding="utf-8")
    log = ingest_config(tmp_path, {"events": [{"path": "events.csv", "time": "order"}]})
    assert of_users(store_of(log, tmp_path), "session_start") == {"u": [True, False]}


def test_prices_without_items_are_compared_with_those_of_all_events(tmp_path):
    rows = [f"u{p},2024-03-01 10:00,purchase,{p}" for p in (2, 10, 11, 10, 300)]
    rows += ["u2,2024-03-02 10:00,purchase,0"]
    store = store_of(ingest_rows(tmp_path, *rows, header="user_id,ts,action,price"), tmp_path)
    assert store.vocabulary.category_price == pytest.approx([10], rel=0.01)
    assert of_users(store, "price_relative") == {"u10": [5], "u11": [5], "u2": [2, 1], "u300": [9]}


def test_a_search_in_a_category_has_its_code_and_its_median(tmp_path):
    rows = ("u,2024-03-01 10:00,view,A,a/b/c/d/e/f/g/h,4", "u,2024-03-01 10:01,search,,a/b,8")
    store = store_of(ingest_rows(tmp_path, *rows, header=f"{HEADER},category,price"), tmp_path)
    assert store.vocabulary.categories == ["a/b", "a/b/c/d/e/f/g/h"]
    assert store.vocabulary.category_path.shape == (2, 6)
    # No item of a/b has a price: the median of the log is 4.
    assert of_users(store, "price_relative") == {"u": [5, 7]}
    assert of_users(store, "category") == {"u": [1, 0]}


def filled(rng: np.random.Generator) -> Sequences:
    """Random users whose new fields have other values at every event."""
    plain = random_sequences(rng)
    n = plain.n_events
    random = {name: rng.integers(0, 8, n).astype(np.int8) for name in PER_EVENT[:4]}
    random |= {"session_start": rng.random(n) < 0.5, "text": np.arange(n, dtype=np.int32)}
    return Sequences(**{f.name: random.get(f.name, getattr(plain, f.name)) for f in fields(Sequences)})


def same(a: Sequences, b: Sequences) -> bool:
    return all(
        np.array_equal(getattr(a, f.name), getattr(b, f.name))
        and np.asarray(getattr(a, f.name)).dtype == np.asarray(getattr(b, f.name)).dtype
        for f in fields(Sequences)
    )


def test_all_fields_survive_users_blocks_files_and_concatenation(tmp_path):
    whole = filled(np.random.default_rng(3))
    blocks = list(whole.blocks(40))
    assert len(blocks) > 1
    assert same(concatenate(blocks), whole)
    first = np.arange(whole.n_users) < 3
    assert same(concatenate([whole.users(first), whole.users(~first)]), whole)
    kept = whole.users(~first)
    assert kept.text.tolist() == list(range(int(whole.offsets[3]), whole.n_events))
    whole.save(tmp_path / "saved")
    assert same(Sequences.open(tmp_path / "saved"), whole)


def test_the_order_of_the_rows_of_a_source_changes_nothing(tmp_path):
    header = f"{HEADER},query,quantity,rating,slot,session_id,text,price"
    found = []
    for name, rows in (("a", FULL), ("b", FULL[::-1])):
        (tmp_path / name).mkdir()
        store = store_of(ingest_rows(tmp_path / name, *rows, header=header), tmp_path / name)
        found.append(json.dumps({field: of_users(store, field) for field in PER_EVENT}))
    assert found[0] == found[1]
