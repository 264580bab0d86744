"""From a config to a whole workspace: the stages, what each is made from, and in which order.

A stage is stale when its settings, the source files, the code or a stage it needs changed; whoever asks for a stage
gets those it needs first. Fingerprints follow from the config and the files alone, so that what is stale is known
before anything runs, and a workspace in which nothing is stale is read without taking its lock.
"""

import glob
import hashlib
import hmac
import json
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from whybuy.causal import missing_for_discovery
from whybuy.config import Config
from whybuy.engine import engine_of, give_back_memory
from whybuy.errors import MissingExtraError, QuestionError, WorkspaceError
from whybuy.progress import Report, quiet
from whybuy.workspace import CARD as STAGE_CARD
from whybuy.workspace import Workspace, code_version, fingerprint

if TYPE_CHECKING:
    from whybuy.campaign.forecasts import Forecaster
    from whybuy.causal.effects import Effect
    from whybuy.causal.study import Study
    from whybuy.events.log import EventLog
    from whybuy.events.sequences import SequenceStore

EFFECTS = "effects.json"
CAMPAIGNS = "campaigns.json"
REPORT = "report.html"
COST = "cost.json"
"""Beside the stages: what the last training took."""
TRAINING = "training"
"""Beside the stages: what an interrupted training needs to go on, a folder per log."""
TRACKING = "tracking"
"""Beside the stages: losses for TensorBoard or MLflow."""
TEXT_CACHE = "text-cache"
"""Beside the stages: vectors of texts by their hash."""
CERTIFICATE = "certificate"
"""A stage that no other needs, see :mod:`whybuy.certified`."""
COPIES = "certificate-copies"
"""Beside the stages: what the certificate's finished copies said."""
TRUTH = "truth.json"
CARD = "workspace.json"
"""Beside the stages: which config the workspace was made from."""


@dataclass(frozen=True, slots=True)
class StageDone:
    """A stage that is there now; ``seconds`` is None where it was fresh."""

    name: str
    seconds: float | None


class Finished(Protocol):
    """Anything that is told of every finished stage."""

    def __call__(self, done: StageDone, /) -> None:
        """Say that a stage is there."""


class Askable(Protocol):
    """Any question."""

    def require_possible(self, study: "Study", /) -> None:
        """Raise where it cannot be asked of the log; no model is needed."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage: what builds it in an empty folder, the stages it needs, and the settings that decide it."""

    build: Callable[["Pipeline", Path], None]
    needs: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)


