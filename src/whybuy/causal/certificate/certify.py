"""From a trained study to its certificate: copy by copy, everything again.

A copy that is finished is a small file; a run that was killed goes on with the first that is missing, and its training
where it was.
"""

import json
import math
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from whybuy.behavior.devices import deterministic
from whybuy.behavior.family import Family
from whybuy.behavior.processes import Processes
from whybuy.behavior.twins import Beside, family_in, train_twins
from whybuy.causal.certificate.copied import Copy, Planting, mark_names
from whybuy.causal.certificate.markers import Likeness, Marker, learn_markers, likenesses
from whybuy.causal.certificate.past import Asked, Lessons
from whybuy.causal.certificate.result import FULL, Certificate, MarkedPair
from whybuy.causal.confirm import confirm_log
from whybuy.causal.effects import Effect
from whybuy.causal.scan import read_effects, scan_log
from whybuy.causal.study import Study
from whybuy.config import Config
from whybuy.errors import QuestionError
from whybuy.events.behaviors import Behavior
from whybuy.events.moments import BehaviorIndex
from whybuy.progress import Report, quiet

_MOST_COPIES = 6
"""Made unless more are asked for."""
_SPIKED = 3
"""Every third marker does something."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How much is planted.

    Attributes
    ----------
    copies : of the log; as many as a full certificate needs where None
    markers : per copy, a third of them with effects
    outcomes : the commonest that pairs are made with
    """

    copies: int | None = None
    markers: int = 12
    outcomes: int = 8

    def __post_init__(self) -> None:
        """Refuse what no certificate can be made of."""
        if self.markers < _SPIKED or self.outcomes < 1 or (self.copies is not None and self.copies < 1):
            raise QuestionError.of(
                found=f"{self.copies} copies, {self.markers} markers and {self.outcomes} outcomes were asked for",
                needed=f"at least one copy, {_SPIKED} markers and one outcome",
                do="Ask for more",
            )

    def n_copies(self, n_outcomes: int) -> int:
        """Return how many copies are made with so many outcomes."""
        return self.copies or min(math.ceil(FULL / (self.markers * n_outcomes)), _MOST_COPIES)


@dataclass(frozen=True)
class Plan:
    """What will be done, known before anything is trained.

    Attributes
    ----------
    horizon : the config's first
    outcomes : that pairs are made with
    n_copies, n_markers : copies, and markers of each
    notes : what the certificate will lack, in words
    """

    horizon: str
    outcomes: tuple[Behavior, ...]
    n_copies: int
    n_markers: int
    notes: tuple[str, ...]

    @property
    def n_pairs(self) -> int:
        """Pairs in all."""
        return self.n_copies * self.n_markers * len(self.outcomes)

    @classmethod
    def of(cls, study: Study, budget: Budget) -> "Plan":
        """Return the plan of a study.

        Raises
        ------
        QuestionError
            No causal question can be asked of the log, or several processes were started.
        """
        if not Processes.here().alone:
            raise QuestionError.of(
                found=f"{Processes.here().world} processes were started",
                needed="one: a certificate trains small copies one after another",
                do="Run `whybuy certify` without torchrun",
            )
        if not study.log.quality.has_times:
            raise QuestionError.of(
                found="The log has an order of events but no times",
                needed="times, since an effect is counted within a horizon",
                do="Map a time column in whybuy.toml",
            )
        horizon = study.config.horizons[0]
        study.protocol(horizon).require_possible()
        outcomes = _commonest(family_in(study.model), budget.outcomes)
        if not outcomes:
            raise QuestionError.of(
                found="No outcome of this log is common enough to be modeled",
                needed="50 events by 20 users",
                do="Bring a longer log",
            )
        n_copies = budget.n_copies(len(outcomes))
        plan = cls(horizon, outcomes, n_copies, budget.markers, ())
        notes = () if plan.n_pairs >= FULL else (_why_fewer(plan, budget),)
        return cls(horizon, outcomes, n_copies, budget.markers, notes)


def _commonest(family: Family, n: int) -> tuple[Behavior, ...]:
    modeled = [a for a in family.outcomes if a in family.modeled]
    return tuple(sorted(modeled, key=lambda a: (-family.n_events[a], a))[:n])


def _why_fewer(plan: Plan, budget: Budget) -> str:
    why = (
        f"--copies {plan.n_copies} were asked for"
        if budget.copies is not None
        else f"the log has {len(plan.outcomes)} outcomes that can be modeled, and more than {_MOST_COPIES} copies are "
        "only made where --copies asks for them"
    )
    return f"{plan.n_pairs} pairs instead of the {FULL} of a full certificate: {why}."


