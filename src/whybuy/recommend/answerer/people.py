"""What is known of every user at the log's end, written once and mapped into memory: a user's rows are a slice.

=========  =====================================================================================================
met        the items a user touched, with the state (``candidates.load_touched``); those shown to who touched none
moved      the numbers of the confirmed effects that the user's behaviors set going (``moves.moved_sql``)
acts       events with items, in the order of time; only for a lift model by person
=========  =====================================================================================================

Files are Arrow, not compressed, so that nothing is read but the pages asked for, and the system gives them back where
memory is short: a log of any length needs next to none. Parquet shards have row groups of 122,880 events, and
unpacking one takes longer than an answer may.
"""

from bisect import bisect_left
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from whybuy import columns as c
from whybuy.events.log import EventLog
from whybuy.progress import Report
from whybuy.recommend.candidates import load_touched
from whybuy.recommend.moves import moved_sql
from whybuy.recommend.personal.acts import ACTED_SQL, Acts
from whybuy.recommend.store import load_events
from whybuy.recommend.terms import Terms

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

PEOPLE, MET, MOVED, ACTS = "people", "met", "moved", "acts"

_QUERIES = {
    MET: """
        SELECT u, item, last_t, CAST(state AS TINYINT) AS state, just_bought, true AS touched FROM touched
        UNION ALL
        SELECT u, item, max(t), 0, false, false FROM ev ANTI JOIN touched USING (u)
        WHERE action = 'impression' AND item IS NOT NULL GROUP BY u, item
        ORDER BY u, item
    """,
    MOVED: "SELECT u, CAST(effect AS INTEGER) AS effect FROM moved ORDER BY u, effect",
    ACTS: ACTED_SQL,
}


def write_people(
    con: duckdb.DuckDBPyConnection, log: EventLog, terms: Terms, folder: Path, *, acts: bool, report: Report
) -> None:
    """Write what is known of the users of ``log``; reads ``items``, ``effects``.

    Parameters
    ----------
    acts : whether a lift model will ask about them
    """
    names = (MET, MOVED, ACTS) if acts else (MET, MOVED)
    (folder / f"{ACTS}.arrow").unlink(missing_ok=True)
    with ExitStack() as open_files:
        files = {name: open_files.enter_context(_RowsByUser(folder / f"{name}.arrow")) for name in names}
        parts = []
        for done, shard in enumerate(log.shards):
            load_events(con, [shard])
            load_touched(con, terms)
            con.execute(moved_sql(terms))
            users = con.sql(f"SELECT {c.USER} FROM people ORDER BY u").to_arrow_table()
            for name, file in files.items():
                rows = con.sql(_QUERIES[name]).to_arrow_table()
                first, n = file.append(rows, len(users))
                users = users.append_column(f"{name}_first", first).append_column(f"{name}_n", n)
            parts.append(users)
            report("recommend: people", done + 1, len(log.shards))
    people = pa.concat_tables(parts)
    _write(people.take(pc.sort_indices(people[c.USER])).combine_chunks(), folder / f"{PEOPLE}.arrow")


@dataclass
class _RowsByUser:
    """A file under way whose rows are those of one user after the other, whole or not there at all."""

    path: Path
    n_rows: int = 0
    writer: pa.ipc.RecordBatchFileWriter | None = None
    closing: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> "_RowsByUser":
        return self

    def append(self, rows: pa.Table, n_users: int) -> tuple[pa.Array, pa.Array]:
        """Add the rows of the next shard, in the order of ``u``; return each user's first row, and how many."""
        n = np.bincount(rows["u"].to_numpy(), minlength=n_users)
        rows = rows.drop_columns(["u"])
        if self.writer is None:
            self.writer = self.closing.enter_context(pa.ipc.new_file(_part_of(self.path), rows.schema))
        self.writer.write_table(rows.combine_chunks())
        first = self.n_rows + n.cumsum() - n
        self.n_rows += len(rows)
        return pa.array(first, pa.int64()), pa.array(n, pa.int32())

    def __exit__(self, kind: object, *_: object) -> None:
        self.closing.close()
        if kind is None:
            Path(_part_of(self.path)).replace(self.path)
        else:
            Path(_part_of(self.path)).unlink(missing_ok=True)


