"""Where a log's files are and what they are made of: formats by ending, foreign files by their first bytes, globs."""

import gzip
import zlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Literal

import duckdb

from whybuy.errors import SourceError, nearest
from whybuy.workspace import CARD

Format = Literal["parquet", "csv", "json", "duckdb"]
_BLOCK_BYTES = 2**16
_GZIP_LINES = 500_000
_FORMATS: dict[str, Format] = {
    ".parquet": "parquet", ".pq": "parquet", ".csv": "csv", ".tsv": "csv", ".txt": "csv", ".dat": "csv",
    ".data": "csv", ".jsonl": "json", ".ndjson": "json", ".json": "json", ".duckdb": "duckdb", ".ddb": "duckdb",
    ".db": "duckdb",
}  # fmt: skip
_FOREIGN = {
    b"PK\x03\x04": ("a zip archive or an Excel workbook", "Unpack it, or save the sheet as CSV"),
    b"\xd0\xcf\x11\xe0": ("an old Excel workbook", "Save the sheet as CSV"),
    b"SQLite format 3": ("a SQLite database", "Export the table of events as CSV"),
    b"%PDF": ("a PDF document", "Name the file that holds the events"),
    b"\x28\xb5\x2f\xfd": ("compressed with zstd", "Decompress it, or compress it with gzip"),
}
ACCEPTED = "Parquet, CSV (also .gz), JSON lines, a folder or glob of them, or file.duckdb::table is needed"


def sql_text(path: Path | str) -> str:
    """Return a path as an SQL text."""
    return "'" + str(path).replace("'", "''") + "'"


def parquet_relation(files: tuple[Path, ...]) -> str:
    """Return Parquet files as SQL to stand after FROM; columns that some of them lack are null there."""
    names = ", ".join(sql_text(_unglobbed(file)) for file in files)
    return f"read_parquet([{names}], union_by_name = true)"


def _unglobbed(file: Path) -> str:
    """Return a file's name in which the signs of globs stand for themselves."""
    return "".join(f"[{character}]" if character in "*?[" else character for character in str(file))


def format_of(file: Path) -> Format:
    """Return the format that a file's ending tells; raise SourceError for an unknown one."""
    suffixes = [suffix.casefold() for suffix in file.suffixes[-2:]]
    ending = suffixes[-2] if len(suffixes) == 2 and suffixes[-1] == ".gz" else (suffixes or [""])[-1]
    if ending not in _FORMATS:
        raise SourceError.of(
            found=f"{file} ends with {ending or 'nothing known'}",
            needed=ACCEPTED,
            do="Export the log in one of these formats",
        )
    return _FORMATS[ending]


def is_data(file: Path, folder: Path) -> bool:
    """Return whether a file of a folder is visible, of a known format, and not of a workspace that lies in there.

    The folder itself may be a stage: who names it wants its files.
    """
    between = [inside for inside in file.parents if inside.is_relative_to(folder) and inside != folder]
    if file.name == CARD or any((inside / CARD).exists() for inside in between):
        return False
    hidden = any(part.startswith((".", "_")) for part in file.relative_to(folder).parts)
    endings = [suffix.casefold() for suffix in file.suffixes[-2:] if suffix.casefold() != ".gz"]
    return file.is_file() and not hidden and bool(endings) and endings[-1] in _FORMATS


def existing(path: Path) -> Path:
    """Return ``path``; raise SourceError naming the nearest file where nothing is there."""
    if path.exists():
        return path
    beside = [p.name for p in path.parent.iterdir() if p.suffix == path.suffix] if path.parent.is_dir() else []
    near = nearest(path.name, beside)
    hint = f"Did you mean {path.parent / near}?" if near else "Check the path"
    raise SourceError.of(found=f"{path} was not found", needed=ACCEPTED, do=hint)


def absolute(path: Path) -> Path:
    """Return ``path`` with its folder resolved, so that a relative path to it is right through links."""
    return path.resolve() if path.name in ("", ".", "..") else path.parent.resolve() / path.name


def no_table(file: str, name: str, names: list[str]) -> SourceError:
    """Return the error for a table that a database does not hold."""
    near = nearest(name, names)
    return SourceError.of(
        found=f"{file} holds the tables {', '.join(names) or 'none'}",
        needed=f"The table {name!r} was asked for",
        do=f"Did you mean {file}::{near}?" if near else "Name one of them",
    )


def refuse_foreign(file: Path) -> None:
    """Raise SourceError for a file whose first bytes show that it is no text."""
    if format_of(file) == "parquet":
        return  # its reader says plainly what is wrong
    try:
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as stream:
            start = stream.read(4096)
    except (OSError, EOFError, zlib.error) as error:
        raise SourceError.of(
            found=f"{file} could not be read ({error})", needed="A whole file is needed", do="Copy or export it again"
        ) from error
    for magic, (what, do) in _FOREIGN.items():
        if start.startswith(magic):
            raise SourceError.of(found=f"{file} is {what}", needed=ACCEPTED, do=do)
    controls = sum(byte < 32 and byte not in b"\t\n\r\x1b" for byte in start)
    if controls > 0.05 * len(start):
        raise SourceError.of(
            found=f"{file} is binary, not text", needed=ACCEPTED, do="Name the file that holds the events"
        )


def unreadable(path: Path | str, error: duckdb.Error) -> SourceError:
    """Return the error for a source that DuckDB could not read."""
    reason = str(error).strip().splitlines()[0]
    return SourceError.of(
        found=f"{path} could not be read ({reason})",
        needed=ACCEPTED,
        do="Check that the file is whole, or export it again",
    )


def glob_of(files: tuple[Path, ...]) -> str:
    """Return the glob that names exactly ``files``, or the empty text where none does."""
    names = [file.name for file in files]
    folders = {file.parent for file in files}
    start, end = shared_start(names), shared_start([name[::-1] for name in names])
    end = min(end, min(map(len, names)) - start)
    pattern = f"{names[0][:start]}*{names[0][len(names[0]) - end :]}"
    folder = next(iter(folders))
    if len(folders) > 1 or {p.name for p in folder.glob(pattern)} != set(names):
        return ""
    return str(absolute(folder) / pattern)


def spread_lines(path: Path, blocks: int) -> Iterator[bytes]:
    """Yield the first line, then whole lines of ``blocks`` blocks spread evenly over the file."""
    if path.suffix == ".gz":
        with gzip.open(path) as stream:
            yield from islice(stream, 500_000)
        return
    size = path.stat().st_size
    with path.open("rb") as stream:
        yield stream.readline()
        start = stream.tell()
        for number in range(blocks):
            stream.seek(start + number * (size - start) // blocks)
            if number:
                stream.readline()  # the rest of a line cut in two
            lines = stream.read(_BLOCK_BYTES).splitlines(keepends=True)
            yield from lines if lines and lines[-1].endswith(b"\n") else lines[:-1]


def shared_start(texts: list[str]) -> int:
    """Return how many characters all texts begin with in common."""
    shortest = min(map(len, texts))
    return next((i for i in range(shortest) if len({text[i] for text in texts}) > 1), shortest)
