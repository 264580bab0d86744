"""Finding the parts of a known public log among tables, and drafting its events.

Several files of one kind are one source, unless the log says otherwise: the two sheets of Online Retail overlap by
nine days (the later one loses what both have), and the Amazon sequences are shops of their own in which user 1 is
somebody else (ids get the shop's name in front).
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime

from whybuy.columns import CATEGORY, ITEM, TIME, USER
from whybuy.errors import SourceError
from whybuy.events.clock import read_time
from whybuy.events.draft import Draft, from_part, settle
from whybuy.events.locate import shared_start
from whybuy.events.presets import Part, known_parts, quote_name, recognize
from whybuy.events.probe import Probe, Table

Labeled = list[tuple[Table, Part | None]]


def label_of(probe: Probe, table: Table) -> Part | None:
    """Return the known part that a table is, by its names or, without a header line, by its values."""
    if not table.headless:
        return recognize(table.columns)
    fits = (part for part in known_parts() if len(part.headless) == len(table.columns))
    return next((part for part in fits if _values_fit(probe, table, part)), None)


def _values_fit(probe: Probe, table: Table, part: Part) -> bool:
    return all(
        _is_kind(probe, table, column, kind, part)
        for column, (_, kind) in zip(table.columns, part.headless, strict=True)
    )


def _is_kind(probe: Probe, table: Table, column: str, kind: str, part: Part) -> bool:
    if kind == "any":
        return True
    rows = f"SELECT * FROM {table.head}"
    if kind == "time":
        return read_time(probe, rows, column, type_=table.columns[column]) is not None
    text = f"CAST({quote_name(column)} AS VARCHAR)"
    number = f"TRY_CAST({text} AS DOUBLE)"
    conditions = {
        "number": f"{number} IS NOT NULL",
        "rating": f"{number} BETWEEN 0 AND 5",
        "action": f"{text} IN ({', '.join(repr(value) for value in part.actions) or 'NULL'})",
    }
    share = probe.rows(f"SELECT count(*) FILTER (WHERE {conditions[kind]}) / count(*) FROM ({rows})")[0][0]
    return float(share) > 0.9


def pick_log(tables: Labeled) -> str | None:
    """Return the known log that the tables are, or None.

    Raises
    ------
    SourceError
        Tables of several logs lie in several folders, or only the companions of a log (its campaigns) are there.
    """
    main = [(t, p) for t, p in tables if p is not None and p.role == "events" and not p.companion]
    logs = list(dict.fromkeys(part.log for _, part in main))
    if len(logs) > 1:
        folders = {file.parent for table, _ in main for file in table.files}
        if len(folders) > 1:
            raise SourceError.of(
                found=f"the logs {', '.join(logs)} lie in {len(folders)} folders",
                needed="One log is needed",
                do=f"Name one of the folders, for example {min(folders)}",
            )
        return max(logs, key=lambda log: sum(part is not None and part.log == log for _, part in tables))
    companions = [(t, p) for t, p in tables if p is not None and p.companion]
    if not logs and companions and len(tables) == 1:
        return companions[0][1].log
    return logs[0] if logs else None


def known_events(probe: Probe, tables: Labeled, log: str) -> list[Draft]:
    """Return the settled drafts of all events parts of ``log``, the main ones first."""
    parts = [(t, p) for t, p in tables if p is not None and p.log == log and p.role == "events"]
    drafts: list[Draft] = []
    for table, part in sorted(parts, key=lambda pair: pair[1].companion):
        joined = next((t for t, p in tables if p is not None and p.log == log and p.name == part.join), None)
        if part.join is not None and joined is None:
            text = f"{table.name} is not read: its {part.join} are missing"
            if len(parts) == 1:
                raise SourceError.of(
                    found=text, needed=f"The {part.join} are needed beside it", do="Name the folder that holds both"
                )
            probe.skipped.append(text)
            continue
        drafts += _stacked(probe, table, part, joined)
    return drafts


def _stacked(probe: Probe, table: Table, part: Part, joined: Table | None) -> list[Draft]:
    whole = part.stack == "together" and table.path != ""
    drafts = [from_part(one, part, joined=joined) for one in ([table] if whole else probe.apart(table))]
    if part.stack == "apart" and len(drafts) > 1:
        drafts = _named_apart(drafts)
    drafts = [settle(probe, draft) for draft in drafts]
    if part.stack == "overlap" and len(drafts) > 1:
        drafts = _without_overlap(probe, drafts)
    if part.also is None:
        return drafts
    second = [settle(probe, from_part(draft.table, part.also, joined=joined)) for draft in drafts]
    return [*drafts, *second]


def _named_apart(drafts: list[Draft]) -> list[Draft]:
    """Put every shop's name in front of its ids, and use it as the category where the log has none."""
    stems = [draft.table.stem for draft in drafts]
    start, end = shared_start(stems), shared_start([stem[::-1] for stem in stems])
    named = []
    for draft, stem in zip(drafts, stems, strict=True):
        shop = stem[start : len(stem) - end].strip("-_. ") or stem
        for column in (USER, ITEM):
            source = draft.mapping.columns[column]
            sql = f"'{shop.replace(chr(39), chr(39) * 2)}-' || CAST({quote_name(source)} AS VARCHAR)"
            why = f"{source} with the shop's name in front: every file counts its ids from 1, for other users and items"
            draft = draft.with_column(column, draft.new_name(f"shop_{source}"), why, derive=sql)
        if CATEGORY not in draft.mapping.columns:
            draft = draft.with_(
                constants={**draft.mapping.constants, CATEGORY: shop},
                why={**draft.mapping.why, CATEGORY: "the shop, by the file's name"},
            )
        named.append(draft)
    return named


