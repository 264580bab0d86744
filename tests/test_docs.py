"""The pages name files, commands, options and targets that exist."""

import re
from pathlib import Path

import pytest

from whybuy.cli.app import app

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").glob("*.md")])
GROUPS = {group.typer_instance.info.name for group in app.registered_groups}
COMMANDS = {command.callback.__name__ for command in app.registered_commands} | GROUPS


def ids(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_links_lead_to_files_that_exist(page):
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    local = [link for link in links if "://" not in link and not link.startswith("mailto:")]
    assert [link for link in local if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_commands_that_a_page_tells_to_run_exist(page):
    named = re.findall(r"(?:`|^ {4}|/|\$ )whybuy ([a-z]+)", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(named) - COMMANDS == set()


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_targets_that_a_page_tells_to_make_exist(page):
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    named = re.findall(r"(?:`|^ {4})make ([a-z]+)", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(named) - set(targets) == set()


def test_every_command_is_told_in_the_changelog():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert {name for name in COMMANDS if f"whybuy {name}" not in text} <= {"train", "scan", "report"}
