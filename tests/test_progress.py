from io import StringIO

from rich.console import Console

from whybuy.progress import live


def drawn(*steps: float) -> str:
    """The last state of one task of two steps."""
    console = Console(file=StringIO(), force_terminal=True, width=120, color_system=None)
    with live(console) as report:
        for done in steps:
            report("histories", done, 2, "what people did [before]")
    return console.file.getvalue().rpartition("histories")[2]


def test_a_task_says_what_it_does_and_how_far_it_is():
    assert "50%" in drawn(0, 1)
    assert "what people did [before]" in drawn(0, 1)


def test_a_task_that_begins_again_is_not_done():
    assert "left 0:00:00" in drawn(1, 2)
    assert "left -:--:--" in drawn(1, 2, 0)
