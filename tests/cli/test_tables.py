import io

from rich.console import Console

from whybuy.cli.setup import DEMO_COLUMNS
from whybuy.cli.tables import number, show_table

ROW = ["view:women/shoes/winter/boots", "purchase:women/shoes", "+.1234", "-.0100", "-.0200", "+.0000", "-.0110"]


def printed(rows: list[list[str]], *, width: int, terminal: bool) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=terminal, markup=False, color_system=None)
    show_table(console, DEMO_COLUMNS, rows)
    return console.file.getvalue()


def test_a_short_table_fits_a_narrow_terminal():
    out = printed([["favorite:phones", "purchase:phones", *ROW[2:], "cannot_tell"]], width=80, terminal=True)
    assert max(map(len, out.splitlines())) <= 80
    assert out.count("\n") == 2


def test_nothing_is_cut_off_where_nobody_looks_at_the_edge():
    out = printed([[*ROW, "suggestive"]], width=80, terminal=False)
    header, line = out.splitlines()
    assert header.split() == [name for name, _ in DEMO_COLUMNS]
    assert line.split() == [*ROW, "suggestive"]
    assert "…" not in out


def test_a_narrow_terminal_folds_words_and_keeps_numbers_whole():
    out = printed([[*ROW, "suggestive"]], width=80, terminal=True)
    lines = out.splitlines()
    assert max(map(len, lines)) <= 80
    assert "…" not in out
    assert all(cell in out for cell in [*ROW[2:], "suggestive"])
    assert "".join(line[: out.index("outcome")].strip() for line in lines[1:]) == ROW[0]


def test_a_terminal_too_narrow_for_the_numbers_still_gets_all_of_them():
    out = printed([[*ROW, "suggestive"]], width=40, terminal=True)
    assert out.splitlines()[1].split() == [*ROW, "suggestive"]


def test_names_with_brackets_are_no_markup():
    out = printed([["view:[bold]x[/bold]", "purchase::smile:", *ROW[2:], "none"]], width=80, terminal=False)
    assert "view:[bold]x[/bold]" in out
    assert "purchase::smile:" in out


def test_a_number_is_signed_and_its_absence_is_a_dash():
    assert [number(0.1), number(-0.00004), number(10.1), number(None)] == ["+.1000", "-.0000", "+10.1000", "-"]
