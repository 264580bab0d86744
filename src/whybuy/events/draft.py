"""A mapping in the making: a table, what its columns mean, and the settling of what only the values can tell.

A draft comes from a known part or from a guess by names. Settling looks at the values: how the time is written, which
actions the log has, whether users are missing where a session is known, and which scale ratings have.
"""

from dataclasses import dataclass, replace

from whybuy.columns import ACTION, RATING, SESSION, TIME, USER
from whybuy.errors import SourceError
from whybuy.events.clock import read_time
from whybuy.events.names import action_of
from whybuy.events.presets import Part, fill, plain, quote_name, resolve, used_by
from whybuy.events.probe import Probe, Table
from whybuy.events.proposal import Mapping

_MISSING = "'', 'NA', 'N/A', 'null', 'NULL', 'None', 'nan', 'NaN'"
_ANONYMOUS = 0.01  # from this share of rows without a user on, their sessions are worth keeping


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A mapping with the table it maps.

    Attributes
    ----------
    ms : SQL expression for the time in milliseconds, or None for a log without times
    """

    table: Table
    mapping: Mapping
    part: Part | None = None
    joined: Table | None = None
    ms: str | None = None

    def query(self, relation: str) -> str:
        """Return SQL for the rows of ``relation`` with the joined and derived columns."""
        rows = f"SELECT * FROM {relation}"
        if self.joined is not None and self.mapping.join is not None:
            same = " AND ".join(f"CAST(l.{q} AS VARCHAR) = CAST(r.{q} AS VARCHAR)" for q in self._on)
            new = [f"r.{quote_name(name)}" for name in self.joined.columns if name not in self.table.columns]
            columns = ", ".join(["l.*", *new])
            rows = f"SELECT {columns} FROM {relation} AS l LEFT JOIN {self.joined.relation} AS r ON {same}"
        if self.mapping.derive:
            derived = ", ".join(f"{sql} AS {quote_name(name)}" for name, sql in self.mapping.derive.items())
            rows = f"SELECT *, {derived} FROM ({rows})"
        return f"SELECT * FROM ({rows}) WHERE {self.mapping.where}" if self.mapping.where else rows

    @property
    def _on(self) -> list[str]:
        return [quote_name(name) for name in self.mapping.join[1]] if self.mapping.join else []

    def head(self) -> str:
        """Return SQL for the first rows."""
        return self.query(self.table.head)

    def with_(self, **changes: object) -> "Draft":
        """Return the draft with fields of its mapping changed."""
        return replace(self, mapping=replace(self.mapping, **changes))  # type: ignore[arg-type]

    def with_column(self, column: str, source: str, why: str, *, derive: str | None = None) -> "Draft":
        """Return the draft with one contract column taken from ``source``, which ``derive`` may define."""
        derived = {**self.mapping.derive, source: derive} if derive else self.mapping.derive
        return self.with_(
            columns={**self.mapping.columns, column: source}, why={**self.mapping.why, column: why}, derive=derived
        )

    def new_name(self, name: str) -> str:
        """Return ``name``, with underscores where the source or the draft has such a column already."""
        taken = {column.casefold() for column in (*self.table.columns, *self.mapping.derive)}
        if self.joined is not None:
            taken |= {column.casefold() for column in self.joined.columns}
        while name.casefold() in taken:
            name += "_"
        return name

    def note(self, text: str) -> "Draft":
        """Return the draft with one more note."""
        return self.with_(notes=(*self.mapping.notes, text))


def from_part(table: Table, part: Part, *, joined: Table | None = None) -> Draft:
    """Return the draft of a table that is a known part; what the file lacks is left out."""
    sources = sources_of(table, part)
    join = None
    if joined is not None:
        on = tuple(column for column in table.columns if column in joined.columns)
        join = (joined.path, on)
        sources = {**{plain(column): column for column in joined.columns}, **sources}
    draft = Draft(
        table=table,
        part=part,
        joined=joined,
        mapping=Mapping(title=f"{part.log}, {part.name} ({table.name})", path=table.path, join=join),
    )
    derived: dict[str, tuple[str, str]] = {}
    for name, template in part.derive.items():
        sql = fill(template, sources)
        if sql is not None:
            derived[name] = (draft.new_name(name), sql)
    columns = {}
    for column, wanted in part.columns.items():
        source = derived[wanted][0] if wanted in derived else resolve(wanted, sources)
        if source is not None:
            columns[column] = source
    default = f"{part.log} names it so" if not table.headless else f"{part.log} has it in this place"
    return draft.with_(
        columns=columns,
        derive=dict(derived.values()),
        constants=dict(part.constants),
        actions=dict(part.actions),
        where=None if part.where is None else fill(part.where, sources),
        why={**dict.fromkeys(columns, default), **part.why},
        time="order" if part.in_order and (TIME not in columns or part.columns[TIME] == "position") else "auto",
        unused=_unused(table, part, sources),
    )


def sources_of(table: Table, part: Part) -> dict[str, str]:
    """Return plain name -> source column; a file without a header gets the names that the part gives by place."""
    if table.headless and part.headless:
        return dict(zip((name for name, _ in part.headless), table.columns, strict=True))
    return {plain(column): column for column in table.columns}


def _unused(table: Table, part: Part, sources: dict[str, str]) -> tuple[str, ...]:
    used = {source for wanted in part.columns.values() if (source := resolve(wanted, sources))}
    used |= {source for template in part.derive.values() for source in used_by(template, sources)}
    return tuple(column for column in table.columns if column not in used)


def settle(probe: Probe, draft: Draft) -> Draft:
    """Return the draft with its users, times, actions and ratings settled by the values.

    Raises
    ------
    SourceError
        No row has an action that the contract knows, or no time can be read.
    """
    for step in (_settle_user, settle_time, _settle_actions, _settle_rating):
        draft = step(probe, draft)
    return draft


def _settle_user(probe: Probe, draft: Draft) -> Draft:
    user, session = draft.mapping.columns[USER], draft.mapping.columns.get(SESSION)
    text = f"CAST({quote_name(user)} AS VARCHAR)"
    missing = f"({text} IS NULL OR trim({text}) IN ({_MISSING}))"
    share = float(probe.rows(f"SELECT coalesce(avg(CAST({missing} AS INTEGER)), 0) FROM ({draft.head()})")[0][0])
    if share < _ANONYMOUS or user == session:
        return draft
    if session is None:
        return draft.note(f"about {share:.0%} of the rows have no {user}: they will be set aside")
    name = draft.new_name("user_or_session")
    sql = f"CASE WHEN {missing} THEN 'session-' || CAST({quote_name(session)} AS VARCHAR) ELSE {text} END"
    why = f"{user}; a session id stands for the user in the {share:.0%} of rows that have none"
    return draft.with_column(USER, name, why, derive=sql)


def settle_time(probe: Probe, draft: Draft) -> Draft:
    """Return the draft with the way its times are written settled."""
    mapping = draft.mapping
    if mapping.time == "order":
        return draft
    column = mapping.columns.get(TIME)
    head = draft.head()
    reading = None if column is None else read_time(probe, head, column, type_=probe.types(head)[column])
    if column is None or reading is None:
        raise SourceError.of(
            found=f"{mapping.title} has {f'the column {column}' if column else 'no column'} for the time, "
            "and less than half of it can be read as one",
            needed="A time is needed: text such as 2024-05-01 12:30:00, or seconds or milliseconds since 1970",
            do='Write the time so, or map a position to ts and set time = "order" in whybuy.toml',
        )
    why = "; ".join(part for part in (mapping.why.get(TIME, ""), reading.why) if part)
    if reading.derive is None:
        draft = draft.with_column(TIME, column, why)
    else:
        draft = draft.with_column(TIME, draft.new_name("time_text"), why, derive=reading.derive)
    return replace(draft.note(f"{TIME}: {reading.doubt}") if reading.doubt else draft, ms=reading.ms)


def _settle_actions(probe: Probe, draft: Draft) -> Draft:
    column = draft.mapping.columns.get(ACTION)
    if column is None:
        return draft
    actions, unknown = dict(draft.mapping.actions), []
    relation = probe.spread(draft.table)
    counts = probe.rows(
        f"SELECT CAST({quote_name(column)} AS VARCHAR) AS value, count(*) AS n FROM ({draft.query(relation)}) "
        "WHERE value IS NOT NULL GROUP BY value ORDER BY n DESC, value LIMIT 200"
    )
    for value, n in counts:
        action = actions.get(value) or action_of(value)
        if action is None:
            unknown.append(f"{value} ({n:,} row{'s' * (n > 1)})")
        else:
            actions[value] = action
    if not any(value in actions for value, _ in counts):
        values = ", ".join(value for value, _ in counts[:10]) or "none"
        raise SourceError.of(
            found=f"{draft.mapping.title}: the values of {column} are {values}, none of which is a known action",
            needed="Actions such as view, cart, purchase are needed",
            do="Write what each value means under [events.actions] in whybuy.toml",
        )
    draft = draft.with_(actions=actions)
    if unknown:
        more = f" and {len(unknown) - 10} more" if len(unknown) > 10 else ""
        text = ", ".join(unknown[:10]) + more
        draft = draft.note(f"values of {column} that mean no action, rejected unless mapped: {text}")
    return draft


def _settle_rating(probe: Probe, draft: Draft) -> Draft:
    column = draft.mapping.columns.get(RATING)
    if column is None:
        return draft
    number = f"TRY_CAST({quote_name(column)} AS DOUBLE)"
    low, high = probe.rows(f"SELECT min({number}), max({number}) FROM ({draft.head()})")[0]
    if low is None or (low >= 1 and high <= 5):
        return draft
    top = next((top for top in (5, 10, 100) if high <= top), None)
    if top is None or low < 0:
        return draft.note(f"{column} runs from {low:g} to {high:g}: ratings outside 1 to 5 will be set aside")
    bottom = 1 if low >= 1 else 0.5 if low >= 0.5 else 0
    sql = f"1 + ({number} - {bottom:g}) * 4 / {top - bottom:g}"
    why = f"{column} brought from {bottom:g}-{top} to the contract's 1-5"
    return draft.with_column(RATING, draft.new_name("rating_1_to_5"), why, derive=sql)
