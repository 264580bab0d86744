"""The commands from Python: read a log, scan every pair, ask one question.

    import whybuy

    log = whybuy.read("events.parquet")  # or a pandas, Polars or Arrow table, or a whybuy.toml
    whybuy.scan(log).to_frame()
    whybuy.effect(log, treatment="view:shoes", outcome="purchase:shoes", horizon="7d").summary()

Everything that is computed stays in a workspace, as it does for the commands: what was trained once is not trained
again, here or there.
"""

import hashlib
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from whybuy.config import Config, duration_ms, load_config
from whybuy.errors import QuestionError
from whybuy.pipeline import CARD as WORKSPACE_CARD
from whybuy.pipeline import Pipeline
from whybuy.progress import live
from whybuy.workspace import DEFAULT_WORKSPACE, Workspace

if TYPE_CHECKING:
    from whybuy.causal.certificate import Certificate
    from whybuy.causal.dose import Dose
    from whybuy.causal.effects import Effect, Effects
    from whybuy.causal.graph import EffectGraph
    from whybuy.causal.heterogeneity import Heterogeneity
    from whybuy.causal.opinions import SecondOpinion
    from whybuy.causal.question import Question
    from whybuy.causal.sustained import SustainedEffects
    from whybuy.events.quality import Quality
    from whybuy.recommending import Recommender

_TABLES = "tables"
_CONFIG = "whybuy.toml"


@dataclass(frozen=True)
class Log:
    """A log whose columns are known, and the workspace that holds what is derived from it.

    Attributes
    ----------
    config : how the log is read and asked
    workspace : the folder of results
    """

    config: Config
    workspace: Path

    @cached_property
    def quality(self) -> "Quality":
        """What was kept, merged and rejected, and why; reads the log on first use."""
        with self._pipeline() as pipeline:
            pipeline.run("events")
            return pipeline.log.quality

    @contextmanager
    def _pipeline(self) -> Iterator[Pipeline]:
        """Open the pipeline, its progress on standard error where somebody looks."""
        console = Console(file=sys.stderr)
        origin = self.config.base / _CONFIG
        if not console.is_terminal:
            yield Pipeline(self.config, Workspace(self.workspace), origin=origin)
            return
        with live(console) as report:
            yield Pipeline(self.config, Workspace(self.workspace), report=report, origin=origin)


def read(events: Any, *, items: Any = None, users: Any = None, workspace: str | Path | None = None) -> Log:
    """Return a log: its columns are recognized as `whybuy init` does, unless a config says what they are.

    Parameters
    ----------
    events : a path (file, folder, glob, or ``file.duckdb::table``), a pandas, Polars or Arrow table, or the path of a
        ``whybuy.toml``, which then says everything, or the folder of a workspace, whose config then does
    items, users : paths or tables of items and users, in the form of ``events``
    workspace : folder for everything derived; a proposed config and copies of tables stand there, too. Where None,
        the workspace that a named config was last used in if it lies within, else ``whybuy-workspace`` beside it;
        ``whybuy-workspace`` in the current folder for anything else

    Raises
    ------
    SourceError
        The source is no event log or cannot be read.
    ConfigError
        The config cannot be used.
    """
    if isinstance(events, str | Path) and (Path(events) / WORKSPACE_CARD).is_file() and workspace is None:
        events, workspace = _config_of(Path(events)), events
    named = isinstance(events, str | Path) and str(events).endswith(".toml")
    root = Path(workspace) if workspace is not None else _workspace_of(Path(events)) if named else DEFAULT_WORKSPACE
    if named:
        if items is not None or users is not None:
            raise QuestionError.of(
                found="read() was given a config and items or users beside it",
                needed="A config names its items and users itself",
                do="Write them into the config, or name the events instead of the config",
            )
        return Log(load_config(Path(events)), root)
    from whybuy.events.propose import propose
    from whybuy.events.write import config_text, write_config

    sources = _in_files({"events": events, "items": items, "users": users}, root)
    path = root / _CONFIG
    root.mkdir(parents=True, exist_ok=True)
    proposal = propose(sources["events"], items=sources.get("items"), users=sources.get("users"), into=path)
    if not path.exists() or path.read_text(encoding="utf-8") != config_text(proposal, root.resolve()):
        write_config(proposal, path)
    return Log(load_config(path), root)


