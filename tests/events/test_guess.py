"""Logs that nobody has seen before: what is mapped, what is ambiguous, and what is refused in which words."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from whybuy.config import EventsConfig, load_config
from whybuy.errors import SourceError
from whybuy.events.names import action_in, action_of, fit, is_protected, words_of
from whybuy.events.propose import propose, write_config


def entry_of(folder: Path, text: str, *, name: str = "log.csv") -> EventsConfig:
    (folder / name).write_text(text)
    write_config(propose(folder / name, into=folder), folder / "whybuy.toml")
    return load_config(folder / "whybuy.toml").events[0]


def test_the_contracts_own_names_are_taken(tmp_path: Path) -> None:
    header = (
        "user_id,ts,action,item_id,session_id,query,rating,text,price,quantity,currency,campaign_id,arm,propensity,"
        "slot,category,brand,title"
    )
    row = "007,2024-01-01 10:00:00,view,a,s,boots,5,good,1.5,1,EUR,spring,treated,0.5,1,shoes,acme,Boot"
    entry = entry_of(tmp_path, f"{header}\n{row}\n")
    assert entry.columns == {name: name for name in header.split(",")}


def test_other_names_are_matched(tmp_path: Path) -> None:
    header = "Customer ID,Event Time,Event Name,SKU,Invoice No,Unit Price,Qty,Genre,Stars,Search Term,UTM Campaign"
    entry = entry_of(tmp_path, f"{header}\n1,1704103200,add_to_cart,a,o,1.5,2,rock,4,boots,spring\n")
    assert entry.columns == {
        "user_id": "Customer ID", "ts": "Event Time", "action": "Event Name", "item_id": "SKU",
        "order_id": "Invoice No", "price": "Unit Price", "quantity": "Qty", "category": "Genre", "rating": "Stars",
        "query": "Search Term", "campaign_id": "UTM Campaign",
    }  # fmt: skip
    assert entry.actions == {"add_to_cart": "cart"}


def test_an_action_and_a_time_are_found_by_their_values(tmp_path: Path) -> None:
    entry = entry_of(tmp_path, "visitor,zeit,was\n1,2024-01-01 10:00:00,page_view\n2,2024-01-02 10:00:00,BUY\n")
    assert entry.columns == {"user_id": "visitor", "ts": "zeit", "action": "was"}
    assert entry.actions == {"BUY": "purchase", "page_view": "view"}


def test_json_lines_are_read(tmp_path: Path) -> None:
    rows = '{"user": "007", "time": 1704103200, "type": "click", "product": {"id": 1}}\n'
    entry = entry_of(tmp_path, rows, name="log.jsonl")
    assert entry.columns == {"user_id": "user", "ts": "time", "action": "type", "item_id": "product"}


def test_unknown_values_and_columns_are_said(tmp_path: Path) -> None:
    entry_of(tmp_path, "user_id,ts,event,foo\n1,2024-01-01,view,1\n1,2024-01-01,checkout_progress,1\n")
    text = (tmp_path / "whybuy.toml").read_text()
    assert "# check: values of event that mean no action, rejected unless mapped: checkout_progress (1 row)" in text
    assert "# not mapped: foo" in text


def test_a_second_user_column_is_a_choice(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("customer_id,visitor_id,ts,action\n1,a,2024-01-01,view\n")
    proposal = propose(tmp_path / "log.csv", into=tmp_path)
    (choice,) = proposal.choices
    assert choice.question == "Which column is user_id? visitor_id was taken; also possible: customer_id."
    chosen = proposal.choose(choice, "customer_id")
    assert chosen.choices == ()
    assert chosen.events[0].columns["user_id"] == "customer_id"
    assert proposal.events[0].columns["user_id"] == "visitor_id"


def test_a_session_stands_for_the_user(tmp_path: Path) -> None:
    entry = entry_of(tmp_path, "visit_id,ts,action\ns1,2024-01-01,view\n")
    assert entry.columns["user_id"] == entry.columns["session_id"] == "visit_id"
    assert "the log names no user: a session id stands for the user" in (tmp_path / "whybuy.toml").read_text()


def test_a_session_stands_for_users_that_are_missing(tmp_path: Path) -> None:
    entry = entry_of(tmp_path, "user_id,session_id,ts,action\n1,s1,2024-01-01,view\nNA,s2,2024-01-01,view\n")
    assert entry.columns["user_id"] == "user_or_session"
    assert "'session-' || CAST(\"session_id\" AS VARCHAR)" in entry.derive["user_or_session"]
    assert "a session id stands for the user in the 50% of rows" in (tmp_path / "whybuy.toml").read_text()


def test_users_that_are_missing_without_a_session_are_said(tmp_path: Path) -> None:
    entry_of(tmp_path, "user_id,ts,action\n1,2024-01-01,view\n,2024-01-01,view\n")
    text = (tmp_path / "whybuy.toml").read_text()
    assert "# check: about 50% of the rows have no user_id: they will be set aside" in text


@pytest.mark.parametrize(
    ("name", "header", "row", "action"),
    [
        ("a.csv", "user_id,date,order_id,item_id", "1,2024-01-01,o1,a", "purchase"),
        ("a.csv", "user_id,date,item_id,stars", "1,2024-01-01,a,5", "rating"),
        ("a.csv", "user_id,date,item_id,stars,review_text", "1,2024-01-01,a,5,good", "review"),
        ("a.csv", "user_id,date,query", "1,2024-01-01,boots", "search"),
        ("item-views.csv", "user_id,date,item_id", "1,2024-01-01,a", "view"),
    ],
)
def test_one_action_for_the_whole_file(name: str, header: str, row: str, action: str, tmp_path: Path) -> None:
    assert entry_of(tmp_path, f"{header}\n{row}\n", name=name).constants["action"] == action


def test_the_value_of_a_line_is_divided_by_its_units(tmp_path: Path) -> None:
    entry = entry_of(tmp_path, "user_id,date,amount_usd,qty\n1,2024-01-01,10,4\n")
    assert entry.columns["price"] == "unit_price"
    assert entry.derive == {"unit_price": 'TRY_CAST("amount_usd" AS DOUBLE) / nullif(TRY_CAST("qty" AS DOUBLE), 0)'}
    assert entry.constants == {"action": "purchase", "currency": "USD"}


def test_a_derived_name_does_not_clash_with_a_column(tmp_path: Path) -> None:
    entry = entry_of(tmp_path, "user_id,date,total,qty,UNIT_PRICE_,unit_price\n1,2024-01-01,10,4,x,y\n")
    assert entry.columns["price"] == "unit_price__"


@pytest.mark.parametrize(
    ("values", "expression"),
    [
        ("1 5", None),
        ("0.5 4.5", '1 + (TRY_CAST("rating" AS DOUBLE) - 0.5) * 4 / 4.5'),
        ("0 3", '1 + (TRY_CAST("rating" AS DOUBLE) - 0) * 4 / 5'),
        ("1 10", '1 + (TRY_CAST("rating" AS DOUBLE) - 1) * 4 / 9'),
        ("7 88", '1 + (TRY_CAST("rating" AS DOUBLE) - 1) * 4 / 99'),
    ],
)
def test_ratings_are_brought_to_one_to_five(values: str, expression: str | None, tmp_path: Path) -> None:
    rows = "".join(f"1,2024-01-01,{value}\n" for value in values.split())
    assert entry_of(tmp_path, "user_id,date,rating\n" + rows).derive.get("rating_1_to_5") == expression


def test_a_position_stands_for_a_time(tmp_path: Path) -> None:
    entry = entry_of(tmp_path, "user_id,action,sequence\n1,view,1\n1,view,2\n")
    assert (entry.time, entry.columns["ts"]) == ("order", "sequence")


def test_events_without_times_are_left_out_beside_events_with_times(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("user_id,ts,action\n1,2024-01-01,view\n2,2024-01-01,view\n3,2024-01-01,view\n")
    (tmp_path / "b.csv").write_text("user_id,position,action\n1,1,view\n")
    proposal = propose(tmp_path, into=tmp_path)
    assert [Path(mapping.path).name for mapping in proposal.events] == ["a.csv"]
    assert proposal.notes == ("b.csv is not read: it has no times, the other events have",)


def test_an_items_file_beside_the_log_needs_one_row_for_each_item(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("user_id,ts,action,item_id\n1,2024-01-01,view,a\n")
    (tmp_path / "items.csv").write_text("item_id,category\na,shoes\na,hats\n")
    assert propose(tmp_path / "log.csv", into=tmp_path).items is None
    (tmp_path / "items.csv").write_text("item_id,category\na,shoes\nb,hats\n")
    assert propose(tmp_path / "log.csv", into=tmp_path).items is not None


def test_a_broken_file_beside_the_log_is_told(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("user_id,ts,action\n1,2024-01-01,view\n")
    (tmp_path / "users.csv").write_bytes(b"")
    proposal = propose(tmp_path / "log.csv", into=tmp_path)
    assert "users.csv is empty" in proposal.notes[0]


def test_ids_of_named_files_may_be_called_id(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("user_id,ts,action,item_id\n1,2024-01-01,view,a\n")
    (tmp_path / "p.csv").write_text("id,name,genre\na,Boot,shoes\n")
    (tmp_path / "c.csv").write_text("id,gender,city\n1,f,Rome\n")
    proposal = propose(tmp_path / "log.csv", items=tmp_path / "p.csv", users=tmp_path / "c.csv", into=tmp_path)
    assert proposal.items is not None
    assert proposal.items.columns == {"item_id": "id", "category": "genre", "title": "name"}
    assert proposal.users is not None
    assert proposal.users.columns == {"user_id": "id"}
    assert proposal.protected == ("gender",)


def test_a_named_file_without_a_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("user_id,ts,action,item_id\n1,2024-01-01,view,a\n")
    (tmp_path / "p.csv").write_text("foo,bar\n1,2\n")
    needed = r"has the columns foo, bar. The items file needs a column item_id. Rename its key to item_id, or leave"
    with pytest.raises(SourceError, match=needed):
        propose(tmp_path / "log.csv", items=tmp_path / "p.csv", into=tmp_path)


REFUSED = [
    ("", r"log.csv is empty. A file with rows is needed. Export it again."),
    ("user_id,ts,action\n", r"has the columns user_id, ts, action and no rows. At least one row is needed"),
    ("foo,bar\n1,2\n", r"foo, bar, none of which names a user or a session. A column with the user is needed"),
    ("item_id,ts,action\n1,2024-01-01,view\n", r"none of which names a user or a session"),
    ("user_id,item_id,action\n1,2,view\n", r"none of them is named like a time. A time is needed .* Rename the column"),
    ("user_id,ts,action\n1,yesterday,view\n", r"the values of ts cannot be read as times"),
    ("user_id,ts,item_id\n1,2024-01-01,a\n", r"none of which tells what happened. An action is needed"),
    ("user_id,ts,action\n1,2024-01-01,frob\n", r"the values of action are frob, none of which is a known action"),
]


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_what_is_no_log_is_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text(text)
    with pytest.raises(SourceError, match=message):
        propose(tmp_path / "log.csv", into=tmp_path)


FOREIGN = [
    ("log.csv", np.random.default_rng(7).bytes(3_000), r"log.csv is binary, not text. Parquet, CSV"),
    ("log.csv", b"PK\x03\x04" + bytes(50), r"is a zip archive or an Excel workbook. .* save the sheet as CSV"),
    ("log.xlsx", b"PK\x03\x04", r"log.xlsx ends with .xlsx. Parquet, CSV .* is needed. Export the log"),
    ("log.parquet", b"nonsense", r"log.parquet could not be read .*Check that the file is whole"),
    (
        "log.csv.gz",
        gzip.compress(np.random.default_rng(7).bytes(9_000))[:500],
        r"could not be read \(Compressed file ended.* A whole file is needed",
    ),
]


@pytest.mark.parametrize(("name", "content", "message"), FOREIGN)
def test_foreign_and_broken_files_are_refused(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=message):
        propose(tmp_path / name, into=tmp_path)


def test_a_file_that_is_not_there_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text("user_id,ts,action\n1,2024-01-01,view\n")
    with pytest.raises(SourceError, match=r"event.csv was not found. .* Did you mean .*events.csv\?"):
        propose(tmp_path / "event.csv", into=tmp_path)


def test_an_address_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"postgres://host/shop is an address"):
        propose("postgres://host/shop", into=tmp_path)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"holds no readable table. Parquet, CSV"):
        propose(tmp_path, into=tmp_path)


def test_a_folder_without_a_log_says_why_for_each_table(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("foo\n1\n")
    (tmp_path / "b.csv").write_text("bar\n1\n")
    with pytest.raises(SourceError, match=r"2 tables, none of which is a log of events: .*a.csv .*foo.*b.csv .*bar"):
        propose(tmp_path, into=tmp_path)


def test_a_panel_is_refused(tmp_path: Path) -> None:
    (tmp_path / "panel.csv").write_text("customer,campaign,pre_spend,post_spend\n1,a,10,20\n")
    with pytest.raises(SourceError, match=r"holds pre_spend and post_spend, sums before and after: it is a panel"):
        propose(tmp_path / "panel.csv", into=tmp_path)


@pytest.mark.parametrize(
    ("column", "contract", "score"),
    [
        ("user_id", "user_id", 100),
        ("userId", "user_id", 100),
        ("customer_unique_id", "user_id", 50),
        ("id", "user_id", 0),
    ],
)
def test_names_are_scored(column: str, contract: str, score: int) -> None:
    assert fit(column, contract) == score


def test_surer_names_score_higher() -> None:
    assert fit("timestamp", "ts") > fit("event_time", "ts") > fit("date", "ts") > 0


@pytest.mark.parametrize(
    ("value", "action"),
    [
        ("pv", "view"), ("AddToCart", "cart"), ("add_to_cart", "cart"), ("fav", "favorite"), ("buy", "purchase"),
        ("transaction", "purchase"), ("remove_from_cart", "remove"), ("click", "click"), ("impression", "impression"),
        ("frob", None), ("1", None),
    ],
)  # fmt: skip
def test_values_of_actions(value: str, action: str | None) -> None:
    assert action_of(value) == action


def test_a_file_name_tells_the_action_only_where_it_is_one() -> None:
    assert action_in("train-purchases") == "purchase"
    assert action_in("views_and_purchases") is None
    assert action_in("data") is None


def test_words_of_names() -> None:
    assert words_of("ageGroup:20-30") == ["age", "group", "20", "30"]


@pytest.mark.parametrize("attribute", ["age", "age_code", "Gender", "gender:men", "INCOME_DESC", "KID_CATEGORY_DESC"])
def test_protected_attributes(attribute: str) -> None:
    assert is_protected(attribute)


@pytest.mark.parametrize("attribute", ["page", "city", "household_size", "usage", "zip_code"])
def test_other_attributes(attribute: str) -> None:
    assert not is_protected(attribute)
