"""``check``, ``run`` and its single stages: what the log can answer, and the whole way from it to the report."""

import json
import os
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from whybuy.cli.session import Session, command, require_times
from whybuy.cli.tables import EFFECT_COLUMNS, effect_row, show_table
from whybuy.config import Config, duration_ms
from whybuy.pipeline import COST, Pipeline, StageDone
from whybuy.workspace import CARD

if TYPE_CHECKING:
    from whybuy.causal.effects import Effect
    from whybuy.events.quality import Quality

N_TOP = 10
MLP = "mlp.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """What a finished run has to say.

    Attributes
    ----------
    training : what was chosen for the model, as the model's stage wrote it
    effects : all of the family
    stages : those that were asked for; seconds are None where a stage was up to date
    """

    quality: "Quality"
    training: dict[str, Any]
    effects: "list[Effect]"
    report: Path
    stages: list[StageDone]

    @classmethod
    def of(cls, pipeline: Pipeline, stages: list[StageDone]) -> "RunSummary":
        """Read the summary from a workspace that is up to date."""
        text = (pipeline.folder("model") / "training.json").read_text(encoding="utf-8")
        return cls(
            quality=pipeline.log.quality,
            training=json.loads(text),
            effects=pipeline.effects(),
            report=pipeline.report_path,
            stages=stages,
        )

    @property
    def n_confirmed(self) -> int:
        """Pairs judged with flexible nuisances."""
        return sum(e.method == "confirmed" for e in self.effects)

    @property
    def verdicts(self) -> dict[str, int]:
        """How many pairs got each verdict."""
        from whybuy.causal.effects import VERDICTS

        counted = Counter(e.verdict for e in self.effects)
        return {verdict: counted[verdict] for verdict in VERDICTS}

    @property
    def top(self) -> "list[Effect]":
        """The strongest pairs with an effect that are no funnel."""
        from whybuy.causal.effects import Effects

        headlines = Effects.of(self.effects).headlines
        return [e for e in headlines if e.verdict in ("strong", "suggestive")][:N_TOP]

    def to_json(self) -> dict[str, Any]:
        """Return the summary as plain JSON."""
        plan = self.training["plan"]
        return {
            "rows": rows_json(self.quality),
            "chosen": {
                "model": {
                    "parameters": self.training["parameters"],
                    "width": plan["trunk"]["width"],
                    "depth": plan["trunk"]["depth"],
                    "epochs": plan["epochs"],
                    "share_of_users": self.training["share_of_users"],
                },
                "pairs_scanned": len(self.effects),
                "pairs_confirmed": self.n_confirmed,
            },
            "verdicts": self.verdicts,
            "top": [e.to_json() for e in self.top],
            "report": str(self.report),
            "stages": [{"name": s.name, "seconds": s.seconds} for s in self.stages],
        }

    def show(self, session: Session) -> None:
        """Print the summary for people."""
        plan = self.training["plan"]
        session.say(self.quality.summary().splitlines()[0])
        session.say(
            f"chosen: a model of {self.training['parameters']:,} parameters (width {plan['trunk']['width']}, depth "
            f"{plan['trunk']['depth']}), passes: {plan['epochs']}, "
            f"share of users: {self.training['share_of_users']:.0%}; "
            f"pairs scanned: {len(self.effects):,}, confirmed: {self.n_confirmed:,}"
        )
        session.say("verdicts: " + ", ".join(f"{n:,} {v.replace('_', ' ')}" for v, n in self.verdicts.items()))
        if self.top:
            session.say()
            session.say("strongest effects, as a change in the chance of the outcome per decision, with 95% intervals:")
            show_table(session.out, EFFECT_COLUMNS, map(effect_row, self.top))
        elif self.effects:
            session.say("no pair is strong or suggestive, stages on the way to a purchase (funnel) aside")
        else:
            session.say("no causal question can be asked of this log: `whybuy check` says why")
        session.say()
        session.say(f"report: {self.report}")


def rows_json(quality: "Quality") -> dict[str, int]:
    """Return the identity of rows."""
    return {
        "read": quality.rows_read,
        "kept": quality.rows_kept,
        "duplicates_merged": quality.duplicates_merged,
        "rejected": quality.rows_rejected,
    }


@command
def check(session: Session) -> None:
    """Say how good the log is, and what each later part can and cannot do with it."""
    from whybuy.events.quality import capabilities

    with session.pipeline() as pipeline:
        pipeline.run("events")
    quality, config = pipeline.log.quality, pipeline.config
    windows = windows_json(quality, config)
    found = capabilities(quality, config)
    if session.as_json:
        capable = [capability.to_json() for capability in found]
        session.emit({"quality": quality.to_json(), "windows": windows, "capabilities": capable})
        return
    session.say(quality.summary())
    if quality.rows_rejected:
        session.say(f"rejected rows: {pipeline.log.rejected_path}")
    session.say(f"horizon {', '.join(windows['horizons'])}, lookback {windows['lookback']}: {windows['why']}")
    session.say()
    for capability in found:
        session.say(capability.summary())


def windows_json(quality: "Quality", config: Config) -> dict[str, Any]:
    """Return horizons and lookback as configured, what the rule would choose for this log, and why."""
    from whybuy.events.span import windows

    chosen, reason = windows(quality.q99_ms - quality.q01_ms if quality.has_times else None)
    follows = {duration_ms(text) for text in (*config.horizons, config.lookback)} == {duration_ms(chosen)}
    why = reason if follows else f"as whybuy.toml says; the rule would choose {chosen}: {reason}"
    return {"horizons": config.horizons, "lookback": config.lookback, "chosen_by_rule": chosen, "why": why}


@command
def run(session: Session) -> None:
    """Do everything: ingest, train, scan, confirm, recommend, campaigns, profiles, report. Only stale stages rerun."""
    with session.pipeline() as pipeline:
        stages = pipeline.run()
    summary = RunSummary.of(pipeline, stages)
    if session.as_json:
        session.emit(summary.to_json())
    else:
        summary.show(session)


@command
def train(
    session: Session,
    *,
    model: Annotated[
        Literal["transformer", "mlp"],
        typer.Option(help="The behavior model, or a perceptron on ten counts to compare it with (extra keras)."),
    ] = "transformer",
) -> None:
    """Train the behavior model (after ingest, where that is stale)."""
    if model == "mlp":
        _train_mlp(session)
        return
    with session.pipeline() as pipeline:
        pipeline.run("model")
    training = json.loads((pipeline.folder("model") / "training.json").read_text(encoding="utf-8"))
    place = pipeline.workspace.root / COST  # gone where somebody removed it: the model stands without it
    cost = json.loads(place.read_text(encoding="utf-8")) if place.exists() else None
    if session.as_json:
        session.emit({**training, "cost": cost})
        return
    plan = training["plan"]
    session.say(
        f"parameters: {training['parameters']:,}, passes: {plan['epochs']}, events: {training['n_events']:,}, "
        f"users: {training['n_users']:,}, behaviors: {training['n_behaviors']}, outcomes: {training['n_outcomes']}"
    )
    for k, passes in enumerate(training["twins"]):
        best = min(passes, key=lambda p: p["validation"])
        session.say(f"twin {k + 1}: held-out loss {best['validation']:.4f} nats per decision (pass {best['epoch']})")
    if cost is not None:
        from whybuy.behavior.cost import Cost  # with torch, which no other line of the answer needs

        session.say(f"cost: {Cost(**cost).summary()}")
    session.say(f"model: {pipeline.folder('model')}")


def _train_mlp(session: Session) -> None:
    from whybuy.behavior.baselines.mlp import load_keras
    from whybuy.behavior.baselines.mlp_result import MlpResult

    load_keras()
    with session.pipeline() as pipeline:
        folder = _mlp_stage(pipeline)
    answer = json.loads((folder / MLP).read_text(encoding="utf-8"))
    if session.as_json:
        session.emit(answer)
        return
    session.say(MlpResult.from_json(answer).summary())
    session.say(f"model: {folder}")


def _mlp_stage(pipeline: Pipeline) -> Path:
    """Return the folder of the perceptron: a stage that no other needs, built only where it is asked for."""
    from whybuy.behavior.baselines.mlp import MlpPlan, train_mlp

    config = pipeline.config
    require_times(config, within=config.horizons[0])
    pipeline.run("sequences")
    plan = MlpPlan(
        horizon_ms=duration_ms(config.horizons[0]),
        end_ms=pipeline.log.quality.end_ms,
        session_gap_ms=duration_ms(config.clean.session_gap),
        seed=config.seed,
    )

    def build(folder: Path) -> None:
        mlp, result = train_mlp(pipeline.store, plan, report=pipeline.report)
        mlp.save(folder / "mlp.keras")
        (folder / MLP).write_text(json.dumps(result.to_json(), indent=1, allow_nan=False), encoding="utf-8")

    made_from = json.loads((pipeline.folder("sequences") / CARD).read_text(encoding="utf-8"))["fingerprint"]
    inputs = {"sequences": made_from, "plan": asdict(plan), "backend": os.environ["KERAS_BACKEND"]}
    fresh, started = pipeline.workspace.is_fresh("mlp", inputs), time.monotonic()
    folder = pipeline.workspace.stage("mlp", inputs, build)
    pipeline.finished(StageDone("mlp", None if fresh else time.monotonic() - started))
    return folder


@command
def scan(session: Session) -> None:
    """Scan every treatment on every outcome (after the stages that it needs)."""
    from whybuy.causal.effects import Effects

    with session.pipeline() as pipeline:
        pipeline.run("scan")
    effects = Effects.of(pipeline.effects("scan"))
    counted = Counter(e.verdict for e in effects)
    if session.as_json:
        session.emit({"effects": [e.to_json() for e in effects]})
        return
    session.say(f"{len(effects):,} pairs scanned: " + ", ".join(f"{n:,} {v}" for v, n in sorted(counted.items())))
    show_table(session.out, EFFECT_COLUMNS, map(effect_row, list(effects.headlines)[:N_TOP]))


@command
def report(session: Session) -> None:
    """Write the report (after the stages that it needs)."""
    with session.pipeline() as pipeline:
        pipeline.run("report")
    if session.as_json:
        session.emit({"report": str(pipeline.report_path)})
    else:
        session.say(str(pipeline.report_path))
