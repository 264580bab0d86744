"""What `whybuy init` proposes: the mappings of a log's files, the spans of time, and a reason for each of them."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import pandas as pd

from whybuy.columns import ACTION, ORDER, TIME, USER


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapping:
    """How the columns of one source become those of the contract.

    Attributes
    ----------
    title : what the source is, in words
    path : absolute path (file, folder, glob, or ``file.duckdb::table``)
    columns : contract column -> source (or derived) column
    derive : derived column -> SQL expression
    constants : contract column -> one value for every row
    actions : value in the log -> action of the contract
    time : "auto", or "order" where the log has only an order
    where : SQL condition on the rows, or None
    join : path of the joined file and the columns both have, or None
    why : contract column (or "where", "join", "time") -> reason, in words
    unused : source columns that are not read
    notes : what to check, in words
    others : contract column -> source columns that would do as well
    """

    title: str
    path: str
    columns: dict[str, str] = field(default_factory=dict)
    derive: dict[str, str] = field(default_factory=dict)
    constants: dict[str, str | int | float] = field(default_factory=dict)
    actions: dict[str, str] = field(default_factory=dict)
    time: Literal["auto", "order"] = "auto"
    where: str | None = None
    join: tuple[str, tuple[str, ...]] | None = None
    why: dict[str, str] = field(default_factory=dict)
    unused: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    others: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def meanings(self) -> set[str]:
        """The contract's actions that the source's rows can have."""
        return {*self.actions.values(), *(str(v) for k, v in self.constants.items() if k == ACTION)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A column of the contract for which several source columns fit about as well: a terminal may ask."""

    source: int
    """Which events mapping, from 0."""
    column: str
    chosen: str
    others: tuple[str, ...]

    @property
    def question(self) -> str:
        """The question in words."""
        return f"Which column is {self.column}? {self.chosen} was taken; also possible: {', '.join(self.others)}."


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A config to be, with the reason for every line.

    Attributes
    ----------
    log : the known public log that was recognized, or None
    events, items, users : the mappings
    horizon, lookback : durations as in the config
    span_days : days between the 1st and 99th percentile of time, or None for a log without times
    span_reason : why these durations, in words
    protected : user attributes proposed as protected
    notes : what was found beside the mappings, in words
    into : the folder from which the config's paths will be relative
    """

    log: str | None
    events: tuple[Mapping, ...]
    items: Mapping | None
    users: Mapping | None
    horizon: str
    lookback: str
    span_days: float | None
    span_reason: str
    protected: tuple[str, ...]
    notes: tuple[str, ...]
    into: Path

    @property
    def only_orders(self) -> bool:
        """Whether the log has nothing but orders line by line (and campaigns): many events a minute are a basket."""
        bought = [mapping for mapping in self.events if mapping.meanings & {"purchase", "return"}]
        allowed = {"purchase", "return", "campaign", "redeem"}
        return bool(bought) and all(
            mapping.meanings <= allowed and (mapping not in bought or ORDER in mapping.columns)
            for mapping in self.events
        )

    @property
    def choices(self) -> tuple[Choice, ...]:
        """The ambiguities, none of which has to be answered."""
        return tuple(
            Choice(source=number, column=column, chosen=mapping.columns[column], others=others)
            for number, mapping in enumerate(self.events)
            for column, others in mapping.others.items()
        )

    def choose(self, choice: Choice, source_column: str) -> "Proposal":
        """Return the proposal with another source column taken for ``choice``."""
        mapping = self.events[choice.source]
        changed = replace(
            mapping,
            columns={**mapping.columns, choice.column: source_column},
            why={**mapping.why, choice.column: "chosen by hand"},
            others={column: others for column, others in mapping.others.items() if column != choice.column},
        )
        events = (*self.events[: choice.source], changed, *self.events[choice.source + 1 :])
        return replace(self, events=events)

    def to_frame(self) -> pd.DataFrame:
        """Return one row per mapped column: source, column, taken from, why."""
        parts = [*self.events, *(m for m in (self.items, self.users) if m is not None)]
        rows = [
            (part.title, column, origin, part.why.get(column, ""))
            for part in parts
            for column, origin in (*part.columns.items(), *((c, repr(v)) for c, v in part.constants.items()))
        ]
        return pd.DataFrame(rows, columns=["source", "column", "from", "why"])

    def summary(self) -> str:
        """Return what was recognized and proposed, in a few lines."""
        lines = [
            f"The columns are those of {self.log}." if self.log else "No known public log: matched by names and values."
        ]
        for mapping in self.events:
            who, when = mapping.columns.get(USER, "?"), mapping.columns.get(TIME, "the order of the file")
            what = mapping.columns.get(ACTION, f"always {mapping.constants.get(ACTION)}")
            lines.append(f"{mapping.title}: user {who}, time {when}, action {what}.")
        for name, part in (("Items", self.items), ("Users", self.users)):
            if part is not None:
                lines.append(f"{name}: {part.title}.")
        lines.append(f"Horizon {self.horizon}, lookback {self.lookback}: {self.span_reason}.")
        return "\n".join(lines)
