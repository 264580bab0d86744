"""The page on scale says what the measured runs say: every table in it is made again and compared."""

import importlib.util
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def make_scale():
    spec = importlib.util.spec_from_file_location("make_scale", ROOT / "docs" / "make_scale.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def record():
    return json.loads((ROOT / "benchmarks" / "measured" / "scaling.json").read_text(encoding="utf-8"))


@pytest.mark.whole
def test_the_tables_of_the_page_are_those_of_the_measured_runs(make_scale, record):
    page = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
    found = make_scale.tables(record)
    assert {
        name for name, text in found.items() if f"<!-- {name} -->\n{text}\n<!-- end of {name} -->" not in page
    } == set()


def test_every_cell_was_measured_once(make_scale, record):
    from benchmarks.scaling import cells

    done = [(run["width"], run["depth"], run["log_events"], run["seed"]) for run in record["runs"]]
    assert sorted(done) == sorted((cell.width, cell.depth, cell.log_events, cell.seed) for cell in cells())


def test_a_table_is_put_between_its_marks(make_scale):
    page = "a\n<!-- law -->\nold\n<!-- end of law -->\nb"
    assert make_scale.refreshed(page, {"law": "new"}) == "a\n<!-- law -->\nnew\n<!-- end of law -->\nb"


@pytest.mark.parametrize(
    ("write", "value", "text"),
    [
        ("amount", 98_624, "99 thousand"),
        ("amount", 2.1e12, "2.1 trillion"),
        ("size_of", 8.6e11, "860 GB"),
        ("duration", 0.5, "30 min"),
        ("duration", 55.2, "2.3 days"),
        ("energy", 0.0004, "0.4 Wh"),
        ("power", 1e9, "10^9"),
    ],
)
def test_numbers_are_written_with_two_digits(make_scale, write, value, text):
    assert getattr(make_scale, write)(value) == text
