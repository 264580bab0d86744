"""The second pass over a log: one bucket after the other is cleaned, counted and written as a shard.

A bucket is small, so that one core is busy with it: several are cleaned at once, each on a connection of its own to the
one database that holds the sums. DuckDB evaluates the cleaning expression for the places of rows only: which are kept,
in which order, with which moment and session. It so sorts a few narrow columns, and the rows themselves are taken from
the bucket in that order by Arrow.
"""

from dataclasses import replace
from pathlib import Path

import duckdb
import ibis
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from whybuy import columns as c
from whybuy.events.buckets import Buckets
from whybuy.events.catalog import register_pseudonyms, tally_shard
from whybuy.events.clean import DUPLICATE, KEPT, Rules, judge_users
from whybuy.events.duck import sql_of
from whybuy.events.rejected import reject_suspects
from whybuy.events.tally import tally_facts

_ROW_GROUP = 125_000
_INDEX = "row_of_bucket"
_REPEATED = (c.USER, c.ACTION, c.ITEM, c.CATEGORY, c.SESSION, c.CURRENCY, c.CAMPAIGN, c.ARM, c.QUERY)
_TYPES = dict.fromkeys((c.RATING, c.PRICE, c.QUANTITY, c.PROPENSITY), pa.float64()) | {c.SLOT: pa.int32()}


class Cleaner:
    """Turns buckets into shards.

    Parameters
    ----------
    buckets : the rows, judged one by one
    present : columns of the contract that any source fills
    rules : the rules of cleaning
    key : the key of pseudonyms, or None where users keep their ids
    folder : where shards are written
    """

    def __init__(self, buckets: Buckets, present: set[str], rules: Rules, key: bytes | None, folder: Path) -> None:
        self._buckets = buckets
        self._present = present
        self._key = key
        self._folder = folder
        self._rules = rules
        self._queries: dict[bool, str] = {}

    def clean(self, con: duckdb.DuckDBPyConnection, number: int) -> Path | None:
        """Clean a bucket, add it to the sums and write its events; return where, or None where there are none."""
        bucket = self._buckets.read(number)
        if bucket is None:
            return None
        bucket = bucket.combine_chunks()
        con.register("bucket", bucket.append_column(_INDEX, pa.array(np.arange(len(bucket), dtype=np.int32))))
        if self._key is not None:
            register_pseudonyms(con, pc.unique(bucket[c.USER]).to_pylist(), self._key)
        needs_gaps = c.SESSION not in self._present or bucket[c.SESSION].null_count > 0
        marks = con.sql(self._query(needs_gaps=needs_gaps)).to_arrow_table()
        rows = self._rows(bucket, marks)
        n_kept, n_merged = (pc.sum(marks[name]).as_py() or 0 for name in (KEPT, DUPLICATE))
        con.execute("INSERT INTO row_counts VALUES (?, ?)", [n_kept, n_merged])
        if n_kept + n_merged < len(rows):
            con.register("others", rows.slice(n_kept))
            reject_suspects(con, "others", self._present, hide_user=self._key is not None)
        path = self._write(con, rows.slice(0, n_kept), number) if n_kept else None
        con.close()
        self._buckets.remove(number)
        return path

    def _rows(self, bucket: pa.Table, marks: pa.Table) -> pa.Table:
        """Return the rows of the bucket in the order of the marks, with all columns of a shard."""
        rows = bucket.take(marks[_INDEX])
        columns = {name: rows[name] for name in rows.column_names}
        columns |= {name: marks[name] for name in marks.column_names if name != _INDEX}
        for name in c.SHARD_COLUMNS:
            if name not in columns:
                columns[name] = pa.nulls(len(rows), _TYPES.get(name, pa.string()))
        return pa.table(columns)

    def _write(self, con: duckdb.DuckDBPyConnection, kept: pa.Table, number: int) -> Path:
        con.register("kept", kept)
        tally_facts(con, events="kept", bucket="bucket", present=self._present)
        tally_shard(con, "kept", self._present)
        path = self._folder / f".bucket-{number:05d}.parquet"
        shard = kept.select(list(c.SHARD_COLUMNS))
        if self._present >= {c.ITEM, c.CATEGORY}:
            # The category of an item belongs to the table of items; an event without item keeps its own.
            own = pc.if_else(pc.is_null(kept[c.ITEM]), kept[c.CATEGORY], pa.scalar(None, pa.string()))
            shard = shard.set_column(c.SHARD_COLUMNS.index(c.CATEGORY), c.CATEGORY, own)
        pq.write_table(shard, path, compression="zstd", use_dictionary=list(_REPEATED), row_group_size=_ROW_GROUP)
        return path

    def _query(self, *, needs_gaps: bool) -> str:
        """Return the SQL of the marks of a bucket: those of kept events first, sorted by user and time.

        Gaps are looked for only where a session is missing: the same answer for less work.
        """
        if needs_gaps not in self._queries:
            rules = self._rules if needs_gaps else replace(self._rules, gap_ms=None)
            self._queries[needs_gaps] = self._marks(rules, with_session=needs_gaps or self._key is not None)
        return self._queries[needs_gaps]

    def _marks(self, rules: Rules, *, with_session: bool) -> str:
        schema = ibis.schema({**dict(ibis.Schema.from_pyarrow(self._buckets.schema()).items()), _INDEX: "int32"})
        cleaned = f"({sql_of(judge_users(ibis.table(schema, name='bucket'), rules))}) AS e"
        user, session = f"e.{c.USER}", f"e.{c.SESSION}"
        columns = [f"e.{name}" for name in (_INDEX, c.MOMENT, c.REASON, DUPLICATE, KEPT)]
        if self._key is not None:
            cleaned += f" JOIN pseudonyms ON e.{c.USER} = known_as"
            # Where the session stands for the user, its id says who the user is.
            user, session = "pseudonym", f"CASE WHEN {session} = known_as THEN pseudonym ELSE {session} END"
            columns.append(f"{user} AS {c.USER}")
        if with_session:
            columns.append(f"{session} AS {c.SESSION}")
        order = f"{KEPT} DESC, {user}, e.{c.TIME_MS}, e.{c.SOURCE}, e.{c.ROW}"
        return f"SELECT {', '.join(columns)} FROM {cleaned} ORDER BY {order}"
