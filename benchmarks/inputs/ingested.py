"""Logs that benchmarks read: a drawn shop or a shared log by its proposed mapping, ingested once into a folder."""

import os
from collections.abc import Callable
from pathlib import Path

from whybuy.config import Config, load_config
from whybuy.events.log import EventLog
from whybuy.events.propose import propose, write_config
from whybuy.events.sequences import SequenceStore, encode_log
from whybuy.events.shards import ingest
from whybuy.worlds import draw_demo, write_demo

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("WHYBUY_DATA", ROOT.parent / "shared" / "data")).resolve()


def demo(folder: Path) -> Config:
    """The demo shop of seed 0."""
    path = folder / "shop" / "whybuy.toml"
    if not path.exists():
        path = write_demo(draw_demo(0), folder / "shop")
    return load_config(path)


def proposed(name: str, folder: Path) -> Config:
    """A shared log with the mapping that is proposed for it."""
    path = folder / "whybuy.toml"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_config(propose(DATA / name, into=folder), path)
    return load_config(path)


def ingested(make: Callable[[], Config], folder: Path) -> tuple[EventLog, SequenceStore]:
    """Ingest and encode the log of ``make`` into ``folder``; it is not called where that was done before."""
    if not (folder / "done").exists():
        for part in ("log", "sequences"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        encode_log(ingest(make(), folder / "log"), folder / "sequences")
        (folder / "done").touch()
    log = EventLog.open(folder / "log")
    return log, SequenceStore.open(folder / "sequences", log)
