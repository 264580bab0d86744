"""One tree of errors.

::

    WhybuyError (ValueError)             the user can mend it: exit code 2
    ├── ConfigError                      whybuy.toml: unknown key, wrong type, contradiction
    ├── SourceError                      a source that cannot be read or is no event log
    │   └── ColumnsError                 a column that was asked for is not there
    ├── BehaviorError                    a behavior that cannot be parsed or is not in the log
    ├── QuestionError                    an explicit question that cannot be asked of this log
    ├── ArraysError                      plain arrays that no effect can be estimated from
    ├── PolicyError                      what no slate can be drawn from, no ranking judged by
    ├── WorkspaceError                   the folder of results: locked, not writable, full, missing a stage
    ├── ModelError                       a checkpoint that is corrupt, foreign or of another log
    └── MissingExtraError                an optional part that is not installed

Every message has three parts: what was found, what was needed, what to do.
"""

import difflib
from collections.abc import Iterable
from typing import Self


class WhybuyError(ValueError):
    """A condition the user can mend; its text says what was found, what was needed and what to do."""

    @classmethod
    def of(cls, *, found: str, needed: str, do: str) -> Self:
        """Return the error whose three-part text is built from these facts."""
        return cls(f"{_sentence(found)} {_sentence(_need(needed))} {_sentence(do)}")


class ConfigError(WhybuyError):
    """``whybuy.toml`` has an unknown key, a value of the wrong kind or a contradiction."""


class SourceError(WhybuyError):
    """A source cannot be read, or is not an event log."""


class ColumnsError(SourceError):
    """A column that the mapping names is not in the source."""

    @classmethod
    def missing(cls, wanted: Iterable[str], present: Iterable[str], *, where: str) -> "ColumnsError":
        """Return the error for ``wanted`` columns that ``where`` does not have, naming the nearest present one."""
        wanted, present = list(wanted), list(present)
        hints = [f"{w} (did you mean {near}?)" if (near := nearest(w, present)) else w for w in wanted]
        return cls(
            f"{where} has the columns {', '.join(present) or 'none'}. "
            f"Needed: {', '.join(hints)}. Correct the [events.columns] mapping in whybuy.toml or run `whybuy init`."
        )


class BehaviorError(WhybuyError):
    """A behavior cannot be parsed, or the log does not have it."""


class QuestionError(WhybuyError):
    """An explicit question cannot be asked of this log."""


class ArraysError(WhybuyError):
    """Plain arrays from which no effect can be estimated."""


class PolicyError(WhybuyError):
    """Settings or candidates from which no slate can be drawn, or rankings that cannot be judged."""


class WorkspaceError(WhybuyError):
    """The workspace is locked, not writable, full, or lacks a stage."""


class ModelError(WhybuyError):
    """A checkpoint is corrupt, foreign, or belongs to another log."""


class MissingExtraError(WhybuyError, ImportError):
    """An optional part is not installed."""

    @classmethod
    def of_extra(cls, package: str, extra: str) -> "MissingExtraError":
        """Return the error with the exact install line."""
        return cls(f"{package} is not installed. It is needed here. Run: pip install 'whybuy[{extra}]'.")


def nearest(word: str, choices: Iterable[str]) -> str | None:
    """Return the choice most like ``word``, or None where none is near."""
    found = difflib.get_close_matches(word, list(choices), n=1, cutoff=0.5)
    return found[0] if found else None


def _need(text: str) -> str:
    """Make a sentence of a need that is written as a phrase."""
    text = text.strip()
    if "needed" in text or not text[:1].islower():
        return text
    return f"Needed: {text}"


def _sentence(text: str) -> str:
    text = text.strip()
    return text if text.endswith((".", "?", "!")) else text + "."