def _without_overlap(probe: Probe, drafts: list[Draft]) -> list[Draft]:
    """Leave out of every later file the time that an earlier one covers."""
    spans = [probe.rows(f"SELECT min({d.ms}), max({d.ms}) FROM ({d.query(d.table.relation)})")[0] for d in drafts]
    ordered = sorted(zip(spans, drafts, strict=True), key=lambda pair: pair[0])
    kept: list[Draft] = []
    covered: int | None = None
    for (first, last), draft in ordered:
        if covered is not None and first <= covered:
            draft = _after(draft, covered)
        kept.append(draft)
        covered = last if covered is None else max(covered, last)
    return kept


def _after(draft: Draft, ms: int) -> Draft:
    until = datetime.fromtimestamp(ms / 1000, tz=UTC)
    column = draft.mapping.columns[TIME]
    name = quote_name(column)
    typed = draft.table.columns.get(column, "") == "TIMESTAMP"
    time = name if typed else f"TRY_CAST({name} AS TIMESTAMP)"
    changed = draft.with_(
        where=f"{time} > TIMESTAMP '{until:%Y-%m-%d %H:%M:%S}'",
        why={**draft.mapping.why, "where": f"rows up to {until:%Y-%m-%d %H:%M} stand in the earlier file as well"},
    )
    return replace(changed, ms=draft.ms)


def spot(tables: Labeled, log: str, role: str) -> tuple[Table, Part] | None:
    """Return the first table that is the items or users file of ``log``."""
    return next(((t, p) for t, p in tables if p is not None and p.log == log and p.role == role), None)


def unread(tables: Labeled, log: str, read: Iterable[str]) -> list[str]:
    """Return why each table that is not read is not, in words."""
    paths = set(read)
    notes = []
    for table, part in tables:
        if table.path in paths or table.head in paths:
            continue
        if part is not None and part.log == log and part.role in ("other", "join"):
            notes.append(f"{table.name} is not mapped: {part.note}")
        elif part is None or part.log != log:
            notes.append(f"{table.name} is not read: its columns {', '.join(table.columns)} are no part of {log}")
    return notes
