"""What ``experiment plan``, ``assign`` and ``analyze`` print."""

from pathlib import Path
from typing import TYPE_CHECKING

from whybuy.cli.session import Session
from whybuy.cli.tables import NOTHING, Column, show_table

if TYPE_CHECKING:
    from whybuy.campaign.experiment import ExperimentPlan, ExperimentResult, MetricAnswer
    from whybuy.campaign.experiment.design import Design
    from whybuy.campaign.experiment.file import Assignment

_DAY_COLUMNS: tuple[Column, ...] = (
    ("days", "right"),
    ("entered", "right"),
    ("smallest effect", "right"),
    ("with CUPED", "right"),
    ("power", "right"),
    ("with CUPED", "right"),
)
_POWER_COLUMNS: tuple[Column, ...] = (
    ("effect", "right"),
    ("power", "right"),
    ("with CUPED", "right"),
    ("on the log", "right"),
    ("± error", "right"),
    ("coverage", "right"),
)
_METRIC_COLUMNS: tuple[Column, ...] = (
    ("metric", "left"),
    ("arm", "left"),
    ("control", "right"),
    ("plain", "right"),
    ("adjusted", "right"),
    ("low", "right"),
    ("high", "right"),
    ("p (Holm)", "right"),
    ("must be", "left"),
    ("verdict", "left"),
)


def show_plan(session: Session, found: "ExperimentPlan") -> None:
    """Print a plan: in words, power over the effect, and what is seen by day."""
    for line in found.summary().splitlines():
        session.say(line)
    session.say()
    rows = (
        [
            _short(r["effect"], "+"),
            *(_share(r[name]) for name in ("power_plain", "power", "power_simulated")),
            f"{r['monte_carlo_error']:.2f}",
            _share(r["coverage_simulated"]),
        ]
        for r in found.to_frame().to_dict("records")
    )
    show_table(session.out, _POWER_COLUMNS, rows)
    if len(found.days) > 1:
        session.say()
        days = (
            [
                str(d.day),
                f"{d.n_units:,}",
                *(_short(value, "+") for value in (d.smallest_plain, d.smallest)),
                *(_share(value) for value in (d.power_plain, d.power)),
            ]
            for d in found.days
        )
        show_table(session.out, _DAY_COLUMNS, days)


def show_assignment(session: Session, found: "Assignment", design: "Design", path: Path, *, is_new: bool) -> None:
    """Print how many got which arm, where it is written, seed and hash."""
    from whybuy.campaign.experiment.reference import day_text

    counts = {arm: int((found.frame["arm"] == arm).sum()) for arm in design.shares}
    n_strata = int(found.frame["stratum"].nunique())
    if session.as_json:
        facts = {"output": str(path), "written": is_new, "sha256": found.sha256, "seed": design.seed, "counts": counts}
        session.emit({**facts, "strata": n_strata, "start_ms": design.start_ms, "rehearsal": found.is_rehearsal})
        return
    told = ", ".join(f"{n:,} in {arm}" for arm, n in counts.items())
    session.say(
        f"{len(found.frame):,} {design.units_word}: {told}; {n_strata} strata; from {day_text(design.start_ms)} UTC"
    )
    if found.is_rehearsal:
        session.say("A rehearsal: the start lies before the end of the log, so `analyze` will give no verdict.")
    session.say(f"{'written' if is_new else 'already there, the same'}: {path}")
    session.say(f"seed {design.seed}, sha256 {found.sha256}")


def show_result(session: Session, result: "ExperimentResult") -> None:
    """Print the decision, every metric, and what it rests on."""
    for line in result.decision().splitlines():
        session.say(line)
    session.say()
    show_table(session.out, _METRIC_COLUMNS, map(_metric_row, result.answers))
    session.say()
    for answer in result.answers:
        for reason in answer.reasons:
            session.say(f"{answer.metric}, {answer.arm}: {reason}")
    ratio = result.sample_ratio
    split = ", ".join(f"{result.counts[arm]:,} in {arm} ({100 * share:g}%)" for arm, share in result.shares.items())
    session.say(f"- Split: {split}; p = {ratio['p_value']:.2g}.")
    removed = [a.variance_removed for a in result.answers if a.variance_removed is not None]
    if removed:
        low, high = (round(100 * max(share, 0.0)) for share in (min(removed), max(removed)))
        session.say(f"- What was known before takes away {low} to {high}% of the variance.")
    session.say(
        "- Intervals hold at every look." if result.peek else "- Intervals are for one look, at the planned end."
    )
    for note in result.notes:
        session.say(f"- {note}")


def _metric_row(answer: "MetricAnswer") -> list[str]:
    numbers = (answer.plain, answer.estimate, answer.ci_low, answer.ci_high)
    p = NOTHING if answer.p_holm is None else f"{answer.p_holm:.2g}"
    margin = "" if answer.margin is None else str(answer.margin)
    return [
        answer.metric,
        answer.arm,
        _short(answer.mean_control),
        *(_short(value, "+") for value in numbers),
        p,
        margin,
        answer.verdict,
    ]


def _short(value: float | None, sign: str = "") -> str:
    return NOTHING if value is None else f"{value:{sign}.4g}"


def _share(value: float | None) -> str:
    return NOTHING if value is None or value != value else f"{value:.2f}"
