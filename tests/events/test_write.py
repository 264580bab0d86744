"""The config that is written: TOML that reads back as it was meant, comments, relative paths, the kept old file."""

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whybuy.config import load_config
from whybuy.errors import ConfigError
from whybuy.events.proposal import Mapping, Proposal
from whybuy.events.write import config_text, quote, write_config

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
MAPPING = Mapping(
    title="a log",
    path="/data/shop/log.csv",
    columns={"item_id": "sku", "user_id": "who", "ts": "when"},
    constants={"action": "view", "price": 1.5},
    why={"user_id": "by its name"},
)
PROPOSAL = Proposal(
    log=None,
    events=(MAPPING,),
    items=None,
    users=None,
    horizon="1d",
    lookback="1d",
    span_days=9.0,
    span_reason="the log is short",
    protected=("age",),
    notes=("something was passed over",),
    into=Path("/data"),
)


@given(TEXTS)
def test_any_text_reads_back(text: str) -> None:
    assert tomllib.loads(f"x = {quote(text)}") == {"x": text}


@given(st.text(alphabet="'\"\\\n\t\r\x00ä", max_size=12))
def test_any_mix_of_quotes_reads_back(text: str) -> None:
    assert tomllib.loads(f"x = {quote(text)}") == {"x": text}


def test_sql_is_written_without_escapes() -> None:
    assert quote('"a" = 1') == "'\"a\" = 1'"
    assert quote("replace(\"a\", '.', '/')") == "'''replace(\"a\", '.', '/')'''"
    assert quote("plain") == '"plain"'


@given(TEXTS, TEXTS, TEXTS, TEXTS, TEXTS)
def test_a_config_with_any_names_reads_back(column: str, value: str, derived: str, why: str, note: str) -> None:
    mapping = Mapping(
        title=why,
        path="/data/log.csv",
        columns={"user_id": column},
        derive={derived: column},
        constants={"action": value},
        actions={value: "view"},
        where=column,
        why={"user_id": why, "where": note},
        unused=(column,),
        notes=(note,),
    )
    text = config_text(replace(PROPOSAL, events=(mapping,), notes=(note,), protected=(value,)), Path("/data"))
    raw = tomllib.loads(text)
    assert raw["protected"] == [value]
    assert raw["events"] == [
        {
            "path": "log.csv", "where": column, "columns": {"user_id": column}, "derive": {derived: column},
            "constants": {"action": value}, "actions": {value: "view"},
        }
    ]  # fmt: skip


def test_the_text_of_a_small_config() -> None:
    assert config_text(PROPOSAL, Path("/data")) == (
        "# Written by `whybuy init`. Change what is wrong, then run `whybuy check`: it says what this log can answer.\n"
        "# No known public log: the columns were matched by their names and values. Read the reasons below.\n"
        "\n"
        "# something was passed over\n"
        'engine = "local"\n'
        "# horizon and lookback: the log is short\n"
        'horizons = ["1d"]\n'
        'lookback = "1d"\n'
        'timezone = "UTC"  # how times without a zone are read\n'
        'protected = ["age"]  # user attributes named like one that nobody should be judged by\n'
        "\n"
        "[[events]]\n"
        'path = "shop/log.csv"  # a log\n'
        "[events.columns]\n"
        'ts = "when"\n'
        'user_id = "who"  # by its name\n'
        'item_id = "sku"\n'
        "[events.constants]\n"
        'action = "view"\n'
        "price = 1.5\n"
    )


def test_a_path_outside_the_folder_is_still_relative(tmp_path: Path) -> None:
    text = config_text(PROPOSAL, Path("/data/configs/deep"))
    assert tomllib.loads(text)["events"][0]["path"] == "../../shop/log.csv"


def test_a_log_without_times_says_which_order_is_taken() -> None:
    by_row = replace(MAPPING, time="order", columns={"user_id": "who"})
    text = config_text(replace(PROPOSAL, events=(by_row,)), Path("/data"))
    assert "the log has no times: the order of the rows is taken, which need not be that of time" in text
    by_position = replace(MAPPING, time="order")
    text = config_text(replace(PROPOSAL, events=(by_position,)), Path("/data"))
    assert "the log has no times: a position stands for the time" in text


def test_orders_line_by_line_are_not_searched_for_bots(tmp_path: Path) -> None:
    columns = {**MAPPING.columns, "order_id": "invoice"}
    lines = replace(MAPPING, columns=columns, constants={"action": "purchase"})
    sent = replace(MAPPING, constants={"action": "campaign"})
    write_config(replace(PROPOSAL, events=(lines, sent)), tmp_path / "whybuy.toml")
    assert not load_config(tmp_path / "whybuy.toml").clean.bots
    for other in (MAPPING, replace(lines, columns=MAPPING.columns)):
        write_config(replace(PROPOSAL, events=(lines, other)), tmp_path / "whybuy.toml")
        assert load_config(tmp_path / "whybuy.toml").clean.bots


def test_an_existing_file_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "whybuy.toml"
    assert write_config(PROPOSAL, path) is None
    for text, kept in (("mine = 1\n", "whybuy.toml.bak"), ("mine = 2\n", "whybuy.toml.bak")):
        path.write_text(text)
        assert write_config(PROPOSAL, path) == tmp_path / kept
        assert (tmp_path / kept).read_text() == text
        assert load_config(path).horizons == ["1d"]
    assert (tmp_path / "whybuy.toml.bak2").read_text() == "mine = 1\n"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["whybuy.toml", "whybuy.toml.bak", "whybuy.toml.bak2"]


def test_a_missing_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot be written \(No such file or directory\). A folder that exists"):
        write_config(PROPOSAL, tmp_path / "no" / "whybuy.toml")


def test_the_proposal_as_a_frame_and_in_words() -> None:
    assert PROPOSAL.to_frame().to_dict("records") == [
        {"source": "a log", "column": "item_id", "from": "sku", "why": ""},
        {"source": "a log", "column": "user_id", "from": "who", "why": "by its name"},
        {"source": "a log", "column": "ts", "from": "when", "why": ""},
        {"source": "a log", "column": "action", "from": "'view'", "why": ""},
        {"source": "a log", "column": "price", "from": "1.5", "why": ""},
    ]
    assert PROPOSAL.summary() == (
        "No known public log: matched by names and values.\n"
        "a log: user who, time when, action always view.\n"
        "Horizon 1d, lookback 1d: the log is short."
    )
