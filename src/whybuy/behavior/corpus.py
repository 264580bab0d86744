"""Everyone who is learned from: parts of whole users, prepared once and read back memory-mapped.

A part holds about a million events, whatever the length of the log, and only one is prepared at a time. A log's shards
are cut by a hash of the user, so a part is a random sample of users, and windows shuffled within parts that come in
random order are as good as windows shuffled over the log.
"""

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, overload

import numpy as np

from whybuy.behavior.examples import CONTEXT, Codes, Examples
from whybuy.behavior.folds import folds_of_users
from whybuy.behavior.packing import Windows, row_length
from whybuy.behavior.recent import Recent
from whybuy.behavior.targets import Heads, Targets
from whybuy.behavior.tokens import Tokens
from whybuy.events.moments import Moments
from whybuy.events.sequences import Bools, Ints, Sequences, concatenate
from whybuy.progress import Report, quiet

PART_EVENTS = 1_000_000

_STORED: dict[str, Any] = {
    "sequences": Sequences,
    "moments": Moments,
    "tokens": Tokens,
    "windows": Windows,
    "targets": Targets,
    "recent": Recent,
}
_CARD = "corpus.json"
_SMALL_BYTES = 65_536
"""Files below this are read whole: an empty array cannot be mapped, and a short one need not be."""


@dataclass(frozen=True)
class StoredCorpus(Sequence[Examples]):
    """Parts in folders; each is opened, memory-mapped, when it is asked for.

    Attributes
    ----------
    folders : one per part
    heads, codes : the same for all parts
    """

    folders: tuple[Path, ...]
    heads: Heads
    codes: Codes

    def __len__(self) -> int:
        """Return the number of parts."""
        return len(self.folders)

    @overload
    def __getitem__(self, part: int) -> Examples: ...
    @overload
    def __getitem__(self, part: slice) -> "StoredCorpus": ...
    def __getitem__(self, part: int | slice) -> "Examples | StoredCorpus":
        """Open a part."""
        if isinstance(part, slice):
            return StoredCorpus(self.folders[part], self.heads, self.codes)
        folder = self.folders[part]
        stored = {name: _opened(cls, folder, name) for name, cls in _STORED.items()}
        return Examples(heads=self.heads, codes=self.codes, wide=_array(folder / "wide.npy"), **stored)


@dataclass(frozen=True)
class Cut:
    """Who is learned from, and in what pieces.

    Attributes
    ----------
    share : of the users, by the hash of their ids
    context : tokens of a row at most
    events : of a part, about
    """

    share: float = 1.0
    context: int = CONTEXT
    events: int = PART_EVENTS


EVERYONE = Cut()


def prepare(
    shards: Iterable[Sequences],
    heads: Heads,
    codes: Codes,
    *,
    cut: Cut = EVERYONE,
    folder: Path | None = None,
    report: Report = quiet,
) -> Sequence[Examples]:
    """Return the examples of a log.

    Parameters
    ----------
    shards : of the log, as a :class:`whybuy.events.sequences.SequenceStore`; passed over twice
    cut : who is learned from, and in what pieces
    folder : where parts are written when there are several, and found again by a run that was interrupted; they stay
        in memory where None
    """
    lengths = _lengths(shards, cut.share)
    length, total = row_length(lengths, cut.context), int(lengths.sum())
    parts = _parts(shards, cut)
    if folder is None or total <= cut.events:
        return [Examples.of(part, heads, codes, length=length) for part in parts]
    fingerprint = _fingerprint(heads, length=length, **asdict(cut))
    n_parts = _n_prepared(folder, fingerprint)
    if n_parts is None:
        shutil.rmtree(folder, ignore_errors=True)
        n_parts = done = 0
        for part in parts:
            _save(Examples.of(part, heads, codes, length=length), _part(folder, n_parts))
            n_parts, done = n_parts + 1, done + part.n_events
            report("prepare", done, total)
        # Written last: a folder without it was left half made.
        (folder / _CARD).write_text(json.dumps({"fingerprint": fingerprint, "parts": n_parts}), encoding="utf-8")
    return StoredCorpus(tuple(_part(folder, number) for number in range(n_parts)), heads, codes)


def _lengths(shards: Iterable[Sequences], share: float) -> Ints:
    """(n_users,) events of every user that is learned from."""
    found = [np.diff(part.offsets)[_drawn(part, share)] for part in shards]
    return np.concatenate([np.empty(0, np.int64), *found])


def _parts(shards: Iterable[Sequences], cut: Cut) -> Iterator[Sequences]:
    """Yield about ``cut.events`` events of whole users at a time: several shards, or a block of one."""
    held: list[Sequences] = []
    for shard in shards:
        for block in shard.blocks(cut.events):
            held.append(block if cut.share == 1.0 else block.users(_drawn(block, cut.share)))
            if sum(part.n_events for part in held) >= cut.events:
                yield concatenate(held)
                held = []
    if held:
        yield concatenate(held)


def _drawn(part: Sequences, share: float) -> Bools:
    """(n_users,) whether a user is learned from."""
    return folds_of_users(part.user_ids).position < share


def _fingerprint(heads: Heads, **sizes: float) -> str:
    """Tell what the parts were prepared for; the log itself is told by the folder that they lie in."""
    asked = {
        "behaviors": [str(behavior) for behavior in heads.index.behaviors],
        "features": [*heads.spec.actions, *heads.spec.half_lives],
        "outcomes": heads.outcomes,
        "horizons": heads.horizons_ms,
        "forecasts": heads.forecasts_ms,
        "end": heads.end_ms,
    }
    return hashlib.sha256(json.dumps({**asked, **sizes}, sort_keys=True).encode()).hexdigest()


def _n_prepared(folder: Path, fingerprint: str) -> int | None:
    """Return how many parts an earlier run prepared for the same purpose; None where it did not, or not to the end."""
    if not (folder / _CARD).exists():
        return None
    card = json.loads((folder / _CARD).read_text(encoding="utf-8"))
    return int(card["parts"]) if card["fingerprint"] == fingerprint else None


def _part(folder: Path, number: int) -> Path:
    return folder / f"part-{number:05d}"


def _save(examples: Examples, folder: Path) -> None:
    """Write every array of a part as a file of its own."""
    folder.mkdir(parents=True)
    np.save(folder / "wide.npy", examples.wide)
    for name, cls in _STORED.items():
        for field in fields(cls):
            value = np.asarray(getattr(getattr(examples, name), field.name))
            np.save(folder / f"{name}.{field.name}.npy", value.astype(str) if value.dtype == object else value)


def _opened(cls: Any, folder: Path, name: str) -> Any:
    return cls(**{field.name: _array(folder / f"{name}.{field.name}.npy") for field in fields(cls)})


def _array(path: Path) -> Any:
    """Return an array memory-mapped, a short one or one of text as it is, a number as a number."""
    if path.stat().st_size > _SMALL_BYTES:
        return np.load(path, mmap_mode="r")
    value = np.load(path)
    return value if value.ndim else value.item()
