"""The users named in a file of ids."""

from pathlib import Path

import duckdb

from whybuy import columns as c
from whybuy.errors import ColumnsError, SourceError
from whybuy.recommend.store import quoted

_READERS = {
    ".csv": "read_csv({path}, header = true, all_varchar = true)",
    ".parquet": "read_parquet({path})",
    ".txt": (
        "read_csv({path}, header = false, all_varchar = true, delim = '\x01', quote = '', escape = '', "
        "names = [{name}])"
    ),
}


def load_wanted(con: duckdb.DuckDBPyConnection, path: Path) -> int:
    """Make the table ``wanted`` of the distinct ids in ``path``; return how many.

    Raises
    ------
    SourceError
        The file is missing, cannot be read, or is of another kind.
    ColumnsError
        It has no column ``user_id``.
    """
    reader = _READERS.get(path.suffix.casefold())
    if reader is None or not path.is_file():
        raise SourceError.of(
            found=f"{path} is {'not there' if reader else 'neither .txt, .csv nor .parquet'}",
            needed=f"a file of user ids is needed: one a line (.txt), or a column {c.USER} (.csv, .parquet)",
            do="Name such a file with --users",
        )
    source = reader.format(path=quoted(path), name=quoted(c.USER))
    try:
        names = [row[0] for row in con.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()]
        if c.USER not in names:
            raise ColumnsError.missing([c.USER], names, where=str(path))
        con.execute(
            f"""CREATE OR REPLACE TEMP TABLE wanted AS
                SELECT DISTINCT trim(CAST({c.USER} AS VARCHAR)) AS {c.USER} FROM {source}
                WHERE trim(CAST({c.USER} AS VARCHAR)) <> ''"""
        )
    except duckdb.Error as error:
        raise SourceError.of(
            found=f"{path} cannot be read ({str(error).splitlines()[0]})",
            needed=f"user ids, one a line (.txt) or in a column {c.USER} (.csv, .parquet), are needed",
            do="Correct the file or name another with --users",
        ) from error
    return int(con.execute("SELECT count(*) FROM wanted").fetchall()[0][0])
