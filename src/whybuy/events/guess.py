"""Mapping a log that nobody has seen before: names are scored, values decide.

A column is proposed for a column of the contract when its name fits (:mod:`whybuy.events.names`) and its values allow
it: a time must be readable, an action column must hold known actions, a price must be a number. Every source column
is used once; where two fit the user, the item or the time about as well, the other is kept as an ambiguity.
"""

from dataclasses import dataclass

from whybuy.columns import (
    ACTION,
    ARM,
    AVAILABLE,
    BRAND,
    CAMPAIGN,
    CATEGORY,
    CURRENCY,
    DESCRIPTION,
    ITEM,
    ORDER,
    PRICE,
    PROPENSITY,
    QUANTITY,
    QUERY,
    RATING,
    SESSION,
    SLOT,
    TEXT,
    TIME,
    TITLE,
    USER,
)
from whybuy.errors import SourceError
from whybuy.events.clock import read_time
from whybuy.events.draft import Draft
from whybuy.events.names import POSITIONS, TOTALS, action_in, action_of, fit
from whybuy.events.presets import plain, quote_name
from whybuy.events.probe import Probe, Table
from whybuy.events.proposal import Mapping

_FEW = 60  # an action column has few values
_CLOSE = 12  # points of a name's score within which another column is called an ambiguity
_NUMBERS = (PRICE, QUANTITY, RATING, PROPENSITY, SLOT)
_PER_UNIT = "the value of a line divided by its units, because a price is per unit"


@dataclass(frozen=True, slots=True)
class _Column:
    """What the head says about a source column."""

    name: str
    distinct: int
    filled: float
    numeric: float
    actions: float
    low: float | None
    high: float | None


def guess_events(probe: Probe, table: Table) -> Draft:
    """Return the draft of a table of events whose columns follow no known log.

    Raises
    ------
    SourceError
        There is no column for a user or a session, or for the time, or nothing tells the action.
    """
    columns = _look(probe, table)
    draft = Draft(table=table, mapping=Mapping(title=table.name, path=table.path))
    draft = _guess_user(draft, columns)
    draft = _guess_time(probe, draft, columns)
    draft = _guess_action(draft, columns)
    for column in (
        ITEM, ORDER, QUERY, RATING, TEXT, PRICE, QUANTITY, CURRENCY, CAMPAIGN, ARM, PROPENSITY, SLOT, CATEGORY,
        BRAND, TITLE,
    ):  # fmt: skip
        draft = _guess_by_name(draft, column, columns)
    draft = _unit_price(draft, columns)
    draft = _constant_action(draft)
    used = {*draft.mapping.columns.values(), *_inside(draft)}
    return draft.with_(unused=tuple(name for name in table.columns if name not in used))


def guess_file(table: Table, role: str) -> Mapping | None:
    """Return the mapping of an ``items`` or ``users`` file by its columns' names, or None where the key is missing."""
    wanted = (ITEM, CATEGORY, BRAND, PRICE, TITLE, DESCRIPTION, AVAILABLE) if role == "items" else (USER,)
    columns: dict[str, str] = {}
    for column in wanted:
        fits = sorted(table.columns, key=lambda name: -fit(name, column, role=role))
        best = next((name for name in fits if name not in columns.values()), None)
        if best is not None and fit(best, column, role=role) > 0:
            columns[column] = best
    if wanted[0] not in columns:
        return None
    return Mapping(
        title=table.name,
        path=table.path,
        columns=columns,
        why=dict.fromkeys(columns, "by its name"),
        unused=tuple(name for name in table.columns if name not in columns.values()),
    )


def refuse_panel(table: Table) -> None:
    """Raise SourceError for a table of sums before and after something: a panel, whose events are gone."""
    names = {plain(column): column for column in table.columns}
    before = next((name for name in names if name.startswith("pre") and f"post{name[3:]}" in names), None)
    if before is not None:
        raise SourceError.of(
            found=f"{table.path} holds {names[before]} and {names[f'post{before[3:]}']}, sums before and after: "
            "it is a panel, not a log of events",
            needed="One row for each event is needed, with its user, time and action",
            do="Name the transactions that the panel was made from",
        )


