"""The folder of results: stages that are whole or absent, and one run at a time.

A stage is a folder named after it with a ``stage.json`` that says what it was made from: the fingerprint of
its inputs and of the code. It is built under another name, synced, and renamed into place, so that a killed
run leaves either the old stage or the new one and a rerun goes on with the first stage that is missing or
stale. Leftovers are removed by the next run that gets the lock. The lock is the kernel's (``flock``): it
ends with the process that holds it, so a killed run never blocks the next one. Rejected: a lock file with a
pid in it, which outlives its process; a database of stages, which can disagree with the folders.
"""

import errno
import fcntl
import functools
import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import whybuy
from whybuy.errors import WorkspaceError

DEFAULT_WORKSPACE = Path("whybuy-workspace")
CARD = "stage.json"
"""Written last into a stage: without it the folder is no stage."""

_LOCK = ".lock"
_BUILDING, _REPLACED = ".building-", ".replaced-"
_FULL = (errno.ENOSPC, errno.EDQUOT)
_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.EISDIR)
# numpy says "1000 requested and 24 written" of a full disk; DuckDB and safetensors wrap the system's words.
_FULL_TEXT = re.compile(
    r"no space left|disk full|out of disk|not enough space|requested and \d+ written", re.IGNORECASE
)
_WRITERS = (("duckdb", "IOException"), ("safetensors", "SafetensorError"))
"""Errors of writing that are no OSError: looked up only where their package was loaded."""


class Workspace:
    """Everything derived from one log, in one folder.

    Parameters
    ----------
    root : the folder; made when the first stage is built
    """

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self._held = 0

    def path(self, name: str) -> Path:
        """Return the folder of a stage, whether it is there or not."""
        return self.root / name

    def is_fresh(self, name: str, inputs: dict[str, Any]) -> bool:
        """Return whether the stage is there, whole, and made from exactly these inputs by this code."""
        card = self._card(name)
        if card is None or card.get("fingerprint") != fingerprint(inputs):
            return False
        folder = self.path(name)
        return all(_size(folder / file) == size for file, size in card["files"].items())

    def stage(self, name: str, inputs: dict[str, Any], build: Callable[[Path], object]) -> Path:
        """Return the folder of a stage, built first where it is missing or stale.

        Parameters
        ----------
        inputs : everything the result depends on, as JSON; the code's version is added here
        build : writes the stage into the (empty, existing) folder it is given; it must not keep paths into it

        Raises
        ------
        WorkspaceError
            Another run holds the workspace, it cannot be written, or the disk is full.
        """
        if self.is_fresh(name, inputs):
            return self.path(name)
        with self.lock():
            self._build(name, inputs, build)
        return self.path(name)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the workspace alone; a second time within one process is no matter.

        Raises
        ------
        WorkspaceError
            Another process holds it (its id is named), or the folder cannot be written.
        """
        if self._held:
            self._held += 1
            try:
                yield
            finally:
                self._held -= 1
            return
        handle = self._acquire()
        self._held = 1
        try:
            with self._writing("the lock"):
                self._remove_leftovers()
            yield
        finally:
            self._held = 0
            os.close(handle)

    def write_json(self, name: str, content: Any) -> Path:
        """Write a JSON file beside the stages, whole or not at all, and return its path."""
        return self.write_file(name, json.dumps(content, indent=1, allow_nan=False).encode())

    def write_file(self, name: str, content: bytes) -> Path:
        """Write a file beside the stages, whole or not at all, and return its path."""
        temporary = self.root / f"{_BUILDING}{name}"
        with self.lock(), self._writing(name):
            try:
                temporary.write_bytes(content)
                os.replace(temporary, self.root / name)
            finally:
                temporary.unlink(missing_ok=True)
        return self.root / name

    def _card(self, name: str) -> dict[str, Any] | None:
        try:
            card: dict[str, Any] = json.loads((self.path(name) / CARD).read_text(encoding="utf-8"))
        except (OSError, json.JSONDecodeError, UnicodeDecodeError):
            return None
        return card

    def _build(self, name: str, inputs: dict[str, Any], build: Callable[[Path], object]) -> None:
        temporary = self.root / f"{_BUILDING}{name}"
        replaced = self.root / f"{_REPLACED}{name}"
        target = self.path(name)
        try:
            with self._writing(name):
                temporary.mkdir()
                build(temporary)
                _seal(temporary, name, inputs)
                if target.exists():
                    target.rename(replaced)
                temporary.rename(target)
                _sync(self.root)
                _remove(replaced)
        finally:
            # A failed build is of no use to anyone and may be what fills the disk.
            shutil.rmtree(temporary, ignore_errors=True)

    def _acquire(self) -> int:
        with self._writing("the lock"):
            self.root.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.root / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(handle, 32, 0).decode(errors="replace").strip()
            os.close(handle)
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise WorkspaceError.of(
                    found=f"The workspace {self.root} cannot be locked ({error.strerror})",
                    needed="A file system with locks is needed",
                    do="Name a folder on a local disk with --workspace",
                ) from error
            raise WorkspaceError.of(
                found=f"Another run (process {holder or 'unknown'}) is using the workspace {self.root}",
                needed="A workspace takes one run at a time",
                do=f"Wait for process {holder or 'unknown'} to end, or name another folder with --workspace",
            ) from error
        with self._writing("the lock"):
            os.ftruncate(handle, 0)
            os.pwrite(handle, str(os.getpid()).encode(), 0)
        return handle

    def _remove_leftovers(self) -> None:
        for prefix in (_BUILDING, _REPLACED):
            for left in self.root.glob(f"{prefix}*"):
                _remove(left)

    @contextmanager
    def _writing(self, what: str) -> Iterator[None]:
        """Turn what the system says about the disk into words; everything else passes unchanged."""
        try:
            yield
        except OSError as error:
            self._explain(error, what)
        except _loaded_writers() as error:
            if _FULL_TEXT.search(str(error)):
                raise self._full(what) from error
            raise

    def _explain(self, error: OSError, what: str) -> NoReturn:
        if error.errno in _FULL or (error.errno is None and _FULL_TEXT.search(str(error))):
            raise self._full(what) from error
        if error.errno in _REFUSED and self._is_mine(error.filename):
            raise WorkspaceError.of(
                found=f"{error.filename or self.root} cannot be written ({error.strerror}) for {what}",
                needed=f"The workspace {self.root} must be a folder that this user can write",
                do="Change its permissions, or name another folder with --workspace",
            ) from error
        raise error

    def _is_mine(self, filename: Any) -> bool:
        """Return whether a system error is about the workspace or a folder above it, not a user's file."""
        if filename is None:
            return True
        path = Path(os.fsdecode(filename)).absolute()
        return path.is_relative_to(self.root) or self.root.is_relative_to(path)

    def _full(self, what: str) -> WorkspaceError:
        existing = next(p for p in (self.root, *self.root.parents) if p.exists())
        free = shutil.disk_usage(existing).free / 1e6
        return WorkspaceError.of(
            found=f"The disk of {self.root} is full ({free:,.0f} MB free) while making {what}",
            needed="About three times the size of the log is needed",
            do="Free space and run again (finished stages are kept), or name another disk with --workspace",
        )


