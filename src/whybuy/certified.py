"""The certificate as a stage: beside the others, built only where it is asked for, since it trains on every copy.

Finished copies are kept beside the stages, so that a run that was killed, or one that asks for more copies, makes only
those that are missing. A certificate belongs to one scan: what makes the scan stale makes the certificate stale.
"""

import json
import shutil
import time
from typing import TYPE_CHECKING, Any

from whybuy.pipeline import CERTIFICATE, COPIES, COST, Pipeline, StageDone
from whybuy.workspace import fingerprint

if TYPE_CHECKING:
    from whybuy.causal.certificate import Certificate
    from whybuy.causal.certificate.certify import Budget, Plan


def plan_certificate(pipeline: Pipeline, budget: "Budget") -> "Plan":
    """Return what a certificate of this log will take, the stages before it brought up to date.

    Raises
    ------
    QuestionError
        No causal question can be asked of the log.
    """
    from whybuy.causal.certificate.certify import Plan

    pipeline.run("scan")
    return Plan.of(pipeline.study, budget)


def cost_in_words(pipeline: Pipeline, plan: "Plan") -> str:
    """Return what the plan costs, to be said beforehand."""
    place = pipeline.workspace.root / COST  # gone where somebody removed it
    took = ""
    if place.exists():
        seconds = json.loads(place.read_text(encoding="utf-8"))["seconds"]
        took = f", which took {seconds:.0f} s for the log itself"
    return (
        f"{plan.n_pairs} pairs: {plan.n_markers} planted behaviors, {len(plan.outcomes)} outcomes, copies of the log: "
        f"{plan.n_copies}. Every copy is trained on anew{took}, then scanned and confirmed; finished copies are kept."
    )


def certify(pipeline: Pipeline, plan: "Plan") -> "Certificate":
    """Return the certificate of the pipeline's log, made where it is missing or stale.

    Raises
    ------
    QuestionError
        The log cannot be marked.
    """
    from whybuy.causal.certificate import Certificate
    from whybuy.causal.certificate import certify as room

    workspace, study = pipeline.workspace, pipeline.study
    made_from: dict[str, Any] = {
        "scan": pipeline.made_from("scan"),
        "causal": pipeline.config.causal.model_dump(mode="json"),
        "outcomes": [str(outcome) for outcome in plan.outcomes],
        "markers": plan.n_markers,
    }
    inputs = {**made_from, "copies": plan.n_copies, "notes": list(plan.notes)}
    fresh, started = workspace.is_fresh(CERTIFICATE, inputs), time.monotonic()
    with workspace.lock():
        copies = workspace.root / COPIES / fingerprint(made_from)[:16]
        for other in copies.parent.glob("*"):
            if other != copies:
                shutil.rmtree(other)

        def build(folder: Any) -> None:
            found = room.certify(study, plan, copies, report=pipeline.report)
            text = json.dumps(found.to_json(), allow_nan=False)
            (folder / f"{CERTIFICATE}.json").write_text(text, encoding="utf-8")

        folder = workspace.stage(CERTIFICATE, inputs, build)
    pipeline.finished(StageDone(CERTIFICATE, None if fresh else time.monotonic() - started))
    return Certificate.from_json(json.loads((folder / f"{CERTIFICATE}.json").read_text(encoding="utf-8")))
