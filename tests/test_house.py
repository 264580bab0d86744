"""The habits of the repository, held by tests: small files, a light import, public names that exist, one direction."""

import ast
import importlib
import json
import pkgutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import whybuy

ROOT = Path(__file__).parents[1]
MAX_LINES = 500
HEAVY = (
    "torch", "ibis", "duckdb", "lightgbm", "plotly", "keras", "pandas", "sklearn", "causallearn", "statsmodels",
)  # fmt: skip


def python_files() -> list[Path]:
    found = sorted(p for folder in ("src", "tests", "benchmarks") for p in (ROOT / folder).rglob("*.py"))
    peers = ROOT / "benchmarks" / "peers"
    return [p for p in found if p.parent == peers or peers not in p.parents]  # below lie the peers' environments


def modules() -> list[str]:
    return ["whybuy", *(m.name for m in pkgutil.walk_packages(whybuy.__path__, "whybuy."))]


def test_files_are_short():
    lengths = {str(p.relative_to(ROOT)): len(p.read_text(encoding="utf-8").splitlines()) for p in python_files()}
    assert {name: n for name, n in lengths.items() if n > MAX_LINES} == {}


def test_the_base_import_is_light_and_fast():
    code = "import sys, json, whybuy; print(json.dumps(sorted(sys.modules)))"
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - started
    assert not set(HEAVY) & set(json.loads(done.stdout))
    assert seconds < 1.0


def test_the_program_starts_without_the_heavy_parts():
    code = "import sys, json, whybuy.cli; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(HEAVY) & set(json.loads(done.stdout))


@pytest.mark.parametrize("name", modules())
def test_public_names_can_be_imported(name):
    module = importlib.import_module(name)
    missing = [public for public in getattr(module, "__all__", ()) if not hasattr(module, public)]
    assert missing == []


def test_data_flows_one_way():
    done = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports"))], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_changelog_tells_of_this_version():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## {whybuy.__version__}" in text


def test_every_installed_package_is_pinned():
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert all(pin.count("==") == 1 for pin in pins)
    assert "torch==2.13.0" in pins


def test_compiled_functions_do_not_sort():
    """Two functions of a process whose compiled forms were cached by different processes may crash if both sort.

    numba names what it generates for ``np.sort`` and ``np.argsort`` alike but for a counter that starts anew in every
    process, and the loader takes the first of a name (numba issue 4807 has the like).
    """
    found = [
        f"{path.relative_to(ROOT)}: {function.name}"
        for path in python_files()
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(function, ast.FunctionDef) and any("njit" in ast.unparse(d) for d in function.decorator_list)
        if any("sort" in ast.unparse(call.func) for call in ast.walk(function) if isinstance(call, ast.Call))
    ]
    assert found == []
