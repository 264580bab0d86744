"""The tables of items and users: what the events say of them, overridden by the files that describe them.

While shards are written, each adds what its events say: how often an item was met, the latest time of each value it was
seen with, how many events a user has. These sums are small and are merged at the end. Of several values of an item the
latest wins, of equally late ones the greatest, so that the order of reading decides nothing; a value of the items file
wins over all of them, and where it is null the events are asked.
"""

from collections.abc import Mapping
from pathlib import Path

import duckdb
import ibis
import pyarrow as pa

from whybuy import columns as c
from whybuy.config import Config, UsersConfig
from whybuy.errors import ColumnsError, ConfigError, nearest
from whybuy.events.duck import sql_of, table_of, whole_numbers
from whybuy.events.intake import Selection, make_view
from whybuy.events.locate import sql_text
from whybuy.events.map import number_of, text_of
from whybuy.events.presets import quote_name
from whybuy.events.read import Source, absolute, open_source
from whybuy.trust.privacy import pseudonyms

SEEN = (c.CATEGORY, c.BRAND, c.TITLE, c.PRICE)
"""Columns of items that events may carry."""
FIRST_MS, LAST_MS = "first_ms", "last_ms"
_RESERVED = (c.N_EVENTS, FIRST_MS, LAST_MS)
_TRUE, _FALSE = ("true", "t", "yes", "y", "1"), ("false", "f", "no", "n", "0")


def make_tallies(con: duckdb.DuckDBPyConnection) -> None:
    """Make the empty tables that shards add to."""
    con.execute(
        f"CREATE TABLE items_seen ({c.ITEM} VARCHAR, {c.CATEGORY} VARCHAR, {c.BRAND} VARCHAR, {c.TITLE} VARCHAR, "
        f"{c.PRICE} DOUBLE, n BIGINT, ms BIGINT)"
    )
    con.execute(
        f"CREATE TABLE user_counts ({c.USER} VARCHAR, {c.N_EVENTS} BIGINT, {FIRST_MS} BIGINT, {LAST_MS} BIGINT, "
        "n_moments BIGINT, n_sessions BIGINT)"
    )


def tally_shard(con: duckdb.DuckDBPyConnection, events: str, present: set[str]) -> None:
    """Add what the kept events of one shard, the relation ``events``, say of items and users."""
    if c.ITEM in present:
        seen = ", ".join([c.ITEM, *(name for name in SEEN if name in present)])
        con.execute(
            f"INSERT INTO items_seen BY NAME SELECT {seen}, count(*) AS n, max({c.TIME_MS}) AS ms FROM {events} "
            f"WHERE {c.ITEM} IS NOT NULL GROUP BY {seen}"
        )
    con.execute(
        f"INSERT INTO user_counts SELECT {c.USER}, count(*), min({c.TIME_MS}), max({c.TIME_MS}), max({c.MOMENT}) + 1, "
        f"count(DISTINCT {c.SESSION}) FROM {events} GROUP BY {c.USER}"
    )


def write_items(con: duckdb.DuckDBPyConnection, config: Config, tables: Mapping[str, object], path: Path) -> list[str]:
    """Write ``items.parquet``; return what was decided, in words."""
    notes = _read_items(con, config, tables)
    seen = ", ".join(f"arg_max({name}, (ms, {name})) FILTER ({name} IS NOT NULL) AS {name}" for name in SEEN)
    told = {name: f"coalesce(f.{name}, v.{name}) AS {name}" for name in (c.ITEM, *SEEN)}
    con.execute(
        f"""COPY (
            SELECT {told[c.ITEM]}, {told[c.CATEGORY]}, {told[c.BRAND]}, {told[c.PRICE]}, {told[c.TITLE]},
                f.{c.DESCRIPTION}, f.{c.AVAILABLE}, coalesce(n, 0) AS {c.N_EVENTS}
            FROM (SELECT {c.ITEM}, CAST(sum(n) AS BIGINT) AS n, {seen} FROM items_seen GROUP BY {c.ITEM}) AS v
            FULL JOIN items_told AS f ON v.{c.ITEM} = f.{c.ITEM}
            ORDER BY {c.N_EVENTS} DESC, {c.ITEM}
        ) TO {sql_text(path)} (FORMAT parquet, COMPRESSION zstd)"""
    )
    return notes