def _look(probe: Probe, table: Table) -> list[_Column]:
    facts = []
    for name in table.columns:
        text = f"CAST({quote_name(name)} AS VARCHAR)"
        number = f"TRY_CAST({text} AS DOUBLE)"
        facts.append(f"count(DISTINCT {text}), count({text}), count({number}), min({number}), max({number})")
    values = probe.rows(f"SELECT {', '.join(facts)} FROM {table.head}")[0]
    columns = []
    for i, name in enumerate(table.columns):
        distinct, filled, numeric, low, high = values[5 * i : 5 * i + 5]
        columns.append(
            _Column(
                name=name,
                distinct=distinct,
                filled=filled / table.rows,
                numeric=numeric / filled if filled else 0.0,
                actions=_share_of_actions(probe, table, name) if 0 < distinct <= _FEW else 0.0,
                low=low,
                high=high,
            )
        )
    return columns


def _share_of_actions(probe: Probe, table: Table, name: str) -> float:
    rows = probe.rows(f"SELECT CAST({quote_name(name)} AS VARCHAR), count(*) FROM {table.head} GROUP BY 1")
    return sum(n for value, n in rows if value is not None and action_of(value)) / table.rows


def _guess_time(probe: Probe, draft: Draft, columns: list[_Column]) -> Draft:
    taken = draft.mapping.columns.values()
    columns = [c for c in columns if c.name not in taken]
    named = sorted((c for c in columns if fit(c.name, TIME)), key=lambda c: -fit(c.name, TIME))
    typed = [c for c in columns if draft.table.columns[c.name].startswith(("TIMESTAMP", "DATE")) and c not in named]
    readable = [c for c in (*named, *typed) if _is_time(probe, draft, c)]
    if not readable and not named:
        readable = [c for c in columns if c.numeric < 0.5 and c.distinct > 1 and _is_time(probe, draft, c)]
        if readable:
            return draft.with_column(TIME, readable[0].name, "its values are times")
    if readable:
        best = readable[0]
        why = "by its name" if best in named else "by its type"
        return _with_others(draft.with_column(TIME, best.name, why), TIME, [c.name for c in readable[1:] if c in named])
    position = next((c for name in POSITIONS for c in columns if plain(c.name) == name and c.numeric > 0.99), None)
    if position is not None:
        why = "a position in the user's order of time: the log has no times"
        return draft.with_column(TIME, position.name, why).with_(time="order")
    names = ", ".join(c.name for c in named)
    tried = f"the values of {names} cannot be read as times" if named else "none of them is named like a time"
    raise SourceError.of(
        found=f"{draft.table.path} has the columns {', '.join(draft.table.columns)}: {tried}",
        needed="A time is needed (timestamp, event_time, date ...), or a position in the user's order",
        do='Rename the column to ts, or map it in whybuy.toml (time = "order" there takes the order of the file)',
    )


def _is_time(probe: Probe, draft: Draft, column: _Column) -> bool:
    type_ = draft.table.columns[column.name]
    return read_time(probe, f"SELECT * FROM {draft.table.head}", column.name, type_=type_) is not None


def _guess_action(draft: Draft, columns: list[_Column]) -> Draft:
    taken = set(draft.mapping.columns.values())
    fits = [
        (c.actions >= 0.5, fit(c.name, ACTION), c.actions, c.name)
        for c in columns
        if c.actions > 0 and c.name not in taken and (fit(c.name, ACTION) or c.actions >= 0.5)
    ]
    if not fits:
        named = [c for c in columns if fit(c.name, ACTION) >= 85 and 0 < c.distinct <= _FEW]
        return draft.with_column(ACTION, named[0].name, "by its name") if named else draft
    _, by_name, share, name = max(fits)
    why = f"by its name, and {share:.0%} of its values are known" if by_name else "its values are actions"
    return draft.with_column(ACTION, name, why)


