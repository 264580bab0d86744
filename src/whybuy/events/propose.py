"""`whybuy init`: from the path of a log to a config that runs, with a reason for every line.

1. Look at the header and the first rows of every table found (:mod:`~whybuy.events.probe`).
2. Recognize the public logs by their columns (:mod:`~whybuy.events.known`); anything else is guessed by names and
   values (:mod:`~whybuy.events.guess`).
3. Settle what only the values tell: times, actions, scales (:mod:`~whybuy.events.draft`).
4. Set horizon and lookback from the span of time (:mod:`~whybuy.events.span`), and name the user attributes that look
   protected.

Nothing is asked: what is ambiguous is decided, and the config says so (:attr:`Proposal.choices` lets a terminal ask).
"""

from dataclasses import dataclass
from pathlib import Path

from whybuy.columns import USER
from whybuy.config import duration_ms
from whybuy.errors import SourceError
from whybuy.events.beside import is_file_of, named, siblings, spotted
from whybuy.events.draft import Draft, settle
from whybuy.events.guess import guess_events, refuse_panel
from whybuy.events.known import Labeled, known_events, label_of, pick_log, unread
from whybuy.events.names import is_protected
from whybuy.events.probe import Probe, Table, open_probe
from whybuy.events.proposal import Choice, Mapping, Proposal
from whybuy.events.span import span_ms, windows
from whybuy.events.write import write_config

__all__ = ["Choice", "Mapping", "Proposal", "propose", "write_config"]


@dataclass(frozen=True, slots=True)
class _Found:
    """The drafts of the events, the known log they are (or None), and all tables around them."""

    log: str | None
    drafts: list[Draft]
    around: Labeled
    alone: bool
    """Whether one table was named, so that the others around were found beside it."""


def propose(
    events: str | Path, *, items: str | Path | None = None, users: str | Path | None = None, into: Path
) -> Proposal:
    """Return the proposed config of a log, reading only headers and samples.

    Parameters
    ----------
    events : a file, a folder, a glob, or ``file.duckdb::table``
    items, users : the items and users files; those found beside the events are taken where absent
    into : the folder of the config, or the config file to be

    Raises
    ------
    SourceError
        The source cannot be read, or is no event log: no user or session, no time or order, no action, no rows.
    """
    with open_probe() as probe:
        found = _events(probe, events)
        files = {"items": _file(probe, found, "items", items), "users": _file(probe, found, "users", users)}
        span = span_ms(probe, found.drafts)
        notes = _notes(probe, found, files)
    duration, reason = windows(span)
    attributes = files["users"].unused if files["users"] is not None else ()
    return Proposal(
        log=found.log,
        events=tuple(draft.mapping for draft in found.drafts),
        items=files["items"],
        users=files["users"],
        horizon=duration,
        lookback=duration,
        span_days=None if span is None else span / duration_ms("1d"),
        span_reason=reason,
        protected=tuple(filter(is_protected, attributes)),
        notes=notes,
        into=into.parent if into.suffix == ".toml" else into,
    )


def _events(probe: Probe, source: str | Path) -> _Found:
    tables = probe.tables(source)
    labeled: Labeled = [(table, label_of(probe, table)) for table in tables]
    log = pick_log(labeled)
    alone = len(tables) == 1 and not Path(str(source)).is_dir()
    around = [*labeled, *siblings(probe, tables[0])] if alone else labeled
    if log is None:
        return _Found(None, _one_clock(probe, _guessed(probe, tables)), around, alone)
    readable = [(t, p) for t, p in around if t in tables or (p is not None and p.role == "join")]
    return _Found(log, _one_clock(probe, known_events(probe, readable, log)), around, alone)


def _guessed(probe: Probe, tables: list[Table]) -> list[Draft]:
    """Return the settled drafts of tables of no known log: all that are events and name the same user."""
    drafts: list[Draft] = []
    refused: list[SourceError] = []
    for table in sorted(tables, key=lambda t: -sum(file.stat().st_size for file in t.files)):
        if len(tables) > 1 and any(is_file_of(probe, table, role) for role in ("items", "users")):
            continue
        try:
            refuse_panel(table)
            single = [table] if table.path else probe.apart(table)
            drafts += [settle(probe, guess_events(probe, one)) for one in single]
        except SourceError as error:
            refused.append(error)
    if not drafts:
        raise _no_events(tables, refused)
    user = drafts[0].mapping.columns[USER]
    other = [draft for draft in drafts if draft.mapping.columns[USER] != user]
    probe.skipped += [f"{d.mapping.title} is not read: its user {d.mapping.columns[USER]} is not {user}" for d in other]
    probe.skipped += [f"not read: {error}" for error in refused]
    return [draft for draft in drafts if draft not in other]


def _no_events(tables: list[Table], refused: list[SourceError]) -> SourceError:
    panels = [error for error in refused if "it is a panel" in str(error)]
    if panels or len(refused) == 1:
        return (panels or refused)[0]
    return SourceError.of(
        found=f"{len(tables)} tables, none of which is a log of events: {' '.join(map(str, refused[:5]))}",
        needed="One row for each event is needed, with its user, time and action",
        do="Name the file that holds the events",
    )


def _one_clock(probe: Probe, drafts: list[Draft]) -> list[Draft]:
    """Leave out, beside events with times, those that have only an order: they cannot be put in line."""
    timed = [draft for draft in drafts if draft.mapping.time != "order"]
    if not timed:
        return drafts
    without = [draft for draft in drafts if draft not in timed]
    probe.skipped += [f"{draft.mapping.title} is not read: it has no times, the other events have" for draft in without]
    return timed


def _file(probe: Probe, found: _Found, role: str, source: str | Path | None) -> Mapping | None:
    if source is not None:
        return named(probe, source, role)
    taken = {draft.mapping.path for draft in found.drafts} | {draft.table.path for draft in found.drafts}
    return spotted(probe, found.around, role, log=found.log, taken=taken)


def _notes(probe: Probe, found: _Found, files: dict[str, Mapping | None]) -> tuple[str, ...]:
    """Return what was passed over, and what was taken although nobody named it."""
    notes = list(probe.skipped)
    taken = {draft.table.path for draft in found.drafts}
    beside = {table.path for table, _ in found.around}
    for role, mapping in files.items():
        if mapping is not None and mapping.path in beside:
            taken.add(mapping.path)
            notes += [f"{Path(mapping.path).name} lies beside the log and is used as its {role} file"] * found.alone
    if found.log is not None and not found.alone:
        notes += unread(found.around, found.log, taken)
    return tuple(notes)