def _read_items(con: duckdb.DuckDBPyConnection, config: Config, tables: Mapping[str, object]) -> list[str]:
    """Make the table ``items_told`` of the items file: one row an item, the last one of the file."""
    texts = (c.ITEM, c.CATEGORY, c.BRAND, c.TITLE, c.DESCRIPTION)
    typed = ", ".join(f"{name} VARCHAR" for name in texts) + f", {c.PRICE} DOUBLE, {c.AVAILABLE} BOOLEAN"
    con.execute(f"CREATE TABLE items_told ({typed})")
    if config.items is None:
        return []
    entry = config.items
    source = open_source(con, absolute(config, entry.path), tables=tables, wanted=entry.columns.values())
    present = {*source.columns, *entry.derive}
    names = entry.columns or {name: name for name in c.ITEM_COLUMNS if name in present}
    if c.ITEM not in names and c.ITEM in present:
        names = {**names, c.ITEM: c.ITEM}
    if c.ITEM not in names:
        raise ColumnsError.missing([c.ITEM], source.columns, where=source.name)
    make_view(con, source, Selection(columns=names, derive=entry.derive, is_numbered=True), name="items_rows")
    rows = table_of(con, "items_rows")
    values = {name: text_of(rows[name]) for name in texts if name in names}
    if c.PRICE in names:
        price = number_of(rows[c.PRICE])
        values[c.PRICE] = ibis.ifelse(price >= 0, price, ibis.null("float64"))
    if c.AVAILABLE in names:
        word = text_of(rows[c.AVAILABLE]).strip().lower()
        values[c.AVAILABLE] = ibis.cases(
            (word.isin(_TRUE), True), (word.isin(_FALSE), False), else_=ibis.null("boolean")
        )
    query = sql_of(rows.select(**values, **{c.ROW: rows[c.ROW]}))
    con.execute(
        f"INSERT INTO items_told BY NAME SELECT * EXCLUDE ({c.ROW}) FROM ({query}) WHERE {c.ITEM} IS NOT NULL "
        f"QUALIFY row_number() OVER (PARTITION BY {c.ITEM} ORDER BY {c.ROW} DESC) = 1"
    )
    return _item_notes(con, source, query, names)


def _item_notes(con: duckdb.DuckDBPyConnection, source: Source, query: str, names: Mapping[str, str]) -> list[str]:
    categories = f"count(DISTINCT {c.CATEGORY})" if c.CATEGORY in names else "1"
    has_id = f"{c.ITEM} IS NOT NULL"
    repeated, unlike, without = whole_numbers(
        con,
        f"SELECT count(*) FILTER ({has_id} AND n > 1), count(*) FILTER ({has_id} AND k > 1), "
        f"sum(n) FILTER (NOT {has_id}) "
        f"FROM (SELECT {c.ITEM}, count(*) AS n, {categories} AS k FROM ({query}) GROUP BY {c.ITEM})",
    )
    notes = []
    if repeated:
        also = f" ({unlike:,} with different categories)" if unlike else ""
        notes.append(f"{source.name}: {repeated:,} item ids are repeated{also}; the last row of each was taken")
    if without:
        notes.append(f"{source.name}: {without:,} rows without an item id were left out")
    return notes


def write_users(
    con: duckdb.DuckDBPyConnection, config: Config, tables: Mapping[str, object], key: bytes | None, path: Path
) -> tuple[list[str], list[str]]:
    """Write ``users.parquet``; return the names of the users' attributes and what was decided, in words."""
    attributes, notes = _read_users(con, config, tables, key)
    check_protected(config, attributes)
    told = "".join(f", t.{quote_name(name)}" for name in attributes)
    con.execute(
        f"""COPY (
            SELECT coalesce(n.{c.USER}, t.{c.USER}) AS {c.USER}{told},
                coalesce(n.{c.N_EVENTS}, 0) AS {c.N_EVENTS}, n.{FIRST_MS}, n.{LAST_MS}
            FROM user_counts AS n FULL JOIN users_told AS t ON n.{c.USER} = t.{c.USER} ORDER BY {c.USER}
        ) TO {sql_text(path)} (FORMAT parquet, COMPRESSION zstd)"""
    )
    return attributes, notes