def _guess_user(draft: Draft, columns: list[_Column]) -> Draft:
    draft = _guess_by_name(_guess_by_name(draft, SESSION, columns), USER, columns)
    session = draft.mapping.columns.get(SESSION)
    if USER in draft.mapping.columns:
        return draft
    if session is None:
        raise SourceError.of(
            found=f"{draft.table.path} has the columns {', '.join(draft.table.columns)}, none of which names a user "
            "or a session",
            needed="A column with the user is needed (user_id, customer_id, visitor_id ...), or at least a session",
            do="Rename the column to user_id, or map it under [events.columns] in whybuy.toml",
        )
    return draft.with_column(USER, session, "the log names no user: a session id stands for the user")


def _guess_by_name(draft: Draft, column: str, columns: list[_Column]) -> Draft:
    taken = set(draft.mapping.columns.values())
    fits = sorted(
        (
            (fit(c.name, column), -i, c.name)
            for i, c in enumerate(columns)
            if c.name not in taken and _allows(c, column)
        ),
        reverse=True,
    )
    if not fits or fits[0][0] == 0:
        return draft
    best, _, name = fits[0]
    draft = draft.with_column(column, name, "by its name")
    close = [other for score, _, other in fits[1:] if score and score >= best - _CLOSE]
    return _with_others(draft, column, close if column in (USER, ITEM) else [])


def _allows(facts: _Column, column: str) -> bool:
    """Return whether the values allow the column to be meant."""
    if facts.filled == 0:
        return False
    if column in _NUMBERS and facts.numeric < (0.5 if facts.name == column else 0.9):
        return False
    if column == PROPENSITY:
        return facts.low is not None and facts.high is not None and facts.low > 0 and facts.high <= 1
    if column == RATING:
        return facts.distinct <= 101
    return column != ARM or facts.distinct <= 20


def _with_others(draft: Draft, column: str, others: list[str]) -> Draft:
    return draft.with_(others={**draft.mapping.others, column: tuple(others)}) if others else draft


def _unit_price(draft: Draft, columns: list[_Column]) -> Draft:
    """Map the price: where a log has only the value of a line, that divided by the units."""
    total = next((c.name for c in columns if plain(c.name) in TOTALS and c.numeric >= 0.9), None)
    if PRICE in draft.mapping.columns or total is None or total in draft.mapping.columns.values():
        return draft
    if plain(total).endswith("usd"):
        constants = {**draft.mapping.constants, CURRENCY: "USD"}
        draft = draft.with_(constants=constants, why={**draft.mapping.why, CURRENCY: f"by the name {total}"})
    quantity = draft.mapping.columns.get(QUANTITY)
    if quantity is None:
        return draft.with_column(PRICE, total, "the value of the line: the log has no quantity")
    sql = f"TRY_CAST({quote_name(total)} AS DOUBLE) / nullif(TRY_CAST({quote_name(quantity)} AS DOUBLE), 0)"
    return draft.with_column(PRICE, draft.new_name("unit_price"), f"{total}: {_PER_UNIT}", derive=sql)


def _constant_action(draft: Draft) -> Draft:
    """Return the draft with one action for every row where the log has no action column."""
    has = draft.mapping.columns
    if ACTION in has:
        return draft
    told = action_in(draft.table.stem)
    if RATING in has:
        action, why = ("review", "rows with a rating and a text") if TEXT in has else ("rating", "rows with a rating")
    elif told is not None:
        action, why = told, f"no column tells the action, the name {draft.table.stem} does"
    elif ORDER in has or PRICE in has or QUANTITY in has:
        action, why = "purchase", "no column tells the action; orders, prices or quantities make a row a purchase"
    elif QUERY in has:
        action, why = "search", "no column tells the action; a query makes a row a search"
    else:
        raise SourceError.of(
            found=f"{draft.table.path} has the columns {', '.join(draft.table.columns)}, none of which tells what "
            "happened",
            needed="An action is needed: a column with view, cart, purchase ..., or one action for the whole file",
            do='Rename the column to action, or write [events.constants] action = "view" in whybuy.toml',
        )
    return draft.with_(constants={**draft.mapping.constants, ACTION: action}, why={**draft.mapping.why, ACTION: why})


def _inside(draft: Draft) -> set[str]:
    """Return the source columns that derived columns are made of."""
    sql = " ".join(draft.mapping.derive.values())
    return {name for name in draft.table.columns if quote_name(name) in sql}
