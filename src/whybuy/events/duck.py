"""Small ways of talking to DuckDB: a row, a relation as an Ibis table, an Ibis table as SQL.

Ibis is the language of the expressions and DuckDB's own connection runs them: every row asked for is fetched, because a
connection with an unfinished result refuses further work.
"""

from typing import Any

import duckdb
import ibis
import ibis.expr.types as ir
import pyarrow as pa


def first_row(
    con: duckdb.DuckDBPyConnection, query: str, parameters: list[Any] | None = None
) -> tuple[Any, ...] | None:
    """Return the first row of a query, or None."""
    rows = con.execute(query, parameters or []).fetchall()
    return rows[0] if rows else None


def whole_numbers(con: duckdb.DuckDBPyConnection, query: str) -> tuple[int, ...]:
    """Return the one row of a query of whole numbers; a sum over nothing is 0."""
    row = first_row(con, query)
    return tuple(int(value or 0) for value in row or ())


def table_of(con: duckdb.DuckDBPyConnection, relation: str) -> ir.Table:
    """Return a relation of ``con`` as an unbound table of Ibis."""
    empty: pa.Table = con.sql(f"SELECT * FROM {relation} LIMIT 0").to_arrow_table()
    return ibis.table(ibis.Schema.from_pyarrow(empty.schema), name=relation)


def sql_of(table: ir.Table) -> str:
    """Return an Ibis table as DuckDB's SQL."""
    return str(ibis.to_sql(table, dialect="duckdb"))
