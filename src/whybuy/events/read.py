"""Sources of rows: what a ``path`` of the config names, opened as something that DuckDB can select from.

Values keep the type of their source. CSV and JSON lines have only text, so that ids stay exactly as written. Whatever
cannot be a source (missing, empty, foreign, broken) is refused here, in words, before anything is computed.
"""

import errno
import glob
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from whybuy.config import Config
from whybuy.errors import SourceError, WorkspaceError
from whybuy.events import locate
from whybuy.events.duck import whole_numbers
from whybuy.events.presets import quote_name
from whybuy.events.text_files import csv_relation, estimated_lines, json_relation

IN_MEMORY = "table:"
"""How a path names a pandas, Polars or Arrow table that was handed over from Python."""

_FULL = ("no space left on device", "file too large", "disk quota exceeded")


@dataclass(frozen=True, slots=True)
class Source:
    """Something that DuckDB can select from.

    Attributes
    ----------
    name : what messages call it
    relation : SQL to stand after FROM
    columns : its columns, in order
    rejects : temporary table of lines that could not be read (CSV), or empty
    has_mark : whether the relation says in an extra column which rows could not be read (JSON lines)
    files : what it is read from; empty for tables
    is_columnar : whether they are Parquet
    """

    name: str
    relation: str
    columns: tuple[str, ...]
    rejects: str = ""
    has_mark: bool = False
    files: tuple[Path, ...] = ()
    is_columnar: bool = False


@contextmanager
def readable(name: str) -> Iterator[None]:
    """Turn what DuckDB says of a source that cannot be read into an error that names it."""
    try:
        with enough_space():
            yield
    except duckdb.ConversionException as error:
        raise SourceError.of(
            found=f"A value of {name} cannot be converted: {first_line(error)}",
            needed="What derive and where compute must fit every row",
            do="Write TRY_CAST instead of CAST there, and compare text with text",
        ) from error
    except duckdb.Error as error:
        raise SourceError.of(
            found=f"{name} cannot be read: {first_line(error)}",
            needed="A whole file in the format that its name says is needed",
            do="Copy or export it again, or name another one",
        ) from error