def _config_of(workspace: Path) -> Path:
    return Path(json.loads((workspace / WORKSPACE_CARD).read_text(encoding="utf-8"))["config"])


def _workspace_of(config: Path) -> Path:
    """Return the workspace around a config that was made from it, as the demo's, else the one beside the config."""
    for folder in config.resolve().parents:
        if (folder / WORKSPACE_CARD).is_file() and _config_of(folder) == config.resolve():
            return folder
    return config.parent / DEFAULT_WORKSPACE


def scan(log: Any) -> "Effects":
    """Return the effect of every scanned pair, those that matter confirmed, strongest first.

    Parameters
    ----------
    log : a :class:`Log`, or what :func:`read` takes as events

    Raises
    ------
    WhybuyError
        The log, the config or the workspace cannot be used.
    """
    from whybuy.causal.effects import Effects

    with _opened(log)._pipeline() as pipeline:
        pipeline.run("confirm")
        return Effects.of(pipeline.effects())


def effect(  # noqa: PLR0913 - a question has that many words
    log: Any,
    *,
    treatment: str,
    outcome: str,
    horizon: str | None = None,
    design: str | None = None,
    reference: str | None = None,
    where: str | None = None,
) -> "Effect":
    """Return the confirmed effect of one behavior on one outcome.

    Parameters
    ----------
    log : a :class:`Log`, or what :func:`read` takes as events
    treatment : a behavior, as "view:shoes", or a composite, as "2*view:shoes@1d"
    outcome : a behavior
    horizon : how long after the decision the outcome counts, as "7d"; the config's first where None
    design : "step" (each decision; where None), "session" (its first three; "session:5" for the first five),
        "calendar" (at least once in a period, for what takes hold slowly), or "assignment" (of a campaign)
    reference : a behavior that it is compared with alone
    where : a SQL condition on the users table

    Raises
    ------
    QuestionError, BehaviorError
        The question cannot be asked of this log.
    """
    from whybuy.causal.question import Question

    opened = _opened(log)
    question = Question.of(
        treatment,
        outcome,
        horizon=horizon or opened.config.horizons[0],
        design=design,
        reference=reference,
        where=where,
    )
    with opened._pipeline() as pipeline:
        pipeline.prepare(question.stage, question)
        return answered(pipeline, question)


def effects(  # noqa: PLR0913 - a question has that many words
    log: Any,
    *,
    treatment: str | Sequence[str],
    outcome: str,
    horizon: str | Sequence[str] | None = None,
    design: str | None = None,
    reference: str | None = None,
    where: str | None = None,
) -> "Effects":
    """Return the confirmed effects of several treatments, or over several horizons, with q-values over all of them.

    Parameters
    ----------
    log : a :class:`Log`, or what :func:`read` takes as events
    treatment, horizon : one or more, as "view:shoes,view:boots" and ["1d", "7d"]
    reference : where given, every treatment is compared with it among the decisions that are one or the other
    outcome, design, where : as for :func:`effect`

    Raises
    ------
    QuestionError, BehaviorError
        One of the questions cannot be asked of this log.
    """
    from whybuy.causal.effects import Effects
    from whybuy.causal.several import questions

    opened = _opened(log)
    within = _with_commas(horizon or opened.config.horizons[0])
    asked = questions(_with_commas(treatment), outcome, horizon=within, design=design, reference=reference, where=where)
    with opened._pipeline() as pipeline:
        pipeline.prepare(asked[0].stage, *asked)
        return Effects.of(all_answered(pipeline, asked))


