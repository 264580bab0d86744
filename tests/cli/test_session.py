import json

import pytest

from whybuy.pipeline import CARD


def test_without_a_config_the_one_of_the_workspace_is_used_and_named(call, shop, stages, monkeypatch):
    call("effects", "--workspace", "w")
    (shop / "elsewhere").mkdir()
    monkeypatch.chdir(shop / "elsewhere")
    answer = call("effects", "--workspace", "../w", "--json")
    assert answer.code == 0
    assert f"config: {shop / 'whybuy.toml'} (the one this workspace was made from)" in answer.err
    assert json.loads((shop / "w" / CARD).read_text(encoding="utf-8")) == {"config": str(shop / "whybuy.toml")}


def test_a_config_in_the_current_folder_comes_first(call, shop, stages):
    (shop / "w").mkdir()
    (shop / "w" / CARD).write_text('{"config": "/gone.toml"}', encoding="utf-8")
    answer = call("effects", "--workspace", "w", "--json")
    assert answer.code == 0
    assert "config:" not in answer.err


@pytest.mark.parametrize("words", [("recommend",), ("campaign", "--cost", "1"), ("effects", "--where", "a = 1")])
def test_errors_are_plain_text_beside_an_empty_stdout_under_json_too(call, shop, stages, words):
    answer = call(*words, "--json")
    assert (answer.code, answer.out) == (2, "")
    assert f"whybuy {words[0]}: " in answer.err
    assert not answer.err.lstrip().startswith("{")


def test_finished_stages_are_one_plain_line_each_where_nobody_watches(call, shop, stages):
    err = call("effects", "--json").err.splitlines()
    assert [line.split(":")[0] for line in err] == ["events", "sequences", "model", "scan", "confirm"]
    assert all(" s" in line for line in err)
    assert call("scan", "--json").err.splitlines() == [
        f"{name}: up to date" for name in ("events", "sequences", "model", "scan")
    ]


def test_everything_derived_stands_in_the_workspace(call, shop, stages):
    call("effects", "--json")
    assert sorted(p.name for p in shop.iterdir()) == ["log.csv", "whybuy-workspace", "whybuy.toml"]
