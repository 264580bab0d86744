"""The items and users files of a log: those that were named, else those that lie beside the events.

A file beside the events is taken when it is a part of the same known log, or when its name says what it is
(``products.csv``, ``customers.parquet``), it has the key, one row for each key, and nothing of an event. What is taken
is said.
"""

import re
from pathlib import Path

from whybuy.columns import ACTION, ITEM, TIME, USER
from whybuy.errors import SourceError
from whybuy.events.draft import from_part
from whybuy.events.guess import guess_file
from whybuy.events.known import Labeled, label_of, spot
from whybuy.events.locate import is_data
from whybuy.events.names import fit, words_of
from whybuy.events.presets import quote_name
from whybuy.events.probe import Probe, Table
from whybuy.events.proposal import Mapping

_HINTS = {
    "items": re.compile(r"(item|product|article|movie|sku|good|book)s?|catalog(ue)?"),
    "users": re.compile(r"(user|customer|member|demographic|household|visitor|client|hh)s?|people"),
}
_JOINED = re.compile(r"campaigns?")
_KEYS = {"items": ITEM, "users": USER}
_UNIQUE = 0.95
_MANY = 60  # in a folder with more data files than this, nothing is looked for: it is not the log's own


def siblings(probe: Probe, table: Table) -> Labeled:
    """Return the tables beside a single one (in its folder, or its database) that are named like items or users."""
    if table.format == "duckdb":
        near = [t for t in probe.tables(table.files[0]) if t.path != table.path]
    else:
        folder = table.files[0].parent
        files = [path for path in sorted(folder.iterdir()) if is_data(path, folder) and path not in table.files]
        near = []
        for file in files if len(files) <= _MANY else []:
            if _hint(file.name.split(".")[0]):
                near += _tables(probe, file)
    return [(other, label_of(probe, other)) for other in near]


def _tables(probe: Probe, file: Path) -> list[Table]:
    """Return the tables of a file that nobody named: one that cannot be read is no hindrance, and is told."""
    try:
        return probe.tables(file)
    except SourceError as error:
        probe.skipped.append(f"passed over: {error}")
        return []


def _hint(stem: str) -> bool:
    return any(p.fullmatch(word) for word in words_of(stem) for p in (*_HINTS.values(), _JOINED))


def named(probe: Probe, source: str | Path, role: str) -> Mapping:
    """Return the mapping of the items or users file that the user named.

    Raises
    ------
    SourceError
        It cannot be read, or has no column for the item or the user.
    """
    table = probe.tables(source)[0]
    part = label_of(probe, table)
    mapping = from_part(table, part).mapping if part is not None and part.role == role else guess_file(table, role)
    if mapping is None:
        raise SourceError.of(
            found=f"{source} has the columns {', '.join(table.columns)}",
            needed=f"The {role} file needs a column {_KEYS[role]}",
            do=f"Rename its key to {_KEYS[role]}, or leave --{role} out",
        )
    return mapping


def spotted(probe: Probe, around: Labeled, role: str, *, log: str | None, taken: set[str]) -> Mapping | None:
    """Return the mapping of the items or users file found among the tables ``around``, or None."""
    free = [(table, part) for table, part in around if table.path not in taken]
    known = spot(free, log, role) if log is not None else None
    if known is not None:
        return from_part(*known).mapping
    return next((guess_file(table, role) for table, _ in free if is_file_of(probe, table, role)), None)


def is_file_of(probe: Probe, table: Table, role: str) -> bool:
    """Return whether a table of no known log is an items or users file: named so, keyed so, and without events."""
    if not any(_HINTS[role].fullmatch(word) for word in words_of(table.stem)):
        return False
    mapping = guess_file(table, role)
    foreign = USER if role == "items" else ITEM
    if mapping is None or any(fit(name, column) >= 60 for name in table.columns for column in (foreign, ACTION)):
        return False
    if any(fit(name, TIME) >= 90 for name in table.columns):
        return False
    key = quote_name(mapping.columns[_KEYS[role]])
    query = f"SELECT count(DISTINCT {key}) / count(*) FROM {table.head}"
    return float(probe.rows(query)[0][0]) >= _UNIQUE
