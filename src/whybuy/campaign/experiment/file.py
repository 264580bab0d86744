"""The assignment as a file: who gets which arm, how it was drawn, and a hash that tells whether it is still that.

Parquet keeps the design in the file's metadata; CSV in a first line that begins with ``#`` (``pandas.read_csv(path,
comment="#")``). The sha256 is of the design and of every row, so that a changed arm, a lost unit and a changed start
are all seen. A file from another system (``user_id`` or ``unit``, and ``arm``) is read as well, and nothing is known
of it.
"""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from whybuy import columns as c
from whybuy.campaign.experiment.design import Design
from whybuy.errors import ColumnsError, SourceError, WorkspaceError

UNIT, ARM, STRATUM = "unit", "arm", "stratum"
_KEY = b"whybuy.assignment"
_HEAD = "# whybuy assignment "
_KINDS = (".parquet", ".csv")


@dataclass(frozen=True)
class Assignment:
    """Who gets which arm.

    Attributes
    ----------
    frame : ``unit``, ``arm``, ``stratum``, text, sorted by unit
    design : how it was drawn; None where another system did
    """

    frame: pd.DataFrame
    design: Design | None

    @cached_property
    def sha256(self) -> str:
        """The hash of design and rows."""
        design = None if self.design is None else self.design.to_json()
        text = json.dumps(design) + "\n" + self.frame.to_csv(sep="\t", index=False, lineterminator="\n")
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def is_rehearsal(self) -> bool:
        """Whether the arms were drawn when outcomes were already there."""
        return self.design is not None and self.design.start_ms < self.design.known_until_ms

    def write(self, path: Path) -> None:
        """Write the file; Parquet unless the name says CSV (a name that is still temporary may end in .part)."""
        assert self.design is not None
        card = json.dumps({"sha256": self.sha256, "design": self.design.to_json()})
        if ".csv" in path.suffixes:
            rows = self.frame.to_csv(index=False, lineterminator="\n")
            path.write_text(f"{_HEAD}{card}\n{rows}", encoding="utf-8")
            return
        table = pa.Table.from_pandas(self.frame, preserve_index=False)
        pq.write_table(table.replace_schema_metadata({_KEY: card.encode()}), path)

    def require_free(self, path: Path) -> bool:
        """Return whether ``path`` is to be written: not where it holds this very assignment.

        Raises
        ------
        WorkspaceError
            It holds something else, or is neither Parquet nor CSV by its name.
        """
        if path.suffix not in _KINDS:
            raise WorkspaceError.of(
                found=f"{path} is neither .parquet nor .csv", needed="one of these", do=f"Write {path.stem}.parquet"
            )
        if not path.exists():
            return True
        try:
            same = read_assignment(path).sha256 == self.sha256
        except SourceError:
            same = False
        if not same:
            raise WorkspaceError.of(
                found=f"{path} is there and holds something else",
                needed="a new name: an experiment under way must keep its assignment",
                do="Name another --output, or remove the file if no experiment uses it",
            )
        return False


def read_assignment(path: Path) -> Assignment:
    """Return the assignment of a file.

    Raises
    ------
    SourceError
        The file cannot be read, or is not what its hash says.
    ColumnsError
        It lacks the unit or the arm.
    """
    if not path.is_file():
        raise SourceError.of(
            found=f"{path} was not found",
            needed="the file that `whybuy experiment assign` wrote",
            do="Name it, or assign first",
        )
    frame, card = _read(path)
    unit = UNIT if UNIT in frame else c.USER
    lacking = [name for name in (unit, ARM) if name not in frame]
    if lacking:
        raise ColumnsError.missing(lacking, list(frame.columns), where=str(path))
    if card is None:
        renamed = frame.rename(columns={unit: UNIT}).assign(**{STRATUM: frame.get(STRATUM, "all")})
        return Assignment(renamed[[UNIT, ARM, STRATUM]].reset_index(drop=True), None)
    found = Assignment(frame[[UNIT, ARM, STRATUM]], Design.from_json(card["design"]))
    if found.sha256 != card["sha256"]:
        raise SourceError.of(
            found=f"{path} was changed after it was written: its rows or its design no longer have the hash "
            f"{card['sha256'][:12]}… ({found.sha256[:12]}…)",
            needed="the assignment as it was drawn",
            do="Bring the original back; with the same log and seed `whybuy experiment assign` draws it again",
        )
    return found


def _read(path: Path) -> tuple[pd.DataFrame, dict[str, Any] | None]:
    """Return the rows as text, and what the file says of itself."""
    try:
        if path.suffix == ".csv":
            text = path.read_text(encoding="utf-8")
            head = text.partition("\n")[0]
            card = json.loads(head.removeprefix(_HEAD)) if head.startswith(_HEAD) else None
            frame = pd.read_csv(path, skiprows=0 if card is None else 1, dtype=str, keep_default_na=False)
            return frame.astype(object), card
        table = pq.read_table(path)
        raw = (table.schema.metadata or {}).get(_KEY)
        return table.to_pandas().astype(object), None if raw is None else json.loads(raw)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise SourceError.of(
            found=f"{path} cannot be read ({str(error).splitlines()[0]:.80})",
            needed="a Parquet or CSV file with a unit and an arm",
            do="Name the file that `whybuy experiment assign` wrote",
        ) from error
