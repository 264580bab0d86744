"""A proposal as a commented ``whybuy.toml``, in TOML written here (the standard library only reads it)."""

import os
import re
import textwrap
from collections.abc import Mapping as MappingOf
from pathlib import Path

from whybuy.columns import ITEM_COLUMNS, MAPPABLE_COLUMNS, TIME
from whybuy.errors import ConfigError
from whybuy.events.proposal import Mapping, Proposal

_WIDTH = 110
_ESCAPES = {"\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r", '"': '\\"', "\\": "\\\\"}
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_GUESSED = "No known public log: the columns were matched by their names and values. Read the reasons below."
_NO_BOTS = "every row is a line of an order: hundreds in one minute are a large order, not a bot"
_MANY = 20
_FILE_ORDER = "the order of the rows is taken, which need not be that of time"
_HEADER = "Written by `whybuy init`. Change what is wrong, then run `whybuy check`: it says what this log can answer."


def write_config(proposal: Proposal, path: Path) -> Path | None:
    """Write the config of ``proposal`` to ``path``; return where an existing file was kept (``.bak``), or None.

    Raises
    ------
    ConfigError
        The folder is missing or the file cannot be written.
    """
    text = config_text(proposal, path.resolve().parent)
    fresh = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        fresh.write_text(text, encoding="utf-8")
        backup = _keep(path) if path.exists() else None
        os.replace(fresh, path)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise ConfigError.of(
            found=f"{path} cannot be written ({error.strerror})",
            needed="A folder that exists and can be written is needed",
            do="Make the folder, or name another file with -o",
        ) from error
    return backup


def _keep(path: Path) -> Path:
    """Keep the file as ``.bak``; an older ``.bak`` moves on to ``.bak2``, ``.bak3`` and so on."""
    backup = path.with_name(path.name + ".bak")
    if backup.exists():
        number = next(n for n in range(2, 10_000) if not path.with_name(f"{backup.name}{n}").exists())
        os.replace(backup, path.with_name(f"{backup.name}{number}"))
    os.replace(path, backup)
    return backup


def config_text(proposal: Proposal, folder: Path) -> str:
    """Return the text of the config; paths are relative to ``folder`` where they can be."""
    lines = [
        *_comment(_HEADER),
        *_comment(f"The columns are those of {proposal.log}." if proposal.log else _GUESSED),
        "",
    ]
    for note in proposal.notes:
        lines += _comment(note)
    lines += [
        'engine = "local"',
        *_comment(f"horizon and lookback: {proposal.span_reason}"),
        f"horizons = [{quote(proposal.horizon)}]",
        f"lookback = {quote(proposal.lookback)}",
        *_line('timezone = "UTC"', "how times without a zone are read"),
        *_line(
            f"protected = [{', '.join(map(quote, proposal.protected))}]",
            "user attributes named like one that nobody should be judged by"
            if proposal.protected
            else "user attributes that nobody should be judged by, as age or gender: none was found",
        ),
    ]
    for mapping in proposal.events:
        lines += ["", "[[events]]", *_body(mapping, "events", folder)]
    if proposal.items is not None:
        lines += ["", "[items]", *_body(proposal.items, "items", folder)]
    if proposal.users is not None:
        lines += ["", "[users]", *_body(proposal.users, "users", folder)]
    if proposal.only_orders:
        lines += ["", "[clean]", *_line("bots = false", _NO_BOTS)]
    return "\n".join(lines) + "\n"


def _body(mapping: Mapping, table: str, folder: Path) -> list[str]:
    lines = [*_line(f"path = {quote(_relative(mapping.path, folder))}", mapping.title)]
    if mapping.time == "order":
        order = "a position stands for the time" if TIME in mapping.columns else _FILE_ORDER
        lines += _line('time = "order"', f"the log has no times: {order}; it trains and ranks, causes are refused")
    if mapping.where is not None:
        lines += _line(f"where = {quote(mapping.where)}", mapping.why.get("where", "these rows only"))
    for note in mapping.notes:
        lines += _comment(f"check: {note}")
    for column, others in mapping.others.items():
        lines += _comment(f"check: {column} might as well be {', '.join(others)}")
    if mapping.unused:
        what = "kept as attributes" if table == "users" else "not mapped"
        lines += _comment(f"{what}: {_list(mapping.unused)}")
    if mapping.join is not None:
        path, on = mapping.join
        lines += [f"[{table}.join]", f"path = {quote(_relative(path, folder))}"]
        lines += _line(f"on = [{', '.join(map(quote, on))}]", "the columns that both files have")
    lines += _table(f"{table}.derive", mapping.derive, {})
    lines += _table(f"{table}.columns", _in_order(mapping.columns), mapping.why)
    lines += _table(f"{table}.constants", mapping.constants, mapping.why)
    return lines + _table(f"{table}.actions", mapping.actions, {})


def _in_order(columns: MappingOf[str, str]) -> dict[str, str]:
    """Return the columns in the order of the contract, the time first: it is what people look for."""
    order = dict.fromkeys((TIME, *MAPPABLE_COLUMNS, *ITEM_COLUMNS))
    return {column: columns[column] for column in order if column in columns}


def _list(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _MANY} more" if len(names) > _MANY else ""
    return ", ".join(names[:_MANY]) + more


def _table(name: str, values: MappingOf[str, str | int | float], why: MappingOf[str, str]) -> list[str]:
    if not values:
        return []
    lines = [f"[{name}]"]
    for key, value in values.items():
        text = quote(value) if isinstance(value, str) else repr(value)
        lines += _line(f"{_key(key)} = {text}", why.get(key, ""))
    return lines


def _line(text: str, why: str) -> list[str]:
    """Return a line with its comment beside it, or above it where both are too long for one line."""
    if not why:
        return [text]
    comment = _printable(why)
    beside = f"{text}  # {comment}"
    return [beside] if len(beside) <= _WIDTH else [*_comment(why), text]


def _comment(text: str) -> list[str]:
    wrapped = textwrap.wrap(_printable(text), _WIDTH - 2, break_long_words=False, break_on_hyphens=False)
    return [f"# {line}" for line in wrapped]


def _printable(text: str) -> str:
    """Return ``text`` without the characters that a TOML comment must not have."""
    return _UNPRINTABLE.sub("?", text)


def quote(text: str) -> str:
    """Return ``text`` as a string of TOML on one line: a literal one where that saves escapes, as in SQL."""
    if any(sign in text for sign in '"\\') and not _UNPRINTABLE.search(text) and "\t" not in text:
        if "'" not in text:
            return f"'{text}'"
        if "'''" not in text and not text.startswith("'") and not text.endswith("'"):
            return f"'''{text}'''"
    return _basic(text)


def _basic(text: str) -> str:
    return '"' + "".join(_escaped(character) for character in text) + '"'


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    return f"\\u{ord(character):04X}" if _UNPRINTABLE.match(character) else character


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _basic(name)


def _relative(path: str, folder: Path) -> str:
    """Return ``path`` from ``folder``, or as it is where no way leads there (another drive)."""
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:
        return path
