"""From the columns of a source to those of the contract, as one Ibis expression over its rows.

Nothing is judged here and nothing is dropped: every row of the source is a row of the mapped table. What cannot be read
is marked so that the judgment can see it: a time or an action that cannot be read is null, a number that is there but
is none is NaN. Ids stay text exactly as written; a number that a table stores as floating point is written without
``.0``, because a column of whole ids becomes floating point as soon as one is missing.
"""

# The bodies of built-in functions are empty: DuckDB has them.
# mypy: disable-error-code="empty-body,untyped-decorator"

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import duckdb
import ibis
import ibis.expr.types as ir
import pyarrow as pa
from duckdb.func import PythonUDFType

from whybuy import columns as c
from whybuy.config import EventsConfig
from whybuy.errors import ConfigError, SourceError, nearest
from whybuy.events.text_files import UNREADABLE
from whybuy.events.times import time_ms

REVIEW_FACTOR = 10
"""Texts of reviews may be this many times longer than queries."""

AS_FOUND = "as_found_"
"""Prefix of the source's own values, which the mapped table carries along to tell how a rejected row was found."""
FOUND_TIME, FOUND_ACTION, RAW = "found_ts", "found_action", "raw"
"""Columns that tell how a rejected row was found."""
MAX_RAW = 500
"""A rejected row is shown with at most this many characters."""

UNREADABLE_LINE = "line cannot be read"
NUL_IN_ID = "NUL character in an id"
_IDS = (c.USER, c.ITEM, c.SESSION, c.ORDER, c.CURRENCY, c.CAMPAIGN, c.ARM, c.CATEGORY, c.BRAND, c.TITLE)
_NUMBERS = (c.RATING, c.PRICE, c.QUANTITY, c.PROPENSITY, c.SLOT)
_EXACT = 2**53


@ibis.udf.scalar.builtin(name="chr")
def _character(code: int) -> str: ...


@ibis.udf.scalar.builtin(name="whybuy_fold")
def _folded(text: str) -> str: ...


def register_functions(con: duckdb.DuckDBPyConnection) -> None:
    """Give ``con`` the function that trims and case-folds queries as Unicode has it (which SQL's lower does not)."""
    con.create_function("whybuy_fold", _fold, ["varchar"], "varchar", type=PythonUDFType.ARROW)


def _fold(texts: pa.ChunkedArray) -> pa.Array:
    return pa.array([None if text is None else text.strip().casefold() for text in texts.to_pylist()], pa.string())


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceMapping:
    """How one source maps to the contract, checked against its columns.

    Attributes
    ----------
    columns : contract column -> source column
    constants : contract column -> one value for every row
    notes : what was decided, in words
    """

    columns: dict[str, str]
    constants: dict[str, str | int | float]
    notes: tuple[str, ...] = ()

    @property
    def present(self) -> set[str]:
        """The contract columns that the source fills."""
        return {*self.columns, *self.constants}


def resolve_mapping(entry: EventsConfig, present: Collection[str], *, name: str) -> SourceMapping:
    """Return the mapping of ``entry`` for a source with the columns ``present``.

    Without any mapping, columns named as in the contract are taken; with one, only the required three are taken by
    their own name where they are not mapped. A session stands for the user where no user is mapped.

    Raises
    ------
    ConfigError
        A column is both mapped and constant, or a constant action is none.
    SourceError
        No user, no time or no action is mapped.
    """
    if both := sorted(set(entry.columns) & set(entry.constants)):
        raise ConfigError.of(
            found=f"{', '.join(both)} stands in [events.columns] and in [events.constants]",
            needed="One of them is needed",
            do="Remove the other",
        )
    names = c.REQUIRED_COLUMNS if entry.columns else c.MAPPABLE_COLUMNS
    columns = {n: n for n in names if n in present and n not in entry.constants} | dict(entry.columns)
    if entry.time == "order" and c.TIME not in entry.columns:
        columns.pop(c.TIME, None)
    notes = []
    if c.USER not in columns and c.USER not in entry.constants and c.SESSION in columns:
        columns[c.USER] = columns[c.SESSION]
    if c.USER in columns and (columns[c.USER] == columns.get(c.SESSION) or "session" in columns[c.USER].casefold()):
        notes.append(f"{name}: a session id ({columns[c.USER]}) stands for the user")
    if entry.time == "order":
        place = columns.get(c.TIME, "the place in the source")
        notes.append(f"{name}: {place} stands for the time, so that there is an order and no causal question")
    _check_required(entry, columns, present, name)
    _check_constant_action(entry)
    columns = {n: columns[n] for n in c.MAPPABLE_COLUMNS if n in columns}
    return SourceMapping(columns=columns, constants=dict(entry.constants), notes=tuple(notes))


def _check_required(entry: EventsConfig, columns: Mapping[str, str], present: Collection[str], name: str) -> None:
    needed = [n for n in c.REQUIRED_COLUMNS if not (n == c.TIME and entry.time == "order")]
    for column in needed:
        if column not in columns and column not in entry.constants:
            what = {c.USER: "user", c.TIME: "time", c.ACTION: "action"}[column]
            near = nearest(column, present)
            other = f' or an action for every row under [events.constants], as {c.ACTION} = "view"'
            raise SourceError.of(
                found=f"{name} has the columns {', '.join(present)}, and none of them is mapped to the {what}",
                needed=f"Every event needs a {what}" if column != c.ACTION else "Every event needs an action",
                do=f'Write {column} = "{near or "COLUMN"}" under [events.columns] in whybuy.toml'
                f"{other if column == c.ACTION else ''}, or run `whybuy init`",
            )


