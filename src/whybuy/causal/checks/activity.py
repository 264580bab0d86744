"""Activity: whether the effect is still there among those who came at all.

Whoever comes in a period is likelier to do anything in it and afterwards. Among users with any event in the period the
coming is the same in both arms; an effect that vanishes there may have been the coming alone.
"""

from typing import Any

from whybuy.causal.checks.pair import GroupEffect, in_hundred


def activity(among: GroupEffect, *, whole: tuple[float, float], share_of_controls: float) -> dict[str, Any]:
    """Return the effect among those who came, and whether it bears out the effect of all.

    Parameters
    ----------
    among : the effect among users with any event in the period, from nuisances of their own
    whole : 95% interval of the effect of all
    share_of_controls : of the users without the behavior, those who came
    """
    found: dict[str, Any] = {**among.to_json(), "share_of_controls": share_of_controls, "passed": None}
    if among.estimate is None or whole[0] <= 0 <= whole[1]:
        return found
    low, high = found["ci_low"], found["ci_high"]
    return {**found, "passed": low > 0 if whole[0] > 0 else high < 0}


def activity_failures(found: dict[str, Any]) -> list[str]:
    """Return what is wrong, in words."""
    if found["passed"] is not False:
        return []
    return [
        f"Activity: among those who came in the period the effect is {in_hundred(found)}; what is seen among all may "
        "be that they came."
    ]