def dose(
    log: Any,
    *,
    treatment: str,
    outcome: str,
    horizon: str | None = None,
    design: str | None = None,
    where: str | None = None,
) -> "Dose":
    """Return what more of something does: a slope, and a curve by ranges of the dose.

    Parameters
    ----------
    log : a :class:`Log`, or what :func:`read` takes as events
    treatment : "price:shoes" or "discount:shoes" (of the item that is viewed, against its usual price), or
        "number:view:shoes" (how many of a session's first decisions are a view of shoes)
    design : for a number, "session:5" for the first five decisions instead of three
    outcome, horizon, where : as for :func:`effect`

    Raises
    ------
    QuestionError, BehaviorError
        The question cannot be asked of this log; its prices are unknown or do not vary.
    """
    from whybuy.causal.dose_question import DoseQuestion, answer_dose

    opened = _opened(log)
    within = horizon or opened.config.horizons[0]
    asked = DoseQuestion.of(treatment, outcome, horizon=within, design=design, where=where)
    with opened._pipeline() as pipeline:
        pipeline.prepare("confirm", asked)
        return answer_dose(asked, pipeline.study, report=pipeline.report)


def sustained(  # noqa: PLR0913 - a question has that many words
    log: Any,
    *,
    treatment: str,
    outcome: str,
    periods: int = 3,
    horizon: str | None = None,
    odds: float | Sequence[float] | None = None,
    where: str | None = None,
) -> "SustainedEffects":
    """Return what doing a behavior more or less often, period after period, would change in an outcome.

    Parameters
    ----------
    log : a :class:`Log`, or what :func:`read` takes as events
    treatment, outcome : behaviors, as "view:shoes"
    periods : how many in a row, from 2 to 6; each as long as ``every`` in ``[calendar]`` of the config
    horizon : how long after the last period the outcome counts, as "7d"; the config's first where None
    odds : one factor or several that the odds of the behavior are multiplied by; from a quarter to four where None
    where : a SQL condition on the users table

    Raises
    ------
    QuestionError, BehaviorError
        The question cannot be asked of this log.
    """
    from whybuy.causal.question import Question
    from whybuy.causal.sustained.log import sustained_effects
    from whybuy.causal.sustained.strategies import ODDS

    opened = _opened(log)
    horizon = horizon or opened.config.horizons[0]
    question = Question.of(treatment, outcome, horizon=horizon, design="calendar", where=where)
    with opened._pipeline() as pipeline:
        pipeline.prepare(question.stage, question)
        asked = ODDS if odds is None else (float(odds),) if isinstance(odds, int | float) else tuple(odds)
        return sustained_effects(question, pipeline.study, n_periods=periods, odds=asked, report=pipeline.report)


def who_gains(
    log: Any, *, treatment: str, outcome: str, horizon: str | None = None, where: str | None = None
) -> "Heterogeneity":
    """Return how the effect of one behavior on one outcome differs between groups of decisions; as for :func:`effect`.

    Raises
    ------
    QuestionError, BehaviorError
        The question cannot be asked of this log.
    """
    from whybuy.causal import question

    opened = _opened(log)
    asked = question.Question.of(treatment, outcome, horizon=horizon or opened.config.horizons[0], where=where)
    with opened._pipeline() as pipeline:
        pipeline.prepare("confirm", asked)
        return question.who_gains(asked, pipeline.study, report=pipeline.report)


def graph(log: Any, *, horizon: str | None = None) -> "EffectGraph":
    """Return the confirmed effects of one horizon as a graph, with what may run through a third behavior.

    Parameters
    ----------
    log : a :class:`Log`, or what :func:`read` takes as events
    horizon : as in the config; its first where None

    Raises
    ------
    QuestionError
        No effect of the horizon was confirmed.
    """
    from whybuy.causal.graph import effect_graph

    opened = _opened(log)
    with opened._pipeline() as pipeline:
        pipeline.run("confirm")
        smallest = opened.config.causal.smallest_effect
        asked = horizon or opened.config.horizons[0]
        return effect_graph(pipeline.effects(), horizon=asked, smallest_effect=smallest)


def second_opinion(log: Any, *, horizon: str | None = None) -> "SecondOpinion":
    """Return what the PC algorithm and a Granger view say of the confirmed pairs; as for :func:`graph`.

    Raises
    ------
    MissingExtraError
        The extra ``discovery`` is not installed.
    QuestionError
        No pair of the horizon was confirmed, or the log is too thin.
    """
    from whybuy.causal import discovery

    opened = _opened(log)
    with opened._pipeline() as pipeline:
        pipeline.run("confirm")
        return discovery.second_opinion(
            pipeline.effects(),
            pipeline.store,
            pipeline.log,
            opened.config,
            horizon=horizon or opened.config.horizons[0],
            report=pipeline.report,
        )