def _part_of(path: Path) -> str:
    return str(path.with_name(f".{path.name}.part"))


def _write(table: pa.Table, path: Path) -> None:
    with pa.ipc.new_file(_part_of(path), table.schema) as writer:
        writer.write_table(table)
    Path(_part_of(path)).replace(path)


@dataclass(frozen=True, eq=False)
class Person:
    """What is known of one user.

    Attributes
    ----------
    is_known : whether the log has an event
    item, last_ms, state, just_bought : (n,) the items touched, sorted; the last time; see ``load_touched``
    shown, shown_ms : (m,) where nothing was touched, the items that were shown, and the last time
    effects : (e,) numbers of the effects set going
    acts : None where no lift model asks
    """

    is_known: bool
    item: Ints
    last_ms: Ints
    state: Ints
    just_bought: Bools
    shown: Ints
    shown_ms: Ints
    effects: Ints
    acts: Acts | None


@dataclass(frozen=True, eq=False)
class People:
    """The files that :func:`write_people` wrote, mapped."""

    index: pa.Table
    met: pa.Table
    moved: pa.Table
    acts: pa.Table | None

    @classmethod
    def open(cls, folder: Path) -> "People":
        """Map the files of ``folder``."""
        acts = folder / f"{ACTS}.arrow"
        index, met, moved = (_mapped(folder / f"{name}.arrow") for name in (PEOPLE, MET, MOVED))
        return cls(index, met, moved, _mapped(acts) if acts.exists() else None)

    def __contains__(self, user_id: str) -> bool:
        """Return whether the log has an event of the user."""
        return self._row(user_id) is not None

    def __iter__(self) -> Iterator[str]:
        """Yield the ids of all users with an event, sorted."""
        return (one.as_py() for one in self._ids)

    def __len__(self) -> int:
        """Return the number of users with an event."""
        return len(self.index)

    def person(self, user_id: str) -> Person:
        """Return what is known of a user; nothing where the log has no event."""
        row = self._row(user_id)
        met, moved = self._rows(MET, self.met, row), self._rows(MOVED, self.moved, row)
        item, last, state = (np.asarray(met[name], np.int64) for name in ("item", "last_t", "state"))
        touched = np.asarray(met["touched"], bool)
        return Person(
            is_known=row is not None,
            item=item[touched],
            last_ms=last[touched],
            state=state[touched],
            just_bought=np.asarray(met["just_bought"], bool)[touched],
            shown=item[~touched],
            shown_ms=last[~touched],
            effects=np.asarray(moved["effect"], np.int64),
            acts=None if self.acts is None else _acts(self._rows(ACTS, self.acts, row)),
        )

    @cached_property
    def _ids(self) -> pa.StringArray:
        return self.index[c.USER].combine_chunks()

    def _row(self, user_id: str) -> int | None:
        ids = self._ids
        row = bisect_left(range(len(ids)), user_id, key=lambda place: ids[place].as_py())
        return row if row < len(ids) and ids[row].as_py() == user_id else None

    def _rows(self, name: str, table: pa.Table, row: int | None) -> dict[str, npt.NDArray[np.generic]]:
        first, n = (0, 0) if row is None else (self.index[f"{name}_{what}"][row].as_py() for what in ("first", "n"))
        part = table.slice(first, n)
        return {column: part[column].to_numpy() for column in part.column_names}


def _acts(rows: dict[str, npt.NDArray[np.generic]]) -> Acts:
    item, ts = (np.asarray(rows[name], np.int64) for name in ("item", "t"))
    return Acts(np.zeros_like(item), item, ts, np.asarray(rows["act"], np.int8))


def _mapped(path: Path) -> pa.Table:
    with pa.ipc.open_file(pa.memory_map(str(path))) as file:
        return file.read_all()
