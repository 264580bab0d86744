import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from whybuy import pipeline as module
from whybuy.causal.effects import Effect, Estimate, Naive
from whybuy.causal.scan import write_effects
from whybuy.cli.app import invoke
from whybuy.pipeline import CAMPAIGNS, EFFECTS, Pipeline


@dataclass(frozen=True)
class Answer:
    """What one call of the program gave."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def shop(tmp_path: Path, monkeypatch) -> Path:
    """The current folder, with a log and its config."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)
    (tmp_path / "log.csv").write_text("user_id,ts,action\n", encoding="utf-8")
    (tmp_path / "whybuy.toml").write_text('[[events]]\npath = "log.csv"\n', encoding="utf-8")
    return tmp_path


@pytest.fixture
def call(capsys) -> Callable[..., Answer]:
    def run(*words: str) -> Answer:
        code = invoke(words)
        printed = capsys.readouterr()
        return Answer(code, printed.out, printed.err)

    return run


CHECKS = {
    "nuisance": {"e_base_rate": 0.1, "e_log_loss_base": 0.3, "m_base_rate": 0.2, "m_log_loss_base": 0.5},
    "overlap": {"ess": 500.0, "min_e": 0.01, "max_e": 0.6},
    "balance": {"max_smd_before": 0.4, "max_smd_after": 0.02, "max_smd_beyond_chance": 0.0},
    "placebo": {"estimate": 0.0, "ci_low": -0.01, "ci_high": 0.01, "passed": True},
    "sensitivity": {"e_value": 1.8, "robustness_value": 0.1},
    "grounds": {"treated_outcome_users": 30, "control_outcome_users": 60, "effective_users": 120.0},
}


def effect(treatment: str, outcome: str, estimate: float | None, **changes: Any) -> Effect:
    """Return an effect with round numbers: 1,000 decisions, 100 treated, 200 with the outcome, 30 with both."""
    found = Effect(
        treatment=treatment,
        outcome=outcome,
        horizon="7d",
        design="step",
        n_trials=1000,
        n_treated=100,
        n_users=50,
        method="confirmed",
        naive=Naive.of_counts(n=1000, treated=100, outcome=200, joint=30),
        effect=Estimate(estimand="ato")
        if estimate is None
        else replace(Estimate.of("ato", estimate, 0.01), q_value=0.001),
        verdict="suggestive",
        reasons=("A reason.",),
        checks=CHECKS,
    )
    return replace(found, **changes)


EFFECTS_FOUND = [
    effect("view:a", "purchase:a", 0.3, funnel=True),
    effect("view:b", "purchase:a", 0.02),
    effect("cart:b", "purchase:a", -0.05, verdict="strong"),
    effect("view:c", "purchase:a", 0.2, method="scan"),
    effect("view:d", "purchase:a", None, verdict="cannot_tell", method="scan"),
]

SPRING = {
    "campaign": "spring",
    "kind": "randomized",
    "effect": Estimate.of("ate", 0.04, 0.01).to_json(),
    "naive": {"difference": 0.05},
    "verdict": "suggestive",
    "reasons": ["Assigned at random."],
    "outcome": "purchase:*",
    "horizon": "7d",
    "n_treated": 100,
    "n_control": 90,
}


@pytest.fixture
def stages(monkeypatch) -> list[str]:
    """Every stage replaced by one that writes what the commands read; returns the names in the order of building."""
    names: list[str] = []

    def fake(name: str):
        def build(run: Pipeline, folder: Path) -> None:
            names.append(name)
            if name in ("scan", "confirm"):
                write_effects(EFFECTS_FOUND, folder / EFFECTS)
            if name == "campaign":
                (folder / CAMPAIGNS).write_text(json.dumps({"campaigns": [SPRING]}), encoding="utf-8")
            if name == "report":
                (folder / "report.html").write_text("<html></html>", encoding="utf-8")

        return build

    fakes = {name: replace(stage, build=fake(name)) for name, stage in module.STAGES.items()}
    monkeypatch.setattr(module, "STAGES", fakes)
    # There is no log that a question could be held against.
    monkeypatch.setattr(Pipeline, "prepare", lambda pipeline, stage, *questions: pipeline.run(stage))
    return names
