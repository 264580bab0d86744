"""Sentences that are written once and spoken twice: by DuckDB over a table of answers, by Python for one answer.

A sentence is a text, a number or a text of the row, one of several sentences, or sentences in a row. A condition is
about one column. Where a column is null no condition on it holds, as in SQL.
"""

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from whybuy.recommend.store import quoted

Row = Mapping[str, Any]
"""What is known of one answer, by column; None for null."""


@dataclass(frozen=True)
class Known:
    """The column is not null."""

    column: str


@dataclass(frozen=True)
class Is:
    """The column is true."""

    column: str


@dataclass(frozen=True)
class Compared:
    """The column compared with a number, or with so many times another column."""

    column: str
    how: Literal["<", "<=", "=", ">=", ">"]
    number: float
    times: str | None = None


@dataclass(frozen=True)
class Both:
    """Both conditions."""

    one: "Condition"
    other: "Condition"


Condition = Known | Is | Compared | Both


@dataclass(frozen=True)
class Number:
    """A number of the row in 100, as ``form`` prints it, perhaps without its sign."""

    column: str
    form: str
    unsigned: bool = False


@dataclass(frozen=True)
class Text:
    """What stands in the column."""

    column: str


@dataclass(frozen=True, init=False)
class OneOf:
    """The sentence of the first condition that holds, else ``otherwise``."""

    cases: tuple[tuple[Condition, "Sentence"], ...]
    otherwise: "Sentence"

    def __init__(self, *cases: "tuple[Condition, Sentence]", otherwise: "Sentence" = "") -> None:
        object.__setattr__(self, "cases", cases)
        object.__setattr__(self, "otherwise", otherwise)


Sentence = str | Number | Text | OneOf | tuple["Sentence", ...]

_HOW = {"<": operator.lt, "<=": operator.le, "=": operator.eq, ">=": operator.ge, ">": operator.gt}


def spoken(sentence: Sentence, row: Row) -> str:
    """Return the sentence about ``row``."""
    match sentence:
        case str():
            return sentence
        case tuple():
            return "".join([spoken(part, row) for part in sentence])
        case Number(column, form, unsigned):
            return form % (100 * abs(row[column]) if unsigned else 100 * row[column])
        case Text(column):
            return str(row[column])
        case OneOf(cases, otherwise):
            found = next((then for condition, then in cases if _holds(condition, row)), otherwise)
            return spoken(found, row)


def sql_of(sentence: Sentence) -> str:
    """Return the SQL expression of the sentence about a table with these columns."""
    match sentence:
        case str():
            return quoted(sentence)
        case tuple():
            return f"({' || '.join(map(sql_of, sentence))})"
        case Number(column, form, unsigned):
            return f"printf({quoted(form)}, 100 * {f'abs({column})' if unsigned else column})"
        case Text(column):
            return f"CAST({column} AS VARCHAR)"
        case OneOf(cases, otherwise):
            whens = " ".join(f"WHEN {_condition_sql(condition)} THEN {sql_of(then)}" for condition, then in cases)
            return f"CASE {whens} ELSE {sql_of(otherwise)} END"


def _holds(condition: Condition, row: Row) -> bool:
    match condition:
        case Known(column):
            return row[column] is not None
        case Is(column):
            return bool(row[column])
        case Both(one, other):
            return _holds(one, row) and _holds(other, row)
        case Compared(column, how, number, times):
            left, right = row[column], number if times is None else row[times]
            if left is None or right is None:
                return False
            return bool(_HOW[how](left, right if times is None else number * right))


def _condition_sql(condition: Condition) -> str:
    match condition:
        case Known(column):
            return f"{column} IS NOT NULL"
        case Is(column):
            return column
        case Both(one, other):
            return f"({_condition_sql(one)} AND {_condition_sql(other)})"
        case Compared(column, how, number, times):
            # As doubles, so that no decimal arithmetic of DuckDB rounds otherwise than Python does.
            much = f"{number!r}::DOUBLE"
            return f"{column} {how} {much if times is None else f'{much} * {times}'}"
