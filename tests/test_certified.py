"""The certificate beside the stages: asked for, kept, shown by the report, and stale when its scan is."""

from dataclasses import replace

import pytest

import whybuy
from tests.causal.certificate.test_result import PAIR
from tests.test_pipeline import built, pipeline, rebuilt, shop  # noqa: F401 - fixtures
from whybuy import certified
from whybuy.causal.certificate import Certificate
from whybuy.causal.certificate import certify as room
from whybuy.causal.certificate.certify import Plan
from whybuy.events.behaviors import parse_behavior
from whybuy.pipeline import CERTIFICATE, COPIES, COST, STAGES, Pipeline

PLAN = Plan("7d", (parse_behavior("purchase:*"),), 1, 3, ())


@pytest.fixture
def made(monkeypatch) -> list[int]:
    """The copies of every certificate that was made; nothing is trained."""
    copies: list[int] = []

    def certify(study, plan, folder, *, report):
        copies.append(plan.n_copies)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "copy-1.json").write_text("[]", encoding="utf-8")
        return Certificate(horizon=plan.horizon, pairs=(PAIR,))

    monkeypatch.setattr(room, "certify", certify)
    monkeypatch.setattr(Pipeline, "study", property(lambda self: None))
    return copies


def test_it_is_made_where_it_is_asked_for_and_then_kept(shop, built, made):  # noqa: F811
    run = pipeline(shop)
    assert CERTIFICATE not in rebuilt(built, run)
    assert not run.folder(CERTIFICATE).exists()
    assert certified.certify(run, PLAN).pairs == (PAIR,)
    assert certified.certify(pipeline(shop), PLAN).pairs == (PAIR,)
    assert made == [1]
    # More copies make it again, from the finished ones.
    certified.certify(run, replace(PLAN, n_copies=2))
    assert made == [1, 2]
    assert len(list((run.workspace.root / COPIES).iterdir())) == 1
    # Other markers are another certificate: what was kept of the first is of no use.
    certified.certify(run, replace(PLAN, n_markers=6))
    assert len(list((run.workspace.root / COPIES).iterdir())) == 1


def test_the_report_shows_it_until_its_scan_is_stale(shop, built, made):  # noqa: F811
    run = pipeline(shop)
    run.run()
    certified.certify(run, PLAN)
    assert rebuilt(built, run) == ["report"]
    assert run.certificate(made_from=run.made_from("scan")) is not None
    other = pipeline(shop, behavior={"epochs": 1})
    assert rebuilt(built, other) == ["model", "scan", "confirm", "recommend", "campaign", "report"]
    assert other.certificate(made_from=other.made_from("scan")) is None
    assert rebuilt(built, other) == []
    certified.certify(other, PLAN)
    assert made == [1, 1]


def test_the_cost_is_said_beforehand(shop, built):  # noqa: F811
    run = pipeline(shop)
    run.run("scan")
    said = certified.cost_in_words(run, PLAN)
    assert said.startswith(
        "3 pairs: 3 planted behaviors, 1 outcomes, copies of the log: 1. Every copy is trained on anew,"
    )
    run.workspace.write_json(COST, {"seconds": 88.2})
    assert "trained on anew, which took 88 s for the log itself, then scanned" in certified.cost_in_words(run, PLAN)


def test_no_stage_of_a_run_needs_it():
    assert CERTIFICATE not in STAGES


def test_python_asks_the_same(shop, built, made, monkeypatch):  # noqa: F811
    monkeypatch.setattr(
        Plan, "of", lambda study, budget: replace(PLAN, n_copies=budget.copies, n_markers=budget.markers)
    )
    run = pipeline(shop)
    found = whybuy.certify(whybuy.Log(run.config, run.workspace.root), copies=2, markers=3)
    assert found.pairs == (PAIR,)
    assert made == [2]
