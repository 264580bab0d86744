"""Build what answers need, answer one user, answer everybody.

Building makes two passes over the shards (facts of items, then the opportunities) and leaves a few tables whose size is
that of the catalog. Answering reads those tables and the events of the people asked about, shard by shard: one
user and all users take the same path, so their answers are the same.
"""

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from whybuy import columns as c
from whybuy.config import Config
from whybuy.errors import QuestionError, WorkspaceError
from whybuy.events.log import EventLog
from whybuy.progress import Report, quiet
from whybuy.recommend.answer import Recommendation, Recommendations
from whybuy.recommend.candidates import load_places, load_touched
from whybuy.recommend.catalog import load_facts, load_items
from whybuy.recommend.lift import load_lifts
from whybuy.recommend.moves import load_effects, moved_sql
from whybuy.recommend.personal.asked import Asker, learn_from_log
from whybuy.recommend.personal.showing import estimate_showing
from whybuy.recommend.ranking import ANSWER_COLUMNS, load_ranked
from whybuy.recommend.store import connection, load_events, quoted, write_query
from whybuy.recommend.terms import Terms, terms_of
from whybuy.recommend.wanted import load_wanted

_TABLES = ("items", "lifts", "exposed", "followers", "places", "effects", "effect_shares")


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
    from whybuy.recommend.samples import write_samples

    folder.mkdir(parents=True, exist_ok=True)
    with connection(folder) as (con, scratch):
        load_items(con, log)
        terms = terms_of(con, log, config)
        load_facts(con, log, terms, report)
        terms = estimate_showing(con, log, terms, scratch, report)
        terms = load_lifts(con, log, terms, scratch, report)
        learn_from_log(con, log, terms, folder, scratch, report)
        load_places(con)
        load_effects(con, effects_path, terms)
        for table in _TABLES:
            write_query(con, f"SELECT * FROM {table} ORDER BY ALL", folder / f"{table}.parquet")
    terms.save(folder)
    write_samples(folder, log, k=config.recommend.k)


def recommend_user(folder: Path, log: EventLog, user_id: str, k: int) -> Recommendations:
    """Return the ``k`` items for one user; someone without an event gets the answer for anyone unknown, which says so.

    Raises
    ------
    QuestionError
        ``k`` is not positive.
    WorkspaceError
        ``folder`` holds no recommendations.
    """
    return recommend_users(folder, log, [user_id], k)[0]


def recommend_users(folder: Path, log: EventLog, user_ids: list[str], k: int) -> list[Recommendations]:
    """Return the answers for a handful of users, in their order; see :func:`recommend_user`."""
    with connection() as (con, _):
        terms = _open(con, folder, k)
        con.execute(
            f"CREATE TEMP TABLE wanted AS SELECT unnest($ids) AS {c.USER}", {"ids": list(dict.fromkeys(user_ids))}
        )
        asker = Asker.of(folder, terms)
        answers = pa.concat_tables(list(_answers(con, [log.shards], terms, k, asker, wanted=True)))
        notes = _notes(con, terms, k)
    rows: dict[str, list[Recommendation]] = {user: [] for user in user_ids}
    for row in answers.to_pylist():
        user = row.pop(c.USER)
        rows[user].append(Recommendation(basis=terms.basis, **row))
    return [
        Recommendations(user_id=user, horizon=terms.horizon, items=tuple(rows[user]), notes=notes) for user in user_ids
    ]


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
    if k < 1:
        raise QuestionError.of(
            found=f"{k} recommendations were asked for", needed="At least 1 is needed", do="Ask with -k 10"
        )
    missing = [name for name in (*_TABLES, "terms") if not list(folder.glob(f"{name}.*"))]
    if missing:
        raise WorkspaceError.of(
            found=f"{folder} lacks {', '.join(missing)}",
            needed="the tables of the recommend stage are needed",
            do="Run `whybuy run` first",
        )
    for table in _TABLES:
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


_F = pa.float64()
_TYPES = (pa.string(), pa.int32(), pa.string(), _F, _F, _F, _F, pa.string(), _F)
_SCHEMA = pa.schema(list(zip(ANSWER_COLUMNS, _TYPES, strict=True)))


def _notes(con: duckdb.DuckDBPyConnection, terms: Terms, k: int) -> tuple[str, ...]:
    n_sale, n_items = con.execute("SELECT (SELECT count(*) FROM places), (SELECT count(*) FROM items)").fetchall()[0]
    notes = [f"{note[0].upper()}{note[1:]}." for note in terms.notes]
    if n_sale < k:
        notes.append(f"{k} items were asked for; {n_sale} of the {n_items} in the catalog are on sale.")
    return tuple(notes)


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
