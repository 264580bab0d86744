"""CSV and JSON lines as relations of text: every value exactly as written, every unreadable line accounted for.

DuckDB's own guesses are not used here. Whether a file has a header, which sign separates its columns and how many
columns a line must have are read from the first line and told to DuckDB, because a guess made from a sample may change
with one broken line: it then reads the whole file as one column, or drops the rest. With the columns fixed, a line that
does not fit goes to DuckDB's table of rejected lines and from there to ours. A value of JSON is taken by its key from
the line's object, so that ``"007"`` keeps its zeros and a line that is no object is a row that can be counted.
"""

import csv
import gzip
import re
import zlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

import duckdb

from whybuy.errors import SourceError
from whybuy.events.duck import first_row
from whybuy.events.locate import sql_text
from whybuy.events.presets import quote_name

UNREADABLE = "__unreadable"
"""Extra column of JSON lines: whether the line is no object."""

_MAX_LINE_BYTES = 2**24
_MAX_OBJECT_BYTES = 2**25
_HEAD_BYTES = 2**20
_KEY_SAMPLE = 20_000
_DELIMITERS = ",\t;|"
_NUMBER = re.compile(r"\s*[-+]?\d+(\.\d+)?([eE][-+]?\d+)?\s*")


@dataclass(frozen=True, slots=True)
class _Layout:
    """What the first line of a CSV file tells."""

    delimiter: str
    names: tuple[str, ...]
    has_header: bool


def csv_relation(files: tuple[Path, ...], wanted: Collection[str], *, rejects: str) -> tuple[str, list[str]]:
    """Return CSV files as SQL to stand after FROM, and their columns; rejected lines go to the table ``rejects``.

    Parameters
    ----------
    files : in reading order; their headers may differ in order and number
    wanted : columns that will be asked for: they tell a header of numbers from a first row of data
    """
    parts: list[tuple[_Layout, list[Path]]] = []
    for file in files:
        layout = _layout(file, wanted)
        if parts and parts[-1][0] == layout:
            parts[-1][1].append(file)
        else:
            parts.append((layout, [file]))
    reads = [_read_csv(layout, group, rejects=rejects) for layout, group in parts]
    columns = list(dict.fromkeys(name for layout, _ in parts for name in layout.names))
    if len(reads) == 1:
        return reads[0], columns
    return "(" + " UNION ALL BY NAME ".join(f"SELECT * FROM {read}" for read in reads) + ")", columns


def _read_csv(layout: _Layout, files: list[Path], *, rejects: str) -> str:
    columns = ", ".join(f"{sql_text(name)}: 'VARCHAR'" for name in layout.names)
    return (
        f"read_csv([{_listed(files)}], auto_detect = false, columns = {{{columns}}}, "
        f"delim = {sql_text(layout.delimiter)}, quote = '\"', escape = '\"', header = {layout.has_header}, "
        f"strict_mode = true, ignore_errors = true, max_line_size = {_MAX_LINE_BYTES}, "
        f"store_rejects = true, rejects_table = '{rejects}', rejects_scan = '{rejects}_scan')"
    )


def _listed(files: Iterable[Path]) -> str:
    """Return file names for SQL, in which the signs of globs stand for themselves."""
    return ", ".join(sql_text(re.sub(r"([*?\[])", r"[\1]", str(file))) for file in files)


def _layout(file: Path, wanted: Collection[str]) -> _Layout:
    line = _first_line(file)
    delimiter = max(_DELIMITERS, key=line.count)
    cells = next(csv.reader([line], delimiter=delimiter), [])
    has_header = bool(set(cells) & set(wanted)) or not any(_NUMBER.fullmatch(cell) for cell in cells)
    return _Layout(delimiter, tuple(_names(cells if has_header else [""] * len(cells))), has_header)


