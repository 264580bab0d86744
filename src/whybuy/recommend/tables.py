"""The tables that a build leaves and answers rest on, and what is said where they are missing or short."""

from pathlib import Path

from whybuy.errors import QuestionError, WorkspaceError
from whybuy.recommend.terms import Terms

TABLES = ("items", "lifts", "exposed", "followers", "places", "effects", "effect_shares")
"""One Parquet file each, in the order of their columns; rows of ``items`` by item number."""


def check_k(k: int) -> None:
    """Refuse to answer with no item.

    Raises
    ------
    QuestionError
        ``k`` is not positive.
    """
    if k < 1:
        raise QuestionError.of(
            found=f"{k} recommendations were asked for", needed="At least 1 is needed", do="Ask with -k 10"
        )


def check_built(folder: Path) -> None:
    """Refuse a folder in which nothing was built.

    Raises
    ------
    WorkspaceError
        ``folder`` holds no recommendations.
    """
    missing = [name for name in (*TABLES, "people", "terms") if not list(folder.glob(f"{name}.*"))]
    if missing:
        raise WorkspaceError.of(
            found=f"{folder} lacks {', '.join(missing)}",
            needed="the tables of the recommend stage are needed",
            do="Run `whybuy run` first",
        )


def notes_of(terms: Terms, *, n_on_sale: int, n_items: int, k: int) -> tuple[str, ...]:
    """Return what has to be said of a list of ``k`` as a whole."""
    notes = [f"{note[0].upper()}{note[1:]}." for note in terms.notes]
    if n_on_sale < k:
        notes.append(f"{k} items were asked for; {n_on_sale} of the {n_items} in the catalog are on sale.")
    return tuple(notes)