class Pipeline:
    """The stages of one config in one workspace.

    Parameters
    ----------
    report : told of the progress within a stage
    finished : told of every stage that is there
    origin : the file of the config, noted in the workspace so that later commands find it
    """

    def __init__(
        self,
        config: Config,
        workspace: Workspace,
        *,
        report: Report = quiet,
        finished: Finished = lambda _: None,
        origin: Path | None = None,
    ) -> None:
        engine_of(config)
        self.config = config
        self.workspace = workspace
        self.report = report
        self.finished = finished
        self.origin = origin

    def run(self, *wanted: str) -> list[StageDone]:
        """Build what is missing or stale of the ``wanted`` stages and of those they need; all where none is named.

        Raises
        ------
        WhybuyError
            The log, the config or the workspace cannot be used; finished stages are kept.
        """
        names = _with_needs(wanted or tuple(STAGES))
        inputs = self._inputs(names)
        if all(self.workspace.is_fresh(name, inputs[name]) for name in names):
            done = [StageDone(name, None) for name in names]
            for stage in done:
                self.finished(stage)
        else:
            with self.workspace.lock():
                self._adopt()
                inputs = self._inputs(names)
                done = [self._one(name, inputs[name]) for name in names]
        if "report" in names:
            self._publish()
        return done

    def prepare(self, stage: str, *questions: Askable) -> None:
        """Build what questions need; what cannot be asked of the log is said before anything that takes long.

        Raises
        ------
        QuestionError, BehaviorError
            One of the questions cannot be asked of this log.
        """
        if stage != "events":
            self.run("sequences")
            for question in questions:
                question.require_possible(self.study)
        self.run(stage)

    def folder(self, name: str) -> Path:
        """Return the folder of a stage that was run."""
        return self.workspace.path(name)

    @cached_property
    def log(self) -> "EventLog":
        """The ingested log; its stage must have been run."""
        from whybuy.events.log import EventLog

        return EventLog.open(self.folder("events"))

    @cached_property
    def store(self) -> "SequenceStore":
        """The log as integers; its stage must have been run."""
        from whybuy.events.sequences import SequenceStore

        return SequenceStore.open(self.folder("sequences"), self.log)

    @property
    def study(self) -> "Study":
        """What causal questions are asked of; the model's stage must have been run."""
        from whybuy.causal.study import Study

        return Study(self.store, self.log, self.config, self.folder("model"), self.folder("scan"))

    @property
    def forecaster(self) -> "Forecaster | None":
        """What foretells people's next days; the model's stage must have been run. None where no campaign asks it."""
        from whybuy.behavior.twins import TwinModels
        from whybuy.campaign.forecasts import Forecaster

        if not (self.log.quality.campaigns and self.log.quality.has_times):
            return None
        return Forecaster(TwinModels.open(self.folder("model"), self.store), self.store)

    def effects(self, stage: str = "confirm") -> "list[Effect]":
        """Return all effects of the scan, or those with the confirmed ones in place."""
        from whybuy.causal.scan import read_effects

        return read_effects(self.folder(stage) / EFFECTS)

    @property
    def report_path(self) -> Path:
        """Where the report stands."""
        return self.workspace.root / REPORT

    def _one(self, name: str, inputs: dict[str, Any]) -> StageDone:
        fresh = self.workspace.is_fresh(name, inputs)
        started = time.monotonic()
        self.workspace.stage(name, inputs, lambda folder: STAGES[name].build(self, folder))
        give_back_memory()
        done = StageDone(name, None if fresh else time.monotonic() - started)
        self.finished(done)
        return done

    def _inputs(self, names: list[str]) -> dict[str, dict[str, Any]]:
        """Return what every stage is made from; the fingerprints of what it needs stand for all before it."""
        found: dict[str, dict[str, Any]] = {}
        for name in names:
            stage = STAGES[name]
            found[name] = {
                "settings": self.config.model_dump(mode="json", include=stage.settings),
                "needs": {need: fingerprint(found[need]) for need in stage.needs},
            } | self._from_outside(name, found)
        return found

    def _from_outside(self, name: str, before: dict[str, dict[str, Any]]) -> dict[str, Any]:
        """Return what a stage is made from beside settings and the stages ``before`` it."""
        if name == "events":
            return {"sources": source_files(self.config), "key": _key_mark(self.config)}
        if name == "report":
            # With the extra installed the report holds a second opinion that it lacked before.
            certificate = self.certificate(made_from=fingerprint(before["scan"]))
            return {
                "truth": _content(self.workspace.root / TRUTH),
                "lacks": missing_for_discovery(),
                "certificate": None if certificate is None else _content(certificate),
            }
        return {}

    def certificate(self, *, made_from: str) -> Path | None:
        """Return the file of the certificate that was made from a scan; None where there is none or another's."""
        try:
            card = json.loads((self.folder(CERTIFICATE) / STAGE_CARD).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return self.folder(CERTIFICATE) / f"{CERTIFICATE}.json" if card["inputs"]["scan"] == made_from else None

    def made_from(self, name: str) -> str:
        """Return the fingerprint of what a finished stage was made from."""
        card = json.loads((self.folder(name) / STAGE_CARD).read_text(encoding="utf-8"))
        return str(card["fingerprint"])

    def _adopt(self) -> None:
        """Note the config; drop the truth of a demo shop where the workspace now holds another log."""
        if self.origin is not None:
            self.workspace.write_json(CARD, {"config": str(self.origin.resolve())})
        root = self.workspace.root.resolve()
        if not self.config.base.resolve().is_relative_to(root):
            (root / TRUTH).unlink(missing_ok=True)

    def _publish(self) -> None:
        """Copy the page of the report's stage to where people look for it."""
        page = self.folder("report") / REPORT
        if _content(page) != _content(self.report_path):
            self.workspace.write_file(REPORT, page.read_bytes())


def _ingest(run: Pipeline, folder: Path) -> None:
    from whybuy.events.shards import ingest

    ingest(run.config, folder, report=run.report)


def _encode(run: Pipeline, folder: Path) -> None:
    from whybuy.events.sequences import encode_log
    from whybuy.events.text import packaged_embedder

    embedder = packaged_embedder() if run.config.behavior.text else None
    encode_log(run.log, folder, embedder=embedder, text_cache=run.workspace.root / TEXT_CACHE, report=run.report)


def _train(run: Pipeline, folder: Path) -> None:
    from whybuy.behavior.processes import call_to_train

    log = str(_content(run.folder("sequences") / STAGE_CARD))
    checkpoints = run.workspace.root / TRAINING / log[:16]
    checkpoints.mkdir(parents=True, exist_ok=True)
    call_to_train(
        {
            "config": run.config.model_dump(mode="json"),
            "workspace": str(run.workspace.root),
            "checkpoints": str(checkpoints),
            "log": log,
            "code": code_version(),
        }
    )
    cost = _train_together(run, folder, checkpoints)
    shutil.rmtree(checkpoints.parent)
    # Beside the stage: what it took differs from run to run, what came out does not.
    run.workspace.write_json(COST, cost.to_json())


def take_part() -> None:
    """Do what a process does that is not the first of its run: help it to train whatever it trains.

    Raises
    ------
    WhybuyError
        Something went wrong in training itself; what is missing before it is said by the first process.
    """
    from whybuy.behavior.processes import tasks

    for task in tasks(_can_take_part):
        run = Pipeline(Config.model_validate(task["config"]), Workspace(Path(task["workspace"])))
        _train_together(run, None, Path(task["checkpoints"]))


def _can_take_part(task: dict[str, Any]) -> None:
    """Refuse a task whose log this process does not see, or that other code would train."""
    if task["code"] != code_version():
        raise WorkspaceError.of(
            found=f"{socket.gethostname()} has another whybuy than the first process",
            needed="the same version on all machines",
            do="Install it there",
        )
    if _content(Path(task["workspace"]) / "sequences" / STAGE_CARD) != task["log"]:
        raise WorkspaceError.of(
            found=f"{socket.gethostname()} does not see the log in the workspace {task['workspace']}",
            needed="a workspace that all machines share, under the same path",
            do="Name a shared folder with --workspace",
        )


def _train_together(run: Pipeline, folder: Path | None, checkpoints: Path) -> Any:
    """Train the twins with all processes of this run; return what it took where there is a ``folder`` to save in."""
    from whybuy.behavior.devices import deterministic, part
    from whybuy.behavior.twins import Beside, train_twins

    beside = Beside(checkpoints, None if folder is None else run.workspace.root / TRACKING)
    with deterministic():
        cost = train_twins(run.store, run.log, run.config, folder, beside=beside, report=run.report)
    part()
    return cost


def _scan(run: Pipeline, folder: Path) -> None:
    from whybuy.causal.scan import scan_log

    scan_log(run.study, folder, report=run.report)


def _confirm(run: Pipeline, folder: Path) -> None:
    from whybuy.causal.confirm import confirm_log

    confirm_log(run.study, folder, report=run.report)


def _recommend(run: Pipeline, folder: Path) -> None:
    from whybuy.recommend.batch import build

    build(run.log, run.folder("confirm") / EFFECTS, run.config, folder, report=run.report)


def _campaign(run: Pipeline, folder: Path) -> None:
    from whybuy.campaign import analyze_campaigns

    found = analyze_campaigns(run.log, run.config, forecaster=run.forecaster, report=run.report)
    text = json.dumps({"campaigns": [result.to_json() for result in found]}, allow_nan=False)
    (folder / CAMPAIGNS).write_text(text, encoding="utf-8")


def _profile(run: Pipeline, folder: Path) -> None:
    from whybuy.profile import build_profiles

    build_profiles(run.log, run.config, folder, report=run.report)


def _report(run: Pipeline, folder: Path) -> None:
    from whybuy.report import OPINION, collect, write_report

    opinion = folder / OPINION
    opinion.write_text(json.dumps(_second_opinion(run), allow_nan=False), encoding="utf-8")
    payload = collect(
        run.workspace.root,
        smallest_effect=run.config.causal.smallest_effect,
        opinion=opinion,
        is_certified=run.certificate(made_from=run.made_from("scan")) is not None,
    )
    write_report(payload, folder / REPORT)


def _second_opinion(run: Pipeline) -> dict[str, Any]:
    """Return what other methods say of the confirmed pairs, or why they say nothing."""
    from whybuy.causal.graph import main_horizon

    effects = run.effects()
    horizon = main_horizon(effects)
    if horizon is None:
        return {"refused": "No effect was confirmed, so there is nothing to compare."}
    from whybuy.causal.discovery import second_opinion

    try:
        found = second_opinion(effects, run.store, run.log, run.config, horizon=horizon, report=run.report)
    except (QuestionError, MissingExtraError) as error:
        return {"refused": str(error)}
    return found.to_json()


_READ = ("events", "items", "users", "clean", "timezone", "protected", "privacy")
_QUESTIONS = ("treatments", "outcomes", "further", "categories")
_CAMPAIGN = ("controls", "randomized", "horizon", "margin", "offers", "promoted", "coupons")
_ASKED = {"horizons": True, "lookback": True, "seed": True}

STAGES = {
    "events": Stage(_ingest, (), dict.fromkeys(_READ, True)),
    "sequences": Stage(_encode, ("events",), {"behavior": {"text"}}),
    "model": Stage(
        _train, ("sequences",), {"behavior": True, "causal": set(_QUESTIONS), "horizons": True, "seed": True}
    ),
    "scan": Stage(_scan, ("model",), {**_ASKED, "causal": {*_QUESTIONS, "smallest_effect"}}),
    "confirm": Stage(_confirm, ("scan",), {**_ASKED, "causal": True}),
    "recommend": Stage(_recommend, ("events", "confirm"), {"recommend": True, "lookback": True}),
    "campaign": Stage(
        _campaign,
        ("events", "model"),
        {"campaign": set(_CAMPAIGN), "causal": {"smallest_effect"}, "lookback": True, "seed": True},
    ),
    "profile": Stage(_profile, ("events",), {"timezone": True}),
    "report": Stage(_report, ("confirm", "recommend", "campaign", "profile"), {"causal": {"smallest_effect"}}),
}
"""Every stage, in the order in which they run."""


def source_files(config: Config) -> list[tuple[str, int, int]]:
    """Return (path, size, mtime in nanoseconds) of every file that the config reads, sorted; missing ones have -1."""
    named = [entry.path for entry in config.events]
    named += [entry.join.path for entry in config.events if entry.join is not None]
    named += [table.path for table in (config.items, config.users, config.campaign.coupons) if table is not None]
    found = {_stat(file) for path in named for file in _files_of(config.resolve(path))}
    return sorted(found)


def _files_of(path: str) -> list[Path]:
    if "://" in path:
        return []
    path = path.partition("::")[0]
    if Path(path).is_dir():
        from whybuy.events.locate import is_data

        return [p for p in Path(path).rglob("*") if is_data(p, Path(path))]
    if Path(path).exists():
        return [Path(path)]
    return [Path(p) for p in glob.glob(path, recursive=True)] or [Path(path)]


def _stat(path: Path) -> tuple[str, int, int]:
    try:
        stat = path.stat()
    except OSError:
        return str(path.absolute()), -1, -1
    return str(path.absolute()), stat.st_size, stat.st_mtime_ns


def _key_mark(config: Config) -> str | None:
    """Return a mark that changes with the key of pseudonyms and does not tell it."""
    if not config.privacy.pseudonymize:
        return None
    key = os.environ.get(config.privacy.key_variable, "")
    return hmac.new(key.encode(), b"whybuy workspace", hashlib.sha256).hexdigest()[:16]


def _content(path: Path) -> str | None:
    """Return a hash of a file's content, None where there is no file."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def _with_needs(wanted: Iterable[str]) -> list[str]:
    """Return the wanted stages and all they need, in order."""
    needed: set[str] = set()
    waiting = list(wanted)
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting.extend(STAGES[name].needs)
    return [name for name in STAGES if name in needed]
