"""Several processes of one run, started by ``torchrun`` on one machine or on many.

The first process does all that a lone one does. The others wait for its word, take part in training, and end with it;
they write nothing and print nothing. Words pass through the store that torchrun keeps for its processes, where a
process can wait for hours without burning a core or running into the time limit of a collective: earlier stages may
take that long. Tensors pass through the process group, which exists only while a model is trained.

Rejected: every process running every stage up to training, which would read the log once per process and make the
workspace's lock a matter of several machines.
"""

import functools
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from whybuy.errors import ModelError, WhybuyError

if TYPE_CHECKING:
    from torch.distributed.distributed_c10d import Store

T = TypeVar("T")

_PATIENCE = timedelta(days=30)
"""How long a process waits for the stages before training; torchrun ends it where another one fails."""
_ANSWER_WITHIN = timedelta(minutes=30)
_GO, _END = "go", "end"


@dataclass(frozen=True)
class Processes:
    """Where this process stands among those of its run.

    Attributes
    ----------
    rank : 0 for the first
    world : processes in all
    on_machine : processes on this machine
    """

    rank: int = 0
    world: int = 1
    on_machine: int = 1

    @classmethod
    def here(cls) -> "Processes":
        """Return what torchrun says; one process alone where nobody started it so."""
        said = os.environ
        if "TORCHELASTIC_RUN_ID" not in said:
            return cls()
        return cls(int(said["RANK"]), int(said["WORLD_SIZE"]), int(said["LOCAL_WORLD_SIZE"]))

    @property
    def alone(self) -> bool:
        """Whether there is no other process."""
        return self.world == 1

    @property
    def helps(self) -> bool:
        """Whether this process only takes part in training."""
        return self.rank > 0

    @property
    def machines(self) -> int:
        """How many machines there are, where each has as many processes."""
        return self.world // self.on_machine


@contextmanager
def leading() -> Iterator[None]:
    """Let the other processes end when this one, the first, has nothing more for them."""
    try:
        yield
    finally:
        if not Processes.here().alone:
            _say(_END)


def call_to_train(task: dict[str, Any]) -> None:
    """Tell the other processes what to train, and return when each of them has found what it needs.

    Raises
    ------
    ModelError
        A process cannot take part; its own words say why.
    """
    here = Processes.here()
    if here.alone:
        return
    number = _say(json.dumps(task))
    for rank in range(1, here.world):
        answer = _heard(_answer_key(number, rank), _ANSWER_WITHIN)
        if answer:
            text = f"Process {rank} of {here.world} cannot take part in training. {answer}"
            raise ModelError(text)
    _say(_GO)


def tasks(ready: Callable[[dict[str, Any]], None]) -> Iterator[dict[str, Any]]:
    """Yield what the first process calls the others to train, until it ends.

    Parameters
    ----------
    ready : raises a WhybuyError where this process cannot take part; the first process then says so and ends all
    """
    number = 1
    while (text := _heard(_word_key(number), _PATIENCE)) != _END:
        task, answer = json.loads(text), ""
        try:
            ready(task)
        except WhybuyError as error:
            answer = str(error)
        _store().set(_answer_key(number, Processes.here().rank), answer)
        if _heard(_word_key(number + 1), _ANSWER_WITHIN) == _END:
            return
        yield task
        number += 2


def first_before_others(make: Callable[[], T]) -> T:
    """Return what ``make`` returns; it is called in the other processes when the first has done it."""
    here = Processes.here()
    if here.alone:
        return make()
    turn = f"made/{_store().add(f'turns/{here.rank}', 1)}"
    if here.helps:
        _heard(turn, _PATIENCE)
        return make()
    made = make()
    _store().set(turn, "")
    return made


def first_to_fail() -> bool:
    """Whether this process should say what went wrong: only the first to ask, for its failure is why others fail."""
    return Processes.here().alone or _store().add("failed", 1) == 1


@functools.cache
def _store() -> "Store":
    from torch.distributed.distributed_c10d import PrefixStore
    from torch.distributed.rendezvous import rendezvous

    store, _, _ = next(rendezvous("env://"))
    # The store outlives processes that torchrun starts again; what was said before is not meant for them.
    return PrefixStore(f"whybuy/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)


def _say(text: str) -> int:
    number = _store().add("words", 1)
    _store().set(_word_key(number), text)
    return number


def _heard(key: str, patience: timedelta) -> str:
    _store().wait([key], patience)
    return _store().get(key).decode()


def _word_key(number: int) -> str:
    return f"word/{number}"


def _answer_key(number: int, rank: int) -> str:
    return f"answer/{number}/{rank}"
