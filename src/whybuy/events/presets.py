"""The public event logs that `whybuy init` knows.

They are data, in ``presets.toml`` beside this file; here they are read, and a file's columns are compared with them.

Recognition goes by names alone where a file has a header, because names are cheap to read and hard to meet by chance;
a file without a header is recognized by the number of its columns and what they hold.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files
from typing import Any, Literal

Role = Literal["events", "items", "users", "join", "other"]
Kind = Literal["number", "time", "action", "rating", "any"]
_PLACEHOLDER = re.compile(r"\{([a-z0-9|]+)(\??)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One kind of file of a public log; the fields are explained at the top of ``presets.toml``."""

    log: str
    name: str
    role: Role
    known_by: tuple[str, ...]
    never: tuple[str, ...] = ()
    headless: tuple[tuple[str, Kind], ...] = ()
    columns: dict[str, str] = field(default_factory=dict)
    derive: dict[str, str] = field(default_factory=dict)
    constants: dict[str, str | int | float] = field(default_factory=dict)
    actions: dict[str, str] = field(default_factory=dict)
    why: dict[str, str] = field(default_factory=dict)
    where: str | None = None
    join: str | None = None
    companion: bool = False
    in_order: bool = False
    stack: Literal["together", "overlap", "apart"] = "together"
    also: "Part | None" = None
    note: str = ""


@cache
def known_parts() -> tuple[Part, ...]:
    """Return every part of every known log, in the order of ``presets.toml``."""
    text = files("whybuy.events").joinpath("presets.toml").read_text(encoding="utf-8")
    return tuple(_part(raw) for raw in tomllib.loads(text)["part"])


def _part(raw: dict[str, Any]) -> Part:
    also = raw.pop("also", None)
    raw["known_by"] = tuple(raw["known_by"])
    raw["never"] = tuple(raw.get("never", ()))
    raw["headless"] = tuple((name, kind) for name, kind in raw.get("headless", ()))
    part = Part(**raw)
    return part if also is None else replace(part, also=_second_reading(part, also))


def _second_reading(part: Part, also: dict[str, Any]) -> Part:
    columns = {**part.columns, **also.get("columns", {})}
    return replace(
        part,
        where=also["where"],
        columns={column: source for column, source in columns.items() if source},
        derive={**part.derive, **also.get("derive", {})},
        constants={**part.constants, **also.get("constants", {})},
        why={**part.why, **also.get("why", {})},
    )


def plain(name: str) -> str:
    """Return a name without case, spaces and signs: ``"Customer ID"`` -> ``customerid``."""
    return "".join(character for character in name.casefold() if character.isalnum())


def recognize(columns: Iterable[str]) -> Part | None:
    """Return the known part that has these columns, or None; of several, the one that names the most of them."""
    names = {plain(column) for column in columns}
    found = [part for part in known_parts() if _has_all(names, part.known_by) and not names & set(part.never)]
    return max(found, key=lambda part: len(part.known_by), default=None)


def _has_all(names: set[str], wanted: Iterable[str]) -> bool:
    return all(any(name in names for name in alternatives.split("|")) for alternatives in wanted)


def resolve(alternatives: str, sources: Mapping[str, str]) -> str | None:
    """Return the source column of the first of ``a|b`` that ``sources`` (plain name -> source column) has."""
    return next((sources[name] for name in alternatives.split("|") if name in sources), None)


def fill(template: str, sources: Mapping[str, str]) -> str | None:
    """Return ``template`` with its placeholders replaced by quoted source columns, or None where one is missing.

    ``{name?}`` may be missing: it becomes NULL.
    """
    missing = False

    def quoted(match: re.Match[str]) -> str:
        nonlocal missing
        source = resolve(match[1], sources)
        if source is None:
            missing = missing or not match[2]
            return "NULL"
        return quote_name(source)

    text = _PLACEHOLDER.sub(quoted, template)
    return None if missing else text


def quote_name(name: str) -> str:
    """Return a column name quoted for SQL."""
    return '"' + name.replace('"', '""') + '"'


def used_by(template: str, sources: Mapping[str, str]) -> set[str]:
    """Return the source columns that ``template`` names."""
    found = (resolve(match[1], sources) for match in _PLACEHOLDER.finditer(template))
    return {source for source in found if source is not None}