def _check_constant_action(entry: EventsConfig) -> None:
    action = entry.constants.get(c.ACTION)
    if action is None or str(action) in entry.actions or str(action).strip().casefold() in c.ACTIONS:
        return
    near = nearest(str(action).casefold(), c.ACTIONS)
    raise ConfigError.of(
        found=f"[events.constants] says {c.ACTION} = {action!r}",
        needed=f"One of {', '.join(c.ACTIONS)} is needed",
        do=f"Did you mean {near!r}?" if near else "Choose one of them",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RowContext:
    """What the mapping of rows must know beside the entry.

    Attributes
    ----------
    source : number of the entry, from 0
    first_position : added to places where the place stands for the time, so that sources follow each other
    day_first : whether ``1/2/2010`` is the first of February
    max_text : queries are cut to this many characters
    """

    source: int
    first_position: int = 0
    day_first: bool = False
    max_text: int = 1_000


def map_rows(rows: ir.Table, entry: EventsConfig, mapping: SourceMapping, context: RowContext) -> ir.Table:
    """Return the mapped table: one row for every row of the source.

    Parameters
    ----------
    rows : the source's rows under the contract's names, in the source's types; with :data:`whybuy.columns.ROW` where
        they are numbered, which they are where the place stands for the time
    """
    found: dict[str, ir.Value] = {name: rows[name] for name in mapping.columns}
    found |= {name: ibis.literal(value) for name, value in mapping.constants.items()}
    out: dict[str, ir.Value] = {name: text_of(found[name]) for name in _IDS if name in found}
    out |= {name: number_of(found[name]) for name in _NUMBERS if name in found}
    if c.QUERY in found:
        out[c.QUERY] = _folded(text_of(found[c.QUERY]).substr(0, context.max_text)).nullif("")
    if c.TEXT in found:
        out[c.TEXT] = text_of(found[c.TEXT]).substr(0, REVIEW_FACTOR * context.max_text)
    out[c.ACTION] = _action(text_of(found[c.ACTION]), entry.actions)
    if c.TIME in found:
        out[c.TIME_MS] = time_ms(found[c.TIME], entry.time, day_first=context.day_first).cast("int64")
    else:
        out[c.TIME_MS] = (rows[c.ROW] + context.first_position).cast("int64")
    out[c.SOURCE] = ibis.literal(context.source, "int32").cast("int16")
    if c.ROW in rows.columns:
        out[c.ROW] = rows[c.ROW].cast("int64")
    out[c.REASON] = _unreadable(rows, out)
    return rows.select(**out, **{AS_FOUND + name: rows[name] for name in mapping.columns})


def _unreadable(rows: ir.Table, out: Mapping[str, ir.Value]) -> ir.Value:
    """Return the reason of rows that are no rows; a NUL would end an id early wherever ids are C strings."""
    nul = [out[name].contains(_character(0)) for name in (c.USER, c.ITEM) if name in out]
    cases = [(condition, NUL_IN_ID) for condition in nul]
    if UNREADABLE in rows.columns:
        cases = [(rows[UNREADABLE], UNREADABLE_LINE), *cases]
    return ibis.cases(*cases, else_=ibis.null("string"))


def told_columns(judged: ir.Table, mapping: SourceMapping, *, hide_user: bool) -> dict[str, ir.StringValue]:
    """Return the time, the action and the mapped row as JSON, as they were found, of the rows with a reason.

    Parameters
    ----------
    judged : mapped rows with their reason
    hide_user : leave out of the row what names the user
    """
    nothing = ibis.null("string")
    user = mapping.columns.get(c.USER)
    found = {name: judged[AS_FOUND + name].cast("string") for name in mapping.columns}
    shown = {n: found[n] for n, column in mapping.columns.items() if not (hide_user and column == user)}
    raw = ibis.struct(shown).cast("json").cast("string").substr(0, MAX_RAW) if shown else nothing
    written = found | {name: ibis.literal(str(value)) for name, value in mapping.constants.items()}
    told = {FOUND_TIME: written.get(c.TIME, nothing), FOUND_ACTION: written.get(c.ACTION, nothing), RAW: raw}
    return {name: ibis.ifelse(judged[c.REASON].notnull(), value, nothing) for name, value in told.items()}


def text_of(value: ir.Value) -> ir.StringValue:
    """Return an id or word as text exactly as written; empty text is null."""
    dtype = value.type()
    if dtype.is_string():
        return value.nullif("")
    if dtype.is_floating():
        number = value.cast("float64")
        whole = (number == number.floor()) & number.between(-_EXACT, _EXACT)
        written = ibis.ifelse(whole, number.cast("int64").cast("string"), number.cast("string"))
        return ibis.ifelse(number.isnan(), ibis.null("string"), written)
    return value.cast("string").nullif("")


def number_of(value: ir.Value) -> ir.FloatingValue:
    """Return a number as float64: null where nothing is written, NaN where what is written is no number."""
    if value.type().is_numeric():
        return value.cast("float64")
    text = value if value.type().is_string() else value.cast("string")
    is_written = text.strip() != ""
    return ibis.coalesce(text.try_cast("float64"), ibis.ifelse(is_written, float("nan"), ibis.null("float64")))


def _action(text: ir.StringValue, actions: Mapping[str, str]) -> ir.StringValue:
    """Return the contract's action, null where it is unknown."""
    own = text.strip().lower()
    cases = [(text == value, ibis.literal(action)) for value, action in actions.items()]
    # Most logs write actions as they are named here; only the rest is trimmed and lowered. One comparison each, because
    # DuckDB turns a list of this length into a join, and a join loses the order in which rows are numbered.
    cases += [(name == action, ibis.literal(action)) for name in (text, own) for action in c.ACTIONS]
    return ibis.cases(*cases, else_=ibis.null("string"))