def certify(study: Study, plan: Plan, folder: Path, *, report: Report = quiet) -> Certificate:
    """Return the certificate of a study whose scan is done.

    Parameters
    ----------
    folder : where finished copies are kept

    Raises
    ------
    QuestionError
        The log cannot be marked: it has every action, or too few purchases to learn from.
    """
    like = likenesses([e for e in read_effects(study.heads / "effects.json") if e.horizon == plan.horizon])
    folder.mkdir(parents=True, exist_ok=True)
    pairs: list[MarkedPair] = []
    for copy in range(plan.n_copies):
        report("copies", copy, plan.n_copies)
        pairs += _kept_or_made(study, plan, like, folder / f"copy-{copy + 1}", report)
    report("copies", plan.n_copies, plan.n_copies)
    return Certificate(horizon=plan.horizon, pairs=tuple(pairs), notes=plan.notes)


def _kept_or_made(study: Study, plan: Plan, like: Sequence[Likeness], place: Path, report: Report) -> list[MarkedPair]:
    """Return the pairs of one copy, read where it was finished before."""
    kept = place.with_suffix(".json")
    if not kept.exists():
        pairs = _made(study, plan, like, place, report)
        part = place.with_suffix(".part")
        part.write_text(json.dumps([asdict(p) for p in pairs], allow_nan=False), encoding="utf-8")
        os.replace(part, kept)
        shutil.rmtree(place)
    return [MarkedPair(**raw) for raw in json.loads(kept.read_text(encoding="utf-8"))]


def _made(study: Study, plan: Plan, like: Sequence[Likeness], place: Path, report: Report) -> list[MarkedPair]:
    """Plant the markers of a copy, run everything again, and compare."""
    number = int(place.name.rpartition("-")[2])
    rng = np.random.default_rng([study.config.seed, number])
    index = BehaviorIndex.of(family_in(study.model).modeled, study.store.vocabulary)
    outcomes = tuple(index.behaviors.index(a) for a in plan.outcomes)
    lessons = Lessons.of(study.store, Asked(index, outcomes, study.protocol(plan.horizon)), copy=number - 1)
    names = mark_names(study.log.quality, study.store.vocabulary, plan.n_markers)
    markers = learn_markers(lessons, names, like, n_spiked=plan.n_markers // _SPIKED, rng=rng)
    for name in ("sequences", "model", "scan", "confirm"):
        shutil.rmtree(place / name, ignore_errors=True)
    for name in ("model", "scan", "confirm", "training"):
        (place / name).mkdir(parents=True, exist_ok=True)
    seed = int(rng.integers(2**31))
    planting = Planting(study.store, study.log, markers, lessons, number, seed)
    copied = planting.write(place / "sequences", report=report)
    asked = _with_questions(study.config, plan, names)
    again = Study(copied.store, copied.log, asked, place / "model", place / "scan")
    with deterministic():
        train_twins(again.store, again.log, asked, again.model, beside=Beside(place / "training", None), report=report)
    scan_log(again, again.heads, report=report)
    effects = {(e.treatment, e.outcome): e for e in confirm_log(again, place / "confirm", report=report)}
    return [
        _pair(effects[marker.name, str(outcome)], marker, copied, number, (k, a))
        for k, marker in enumerate(markers)
        for a, outcome in enumerate(plan.outcomes)
    ]


def _with_questions(config: Config, plan: Plan, names: Sequence[str]) -> Config:
    """Return the config that asks of a copy what the log is asked, and of the markers too, all of them confirmed."""
    asked = {
        "further": [*config.causal.further, *names],
        "confirm": [(name, str(outcome)) for name in names for outcome in plan.outcomes],
        "confirm_behaviors": len(names) + len(plan.outcomes),
    }
    return config.model_copy(
        update={"horizons": [plan.horizon], "causal": config.causal.model_copy(update=asked)},
    )


def _pair(effect: Effect, marker: Marker, copied: Copy, number: int, at: tuple[int, int]) -> MarkedPair:
    truth, truth_error = copied.truth(*at)
    e = effect.effect
    return MarkedPair(
        copy=number,
        marker=marker.name,
        outcome=effect.outcome,
        kind="null" if marker.is_null else "non-null",
        like=marker.like,
        frequency=float(copied.n_marked[at[0]] / copied.n_decisions),
        explained=marker.explained,
        n_treated=effect.n_treated,
        naive=effect.naive.difference,
        estimate=e.estimate,
        std_error=e.std_error,
        ci_low=e.ci_low,
        ci_high=e.ci_high,
        truth=truth,
        truth_error=truth_error,
        verdict=effect.verdict,
    )
