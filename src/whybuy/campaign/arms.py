"""Every arm of a campaign against the controls, as one family of questions (Holm)."""

from whybuy import columns as c
from whybuy.campaign.compared import Compared
from whybuy.campaign.parts import PartEffect, part_effect, thin, with_holm
from whybuy.events.behaviors import Behavior


def arm_effects(campaign: str, arms: list[str], compared: Compared, *, seed: int) -> tuple[PartEffect, ...]:
    """Return the effect of every arm that was sent something, as ``campaign:ID/arm``; none where only one was.

    Assigned at random, an arm and the controls are an experiment of their own. Otherwise who was in the arm, rather
    than among the controls, is learned anew for each.
    """
    if len(arms) < 2:
        return ()
    comparison, lines = compared.comparison, []
    of_arm = comparison.rows[c.ARM].to_numpy(object)
    for arm in arms:
        rows = (of_arm == arm) | ~comparison.treated
        among, y = comparison.keep(rows), compared.outcome[rows]
        if not thin(among.treated, y):
            among = among.refitted(seed=seed)
        lines.append(part_effect(str(Behavior("campaign", "campaign", campaign, arm)), among, y))
    return with_holm(lines)


def arm_notes(lines: tuple[PartEffect, ...], limit: float) -> list[str]:
    """Return what the arms say, in words."""
    if not lines:
        return []
    works = [
        f"{line.name} ({100 * line.effect.estimate:+.1f} in 100)"
        for line in lines
        if line.effect.estimate is not None and line.p_holm is not None and line.p_holm < limit
    ]
    said = [f"Of {len(lines)} arms, after Holm's correction, {', '.join(works)} differ from the controls."]
    if not works:
        said = [f"None of {len(lines)} arms differs from the controls after Holm's correction."]
    silent = [line.name for line in lines if line.why]
    if silent:
        said.append(f"Not told: {', '.join(silent)} (too few people with the outcome, or no follow-up).")
    return said