def _read_users(
    con: duckdb.DuckDBPyConnection, config: Config, tables: Mapping[str, object], key: bytes | None
) -> tuple[list[str], list[str]]:
    """Make the table ``users_told`` of the users file: one row a user, the last one of the file."""
    if config.users is None:
        con.execute(f"CREATE TABLE users_told ({c.USER} VARCHAR)")
        return [], []
    entry = config.users
    wanted = [*entry.columns.values(), *(entry.attributes or ())]
    source = open_source(con, absolute(config, entry.path), tables=tables, wanted=wanted)
    names = _user_columns(entry, source)
    make_view(con, source, Selection(columns=names, derive={}, is_numbered=True), name="users_rows")
    rows = table_of(con, "users_rows")
    query = sql_of(rows.select(**{name: text_of(rows[name]) for name in names}, **{c.ROW: rows[c.ROW]}))
    con.execute(
        f"CREATE TABLE users_told AS SELECT * EXCLUDE ({c.ROW}) FROM ({query}) WHERE {c.USER} IS NOT NULL "
        f"QUALIFY row_number() OVER (PARTITION BY {c.USER} ORDER BY {c.ROW} DESC) = 1"
    )
    if key is not None:
        rename_users(con, "users_told", key)
    ids = f"SELECT count(*), count({c.USER}), count(DISTINCT {c.USER}) FROM ({query})"
    n, with_id, distinct = whole_numbers(con, ids)
    notes = []
    if with_id > distinct:
        notes.append(f"{source.name}: {with_id - distinct:,} rows repeat a user id; the last row of each was taken")
    if n > with_id:
        notes.append(f"{source.name}: {n - with_id:,} rows without a user id were left out")
    return [name for name in names if name != c.USER], notes


def _user_columns(entry: UsersConfig, source: Source) -> dict[str, str]:
    names = {c.USER: entry.columns.get(c.USER, c.USER)}
    names |= {name: column for name, column in entry.columns.items() if name != c.USER}
    others = [column for column in source.columns if column not in names.values()]
    names |= {column: column for column in (others if entry.attributes is None else entry.attributes)}
    if taken := sorted(set(names) & set(_RESERVED)):
        raise ConfigError.of(
            found=f"{source.name} has the attributes {', '.join(taken)}",
            needed="These names are taken by the table of users",
            do="Rename them under [users.columns], or list the attributes to keep under [users] attributes",
        )
    return names


def check_protected(config: Config, attributes: list[str]) -> None:
    """Raise ConfigError where a protected attribute is none of the users'."""
    for name in config.protected:
        if name not in attributes:
            near = nearest(name, attributes)
            raise ConfigError.of(
                found=f"protected names {name!r}, and the users have the attributes {', '.join(attributes) or 'none'}",
                needed="Protected attributes must be among them",
                do=f"Did you mean {near!r}?" if near else "Give a users file under [users], or remove the name",
            )


def rename_users(con: duckdb.DuckDBPyConnection, table: str, key: bytes) -> None:
    """Replace the user ids of ``table`` by their pseudonyms."""
    rows = con.execute(f"SELECT DISTINCT {c.USER} FROM {table} WHERE {c.USER} IS NOT NULL").fetchall()
    register_pseudonyms(con, [row[0] for row in rows], key)
    con.execute(f"UPDATE {table} SET {c.USER} = pseudonym FROM pseudonyms WHERE {c.USER} = known_as")
    con.unregister("pseudonyms")


def register_pseudonyms(con: duckdb.DuckDBPyConnection, ids: list[str], key: bytes) -> None:
    """Make known, as the relation ``pseudonyms``, what each id (``known_as``) is called (``pseudonym``)."""
    names = {"known_as": pa.array(ids, pa.string()), "pseudonym": pa.array(pseudonyms(ids, key), pa.string())}
    con.register("pseudonyms", pa.table(names))
