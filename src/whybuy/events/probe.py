"""A first look at sources of which nothing is known yet: which tables there are, their columns and a few thousand rows.

`whybuy init` must answer within seconds on any log, so nothing here reads a large file whole: the head of a table is
its first 5,000 rows; what needs the whole span of time (percentiles, rare actions) reads two columns, and of large
sources only a sample: random rows of a columnar one, blocks spread evenly over a text file, the first part of a
compressed one.
Columns of CSV files are read as text, as the reader of events does, so that ids keep their zeros.
"""

import glob
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb

from whybuy.errors import SourceError
from whybuy.events.locate import (
    ACCEPTED,
    Format,
    absolute,
    existing,
    format_of,
    glob_of,
    is_data,
    no_table,
    parquet_relation,
    refuse_foreign,
    spread_lines,
    sql_text,
    unreadable,
)
from whybuy.events.presets import quote_name
from whybuy.events.text_files import UNREADABLE, csv_relation, json_relation

HEAD_ROWS = 5_000
WHOLE_BYTES = 64 * 2**20
"""Text files up to this size are read whole for percentiles (about a second); larger ones by blocks."""
WHOLE_ROWS = 1_000_000
"""Columnar tables up to this many rows are read whole for percentiles; of larger ones, a random sample."""
_BLOCKS = 100
_GZIP_RATIO = 6  # CSV logs shrink to about a sixth


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Some files of one format and the same columns, or one table of a database.

    Attributes
    ----------
    path : how the config names the table: an absolute file, folder, glob, or ``file.duckdb::table``
    files : the files behind it
    relation : the table in SQL, to stand after FROM
    columns : source column -> DuckDB type, in order
    rows : rows in the head
    head : the name of the temporary table with the first rows
    """

    path: str
    files: tuple[Path, ...]
    format: Format
    relation: str
    columns: dict[str, str]
    rows: int
    head: str

    @property
    def headless(self) -> bool:
        """Whether the file has no header line, so that the columns are named ``column0``, ``column1`` and so on."""
        return self.format == "csv" and all(name.startswith("column") and name[6:].isdigit() for name in self.columns)

    @property
    def name(self) -> str:
        """The file's or table's name without its folder, for people; several files go by the first."""
        return self.files[0].name if self.format != "duckdb" else self.path.rpartition("::")[2]

    @property
    def stem(self) -> str:
        """The name without its ending, for hints of what the table holds."""
        return self.name.split(".")[0] if self.format != "duckdb" else self.name


class Probe:
    """A DuckDB connection with the heads of the tables looked at; make one with :func:`open_probe`."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, scratch: Path) -> None:
        self._connection = connection
        self._scratch = scratch
        self._serial = 0
        self.skipped: list[str] = []
        """What was passed over in folders, in words."""

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        try:
            return self._connection.execute(sql).fetchall()
        except (duckdb.IOException, duckdb.InvalidInputException, duckdb.OutOfMemoryException) as error:
            raise unreadable(Path("the log"), error) from error

    def types(self, sql: str) -> dict[str, str]:
        """Return column -> type of a query without running it."""
        return {row[0]: str(row[1]) for row in self.rows(f"DESCRIBE {sql}")}

    def tables(self, source: str | Path) -> list[Table]:
        """Return the tables of ``source``: one for each set of columns met.

        Raises
        ------
        SourceError
            Nothing is there, or nothing in it can be read as a table with rows.
        """
        text = str(source)
        if "://" in text:
            raise SourceError.of(
                found=f"{text} is an address", needed=ACCEPTED, do="Copy the table to a file and name that"
            )
        if "::" in text:
            file, _, name = text.partition("::")
            wanted = [table for table in self._database(existing(Path(file))) if table.path.endswith(f"::{name}")]
            if not wanted:
                raise no_table(file, name, self._names(Path(file)))
            return wanted
        path = Path(text)
        if path.is_dir():
            return self._folder(path, sorted(p for p in path.rglob("*") if is_data(p, path)))
        if not path.exists() and any(sign in text for sign in "*?["):
            return self._folder(path, sorted(Path(p) for p in glob.glob(text, recursive=True) if Path(p).is_file()))
        file_ = existing(path)
        return self._database(file_) if format_of(file_) == "duckdb" else [self._file(file_)]

    def spread(self, table: Table) -> str:
        """Return SQL after FROM with rows from all over ``table``: all of them, or a sample of a large one."""
        if table.format in ("parquet", "duckdb"):
            n_rows = int(self.rows(f"SELECT count(*) FROM {table.relation}")[0][0])
            if n_rows <= WHOLE_ROWS:
                return table.relation
            percent = 100 * WHOLE_ROWS / n_rows
            return f"(SELECT * FROM {table.relation} USING SAMPLE {percent:.9f} PERCENT (bernoulli, 7))"
        weights = [p.stat().st_size * (_GZIP_RATIO if p.suffix == ".gz" else 1) for p in table.files]
        if sum(weights) <= WHOLE_BYTES:
            return table.relation
        self._serial += 1
        sample = self._scratch / f"sample-{self._serial}{'.jsonl' if table.format == 'json' else '.csv'}"
        with sample.open("wb") as out:
            for number, (path, weight) in enumerate(zip(table.files, weights, strict=True)):
                lines = spread_lines(path, max(2, round(_BLOCKS * weight / sum(weights))))
                first = next(lines, b"")
                if number == 0 or table.format == "json" or table.headless:
                    out.write(first)
                out.writelines(lines)
        return self._relation((sample,), table.format)

    def _folder(self, path: Path, files: list[Path]) -> list[Table]:
        found: list[Table] = []
        errors: list[SourceError] = []
        shapes: set[tuple[str, ...]] = set()
        for file in files:
            try:
                met = self._database(file) if format_of(file) == "duckdb" else [self._file(file)]
            except SourceError as error:
                errors.append(error)
                continue
            for table in met:
                if shape_of(table) in shapes:  # one head is enough: a folder may hold thousands of files
                    self.rows(f"DROP TABLE {table.head}")
                shapes.add(shape_of(table))
            found += met
        if not found:
            if len(errors) == 1:
                raise errors[0]
            why = f": {errors[0]}" if errors else ""
            raise SourceError.of(
                found=f"{path} holds no readable table{why}", needed=ACCEPTED, do="Name the log's file or folder"
            )
        self.skipped += [f"passed over: {error}" for error in errors]
        return [self._together(same, path, files) for same in _by_shape(found)]

    def _together(self, same: list[Table], folder: Path, files: list[Path]) -> Table:
        """Return tables of one shape as one: by the folder or a glob where that names exactly them."""
        if len(same) == 1:
            return same[0]
        parts = tuple(file for table in same for file in table.files)
        pattern = str(absolute(folder)) if len(parts) == len(files) else glob_of(parts)
        return replace(same[0], path=pattern, files=parts, relation=self._relation(parts, same[0].format))

    def apart(self, table: Table) -> list[Table]:
        """Return the files of ``table`` as tables of their own."""
        return [table] if len(table.files) == 1 else [self._file(file) for file in table.files]

    def _file(self, file: Path) -> Table:
        if file.stat().st_size == 0:
            raise SourceError.of(found=f"{file} is empty", needed="A file with rows is needed", do="Export it again")
        refuse_foreign(file)
        return self._table(str(absolute(file)), (file,), format_of(file))

    def _database(self, file: Path) -> list[Table]:
        names = self._names(file)
        if not names:
            raise SourceError.of(
                found=f"{file} holds no table", needed="A table of events is needed", do="Name another file"
            )
        return [self._table(f"{absolute(file)}::{name}", (file,), "duckdb") for name in names]

    def _names(self, file: Path) -> list[str]:
        alias = self._attach(file)
        rows = self.rows(
            "SELECT schema_name, table_name FROM duckdb_tables() "
            f"WHERE database_name = '{alias}' UNION ALL SELECT schema_name, view_name FROM duckdb_views() "
            f"WHERE database_name = '{alias}' AND NOT internal ORDER BY ALL"
        )
        return [name if schema == "main" else f"{schema}.{name}" for schema, name in rows]

    def _attach(self, file: Path) -> str:
        alias = f"source_{abs(hash(str(file.resolve())))}"
        try:
            self._connection.execute(f"ATTACH IF NOT EXISTS {sql_text(file)} AS {alias} (READ_ONLY)")
        except duckdb.Error as error:
            raise unreadable(file, error) from error
        return alias

    def _relation(self, files: tuple[Path, ...], kind: Format, table: str = "") -> str:
        """Return files of one format as SQL to stand after FROM, as the reader of events opens them."""
        if kind == "duckdb":
            return f"{self._attach(files[0])}.{'.'.join(map(quote_name, table.split('.')))}"
        if kind == "parquet":
            return parquet_relation(files)
        if kind == "json":
            return json_relation(self._connection, files, ())[0]
        self._serial += 1
        return csv_relation(files, (), rejects=f"rejected_{self._serial}")[0]

    def _table(self, path: str, files: tuple[Path, ...], kind: Format) -> Table:
        relation = self._relation(files, kind, path.rpartition("::")[2])
        self._serial += 1
        head = f"head_{self._serial}"
        try:
            rows = f"SELECT * FROM {relation}"
            if kind == "json":
                rows = f"SELECT * EXCLUDE ({UNREADABLE}) FROM {relation} WHERE NOT {UNREADABLE}"
            self._connection.execute(f"CREATE TEMP TABLE {head} AS {rows} LIMIT {HEAD_ROWS}")
        except duckdb.Error as error:
            raise unreadable(path, error) from error
        columns = self.types(f"SELECT * FROM {head}")
        n_rows = int(self.rows(f"SELECT count(*) FROM {head}")[0][0])
        if n_rows == 0:
            raise SourceError.of(
                found=f"{path} has the columns {', '.join(columns)} and no rows",
                needed="At least one row is needed",
                do="Export it again",
            )
        return Table(path=path, files=files, format=kind, relation=relation, columns=columns, rows=n_rows, head=head)


@contextmanager
def open_probe() -> Iterator[Probe]:
    """Open a probe; its connection and temporary files go with the block."""
    with tempfile.TemporaryDirectory(prefix="whybuy-") as scratch, duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"SET temp_directory = {sql_text(Path(scratch))}")
        yield Probe(connection, Path(scratch))


def shape_of(table: Table) -> tuple[str, ...]:
    """Return what tables must share to be read as one: format and columns; a table of a database stands alone."""
    return (table.format, table.path if table.format == "duckdb" else "", *table.columns)


def _by_shape(tables: Iterable[Table]) -> list[list[Table]]:
    groups: dict[tuple[str, ...], list[Table]] = {}
    for table in tables:
        groups.setdefault(shape_of(table), []).append(table)
    return list(groups.values())
