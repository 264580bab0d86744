"""A behavior that seems to bring more of itself: a lasting taste looks the same, and it is not in the log.

Source: Heckman, Heterogeneity and state dependence (Studies in Labor Markets, 1981): people who did a thing are those
who like it, so persistent heterogeneity shows as dependence on one's own past. What the log holds of the taste is
adjusted for, the rest adds to the estimate; a fall is found against that, a rise is not.
"""

from whybuy.causal.effects import Effect
from whybuy.events.behaviors import contains, parse_behavior
from whybuy.events.composites import Composite, parse_treatment

REPEAT = (
    "A rise of the same behavior: suggestive at most. A lasting taste for it, of which the log shows a part only, "
    "looks like an effect on doing it again; a fall would have been found against it."
)


def repeat_failures(effect: Effect) -> list[str]:
    """Return why a rise in what the behavior itself is (or holds, or lies in) cannot be strong; none for a fall."""
    treatment, outcome = parse_treatment(effect.treatment), parse_behavior(effect.outcome)
    done = treatment.last if isinstance(treatment, Composite) else treatment
    is_same = contains(done, outcome) or contains(outcome, done)
    return [REPEAT] if is_same and (effect.effect.estimate or 0.0) > 0 else []