@contextmanager
def enough_space() -> Iterator[None]:
    """Turn a full disk or memory into a WorkspaceError."""
    try:
        yield
    except (duckdb.Error, OSError) as error:
        is_full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        text = str(error).casefold()
        if is_full or any(sign in text for sign in _FULL):
            raise WorkspaceError.of(
                found=f"The disk is full ({first_line(error)})",
                needed="Reading a log needs about three times its size on the workspace's disk",
                do="Free some space or choose another disk with --workspace, then run again",
            ) from error
        if isinstance(error, duckdb.OutOfMemoryException):
            raise WorkspaceError.of(
                found=f"The memory or the disk for temporary files is used up ({first_line(error)})",
                needed="Reading a log needs about 1.5 GB of memory",
                do="Close other programs or choose a disk with more space by --workspace, then run again",
            ) from error
        raise


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text."""
    return str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__


def absolute(config: Config, path: str) -> str:
    """Return a path of the config as :func:`open_source` takes it."""
    return path if path.startswith(IN_MEMORY) else config.resolve(path)


def open_source(
    con: duckdb.DuckDBPyConnection,
    path: str,
    *,
    tables: Mapping[str, object] | None = None,
    wanted: Collection[str] = (),
) -> Source:
    """Open what ``path`` names.

    Parameters
    ----------
    con : the connection that will read it
    path : an absolute file, folder or glob, ``file.duckdb::table``, or ``table:NAME``
    tables : what ``table:NAME`` may name
    wanted : columns that will be asked for

    Raises
    ------
    SourceError
        Nothing is there, it is empty, or it is not of a known format.
    """
    if path.startswith(IN_MEMORY):
        return _open_table(con, path.removeprefix(IN_MEMORY), tables or {})
    if "://" in path:
        raise _address(path)
    if "::" in path:
        return _open_database(con, path)
    files = _files(path)
    kinds = {locate.format_of(file) for file in files}
    if "duckdb" in kinds:
        raise SourceError.of(
            found=f"{path} is a DuckDB database", needed="A table in it is needed", do=f"Write {path}::TABLE"
        )
    if len(kinds) > 1:
        raise SourceError.of(
            found=f"{path} holds files of the formats {', '.join(sorted(kinds))}",
            needed="One format for each [[events]] is needed",
            do="Name them by globs, such as folder/*.parquet, in an [[events]] each",
        )
    for file in files:
        if file.stat().st_size == 0:
            raise _empty(str(file))
        locate.refuse_foreign(file)
    with readable(path):
        return _open_files(con, path, files, kinds.pop(), wanted)


def _open_files(
    con: duckdb.DuckDBPyConnection, path: str, files: tuple[Path, ...], kind: str, wanted: Collection[str]
) -> Source:
    if kind == "csv":
        (serial,) = whole_numbers(con, "SELECT count(*) FROM duckdb_tables()")
        rejects = f"bad_lines_{serial}"
        relation, columns = csv_relation(files, wanted, rejects=rejects)
        return Source(path, relation, tuple(columns), rejects=rejects, files=files)
    if kind == "json":
        relation, columns = json_relation(con, files, wanted)
        return Source(path, relation, tuple(columns), has_mark=True, files=files)
    relation = locate.parquet_relation(files)
    return Source(path, relation, columns_of(con, relation), files=files, is_columnar=True)


def _files(path: str) -> tuple[Path, ...]:
    found = Path(path)
    if found.is_dir():
        files = sorted(p for p in found.rglob("*") if locate.is_data(p, found))
    elif not found.exists() and any(sign in path for sign in "*?["):
        files = sorted(p for p in map(Path, glob.glob(path, recursive=True)) if p.is_file())
    else:
        return (locate.existing(found),)
    if not files:
        raise SourceError.of(
            found=f"{path} holds no file of a known format", needed=locate.ACCEPTED, do="Check the path"
        )
    return tuple(files)


def _open_database(con: duckdb.DuckDBPyConnection, path: str) -> Source:
    file, _, table = path.partition("::")
    locate.existing(Path(file))
    alias = "source_" + "".join(character if character.isalnum() else "_" for character in file)
    with readable(file):
        con.execute(f"ATTACH IF NOT EXISTS {locate.sql_text(file)} AS {quote_name(alias)} (READ_ONLY)")
    rows = con.execute(
        "SELECT table_schema, table_name FROM information_schema.tables WHERE table_catalog = ? ORDER BY ALL", [alias]
    ).fetchall()
    names = {name if schema == "main" else f"{schema}.{name}": (schema, name) for schema, name in rows}
    if table not in names:
        raise locate.no_table(file, table, list(names))
    relation = ".".join(map(quote_name, (alias, *names[table])))
    return Source(path, relation, columns_of(con, relation))


def _open_table(con: duckdb.DuckDBPyConnection, name: str, tables: Mapping[str, object]) -> Source:
    if name not in tables:
        raise SourceError.of(
            found=f"No table {name!r} was handed over (there are: {', '.join(tables) or 'none'})",
            needed=f"The config names it as {IN_MEMORY}{name}",
            do=f"Call with tables={{{name!r}: frame}}",
        )
    alias = f"{IN_MEMORY}{name}"
    con.register(alias, as_arrow(tables[name], name))
    return Source(alias, quote_name(alias), columns_of(con, quote_name(alias)))


def as_arrow(table: Any, name: str) -> pa.Table:
    """Return a pandas, Polars or Arrow table as Arrow; a NaN of pandas is a missing value there.

    Raises
    ------
    SourceError
        It is no table, or a column mixes types.
    """
    if isinstance(table, pa.Table):
        return table
    if hasattr(table, "to_arrow"):
        return table.to_arrow()
    try:
        return pa.Table.from_pandas(table, preserve_index=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise SourceError.of(
            found=f"The table {name!r} has a column of mixed types ({error.args[0]})",
            needed="One type for each column is needed",
            do="Turn that column into text with .astype(str)",
        ) from error
    except (AttributeError, TypeError) as error:
        raise SourceError.of(
            found=f"The table {name!r} is of type {type(table).__name__}",
            needed="A pandas, Polars or Arrow table is needed",
            do="Convert it",
        ) from error


def _address(path: str) -> SourceError:
    """Return the error for an address: the one place where PostgreSQL and stores of objects will come in."""
    scheme = path.partition("://")[0]
    if scheme in ("postgres", "postgresql"):
        return SourceError.of(
            found=f"{scheme}:// names a PostgreSQL table, which comes later",
            needed=locate.ACCEPTED,
            do="Copy the table to a file: COPY events TO 'events.csv' (FORMAT csv, HEADER)",
        )
    return SourceError.of(
        found=f"{scheme}:// is an address that cannot be read", needed=locate.ACCEPTED, do="Download the log first"
    )


def _empty(name: str) -> SourceError:
    return SourceError.of(found=f"{name} is empty", needed="A log with rows is needed", do="Export it again")


def columns_of(con: duckdb.DuckDBPyConnection, relation: str) -> tuple[str, ...]:
    """Return the columns of a relation."""
    return tuple(row[0] for row in con.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall())


def estimated_rows(con: duckdb.DuckDBPyConnection, source: Source) -> int:
    """Return about how many rows a source has, from its sizes alone: the same for the same source."""
    if not source.files:
        return whole_numbers(con, f"SELECT count(*) FROM {source.relation}")[0]
    if source.is_columnar:
        listed = ", ".join(map(locate.sql_text, source.files))
        return whole_numbers(con, f"SELECT sum(num_rows) FROM parquet_file_metadata([{listed}])")[0]
    return sum(map(estimated_lines, source.files))
