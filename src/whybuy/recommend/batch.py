"""Build what answers need, and answer everybody.

Building makes three passes over the shards (facts of items, the opportunities, what is known of people), more where
lifts are told by person, and leaves a few tables whose size is that of the catalog, and files of people that are read
a user at a time. Answering everybody reads those tables and the events, shard by shard; ``answerer`` answers one user.
"""

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from whybuy import columns as c
from whybuy.config import Config
from whybuy.errors import WorkspaceError
from whybuy.events.log import EventLog
from whybuy.progress import Report, quiet
from whybuy.recommend.answerer.people import write_people
from whybuy.recommend.candidates import load_places, load_touched
from whybuy.recommend.catalog import load_facts, load_items
from whybuy.recommend.lift import load_lifts
from whybuy.recommend.moves import load_effects, moved_sql
from whybuy.recommend.personal.asked import Asker, learn_from_log
from whybuy.recommend.personal.showing import estimate_showing
from whybuy.recommend.personal.store import is_saved
from whybuy.recommend.ranking import ANSWER_COLUMNS, load_ranked
from whybuy.recommend.samples import write_samples
from whybuy.recommend.store import connection, load_events, quoted, write_query
from whybuy.recommend.tables import TABLES, check_built, check_k, notes_of
from whybuy.recommend.terms import Terms, terms_of
from whybuy.recommend.wanted import load_wanted


def build(log: EventLog, effects_path: Path, config: Config, folder: Path, *, report: Report = quiet) -> None:
    """Write into ``folder`` what answers need, and ``samples.json`` for the report.

    Parameters
    ----------
    effects_path : ``effects.json`` of the confirm stage
    folder : made if absent; its earlier tables are replaced

    Raises
    ------
    WorkspaceError
        The effects cannot be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with connection(folder) as (con, scratch):
        load_items(con, log)
        terms = terms_of(con, log, config)
        terms = load_learned(con, log, terms, scratch=scratch, report=report)
        learn_from_log(con, log, terms, folder, scratch, report)
        load_effects(con, effects_path, terms)
        write_people(con, log, terms, folder, acts=is_saved(folder), report=report)
        for table in TABLES:
            write_query(con, f"SELECT * FROM {table} ORDER BY ALL", folder / f"{table}.parquet")
    terms.save(folder)
    write_samples(folder, log, k=config.recommend.k)


def load_learned(
    con: duckdb.DuckDBPyConnection, log: EventLog, terms: Terms, *, scratch: Path, report: Report
) -> Terms:
    """Make what answers need of a log, but for effects and lifts by person; return its terms, narrowed."""
    load_facts(con, log, terms, report)
    terms = estimate_showing(con, log, terms, scratch, report)
    terms = load_lifts(con, log, terms, scratch, report)
    load_places(con, terms)
    return terms


def recommend_all(
    folder: Path,
    log: EventLog,
    k: int,
    output: Path,
    *,
    users: Path | None = None,
    report: Report = quiet,
) -> Path:
    """Write ``k`` rows for every user with a kept event, or for every user of a file of ids, as Parquet; return its
    path.

    Fewer rows only where fewer than ``k`` items are on sale: the note of the progress report and the file's metadata
    (``whybuy``) then say so. Ids of ``users`` without an event get the answer for anyone unknown, at the end.

    Parameters
    ----------
    users : ids, one a line (.txt), or the column ``user_id`` (.csv, .parquet); all users where absent

    Raises
    ------
    QuestionError
        ``k`` is not positive.
    WorkspaceError
        ``folder`` holds no recommendations, or ``output`` cannot be written.
    SourceError, ColumnsError
        ``users`` cannot be read, or has no column of ids.
    """
    output = Path(output)
    with connection() as (con, _):
        terms = _open(con, folder, k)
        if users is not None:
            load_wanted(con, users)
        note = " ".join(_notes(con, terms, k))
        asker = Asker.of(folder, terms)
        parts = _answers(con, [(shard,) for shard in log.shards], terms, k, asker, wanted=users is not None)
        try:
            _write(parts, output, note=note, total=len(log.shards), report=report)
        except OSError as error:
            raise WorkspaceError.of(
                found=f"{output} cannot be written ({error})",
                needed="a writable place with room for the recommendations is needed",
                do="Name another --output or free some space",
            ) from error
    return output


def _open(con: duckdb.DuckDBPyConnection, folder: Path, k: int) -> Terms:
    check_k(k)
    check_built(folder)
    for table in TABLES:
        path = quoted(folder / f"{table}.parquet")
        con.execute(f"CREATE TABLE {table} AS SELECT * FROM read_parquet({path})")
    return Terms.open(folder)


def _answers(
    con: duckdb.DuckDBPyConnection,
    groups: list[tuple[Path, ...]],
    terms: Terms,
    k: int,
    asker: Asker,
    *,
    wanted: bool,
) -> Iterator[pa.Table]:
    """Yield the ranked rows of every group of shards (perhaps none), then those of wanted people without an event."""
    for shards in groups:
        n = load_events(con, shards, only="wanted" if wanted else "")
        yield _answers_of_people(con, terms, k, n, asker)
        if wanted:
            con.execute(f"DELETE FROM wanted WHERE {c.USER} IN (SELECT {c.USER} FROM people)")
    if wanted:
        con.execute("DELETE FROM ev")
        con.execute(
            f"""CREATE OR REPLACE TEMP TABLE people AS
                SELECT CAST(row_number() OVER (ORDER BY {c.USER}) - 1 AS INTEGER) AS u, {c.USER} FROM wanted"""
        )
        n = con.execute("SELECT count(*) FROM people").fetchall()[0][0]
        yield _answers_of_people(con, terms, k, int(n), asker)


def _answers_of_people(con: duckdb.DuckDBPyConnection, terms: Terms, k: int, n_people: int, asker: Asker) -> pa.Table:
    """Return the ranked rows of the people of the table ``people``, whose events are in ``ev``."""
    load_touched(con, terms)
    con.execute(moved_sql(terms))
    asker = asker.about(con)
    parts = [_SCHEMA.empty_table()]
    for first in range(0, n_people, asker.people_at_once):
        load_ranked(con, terms, asker, people=(first, first + asker.people_at_once), k=k)
        found = con.sql(f"SELECT {', '.join(ANSWER_COLUMNS)} FROM ranked ORDER BY u, rank").to_arrow_table()
        parts.append(found.cast(_SCHEMA))
    return pa.concat_tables(parts)


_F, _S = pa.float64(), pa.string()
_TYPES = (_S, pa.int32(), _S, _F, _F, _F, _F, _S, _S, _S, _F)
_SCHEMA = pa.schema(list(zip(ANSWER_COLUMNS, _TYPES, strict=True)))


def _notes(con: duckdb.DuckDBPyConnection, terms: Terms, k: int) -> tuple[str, ...]:
    n_sale, n_items = con.execute("SELECT (SELECT count(*) FROM places), (SELECT count(*) FROM items)").fetchall()[0]
    return notes_of(terms, n_on_sale=n_sale, n_items=n_items, k=k)


def _write(parts: Iterator[pa.Table], output: Path, *, note: str, total: int, report: Report) -> None:
    output.parent.mkdir(parents=True, exist_ok=True)
    temporary = output.with_name(f".{output.name}.part")
    schema = _SCHEMA.with_metadata({"whybuy": note})
    try:
        with pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
            for done, part in enumerate(parts):
                if len(part):
                    writer.write_table(part.cast(schema))
                report("recommend", min(done + 1, total), total, note)
        temporary.replace(output)
    finally:
        temporary.unlink(missing_ok=True)