def certify(log: Any, *, copies: int | None = None, markers: int = 12, outcomes: int = 8) -> "Certificate":
    """Return whether the adjustment holds on this log, told by planted behaviors whose true effects are known.

    Every copy of the log is trained on anew, which takes as long as the first training did; finished copies are kept.

    Parameters
    ----------
    log : a :class:`Log`, or what :func:`read` takes as events
    copies : of the log; as many as 200 pairs need where None, at most 6
    markers : planted behaviors per copy, a third of them with effects
    outcomes : the commonest that pairs are made with

    Raises
    ------
    QuestionError
        No causal question can be asked of the log, or it cannot be marked.
    """
    from whybuy import certified
    from whybuy.causal.certificate.certify import Budget

    budget = Budget(copies=copies, markers=markers, outcomes=outcomes)
    with _opened(log)._pipeline() as pipeline:
        return certified.certify(pipeline, certified.plan_certificate(pipeline, budget))


def recommender(log: Any) -> "Recommender":
    """Return who answers with recommendations, a user at a time, as ``recommender(log).answer("u1", k=10)``.

    Parameters
    ----------
    log : a :class:`Log`, or what :func:`read` takes as events
    """
    from whybuy.recommending import Recommender

    with _opened(log)._pipeline() as pipeline:
        return Recommender.of(pipeline)


def answered(pipeline: Pipeline, question: "Question") -> "Effect":
    """Return the confirmed effect of a question, computed now where the stages do not hold it.

    Raises
    ------
    QuestionError, BehaviorError
        The question cannot be asked of this log.
    """
    from whybuy.causal.designs import ASSIGNMENT
    from whybuy.causal.question import answer

    if question.design == ASSIGNMENT:
        return _of_campaign(pipeline, question)
    if question.is_plain:
        for found in pipeline.effects():
            same = (found.treatment, found.outcome) == (str(question.treatment), str(question.outcome))
            at_same_horizon = duration_ms(found.horizon) == duration_ms(question.horizon)
            if same and at_same_horizon and found.method == "confirmed":
                return found
    return answer(question, pipeline.study, report=pipeline.report)


def _of_campaign(pipeline: Pipeline, question: "Question") -> "Effect":
    from whybuy.campaign import analyze_campaign

    outcome, horizon = str(question.outcome), question.horizon
    found = analyze_campaign(
        pipeline.log,
        pipeline.config,
        question.treatment.target,
        outcome=outcome,
        horizon=horizon,
        report=pipeline.report,
    )
    return found.to_effect()


def all_answered(pipeline: Pipeline, asked: "list[Question]") -> "list[Effect]":
    """Return the confirmed effects of several questions, judged together.

    Raises
    ------
    QuestionError, BehaviorError
        One of them cannot be asked of this log.
    """
    from whybuy.causal.several import together

    return together([answered(pipeline, question) for question in asked], pipeline.config.causal)


def _with_commas(named: str | Sequence[str]) -> str:
    return named if isinstance(named, str) else ",".join(named)


def _opened(log: Any) -> Log:
    return log if isinstance(log, Log) else read(log)


def _in_files(sources: dict[str, Any], root: Path) -> dict[str, str | Path]:
    """Return the paths of all sources; a table is written into the workspace first."""
    given = {name: source for name, source in sources.items() if source is not None}
    with Workspace(root).lock():
        return {
            name: source if isinstance(source, str | Path) else _in_file(source, name, root / _TABLES)
            for name, source in given.items()
        }


def _in_file(table: Any, name: str, folder: Path) -> Path:
    """Write a table to a file of its own folder, named by what it holds, so that the same table is the same file."""
    import pyarrow.parquet as pq

    from whybuy.events.read import as_arrow

    folder.mkdir(exist_ok=True)
    part = folder / f"{name}.part"
    pq.write_table(as_arrow(table, name), part)
    with part.open("rb") as written:
        digest = hashlib.file_digest(written, "sha256").hexdigest()
    home = folder / digest[:16]
    if home.exists():
        part.unlink()
    else:
        home.mkdir()
        part.replace(home / f"{name}.parquet")
    return home / f"{name}.parquet"
