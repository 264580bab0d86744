"""What every test shares: the real logs or a line that says they are missing, and slow tests that are not run twice.

``--resume=FOLDER`` leaves a stamp for every slow test that passed, named after the test and the code it passed with; a
later run with the same code leaves those out, so that an interrupted `make slow` goes on where it stopped.
"""

import functools
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from threadpoolctl import threadpool_limits

from whybuy.workspace import code_version

TESTS = Path(__file__).parent
DATA = Path(os.environ.get("WHYBUY_DATA", TESTS.parent.parent / "shared" / "data")).resolve()
RESUMED = pytest.StashKey[int]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--resume", metavar="FOLDER", help="leave out slow tests that passed with this very code")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not DATA.is_dir():
        missing = pytest.mark.skip(reason=f"no real logs in {DATA}: set WHYBUY_DATA")
        for item in items:
            if "real_data" in item.keywords:
                item.add_marker(missing)
    passed = [item for item in items if (stamp := _stamp(item)) is not None and stamp.exists()]
    config.stash[RESUMED] = len(passed)
    config.hook.pytest_deselected(items=passed)
    items[:] = [item for item in items if item not in passed]


@pytest.fixture(scope="session", autouse=True)
def one_thread_of_blas() -> Iterator[None]:
    """Keep BLAS to one thread: for small matrices a second one spins on a core that another process could use."""
    with threadpool_limits(1, user_api="blas"):
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    stamp = _stamp(item)
    if stamp is not None and report.when == "call" and report.passed:
        stamp.parent.mkdir(exist_ok=True)
        stamp.touch()
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if config.stash.get(RESUMED, 0):
        terminalreporter.line(f"{config.stash[RESUMED]} slow tests passed earlier with this code and were left out")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and session.config.stash.get(RESUMED, 0):
        session.exitstatus = pytest.ExitCode.OK


def _stamp(item: pytest.Item) -> Path | None:
    """Return where the stamp of a slow test stands; None where none is kept."""
    folder = item.config.getoption("--resume")
    if folder is None or "slow" not in item.keywords:
        return None
    name = hashlib.sha256(f"{item.nodeid} {code_version()} {_tests_version()}".encode()).hexdigest()[:24]
    return item.config.rootpath / folder / name


@functools.cache
def _tests_version() -> str:
    digest = hashlib.sha256()
    for file in sorted(TESTS.rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


@functools.cache
def _schemas() -> Registry[Any]:
    files = sorted((TESTS / "schemas").glob("*.json"))
    return Registry().with_resources((f.name, Resource.from_contents(json.loads(f.read_text()))) for f in files)


@pytest.fixture(scope="session")
def conforms() -> Callable[[Any, str], None]:
    """A function that fails where a JSON document is not of the shape of ``tests/schemas/NAME.json``."""

    def check(document: Any, name: str) -> None:
        schema = _schemas().contents(f"{name}.json")
        validator = Draft202012Validator(schema, registry=_schemas())
        found = sorted(validator.iter_errors(document), key=lambda error: error.json_path)
        assert not found, "; ".join(f"{error.json_path}: {error.message}" for error in found[:5])

    return check