def _names(cells: list[str]) -> list[str]:
    """Return the column names as DuckDB would give them: unnamed ones by number, repeated ones with a suffix."""
    width = len(str(max(0, len(cells) - 1)))
    names: list[str] = []
    for number, cell in enumerate(cells):
        base = name = cell.strip() or f"column{number:0{width}}"
        suffix = 0
        while name.casefold() in {n.casefold() for n in names}:
            suffix += 1
            name = f"{base}_{suffix}"
        names.append(name)
    return names


def _first_line(file: Path) -> str:
    try:
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as stream:
            start = stream.read(_HEAD_BYTES)
    except (OSError, EOFError, zlib.error) as error:
        raise SourceError.of(
            found=f"{file} cannot be read ({error})", needed="A whole file is needed", do="Copy or export it again"
        ) from error
    line = next((line for line in re.split(rb"[\r\n]+", start) if line.strip(b" \t\xef\xbb\xbf")), b"")
    try:
        text = line.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SourceError.of(
            found=f"The first line of {file} is no UTF-8 text (byte {error.start})",
            needed="CSV text in UTF-8 is needed",
            do="Save the file as UTF-8 CSV, or name the file that holds the events",
        ) from error
    if not text:
        raise SourceError.of(
            found=f"{file} has no text in it", needed="A header and rows are needed", do="Export the log again"
        )
    return text


def json_relation(
    con: duckdb.DuckDBPyConnection, files: tuple[Path, ...], wanted: Collection[str]
) -> tuple[str, list[str]]:
    """Return JSON lines (or arrays of objects) as SQL to stand after FROM, and their keys.

    Keys are listed from the first 20,000 objects; a wanted key that is not among them is looked for in all of them.
    """
    layout = "array" if _is_array(files[0]) else "newline_delimited"
    options = "" if layout == "array" else "ignore_errors = true, "
    objects = (
        f"read_json_objects([{_listed(files)}], format = '{layout}', {options}"
        f"maximum_object_size = {_MAX_OBJECT_BYTES})"
    )
    keys = _keys(con, objects)
    keys += [key for key in dict.fromkeys(wanted) if key not in keys and _occurs(con, objects, key)]
    values = [f"json_extract_string(json, {_pointer(key)}) AS {quote_name(key)}" for key in keys]
    bad = f"json IS NULL OR json_type(json) <> 'OBJECT' AS {UNREADABLE}"
    return f"(SELECT {', '.join([*values, bad])} FROM {objects})", keys


def _is_array(file: Path) -> bool:
    with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as stream:
        try:
            return stream.read(4096).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")
        except (OSError, EOFError, zlib.error):
            return False  # the reader says plainly what is wrong


def _keys(con: duckdb.DuckDBPyConnection, objects: str) -> list[str]:
    rows = con.execute(
        f"SELECT key FROM (SELECT unnest(json_keys(json)) AS key, generate_subscripts(json_keys(json), 1) AS place "
        f"FROM (SELECT json FROM {objects} WHERE json_type(json) = 'OBJECT' LIMIT {_KEY_SAMPLE})) "
        "GROUP BY key ORDER BY min(place), key"
    ).fetchall()
    return [str(row[0]) for row in rows]


def _occurs(con: duckdb.DuckDBPyConnection, objects: str, key: str) -> bool:
    query = f"SELECT 1 FROM {objects} WHERE json_exists(json, {_pointer(key)}) LIMIT 1"
    return first_row(con, query) is not None


def _pointer(key: str) -> str:
    """Return the JSON pointer to a key of the outermost object, which needs no quoting of dots."""
    return sql_text("/" + key.replace("~", "~0").replace("/", "~1"))


def estimated_lines(file: Path) -> int:
    """Return about how many lines a file has, from its size and its first megabyte."""
    with file.open("rb") as stream:
        is_packed = file.suffix == ".gz"
        start = (gzip.GzipFile(fileobj=stream) if is_packed else stream).read(_HEAD_BYTES)
        used = stream.tell() if is_packed else len(start)
    return round(start.count(b"\n") * file.stat().st_size / max(1, used)) + 1
