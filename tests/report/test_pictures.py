import importlib.util
import re
import sys
from pathlib import Path

import pytest

from whybuy.report.figures import demo_picture


@pytest.fixture(scope="module")
def pictures():
    path = Path(__file__).parents[2] / "docs" / "make_pictures.py"
    spec = importlib.util.spec_from_file_location("make_pictures", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_picture_is_drawn_from_a_page_that_loads_nothing(pictures, whole, theme):
    page = pictures.page_of(demo_picture(whole.effects), theme)
    assert pictures.THEMES[theme]["page"] in page
    assert "view:books \\u2192 purchase:bags" in page
    assert not re.search(r"<[^>]+\b(src|href)=", page.split("<script>")[0])


def test_a_workspace_without_truth_is_refused(pictures, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["make_pictures.py", str(tmp_path)])
    with pytest.raises(SystemExit, match="2"):
        pictures.main()
    assert "has no effect whose truth is known: run `whybuy demo --workspace` first" in capsys.readouterr().err