def fingerprint(inputs: dict[str, Any]) -> str:
    """Return the sha256 of the inputs as canonical JSON and of the code that is running."""
    text = json.dumps({"inputs": inputs, "code": code_version()}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


@functools.cache
def code_version() -> str:
    """Return a hash of the version and of every file of the package: any change of the code makes stages stale."""
    package = Path(whybuy.__file__).parent
    digest = hashlib.sha256(whybuy.__version__.encode())
    for file in sorted(p for p in package.rglob("*") if p.is_file() and "__pycache__" not in p.parts):
        digest.update(file.relative_to(package).as_posix().encode() + b"\0")
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _seal(folder: Path, name: str, inputs: dict[str, Any]) -> None:
    """Sync every file of a built stage, then write its card."""
    files = {}
    for file in sorted(p for p in folder.rglob("*") if p.is_file()):
        files[file.relative_to(folder).as_posix()] = file.stat().st_size
        _sync(file)
    card = {
        "name": name,
        "fingerprint": fingerprint(inputs),
        "version": whybuy.__version__,
        "inputs": inputs,
        "files": files,
    }
    path = folder / CARD
    path.write_text(json.dumps(card, indent=1), encoding="utf-8")
    _sync(path)
    _sync(folder)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _loaded_writers() -> tuple[type[BaseException], ...]:
    found = (getattr(sys.modules.get(package), error, None) for package, error in _WRITERS)
    return tuple(error for error in found if error is not None)
