"""Lines of a campaign's tables: one arm, one window of time, one other campaign, each with its interval and its n."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from whybuy.campaign.compare import Comparison
from whybuy.campaign.estimate import Float64, holm
from whybuy.campaign.history import Bools
from whybuy.causal.effects import Estimate
from whybuy.causal.grounds import MIN_OUTCOME_USERS


@dataclass(frozen=True, slots=True, kw_only=True)
class PartEffect:
    """The effect in one line of a table.

    Attributes
    ----------
    name : what the line is about: an arm, a window, another campaign, a category
    n, n_treated : people compared, and those of them who were sent it
    effect : without a number where ``why`` says what is missing
    p_holm : p-value adjusted for all lines of the table
    """

    name: str
    n: int
    n_treated: int
    effect: Estimate
    p_holm: float | None = None
    why: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return one flat object."""
        e = self.effect
        numbers = {
            "estimand": e.estimand,
            "estimate": e.estimate,
            "std_error": e.std_error,
            "ci_low": e.ci_low,
            "ci_high": e.ci_high,
            "p_value": e.p_value,
        }
        line = {"name": self.name, "n": self.n, "n_treated": self.n_treated}
        return {**line, **numbers, "p_holm": self.p_holm, "why": self.why}


def part_effect(
    name: str,
    comparison: Comparison,
    y: Bools | Float64,
    *,
    expected: Float64 | None = None,
    estimand: str | None = None,
) -> PartEffect:
    """Return the line of what came of the people compared; estimated only where it has grounds.

    Parameters
    ----------
    y : (n,) what came of them
    expected : (n,) what was expected of them, learned here where None
    estimand : what the comparison estimates where None
    """
    treated, estimand = comparison.treated, estimand or comparison.estimand
    why = thin(treated, y)
    effect = Estimate(estimand=estimand) if why else comparison.effect(y, expected=expected, estimand=estimand)
    if not why and effect.estimate is None:
        why = "What people did before tells exactly who was sent it, or nothing differs between people."
    return PartEffect(name=name, n=len(treated), n_treated=int(treated.sum()), effect=effect, why=why)


def thin(treated: Bools, outcome: Bools | Float64) -> str:
    """Return what two groups lack, in words; empty where 20 people of each had the outcome."""
    for arm, who in ((treated, "of the people sent it"), (~treated, "of the controls")):
        n = int((outcome[arm] > 0).sum())
        if n < MIN_OUTCOME_USERS:
            return f"Only {n} {who} had the outcome; {MIN_OUTCOME_USERS} are needed."
    return ""


def with_holm(lines: Iterable[PartEffect]) -> tuple[PartEffect, ...]:
    """Return the lines of a table with p-values adjusted for all of them."""
    lines = list(lines)
    adjusted = holm([line.effect.p_value for line in lines])
    return tuple(replace(line, p_holm=p) for line, p in zip(lines, adjusted, strict=True))
