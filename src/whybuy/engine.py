"""Map a function over user shards and add what it returns: the one pattern that carries the scale.

A shard holds all the events of some users, so whatever must see the whole log is a sum over shards. The
sums are added in the order of the shards, however many processes computed them: one process and eight give
the same bits. Processes are spawned, not forked: a forked child would keep the workspace's lock after its
parent was killed.
"""

import ctypes
import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

from whybuy.config import Config
from whybuy.errors import ConfigError, SourceError

if TYPE_CHECKING:
    import duckdb


class Summable(Protocol):
    """Anything whose sum with its like is its like: numbers, arrays, data classes with ``__add__``."""

    def __add__(self, other: Any, /) -> Self:
        """Return the sum of two shards' results."""


S = TypeVar("S", bound=Summable)


@dataclass(frozen=True)
class LocalEngine:
    """Maps over shards in this process, or in several.

    Attributes
    ----------
    processes : how many; with more than one the function and its result must be picklable
    """

    processes: int = 1

    def map_sum(self, shards: Sequence[Path], function: Callable[[Path], S]) -> S:
        """Return the sum over ``shards`` of ``function(shard)``.

        Raises
        ------
        SourceError
            There are no shards.
        """
        if not shards:
            raise SourceError.of(
                found="The log has no shards",
                needed="At least one event is needed",
                do="Run `whybuy check` to see which rows were set aside",
            )
        if self.processes == 1 or len(shards) == 1:
            return _add(map(function, shards))
        pool = ProcessPoolExecutor(
            min(self.processes, len(shards)),
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_end_with_parent,
        )
        with pool:
            return _add(pool.map(function, shards))


def engine_of(config: Config) -> LocalEngine:
    """Return the engine that the config names.

    Raises
    ------
    ConfigError
        ``engine = "spark"``: it comes in a later version.
    """
    if config.engine == "spark":
        raise ConfigError.of(
            found='whybuy.toml says engine = "spark"',
            needed='This version of whybuy runs on engine = "local" only; Spark comes in a later one',
            do='Set engine = "local"',
        )
    return LocalEngine()


def _add(results: Iterable[S]) -> S:
    return reduce(lambda total, result: total + result, results)


def _end_with_parent() -> None:
    """End this worker when its parent is gone: a killed run must not leave workers waiting for work."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def give_back_memory() -> None:
    """Hand freed memory back to the system, called after a shard; without effect where the C library is not glibc.

    Batches of many shapes leave holes that glibc keeps: on a log of 5 million events they come to over a gibibyte.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


def steady_duckdb() -> "duckdb.DuckDBPyConnection":
    """Return a DuckDB in memory whose sums of fractions have the same bits on every run.

    One thread: several add up in the order in which they happen to finish. Speed comes from shards side by side.
    """
    import duckdb

    con = duckdb.connect(config={"threads": 1})
    without_bar(con)
    return con


def without_bar(con: "duckdb.DuckDBPyConnection") -> None:
    """Draw no progress bar.

    Where there is no main file (``python -c``, a notebook) DuckDB would draw it among the answers on stdout. In a
    notebook without widgets it is off already, and DuckDB refuses to be told so.
    """
    ((is_on,),) = con.execute("SELECT current_setting('enable_progress_bar')").fetchall()
    if is_on:
        con.execute("SET enable_progress_bar = false")
